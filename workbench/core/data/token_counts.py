"""What a dataset comes to in tokens: how long its parts are, what truncation takes from them, what a template makes.

All of it mirrors TRL 1.14.2. A pair is three sequences of tokens: the prompt alone, the prompt with the chosen answer,
the prompt with the rejected one. What the first shares with the other two is the prompt; what follows is trained on.
Each sequence is cut at `max_length`, and a row whose prompt alone fills that is dropped.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from workbench.core.data.messages import Kind
from workbench.core.exact import Exact

Part = Literal["prompt", "chosen", "rejected"]
PieceKind = Literal["prompt", "trained", "cut", "skipped"]

LENGTHS = (256, 512, 768, 1024, 1536, 2048, 4096)
KEPT_WHOLE = 0.95

# Bits of TokenCounts.flags.
CHOSEN_STOPS = 1  # the chosen answer ends in a token that the model stops at
REJECTED_STOPS = 2
PROMPT_DIFFERS = 4  # the prompt alone gives tokens that are not the first ones of prompt and answer

# Of a long sequence, the tokens around the places that matter are shown: (before, after) each.
MOST_SHOWN = 1500
_AROUND = {"start": (0, 250), "answer": (200, 400), "cut": (250, 150), "end": (150, 0)}


class CountedRow(NamedTuple):
    """A row in tokens. See TokenCounts for what the numbers mean."""

    prompt: int
    chosen: int
    rejected: int
    shared: int
    chosen_end: int
    rejected_end: int
    flags: int


COLUMNS = CountedRow._fields


def count_row(
    prompt: Sequence[int],
    chosen: Sequence[int],
    rejected: Sequence[int] | None,
    stops: Callable[[int], bool],
    is_blank: Callable[[int], bool],
) -> CountedRow:
    """What a row comes to. chosen, rejected: ids of the prompt with that answer; rejected is None where there is none.

    stops: whether the model stops at a token. is_blank: whether a token is nothing but white space.
    """
    answers = [chosen] if rejected is None else [chosen, rejected]
    start = min(common_prefix(prompt, ids) for ids in answers)
    ends = [_end(ids, start, is_blank) for ids in answers]
    bits = (CHOSEN_STOPS, REJECTED_STOPS)
    flags = sum(bit for bit, ids, end in zip(bits, answers, ends, strict=False) if end > start and stops(ids[end - 1]))
    return CountedRow(
        prompt=start,
        chosen=len(chosen) - start,
        rejected=0 if rejected is None else len(rejected) - start,
        shared=0 if rejected is None else common_prefix(chosen, rejected),
        chosen_end=ends[0],
        rejected_end=0 if rejected is None else ends[1],
        flags=flags | (PROMPT_DIFFERS if start < len(prompt) else 0),
    )


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many first tokens two sequences share."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return next(place for place in range(shorter) if first[place] != second[place])


def _end(ids: Sequence[int], start: int, is_blank: Callable[[int], bool]) -> int:
    """Up to and with the last token that is not white space: templates often put a line break after the end token."""
    end = len(ids)
    while end > start and is_blank(ids[end - 1]):
        end -= 1
    return end


@dataclass
class TokenCounts:
    """Every row of a dataset version in tokens, as columns over row numbers.

    prompt: tokens before the trained part. chosen, rejected: tokens of the trained part; SFT and unpaired rows have
    theirs in chosen, and 0 in rejected. shared: how many first tokens the two whole sequences have in common.
    chosen_end, rejected_end: how much of the whole sequence it takes to reach the end of the answer, which is its end
    token or else its last token that is not white space. flags: CHOSEN_STOPS, REJECTED_STOPS, PROMPT_DIFFERS.
    """

    kind: Kind
    prompt: "array[int]" = field(default_factory=lambda: array("I"))
    chosen: "array[int]" = field(default_factory=lambda: array("I"))
    rejected: "array[int]" = field(default_factory=lambda: array("I"))
    shared: "array[int]" = field(default_factory=lambda: array("I"))
    chosen_end: "array[int]" = field(default_factory=lambda: array("I"))
    rejected_end: "array[int]" = field(default_factory=lambda: array("I"))
    flags: "array[int]" = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.prompt)

    def add(self, row: CountedRow) -> None:
        """The next row."""
        for name in COLUMNS:
            getattr(self, name).append(getattr(row, name))

    def over_long_prompts(self, max_length: int) -> list[int]:
        """Rows whose prompt alone fills `max_length`. TRL drops them."""
        return [row for row, prompt in enumerate(self.prompt) if prompt >= max_length]

    def loses_end(self, max_length: int) -> list[int]:
        """Rows that are trained on, but without the end of an answer: the model does not learn there where to stop."""
        ends = enumerate(zip(self.prompt, self._ends(), strict=True))
        return [row for row, (prompt, end) in ends if prompt < max_length < end]

    def equal_after_truncation(self, max_length: int) -> list[int]:
        """Pairs that are trained on, and whose two sequences are the same once they are cut. They teach nothing."""
        if self.kind != "preference":
            return []
        longest = self._alike()
        return [row for row, alike in enumerate(longest) if self.prompt[row] < max_length <= alike]

    def prompt_mismatches(self) -> list[int]:
        """Rows whose prompt, rendered alone, is not how prompt and answer begin."""
        return [row for row, flags in enumerate(self.flags) if flags & PROMPT_DIFFERS]

    def never_stops(self) -> list[int]:
        """Rows with an answer that does not end in a token that the model stops at."""
        wanted = CHOSEN_STOPS | REJECTED_STOPS if self.kind == "preference" else CHOSEN_STOPS
        return [row for row, flags in enumerate(self.flags) if flags & wanted != wanted]

    def cut(self, max_length: int) -> float:
        """Share of rows that `max_length` cuts short or leaves out, 0 to 1."""
        return sum(end > max_length for end in self._ends()) / len(self) if len(self) else 0.0

    def suggestion(self, most: int) -> int:
        """The smallest usual length, up to `most`, that leaves 95 % of the rows whole; else the largest up to `most`."""
        ends = sorted(self._ends())
        usual = [length for length in LENGTHS if length <= most] or [most]
        whole = (length for length in usual if bisect_left(ends, length + 1) >= KEPT_WHOLE * len(ends))
        return next(whole, usual[-1])

    def lengths(self, part: Part) -> list[int]:
        """Tokens of the prompt alone, or of the prompt with an answer: what `max_length` is held against."""
        if part == "prompt":
            return list(self.prompt)
        answers = self.chosen if part == "chosen" else self.rejected
        return [prompt + answer for prompt, answer in zip(self.prompt, answers, strict=True)]

    def histogram(self, part: Part, width: int, bins: int) -> list[int]:
        """Rows by `lengths(part)`: from 0, `width` tokens a bin. The last bin takes all that are longer, too."""
        found = Counter(min(length // width, bins - 1) for length in self.lengths(part))
        return [found[place] for place in range(bins)]

    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max((max(self.lengths(part), default=0) for part in ("chosen", "rejected")), default=0)

    def tallies(self) -> dict[str, list[tuple[int, int]]]:
        """What counts at any `max_length` follow from, exactly: (value, rows that have it), going up.

        At m, rows with a prompt >= m are left out; those with an end > m less those lose their end; those with an
        alike >= m less those become equal.
        """
        columns = {"prompt": self.prompt, "end": self._ends(), "alike": self._alike()}
        return {name: sorted(Counter(values).items()) for name, values in columns.items()}

    def as_columns(self) -> "dict[str, array[int]]":
        """All columns by name, to be stored."""
        return {name: getattr(self, name) for name in COLUMNS}

    @classmethod
    def from_columns(cls, kind: Kind, columns: Mapping[str, Sequence[int]]) -> "TokenCounts":
        """Counts from their stored columns. Raises KeyError where one is missing."""
        return cls(kind, **{name: array("I", columns[name]) for name in COLUMNS})

    def _ends(self) -> Iterator[int]:
        """Of each row, the tokens that it takes to keep its answers whole. More than its prompt, always."""
        ends = zip(self.prompt, self.chosen_end, self.rejected_end, strict=True)
        return (max(prompt + 1, chosen, rejected) for prompt, chosen, rejected in ends)

    def _alike(self) -> Iterator[int]:
        """Of each row, the largest `max_length` at which its two sequences are the same."""
        for row, shared in enumerate(self.shared):
            whole = shared == self.prompt[row] + max(self.chosen[row], self.rejected[row])
            yield ALWAYS if whole and self.kind == "preference" else shared


# Longer than any sequence: two that are the same as a whole stay so wherever they are cut.
ALWAYS = 2**31 - 1


ThoughtsFate = Literal["none", "kept", "deleted", "after a closed one", "an empty one added"]


class TemplateFacts(Exact):
    """What a model's chat template makes of some rows.

    ends_with_eos: every answer ends in a token that the model stops at. last_token: what an answer ends in that does
    not, or else what they all end in. eos: the tokens that the model stops at. double_bos: a row begins with two tokens
    of the beginning. prefix_mismatches: of the `checked` rows, how many have a prompt that, rendered alone, is not how
    prompt and answer begin. template: the first digits of its sha256. deletes_thoughts: it takes <think>...</think> out of
    the answer that is trained on. opening: what it writes of thoughts where an answer is to begin, such as "<think>".
    switch: it can be told whether the model is to think first; all of this is with that off. adds_empty: it writes an empty
    thought before an answer that has none.
    """

    ends_with_eos: bool
    last_token: str
    eos: tuple[str, ...]
    double_bos: bool
    prefix_mismatches: int
    checked: int
    template: str
    deletes_thoughts: bool = False
    opening: str = ""
    switch: bool = False
    adds_empty: bool = False


class TokenPiece(Exact):
    """One token, or several that make one character together, as text.

    kind: prompt is read and not trained on, trained is learned from, cut is never seen; skipped stands for `tokens`
    tokens that are not shown. special: a token of its own, such as the end of a turn.
    """

    text: str
    kind: PieceKind
    special: bool = False
    tokens: int = 1


class TokenLane(Exact):
    """A prompt with one answer. prompt, trained and cut count its tokens; an answer that is cut has no end.

    thoughts: what the chat template makes of those of the answer.
    """

    part: Part
    pieces: tuple[TokenPiece, ...]
    prompt: int
    trained: int
    cut: int
    stops: bool
    thoughts: ThoughtsFate = "none"


class View(Exact):
    """A row as the model gets it: a lane for the chosen and one for the rejected answer, or one alone.

    forgets: the chat template left the thoughts of an earlier answer out of the prompt.
    """

    lanes: tuple[TokenLane, ...]
    max_length: int
    forgets: bool = False

    @property
    def left_out(self) -> bool:
        """Whether TRL drops the row, as its prompt alone fills max length."""
        return all(lane.trained == 0 for lane in self.lanes)


def kind_at(place: int, prompt: int, max_length: int) -> PieceKind:
    """What becomes of the token at a place of its sequence."""
    if place >= max_length:
        return "cut"
    return "prompt" if place < prompt else "trained"


def shown_ranges(total: int, prompt: int, max_length: int, most: int = MOST_SHOWN) -> list[range]:
    """Which tokens to show: all of up to `most`; else those around the start, the answer, the cut and the end."""
    if total <= most:
        return [range(total)]
    places = {"start": 0, "answer": min(prompt, total), "cut": min(max_length, total), "end": total}
    spans = sorted(
        (max(0, places[name] - before), min(total, places[name] + after)) for name, (before, after) in _AROUND.items()
    )
    ranges = [range(*spans[0])]
    for start, stop in spans[1:]:
        if start <= ranges[-1].stop:
            ranges[-1] = range(ranges[-1].start, max(stop, ranges[-1].stop))
        else:
            ranges.append(range(start, stop))
    return ranges


def chart_points(counts: TokenCounts, most: int) -> list[tuple[int, int]]:
    """(chosen, rejected) tokens of at most `most` pairs, evenly spread over the rows."""
    every = -(-len(counts) // most) or 1
    return list(zip(counts.chosen[::every], counts.rejected[::every], strict=True))


def longer_chosen(counts: TokenCounts) -> dict[str, int]:
    """How many pairs have the longer chosen, the longer rejected, and two equally long answers, in tokens."""
    pairs = list(zip(counts.chosen, counts.rejected, strict=True))
    longer = sum(chosen > rejected for chosen, rejected in pairs)
    shorter = sum(chosen < rejected for chosen, rejected in pairs)
    return {"chosen": longer, "rejected": shorter, "equal": len(pairs) - longer - shorter}
