"""An answer to imitate with a rejected one beside it, as ms-swift writes pairs: nothing there is called chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.data.formats.column_names import (
    COMPLETIONS,
    CONVERSATIONS,
    Names,
    holds_messages,
    is_text,
    is_text_or_messages,
    listed,
    with_more,
)
from workbench.core.data.formats.columns import Columns, Converted, Described, Format, Recognised
from workbench.core.data.formats.prompts import beside
from workbench.core.data.formats.rows import pair
from workbench.core.data.formats.scored_answers import IDENTICAL
from workbench.core.data.messages import LeftOut, RawRow, Row, is_empty, message, read_messages

REJECTED = (
    "rejected_response", "rejected_messages", "rejected_answer", "rejected_output", "rejected_completion", "rejected_text",
    "rejected", "rejected_responses", "rejected_answers", "dispreferred", "non_preferred_output", "negative_response",
)  # fmt: skip


def _find(row: RawRow) -> Columns | None:
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


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
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


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    columns = how.mapping
    chosen, rejected = row.get(columns.chosen or ""), row.get(columns.rejected or "")
    if is_empty(chosen):
        raise LeftOut("empty chosen answer")
    answers: Sequence[Any] = _texts(rejected) or [rejected]
    rows: list[Row] = []
    notes: list[str] = []
    for answer in answers:
        try:
            made = pair(row, columns, chosen, answer if columns.prompt else _ending(chosen, answer))
        except LeftOut as out:
            if len(answers) == 1 or out.reason != "chosen and rejected are identical":
                raise
            notes.append(IDENTICAL)
            continue
        rows += made.rows
        notes += made.notes
    if not rows:
        raise LeftOut("chosen and rejected are identical")
    return Converted(rows, tuple(notes))


def _ending(chosen: Any, answer: Any) -> Any:
    """The chosen conversation with another answer at its end; a conversation that is whole already stays so."""
    if answer is None or (isinstance(answer, str) and not holds_messages(answer)):
        last = [message("assistant", (answer or "").strip())]
    else:
        last = read_messages(answer)
    return [*read_messages(chosen)[:-1], *last] if len(last) == 1 else last


REJECTED_BESIDE = Format(
    "rejected-beside", "An answer, with a rejected one in its own column (ms-swift)",
    "`messages`, or a prompt and its answer, and a column such as `rejected_response`",
    _find, _describe, _convert,
)  # fmt: skip
