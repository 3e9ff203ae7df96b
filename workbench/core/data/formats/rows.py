"""Values of cells -> one canonical row, or the reason why there is none. What a value holds is seen value by value."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle, pairwise
from typing import Any

from workbench.core.data.formats.column_names import bare_text, is_text, listed, number
from workbench.core.data.formats.columns import Columns, Converted
from workbench.core.data.formats.marks import check_marks
from workbench.core.data.formats.prompts import OTHER_SYSTEM, asked, system_text, with_earlier, with_more
from workbench.core.data.formats.transcripts import transcript
from workbench.core.data.messages import (
    LeftOut,
    Message,
    RawRow,
    Row,
    is_empty,
    message,
    read_messages,
    same,
    shared_turns,
    written_messages,
)

NO_SYSTEM = "an empty system message was dropped"
IDENTICAL = "a pair of identical answers was skipped"
WOVEN = "a conversation was built from the list of its questions and the list of its answers"


def pair(
    row: RawRow,
    columns: Columns,
    chosen: Any,
    rejected: Any,
    chosen_score: float | None = None,
    rejected_score: float | None = None,
) -> Converted:
    """A preference row from the values of two answers, or of two whole conversations; scores: the higher the better.

    Raises LeftOut.
    """
    check_marks(row)
    asked = _list_of(row.get(columns.prompt)) if columns.prompt else None
    if asked and all(isinstance(text, str) for text in asked) and _list_of(chosen) and _list_of(rejected):
        one, other = (interwoven(asked, _list_of(answers) or ()) for answers in (chosen, rejected))
        woven = pair(row, columns.model_copy(update={"prompt": None}), one, other, chosen_score, rejected_score)
        return Converted(woven.rows, (*woven.notes, WOVEN))
    texts = (bare_text(chosen), bare_text(rejected)) if columns.prompt else (None, None)
    if None not in texts:
        chosen, rejected = texts
    answers = (chosen, rejected)
    chosen = _conversation(chosen, columns.prompt, "chosen answer")
    rejected = _conversation(rejected, columns.prompt, "rejected answer")
    if same(chosen, rejected):
        raise LeftOut("chosen and rejected are identical")
    shared = shared_turns(chosen, rejected)
    if len(chosen) > shared + 1 or len(rejected) > shared + 1:
        raise LeftOut("the conversations differ before the last answer")
    if same(chosen[-1:], rejected[-1:]):
        raise LeftOut("chosen and rejected are identical")
    prompt, notes = _prompt(row, columns, chosen[:shared], answers)
    made: Row = {"prompt": prompt, "chosen": chosen[-1:], "rejected": rejected[-1:]}
    if chosen_score is not None and rejected_score is not None:
        made["scores"] = {"chosen": chosen_score, "rejected": rejected_score}
    return Converted([made], notes)


def several_pairs(row: RawRow, columns: Columns, pairs: Sequence[tuple[Any, ...]]) -> Converted:
    """Preference rows, each from two answers and perhaps their scores as `pair` takes them; identical ones are noted.

    Raises LeftOut where one pair cannot be used for another reason, or none is left.
    """
    rows: list[Row] = []
    notes: list[str] = []
    for answers in pairs:
        try:
            made = pair(row, columns, *answers)
        except LeftOut as out:
            if out.reason != "chosen and rejected are identical":
                raise
            notes.append(IDENTICAL)
            continue
        rows += made.rows
        notes += made.notes
    if not rows:
        raise LeftOut("chosen and rejected are identical")
    return Converted(rows, tuple(notes))


def interwoven(asked: Sequence[str], answered: Sequence[Any]) -> list[Message]:
    """A conversation from what the user and what the assistant said, as lmsys-arena-human-preference-55k has it.

    Raises LeftOut where an answer is missing.
    """
    if len(asked) != len(answered) or not all(isinstance(text, str) for text in answered):
        raise LeftOut("not text")
    return [one for q, a in zip(asked, answered, strict=True) for one in (message("user", q), message("assistant", a))]


def _list_of(value: Any) -> list[Any] | None:
    """A list in a cell, as it is or as JSON text; None for any other value, and for an empty one."""
    if isinstance(value, Mapping) or (isinstance(value, str) and not value.startswith("[")):
        return None
    return listed(value) or None


def is_turns(value: Any) -> bool:
    """Whether a cell holds the turns of a conversation as a list of texts, by turns of user and assistant (LIMA)."""
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1 and all(map(is_text, value))


def labelled_pair(row: RawRow, columns: Columns) -> Converted:
    """A preference row from a chosen and a rejected column. Raises LeftOut."""
    chosen, rejected = row.get(columns.chosen or ""), row.get(columns.rejected or "")
    if columns.chosen_score is None:
        return pair(row, columns, chosen, rejected)
    scores = number(row.get(columns.chosen_score)), number(row.get(columns.rejected_score or ""))
    return pair(row, columns, chosen, rejected, *scores)


def sft_row(row: RawRow, columns: Columns) -> Converted:
    """An SFT row: the last answer of a conversation, or a completion. Raises LeftOut."""
    value = row.get(columns.messages or columns.completion or "")
    check_marks(row, value)
    if columns.completion and isinstance(value, Sequence) and not isinstance(value, str):
        # Several answers to one question, as texts: the first is the one to imitate.
        value = value[0] if value and isinstance(value[0], str) else value
    elif columns.completion and (text := bare_text(value)) is not None:
        value = text
    conversation = _conversation(value, None if columns.messages else columns.prompt, "answer")
    prompt, notes = _prompt(row, columns, conversation[:-1], [value])
    return Converted([{"prompt": prompt, "completion": conversation[-1:]}], notes)


def _conversation(value: Any, prompt: str | None, what: str) -> list[Message]:
    """The messages in a cell, ending with an answer that is not empty. Beside a prompt, a plain text is an answer alone.

    Plain texts lose the white space around them: it is a joint of some template, not part of the answer.
    """
    if is_empty(value):
        raise LeftOut(f"empty {what}")
    turns = _turns(value, alone=prompt is not None)
    if turns[-1]["role"] != "assistant":
        raise LeftOut("no assistant answer at the end")
    if not turns[-1]["content"].strip():
        raise LeftOut(f"empty {what}")
    return turns


def _turns(value: Any, alone: bool) -> list[Message]:
    if is_turns(value):
        return [message(role, text) for role, text in zip(cycle(("user", "assistant")), value, strict=False)]
    if not isinstance(value, str):
        return read_messages(value)
    written = written_messages(value)
    if written is not None:
        return read_messages(written)
    turns = [message("assistant", value.strip())] if alone else transcript(value)
    if turns is None:
        raise LeftOut("no prompt: the text is not a dialogue of Human and Assistant")
    return turns


def _prompt(
    row: RawRow, columns: Columns, inside: list[Message], answers: Sequence[Any] = ()
) -> tuple[list[Message], tuple[str, ...]]:
    """The prompt from its own column, from inside the conversations, or from both where they agree; and the notes."""
    prompt = with_earlier(_own_prompt(row, columns, inside), row, columns, answers)
    notes = []
    system = system_text(row.get(columns.system)) if columns.system else ""
    if system and prompt:
        if prompt[0]["role"] != "system":
            prompt = [message("system", system), *prompt]
        elif prompt[0]["content"].strip() not in ("", system):
            notes.append(OTHER_SYSTEM)
        else:
            prompt = [message("system", system), *prompt[1:]]
    # An empty system message is a way to say that there is none.
    kept = [m for m in prompt if m["role"] != "system" or m["content"].strip()]
    _check_prompt(kept)
    return kept, (*notes, *([NO_SYSTEM] if len(kept) < len(prompt) else []))


def _own_prompt(row: RawRow, columns: Columns, inside: list[Message]) -> list[Message]:
    """The prompt with the texts that belong below it, wherever those stand. Raises LeftOut."""
    beside = asked(row.get(columns.prompt)) if columns.prompt else []
    whole = with_more(beside, row, columns)
    if inside and whole != beside:
        # The conversation may repeat these texts too.
        with suppress(LeftOut):
            return _joined(whole, inside)
    return with_more(_joined(beside, inside), row, columns)


def _check_prompt(prompt: Sequence[Message]) -> None:
    """Many chat templates refuse a prompt that breaks these rules, and would do so in the middle of a run."""
    roles = [m["role"] for m in prompt]
    if not any(m["content"].strip() for m in prompt if m["role"] == "user"):
        raise LeftOut("empty prompt")
    if not all(m["content"].strip() for m in prompt):
        raise LeftOut("an empty message in the prompt")
    if "system" in roles[1:]:
        raise LeftOut("a system message that is not the first")
    if any(first == second for first, second in pairwise(roles)):
        raise LeftOut("two messages in a row from the same role")
    if roles[-1] != "user":
        raise LeftOut("the prompt does not end with a user message")
    if roles[0] == "assistant" or roles[:2] == ["system", "assistant"]:
        raise LeftOut("the conversation begins with the assistant")


def _joined(beside: list[Message], inside: list[Message]) -> list[Message]:
    """One prompt of the two, the one that says more. Raises LeftOut where they contradict each other."""
    if not inside or (beside and same(beside[-len(inside) :], inside)):
        return beside
    starts = range(len(inside) - len(beside) + 1)
    if not beside or any(same(inside[start : start + len(beside)], beside) for start in starts):
        return inside
    raise LeftOut("the prompt column and the prompt inside the answers differ")
