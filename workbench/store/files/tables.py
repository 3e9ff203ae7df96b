"""Tables with a schema: Parquet, and Arrow as a stream (how `datasets` writes it) or as a file."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.errors import WorkbenchError
from workbench.store.files.limits import MB, Limits, check_unpacked
from workbench.store.files.rows import Numbered
from workbench.store.files.text import excerpt

PARQUET = b"PAR1"
ARROW_FILE = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"

_BATCH_ROWS = 64
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def parquet_rows(file: IO[bytes], size: int, name: str, limits: Limits) -> Numbered:
    return _with_workbench_errors(_parquet_rows(file, size, name, limits), name, "Parquet")


def arrow_rows(file: IO[bytes], size: int, name: str, limits: Limits) -> Numbered:
    return _with_workbench_errors(_arrow_rows(file, size, name, limits), name, "Arrow")


def _parquet_rows(file: IO[bytes], size: int, name: str, limits: Limits) -> Numbered:
    # Without these two a whole row group is read ahead, and its columns unpacked side by side.
    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=MB)
    _check_schema(table.schema_arrow, name, limits)
    metadata = table.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    # Before anything is unpacked, by what the file says of itself; that can be false, so what comes out is counted too.
    check_unpacked(sum(group.total_byte_size for group in groups), size, name, limits)
    batches = table.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)
    total = max(metadata.num_rows, 1)
    for number, row in _rows(batches, table.schema_arrow, size, name, limits):
        yield number, row, min(1.0, number / total)


def _arrow_rows(file: IO[bytes], size: int, name: str, limits: Limits) -> Numbered:
    is_stream = file.read(len(ARROW_STREAM)) == ARROW_STREAM
    file.seek(-len(_END_OF_STREAM), 2)
    if is_stream and file.read() != _END_OF_STREAM:
        raise pa.ArrowInvalid("its last record is missing")
    file.seek(0)
    reader: Any = pa.ipc.open_stream(file) if is_stream else pa.ipc.open_file(file)
    _check_schema(reader.schema, name, limits)
    batches = reader if is_stream else (reader.get_batch(i) for i in range(reader.num_record_batches))
    for number, row in _rows(batches, reader.schema, size, name, limits):
        yield number, row, min(1.0, file.tell() / size)


def _rows(batches: Any, schema: Any, size: int, name: str, limits: Limits) -> Iterator[tuple[int, dict[str, Any]]]:
    number = unpacked = 0
    with_floats = [field.name for field in schema if _holds(field.type, _is_float)]
    for batch in batches:
        # Otherwise an offset that points anywhere is followed, out of the file and into a crash.
        batch.validate(full=True)
        unpacked += batch.nbytes
        check_unpacked(unpacked, size, name, limits)
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for row in batch.slice(start, _BATCH_ROWS).to_pylist():
                number += 1
                for column in with_floats:
                    row[column] = _without_nan(row[column])
                yield number, row


def _with_workbench_errors(rows: Numbered, name: str, format: str) -> Numbered:
    number = 0
    try:
        for number, row, fraction in rows:
            yield number, row, fraction
    except MemoryError:
        raise  # also an ArrowException
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        if "ecrypt" in str(error):
            raise WorkbenchError(f"{name} is an encrypted {format} file. Save it without encryption.") from None
        if "deeply nested" in str(error) or isinstance(error, RecursionError):
            raise _too_deep(f"A column of {name}", "more levels deep than a table is read") from None
        raise WorkbenchError(
            f"{name} cannot be read as {format} after row {number} ({excerpt(str(error))}). The file is damaged or cut "
            "short: copy or download it again."
        ) from None


def _check_schema(schema: Any, name: str, limits: Limits) -> None:
    """Raises WorkbenchError for a table that cannot be one of texts, whatever its rows hold."""
    if len(schema) > limits.columns:
        raise WorkbenchError(
            f"{name} has {len(schema):,} columns; at most {limits.columns} are read. Keep the columns with the prompt "
            "and the answers."
        )
    twice = [column for column, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise WorkbenchError(f"{name} has two columns called {excerpt(twice[0])}. Rename one of them.")
    if deep := next((field.name for field in schema if _depth(field.type) > limits.depth), None):
        raise _too_deep(f"The column {excerpt(deep)} of {name}", f"more than {limits.depth} levels deep")
    binary = [field.name for field in schema if _holds(field.type, _is_binary)]
    if binary and not any(_holds(field.type, _is_text) for field in schema):
        raise WorkbenchError(
            f"{name} holds binary data (pictures, sounds, or text that is not marked as such) in "
            f"{', '.join(map(excerpt, binary[:8]))}, and no text. Save the prompt and the answers as columns of text."
        )


def _too_deep(what: str, how: str) -> WorkbenchError:
    return WorkbenchError(f"{what} is nested {how}. Keep the columns with the prompt and the answers.")


def _types(type: Any) -> Iterator[tuple[Any, int]]:
    """A type and those inside it, each with its depth; a dictionary's values count as lying beside it."""
    waiting = [(type, 1)]
    while waiting:
        one, depth = waiting.pop()
        yield one, depth
        if pa.types.is_dictionary(one):
            waiting.append((one.value_type, depth))
        waiting += [(one.field(i).type, depth + 1) for i in range(one.num_fields)]


def _holds(type: Any, what: Any) -> bool:
    return any(what(one) for one, _ in _types(type))


def _depth(type: Any) -> int:
    return max(depth for _, depth in _types(type))


def _is_text(type: Any) -> bool:
    return str(type) in ("string", "large_string", "string_view")


def _is_float(type: Any) -> bool:
    return str(type) in ("halffloat", "float", "double")


def _is_binary(type: Any) -> bool:
    return str(type).startswith(("binary", "large_binary", "fixed_size_binary"))


def _without_nan(value: Any) -> Any:
    """NaN and the infinities as None: tables mark with them that there is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return value
