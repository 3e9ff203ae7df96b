"""Every run with what it is doing, at one moment. What did not change on disk since the last survey is not read again."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.core.training.run_state import State, state
from workbench.jobs import processes
from workbench.store import queue
from workbench.store.records import STILL_WARM
from workbench.store.run_files import NEEDED, Outcome
from workbench.store.runs import Run, made_at, runs_folder

Signature = tuple[tuple[int, int, int] | None, ...]
"""Of each file that says what a run is doing: inode, bytes, nanoseconds of its last change; None where it is not there."""

_FILES = (*NEEDED, queue.MARKER)

_known: dict[str, "_Facts"] = {}


@dataclass(frozen=True)
class _Facts:
    """What the files of a run say of it."""

    signature: Signature
    made: float | None  # seconds since the epoch; None where the folder is no run
    readable: bool = True
    outcome: Outcome | None = None
    waits: bool = False
    pid: int | None = None
    created: float | None = None


@dataclass(frozen=True)
class Survey:
    """All runs, the newest first, and the state of each by its name."""

    runs: tuple[Run, ...]
    states: Mapping[str, State]

    @cached_property
    def running(self) -> Run | None:
        """The run that has the device, whoever started it."""
        return next((run for run in self.runs if self.states[run.name] == "running"), None)

    @cached_property
    def waiting(self) -> tuple[Run, ...]:
        """The runs that wait for the device, the next one first."""
        waits = [run for run in self.runs if self.states[run.name] == "queued"]
        return tuple(sorted(waits, key=queue.order))


def survey() -> Survey:
    """Look at all runs now."""
    found: list[tuple[float, str, Run, State]] = []
    with os.scandir(runs_folder()) as entries:
        for entry in entries:
            facts = _facts(entry.path)
            if facts.made is not None:
                found.append((facts.made, entry.name, Run(Path(entry.path)), _state(facts, entry.path)))
    found.sort(key=lambda one: one[:2], reverse=True)
    gone = _known.keys() - {str(run.folder) for *_, run, _ in found}
    for path in gone:
        _known.pop(path, None)  # another thread may have been faster
    return Survey(tuple(run for *_, run, _ in found), {name: now for _, name, _, now in found})


def state_of(run: Run) -> State:
    """What a run is doing, derived from its folder and its process."""
    return _state(_facts(str(run.folder)), str(run.folder))


def _state(facts: _Facts, path: str) -> State:
    if not facts.readable:
        return "unreadable"
    if facts.outcome:
        return state(False, facts.outcome)
    if processes.alive(facts.pid, facts.created):
        return state(True, None, facts.waits)
    # The worker may have written its result, and ended, between the two looks.
    facts = _facts(path)
    return state(False, facts.outcome, facts.waits) if facts.readable else "unreadable"


def _facts(path: str) -> _Facts:
    signature = _signature(path)
    known = _known.get(path)
    if known and known.signature == signature:
        return known
    facts = _read(Run(Path(path)), signature)
    changed = max((one[2] for one in signature if one), default=0)
    if changed and time.time_ns() - changed > STILL_WARM * 1e9:
        _known[path] = facts
    return facts


def _read(run: Run, signature: Signature) -> _Facts:
    made = made_at(run)
    if made is None:
        return _Facts(signature, None)
    try:
        if run.problems():
            return _Facts(signature, made, readable=False)
        # Looked at before the worker: a run gets its worker first, and then stops waiting.
        waits, worker, result = queue.is_marked(run), run.worker(), run.result()
    except WorkbenchError:  # damaged between the two looks
        return _Facts(signature, made, readable=False)
    outcome = result.outcome if result else None
    return _Facts(signature, made, True, outcome, waits, worker.get("pid"), worker.get("created"))


def _signature(path: str) -> Signature:
    return tuple([_stat(f"{path}{os.sep}{name}") for name in _FILES])


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
