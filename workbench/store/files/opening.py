"""A data file -> its rows: what it is, is seen from its first bytes, and only where they leave it open from its name."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from workbench.core.errors import WorkbenchError
from workbench.store.files.csv_rows import csv_rows
from workbench.store.files.json_rows import json_rows, starts_as_json
from workbench.store.files.limits import MB, Limits
from workbench.store.files.rows import Numbered, Rows
from workbench.store.files.tables import ARROW_FILE, ARROW_STREAM, PARQUET, arrow_rows, parquet_rows
from workbench.store.files.text import excerpt, text_lines
from workbench.store.files.unpack import Unpacked
from workbench.store.files.unsupported import unsupported_type

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".tsv", ".arrow")
_ALIASES = {
    ".ndjson": ".jsonl",
    ".jl": ".jsonl",
    ".tab": ".tsv",
    ".pq": ".parquet",
    ".ipc": ".arrow",
    ".feather": ".arrow",
}
_PACKED = (".gz", ".gzip", ".zst", ".zstd")

ENDINGS = (*SUFFIXES, *_ALIASES, *_PACKED)
"""How the name of a file may end that a person can choose."""


def read_rows(
    path: Path, original_name: str | None = None, limits: Limits | None = None, lines_as: str | None = None
) -> Rows:
    """The rows of a data file. original_name: the name that its owner gave it, if another one.

    lines_as: the column that the lines of a text (.txt) are in, each a row; where left out, a text is no data.

    Raises WorkbenchError at once for a file that cannot be one of the formats, and later for the row that is broken.
    """
    limits = limits or Limits()
    name = Path(original_name or path.name).name or str(path)
    with ExitStack() as opened:
        file, size = _open_file(path, name, limits)
        opened.enter_context(file)
        stream = Unpacked(file, size, name, limits)
        if lines_as and name.lower().endswith(".txt"):
            lines = ((number, line.strip()) for number, line in text_lines(stream))
            numbered: Numbered = ((number, {lines_as: line}, stream.fraction) for number, line in lines if line)
        else:
            numbered = _numbered(stream, opened)
        return Rows(numbered, opened.pop_all(), name, limits, packed=size)


def _open_file(path: Path, name: str, limits: Limits) -> tuple[IO[bytes], int]:
    """The file and its size. Raises WorkbenchError for anything that is no regular file of a size to read."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise WorkbenchError(f"{name} is a folder. Choose one data file in it.")
        if not stat.S_ISREG(found.st_mode):
            raise WorkbenchError(f"{name} is no file but a device or a pipe. Save the rows to a file, and choose that.")
        _check_size(found.st_size, name, limits)
        return open(path, "rb"), found.st_size
    except FileNotFoundError:
        raise WorkbenchError(f"{name} cannot be opened: there is no such file. Choose the file again.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise WorkbenchError(f"{name} cannot be opened ({why}). Choose the file again.") from None


def _check_size(size: int, name: str, limits: Limits) -> None:
    if size == 0:
        raise WorkbenchError(f"{name} is empty (0 bytes). Choose a file that holds rows.")
    if size > limits.file_bytes:
        raise WorkbenchError(
            f"{name} has {size / MB:,.0f} MB; files of up to {limits.file_bytes / MB:,.0f} MB are read. Split it, or "
            "save it as Parquet, which is smaller."
        )


def _numbered(stream: Unpacked, opened: ExitStack) -> Numbered:
    """The reader for a file, from its first bytes and then from its name."""
    head = stream.head()
    if not head:
        raise WorkbenchError(f"{stream.name} unpacks to nothing. Choose a file that holds rows.")
    if head.startswith((PARQUET, ARROW_FILE, ARROW_STREAM)):
        file = stream.seekable(opened)
        rows = parquet_rows if head.startswith(PARQUET) else arrow_rows
        return rows(file, stream.size, stream.name, stream.limits)
    if what := unsupported_type(head):
        raise WorkbenchError(f"{stream.name} is {what}. Files that can be read: {_listed()}.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        stream.read_as_utf16()
        head = stream.head()
    return _text_rows(stream, head)


def _text_rows(stream: Unpacked, head: bytes) -> Numbered:
    suffix = _suffix(stream.name)
    if starts_as_json(head):
        return json_rows(stream, by_line=suffix != ".json")
    if suffix in (".parquet", ".arrow"):
        kind = {".parquet": "a Parquet", ".arrow": "an Arrow"}[suffix]
        raise WorkbenchError(
            f"{stream.name} is not {kind} file: it begins with {excerpt(head)}. Choose the file again, or give it the "
            "ending of what it is."
        )
    if suffix is None:
        ending = os.path.splitext(stream.name)[1]
        said = f"ends in {ending}, which says nothing of its rows" if ending else "has no ending that says what it is"
        raise WorkbenchError(
            f"{stream.name} {said}, and it is not JSON: it begins with {excerpt(head)}. Files that can be read: {_listed()}."
        )
    if suffix in (".csv", ".tsv"):
        return csv_rows(stream)
    return json_rows(stream, by_line=suffix == ".jsonl")


def _suffix(name: str) -> str | None:
    stem, ending = os.path.splitext(name.lower())
    suffix = os.path.splitext(stem)[1] if ending in _PACKED else ending
    suffix = _ALIASES.get(suffix, suffix)
    return suffix if suffix in SUFFIXES else None


def _listed() -> str:
    return f"{', '.join(SUFFIXES)}, each also with .gz or .zst"
