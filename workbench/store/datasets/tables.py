"""Canonical rows as Parquet, and back. Only so many rows as a batch holds are ever in memory."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.data.messages import PARTS, Kind, Row
from workbench.core.errors import WorkbenchError

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")

SCORES = ("score_chosen", "score_rejected")
BATCH_ROWS = 1000
# A batch of long rows is written sooner, so that reading it back takes no more memory than this either.
BATCH_CHARACTERS = 8_000_000

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PROVENANCE = "provenance"
_EXTRAS = {
    "source_row": pa.int64(),
    "score_chosen": pa.float64(),
    "score_rejected": pa.float64(),
    PROVENANCE: pa.string(),
}


def schema_of(kind: Kind, extras: Collection[str] = ()) -> pa.Schema:
    """The columns of a Parquet file: the parts of a row, and such of the extra ones as are in `extras`."""
    parts = [(part, pa.bool_() if part == "label" else _MESSAGES) for part in PARTS[kind]]
    return pa.schema(parts + [(name, type_) for name, type_ in _EXTRAS.items() if name in extras])


class RowWriter:
    """Writes canonical rows to a Parquet file, batch by batch. count, characters: of the rows that were added."""

    def __init__(self, file: Path, schema: pa.Schema):
        self.count = self.characters = 0
        self._schema = schema
        self._sink = open(file, "wb")  # noqa: SIM115 - closed on exit
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")
        self._rows: list[Row] = []
        self._tables: list[pa.Table] = []
        self._waiting = self._waiting_characters = 0

    def add(self, row: Row) -> None:
        """The next row."""
        self.count += 1
        self._rows.append(row)
        self._wait_for(1, characters(row))

    def add_table(self, table: pa.Table) -> None:
        """The next rows, out of another file. Not to be mixed with `add`."""
        self.count += table.num_rows
        self._tables.append(table.select(self._schema.names))
        self._wait_for(table.num_rows, table.nbytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.close()
                self._sink.flush()
                os.fsync(self._sink.fileno())
        finally:
            if self._writer.is_open:
                with suppress(OSError, pa.ArrowException):
                    self._writer.close()
            with suppress(OSError):
                self._sink.close()

    def _wait_for(self, rows: int, size: int) -> None:
        self.characters += size
        self._waiting += rows
        self._waiting_characters += size
        if self._waiting >= BATCH_ROWS or self._waiting_characters >= BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(_to_table(self._rows, self._schema))
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables).combine_chunks())
        self._rows, self._tables = [], []
        self._waiting = self._waiting_characters = 0


def write_rows(file: Path, rows: Sequence[Row], kind: Kind) -> None:
    """The parts of canonical rows as the Parquet file that `read` and the worker expect: lists of messages, zstd."""
    with RowWriter(file, schema_of(kind)) as writer:
        for row in rows:
            writer.add(row)


def tables(file: Path, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a Parquet file, batch by batch. columns: such of them as the file has; None for all."""
    with pq.ParquetFile(file) as stored:
        there = stored.schema_arrow.names
        wanted = there if columns is None else [name for name in there if name in columns]
        for group in range(stored.num_row_groups):
            yield stored.read_row_group(group, columns=wanted)


def texts(file: Path) -> Iterator[pa.Table]:
    """The contents of all messages and nothing else, batch by batch: reading less is most of a search's speed."""
    with pq.ParquetFile(file) as stored:
        leaves = [stored.schema.column(place).path for place in range(len(stored.schema))]
        contents = [leaf for leaf in leaves if leaf.endswith(".content")]
        for group in range(stored.num_row_groups):
            yield stored.read_row_group(group, columns=contents)


def stored_rows(file: Path, extras: bool = True) -> Iterator[Row]:
    """The canonical rows of a Parquet file."""
    for table in tables(file, None if extras else _ALL_PARTS):
        yield from rows_of(table)


def rows_at(file: Path, places: Sequence[int], extras: bool = True) -> Iterator[Row]:
    """The rows at some places of a Parquet file, which go up from 0. Only the batches that hold them are read."""
    wanted = list(reversed(places))
    with pq.ParquetFile(file) as stored:
        columns = stored.schema_arrow.names if extras else [n for n in stored.schema_arrow.names if n in _ALL_PARTS]
        start = 0
        for group in range(stored.num_row_groups):
            end = start + stored.metadata.row_group(group).num_rows
            here = []
            while wanted and wanted[-1] < end:
                here.append(wanted.pop() - start)
            if here:
                yield from rows_of(stored.read_row_group(group, columns=columns).take(here))
            start = end


def rows_of(table: pa.Table) -> Iterator[Row]:
    """A batch as canonical rows. Extras that are null are left away."""
    columns = [table.column(name).to_pylist() for name in table.column_names]
    parts = [name for name in table.column_names if name not in _EXTRAS]
    if len(parts) == len(columns):
        for values in zip(*columns, strict=True):
            yield dict(zip(parts, values, strict=True))
        return
    for values in zip(*columns, strict=True):
        cells = dict(zip(table.column_names, values, strict=True))
        row = {part: cells[part] for part in parts}
        if cells.get("source_row") is not None:
            row["source_row"] = cells["source_row"]
        if cells.get("score_chosen") is not None:
            row["scores"] = {"chosen": cells["score_chosen"], "rejected": cells["score_rejected"]}
        if cells.get(PROVENANCE) is not None:
            row[PROVENANCE] = cells[PROVENANCE]
        yield row


def extras_in(file: Path) -> list[str]:
    """The extra columns that a Parquet file has."""
    return [name for name in pq.read_schema(file).names if name in _EXTRAS]


def fingerprint(rows: Iterable[Row]) -> str:
    """sha256 over the parts of canonical rows in their order: the same rows give the same one on every machine."""
    digest = hashlib.sha256()
    for row in rows:
        parts = {part: row[part] for part in row if part in _ALL_PARTS}
        digest.update(json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def characters(row: Row) -> int:
    """Characters in all messages of a row."""
    return sum(len(message["content"]) for part in row.values() if isinstance(part, list) for message in part)


@contextmanager
def intact(name: str, file: Path) -> Iterator[None]:
    """A Parquet file of a dataset that cannot be read, in words."""
    try:
        yield
    except (pa.ArrowException, OSError):
        raise WorkbenchError(
            f"The dataset {name} is damaged: {file.name} cannot be read. Delete it and import it again."
        ) from None


def _to_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([_cell(row, name) for row in rows], schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def _cell(row: Row, column: str) -> Any:
    if column in SCORES:
        return row.get("scores", {}).get(column.removeprefix("score_"))
    return row.get(column)


_ALL_PARTS = frozenset(part for parts in PARTS.values() for part in parts)
