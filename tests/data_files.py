"""Data files brought in as the pages bring them: opened, read to their end or to a fault, and closed."""

from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.core.data.formats import AS_RECOGNISED, ReadOptions
from workbench.store import datasets
from workbench.store.datasets import About, Preview, Provenance
from workbench.store.files import read_rows


def add_file(file: Path, name: str, original_name: str | None = None, licence: str | None = None, **how: Any) -> About:
    """The rows of a file as a stored dataset. how: as `datasets.add` takes it."""
    source = Provenance(f"upload: {original_name or file.name}", licence=licence)
    with closing(read_rows(file, original_name)) as rows:
        return datasets.add(rows, name, source=source, **how)


def preview_file(file: Path, options: ReadOptions = AS_RECOGNISED) -> Preview:
    """A look at the first rows of a file."""
    with closing(read_rows(file)) as rows:
        return datasets.preview(rows, options)
