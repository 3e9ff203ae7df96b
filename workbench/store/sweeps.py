"""Sweeps on disk, one small file each, which names their runs. A run that is gone leaves a gap; what it was stays written.

The names of a sweep's runs are not given to another sweep, so that none of them shows a run that is not its own.
"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import value_of
from workbench.core.training.sweep import Member, Sweep
from workbench.store.home import folder_in_home, write_json, writing
from workbench.store.ids import checked_id, is_id, new_id
from workbench.store.records import Damaged, Record
from workbench.store.runs import Run, runs_folder

_SWEEP: Record[Sweep] = Record(Sweep)

# Of the folder as it was looked at last: when it was changed, and the newest sweep of each run.
_of_runs: tuple[str, int, dict[str, Sweep]] = ("", 0, {})


def save(sweep: Sweep) -> Sweep:
    """Write a sweep down whole. Returns it with its id and time, which it gets when it is stored first."""
    if not sweep.id:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sweep = sweep.model_copy(update={"id": new_id(), "time": now})
    with writing("The sweep"):
        write_json(_file(sweep.id), sweep.model_dump(mode="json"))
    return sweep


def forget(sweep: Sweep) -> None:
    """Remove the record; its runs stay as they are."""
    with writing("That the sweep is gone"):
        _file(sweep.id).unlink(missing_ok=True)


def read(id: str) -> Sweep:
    """A stored sweep. Raises WorkbenchError where there is none, and where its file is damaged."""
    try:
        found = _SWEEP.read(_file(id))
    except Damaged as error:
        raise WorkbenchError(*[f"The sweep {id} cannot be read. {problem}" for problem in error.problems]) from None
    if found is None:
        raise WorkbenchError(f"There is no sweep {id}. It may have been deleted.")
    return found.model_copy(update={"id": id})


def all_sweeps() -> list[Sweep]:
    """Every sweep that can be read, the newest first."""
    found = []
    for file in sorted(folder_in_home("sweeps").glob("*.json"), reverse=True):
        if is_id(file.stem):
            with suppress(WorkbenchError):
                found.append(read(file.stem))
    return found


def of_run(name: str) -> Sweep | None:
    """The newest sweep that a run belongs to. Cheap where no sweep was added: pages ask each second."""
    global _of_runs
    folder = folder_in_home("sweeps")
    known = str(folder), folder.stat().st_mtime_ns
    if _of_runs[:2] != known:
        by_name = {member.run: sweep for sweep in reversed(all_sweeps()) for member in sweep.members}
        _of_runs = (*known, by_name)
    return _of_runs[2].get(name)


def run_of(sweep: Sweep, member: Member) -> Run | None:
    """The run of a member, where it is still there and has the value that it was made with."""
    run = Run(runs_folder() / member.run)
    if not run.config_file.is_file():
        return None
    with suppress(
        WorkbenchError, AttributeError
    ):  # a setting that this version does not know; settings that cannot be read
        return run if value_of(run.config(), sweep.setting) == member.value else None
    return None


def taken_names() -> set[str]:
    """The names of all runs, and of those that sweeps name although they are gone."""
    there = {path.name for path in runs_folder().iterdir()}
    return there | {member.run for sweep in all_sweeps() for member in sweep.members}


def _file(id: str) -> Path:
    return folder_in_home("sweeps") / f"{checked_id(id, 'sweep')}.json"
