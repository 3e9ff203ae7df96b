"""The trash of the home: folders of runs, and conversations, until it is emptied."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.store.home import folder_in_home, write_json, writing
from workbench.store.records import Damaged, Record
from workbench.store.run_files import Fields, Seconds
from workbench.store.run_notes import notes_of
from workbench.store.runs import Run, free_name, made_at, runs_folder

_ABOUT = "thrown.json"


class _About(Fields):
    name: str
    time: Seconds


_THROWN: Record[_About] = Record(_About)


@dataclass(frozen=True)
class Thrown:
    """A run in the trash. place: its folder there. name: what it was called. time: since the epoch. title: that somebody gave it."""

    place: str
    name: str
    time: float
    bytes: int
    title: str = ""


@dataclass(frozen=True)
class Content:
    """runs: the one thrown away last comes first. others: conversations, and what somebody put there by hand. bytes: of all."""

    runs: tuple[Thrown, ...] = ()
    others: int = 0
    bytes: int = 0


def throw_away(run: Run) -> Path:
    """Move a run's folder, as it is, to the trash beside the runs, in one step. Returns where it lies now.

    Raises WorkbenchError where the system does not let it be moved.
    """
    with suppress(OSError):  # a full disk is a reason to throw away: then its folder alone says what it was called
        write_json(run.folder / _ABOUT, {"name": run.name, "time": time.time()})
    with writing(f"The run {run.name} in the trash"):
        trash = folder_in_home("trash")
        names = chain([run.name], (f"{run.name}-{number}" for number in count(2)))
        place = next(trash / name for name in names if not os.path.lexists(trash / name))
        os.rename(run.folder, place)
    return place


def content() -> Content:
    """What lies in the trash now."""
    found, others, total = [], 0, 0
    for entry in _entries():
        size = size_of(entry.path)
        total += size
        run = Run(Path(entry.path))
        if entry.is_dir(follow_symlinks=False) and (made := made_at(run)) is not None:
            about = _about(run)
            name, when = (about.name, about.time) if about else (entry.name, made)
            found.append(Thrown(entry.name, name, when, size, notes_of(run).title))
        else:
            others += 1
    return Content(tuple(sorted(found, key=lambda one: one.time, reverse=True)), others, total)


def names() -> set[str]:
    """What the runs in the trash were called."""
    found = [Run(Path(entry.path)) for entry in _entries() if entry.is_dir(follow_symlinks=False)]
    return {about.name if (about := _about(run)) else run.name for run in found}


def take_back(place: str) -> Run:
    """Move a run from the trash to the runs, under its name, or a free one like it where another run has that by now.

    Raises WorkbenchError where there is none, and where the system does not let it be moved.
    """
    thrown = next((one for one in content().runs if one.place == place), None)
    if thrown is None:
        raise WorkbenchError(f"There is no run {place[:80]} in the trash. It may have been taken back, or deleted.")
    run = Run(runs_folder() / free_name(thrown.name))
    with writing(f"The run {run.name}"):
        os.rename(folder_in_home("trash") / thrown.place, run.folder)
        (run.folder / _ABOUT).unlink(missing_ok=True)
    return run


def empty() -> Content:
    """Delete all that lies in the trash, for good. Gives what it was.

    Raises WorkbenchError, with the rest deleted, where the system does not let something be deleted.
    """
    was, failed = content(), []
    for entry in _entries():
        try:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)  # of a link, the link alone
        except OSError as error:
            failed.append(f"{entry.path} cannot be deleted ({error.strerror or error}).")
    if failed:
        raise WorkbenchError(*failed, "All else in the trash is deleted.")
    return was


def size_of(path: str | os.PathLike[str]) -> int:
    """Bytes of a file, or of all files in a folder; a link is not followed."""
    total = 0
    with suppress(OSError):  # what is gone between two looks has no bytes
        if os.path.islink(path) or not os.path.isdir(path):
            return os.lstat(path).st_size
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _entries() -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder_in_home("trash")) as entries:
        yield from list(entries)


def _about(run: Run) -> _About | None:
    try:
        return _THROWN.read(run.folder / _ABOUT)
    except Damaged:
        return None
