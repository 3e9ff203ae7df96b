"""Rows of a stored dataset, in the version that is in use: all of them, one, those that fit a search; and their report."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from workbench.core.data.doctor.findings import Report
from workbench.core.data.messages import Row
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.abouts import About, about
from workbench.store.datasets.folders import existing, path, report_file
from workbench.store.datasets.tables import SPLITS, Split, intact, rows_at, stored_rows, texts


def read(name: str, split: Split, limit: int | None = None, extras: bool = False) -> list[Row]:
    """The canonical rows of a split, from the first on, at most `limit`. extras: see EXTRAS in core/data/messages.py."""
    return list(islice(stream(name, split, extras), limit))


def stream(name: str, split: Split, extras: bool = False, version: int | None = None) -> Iterator[Row]:
    """The canonical rows of a split, one after the other; only a batch of them is in memory."""
    file = path(name, split, version)
    with intact(name, file):
        yield from stored_rows(file, extras)


def stream_all(described: About, extras: bool = True) -> Iterator[tuple[Split, Row]]:
    """Every row of a version with its side, in the order of their numbers."""
    for split in SPLITS:
        for row in stream(described.name, split, extras, described.version):
            yield split, row


def thumbs(name: str) -> tuple[int, int]:
    """How many training answers have a thumb up, and how many a thumb down."""
    file = path(name, "train")
    with intact(name, file):
        labels = pq.read_table(file, columns=["label"])["label"]
    liked = pc.sum(labels).as_py() or 0
    return liked, len(labels) - liked


def row(name: str, number: int, extras: bool = False) -> Row:
    """The row of a number. Raises WorkbenchError where there is none."""
    kept = about(name).kept
    if not 0 <= number < kept:
        raise WorkbenchError(f"{name} has no row {number + 1:,}; its rows are 1 to {kept:,}.")
    return next(row for _, row in numbered(name, [number], extras))


def numbered(name: str, numbers: Sequence[int], extras: bool = False) -> Iterator[tuple[int, Row]]:
    """(number, row) for numbers that go up."""
    start = 0
    for split in SPLITS:
        file = path(name, split)
        with intact(name, file):
            end = start + pq.read_metadata(file).num_rows
            here = [number for number in numbers if start <= number < end]
            if here:
                yield from zip(here, rows_at(file, [number - start for number in here], extras), strict=True)
        start = end


def search(
    name: str, text: str = "", check: str | None = None, split: Split | None = None, start: int = 0, limit: int = 50
) -> tuple[list[tuple[int, Row]], int]:
    """(number, row) of some of the rows that fit, and how many fit.

    text: what a message must hold, whatever the case. check: a check of the report that must have found the row.
    start: how many that fit come before the first one that is given.
    """
    described = about(name)
    first = described.train_rows if split == "held_out" else 0
    end = described.train_rows if split == "train" else described.kept
    fitting: Sequence[int] = range(first, end)
    if check:
        found = _found(name, check)
        fitting = [number for number in fitting if number in found]
    if text:
        holding = _holding(name, text)
        fitting = [number for number in fitting if number in holding]
    return list(numbered(name, fitting[start : start + limit])), len(fitting)


def report(name: str) -> Report | None:
    """What the doctor said of the version in use; None where it was not asked yet."""
    described = about(name)
    file = report_file(name, described.version, described.fingerprint)
    try:
        return _read_report(file, file.stat().st_mtime_ns)
    except (FileNotFoundError, ValidationError):
        return None


def left_out_examples(name: str) -> list[dict[str, Any]]:
    """Rows that could not be used: {"row": number in the source, "reason": ..., "values": the row, long texts cut}.

    At most EXAMPLES_PER_REASON for each reason; `About.left_out` has the full counts.
    """
    file = existing(name) / "left_out.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@lru_cache(maxsize=8)
def _read_report(file: Path, changed: int) -> Report:
    return Report.model_validate_json(file.read_bytes())


def _found(name: str, check: str) -> set[int]:
    known = report(name)
    return (
        {number for finding in known.findings if finding.check == check for number in finding.rows} if known else set()
    )


def _holding(name: str, text: str) -> set[int]:
    """Numbers of the rows with a message that holds the text."""
    found: set[int] = set()
    start = 0
    for split in SPLITS:
        file = path(name, split)
        with intact(name, file):
            for table in texts(file):
                for column in table.columns:
                    found.update(start + place for place in _places(column, text))
                start += table.num_rows
    return found


def _places(messages: pa.ChunkedArray, text: str) -> Iterator[int]:
    """Which lists of messages hold the text in one of them."""
    of = pc.list_parent_indices(messages)
    contents = pc.struct_field(pc.list_flatten(messages), "content")
    holds = pc.match_substring(contents, text, ignore_case=True)
    yield from set(of.filter(holds).to_pylist())
