"""The tokens of a dataset's rows, in a file beside them."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.data.messages import Kind
from workbench.core.data.token_counts import COLUMNS, TokenCounts
from workbench.store.home import writing


def write_counts(file: Path, counts: TokenCounts) -> None:
    """Whole or not at all."""
    columns = {name: pa.array(memoryview(column), pa.uint32()) for name, column in counts.as_columns().items()}
    draft = Path(f"{file}.{os.getpid()}.draft")
    with writing("The counted tokens"):
        try:
            pq.write_table(pa.table(columns), draft, compression="zstd")
            os.replace(draft, file)
        finally:
            draft.unlink(missing_ok=True)


def has_counts(file: Path, rows: int) -> bool:
    """Whether a file holds the counts of so many rows, all of which can be read."""
    return _table(file, rows) is not None


def read_counts(file: Path, kind: Kind, rows: int) -> TokenCounts | None:
    """Stored counts, or None where there are none that can be read and are complete."""
    table = _table(file, rows)
    return None if table is None else TokenCounts.from_columns(kind, table.to_pydict())


def _table(file: Path, rows: int) -> pa.Table | None:
    try:
        with pq.ParquetFile(file) as stored:
            table = stored.read(columns=list(COLUMNS)).select(COLUMNS)
            whole = all(column.type == pa.uint32() and not column.null_count for column in table.columns)
    except (OSError, pa.ArrowException, KeyError):
        return None
    return table if whole and table.num_rows == rows else None
