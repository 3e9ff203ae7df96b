"""Checkpoints of a run: complete or not there.

A checkpoint grows beside the others, gets a manifest with the size and the SHA-256 of each of its files, goes to the
disk, and then takes its name in one step. What a reader finds is checked against its manifest, so that a file that a
dying machine tore is never resumed from.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.training.config import Stage
from workbench.core.training.methods import METHODS, stage_title
from workbench.store.home import read_json, write_json
from workbench.store.runs import Run

MANIFEST = "manifest.json"
KEPT = 2  # the newest, and one before it should the newest be damaged

# training_args.bin is a pickle that nothing reads, and the card is written for the result. "ref" is the adapter of the
# stage before, which is kept already; with it, Transformers would load only "ref" and forget the adapter that trains.
# The reward model of an online method lies in the run's folder too.
_NOT_NEEDED = ("training_args.bin", "README.md", "ref", "reward")


@dataclass(frozen=True)
class Checkpoint:
    """Where a run can go on. step: optimizer steps of the stage that are done."""

    folder: Path
    stage: Stage
    step: int

    @property
    def words(self) -> str:
        return f"step {self.step:,} of {stage_title(self.stage)}"


def keep(run: Run, stage: Stage, step: int, draft: Path) -> Checkpoint:
    """Make a checkpoint of the folder that a trainer has written. Older ones go once this one is there.

    Raises OSError where the disk is full; the checkpoints before it stay.
    """
    for name in _NOT_NEEDED:
        _remove(draft / name)
    seal(draft, {"stage": stage, "step": step})
    folder = folder_of(_folder(run), stage, step)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    os.replace(draft, folder)
    for old in by_age(_folder(run))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return Checkpoint(folder, stage, step)


def seal(draft: Path, values: Mapping[str, Any]) -> None:
    """Bring the files of a folder to the disk, with a manifest of them that holds these values besides."""
    files = {file.relative_to(draft).as_posix(): file for file in sorted(draft.rglob("*")) if file.is_file()}
    described = {name: [file.stat().st_size, _sha256(file)] for name, file in files.items()}
    for file in files.values():
        _to_disk(file)
    write_json(draft / MANIFEST, {**values, "files": described})


def folder_of(place: Path, stage: Stage, step: int) -> Path:
    """The folder of a step among others."""
    return place / f"{stage}-{step:07d}"


def newest(run: Run, at_a_glance: bool = False) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none. See `whole`."""
    return next(whole(run, at_a_glance), None)


def whole(run: Run, at_a_glance: bool = False) -> Iterator[Checkpoint]:
    """The checkpoints that are whole, newest first.

    at_a_glance: by the sizes of their files, for a page; whoever resumes reads all of them.
    """
    for folder in reversed(by_age(_folder(run))):
        if found := read(folder, at_a_glance):
            yield found


def read(folder: Path, at_a_glance: bool = False) -> Checkpoint | None:
    """The checkpoint in a folder, if every file is as its manifest says."""
    manifest = read_json(folder / MANIFEST)
    try:
        stage, step, files = manifest["stage"], int(manifest["step"]), manifest["files"]
        whole = stage in METHODS and all(
            (folder / name).stat().st_size == size and (at_a_glance or _sha256(folder / name) == digest)
            for name, (size, digest) in files.items()
        )
    except (TypeError, AttributeError, KeyError, ValueError, OverflowError, OSError):  # whatever a manifest may hold
        return None
    return Checkpoint(folder, stage, step) if whole and files else None


def by_age(within: Path) -> list[Path]:
    """The folders of steps in a folder, in the order in which a run comes to them."""

    def place(folder: Path) -> tuple[int, int]:
        stage, _, step = folder.name.rpartition("-")
        return list(METHODS).index(stage), int(step)

    try:
        found = [folder for folder in within.iterdir() if folder.is_dir()]
    except OSError:  # there are none, or a file lies in the place of the folder
        return []
    named = [folder for folder in found if folder.name.rpartition("-")[0] in METHODS]
    return sorted((folder for folder in named if folder.name.rpartition("-")[2].isdecimal()), key=place)


def _folder(run: Run) -> Path:
    return run.folder / "checkpoints"


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _to_disk(file: Path) -> None:
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
