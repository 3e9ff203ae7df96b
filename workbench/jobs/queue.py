"""Runs that wait for the device: put in, taken out, and started one after the other by a keeper of their own.

The keeper is a small process that outlives the window (`python -m workbench.jobs.queue`). One at a time keeps the queue;
where it died, the next look starts another. What waits and what holds it is on disk (`store/queue.py`).
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import RunConfig
from workbench.core.training.forks import Fork
from workbench.jobs import processes, training
from workbench.jobs.environment import child_environment
from workbench.jobs.situation import refuse_where_nothing_trains
from workbench.store import queue
from workbench.store.forks import fork_of
from workbench.store.home import home, read_json, write_json
from workbench.store.queue import Hold
from workbench.store.records import Damaged
from workbench.store.run_files import WORKER
from workbench.store.runs import Run, check_reward, needed_runs, open_run, starting_run

KEEPER = (sys.executable, "-m", "workbench.jobs.queue")
BETWEEN_LOOKS = 1.0  # seconds


def add(config: RunConfig, fork: Fork | None = None, keeper: Sequence[str] = KEEPER) -> Run:
    """Put a run at the end of the queue. Where nothing trains or waits, it starts at once.

    It may need runs that train or wait themselves. Raises WorkbenchError, with nothing left behind, as `training.start` does.
    """
    return add_all([config], fork, keeper)[0]


def add_all(configs: Sequence[RunConfig], fork: Fork | None = None, keeper: Sequence[str] = KEEPER) -> list[Run]:
    """Put runs at the end of the queue in this order, of which a later one may need an earlier one: all of them, or none.

    fork: of all of them. Raises as `add`.
    """
    refuse_where_nothing_trains()
    training.check_room()
    made: list[Run] = []
    with training.starts():
        try:
            for config in configs:
                training.check(config, fork, coming())
                made.append(training.make_run(config, fork))
        except BaseException:
            for run in made:
                _take_out(run)
            raise
    with contextlib.suppress(OSError):  # they wait; whoever looks next tries again
        look(keeper)
    return made


def check_all(configs: Sequence[RunConfig]) -> None:
    """Raises WorkbenchError where runs, of which a later one may need an earlier one, could not be put into the queue."""
    names = {config.name for config in configs}
    for config in configs:
        if needed_runs(config) & names:
            training.check_data(config)
        else:
            training.check(config, coming=coming())


def coming() -> set[str]:
    """The runs that will have ended before one that is put into the queue now."""
    running = training.running()
    return {run.name for run in (*waiting(), *([running] if running else []))}


def waiting() -> list[Run]:
    """The runs that wait, the next one first."""
    return [run for run in queue.marked() if training.state_of(run) == "queued"]


def held() -> Hold | None:
    """What keeps the next run from starting, beside a run that trains: a person, or a full disk."""
    if found := queue.held():
        return found
    try:
        training.check_room()
    except WorkbenchError as error:
        return Hold(why=str(error).removesuffix(" Nothing was started."))
    return None


def remove(name: str) -> str:
    """Take a run out of the queue, with its folder, in which nothing was trained. Says what was done."""
    with training.starts():
        _take_out(_waiting_run(name))
    return f"{name} was taken out of the queue. Nothing of it had been trained."


def _take_out(run: Run) -> None:
    run.config_file.unlink()  # first: without it the folder is no run, whenever this is interrupted
    shutil.rmtree(run.folder)


def to_front(name: str) -> str:
    """Let a run be the next one. Says what was done."""
    with training.starts():
        queue.mark(_waiting_run(name), first=True)
    return f"{name} is the next one."


def hold() -> str:
    """Keep the queue from starting anything. Says what follows from that."""
    with training.starts():
        queue.hold("You put it on hold.")
    return "The queue is on hold. A run that is training continues to its end; the next one waits for you."


def go_on(keeper: Sequence[str] = KEEPER) -> str:
    """Resume queue. Says what happens next."""
    with training.starts():
        queue.release()
    look(keeper)
    if found := held():
        return f"The queue still waits: {found.why}"
    return "The queue is running again." if waiting() else "The queue is running, and nothing waits in it."


def look(keeper: Sequence[str] = KEEPER) -> None:
    """Start a keeper where one is needed and none lives. Cheap where that is not so: pages ask each second."""
    if not _needs_keeper():
        return
    with training.starts():
        if not _needs_keeper():
            return
        with open(home() / "queue.log", "ab") as log:
            process = processes.start_detached(keeper, log, child_environment(), stdin=subprocess.DEVNULL)
        _write_keeper(process.pid)


def main(worker: Sequence[str]) -> int:
    """Keep the queue until nothing is left to start and nothing trains. worker: as `training.start` takes it."""
    lock = FileLock(home() / "queue.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return 0  # another one keeps it
    busy: Run | None = None
    while True:
        with training.starts():
            _write_keeper(os.getpid())
            busy, goes_on = _turn(busy, worker)
            if not goes_on:
                # Under the lock, so that whoever adds a run next sees that nobody keeps it.
                _keeper_file().unlink(missing_ok=True)
                return 0
        time.sleep(BETWEEN_LOOKS)


def _turn(before: Run | None, worker: Sequence[str]) -> tuple[Run | None, bool]:
    """One look of the keeper: start the next run where the device is free.

    before: the run that had its turn or the device at the last look. Gives back the one that has it now, and whether there
    is anything left to do.
    """
    for run in queue.marked():
        if training.state_of(run) not in ("queued", "unreadable"):
            queue.unmark(run)  # whoever started it died before it could
    if busy := training.running():
        return busy, True
    left = waiting()
    if not left or _hold_after(before):
        return None, False
    if training.unlisted_holder():
        return before, True  # a worker that ends itself, or has told its result and is about to be gone
    run = _next_of(left)
    try:
        training.check_rows(run)
        if fork_of(run) is None:  # a fork has its start in its own folder
            starting_run(run.config())
            check_reward(run.config())
        training.begin(run, worker)
    except training.DeviceTaken:
        return before, True
    except (WorkbenchError, OSError) as error:
        run.write_result("failed", f"When its turn came, it could not start: {error}")
        queue.unmark(run)
    return run, True


def _next_of(left: Sequence[Run]) -> Run:
    """The first that needs none of the others: somebody may have put a run in front of its own reward model."""
    names = {run.name for run in left}
    for run in left:
        with contextlib.suppress(WorkbenchError):  # of one that cannot be read it is said when its turn comes
            if not needed_runs(run.config()) & names:
                return run
    return left[0]


def _hold_after(before: Run | None) -> Hold | None:
    """What holds the queue when a turn comes. A full disk holds it until a person lets it go on, even when it has room by then."""
    found = held()
    if found is None and before and training.state_of(before) in ("failed", "lost"):
        if "disk is full" not in training.summary(before):
            return None
        found = Hold(why=f"The disk was full in {before.name}. Make room first.")
    if found and queue.held() is None:
        with contextlib.suppress(OSError):  # not even for this line is there room
            queue.hold(found.why)
    return found


def _waiting_run(name: str) -> Run:
    run = open_run(name)
    if training.state_of(run) != "queued":
        raise WorkbenchError(f"{name} does not wait in the queue: it is {training.state_of(run)}.")
    return run


def _needs_keeper() -> bool:
    if not queue.marked() or held():
        return False
    try:
        keeper = WORKER.read(_keeper_file())
    except Damaged:  # the lock that a keeper holds sees to it that there is one at most
        keeper = None
    return keeper is None or not processes.alive(keeper.pid, keeper.created)


def _write_keeper(pid: int) -> None:
    now = {"pid": pid, "created": processes.started(pid)}
    if read_json(_keeper_file()) != now:
        write_json(_keeper_file(), now)


def _keeper_file() -> Path:
    return home() / "queue-keeper.json"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or training.WORKER))
