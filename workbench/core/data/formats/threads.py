"""Rows that go on from other rows: each names the one whose question and answer come before its own prompt."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from workbench.core.data.formats.column_names import Names
from workbench.core.data.formats.columns import Converted, Gathered, Recognised
from workbench.core.data.formats.marks import unmarked
from workbench.core.data.messages import LeftOut, Message, RawRow

IDS = ("id", "message_id", "turn_id", "row_id", "node_id", "uuid")
PARENTS = ("parent_id", "parent", "parent_message_id", "previous_id", "parent_turn_id")
EARLIER = "turns of the rows before"
"""The key under which a row gets what the rows before it say."""
MOST_TURNS = 100


def parent_column(rows: Sequence[RawRow], how: Recognised) -> str | None:
    """The column that names the row before, where some rows have one, and the format does not read it itself."""
    named = {*how.mapping.named().values(), *how.reads}
    for row in rows[:1]:
        names = Names(row)
        found = names.first(PARENTS, lambda value: True)
        if found and found not in named and any(_is_id(one.get(found)) for one in rows):
            return found
    return None


def with_threads(rows: Sequence[RawRow], how: Recognised) -> Recognised:
    """What was recognised, with the turns of the rows before. Only where sampled rows go on from one another: else a
    column `parent_id` may count something that is not in the file."""
    parent = parent_column(rows, how)
    if parent is None or how.mapping.history or not how.mapping.prompt:
        return how
    for id in (Names(rows[0]).column(name) for name in IDS):
        if (
            id
            and id != parent
            and {row.get(parent) for row in rows if _is_id(row.get(parent))}
            & {row.get(id) for row in rows if _is_id(row.get(id))}
        ):
            evidence = f"{how.evidence[:-1]}; `{parent}` names the row (by its `{id}`) whose turns come before."
            mapping = how.mapping.model_copy(update={"id": id, "parent": parent, "history": EARLIER})
            return replace(how, mapping=mapping, evidence=evidence)
    return how


def threaded(
    rows: Iterable[tuple[int, RawRow]], how: Recognised, convert: Callable[[RawRow, Recognised], Converted]
) -> Iterator[tuple[int, RawRow]]:
    """The rows with the turns before them under EARLIER, a parent before its children; those without a parent in the
    source come as what `convert` leaves out. Keeps the turns of every row, as any of them may be gone on from."""
    said: dict[object, list[Message] | None] = {}
    waiting: dict[object, list[tuple[int, RawRow]]] = {}
    for number, row in rows:
        ready = [(number, row)]
        while ready:
            place, one = ready.pop(0)
            parent, id = one.get(how.mapping.parent or ""), one.get(how.mapping.id or "")
            if _is_id(parent) and parent not in said:
                waiting.setdefault(parent, []).append((place, one))
                continue
            before = said[parent] if _is_id(parent) else []
            made = _lost("a message whose parent is missing", one) if before is None else {**one, EARLIER: before}
            if before is not None and len(before) > MOST_TURNS:
                made = _lost("a message more than 100 turns deep", one)
            if _is_id(id) and id not in said:
                said[id] = _turns(made, how, convert)
                ready += waiting.pop(id, [])
            yield place, made
    for place, one in (one for lost in waiting.values() for one in lost):
        yield place, _lost("a message whose parent is missing", one)


def _turns(row: RawRow, how: Recognised, convert: Callable[[RawRow, Recognised], Converted]) -> list[Message] | None:
    """What a row says from the first turn to its answer; None where it cannot be read, or leaves open what was answered."""
    answer = how.mapping.answer if how.mapping.answer and not how.mapping.answers else None
    if answer:  # One of several scored answers, each in a row of its own.
        columns = how.mapping.model_copy(update={"answer": None, "score": None, "completion": answer})
        how = replace(how, format="columns", kind="sft", mapping=columns, option="")
    elif how.mapping.completion or how.mapping.messages:
        columns = how.mapping.model_copy(update={"label": None, "against": None})
        how = replace(how, format="columns", kind="sft", mapping=columns, option="")
    try:
        made = convert(unmarked(row), how).rows[0]
    except (LeftOut, IndexError):
        return None
    answer_part = "chosen" if "chosen" in made else "completion"
    return [*made["prompt"], *made[answer_part]]


def _lost(reason: str, row: RawRow) -> Gathered:
    return Gathered(orphan=reason, message=row)


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
