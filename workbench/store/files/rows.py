"""The rows of a source, one after the other, each within the limits."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from workbench.core.data.messages import RawRow
from workbench.core.errors import WorkbenchError
from workbench.store.files.limits import Limits, check_unpacked, too_long

Numbered = Iterator[tuple[int, RawRow, float]]
"""(line or row number from 1, row, how much of the source is read, 0 to 1)."""


class Rows(Iterator[tuple[int, RawRow]]):
    """(line or row number from 1, row), one after the other. `fraction` is how much of the source is read, 0 to 1.

    Raises WorkbenchError where the source breaks off or breaks a limit; closes it at the end or on `close`.
    """

    def __init__(self, numbered: Numbered, opened: ExitStack, name: str, limits: Limits, packed: int | None = None):
        """packed: bytes of the file that the rows come from, where they come from one."""
        self.fraction = 0.0
        self.count = 0
        self._characters = 0
        self._packed = packed
        self._numbered = numbered
        self._opened = opened
        self._name = name
        self._limits = limits

    def __next__(self) -> tuple[int, RawRow]:
        try:
            number, row, self.fraction = next(self._numbered)
            self._check(number, row)
        except StopIteration:
            self.close()
            self.fraction = 1.0
            if not self.count:
                raise WorkbenchError(f"{self._name} holds no rows. Choose a file with at least one row.") from None
            raise
        except BaseException:
            self.close()
            raise
        return number, row

    def close(self) -> None:
        self._opened.close()

    def _check(self, number: int, row: RawRow) -> None:
        self.count += 1
        if self.count > self._limits.rows:
            raise WorkbenchError(
                f"{self._name} has more than {self._limits.rows:,} rows, the most that are read. Split the file."
            )
        if len(row) > self._limits.columns:
            raise WorkbenchError(
                f"Row {number} of {self._name} has {len(row):,} columns; at most {self._limits.columns} are read. "
                "Keep the columns with the prompt and the answers."
            )
        self._characters += _characters(number, row, self._name, self._limits)
        # A table can say a long text once and point to it from each row, so that only the rows show how much it is.
        if self._packed:
            check_unpacked(self._characters, self._packed, self._name, self._limits)


def _characters(number: int, row: RawRow, name: str, limits: Limits) -> int:
    """Characters of all texts in a row. Raises WorkbenchError where they are too many or lie too deep.

    Layer by layer, so that no depth can break the walk itself.
    """
    characters, layer = 0, [*row.keys(), *row.values()]
    for _ in range(limits.depth):
        below: list[Any] = []
        for value in layer:
            if isinstance(value, str):
                characters += len(value)
            elif isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list | tuple):
                below += value
        if characters > limits.row_characters:
            raise too_long(f"Row {number}", name, limits)
        if not below:
            return characters
        layer = below
    raise WorkbenchError(
        f"Row {number} of {name} is nested more than {limits.depth} levels deep. Keep the columns with the prompt and "
        "the answers."
    )
