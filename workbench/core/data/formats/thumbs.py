"""Unpaired answers, each with a thumb up or down (KTO): kept so, made into pairs, or only the liked ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.core.data.formats.column_names import (
    COMPLETIONS,
    CONVERSATIONS,
    Names,
    holds_messages,
    is_text_or_messages,
    number,
    plain_name,
    with_more,
)
from workbench.core.data.formats.columns import (
    Columns,
    Converted,
    Described,
    Format,
    Gathered,
    Numbered,
    Option,
    Recognised,
    one_by_one,
)
from workbench.core.data.formats.prompts import beside
from workbench.core.data.formats.readings import (
    FAULTS,
    FLAGS,
    HARMS,
    VOTES,
    Meaning,
    joined,
    meaning,
    options,
    parted,
    thumb,
)
from workbench.core.data.formats.rows import sft_row
from workbench.core.data.messages import LeftOut, Message, RawRow, Row, prompt_key, same

LABELS = (
    "label", "labels", "thumb", "thumbs", "thumbs_up", "liked", "like", "feedback", "rating", "kto_tag", "desirable",
    "is_desirable", "good", "is_good", "upvote", "upvoted", "vote", "helpful", "reaction", "is_chosen", "if_chosen",
    "is_preferred", "preferred", "accepted", "is_accepted", "is_correct", "correct", "is_safe",
)  # fmt: skip
JUDGED = (
    "rating", "score", *HARMS, "is_correct", "correct", "is_safe", "accepted", "is_accepted", "preferred",
    "is_preferred",
)  # fmt: skip
OPTIONS = (
    Option("thumbs", "every answer with its thumb, for training that needs no pairs", "unpaired"),
    Option("pairs", "a liked and a disliked answer to the same prompt become a pair", "preference"),
    Option("liked", "only the liked answers, to be imitated", "sft"),
)
NO_RIVAL = {
    True: "no disliked answer to the same prompt to pair it with",
    False: "no liked answer to the same prompt to pair it with",
}


def _thumbs(row: RawRow) -> Columns | None:
    names = Names(row)
    label, against = next(names.pairs(VOTES, _is_count), (None, None))
    # Any number will do here: whether all are thumbs is seen over many rows.
    label = label or names.first(
        (*LABELS, *FAULTS, *HARMS, "score"), lambda value: thumb(value) is not None or number(value) is not None
    )
    # A flag is a word of somebody's own, or none.
    label = label or names.first(FLAGS, lambda value: value is None or isinstance(value, str | bool | int))
    if not label:
        return None
    prompt = names.prompt()
    completion = names.first(COMPLETIONS, is_text_or_messages)
    if prompt and completion:
        return Columns(
            prompt=prompt, completion=completion, label=label, against=against, **beside(names, prompt, [completion])
        )
    messages = names.first(CONVERSATIONS, holds_messages)
    return Columns(messages=messages, label=label, against=against, system=names.system()) if messages else None


def _is_count(value: Any) -> bool:
    return value is None or isinstance(value, bool) or number(value) is not None


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    if isinstance(row, Gathered):
        return _pairs(row)
    if not how.option:
        raise LeftOut("nobody has said which answer is the better one")
    option, reading = parted(how.option)
    if option == "all":
        return sft_row(row, how.mapping)
    made = with_thumb(row, how.mapping, reading)
    liked = made.rows[0]["label"]
    if option == "thumbs":
        return made
    if option == "pairs":
        raise LeftOut(NO_RIVAL[liked])
    if not liked:
        raise LeftOut("a disliked answer")
    return Converted([{part: made.rows[0][part] for part in ("prompt", "completion")}], made.notes)


def with_thumb(row: RawRow, columns: Columns, reading: str = "") -> Converted:
    """An unpaired row. reading: what the values of the label mean, see `readings`. Raises LeftOut."""
    value = row.get(columns.label or "")
    liked = _elected(value, row.get(columns.against)) if columns.against else thumb(value, reading)
    if liked is None:
        raise LeftOut("no thumb up or down")
    made = sft_row(row, columns)
    return Converted([{**made.rows[0], "label": liked}], made.notes)


def _elected(votes: Any, against: Any) -> bool | None:
    """A thumb from the votes for and against an answer; None for as many of either."""
    balance = (number(_counted(votes)) or 0) - (number(_counted(against)) or 0)
    return balance > 0 if balance else None


def _counted(votes: Any) -> Any:
    """A table may hold true and false, also as text, where one person votes."""
    return {"true": 1, "false": 0}.get(str(votes).strip().lower(), votes)


@dataclass
class _Asked:
    """The answers to one prompt so far. rows: how many source rows gave them."""

    number: int
    prompt: list[Message]
    liked: list[list[Message]] = field(default_factory=list)
    disliked: list[list[Message]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def _gather(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    """For pairs: a row for each prompt, with its liked and disliked answers; rows that cannot be used come as they are."""
    option, reading = parted(how.option)
    if option != "pairs":
        yield from one_by_one(rows, how)
        return
    asked: dict[str, _Asked] = {}
    for position, row in rows:
        try:
            made = with_thumb(row, how.mapping, reading)
        except LeftOut:
            yield position, row, 1
            continue
        answer = made.rows[0]
        # The system message counts here, other than in prompt_key: an answer to another one is no rival.
        system = [m["content"] for m in answer["prompt"] if m["role"] == "system"]
        found = asked.setdefault(f"{system}{prompt_key(answer['prompt'])}", _Asked(position, answer["prompt"]))
        (found.liked if answer["label"] else found.disliked).append(answer["completion"])
        found.notes += made.notes
    for one in asked.values():
        answers = {"prompt": one.prompt, "liked": one.liked, "disliked": one.disliked, "notes": one.notes}
        yield one.number, Gathered(answers), len(one.liked) + len(one.disliked)


def _pairs(asked: Mapping[str, Any]) -> Converted:
    """The first liked answer with the first disliked one, the second with the second: each answer is used once."""
    liked, disliked = asked["liked"], asked["disliked"]
    rows: list[Row] = []
    left_out: list[str] = []
    for chosen, rejected in zip(liked, disliked, strict=False):
        if same(chosen, rejected):
            left_out += ["chosen and rejected are identical"] * 2
        else:
            rows.append({"prompt": asked["prompt"], "chosen": chosen, "rejected": rejected})
    left_out += [NO_RIVAL[True]] * (len(liked) - len(disliked)) + [NO_RIVAL[False]] * (len(disliked) - len(liked))
    return Converted(rows, asked["notes"], tuple(left_out))


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
    what = (
        f"`{columns.prompt}` is answered by `{columns.completion}`"
        if columns.completion
        else f"`{columns.messages}` ends with an answer"
    )
    labels = [row.get(columns.label or "") for row in rows]
    meant = Meaning(("",), True) if columns.against else meaning(columns.label or "", labels)
    if meant is None:
        return None
    offered = options(meant, OPTIONS)
    taken = next((one for one in offered if one.id == option), offered[0] if meant.decided else None)
    _, reading = parted(taken.id if taken else joined("", meant.readings[0]))
    thumbs = [_elected(row.get(columns.label or ""), row.get(columns.against)) for row in rows] if columns.against else [
        thumb(label, reading) for label in labels
    ]  # fmt: skip
    liked, disliked = thumbs.count(True), thumbs.count(False)
    # Of these names one value alone says nothing: the lowest step of a scale, a set that was filtered to what is right.
    if not columns.against and plain_name(columns.label or "") in JUDGED and not (liked and disliked):
        return None
    counted = f"{liked} up and {disliked} down in the first rows"
    if columns.against:
        said = f"`{columns.label}` and `{columns.against}` are the votes for and against it: {counted}"
    elif taken and taken.id == "all":
        said = f"`{columns.label}` says nothing of the answers"
    else:
        said = f"`{columns.label}` is a thumb for it{meant.words}" + (f": {counted}" if taken else "")
    done = f"; taken: {taken.words}" if taken else ""
    return Described(f"{what}, and {said}{done}{with_more(columns)}.", offered, taken.id if taken else "")


THUMBS = Format(
    "thumbs", "Single answers with a thumb up or down (KTO)",
    "a prompt, an answer, and a `label` that is true or false, up or down, 1 or 0",
    _thumbs, _describe, _convert, _gather,
)  # fmt: skip
