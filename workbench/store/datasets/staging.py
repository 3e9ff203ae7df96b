"""An import on its way: canonical rows in a file, in the order of the source, and what must be known of all of them.

Of each row only a few numbers stay in memory. So a source may be as large as the disk allows, and the choice of rows
and the split, which need to know all of them, are made by row number.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from workbench.core.data.doctor.report import Examination
from workbench.core.data.split import prompt_digest
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.source import Conversion
from workbench.store.datasets.tables import PROVENANCE, SCORES, SPLITS, RowWriter, schema_of, tables

MAX_CHARACTERS = 2_000_000_000

TRAIN, HELD_OUT, NOT_TAKEN = range(3)


@dataclass
class Staged:
    """The canonical rows of a source in a file, row by row in its order.

    digests: of each row's prompt, see core/data/split.py. scored, told: whether a row has scores, and whether one says where it is from.
    """

    file: Path
    conversion: Conversion
    examination: Examination
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    scored: bool = False
    told: bool = False

    @property
    def extras(self) -> list[str]:
        """The extra columns that the rows need."""
        return ["source_row", *(SCORES if self.scored else ()), *([PROVENANCE] if self.told else [])]


def stage(conversion: Conversion, file: Path, examination: Examination, most: int | None = None) -> Staged:
    """Convert, examine and write down the rows of a source, at most so many.

    Raises WorkbenchError for more text than a dataset may have.
    """
    staged = Staged(file, conversion, examination)
    with RowWriter(file, schema_of(conversion.how.kind, ["source_row", *SCORES, PROVENANCE])) as writer:
        for row in conversion:
            writer.add(row)
            examination.add(row)
            staged.digests.append(prompt_digest(row["prompt"], conversion.seed))
            staged.scored = staged.scored or "scores" in row
            staged.told = staged.told or PROVENANCE in row
            if writer.characters > MAX_CHARACTERS:
                raise WorkbenchError(
                    f"After {writer.count:,} rows the dataset has more than {MAX_CHARACTERS:,} characters, the most "
                    "that it may have. Take the first rows only, or split the source."
                )
            if writer.count == most:
                break
    return staged


def order_of(sides: Sequence[int]) -> tuple["array[int]", int]:
    """Places of the rows of both sides, training first, and how many those are. sides: TRAIN, HELD_OUT or NOT_TAKEN."""
    order = array("q", (index for index, side in enumerate(sides) if side == TRAIN))
    train_rows = len(order)
    order.extend(index for index, side in enumerate(sides) if side == HELD_OUT)
    return order, train_rows


def write_sides(staged: Staged, sides: Sequence[int], folder: Path) -> None:
    """Staged rows as train.parquet and held_out.parquet, each in the order of the source."""
    schema = schema_of(staged.conversion.how.kind, staged.extras)
    train, held_out = (RowWriter(folder / f"{split}.parquet", schema) for split in SPLITS)
    with train, held_out:
        start = 0
        for table in tables(staged.file, schema.names):
            here = sides[start : start + table.num_rows]
            for side, writer in ((TRAIN, train), (HELD_OUT, held_out)):
                writer.add_table(table.filter(pa.array([one == side for one in here], pa.bool_())))
            start += table.num_rows
