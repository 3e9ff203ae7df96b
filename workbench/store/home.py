"""Where everything lives. WORKBENCH_HOME moves all of it."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from platformdirs import user_data_path

import workbench
from workbench.core.errors import WorkbenchError
from workbench.store.records import Damaged, parse
from workbench.store.space import bucket, on_space


def home() -> Path:
    """The user's folder: runs, datasets, choices, uploads. Made on first use. On a Space it lies in the mounted bucket, if any.

    Raises WorkbenchError where it cannot be made.
    """
    chosen = os.environ.get("WORKBENCH_HOME")
    if not chosen and on_space() and (mounted := bucket()):
        chosen = str(mounted / "alignment-workbench")
    path = Path(chosen).expanduser() if chosen else user_data_path("alignment-workbench", appauthor=False)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbenchError(
            f"The workbench cannot make its folder {path} ({error.strerror or error}). Set WORKBENCH_HOME to a folder that "
            "can be written to."
        ) from None
    return path.resolve()


def folder_in_home(name: str) -> Path:
    """A folder in the user's, made on first use."""
    path = home() / name
    with writing(f"The folder {name}"):
        path.mkdir(exist_ok=True)
    return path


@contextmanager
def writing(what: str) -> Iterator[None]:
    """A disk that is full or cannot be written to, in words. what: that could not be stored then."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        advice = (
            "The disk is full: make room on it"
            if full
            else f"Check whether the disk is full and whether {home()} can be written to"
        )
        raise WorkbenchError(
            f"{what} could not be stored ({error.strerror or error}). {advice}. Nothing was stored."
        ) from None


def shipped(part: str) -> Path:
    """A folder that comes with the program: `assets` or `presets`.

    A clone has it beside the package, an installed wheel inside it.
    """
    package = Path(workbench.__file__).parent
    inside = package / "_shipped" / part
    return inside if inside.is_dir() else package.parent / part


def append_line(file: IO[bytes], line: str) -> None:
    """Add a line to a file that is open for reading and appending. One that a kill or a full disk broke off does not swallow it."""
    file.seek(0, 2)
    if file.tell():
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")
    file.write(line.encode() + b"\n")


def write_json(path: Path, value: Any) -> None:
    """Write whole or not at all: draft beside it, to the disk, then rename."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all. A reader never sees half a file."""
    # Two threads of the window may write the same file at once.
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.draft")
    try:
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The value in a JSON file, or None where there is no file that can be read. See `Record` for what says why."""
    try:
        return parse(path)
    except (FileNotFoundError, Damaged):
        return None
