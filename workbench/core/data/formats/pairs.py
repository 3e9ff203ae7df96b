"""Formats that say themselves which answer is chosen and which is rejected."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from workbench.core.data.formats.choices import place_of_word, two_answers
from workbench.core.data.formats.column_names import (
    ADJECTIVES,
    ANSWER_PAIRS,
    COMPLETIONS,
    CONVERSATIONS,
    MEDIA,
    Names,
    bare_text,
    holds_messages,
    is_number_or_none,
    is_sharegpt,
    is_text,
    is_text_or_messages,
    listed,
    number,
    plain_name,
    with_more,
    with_system,
)
from workbench.core.data.formats.columns import Columns, Converted, Described, Format, Option, Recognised
from workbench.core.data.formats.prompts import asked, beside
from workbench.core.data.formats.rows import labelled_pair, several_pairs
from workbench.core.data.formats.transcripts import transcript
from workbench.core.data.messages import (
    LeftOut,
    Message,
    RawRow,
    dialogue,
    is_empty,
    message,
    read_messages,
    same,
    shared_turns,
)

REJECTED = (
    "rejected_response", "rejected_messages", "rejected_answer", "rejected_output", "rejected_completion", "rejected_text",
    "rejected", "rejected_responses", "rejected_answers", "dispreferred", "non_preferred_output", "negative_response",
)  # fmt: skip


def _dialogue_pairs(row: RawRow) -> Columns | None:
    """hh-rlhf: chosen and rejected are whole dialogues written as text.

    Beside a prompt such texts are answers that hold a dialogue, unless they begin with that prompt.
    """
    names = Names(row)
    prompt = names.prompt()
    for chosen, rejected in _answers(names, is_text):
        both = transcript(row[chosen]), transcript(row[rejected])
        if all(both) and (prompt is None or all(_begins(turns or (), row[prompt]) for turns in both)):
            return _columns(names, prompt, chosen, rejected)
    return None


def _begins(turns: Sequence[Message], prompt: Any) -> bool:
    """Whether a conversation has the prompt among the turns before its answer."""
    try:
        said = asked(prompt)
    except LeftOut:
        return False
    before = turns[:-1]
    places = range(len(before) - len(said) + 1)
    return not said or any(same(before[place : place + len(said)], said) for place in places)


def _message_pairs(row: RawRow) -> Columns | None:
    """chosen and rejected are messages, with the prompt inside them, beside them or both."""
    names = Names(row)
    for chosen, rejected in _answers(names, holds_messages):
        alone = len(_turns(row[chosen])) == 1
        prompt = names.prompt() or (names.first(CONVERSATIONS, holds_messages) if alone else None)
        return _columns(names, prompt, chosen, rejected)
    return None


def _sharegpt_pairs(row: RawRow) -> Columns | None:
    """ShareGPT: turns with from and value, and two answers in the same form or as text."""
    names = Names(row)
    columns = _message_pairs(row)
    if columns and is_sharegpt(row[columns.chosen or ""]):
        return columns
    conversation = names.first(CONVERSATIONS, is_sharegpt)
    for chosen, rejected in _answers(names, is_text) if conversation else ():
        return _columns(names, None, chosen, rejected).model_copy(update={"prompt": conversation})
    return None


def _text_pairs(row: RawRow) -> Columns | None:
    """A prompt with two answers written as text, as in orca_dpo_pairs and truthy-dpo."""
    names = Names(row)
    prompt = names.prompt() or names.first(CONVERSATIONS, holds_messages)
    for chosen, rejected in _answers(names, is_text) if prompt else ():
        return _columns(names, prompt, chosen, rejected)
    for chosen, rejected in _answers(names, lambda value: bare_text(value) is not None) if prompt else ():
        # Two numbers may also count answers in a list.
        if not is_number_or_none(row[chosen]) or not any(isinstance(value, list) for value in row.values()):
            return _columns(names, prompt, chosen, rejected)
    return None


def _answers(names: Names, fits: Callable[[Any], bool]) -> Iterator[tuple[str, str]]:
    """Every two columns that are named as a better and a worse answer, and hold answers.

    Where two answers stand in columns of their own, a column `chosen` may only name one of them, or the model that wrote it.
    """
    two = two_answers(names)
    if not names.first(COMPLETIONS, is_text):
        yield from names.pairs(ADJECTIVES, lambda value: is_text(value) and fits(value))
    for chosen, rejected in names.pairs(ANSWER_PAIRS, fits):
        if not two or {chosen, rejected} == set(two):
            yield chosen, rejected
        elif place_of_word(names.row[chosen], names.row, *two) is None:
            words = [_is_word(names.row[column]) for column in (chosen, rejected, *two)]
            if words != [True, True, False, False]:
                yield chosen, rejected


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value.split()) == 1


def _columns(names: Names, prompt: str | None, chosen: str, rejected: str) -> Columns:
    good, bad = names.scores(chosen, rejected)
    return Columns(
        prompt=prompt, chosen=chosen, rejected=rejected, chosen_score=good, rejected_score=bad,
        **beside(names, prompt, (chosen, rejected)),
    )  # fmt: skip


def _turns(value: Any) -> list[Message]:
    """The messages in a cell; none where it holds something else."""
    try:
        return (transcript(value) if isinstance(value, str) else None) or read_messages(value)
    except LeftOut:
        return []


def _describe_dialogues(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    written = "written as text"
    if dialogue(rows[0][columns.chosen or ""]):
        written = "of Human and Assistant written as text"
    return Described(
        f"{_answers_of(columns)} are dialogues {written}, which {_shared(rows, columns)}{_and(rows, columns)}."
    )


def _describe_messages(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    value = rows[0][columns.chosen or ""]
    what = "single messages" if isinstance(value, Mapping) and "messages" not in value else "lists of messages"
    what += " written as text" if isinstance(value, str) else ""
    what += " with `from` and `value`" if is_sharegpt(value) else ""
    shared = _shared(rows, columns)
    sharing = "" if shared.endswith("first 0 turns") else f" that {shared}"
    beside = f"; `{columns.prompt}` stands beside them" if columns.prompt else ""
    reads = ("provenance",) if any(isinstance(row.get("provenance"), Mapping) for row in rows) else ()
    return Described(f"{_answers_of(columns)} are {what}{sharing}{beside}{_and(rows, columns)}.", reads=reads)


def _describe_sharegpt(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    if not isinstance(rows[0][columns.chosen or ""], str) or holds_messages(rows[0][columns.chosen or ""]):
        return _describe_messages(rows, columns, option)
    return Described(
        f"`{columns.prompt}` is a conversation with `from` and `value`, and {_answers_of(columns)} are two answers to it "
        f"written as text{_and(rows, columns)}."
    )


def _describe_texts(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    prompt = f"`{columns.prompt}` is a prompt"
    if columns.input:
        prompt += f", sometimes with `{columns.input}`"
    better = ""
    if columns.chosen and plain_name(columns.chosen) == "response_j":
        better = f"; in the stack-exchange pairs `{columns.chosen}` is the better one"
    said = f"{_answers_of(columns)} are two answers to it written as {_written(rows, columns)}{better}{_and(rows, columns)}"
    if not _may_be_search(columns):
        return Described(f"{prompt}, and {said}.")
    taken = "as you chose" if option else "or two passages that a search should find and not find, so say what they are"
    return Described(f"{prompt}, and {said}; {taken}.", SEARCH_OPTIONS, option or "")


def _answers_of(columns: Columns) -> str:
    return f"`{columns.chosen}` and `{columns.rejected}`"


def _shared(rows: Sequence[RawRow], columns: Columns) -> str:
    both = [(_turns(row[columns.chosen or ""]), _turns(row[columns.rejected or ""])) for row in rows]
    counts = [shared_turns(chosen, rejected) for chosen, rejected in both if chosen and rejected] or [0]
    low, high = min(counts), max(counts)
    if low < high:
        return f"share their first {low} to {high} turns"
    return "share their first turn" if low == 1 else f"share their first {low} turns"


def _and(rows: Sequence[RawRow], columns: Columns) -> str:
    """The columns beside the answers, and those that are not used."""
    words = with_system(columns)
    if columns.chosen_score:
        words += f"; `{columns.chosen_score}` and `{columns.rejected_score}` are their scores"
        words += _contradiction(rows, columns)
    return f"{words}{Names(rows[0]).unused(MEDIA)}"


def _contradiction(rows: Sequence[RawRow], columns: Columns) -> str:
    """What an evidence says where the scores prefer the rejected answer: then chosen and rejected may be swapped."""
    scores = [
        (number(row.get(columns.chosen_score or "")), number(row.get(columns.rejected_score or ""))) for row in rows
    ]
    gaps = [good - bad for good, bad in scores if good is not None and bad is not None]
    against = sum(gap < 0 for gap in gaps)
    if 2 * against <= len(gaps):
        return ""
    return (
        f", but in {against} of {len(gaps)} rows the rejected answer has the higher one: check whether they are swapped"
    )


def _written(rows: Sequence[RawRow], columns: Columns) -> str:
    value = rows[0][columns.chosen or ""]
    return "text" if isinstance(value, str) else "numbers" if is_number_or_none(value) else "text in lists or objects"


def _may_be_search(columns: Columns) -> bool:
    """Whether a query, a positive and a negative may be what embeddings are trained on: nothing in them tells."""
    asked = {plain_name(column) for column in (columns.prompt, columns.input) if column}
    return plain_name(columns.chosen or "") == "positive" and "query" in asked


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    if how.options and not how.option:
        raise LeftOut("nobody has said which answer is the better one")
    return labelled_pair(row, how.mapping)


def _convert_messages(row: RawRow, how: Recognised, seed: int) -> Converted:
    """With where a pair is from, as the workbench writes it into pairs that it made."""
    made, told = _convert(row, how, seed), row.get("provenance")
    if not isinstance(told, Mapping):
        return made
    return Converted([{**one, "provenance": json.dumps(told, ensure_ascii=False)} for one in made.rows], made.notes)


def _convert_dialogues(row: RawRow, how: Recognised, seed: int) -> Converted:
    """Beside a prompt, a text counts as a dialogue only where it begins with that prompt."""
    columns = how.mapping
    if not columns.prompt:
        return labelled_pair(row, columns)
    if not row.get(columns.prompt):
        return labelled_pair(row, columns.model_copy(update={"prompt": None}))
    cells = {column: row.get(column) for column in (columns.chosen, columns.rejected) if column}
    talks = {column: transcript(cell) for column, cell in cells.items() if isinstance(cell, str)}
    if len(talks) == 2 and all(turns and _begins(turns, row[columns.prompt]) for turns in talks.values()):
        return labelled_pair({**row, **talks}, columns)
    return labelled_pair(row, columns)


def _rejected_beside(row: RawRow) -> Columns | None:
    """An answer to imitate with a rejected one beside it, as ms-swift writes pairs: nothing there is called chosen."""
    names = Names(row)
    # By its presence alone: a row without a rejected answer is left out and does not make the others SFT.
    rejected = names.first(
        REJECTED, lambda value: value is None or is_text_or_messages(value) or _texts(value) is not None
    )
    if not rejected:
        return None
    messages = names.first(CONVERSATIONS, holds_messages)
    if messages:
        return Columns(chosen=messages, rejected=rejected, system=names.system())
    prompt, chosen = names.prompt(), names.first(COMPLETIONS, is_text_or_messages)
    if not prompt or not chosen or prompt == chosen:
        return None
    return Columns(prompt=prompt, chosen=chosen, rejected=rejected, **beside(names, prompt, (chosen, rejected)))


def _texts(value: Any) -> list[str] | None:
    """A list of texts, as it is or as JSON."""
    if isinstance(value, Mapping) or (isinstance(value, str) and not value.lstrip().startswith("[")):
        return None
    found = listed(value)
    return found if found and all(map(is_text, found)) else None


def _describe_beside(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
    cells = [row.get(columns.rejected or "") for row in rows]
    if not any(cells):
        return None
    several = ", each of which makes a pair" if any(len(_texts(cell) or ()) > 1 for cell in cells) else ""
    what = (
        f"`{columns.prompt}` is answered by `{columns.chosen}`, which is chosen,"
        if columns.prompt
        else f"`{columns.chosen}` ends with the chosen answer"
    )
    return Described(f"{what} and `{columns.rejected}` is the rejected one{several}{with_more(columns)}.")


def _convert_beside(row: RawRow, how: Recognised, seed: int) -> Converted:
    columns = how.mapping
    chosen, rejected = row.get(columns.chosen or ""), row.get(columns.rejected or "")
    if is_empty(chosen):
        raise LeftOut("empty chosen answer")
    answers: Sequence[Any] = _texts(rejected) or [rejected]
    pairs = [(chosen, answer if columns.prompt else _ending(chosen, answer)) for answer in answers]
    return several_pairs(row, columns, pairs)


def _ending(chosen: Any, answer: Any) -> Any:
    """The chosen conversation with another answer at its end; a conversation that is whole already stays so."""
    if answer is None or (isinstance(answer, str) and not holds_messages(answer)):
        last = [message("assistant", (answer or "").strip())]
    else:
        last = read_messages(answer)
    return [*read_messages(chosen)[:-1], *last] if len(last) == 1 else last


SEARCH_OPTIONS = (Option("answers", "two answers to the query, of which the positive one is the better"),)

PAIRS = (
    Format(
        "dialogue-pairs", "Pairs of dialogues as text (hh-rlhf)",
        "a chosen and a rejected dialogue as text, with turns such as \"Human:\" and \"Assistant:\"",
        _dialogue_pairs, _describe_dialogues, _convert_dialogues,
    ),
    Format(
        "sharegpt-pairs", "ShareGPT with a chosen and a rejected answer",
        "messages with `from` and `value`, and a chosen and a rejected answer",
        _sharegpt_pairs, _describe_sharegpt, _convert,
    ),
    Format(
        "message-pairs", "Pairs of messages",
        "a chosen and a rejected column, each a list of messages with `role` and `content`",
        _message_pairs, _describe_messages, _convert_messages,
    ),
    Format(
        "text-pairs", "Prompt, chosen and rejected as text",
        "a prompt, and a chosen and a rejected answer as text",
        _text_pairs, _describe_texts, _convert,
    ),
    Format(
        "rejected-beside", "An answer, with a rejected one in its own column (ms-swift)",
        "`messages`, or a prompt and its answer, and a column such as `rejected_response`",
        _rejected_beside, _describe_beside, _convert_beside,
    ),
)  # fmt: skip
