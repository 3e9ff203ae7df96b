"""Canonical rows out again, as files that `datasets.load_dataset` and TRL's trainers load as they are."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from workbench.core.data.formats import AS_RECOGNISED, ReadOptions
from workbench.core.data.messages import PARTS, Kind, RawRow, Row
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.abouts import about
from workbench.store.datasets.folders import abandoned, draft_prefix
from workbench.store.datasets.reading import stream
from workbench.store.datasets.source import Account, Conversion, Progress, none_usable, open_rows
from workbench.store.datasets.tables import SPLITS, RowWriter, Split, schema_of

SUFFIXES = (".jsonl", ".parquet")


def export(name: str, target: Path, split: Split | None = None) -> Path:
    """Write the rows of a side, or of both, to a .jsonl or .parquet file, whole or not at all. Returns the file."""
    _check_suffix(target)
    described = about(name)
    sides = [split] if split else SPLITS
    rows = chain.from_iterable(stream(name, side, version=described.version) for side in sides)
    with _whole(target) as growing:
        _write(growing, rows, described.kind)
    return target


def convert_file(
    rows: Iterable[tuple[int, RawRow]],
    target: Path,
    *,
    options: ReadOptions = AS_RECOGNISED,
    replace: bool = False,
    progress: Progress | None = None,
) -> Account:
    """Write the canonical form of raw rows to a .jsonl or .parquet file, whole or not at all; nothing is stored.

    replace: write over a file that is there already.
    """
    _check_suffix(target)
    if target.exists() and not replace:
        raise WorkbenchError(
            f"There is a file {target} already. Choose another name, or say that it is to be replaced."
        )
    numbered, how = open_rows(rows, options)
    conversion = Conversion(numbered, how, progress=progress)
    with _whole(target) as growing:
        _write(growing, iter(conversion), how.kind)
        account = conversion.account()
        if not account.made:
            raise none_usable(conversion)
    return account


def _write(file: Path, rows: Iterable[Row], kind: Kind) -> None:
    parts = PARTS[kind]
    if file.suffix == ".jsonl":
        with open(file, "w", encoding="utf-8", newline="\n") as sink:
            sink.writelines(json.dumps({part: row[part] for part in parts}, ensure_ascii=False) + "\n" for row in rows)
        return
    with RowWriter(file, schema_of(kind)) as writer:
        for row in rows:
            writer.add(row)


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A file beside the target that takes its place at the end, or is gone where that is not reached."""
    growing = target.with_name(f"{draft_prefix()}{target.name}")
    try:
        sweep_beside(target)
        yield growing
        os.replace(growing, target)
    except OSError as error:
        raise WorkbenchError(
            f"{target} could not be written ({error.strerror or error}). Look whether its folder is there, can be "
            "written to, and has room."
        ) from None
    finally:
        with suppress(OSError):
            growing.unlink(missing_ok=True)


def sweep_beside(target: Path) -> None:
    """Remove what was left of a file that a process wrote until it was ended."""
    with suppress(OSError):
        for left in abandoned(target.parent):
            if left.name.endswith(f"-{target.name}"):
                left.unlink()


def _check_suffix(target: Path) -> None:
    if target.suffix not in SUFFIXES:
        raise WorkbenchError(f"{target.name} does not end in {' or '.join(SUFFIXES)}. Give it one of these endings.")
