"""The columns of a source while its rows go by: what is not used, and what first appears after the sampled rows.

A format is recognised from the first rows, and holds for all of them: a column that belongs to the prompt joins wherever
it first appears, and one that would change what the rows are is asked about.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.core.data.formats.asking import MEANINGFUL, used_columns, without
from workbench.core.data.formats.cells import example, holds, is_filled
from workbench.core.data.formats.column_names import plain_name
from workbench.core.data.formats.columns import Recognised
from workbench.core.data.formats.recognise import IN_SOME_ROWS, SAMPLE_ROWS, columns_in, gathers, recognise
from workbench.core.data.messages import RawRow
from workbench.core.errors import WorkbenchError
from workbench.core.exact import Exact

FIRST_ROWS = 5
# A row of so many shapes that none is like another is only looked at for its columns.
MOST_SHAPES = 500


class SeenColumn(Exact):
    """A column of a source, as all of its rows show it.

    holds, example: what its first filled cell is, in words, and its beginning. rows: how many are filled. first_rows: the
    numbers of the first of them. part: of a row, that it is used for; "" where it is not used.
    """

    column: str
    holds: str
    example: str
    rows: int
    first_rows: tuple[int, ...] = ()
    part: str = ""

    @property
    def words(self) -> str:
        """What it holds, as a sentence without its end."""
        if not self.rows:
            return f"`{self.column}` holds nothing"
        return f"`{self.column}` holds {self.holds} in {self.rows:,} {'row' if self.rows == 1 else 'rows'}, such as {self.example!r}"

    @property
    def use(self) -> str:
        return f"used as {_PARTS.get(self.part, f'the {self.part}')}" if self.part else "not used"


_PARTS = {
    "system": "the system message",
    "context": "text below the prompt",
    "input": "text below the prompt",
    "history": "the turns before the prompt",
}


@dataclass
class _Counted:
    """What is known so far of a column that is counted."""

    rows: int = 0
    first_rows: list[int] = field(default_factory=list)
    holds: str = "nothing"
    example: str = ""

    def add(self, number: int, value: Any) -> None:
        if not self.rows:
            self.holds, self.example = holds(value), example(value)
        self.rows += 1
        if len(self.first_rows) < FIRST_ROWS:
            self.first_rows.append(number)


@dataclass
class ColumnWatch:
    """Looks at every row that is read, before it is converted. Costs a comparison of a row's shape with known ones.

    how: what the rows are; a late column that belongs to the prompt is added to its mapping. is_asking: a late column that
    changes what the rows are is raised as a question; otherwise it is only noted.
    """

    how: Recognised
    is_asking: bool = True
    rows: int = 0
    _shapes: set[tuple[Any, ...]] = field(default_factory=set)
    _known: set[str] = field(default_factory=set)
    _filled: set[str] = field(default_factory=set)
    _counted: dict[str, _Counted] = field(default_factory=dict)
    _late: dict[str, str] = field(default_factory=dict)

    def over(self, rows: Iterable[tuple[int, RawRow]]) -> Iterator[tuple[int, RawRow]]:
        """The rows as they come, without the columns that are to be ignored."""
        ignored = self.how.ignored
        for number, row in rows:
            self.see(number, row)
            yield number, without(row, ignored) if ignored else row

    def see(self, number: int, row: RawRow) -> None:
        """Raises WorkbenchError for a late column that changes what the rows are."""
        self.rows += 1
        shape = (*row, *[value.__class__ if value else None for value in row.values()])
        if shape not in self._shapes:
            self._look(number, row, shape)
        for column, counted in self._counted.items():
            if is_filled(value := row.get(column)):
                counted.add(number, value)

    def unused(self) -> tuple[SeenColumn, ...]:
        """The columns that are not used, in the order in which they came."""
        used = used_columns(self.how)
        return tuple(self._seen(column) for column in self._counted if column not in used)

    def late(self) -> tuple[SeenColumn, ...]:
        """The columns that were empty or not there in all sampled rows."""
        return tuple(self._seen(column) for column in self._late)

    def _seen(self, column: str) -> SeenColumn:
        counted = self._counted[column]
        return SeenColumn(
            column=str(column), holds=counted.holds, example=counted.example, rows=counted.rows,
            first_rows=tuple(counted.first_rows), part=self._late.get(column, ""),
        )  # fmt: skip

    def _look(self, number: int, row: RawRow, shape: tuple[Any, ...]) -> None:
        """At the first row of a shape."""
        if len(self._shapes) < MOST_SHAPES:
            self._shapes.add(shape)
        used = used_columns(self.how)
        filled = {column for column in row if is_filled(row[column])}
        for column in row:
            if column not in self._known and column not in used:
                self._counted[column] = _Counted()
        self._known.update(row)
        new = filled - self._filled
        self._filled |= filled
        if self.rows <= SAMPLE_ROWS or not new - set(self.how.ignored):
            return
        for column in row:
            if column in new and column not in self.how.ignored:
                self._late[column] = next((part for part, one in self.how.mapping.named().items() if one == column), "")
                self._counted.setdefault(column, _Counted())
        if self.how.format != "columns":
            self._decide(number, without(row, self.how.ignored), [column for column in self._late if column in new])

    def _decide(self, number: int, row: RawRow, new: Sequence[str]) -> None:
        """What a row with late columns means: they join the prompt, or a person is asked."""
        seen = columns_in(row, self.how.format)
        mapping = self.how.mapping
        joining = {
            part: column
            for part, column in (seen.named() if seen else {}).items()
            if column in new and part in IN_SOME_ROWS and not getattr(mapping, part)
        }
        if joining and gathers(self.how):
            self._ask(number, row, next(iter(joining.values())))
        elif joining:
            self.how = replace(self.how, mapping=mapping.model_copy(update=joining))
        parts = {column: part for part, column in self.how.mapping.named().items()}
        self._late.update({column: parts.get(column, "") for column in new if column in self._late})
        for column in new:
            if self.how.kind != "preference" and column not in parts and plain_name(str(column)) in MEANINGFUL:
                self._ask(number, row, column)
        other = recognise([row]) if self.how.kind == "sft" else None
        if other and other.kind != "sft" and other.format != self.how.format:
            self._ask(number, row, new[0])

    def _ask(self, number: int, row: RawRow, column: str) -> None:
        if self.is_asking and not self.how.is_said:
            raise late_column(self.how, number, column, row[column])


def late_column(how: Recognised, number: int, column: str, value: Any) -> WorkbenchError:
    """What is asked of a column that changes what the rows are, and first appears after the sampled ones."""
    return WorkbenchError(
        f"In row {number:,} the column `{column}` appears for the first time ({holds(value)}: {example(value)!r}), and the "
        f"rows before it were taken as {how.format}. {how.evidence} With this column they may be something else, so nothing "
        "was stored. Choose the format, say which part of the prompt this column is, or that it is not to be used.",
        asks=("format", "prompt"),
    )
