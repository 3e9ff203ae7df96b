"""What a stored dataset is and where it came from: about.json."""

from pathlib import Path

from pydantic import ValidationError

from workbench.core.data.split import HELD_OUT_SHARE
from workbench.core.errors import WorkbenchError
from workbench.core.exact import Exact
from workbench.store.datasets.folders import folders, names, version_folder
from workbench.store.datasets.source import Account
from workbench.store.datasets.tables import SPLITS
from workbench.store.home import write_json
from workbench.store.records import Damaged, first_problem, parse


class Step(Exact):
    """Something that made a dataset what it is. when: ISO 8601, UTC. words: for people."""

    when: str
    action: str
    words: str
    rows_before: int
    rows_after: int


class About(Account):
    """What a version of a stored dataset is, as about.json holds it.

    rows, used, made: of the source, see Account. Of the canonical rows not_taken were not asked for; the others are what the
    first of `steps` had made, and each later step says what it changed. kept: rows now = train_rows + held_out_rows.
    part: which of the rows that were made were taken, in words. mapping: part of a row -> column of the source.
    revision: of a dataset on the Hub. fingerprint: see `fingerprint`. created: when this version was made, ISO 8601, UTC.
    parent: the version that a change was made to. steps: from the import on.
    """

    name: str
    title: str
    source: str
    used: int = 0
    made: int = 0
    kept: int
    not_taken: int = 0
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
    except FileNotFoundError:
        why = "about.json is missing."
    except Damaged as error:
        why = str(error)
    except ValidationError as error:
        unknown = [str(one["loc"][-1]) for one in error.errors() if one["type"] == "extra_forbidden"]
        if len(unknown) == error.error_count():
            raise WorkbenchError(
                f"The dataset {name} was made by a newer version of the workbench: its about.json says "
                f"{', '.join(unknown)}, which this version does not know. Update the workbench, or import the data again."
            ) from None
        why = f"about.json: {first_problem(error)}."
    raise WorkbenchError(
        f"The dataset {name} is damaged: {why} Remove its folder, {file.parent}, and import the data again."
    )


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
