"""Votes of the Compare page: as pairs, or as single answers with a thumb."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.data.formats.choices import is_neither, place
from workbench.core.data.formats.column_names import is_text
from workbench.core.data.formats.columns import Columns, Converted, Described, Format, Option, Recognised
from workbench.core.data.formats.rows import pair, sft_row
from workbench.core.data.messages import LeftOut, RawRow, Row

OPTIONS = (
    Option("pairs", "the better answer against the other, and an ideal answer against each", "preference"),
    Option("thumbs", "every answer with a thumb: of two bad answers both get a thumb down", "unpaired"),
)
IDEAL = "ideal"
BOTH_BAD = "both_bad"

_SIDES = ("left", "right")
_ONE_ANSWER = Columns(prompt="prompt", completion="answer")


def _votes(row: RawRow) -> Columns | None:
    if not {"prompt", "left", "right", "vote"} <= set(row) or not (is_text(row["left"]) and is_text(row["right"])):
        return None
    is_vote = row["vote"] in _SIDES or is_neither(row["vote"])
    return Columns(prompt="prompt", first="left", second="right", choice="vote") if is_vote else None


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    taken = next(one for one in OPTIONS if one.id == (option or "pairs"))
    return Described(
        "`vote` says which of `left` and `right` a person preferred; a tie says nothing, and two bad answers make no pair; "
        f"taken: {taken.words}.",
        OPTIONS,
        taken.id,
    )


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    """Raises LeftOut for a vote that says nothing here: a tie, and as pairs two bad answers, without an ideal one."""
    ideal = [IDEAL] if is_text(row.get(IDEAL)) and row[IDEAL].strip() else []
    try:
        won: int | None = place(row, how.mapping, "")
    except LeftOut:
        if not ideal and not (how.option == "thumbs" and row.get("vote") == BOTH_BAD):
            raise
        won = None
    if how.option == "thumbs":
        liked = {side: won == at for at, side in enumerate(_SIDES) if won is not None or row.get("vote") == BOTH_BAD}
        return _joined([_thumb(row, side, up) for side, up in {**dict.fromkeys(ideal, True), **liked}.items()])
    sides = [] if won is None else [(_SIDES[won], _SIDES[1 - won])]
    return _joined(_pairs(row, how.mapping, [*((IDEAL, side) for side in _SIDES if ideal), *sides]))


def _pairs(row: RawRow, columns: Columns, sides: Sequence[tuple[str, str]]) -> list[Converted]:
    """An ideal answer that only repeats one of both makes no pair with it. Raises LeftOut where no pair is left."""
    made: list[Converted] = []
    for at, (better, worse) in enumerate(sides):
        try:
            found = pair(row, columns, row.get(better), row.get(worse))
        except LeftOut:
            if not made and at == len(sides) - 1:
                raise
            continue
        about = {"side": better, "chosen": _by(row, better), "rejected": _by(row, worse)}
        made.append(Converted([{**found.rows[0], **_provenance(row, about)}], found.notes))
    return made


def _thumb(row: RawRow, side: str, liked: bool) -> Converted:
    made = sft_row({"prompt": row["prompt"], "answer": row[side]}, _ONE_ANSWER)
    return Converted(
        [{**made.rows[0], "label": liked, **_provenance(row, {"side": side, "answer": _by(row, side)})}], made.notes
    )


def _joined(made: Sequence[Converted]) -> Converted:
    return Converted(
        [row for one in made for row in one.rows], tuple(dict.fromkeys(note for one in made for note in one.notes))
    )


def _provenance(row: RawRow, about: Mapping[str, Any]) -> Row:
    """Where a canonical row is from, as JSON; nothing for votes of earlier versions, which do not say."""
    told = row.get("provenance")
    if not isinstance(told, Mapping):
        return {}
    kept = {name: value for name, value in told.items() if name not in _SIDES}
    return {"provenance": json.dumps({**kept, **about}, ensure_ascii=False)}


def _by(row: RawRow, side: str) -> Any:
    told = row.get("provenance")
    return "the voter" if side == IDEAL else told.get(side) if isinstance(told, Mapping) else None


VOTES = Format(
    "votes", "Votes of the Compare page", "a prompt, the answers `left` and `right`, and a `vote`",
    _votes, _describe, _convert, reads=(IDEAL, "provenance"),
)  # fmt: skip
