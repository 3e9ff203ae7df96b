"""Unpaired answers, each with a thumb up or down (KTO): kept so, made into pairs, or only the liked ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.core.formats.columns import (
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
from workbench.core.formats.names import (
    COMPLETIONS,
    CONVERSATIONS,
    Names,
    holds_messages,
    is_text_or_messages,
    number,
    plain_name,
    with_more,
)
from workbench.core.formats.prompts import beside
from workbench.core.formats.rows import lesson
from workbench.core.messages import LeftOut, Message, RawRow, Row, prompt_key, same

LABELS = (
    "label", "labels", "thumb", "thumbs", "thumbs_up", "liked", "like", "feedback", "rating", "kto_tag", "desirable",
    "is_desirable", "good", "is_good", "upvote", "upvoted", "vote", "helpful", "reaction", "is_chosen", "if_chosen",
    "is_preferred", "preferred", "accepted", "is_accepted", "is_correct", "correct", "is_safe",
)  # fmt: skip
JUDGED = ("rating", "is_correct", "correct", "is_safe", "accepted", "is_accepted", "preferred", "is_preferred")
OPTIONS = (
    Option("thumbs", "every answer with its thumb, for training that needs no pairs", "unpaired"),
    Option("pairs", "a liked and a disliked answer to the same prompt become a pair", "preference"),
    Option("liked", "only the liked answers, to be imitated", "sft"),
)
_NO_RIVAL = {
    True: "no disliked answer to the same prompt to pair it with",
    False: "no liked answer to the same prompt to pair it with",
}
_UP = {
    "up", "thumbs_up", "thumb_up", "good", "yes", "like", "liked", "positive", "desirable", "upvote", "upvoted", "true",
    "helpful", "+1", "👍", "chosen", "preferred", "accepted", "correct", "safe",
}  # fmt: skip
_DOWN = {
    "down", "thumbs_down", "thumb_down", "bad", "no", "dislike", "disliked", "negative", "undesirable", "downvote",
    "downvoted", "false", "unhelpful", "not_helpful", "-1", "👎", "rejected", "dispreferred", "incorrect", "unsafe",
}  # fmt: skip


def thumb(value: Any) -> bool | None:
    """Whether a label is a thumb up; None where it is no thumb."""
    if isinstance(value, bool):
        return value
    found = number(value)
    if found is not None:
        return found == 1 if found in (-1, 0, 1) else None
    word = plain_name(value) if isinstance(value, str) else ""
    word = "-1" if word == "_1" else word
    return True if word in _UP else False if word in _DOWN else None


def _thumbs(row: RawRow) -> Columns | None:
    names = Names(row)
    # Any number will do here: whether all are thumbs is seen over many rows.
    label = names.first(LABELS, lambda value: thumb(value) is not None or number(value) is not None)
    if not label:
        return None
    prompt = names.prompt()
    completion = names.first(COMPLETIONS, is_text_or_messages)
    if prompt and completion:
        return Columns(prompt=prompt, completion=completion, label=label, **beside(names, prompt, [completion]))
    messages = names.first(CONVERSATIONS, holds_messages)
    return Columns(messages=messages, label=label, system=names.system()) if messages else None


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    if isinstance(row, Gathered):
        return _pairs(row)
    made = with_thumb(row, how.mapping)
    liked = made.rows[0]["label"]
    if how.option == "thumbs":
        return made
    if how.option == "pairs":
        raise LeftOut(_NO_RIVAL[liked])
    if not liked:
        raise LeftOut("a disliked answer")
    return Converted([{part: made.rows[0][part] for part in ("prompt", "completion")}], made.notes)


def with_thumb(row: RawRow, columns: Columns) -> Converted:
    """An unpaired row. Raises LeftOut."""
    liked = thumb(row.get(columns.label or ""))
    if liked is None:
        raise LeftOut("no thumb up or down")
    made = lesson(row, columns)
    return Converted([{**made.rows[0], "label": liked}], made.notes)


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
    if how.option != "pairs":
        yield from one_by_one(rows, how)
        return
    asked: dict[str, _Asked] = {}
    for position, row in rows:
        try:
            made = with_thumb(row, how.mapping)
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
    left_out += [_NO_RIVAL[True]] * (len(liked) - len(disliked)) + [_NO_RIVAL[False]] * (len(disliked) - len(liked))
    return Converted(rows, asked["notes"], tuple(left_out))


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
    labels = [row.get(columns.label or "") for row in rows]
    # A rating from 1 to 5 is no thumb, even where many rows have a 1.
    if any(thumb(label) is None and number(label) is not None for label in labels):
        return None
    liked = sum(thumb(label) is True for label in labels)
    disliked = sum(thumb(label) is False for label in labels)
    what = (
        f"`{columns.prompt}` is answered by `{columns.completion}`"
        if columns.completion
        else f"`{columns.messages}` ends with an answer"
    )
    # Of these names one value alone says nothing: the lowest step of a scale, a set that was filtered to what is right.
    if plain_name(columns.label or "") in JUDGED and not (liked and disliked):
        return None
    numbers = {int(value) for label in labels if not isinstance(label, bool) and (value := number(label)) is not None}
    meaning = ", 1 being up" if numbers else ""
    taken = next(one for one in OPTIONS if one.id == (option or OPTIONS[0].id))
    return Described(
        f"{what}, and `{columns.label}` is a thumb for it{meaning}: {liked} up and {disliked} down in the first rows; "
        f"taken: {taken.words}{with_more(columns)}.",
        OPTIONS,
        taken.id,
    )


THUMBS = Format(
    "thumbs", "Single answers with a thumb up or down (KTO)",
    "a prompt, an answer, and a `label` that is true or false, up or down, 1 or 0",
    _thumbs, _describe, _convert, _gather,
)  # fmt: skip
