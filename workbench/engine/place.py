"""Whether a worker's run is still where it was: its folder, the settings in it, and its own name in worker.json.

A run whose folder is deleted, moved or replaced can be neither seen nor stopped, and what it writes would make parts of
the folder anew. So its worker ends itself, and tells why in the home (`store/gone.py`), where the window reads it.
Imports nothing heavy, so that a worker looks from its first second.
"""

import contextlib
import errno
import os
import shutil
import threading
import time
from pathlib import Path

import psutil

from workbench.core.errors import WorkbenchError
from workbench.store import gone
from workbench.store.alive import SAME_START, started
from workbench.store.home import home
from workbench.store.runs import Run

BETWEEN_LOOKS = 1.0  # seconds; while a model loads, while it answers, between two steps that take long

# Somebody may just be putting a file in the place of another one, or be in the middle of deleting many of them.
_TO_SETTLE = 0.2  # seconds
_TO_DELETE = 2.0  # seconds

_HALF_GONE = "lost its config.json"

# Of a drive that does not answer nobody can say what is on it: a run is not ended for that.
_IS_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


class PlaceGone(BaseException):
    """A run has lost its place. No Exception: whoever goes on after an error must not go on after this one."""


class Place:
    """The place of a run as its worker found it. Looking is cheap enough for every step: three looks at the disk."""

    def __init__(self, run: Run):
        self.run = run
        self._home = home()
        self._open: int | None = None
        self._folder: os.stat_result | None = None
        with contextlib.suppress(FileNotFoundError):
            self._folder = os.stat(run.folder)
            if os.name != "nt":  # held open, so that its number cannot become another folder's
                self._open = os.open(run.folder, os.O_RDONLY)
        self._read = _stat(self._worker_file)
        self._pid = named_pid(run)  # None where the run was started within another program, which names nobody
        self._leaving = threading.Lock()

    def check(self) -> None:
        """Raises PlaceGone, with the reason in words, where the run has lost its place."""
        if self.lost():
            time.sleep(_TO_SETTLE)
            until = time.monotonic() + _TO_DELETE
            while (why := self.lost()) == _HALF_GONE and time.monotonic() < until:
                time.sleep(_TO_SETTLE)
            if why:
                raise PlaceGone(why)

    def lost(self) -> str | None:
        """Why the place is gone, in words; None where all is as it was, or where the disk does not say."""
        try:
            now = _stat(self.run.folder)
            if now is None or self._folder is None:
                return "was deleted or moved"
            is_another, has_settings = not os.path.samestat(self._folder, now), _stat(self.run.config_file) is not None
            if is_another:  # what saves at this moment may have made an empty one
                return "was replaced by another one" if has_settings else "was deleted or moved"
            if not has_settings:
                return _HALF_GONE
            if self._pid and not self._still_named():
                return "no longer names its worker in worker.json"
        except OSError:
            return None
        return None

    def watch(self) -> None:
        """Look every second from now on, whatever the worker is at, and end it where its place is gone."""
        threading.Thread(target=self._watch, name="place of the run", daemon=True).start()

    def leave(self, why: str) -> None:
        """Tell what happened, end what this worker started, and take away what only a worker makes.

        Called once, by whoever is first: another thread waits here for the end of the process.
        """
        self._leaving.acquire()
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process().children(recursive=True):
                child.kill()
        _remove_litter(self.run)
        why = self.lost() or why  # what was half deleted when this worker looked may be gone by now
        words = f"The folder of {self.run.name} {why} while it trained, so its worker ended itself and gave the device back."
        with contextlib.suppress(OSError):  # the log may be deleted as well; it may also lie elsewhere by now
            print(words, flush=True)
        if self._home.is_dir():  # a home that is gone is not made anew
            pid = self._pid or os.getpid()
            with contextlib.suppress(OSError):
                gone.note(self.run.name, words, pid, started(pid))

    def _watch(self) -> None:
        while True:
            time.sleep(BETWEEN_LOOKS)
            try:
                self.check()
            except PlaceGone as end:
                try:
                    self.leave(str(end))
                finally:
                    os._exit(1)

    def _still_named(self) -> bool:
        """Whether worker.json names this process. It is read again only where it was written again."""
        now = _stat(self._worker_file)
        if now is None:
            return False
        if self._read is None or not _same_writing(self._read, now):
            self._read = now if named_pid(self.run) else None
        return self._read is not None

    @property
    def _worker_file(self) -> Path:
        return self.run.folder / "worker.json"


def named_pid(run: Run) -> int | None:
    """The pid in a run's worker.json, where it is this process; None otherwise."""
    try:
        found = run.worker()
    except WorkbenchError:  # damaged: it names nobody
        return None
    pid, created = found.get("pid"), found.get("created", 0.0)
    return pid if pid in _own_pids() and abs(started(pid) - created) < SAME_START else None


def _own_pids() -> set[int]:
    """This process, by all the names that its starter may know it by.

    On Windows the python of a virtual environment starts another one, and a worker that begins again is a child.
    """
    above = {one.pid for one in psutil.Process().parents()} if os.name == "nt" else set()
    return {os.getpid(), *above}


def _remove_litter(run: Run) -> None:
    """What a worker alone makes, out of a folder that is no run any more; with it the folder, where libraries made it anew."""
    if run.config_file.exists():
        return  # another run, or a copy of this one: not ours
    litter = [file for file in (run.folder / "scratch", *run.folder.glob(".adapter*.draft")) if file.is_dir()]
    for folder in litter:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        (run.folder / "reserve").unlink(missing_ok=True)
        if litter:
            run.folder.rmdir()


def _stat(path: Path) -> os.stat_result | None:
    """None where there is nothing. Raises OSError where nobody can say."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in _IS_GONE:
            return None
        raise


def _same_writing(before: os.stat_result, now: os.stat_result) -> bool:
    return os.path.samestat(before, now) and before.st_mtime_ns == now.st_mtime_ns
