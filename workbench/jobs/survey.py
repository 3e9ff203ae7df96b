"""Every run with what it is doing, at one moment. What did not change on disk since the last survey is not read again."""

import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.core.training.run_state import State, state
from workbench.jobs import processes
from workbench.store import queue, run_notes
from workbench.store.records import STILL_WARM
from workbench.store.run_files import NEEDED, Outcome
from workbench.store.runs import Run, made_at, put_adapter_back, runs_folder
from workbench.store.signed_facts import WORTH_KEEPING, Signature, Stat, read_signed, write_signed

_FILES = (*NEEDED, queue.MARKER, run_notes.FILE)

# Of more ended runs than this, each survey looks at the files of so many; of all others at the folder, which changes with every
# file that the workbench writes, removes or replaces in it. What somebody changes in a file itself is seen some surveys later.
LOOKED_INTO = 200

_KEPT = "survey"

_known: dict[str, "_Facts"] = {}
_turns = itertools.count()
_kept_of: list[Path] = []  # the folder of which what an earlier process knew was read


@dataclass(frozen=True)
class _Facts:
    """What the files of a run say of it."""

    signature: Signature
    run: Run
    made: float | None  # seconds since the epoch; None where the folder is no run
    readable: bool = True
    outcome: Outcome | None = None
    waits: bool = False
    pid: int | None = None
    created: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Survey:
    """All runs, the newest first. By the name of each: its state, when it was made, the title that somebody gave it, and what
    its files looked like."""

    runs: tuple[Run, ...]
    states: Mapping[str, State]
    made: Mapping[str, float] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    signatures: Mapping[str, Signature] = field(default_factory=dict)

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
    found: list[tuple[float, str, _Facts]] = []
    folder = runs_folder()
    with os.scandir(folder) as entries:
        paths = [(entry.name, entry.path) for entry in entries]
    _remember(folder)
    before = dict(_known)
    turns = 1 + len(paths) // LOOKED_INTO
    turn = next(_turns) % turns
    for number, (name, path) in enumerate(paths):
        facts = _facts(path) if number % turns == turn else _at_a_glance(path)
        if facts.made is not None:
            found.append((facts.made, name, facts))
    found.sort(key=lambda one: one[:2], reverse=True)
    for path in _known.keys() - {path for _, path in paths}:
        _known.pop(path, None)  # another thread may have been faster
    _keep(before)
    return Survey(
        tuple(facts.run for *_, facts in found),
        {name: _state(facts, str(facts.run.folder)) for _, name, facts in found},
        {name: made for made, name, _ in found},
        {name: facts.title for _, name, facts in found if facts.title},
        {name: facts.signature for _, name, facts in found},
    )


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


def _remember(folder: Path) -> None:
    """Begin with what an earlier process knew of ended runs. It is told from what is true now by the signatures."""
    if _kept_of == [folder]:
        return
    _kept_of[:] = [folder]
    for name, (signature, facts) in read_signed(_KEPT).items():
        path = str(folder / name)
        if path not in _known and len(signature) == len(_FILES) + 1:
            _known[path] = _Facts(
                signature, Run(folder / name), facts["made"], True, facts["outcome"], title=facts["title"]
            )


def _keep(before: Mapping[str, "_Facts"]) -> None:
    if sum(1 for path, facts in _known.items() if before.get(path) is not facts) < WORTH_KEEPING:
        return
    ended = [(path, facts) for path, facts in list(_known.items()) if facts.outcome]
    write_signed(
        _KEPT,
        {
            os.path.basename(path): (
                facts.signature,
                {"made": facts.made, "outcome": facts.outcome, "title": facts.title},
            )
            for path, facts in ended
        },
    )


def _at_a_glance(path: str) -> _Facts:
    """Of a run that has ended, and whose folder is as it was, what is known of it."""
    known = _known.get(path)
    return known if known and known.outcome and known.signature[0] == _stat(path) else _facts(path)


def _facts(path: str) -> _Facts:
    signature = _signature(path)
    known = _known.get(path)
    if known and known.signature == signature:
        return known
    facts = _read(Run(Path(path)), signature)
    changed = max((one[2] for one in signature if one), default=0)
    if changed and time.time_ns() - changed > STILL_WARM * 1e9:
        _known[path] = facts
    else:
        _known.pop(path, None)  # what was known is not so any more
    return facts


def _read(run: Run, signature: Signature) -> _Facts:
    put_adapter_back(run)
    made = made_at(run)
    if made is None:
        return _Facts(signature, run, None)
    title = run_notes.notes_of(run).title
    try:
        if run.problems():
            return _Facts(signature, run, made, readable=False, title=title)
        # Looked at before the worker: a run gets its worker first, and then stops waiting.
        waits, worker, result = queue.is_marked(run), run.worker(), run.result()
    except WorkbenchError:  # damaged between the two looks
        return _Facts(signature, run, made, readable=False, title=title)
    outcome = result.outcome if result else None
    return _Facts(signature, run, made, True, outcome, waits, worker.get("pid"), worker.get("created"), title)


def _signature(path: str) -> Signature:
    return _stat(path), *[_stat(f"{path}{os.sep}{name}") for name in _FILES]


def _stat(path: str) -> Stat:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
