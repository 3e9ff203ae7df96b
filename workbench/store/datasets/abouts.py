"""What a stored dataset is and where it came from: about.json."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.core.data.formats import SeenColumn
from workbench.core.data.messages import Kind
from workbench.core.data.split import HELD_OUT_SHARE
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.folders import folders, names, version_folder
from workbench.store.datasets.tables import SPLITS
from workbench.store.home import write_json
from workbench.store.records import Damaged, first_problem, parse


class Step(BaseModel):
    """Something that made a dataset what it is. when: ISO 8601, UTC. words: for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str
    action: str
    words: str
    rows_before: int
    rows_after: int


class About(BaseModel):
    """What a version of a stored dataset is, as about.json holds it.

    rows: read from the source = used + all of left_out. made: canonical rows that the used ones gave, of which not_taken
    were not asked for; the others are what the first of `steps` had made, and each later step says what it changed.
    kept: rows now = train_rows + held_out_rows. part: which of the rows that were made were taken, in words.
    notes: what was mended on the way, by how often. unused: columns of the source of which nothing was taken. late: columns
    that first appeared after the rows by which the format was recognised. mapping: part of a row -> column of the source.
    revision: of a dataset on the Hub. fingerprint: see `fingerprint`. created: when this version was made, ISO 8601, UTC.
    parent: the version that a change was made to. steps: from the import on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    kind: Kind
    source: str
    format: str
    evidence: str
    option: str = ""
    rows: int
    used: int = 0
    made: int = 0
    kept: int
    not_taken: int = 0
    left_out: dict[str, int] = {}
    notes: dict[str, int] = {}
    unused: tuple[SeenColumn, ...] = ()
    late: tuple[SeenColumn, ...] = ()
    train_rows: int
    held_out_rows: int
    seed: int
    held_out_share: float = HELD_OUT_SHARE
    part: str = "all"
    fingerprint: str
    created: str
    licence: str | None = None
    revision: str | None = None
    mapping: dict[str, str] = {}
    version: int = 1
    parent: int | None = None
    steps: list[Step] = []


def about(name: str, version: int | None = None) -> About:
    """Of the version in use, or of another one.

    Raises WorkbenchError where there is no such dataset, or where its about.json is damaged or from a newer workbench.
    """
    file = version_folder(name, version) / "about.json"
    try:
        return About.model_validate(parse(file))
    except (FileNotFoundError, Damaged) as error:
        why = str(error) if isinstance(error, Damaged) else "about.json is missing."
        raise WorkbenchError(
            f"The dataset {name} is damaged: {why} Remove its folder, {file.parent}, and import the data again."
        ) from None
    except ValidationError as error:
        unknown = [str(one["loc"][-1]) for one in error.errors() if one["type"] == "extra_forbidden"]
        if len(unknown) == error.error_count():
            raise WorkbenchError(
                f"The dataset {name} was made by a newer version of the workbench: its about.json says "
                f"{', '.join(unknown)}, which this version does not know. Update the workbench, or import the data again."
            ) from None
        raise WorkbenchError(
            f"The dataset {name} is damaged: about.json: {first_problem(error)}. Remove its folder, {file.parent}, and import the "
            "data again."
        ) from None


def all_abouts() -> list[About]:
    """Of every dataset that is not damaged, in the order of `names`."""
    found = []
    for name in names():
        try:
            found.append(about(name))
        except WorkbenchError:
            continue
    return found


def damaged() -> dict[str, str]:
    """Name of every dataset that cannot be read -> why not, and where it lies."""
    found: dict[str, str] = {}
    for name in folders():
        try:
            about(name)
        except WorkbenchError as error:
            found[name] = str(error)
    return found


def write_about(folder: Path, described: About) -> None:
    """Make a dataset of a folder that already holds train.parquet and held_out.parquet (see `write_rows`).

    For the two demo datasets, which are built from nothing: assets/demo/preferences (name demo-preferences) and
    assets/demo/sft (name demo-sft). Write about.json last, and again whenever the rows change:
    `fingerprint` is over the training rows and then the held-out rows, in the order of the files.
    """
    for split in SPLITS:
        if not (folder / f"{split}.parquet").is_file():
            raise FileNotFoundError(folder / f"{split}.parquet")
    write_json(folder / "about.json", described.model_dump())
