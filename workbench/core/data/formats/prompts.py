"""The prompt of a row: what stands in its own column, and what other columns add to it.

Other columns can hold the system message, texts that belong below the prompt, and the turns before it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

from workbench.core.data.formats.column_names import (
    CONVERSATIONS,
    QUESTIONS,
    Names,
    described_text,
    is_text,
    plain_name,
)
from workbench.core.data.formats.columns import Columns
from workbench.core.data.formats.transcripts import asked_turns, transcript
from workbench.core.data.messages import (
    LeftOut,
    Message,
    RawRow,
    check_of,
    is_empty,
    is_messages,
    message,
    read_messages,
    same,
    text_of_parts,
    written_messages,
)

CONTEXTS = ("context", "document", "passage", "previous_steps", "initial_reason_steps")
HISTORIES = (
    "history", "chat_history", "conversation_history", "dialogue_history", "dialog_history", "message_history",
    "previous_messages", "previous_turns", "past_messages", "earlier_turns", "context", *CONVERSATIONS,
)  # fmt: skip
# Characters from which on it is no chance that a text is in another one.
_LEAST_REPEATED = 40
OTHER_SYSTEM = "the column of the system message was not used: the conversation has another one"


def beside(names: Names, prompt: str | None, answers: Sequence[str] = ()) -> dict[str, str | None]:
    """The columns that belong to the prompt of a row. answers: the columns that hold its answers."""
    texts = _more(names, prompt)
    history = _history(names, prompt, answers)
    return {
        "system": names.system(),
        "context": texts[0] if len(texts) > 1 else None,
        "input": texts[-1] if texts else None,
        "history": history,
    }


def _more(names: Names, prompt: str | None) -> list[str]:
    """Up to two columns with a text that belongs below the prompt, in the order in which they are read."""
    if prompt is None:
        return []
    last = ("input", *(QUESTIONS if plain_name(prompt) == "instruction" else ()))
    found = []
    for group in (CONTEXTS, last):
        fits = [names.column(name) for name in group if name in names]
        found += [column for column in fits if column and column != prompt and _says_more(names.row, prompt, column)][
            :1
        ]
    return found


def _says_more(row: RawRow, prompt: str, column: str) -> bool:
    """Whether a cell is a text that the prompt does not hold already. An empty one says nothing against it."""
    said, value = row[prompt], row[column]
    if value is None or value == "":
        return True
    text = below(value)
    if text is None or (not _is_list_of_texts(value) and if_readable(earlier, value)):
        return False
    return not isinstance(said, str) or not (_repeats(said.strip(), text) or _repeats(text, said.strip()))


def _repeats(text: str, said: str) -> bool:
    """Whether a text says a whole other one again. A few letters in common say nothing."""
    return said == text or (len(said) >= _LEAST_REPEATED and said in text)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and bool(value) and all(map(is_text, value))


def below(value: Any) -> str | None:
    """The text of a cell that goes below a prompt: a text, or several one under another; None for anything else."""
    if isinstance(value, str):
        return value.strip()
    return "\n".join(value).strip() if _is_list_of_texts(value) else None


def _history(names: Names, prompt: str | None, answers: Sequence[str]) -> str | None:
    """A column with the turns before the prompt: nothing is left of one that only says prompt and answer again."""
    if prompt is None:
        return None
    for name in HISTORIES:
        column = names.column(name)
        if column is None or column == prompt or column in answers:
            continue
        value = names.row[column]
        if name == "context" and _is_list_of_texts(value):  # passages, not turns
            continue
        if name == "history" and (value is None or value == [] or value == ""):
            return column
        if not is_whole(column) and _cannot_be_trained_on(value):
            return column
        turns = if_readable(earlier, value)
        if turns and before(
            turns, if_readable(asked, names.row[prompt]), [names.row[one] for one in answers], is_whole(column)
        ):
            return column
    return None


def _cannot_be_trained_on(value: Any) -> bool:
    """Whether these are turns with tools or pictures: such rows are left out, and not trained on without their turns."""
    try:
        earlier(value)
    except LeftOut as out:
        return check_of(out.reason) in ("tools", "media")
    return False


def if_readable(read: Callable[[Any], list[Message]], value: Any) -> list[Message]:
    """What is read in a cell; nothing where it holds something else."""
    try:
        return read(value)
    except LeftOut:
        return []


def earlier(history: Any) -> list[Message]:
    """Messages, [[question, answer], ...], texts by turns, or a conversation written as text. Raises LeftOut."""
    if is_empty(history):
        return []
    if isinstance(history, str):
        turns = transcript(history)
        return turns if turns is not None else read_messages(history)
    if is_messages(history) or not isinstance(history, Sequence):
        return read_messages(history)
    if len(history) % 2 == 0 and _is_list_of_texts(history):
        return [message(role, text.strip()) for role, text in zip(cycle(("user", "assistant")), history, strict=False)]
    turns = []
    for said in history:
        if isinstance(said, str) or not isinstance(said, Sequence) or len(said) != 2 or not all(map(is_text, said)):
            raise LeftOut("not text")
        turns += [message("user", said[0].strip()), message("assistant", said[1].strip())]
    return turns


def is_whole(column: str) -> bool:
    """Whether a column by this name may hold the whole conversation, the prompt and an answer of its own with it."""
    return plain_name(column) in CONVERSATIONS


def before(
    turns: Sequence[Message], prompt: Sequence[Message], answers: Sequence[Any] = (), whole: bool = False
) -> list[Message]:
    """What earlier turns say before the prompt begins, which they may say again at their end.

    answers: the cells of the answers; only texts and messages are looked at. whole: any answer may follow the prompt there;
    in a history, the same question before that answer was asked twice.
    """
    found = list(turns)
    texts = {text.strip() for text in map(_last_text, answers) if text}
    if found and found[-1]["role"] == "assistant" and found[-1]["content"].strip() in texts:
        found.pop()
    said = [one for one in prompt if one["role"] != "system"]
    for start in range(len(found)):
        beyond = len(found) - start - len(said)
        is_said = bool(said) and same(found[start : start + len(said)], said[: len(found) - start])
        if is_said and (beyond <= 0 or (beyond == 1 and whole)):
            return found[:start]
    return found


def _last_text(answer: Any) -> str | None:
    if isinstance(answer, str):
        return answer
    try:
        return read_messages(answer)[-1]["content"]
    except LeftOut:
        return None


def asked(value: Any) -> list[Message]:
    """A prompt in a cell as messages. Raises LeftOut."""
    if is_empty(value):
        return []
    if isinstance(value, Mapping):
        value = described_text(value) or value
    if not isinstance(value, str):
        return read_messages(value)
    if (written := written_messages(value)) is not None:
        return read_messages(written)
    return asked_turns(value) or [message("user", value.strip())]


def system_text(value: Any) -> str:
    """The text of a system message: as it is, as a list of parts, or as a message. Raises LeftOut for anything else."""
    if is_empty(value):
        return ""
    if isinstance(value, str):
        return value.strip()
    if is_messages(value):
        return "\n".join(one["content"] for one in read_messages(value)).strip()
    text = text_of_parts(value) if isinstance(value, Sequence) else None
    if text is None:
        raise LeftOut("not text")
    return text.strip()


def with_more(prompt: list[Message], row: RawRow, columns: Columns) -> list[Message]:
    """The prompt with the texts of other columns below its last question."""
    if not columns.context and not columns.input:
        return prompt
    cells = (row.get(column) for column in (columns.context, columns.input) if column)
    said = prompt[-1]["content"].strip() if prompt else ""
    texts = [text for text in map(below, cells) if text and not _repeats(said, text)]
    if not texts or (prompt and prompt[-1]["role"] != "user"):
        return prompt
    return [*prompt[:-1], message("user", "\n\n".join([said, *texts]).strip())]


def with_earlier(prompt: list[Message], row: RawRow, columns: Columns, answers: Sequence[Any]) -> list[Message]:
    """The prompt behind the turns of its history. Raises LeftOut."""
    if not columns.history:
        return prompt
    value = row.get(columns.history)
    # The same column may hold a text below the prompt in one row, and the turns before it in another.
    turns = if_readable(earlier, value) if columns.history in (columns.input, columns.context) else earlier(value)
    turns = before(turns, prompt, answers, is_whole(columns.history))
    first = [one for one in prompt[:1] if one["role"] == "system" and not any(t["role"] == "system" for t in turns)]
    return [*first, *turns, *prompt[len(first) :]]
