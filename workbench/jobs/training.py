"""Start, look at, stop: one run at a time, each in a worker process of its own.

A click starts a background thread; the thread watches a worker process. The worker outlives the window: whatever is
said about a run here is read from its folder and from the system's list of processes, never from memory.
"""

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Sequence

from filelock import FileLock

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.forks import Fork, fork_problems
from workbench.core.training.methods import DATA_KINDS, METHODS, stage_title
from workbench.core.training.recipe import planned_steps
from workbench.core.training.run_state import BEGIN, CAN_RESUME, WAITS_FOR_WORD, State, why_lost
from workbench.core.training.thinking import no_switch_message
from workbench.jobs import processes, warm
from workbench.jobs.environment import child_environment
from workbench.jobs.situation import refuse_where_nothing_trains
from workbench.jobs.survey import state_of as state_of
from workbench.jobs.survey import survey
from workbench.jobs.thinking import has_switch
from workbench.store import checkpoints, datasets, device, gone, queue, run_data
from workbench.store.device import Holder
from workbench.store.forks import take
from workbench.store.home import home, write_text, writing
from workbench.store.installed import check_mirror
from workbench.store.runs import PAUSE, Run, check_reward, claim_folder, open_run, runs_folder, starting_run
from workbench.store.trash import throw_away

WORKER = processes.engine("train")

# A run needs room for its adapters, its log and its metrics; less than this and it would end in the middle.
ROOM_TO_START = 300 * 2**20  # bytes

FULL = 2**20  # bytes; a disk with less has no room for a page of text

# A worker that has told its result, or was killed, still gives back its memory: that long the next start waits for it.
ENDING = 15.0  # seconds

TELLING = 5.0  # seconds in which a worker whose folder is gone has told so

_ENDED: tuple[State, ...] = ("finished", "stopped", "paused", "failed")


class DeviceTaken(WorkbenchError):
    """Somebody else has the device."""


def start(config: RunConfig, worker: Sequence[str] = WORKER, fork: Fork | None = None) -> Run:
    """Make the run's folder and start its worker; back in well under a second.

    worker: the command; the run's folder is added to it. fork: where it branches off another run. Raises WorkbenchError,
    with nothing started and nothing left behind, where another run has the device, the name is taken, data is missing or
    of the wrong kind, the run to start from does not fit, or the disk is nearly full. Runs that wait in the queue wait on.
    """
    refuse_where_nothing_trains()
    check(config, fork)
    check_room()
    # The lock of the starts is held only until the worker has the device and its pid is on disk.
    with starts():
        _refuse_second("add this one to the queue, wait, or stop the other on the Watch page")
        run = make_run(config, fork, first=True)
        try:
            begin(run, worker)
        except DeviceTaken:
            shutil.rmtree(run.folder, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(run.folder, ignore_errors=True)
            raise WorkbenchError(f"The worker could not be started: {error}. Nothing was kept.") from error
    return run


def starts() -> FileLock:
    """One at a time starts a run, or changes the queue."""
    return FileLock(home() / "start.lock")


def check(config: RunConfig, fork: Fork | None = None, coming: Collection[str] = ()) -> None:
    """Raises WorkbenchError, with all that stands against it, where a new run could not be trained as things are now.

    coming: runs that will have ended before it begins.
    """
    check_data(config)
    check_mirror(config)
    if config.thinking and has_switch(config.model) is False:
        raise WorkbenchError(no_switch_message(config.model.title))
    if fork is None:
        starting_run(config, coming)
        check_reward(config, coming)
        return
    source = open_run(fork.run)
    abouts = {stage: datasets.about(config.data_of(stage) or "") for stage in config.stages}
    planned = {stage: planned_steps(config, stage, about.train_rows) for stage, about in abouts.items()}
    if found := fork_problems(config, source.adjusted_config(), fork, planned):
        raise WorkbenchError(*found)
    now = abouts[fork.stage].version
    then = source.environment().get("data", {}).get(fork.stage, {}).get("version", now)
    if now != then:
        raise WorkbenchError(
            f"{abouts[fork.stage].name} is at version {now}, and {source.name} was trained on version {then}: the checkpoint "
            "knows its place in those rows. Undo the changes on the Data page, or start from the beginning."
        )


def check_data(config: RunConfig, stages: Sequence[Stage] | None = None) -> None:
    """Raises WorkbenchError where the data of a run, or of some of its stages, is gone, or not of the kind that its method
    learns from."""
    for stage in config.stages if stages is None else stages:
        about = datasets.about(config.data_of(stage) or "")
        if about.kind not in METHODS[stage].kinds:
            raise WorkbenchError(
                f"{stage_title(stage)} cannot learn from {about.name}: it holds {DATA_KINDS[about.kind].holds}. Choose other data on the Data page."
            )


def check_rows(run: Run) -> None:
    """Raises WorkbenchError where a run that has a folder cannot go on with its data as they are now."""
    config = run.adjusted_config()
    check_data(config, [stage for stage in config.stages if not run.stage_adapter(stage).is_dir()])
    run_data.settle(run, config, checkpoints.newest(run, at_a_glance=True))


def check_room() -> None:
    """Raises WorkbenchError where the disk is nearly full."""
    free = shutil.disk_usage(home()).free
    if free < ROOM_TO_START:
        raise WorkbenchError(
            f"The disk has {free / 2**20:.0f} MB free, and a run needs at least {ROOM_TO_START / 2**20:.0f} MB. "
            f"Make room, or set WORKBENCH_HOME to a folder on another disk. Nothing was started."
        )


def make_run(config: RunConfig, fork: Fork | None = None, first: bool = False) -> Run:
    """The folder of a run that waits for the device, whole or not at all. The caller holds the lock of the starts."""
    run = claim_folder(config.name)
    try:
        with writing(f"The run {config.name}"):
            if fork:
                take(fork, run)
            gone.forget(run.name)
            run_data.note(run, config)
            queue.mark(run, first)
            run.write_config(config)  # last: with it the folder is a run
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def begin(run: Run, worker: Sequence[str] = WORKER) -> None:
    """Start a run's worker and watch it. The caller holds the lock of the starts, and knows that the device is free.

    Whoever dies in the middle of this leaves either a run that still waits, or one that trains: the worker does nothing
    before it is told that its pid is on disk. Raises OSError, or DeviceTaken where the device is not free after all.
    """
    process = _spawn(run, worker)
    assert process.stdin, "it was asked for"
    with contextlib.suppress(BrokenPipeError), process.stdin:  # one that ended already is seen by its watcher
        process.stdin.write(f"{BEGIN}\n".encode())
    queue.unmark(run)
    threading.Thread(target=_supervise, args=(run, process), name=f"watch {run.name}", daemon=True).start()


def resume(run: Run, worker: Sequence[str] = WORKER) -> None:
    """Let a run go on from its newest whole checkpoint, or from its first step where it has none.

    Raises WorkbenchError where it is not one that can go on, where another run has the device, or where the disk is
    nearly full.
    """
    refuse_where_nothing_trains()
    check_room()
    with starts():
        if state_of(run) not in CAN_RESUME:
            raise WorkbenchError(f"{run.name} is {state_of(run)}, so there is nothing to resume.")
        check_rows(run)
        _refuse_second("wait for it, or stop it on the Watch page")
        run.forget_end()
        try:
            begin(run, worker)
        except OSError as error:
            raise WorkbenchError(
                f"The worker could not be started: {error}. What {run.name} has saved is kept: resume it again."
            ) from error
        if (held := queue.held()) and held.run == run.name:
            queue.release()  # the device was given back


def pause(run: Run) -> str:
    """Ask a run to save all that it needs to go on, and to give the device back. Says what will happen."""
    if state_of(run) != "running":
        raise WorkbenchError(f"{run.name} is not running, so there is nothing to pause.")
    words = f"{run.name} pauses after this step. Resume continues from there, today or another day."
    with starts():
        if queue.marked():
            queue.hold(f"{run.name} was paused, so that the device is free for you.", run)
            words += " The queue waits until you resume it."
    write_text(run.stop_file, PAUSE)
    return words


def _refuse_second(remedy: str) -> None:
    if busy := running():
        raise WorkbenchError(
            f"{busy.name} is training. One run at a time has the device: {remedy}. Nothing was started."
        )
    if who := unlisted_holder(ENDING):
        raise WorkbenchError(f"{holder_message(who)} Nothing was started.")


def running() -> Run | None:
    """The run that has the device, whoever started it."""
    return survey().running


def unlisted_holder(patience: float = 0.0) -> Holder | None:
    """Who has the device where `running` knows of no run; None where it is free.

    patience: seconds for a worker that is about to be gone: one that has told its result, or one that was killed and of
    which a thread still holds what the process had.
    """
    until = time.monotonic() + patience
    while who := device.holder():
        is_going = _has_ended(who) or not who.lives
        if not is_going or time.monotonic() > until:
            return who
        time.sleep(0.05)
    return None


def holder_message(who: Holder) -> str:
    """Why the device is not free, and what to do, of a holder that is in no list."""
    if who.run and _has_ended(who):
        return f"{who.run} has ended, and its worker (process {who.pid}) still holds the device. Wait a moment, or end that process."
    if who.run and who.lives:
        return (
            f"The device is still held by {who.run}, whose folder was deleted, moved or replaced while it trained. Its worker "
            f"(process {who.pid}) ends itself within seconds: try again then."
        )
    return (
        f"Another process holds the device ({home() / 'device.lock'}), and no run in this folder says which. Wait for it, or "
        "end what was started outside the workbench."
    )


def _has_ended(who: Holder) -> bool:
    """Whether the run of a worker that still has the device is over by its own word."""
    return bool(who.run) and state_of(Run(runs_folder() / who.run)) in _ENDED


def summary(run: Run) -> str:
    """How a run ended, or what it is doing, in a sentence or three."""
    now = state_of(run)
    if now == "running":
        if run.is_to_pause:
            return "It will pause after this step and save."
        return "It will stop after this step and save." if run.stop_file.exists() else "It is training."
    if now == "queued":
        return "It waits in the queue for the device."
    if now == "unreadable":
        return f"It cannot be read: {' '.join(run.problems())}"
    result = run.result()
    if result:
        return result.why
    worker = run.worker()
    if told := gone.of_worker(worker.get("pid", 0), worker.get("created", 0.0)):
        return f"{told.why} {gone_advice(run)}"
    if not run.folder.is_dir():
        return gone_message(run.name) or "Its folder is gone."
    is_full = shutil.disk_usage(run.folder).free < FULL
    return why_lost(run.exit_code(), run.log_tail(), checkpoint_label(run), is_full)


def gone_message(name: str) -> str:
    """What became of a run that is in no list, where its worker told; "" where it did not."""
    told = gone.of_run(name)
    return f"{told.why} What it had saved was in that folder." if told else ""


def wait_for_gone_message(run: Run) -> str:
    """What became of a run whose folder went away just now: its worker tells within seconds."""
    until = time.monotonic() + TELLING
    while not gone_message(run.name) and time.monotonic() < until:
        time.sleep(0.1)
    return summary(run)


def gone_advice(run: Run) -> str:
    """What can be done with a folder whose worker ended itself: one that was renamed, or put back."""
    kept = checkpoint_label(run)
    return (
        f"Resume continues from {kept}."
        if kept
        else "It had no checkpoint there: Resume starts it from its first step."
    )


def checkpoint_label(run: Run) -> str:
    """Where a run can go on, such as "step 48 of DPO"; "" where it has no checkpoint."""
    found = checkpoints.newest(run, at_a_glance=True)
    return found.words if found else ""


def stop(run: Run) -> str:
    """Ask a run to stop after this step and save; asked a second time, end it at once. Says what was done."""
    if state_of(run) != "running":
        raise WorkbenchError(f"{run.name} is not running, so there is nothing to stop.")
    if not run.stop_file.exists() or run.is_to_pause:
        write_text(run.stop_file, "")
        then = "" if queue.held() or not (waiting := queue.marked()) else f" Then {waiting[0].name} starts."
        return f"{run.name} stops after this step and saves its adapter. Press again to end it at once.{then}"
    end(run)
    return f"{run.name} was ended at once."


def end(run: Run) -> None:
    """End a run's worker and all it started, at once, and say so in the folder."""
    worker = run.worker()
    if not worker:
        raise WorkbenchError(
            gone_message(run.name) or f"{run.name} names no worker any more, so there is nothing to end."
        )
    processes.end_tree(worker["pid"], worker["created"])
    if run.config_file.is_file() and run.result() is None:
        earlier = any(run.stage_adapter(stage).exists() for stage in METHODS)
        kept = "The adapter of the stage before is kept." if earlier else "No adapter was saved."
        run.write_result("stopped", f"Ended at once, as you asked. {kept} The curves until then are kept.")


def move_to_trash(run: Run) -> str:
    """Move a run's folder to the trash. Says where it is now.

    Raises WorkbenchError for a run that trains or waits, and where the folder cannot be moved.
    """
    with starts():
        if (now := state_of(run)) in ("running", "queued"):
            remedy = "Stop it first." if now == "running" else "Remove it from the queue instead."
            raise WorkbenchError(f"{run.name} is {now}, so it was not moved to the trash. {remedy}")
        with contextlib.suppress(WorkbenchError):  # a worker.json that cannot be read names no worker
            # Of a run that cannot be read, the worker may still live; nobody could stop it afterwards.
            if worker := run.worker():
                processes.end_tree(worker["pid"], worker["created"])
        place = throw_away(run)
    return f"{run.name} is in the trash: {place}"


def _spawn(run: Run, worker: Sequence[str]) -> subprocess.Popen[bytes]:
    """The worker in a session of its own, so that neither a closed window nor Ctrl+C in its terminal ends it.

    It has the device from its first moment. Raises OSError, with no process left, where it cannot be started or where the
    folder cannot say who it is: a worker that nobody knows of would share the device with the next. Raises
    DeviceTaken where somebody else has it.
    """
    with open(run.log_file, "ab") as log, device.passing_on() as told:
        if told is None:
            raise DeviceTaken(f"{holder_message(device.holder() or Holder())} Nothing was started.")
        command, lock = [*worker, str(run.folder)], device.passed_on(told)
        environment = child_environment() | {WAITS_FOR_WORD: "1"} | lock
        handed = {name: int(descriptor) for name, descriptor in lock.items()}
        taken = warm.take(command, log, environment, handed, talks=False)
        process = taken or processes.start_detached(command, log, environment, stdin=subprocess.PIPE, **told)
    begun = processes.started(process.pid)
    try:
        device.note_holder(run.name, process.pid, begun)
        run.write_worker(process.pid, begun)
    except OSError:
        processes.end_tree(process.pid, begun)
        process.wait()
        raise
    return process


def _supervise(run: Run, process: subprocess.Popen[bytes]) -> None:
    """Wait for the worker; where it ended without a word, keep how."""
    code = process.wait()
    if run.worker().get("pid") == process.pid and run.result() is None:
        try:
            run.write_exit_code(process.pid, code)
        except OSError:
            return  # The disk is full or gone: the run reads as lost, which it is.
