"""What the values of a label mean: which is a thumb up and which a thumb down, as far as names and values say it.

Where they do not, as with a `label` of 0 and 1 that may be a class of harm, a person says it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.core.data.formats.column_names import number, plain_name
from workbench.core.data.formats.columns import Option

Reading = Literal["", "inverted", "signed", "flagged", "down", "all"]

# Of these names true is the thumb down. What they say of the question and not of the answer, only a person knows.
FAULTS = ("hallucination", "is_hallucination", "hallucinated", "disliked", "dislike", "downvoted", "thumbs_down", "is_bad",
          "is_wrong")  # fmt: skip
HARMS = ("harmful", "is_harmful", "toxic", "is_toxic", "unsafe", "is_unsafe", "is_spam")
FLAGS = ("flag", "flagged", "is_flagged")
# (for, against): counts of votes, or two flags.
VOTES = (
    ("upvotes", "downvotes"), ("up_votes", "down_votes"), ("likes", "dislikes"), ("thumbs_up", "thumbs_down"), ("ups", "downs"),
    ("like", "dislike"), ("upvote", "downvote"), ("like_count", "dislike_count"), ("votes_up", "votes_down"),
    ("positive_votes", "negative_votes"),
)  # fmt: skip
_CLASSES = ("label", "labels")
_SIGNED = ("rating", "score")

UP = {
    "up", "thumbs_up", "thumb_up", "good", "yes", "like", "liked", "positive", "desirable", "upvote", "upvoted", "true",
    "helpful", "+1", "👍", "chosen", "preferred", "accepted", "correct", "safe",
}  # fmt: skip
DOWN = {
    "down", "thumbs_down", "thumb_down", "bad", "no", "dislike", "disliked", "negative", "undesirable", "downvote",
    "downvoted", "false", "unhelpful", "not_helpful", "-1", "👎", "rejected", "dispreferred", "incorrect", "unsafe", "wrong",
    "offensive", "harmful", "toxic", "inappropriate", "hallucination", "hallucinated",
}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """How a label can be read. readings: the first is taken where `decided`; otherwise a person chooses among them."""

    readings: tuple[Reading, ...]
    decided: bool
    words: str = ""


def thumb(value: Any, reading: str = "") -> bool | None:
    """Whether a label is a thumb up; None where it is no thumb."""
    if reading == "flagged":
        return not _is_flag(value)
    if reading == "down":
        return False
    found = _thumb(value, signed=reading == "signed")
    return not found if reading == "inverted" and found is not None else found


def meaning(label: str, values: Sequence[Any]) -> Meaning | None:
    """What the sampled values of a label can mean; None where they are no thumbs at all."""
    name = plain_name(label)
    if name in FLAGS:
        return _of_flags(values)
    thumbs = {_thumb(value) for value in values} - {None}
    if any(_thumb(value) is None and number(value) is not None for value in values):
        return None  # A rating from 1 to 5 is no thumb, even where many rows have a 1.
    numbers = {int(found) for value in values if not isinstance(value, bool) and (found := number(value)) is not None}
    if name in FAULTS:
        return Meaning(("inverted",), True, ", true being down")
    if name in HARMS:
        words = " or speaks of something else than the answer, such as the question, so say which"
        return Meaning(("inverted", "all"), False, words) if len(thumbs) == 2 else None
    if -1 in numbers:
        return Meaning(("signed",), True, ", 1 being up, -1 down and 0 neither")
    if name in _SIGNED and numbers:
        words = ", if 0 is not a middle between -1 and 1, so say what 0 means"
        return Meaning(("", "signed"), False, words) if numbers == {0, 1} and name == "rating" else None
    if name in _CLASSES and numbers:
        words = ", but nothing in the rows says whether 1 is the good or the bad class, so say it"
        return Meaning(("", "inverted"), False, words)
    return Meaning(("",), True, ", 1 being up" if numbers else "")


def options(meant: Meaning, plain: Sequence[Option]) -> tuple[Option, ...]:
    """The options of a format for every reading: "liked" read the usual way, "liked-inverted" the other one."""
    found: list[Option] = []
    for reading in meant.readings:
        if reading == "all":
            found.append(Option("all", "it says nothing of the answers: all of them, to be imitated", "sft"))
        elif reading == "down":
            found.append(Option("thumbs-down", "every answer was flagged for being bad: a thumb down each", "unpaired"))
        else:
            said = f"{_WORDS[reading]}: " if not meant.decided else ""
            found += [Option(joined(one.id, reading), f"{said}{one.words}", one.kind) for one in plain]
    return tuple(found)


def joined(option: str, reading: str) -> str:
    return f"{option}-{reading}" if reading else option


def parted(option: str) -> tuple[str, str]:
    """An option and the reading that it goes with: "liked-inverted" -> ("liked", "inverted")."""
    base, _, reading = option.partition("-")
    return base, reading


def _of_flags(values: Sequence[Any]) -> Meaning:
    """The flags of a Gradio log are words that its author chose, or nothing where there is one button only."""
    flags = [value for value in values if _is_flag(value)]
    thumbs = [_thumb(flag) for flag in flags if not isinstance(flag, bool) and number(flag) is None]
    if thumbs and all(found is not None for found in thumbs) and len(flags) == len(thumbs):
        return Meaning(("",), True)
    if not flags:
        words = ", empty in all rows: they were flagged, and it does not say as what, so say it"
        return Meaning(("down", "all"), False, words)
    return Meaning(("flagged", "all"), False, ", if a flag means that the answer is bad, so say what it means")


def _is_flag(value: Any) -> bool:
    return value not in (None, "", False) and not (number(value) == 0 or str(value).strip().lower() == "false")


def _thumb(value: Any, signed: bool = False) -> bool | None:
    if isinstance(value, bool):
        return value
    found = number(value)
    if found is not None:
        return found == 1 if found in ((-1, 1) if signed else (-1, 0, 1)) else None
    word = plain_name(value) if isinstance(value, str) else ""
    word = "-1" if word == "_1" else word
    return True if word in UP else False if word in DOWN else None


_WORDS: dict[str, str] = {
    "": "1 is a thumb up and 0 a thumb down",
    "inverted": "1 or true is a thumb down",
    "signed": "1 is a thumb up, -1 a thumb down, 0 neither",
    "flagged": "a flagged answer is bad and the others are good",
}
