"""Where datasets and their versions are, and how a new one takes its place in one step."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from workbench.core.errors import WorkbenchError
from workbench.core.names import check_name, is_name
from workbench.store.alive import alive, started
from workbench.store.datasets.tables import Split
from workbench.store.home import folder_in_home, home, read_json, shipped, write_json, writing

DEMO_FOLDERS = {"demo-preferences": "preferences", "demo-sft": "sft"}

_DRAFT = re.compile(r"\.draft-(\d+)-(\d+\.\d+)-")
# Everybody holds it for milliseconds only.
_LOCK_SECONDS = 30


def names() -> list[str]:
    """All datasets: those of the demo first, then the user's own by name."""
    demo = [name for name in DEMO_FOLDERS if (folder_of(name) / "about.json").is_file()]
    own = sorted(p.name for p in _own().iterdir() if is_name(p.name) and (p / "about.json").is_file())
    return [*demo, *(name for name in own if name not in DEMO_FOLDERS)]


def folders() -> list[str]:
    """The user's own datasets by name, also those that have lost their about.json."""
    return sorted(p.name for p in _own().iterdir() if is_name(p.name) and p.is_dir() and p.name not in DEMO_FOLDERS)


def existing(name: str) -> Path:
    """The folder of a dataset. Raises WorkbenchError where there is none of that name."""
    folder = folder_of(check_name(name, "dataset"))
    if not folder.is_dir():
        there = ", ".join(names()) or "none yet"
        raise WorkbenchError(f"There is no dataset called {name}. Datasets: {there}.")
    return folder


def own(name: str) -> Path:
    """The folder of a dataset that may be changed. Raises WorkbenchError for one that comes with the program."""
    folder = existing(name)
    if name in DEMO_FOLDERS:
        raise WorkbenchError(f"{name} comes with the workbench and cannot be changed: copy it first.")
    return folder


def folder_of(name: str) -> Path:
    demo = DEMO_FOLDERS.get(name)
    return shipped("assets") / "demo" / demo if demo else _own() / name


def path(name: str, split: Split, version: int | None = None) -> Path:
    """The Parquet file of a split in a version, or in the one in use, for the worker that trains on it."""
    file = version_folder(name, version) / f"{split}.parquet"
    if not file.is_file():
        raise WorkbenchError(f"The dataset {name} is damaged: {file.name} is missing. Delete it and import it again.")
    return file


def report_file(name: str, version: int, fingerprint: str) -> Path:
    """Where the doctor's report on a version is. The program's own folder may not be writable."""
    if name not in DEMO_FOLDERS:
        return version_folder(name, version) / "report.json"
    return home() / "cache" / f"report-{name}-{fingerprint[:16]}.json"


def rewards_file(name: str, version: int, fingerprint: str) -> Path:
    """Where it is what a reward model said of a version's pairs."""
    if name not in DEMO_FOLDERS:
        return version_folder(name, version) / "rewards.json"
    return home() / "cache" / f"rewards-{name}-{fingerprint[:16]}.json"


def version_folder(name: str, number: int | None = None) -> Path:
    """The folder of a version, or of the one in use."""
    folder = existing(name)
    wanted = number or current_version(name)
    return folder if wanted == 1 else folder / "versions" / str(wanted)


def current_version(name: str) -> int:
    """Which version is in use. A dataset that was never changed has only version 1."""
    known = read_json(existing(name) / "current.json")
    number = known.get("version") if isinstance(known, dict) else None
    return number if isinstance(number, int) and number in version_numbers(name) else version_numbers(name)[-1]


def version_numbers(name: str) -> list[int]:
    """The versions that there are, in the order in which they were made. Those after the one in use were undone."""
    folder = existing(name) / "versions"
    made = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()] if folder.is_dir() else []
    return [1, *sorted(made)]


@contextmanager
def settling(name: str) -> Iterator[None]:
    """Alone among all processes, for the moments in which a dataset gets its place, another version, or goes."""
    with writing(f"The dataset {name}"), _alone():
        yield


def settle(grown: Path, name: str) -> None:
    """Give a finished dataset its place and its name. Raises WorkbenchError where somebody else was faster."""
    with settling(name):
        check_free(name)
        os.rename(grown, folder_of(name))


def use_version(name: str, number: int) -> None:
    """Make a version the one in use."""
    folder = existing(name)
    write_json(folder / "current.json", {"version": number, "last": max(last_version(name), number)})


def last_version(name: str) -> int:
    """The highest number that a version ever had: a number is never given twice."""
    known = read_json(existing(name) / "current.json")
    last = known.get("last") if isinstance(known, dict) else None
    return max(last if isinstance(last, int) else 1, *version_numbers(name))


def check_free(name: str) -> None:
    """Raises WorkbenchError for a name that a new dataset cannot have, with one that it can."""
    check_name(name, "dataset")
    if _is_taken(name):
        raise WorkbenchError(
            f"There is a dataset called {name} already. Choose another name, such as {free_name(name)}."
        )


def free_name(name: str) -> str:
    """`name` itself, or the first of name-2, name-3, ... that no dataset has."""
    check_name(name, "dataset")
    number, free = 1, name
    while _is_taken(free):
        number += 1
        ending = f"-{number}"
        free = name[: 64 - len(ending)].rstrip("._-") + ending
    return free


def delete(name: str) -> None:
    """Remove a dataset of the user with all its versions. Raises WorkbenchError for one that comes with the program."""
    folder = existing(name)
    if name in DEMO_FOLDERS:
        raise WorkbenchError(f"{name} comes with the workbench and cannot be deleted.")
    with writing(f"The deletion of {name}"), _alone():
        _remove(folder)


@contextmanager
def draft() -> Iterator[Path]:
    """A folder in which a dataset or a version grows. What is not moved out of it by the end is gone.

    Its name says which process it belongs to, so that what a killed one left can be told from work that goes on.
    """
    sweep_drafts()
    growing = _own() / f"{draft_prefix()}{secrets.token_hex(4)}"
    growing.mkdir()
    try:
        yield growing
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def draft_prefix() -> str:
    """How the names of drafts of this process begin."""
    return f".draft-{os.getpid()}-{started(os.getpid()):.2f}-"


def sweep_drafts() -> None:
    """Remove the drafts of processes that are gone."""
    for left in abandoned(_own()):
        shutil.rmtree(left, ignore_errors=True)


def abandoned(place: Path) -> list[Path]:
    """Drafts in a folder whose processes are gone."""
    drafts = ((file, _DRAFT.match(file.name)) for file in place.iterdir())
    return [file for file, owner in drafts if owner and not alive(int(owner[1]), float(owner[2]))]


def remove_versions(name: str, numbers: list[int]) -> None:
    """Remove versions that nothing uses any more. One that cannot be removed does no harm."""
    for number in numbers:
        with suppress(OSError):
            _remove(version_folder(name, number))


def _alone() -> FileLock:
    return FileLock(home() / "datasets.lock", timeout=_LOCK_SECONDS)


def _remove(unused: Path) -> None:
    """Out of sight in one step, so that nobody meets half of it. Needs no room on the disk."""
    away = _own() / f"{draft_prefix()}{secrets.token_hex(4)}"
    os.rename(unused, away)
    shutil.rmtree(away, ignore_errors=True)


def _is_taken(name: str) -> bool:
    return name in DEMO_FOLDERS or folder_of(name).exists()


def _own() -> Path:
    return folder_in_home("datasets")
