"""A look at the first rows of a source, before anything is stored."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from workbench.core.data.formats import AS_RECOGNISED, ReadOptions, Recognised, recognise
from workbench.core.data.messages import RawRow, Row
from workbench.core.exact import Exact
from workbench.store.datasets.source import Account, Conversion, check_options, columns_of, shortened

PREVIEW_ROWS = 1000
SHOWN_ROWS = 5


class Preview(Exact):
    """What the first rows of a source are and what they would give.

    recognised, account: what the rows are and what became of them; None where no format was recognised. rows: as they were
    read, long texts cut. converted: canonical rows. total: rows in the whole source, exact or estimated from the sample; None
    where it cannot be told.
    """

    columns: tuple[str, ...]
    recognised: Recognised | None
    rows: list[dict[str, Any]]
    converted: list[Row]
    account: Account | None
    total: int | None
    total_is_exact: bool


def preview(rows: Iterable[tuple[int, RawRow]], options: ReadOptions = AS_RECOGNISED) -> Preview:
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
        rows=[shortened(dict(row)) for _, row in sample[:SHOWN_ROWS]],
        converted=converted[:SHOWN_ROWS],
        account=conversion.account() if conversion else None,
        total=estimate if more else len(sample),
        total_is_exact=not more,
    )
