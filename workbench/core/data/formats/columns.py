"""What is said of rows: which column holds which part, which format they have, and what one of them gave."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from workbench.core.data.messages import Kind, RawRow, Row
from workbench.core.exact import Exact

ADDED = {"system", "context", "input", "history"}
"""The parts of a row that belong to the prompt and stand in columns of their own."""


MAPPED = (
    "prompt", "chosen", "rejected", "chosen_score", "rejected_score", "completion", "label", "messages", "system", "context",
    "input", "history",
)  # fmt: skip
"""The parts of a row that a person can name a column for."""


class Columns(Exact):
    """Which column of a row holds which part; a mapping made by hand has this form too.

    chosen and rejected: two answers, or two whole conversations that differ in the last answer.
    chosen_score, rejected_score: numbers, the higher the better.
    completion: the answer to imitate. messages: a whole conversation that ends with it. label: a thumb up or down.
    against: votes against an answer, where `label` holds those for it.
    context, input: texts that belong below the prompt, in this order (Alpaca has an input alone). history: earlier turns.
    first, second, choice: two answers and which is better; first_score, second_score: their scores.
    answers: a list of answers, with their texts under the key `answer`; their scores are under the key `score` or in
    the column `scores`. Without answers, `answer` and `score` are columns of rows with one answer each. parent: the id of the row whose turns come before.
    tree: a question with its replies, or (one message per row) the id of the parent message.
    """

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    chosen_score: str | None = None
    rejected_score: str | None = None
    completion: str | None = None
    messages: str | None = None
    label: str | None = None
    against: str | None = None
    system: str | None = None
    context: str | None = None
    input: str | None = None
    history: str | None = None
    first: str | None = None
    second: str | None = None
    choice: str | None = None
    first_score: str | None = None
    second_score: str | None = None
    answers: str | None = None
    answer: str | None = None
    score: str | None = None
    scores: str | None = None
    tree: str | None = None
    id: str | None = None
    parent: str | None = None

    @property
    def kind(self) -> Kind:
        if self.completion or self.messages:
            return "unpaired" if self.label else "sft"
        return "preference"

    @property
    def only_adds(self) -> bool:
        """Whether this names nothing but what stands beside a prompt, so that it adds to what is recognised."""
        return {*self.named()} <= ADDED

    def named(self) -> dict[str, str]:
        """Part -> column, for the parts that have one."""
        return {part: column for part, column in self if column}


@dataclass(frozen=True)
class ReadOptions:
    """How rows are to be read; what is left out is as recognised. See `recognise`.

    mapping: columns named by hand; where it names no answers, it only adds to what is recognised. format, option: ids.
    ignore: columns that are not to be used, as if they were not there.
    """

    mapping: Columns | None = None
    format: str | None = None
    option: str | None = None
    ignore: tuple[str, ...] = ()

    @property
    def by_hand(self) -> Columns | None:
        """A mapping that names the answers; without them it only adds to what is recognised."""
        return self.mapping if self.mapping and not self.mapping.only_adds else None


AS_RECOGNISED = ReadOptions()


@dataclass(frozen=True)
class Option:
    """A way to make canonical rows where a format leaves a choice: which two of several answers become the pair.

    kind: of the rows that this option makes, where it is not the kind that the columns say.
    """

    id: str
    words: str
    kind: Kind | None = None


@dataclass(frozen=True)
class Described:
    """What a format says of rows that fit it. Fields as in Recognised."""

    evidence: str
    options: tuple[Option, ...] = ()
    option: str = ""
    reads: tuple[str, ...] = ()

    @classmethod
    def taking(cls, said: str, options: tuple[Option, ...], option: str | None, more: str = "") -> Self:
        """With the option that a person chose, or else the first, named behind what is said."""
        one = next((one for one in options if one.id == option), options[0])
        return cls(f"{said}; taken: {one.words}{more}.", options, one.id)


@dataclass(frozen=True)
class Recognised:
    """What the rows are, with the evidence as a sentence for people.

    asked: columns that are not used and may belong to the prompt, so that a person must say. ignored: columns that a person
    said are not to be used. reads: columns that the format reads besides those of the mapping. is_said: a person chose the
    format. options: the choices that this format leaves; empty where there is none. option: id of the one that is taken. It is
    "" beside options where the rows do not say which one is right, so that a person must; until then no row is used.
    """

    format: str
    kind: Kind
    evidence: str
    mapping: Columns
    options: tuple[Option, ...] = ()
    option: str = ""
    asked: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    is_said: bool = False


@dataclass(frozen=True)
class Converted:
    """What one raw row gave.

    rows: canonical rows, one or more. notes: what was mended on the way, in words that can be counted.
    left_out: a reason for each of the source rows in a gathered row that gave nothing (see `gather`).
    """

    rows: list[Row]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Gathered(dict[str, Any]):
    """Several source rows that were made into one raw row."""


Numbered = Iterator[tuple[int, RawRow, int]]
"""(number in the source, raw row, how many rows of the source it stands for)."""


def one_by_one(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    for number, row in rows:
        yield number, row, 1


@dataclass(frozen=True)
class Format:
    """A format of data.

    title, needs: for people: what it is called, and what a row must hold.
    find: the columns of this format in a row, or None.
    describe: what the sampled rows say, by those of them that fit; None where they contradict the format after all. The
    option is one that a person chose, or None.
    convert: the canonical rows of one raw row; the number is a seed. Raises LeftOut.
    gather: makes raw rows of several source rows each. reads: columns that it reads besides those of the mapping.
    """

    id: str
    title: str
    needs: str
    find: Callable[[RawRow], Columns | None]
    describe: Callable[[Sequence[RawRow], Columns, str | None], Described | None]
    convert: Callable[[RawRow, Recognised, int], Converted]
    gather: Callable[[Iterable[tuple[int, RawRow]], Recognised], Numbered] = one_by_one
    reads: tuple[str, ...] = ()
