"""The names that columns go by, and the columns of a row found by them."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from workbench.core.data.formats.columns import Columns
from workbench.core.data.messages import LeftOut, RawRow, is_messages, text_of_parts, written_messages

PROMPTS = (
    "prompt", "question", "instruction", "query", "problem", "user_input", "user_prompt", "input", "inputs", "history",
    "context",
)  # fmt: skip
QUESTIONS = ("question", "query", "problem")
CONVERSATIONS = ("messages", "conversation", "conversations", "dialogue", "dialog", "trajectory")
COMPLETIONS = (
    "completion", "response", "answer", "output", "reply", "target", "targets", "model_response", "model_output", "answers",
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message", "system_instruction")
# What says how good an answer is, or belongs to the question and is no text. Where a format makes no use of such a column,
# its evidence says so.
JUDGEMENTS = (
    "label", "labels", "score", "scores", "rating", "rank", "reward", "feedback", "thumb", "quality", "grade", "stars",
    "is_safe", "harmful", "is_harmful", "toxic", "toxicity", "correct", "is_correct", "helpfulness", "correctness",
)  # fmt: skip
MEDIA = ("image", "images", "picture", "pictures", "audio", "audios", "video", "videos")

_ANSWER_WORDS = (
    ("chosen", "rejected"), ("preferred", "dispreferred"), ("preferred", "non_preferred"), ("accepted", "rejected"),
    ("better", "worse"), ("winner", "loser"), ("winning", "losing"),
)  # fmt: skip
_PLACES = ("{}_response", "response_{}", "{}_answer", "answer_{}", "{}_output", "output_{}", "{}_completion", "{}_text",
           "text_{}", "{}_messages", "{}")  # fmt: skip
# `response_j` is the better one in the stack-exchange pairs, y_w the winner and y_l the loser in the paper on DPO.
ANSWER_PAIRS = (
    *((place.format(good), place.format(bad)) for place in _PLACES for good, bad in _ANSWER_WORDS),
    ("response_j", "response_k"),
    ("y_w", "y_l"),
)

# Words that are also measures or classes: only beside a prompt, where both are texts and there is no other answer.
ADJECTIVES = tuple(
    (place.format(good), place.format(bad))
    for place in _PLACES
    for good, bad in (
        ("good", "bad"),
        ("correct", "incorrect"),
        ("positive", "negative"),
        ("right", "wrong"),
        ("right", "hallucinated"),
    )
)

_TWO = ("response", "answer", "output", "completion", "human_ref", "conversation", "message", "messages", "summary",
        "text", "reply", "candidate", "generation", "option", "assistant", "chat")  # fmt: skip
_SUFFIXES = (("a", "b", ("c",)), ("0", "1", ("2",)), ("1", "2", ("0", "3")))
# (one answer, the other, names that would be further answers)
TWO_ANSWERS = (
    *(
        (f"{name}{gap}{a}", f"{name}{gap}{b}", tuple(f"{name}{gap}{c}" for c in more))
        for gap in ("_", "")
        for name in _TWO
        for a, b, more in _SUFFIXES
    ),
    ("left", "right", ()),
    ("first", "second", ("third",)),
)

# A flag for the winner (1 and 0; 0 and 0 for a tie) is a score too.
_SCORES = ("{}_score", "score_{}", "{}_rating", "rating_{}", "{}_avg_rating", "{}_reward", "reward_{}", "winner_{}",
           "winner_model_{}")  # fmt: skip
# Of these the lower is the better one.
_RANKS = ("rank_{}", "{}_rank", "ranking_{}", "{}_ranking")
_MODELS = ("model_{}", "{}_model", "model_name_{}", "{}_model_name", "model{}")


class Names:
    """The columns of a row by their plain names: "Chosen Response" is chosen_response."""

    def __init__(self, row: RawRow):
        self.row = row
        self._columns: dict[str, str] = {}
        for column in row:
            self._columns.setdefault(plain_name(str(column)), column)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def column(self, name: str) -> str | None:
        return self._columns.get(name)

    def value(self, name: str) -> Any:
        column = self._columns.get(name)
        return None if column is None else self.row[column]

    def first(self, names: Iterable[str], fits: Callable[[Any], bool]) -> str | None:
        """The column of the first name whose value fits."""
        return next((self._columns[name] for name in names if name in self._columns and fits(self.value(name))), None)

    def pairs(self, names: Iterable[tuple[str, str]], fits: Callable[[Any], bool]) -> Iterator[tuple[str, str]]:
        """Every two columns whose values both fit."""
        for one, other in names:
            if one in self._columns and other in self._columns and fits(self.value(one)) and fits(self.value(other)):
                yield self._columns[one], self._columns[other]

    def prompt(self) -> str | None:
        """The column of the prompt. Beside an instruction, a question is what that is to be applied to."""
        found = self.first(PROMPTS, is_text_or_messages) or self.first(("info",), is_described)
        if found and plain_name(found) in QUESTIONS and is_text(self.value("instruction")):
            return self.column("instruction")
        return found

    def system(self) -> str | None:
        """By its presence alone: in most sets that have this column it is empty in some rows."""
        return self.first(SYSTEMS, _can_be_system)

    def scores(self, one: str, other: str) -> tuple[str | None, str | None]:
        """The columns with the scores of two answers."""
        return self._of_two(one, other, _SCORES, is_number_or_none)

    def ranks(self, one: str, other: str) -> tuple[str | None, str | None]:
        """The columns with the ranks of two answers."""
        return self._of_two(one, other, _RANKS, is_number_or_none)

    def models(self, one: str, other: str) -> tuple[str | None, str | None]:
        """The columns with the names of the models that wrote two answers."""
        return self._of_two(one, other, _MODELS, is_text)

    def _of_two(
        self, one: str, other: str, places: Iterable[str], fits: Callable[[Any], bool]
    ) -> tuple[str | None, str | None]:
        """Two columns beside two answers, by the words in which the names of the answers differ."""
        words = _differing(plain_name(one), plain_name(other))
        for place in places:
            first, second = (self._columns.get(place.format(word)) for word in words)
            if first is not None and second is not None and fits(self.row[first]) and fits(self.row[second]):
                return first, second
        return None, None

    def unused(self, names: Iterable[str]) -> str:
        """The part of an evidence that names columns which are not used."""
        found = [f"`{self._columns[name]}`" for name in names if name in self._columns]
        return f"; {' and '.join(found)} {'is' if len(found) == 1 else 'are'} not used" if found else ""


def plain_name(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip()).lower()


def _differing(one: str, other: str) -> tuple[str, str]:
    """("response_a", "response_b") -> ("a", "b"); ("chosen_response", "rejected_response") -> ("chosen", "rejected")."""
    ones, others = one.split("_"), other.split("_")
    different = [(a, b) for a, b in zip(ones, others, strict=False) if a != b]
    if len(ones) != len(others) or len(different) != 1:
        return one, other
    a, b = different[0]
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
    # "response1" and "response2" differ in their digit, "chosen" and "rejected" in everything.
    return (a[start:], b[start:]) if a[start:].isdigit() and b[start:].isdigit() else (a, b)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def holds_messages(value: Any) -> bool:
    """Whether a cell holds messages, as they are or written as text."""
    if not isinstance(value, str):
        return is_messages(value)
    try:
        return written_messages(value) is not None
    except LeftOut:
        return True  # It means to be messages; each row says why it cannot be read.


def is_sharegpt(value: Any) -> bool:
    """Whether a cell holds messages with from and value, as they are or written as text."""
    try:
        value = written_messages(value) if isinstance(value, str) else value
    except LeftOut:
        return False
    first = value[0] if isinstance(value, Sequence) and value else value
    return isinstance(first, Mapping) and "from" in first and "value" in first and "role" not in first


def bare_text(value: Any) -> str | None:
    """The text of an answer that is a list of one text, an object with a text, or a number; None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Mapping) and "role" not in value and "from" not in value:
        return next((value[key] for key in _TEXTS if isinstance(value.get(key), str)), None)
    is_one = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1
    return value[0] if is_one and isinstance(value[0], str) else None


_TEXTS = ("text", "content", "value", "answer", "response", "output", "completion")


def is_text_or_messages(value: Any) -> bool:
    return isinstance(value, str) or is_messages(value) or is_described(value)


def is_described(value: Any) -> bool:
    return isinstance(value, Mapping) and described_text(value) is not None


def described_text(value: Mapping[str, Any]) -> str | None:
    """The text of a prompt that is an object: {"text"} or {"full_text"}, or a post to summarise with its title.

    A post is written as in Stiennon et al. 2020: its forum, title and text, and "TL;DR:" where the summary goes.
    """
    for key in ("text", "full_text"):
        if isinstance(value.get(key), str):
            return str(value[key])
    heads = (("subreddit", "SUBREDDIT: r/"), ("title", "TITLE: "), ("post", "POST: "), ("article", ""))
    pieces = [
        head + value[key].strip() for key, head in heads if isinstance(value.get(key), str) and value[key].strip()
    ]
    is_post = any(isinstance(value.get(key), str) and value[key].strip() for key in ("post", "article"))
    return "\n\n".join([*pieces, "TL;DR:"]) if is_post else None


def listed(value: Any) -> list[Any] | None:
    """A list in a cell: as it is, written as JSON, or as one object of lists (a Sequence of the datasets library)."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Mapping) and value and all(isinstance(column, list) for column in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            return None
        return [dict(zip(value, items, strict=True)) for items in zip(*value.values(), strict=True)]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else None


def number(value: Any) -> float | None:
    """A number, also one that a CSV file holds as text; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def is_number_or_none(value: Any) -> bool:
    return value is None or value == "" or number(value) is not None


def is_rank(name: str) -> bool:
    """Whether a column counts from the best one, so that less is better. A `rank_score` is a score."""
    words = plain_name(name).split("_")
    return any(word.startswith("rank") for word in words) and "score" not in words


def with_system(columns: Columns) -> str:
    """The part of an evidence that names what other columns add to the prompt, but for a text below it."""
    words = f"; `{columns.system}` is the system message" if columns.system else ""
    if columns.history and not columns.parent:
        words += f"; `{columns.history}` holds the turns before the prompt"
    if columns.context and columns.context != columns.history:
        words += f"; `{columns.context}` goes below the prompt"
    return words


def with_more(columns: Columns) -> str:
    """The part of an evidence that names everything that other columns add to the prompt."""
    is_below = columns.input and columns.input != columns.history
    return with_system(columns) + (f"; `{columns.input}` goes below the prompt" if is_below else "")


def _can_be_system(value: Any) -> bool:
    """Empty, a text, a list of its parts, or a system message."""
    if value is None or isinstance(value, str) or is_messages(value):
        return True
    return isinstance(value, Sequence) and text_of_parts(value) is not None
