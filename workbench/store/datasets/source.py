"""Rows of any source -> canonical rows, one after the other, with the account of every row that was read."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from workbench.core.data.formats import (
    SAMPLE_ROWS,
    ColumnWatch,
    ReadOptions,
    Recognised,
    SeenColumn,
    check_columns,
    convert,
    gather,
    recognise,
)
from workbench.core.data.formats.cells import example, holds, is_filled
from workbench.core.data.formats.column_names import plain_name
from workbench.core.data.formats.threads import PARENTS
from workbench.core.data.messages import Kind, LeftOut, RawRow, Row
from workbench.core.errors import WorkbenchError
from workbench.core.exact import Exact

Progress = Callable[[float, str], None]
"""Called now and then with the fraction done and a text; it may raise to cancel."""

EXAMPLES_PER_REASON = 20

_EXAMPLE_CHARACTERS = 2000
_EXAMPLE_ITEMS = 50
_EXAMPLE_DEPTH = 12
_SENTENCE = re.compile(r"[.!?…]\s*$|^-?\d+([.,]\d+)?$|\n")
_OF_AN_ERROR = {
    "error", "errors", "message", "detail", "code", "status", "statusCode", "error_description", "request_id",
}  # fmt: skip
_WORDS_OF_A_NAME = 4
_BEAT = 0.1  # seconds between two calls of progress


class Account(Exact):
    """What became of the rows of a source: rows = used + all of left_out; the used ones made `made` canonical rows.

    notes: what was mended on the way, by how often. unused: the columns of which nothing was taken. late: those that first
    appeared after the rows by which the format was recognised.
    """

    format: str
    kind: Kind
    evidence: str
    option: str = ""
    rows: int
    used: int
    made: int
    left_out: dict[str, int] = {}
    notes: dict[str, int] = {}
    unused: tuple[SeenColumn, ...] = ()
    late: tuple[SeenColumn, ...] = ()


@dataclass
class Conversion:
    """An iterator over the canonical rows of a source, which keeps account as it goes.

    Each row carries the number of its source row. examples: rows that were left out, see `left_out_examples`.
    until: how many canonical rows are wanted, where that is known. begun, share: where this begins in the work that
    progress speaks of, and how much of it it is. is_asking: a column that changes what the rows are, and first appears after
    the sampled ones, is asked about: then WorkbenchError is raised in the middle.
    """

    source: Iterable[tuple[int, RawRow]]
    how: Recognised
    seed: int = 17
    progress: Progress | None = None
    until: int | None = None
    begun: float = 0.0
    share: float = 1.0
    is_asking: bool = True
    rows: int = 0
    used: int = 0
    made: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0
    _next_word: float = 0.0

    def __post_init__(self) -> None:
        self.watch = ColumnWatch(self.how, self.is_asking)

    def __iter__(self) -> Iterator[Row]:
        for number, raw, stands_for in gather(self._watched(), self.how):
            self.rows += stands_for
            try:
                converted = convert(raw, self.how, self.seed)
            except LeftOut as out:
                self._leave_out(number, out.reason, raw, stands_for)
                continue
            self.used += stands_for - len(converted.left_out)
            self.made += len(converted.rows)
            self.notes.update(converted.notes)
            for reason in converted.left_out:
                self._leave_out(number, reason, raw, 1)
            for row in converted.rows:
                row["source_row"] = number
                yield row
            self._say()

    def account(self) -> Account:
        return Account(
            format=self.how.format,
            kind=self.how.kind,
            evidence=self.how.evidence,
            option=self.how.option,
            rows=self.rows,
            used=self.used,
            made=self.made,
            left_out=dict(self.left_out.most_common()),
            notes=dict(self.notes.most_common()),
            unused=self.watch.unused(),
            late=self.watch.late(),
        )

    def _watched(self) -> Iterator[tuple[int, RawRow]]:
        for numbered in self.watch.over(self.source):
            self.how = self.watch.how
            self._read += 1
            self._say()
            yield numbered

    def _say(self) -> None:
        if self.progress and (now := time.monotonic()) >= self._next_word:
            self._next_word = now + _BEAT
            done = max(getattr(self.source, "fraction", 0.0), self.made / self.until if self.until else 0.0)
            self.progress(self.begun + self.share * min(done, 1.0), f"{self._read:,} rows read, {self.made:,} usable")

    def _leave_out(self, number: int, reason: str, raw: RawRow, rows: int) -> None:
        if self.left_out[reason] < EXAMPLES_PER_REASON:
            self.examples.append({"row": number, "reason": reason, "values": shortened(dict(raw))})
        self.left_out[reason] += rows


class Source(Iterator[tuple[int, RawRow]]):
    """Numbered rows with the first of them put back, and how far the source is read."""

    def __init__(self, first: Sequence[tuple[int, RawRow]], rest: Iterator[tuple[int, RawRow]]):
        self._rest = rest
        self._all = chain(first, rest)

    def __next__(self) -> tuple[int, RawRow]:
        return next(self._all)

    @property
    def fraction(self) -> float:
        return float(getattr(self._rest, "fraction", 0.0))


def open_rows(
    rows: Iterable[tuple[int, RawRow]], options: ReadOptions, is_asking: bool = True
) -> tuple[Source, Recognised]:
    """The rows from the first on, and what they are.

    Raises WorkbenchError for rows that are not known, or that leave a choice which a person must make; without is_asking
    a column that may belong to the prompt is none.
    """
    numbered = iter(rows)
    first = list(islice(numbered, SAMPLE_ROWS))
    how = recognised_as([row for _, row in first], options)
    if how.options and not how.option:
        choices = "; ".join(f"{option.id}: {option.words}" for option in how.options)
        raise WorkbenchError(
            f"{how.evidence} Say which it is, as the option of the format. {choices}.", asks=("option",)
        )
    if how.asked and is_asking:
        raise WorkbenchError(
            *(_asked(column, [row for _, row in first]) for column in how.asked),
            "Say of each whether it goes below the prompt, is the system message, holds the turns before the prompt, or is not "
            "to be used.",
            asks=("prompt",),
        )
    return Source(first, numbered), how


def recognised_as(sample: Sequence[RawRow], options: ReadOptions) -> Recognised:
    """What sampled rows are. Raises WorkbenchError where nobody knows."""
    columns = columns_of(sample)
    if not sample:
        raise WorkbenchError("There are no rows to read. Choose a source that holds rows.")
    check_options(options, columns)
    recognised = recognise(sample, options)
    if recognised is None and (said := _error_in(sample)):
        raise WorkbenchError(
            f"There is an error message in the place of the rows: {said!r}. It came from where the file was downloaded. Put "
            "right what it says there, and download the file again."
        )
    if recognised is None and (row := header_that_is_a_row(columns)):
        raise WorkbenchError(
            f"The columns have no names, it seems: the first line of the table is a row already ({row}). Put a line with the "
            "names before it, such as prompt,chosen,rejected."
        )
    if recognised is None:
        raise WorkbenchError(
            f"The rows have no format that is known (columns: {', '.join(columns)}). Name by hand which columns hold "
            "the prompt, the chosen and the rejected answer, or the prompt and the completion for SFT.",
            asks=("columns",),
        )
    return recognised


def check_options(options: ReadOptions, columns: Sequence[str]) -> None:
    """Raises WorkbenchError for columns that a person named and that are not there."""
    if options.by_hand:
        check_columns(options.by_hand, columns)
    named = [*options.ignore, *(options.mapping.named().values() if options.mapping else ())]
    if missing := [column for column in named if column not in columns]:
        raise WorkbenchError(
            *(f"There is no column {column!r}. The file has: {', '.join(columns)}." for column in missing),
            asks=("prompt",),
        )


def _error_in(sample: Sequence[RawRow]) -> str:
    """The words of an error that a server sent as JSON in the place of a file; "" for rows."""
    if len(sample) != 1 or not {*sample[0]} <= _OF_AN_ERROR:
        return ""
    return next((value[:200] for value in sample[0].values() if isinstance(value, str) and value.strip()), "")


def header_that_is_a_row(columns: Sequence[str]) -> str:
    """The names of columns where they read like a row of the table; "" where they are names."""
    said = [column for column in columns if _SENTENCE.search(column) or len(column.split()) > _WORDS_OF_A_NAME]
    return ", ".join(repr(column[:40]) for column in columns[:4]) if 2 * len(said) >= len(columns) > 1 else ""


def _asked(column: str, rows: Sequence[RawRow]) -> str:
    filled = [row[column] for row in rows if is_filled(row.get(column))]
    if plain_name(column) in PARENTS:
        return (
            f"The column `{column}` says which row comes before, such as {example(filled[0])!r}, and none of these is among the "
            f"first {len(rows)} rows: what was said there is not in the prompt. Put the turns before each prompt into a "
            "column `history`, or say that this column is not to be used."
        )
    return (
        f"The column `{column}` is not used, and may belong to the prompt: it holds {holds(filled[0])} in {len(filled)} of the "
        f"first {len(rows)} rows, such as {example(filled[0])!r}."
    )


def columns_of(sample: Sequence[RawRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(column) for row in sample for column in row))


def shortened(value: Any, most: int = _EXAMPLE_CHARACTERS, depth: int = _EXAMPLE_DEPTH) -> Any:
    """Any value as JSON, with long texts and lists cut, and what is nested too deeply."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}..."
    if isinstance(value, dict | list) and not depth:
        return "..."
    if isinstance(value, dict):
        items = islice(value.items(), 10 * _EXAMPLE_ITEMS)
        return {str(key)[:most]: shortened(item, most, depth - 1) for key, item in items}
    if isinstance(value, list):
        return [shortened(item, most, depth - 1) for item in value[:_EXAMPLE_ITEMS]]
    if isinstance(value, bytes):
        return f"({len(value):,} bytes of binary data)"
    return value if value is None or isinstance(value, bool | int) else shortened(str(value), most)


def reasons(left_out: Counter[str]) -> str:
    """Counts of rows that were left out, in words."""
    return ", ".join(f"{count:,} x {reason}" for reason, count in left_out.most_common())


def none_usable(conversion: Conversion) -> WorkbenchError:
    """What to say of a source that gave nothing."""
    return WorkbenchError(f"None of the {conversion.rows:,} rows can be used: {reasons(conversion.left_out)}.")
