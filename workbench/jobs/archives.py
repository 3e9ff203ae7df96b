"""A run as one file, to take from one machine to another, and the way back.

With the last checkpoints, so that a paused run goes on elsewhere, where its data has to be under the same name. Without tokens,
pids and, unless asked for, the log; folders of this machine are shortened to "~" wherever they are not what the run is made of.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import workbench
from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.core.names import to_name
from workbench.jobs.exports import public_name
from workbench.jobs.survey import state_of
from workbench.store import best, checkpoints, run_notes
from workbench.store.adapter_files import SETTINGS, check_adapter
from workbench.store.archive_rules import ABOUT, PICKLES, check_saved_state, checked_members, is_known
from workbench.store.home import home, writing
from workbench.store.runs import Run, claim_folder, free_name, open_run

FORMAT = "alignment-workbench run 1"
_TEXT = (".json", ".jsonl", ".md", ".log")
_PACKED_WELL = (*_TEXT, ".jinja", ".txt")
_PIECE = 2**20  # bytes
_WITHOUT_ROOM = 300 * 2**20  # bytes that stay free on the disk


def pack(run_name: str, out: Path, logs: bool = False, notes: bool = True) -> list[str]:
    """Write a run as one archive, whole or not at all. Gives the names of the files in it.

    logs: with what the worker printed, which names folders of this machine. notes: with what a person wrote on it. Raises WorkbenchError for a run that trains, and
    where the file is there already or cannot be written.
    """
    run = open_run(run_name)
    if state_of(run) == "running":
        raise WorkbenchError(f"{run.name} is training. Pause it, or wait until it has ended.")
    out = out.expanduser().absolute()
    if out.exists():
        raise WorkbenchError(f"{out} is there already. Name a file that is not there yet.")
    draft = out.with_name(f".{out.name}.draft")
    names = [name for name in files_of(run, logs) if notes or name != run_notes.FILE]
    with writing(f"The archive {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(draft, "w") as archive:
                about = {"format": FORMAT, "name": run.name, "workbench": workbench.__version__}
                archive.writestr(ABOUT, json.dumps(about, indent=2) + "\n", zipfile.ZIP_DEFLATED)
                for name in names:
                    _add(archive, run, name)
            os.replace(draft, out)
        finally:
            draft.unlink(missing_ok=True)
    return names


def files_of(run: Run, logs: bool = False) -> Iterator[str]:
    """The files of a run that go into its archive: known ones of whole checkpoints, and no links."""
    whole = {f"checkpoints/{found.folder.name}" for found in checkpoints.whole(run, at_a_glance=True)}
    whole |= {f"best/{found[0].folder.name}"} if (found := best.best_of(run)) else set()
    for file in sorted(run.folder.rglob("*")):
        name = file.relative_to(run.folder).as_posix()
        torn = name.startswith(("checkpoints/", "best/")) and "/".join(name.split("/")[:2]) not in whole
        linked = any(place.is_symlink() for place in (file, *file.parents) if place.is_relative_to(run.folder))
        if file.is_file() and is_known(name, logs) and not torn and not linked:
            yield name


def unpack(file: Path) -> Run:
    """Store the run in an archive, under its name or a free one like it.

    Raises WorkbenchError, with nothing stored, for a file that is no such archive, that holds anything else, that does not fit
    on the disk, or whose run cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = checked_members(archive)
            _check_room(sum(one.file_size for one in members))
            with tempfile.TemporaryDirectory(prefix=".unarchive-", dir=home()) as place:
                name = free_name(to_name(_name_in(archive, file), "run"))
                found = Run(Path(place) / name)
                with writing(f"The run {name}"):
                    for one in members:
                        if one.filename != ABOUT:
                            _take(archive, one, found.folder / one.filename)
                _check(found)
                run = claim_folder(name)
                with writing(f"The run {name}"):
                    run.folder.rmdir()  # a folder takes no other's place on Windows
                    os.replace(found.folder, run.folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise WorkbenchError(
            f"{file.name} is no archive, or a damaged one ({error}). Make it again with `workbench archive RUN`."
        ) from None
    except FileNotFoundError:
        raise WorkbenchError(f"There is no file {file}.") from None
    return run


def _add(archive: zipfile.ZipFile, run: Run, name: str) -> None:
    source = run.folder / name
    packing = zipfile.ZIP_DEFLATED if source.suffix in _PACKED_WELL else zipfile.ZIP_STORED
    if source.suffix not in _TEXT:
        archive.write(source, name, packing)
    elif source.name == checkpoints.MANIFEST:
        archive.writestr(name, _manifest(run, source), packing)
    else:
        archive.writestr(name, cleaned(run, source), packing)


def cleaned(run: Run, source: Path) -> bytes:
    """A text file of a run without tokens and without folders of this machine, but for the settings that it cannot do without."""
    text = masked(source.read_text(encoding="utf-8", errors="replace"))
    if source == run.config_file:
        return text.encode()
    if source.name == SETTINGS:
        try:
            settings = json.loads(text) | {"base_model_name_or_path": public_name(run.config().model)}
            text = json.dumps(settings, indent=2) + "\n"
        except (ValueError, TypeError):  # damaged, as whoever reads it will say
            pass
    # As in text, and as JSON writes a backslash.
    for folder in (home(), Path(workbench.__file__).parent.parent, Path.home()):
        for written in (str(folder), json.dumps(str(folder))[1:-1]):
            if len(written) > 3:
                text = re.sub(rf"{re.escape(written)}(?![\w.-])", "~", text)
    return text.encode()


def _manifest(run: Run, source: Path) -> bytes:
    """What a checkpoint's manifest says once its text files are cleaned."""
    manifest = json.loads(source.read_text(encoding="utf-8"))
    for name in manifest["files"]:
        if Path(name).suffix in _TEXT:
            text = cleaned(run, source.parent / name)
            manifest["files"][name] = [len(text), hashlib.sha256(text).hexdigest()]
    return (json.dumps(manifest, indent=2) + "\n").encode()


def _name_in(archive: zipfile.ZipFile, file: Path) -> str:
    try:
        about = json.loads(archive.open(ABOUT).read(10_000))
        return str(about["name"])
    except (KeyError, ValueError, TypeError):
        return file.stem


def _check_room(needed: int) -> None:
    free = shutil.disk_usage(home()).free - _WITHOUT_ROOM
    if needed > free:
        raise WorkbenchError(
            f"The run would have {needed / 1e9:.1f} GB, and there is room for {max(0, free) / 1e9:.1f} GB. Make room. Nothing was stored."
        )


def _take(archive: zipfile.ZipFile, one: zipfile.ZipInfo, target: Path) -> None:
    """Write one file, and no more of it than the archive announced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(one) as packed, open(target, "xb") as written:
        _copy(packed, written, one.file_size)


def _copy(packed: IO[bytes], written: IO[bytes], most: int) -> None:
    while piece := packed.read(_PIECE):
        most -= len(piece)
        if most < 0:
            raise zipfile.BadZipFile("a file is larger than it says")
        written.write(piece)


def _check(found: Run) -> None:
    """Raises WorkbenchError where what was unpacked is not a run that can be read, or could do harm once it goes on."""
    if problems := found.problems():
        raise WorkbenchError(*problems, "Nothing was stored.")
    for file in found.folder.rglob("*"):
        if file.name in PICKLES:
            check_saved_state(file)
    for settings in found.folder.rglob(SETTINGS):
        check_adapter(settings.parent, f"{settings.parent.name} in the archive")
    folders = [one for one in (*found.best_folder.glob("*"), *(found.folder / "checkpoints").glob("*")) if one.is_dir()]
    if not all(checkpoints.read(folder) for folder in folders):
        raise WorkbenchError("A checkpoint in the archive is not as its manifest says. Nothing was stored.")
