"""A look at the first rows of a source, before anything is stored."""

from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from workbench.core.data.formats import AS_RECOGNISED, ReadOptions, Recognised, SeenColumn, recognise
from workbench.core.data.messages import RawRow, Row
from workbench.store.datasets.source import Conversion, check_options, columns_of, shortened
from workbench.store.files import read_rows

PREVIEW_ROWS = 1000


class Preview(BaseModel):
    """What the first rows of a source are and what they would give.

    recognised: None where no format was. rows: as they were read, long texts cut. converted: canonical rows.
    sampled = usable + all of left_out, and is 0 where no format was recognised; the usable ones made `made` rows.
    notes: what was mended on the way, by how often. unused: columns of which nothing would be taken. late: those that first
    appear after the rows by which the format was recognised. total: rows in the whole source, exact or estimated from the
    sample; None where it cannot be told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[str, ...]
    recognised: Recognised | None
    rows: list[dict[str, Any]]
    converted: list[Row]
    unused: tuple[SeenColumn, ...] = ()
    late: tuple[SeenColumn, ...] = ()
    sampled: int
    usable: int
    made: int
    left_out: dict[str, int]
    notes: dict[str, int]
    total: int | None
    total_is_exact: bool


def preview_file(
    file: Path,
    original_name: str | None = None,
    options: ReadOptions = AS_RECOGNISED,
) -> Preview:
    """A look at the first rows of a data file. See `preview`."""
    with closing(read_rows(file, original_name)) as rows:
        return preview(rows, options)


def preview(
    rows: Iterable[tuple[int, RawRow]],
    options: ReadOptions = AS_RECOGNISED,
    shown: int = 5,
) -> Preview:
    """A look at the first rows of any source, by the format that they have or as a person says."""
    numbered = iter(rows)
    sample = list(islice(numbered, PREVIEW_ROWS))
    more = next(numbered, None) is not None
    columns = columns_of([row for _, row in sample])
    check_options(options, columns)
    recognised = recognise([row for _, row in sample], options)
    conversion = Conversion(sample, recognised, is_asking=False) if recognised else None
    converted = list(conversion) if conversion else []
    fraction = getattr(numbered, "fraction", 0.0)
    estimate = round(len(sample) / fraction) if 0 < fraction < 1 else None
    return Preview(
        columns=columns,
        recognised=recognised,
        rows=[shortened(dict(row)) for _, row in sample[:shown]],
        converted=converted[:shown],
        unused=conversion.watch.unused() if conversion else (),
        late=conversion.watch.late() if conversion else (),
        sampled=conversion.rows if conversion else 0,
        usable=conversion.used if conversion else 0,
        made=len(converted),
        left_out=dict(conversion.left_out.most_common()) if conversion else {},
        notes=dict(conversion.notes.most_common()) if conversion else {},
        total=estimate if more else len(sample),
        total_is_exact=not more,
    )
