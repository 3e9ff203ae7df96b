"""The queue of runs: with workers that only pretend to train, and a real keeper in a process of its own."""

import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from configs import demo_config

from workbench.core.errors import WorkbenchError
from workbench.engine.trouble import explain
from workbench.jobs import processes, queue, training
from workbench.store import queue as stored
from workbench.store.home import home, read_json
from workbench.store.runs import all_runs, open_run

ROOT = str(Path(__file__).parent.parent)

# Waits for its word as the real worker does, trains until it is asked to stop (or not at all, where its name says so),
# and writes down when it began and ended, so that two at once would be seen.
PRETENDS = f"""
import sys, time
sys.path.insert(0, {ROOT!r})
from pathlib import Path
from workbench.store.runs import Run
if sys.stdin.readline() != "begin\\n": sys.exit(1)
run = Run(Path(sys.argv[1]))
diary = run.folder.parent.parent / "diary"
with open(diary, "a") as file: file.write(f"{{time.time()}} begins {{run.name}}\\n")
while run.name.startswith("long") and not run.stop_file.exists(): time.sleep(0.02)
time.sleep(0.1)
with open(diary, "a") as file: file.write(f"{{time.time()}} ends {{run.name}}\\n")
if run.name.startswith("bad"): run.write_result("failed", "It did not work.")
elif run.name.startswith("full"): run.write_result("failed", {explain(OSError(28, "No space left on device"))!r})
elif run.is_to_pause: run.write_result("paused", "Paused, as you asked.")
else: run.write_result("finished", "Finished.")
"""
WORKER = [sys.executable, "-c", PRETENDS]
# A keeper that looks often, so that tests are short.
KEEPER = [
    sys.executable, "-c", "import sys; from workbench.jobs import queue; queue.BETWEEN_LOOKS = 0.05; queue.main(sys.argv[1:])",
    *WORKER,
]  # fmt: skip


def wait_for(what, seconds=20.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError(f"it did not happen in time: {(home() / 'queue.log').read_text()}")


def states() -> dict[str, str]:
    return {run.name: training.state_of(run) for run in all_runs()}


def all_over() -> bool:
    return not {"queued", "running"} & set(states().values())


def keeper() -> dict:
    return read_json(home() / "queue-keeper.json") or {}


def diary() -> list[tuple[str, str]]:
    """What began and ended, in the order in which it did."""
    lines = (line.split() for line in (home() / "diary").read_text().splitlines())
    return [(what, name) for _, what, name in lines]


def one_after_the_other(happened) -> bool:
    begun, ended = happened[::2], happened[1::2]
    return len(begun) == len(ended) and all(
        (first, last, name) == ("begins", "ends", other)
        for (first, name), (last, other) in zip(begun, ended, strict=True)
    )


@pytest.fixture(autouse=True)
def ends_what_is_left():
    yield
    if found := keeper():
        processes.end_tree(found["pid"], found["created"])
    for run in all_runs():
        if worker := run.worker():
            processes.end_tree(worker["pid"], worker["created"])


def add(name):
    return queue.add(demo_config(name), keeper=KEEPER)


def test_runs_wait_for_one_another_and_a_failed_one_does_not_stop_the_others():
    """A run that was started by hand has the device; three wait, of which one fails and one lost its data."""
    first = training.start(demo_config("long-first"), WORKER)
    add("bad"), add("last")
    gone = add("gone")
    gone.write_config(demo_config("gone", preference_data="thrown-away"))
    assert queue.to_front("last") == "last is the next one."
    assert [run.name for run in queue.waiting()] == ["last", "bad", "gone"]
    assert training.summary(gone) == "It waits in the queue for the device."
    assert training.stop(first).endswith("Press again to end it at once. Then last starts.")
    wait_for(all_over)
    assert states() == {"long-first": "finished", "last": "finished", "bad": "failed", "gone": "failed"}
    assert [name for what, name in diary() if what == "begins"] == ["long-first", "last", "bad"]
    assert one_after_the_other(diary())
    assert gone.result().why.startswith(
        "When its turn came, it could not start: There is no dataset called thrown-away"
    )
    wait_for(lambda: not keeper())  # nothing is left to keep


def test_where_the_device_is_free_a_run_starts_at_once_and_its_data_is_looked_at_before():
    with pytest.raises(WorkbenchError, match="no dataset called nowhere"):
        queue.add(demo_config(preference_data="nowhere"), keeper=KEEPER)
    assert all_runs() == []
    run = add("soon")
    wait_for(lambda: training.state_of(run) == "finished")
    assert run.exit_code() is None


def test_a_pause_holds_the_queue_until_a_person_lets_it_go_on():
    run = training.start(demo_config("long"), WORKER)
    add("next")
    assert "The queue waits until you resume it" in training.pause(run)
    wait_for(lambda: training.state_of(run) == "paused" and not keeper())
    queue.look(KEEPER)
    assert (states()["next"], keeper()) == ("queued", {})
    assert queue.held().why == "long was paused, so that the device is free for you."
    by_hand = training.start(demo_config("long-by-hand"), WORKER)  # the device is the person's
    training.stop(by_hand)
    wait_for(lambda: training.state_of(by_hand) == "finished")
    assert states()["next"] == "queued"
    assert queue.go_on(KEEPER) == "The queue is running again."
    wait_for(lambda: states()["next"] == "finished")


def test_the_run_whose_pause_holds_the_queue_frees_it_when_it_goes_on():
    run = training.start(demo_config("long"), WORKER)
    add("next")
    training.pause(run)
    wait_for(lambda: training.state_of(run) == "paused")
    training.resume(run, WORKER)
    assert queue.held() is None
    queue.look(KEEPER)
    training.stop(run)
    wait_for(all_over)
    assert states() == {"long": "finished", "next": "finished"}


def test_a_full_disk_holds_the_queue_even_when_it_has_room_again(monkeypatch):
    add("full-disk")
    add("next")
    wait_for(lambda: states()["full-disk"] == "failed" and not keeper())
    assert states()["next"] == "queued"
    assert queue.held().why == "The disk was full in full-disk. Make room first."
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 * 2**20))
        assert queue.go_on(KEEPER).startswith("The queue still waits: The disk has 10 MB free")
    queue.go_on(KEEPER)
    wait_for(lambda: states()["next"] == "finished")


def test_a_run_that_waits_can_be_taken_out_with_its_folder():
    queue.hold()
    run = add("not-this")
    add("this")
    assert "Nothing of it had been trained" in queue.remove("not-this")
    assert not run.folder.exists()
    queue.go_on(KEEPER)
    wait_for(all_over)
    assert states() == {"this": "finished"}
    with pytest.raises(WorkbenchError, match="this does not wait in the queue: it is finished"):
        queue.remove("this")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_keeper_and_a_killed_worker_lose_nothing_and_start_nothing_twice():
    add("long-first")
    add("second")
    wait_for(lambda: (home() / "diary").exists())
    assert states() == {"long-first": "running", "second": "queued"}
    os.kill(keeper()["pid"], signal.SIGKILL)
    wait_for(lambda: not processes.alive(keeper()["pid"], keeper()["created"]))
    assert states() == {"long-first": "running", "second": "queued"}, "the worker has a session of its own"
    for _ in range(3):
        queue.look(KEEPER)
    os.kill(open_run("long-first").worker()["pid"], signal.SIGKILL)
    wait_for(lambda: states() == {"long-first": "lost", "second": "finished"})
    assert diary() == [("begins", "long-first"), ("begins", "second"), ("ends", "second")]


def test_a_worker_whose_starter_died_before_its_pid_was_on_disk_does_nothing():
    """As the real worker's first lines do; the run still waits, and the next keeper starts it."""
    run = training.make_run(demo_config("orphan"))
    process = training._spawn(run, training.WORKER)
    process.stdin.close()
    assert process.wait(20) == 1
    assert training.state_of(run) == "queued" and not run.metrics_file.exists()


def test_a_keeper_that_died_between_starting_and_unmarking_a_run_does_not_start_it_again():
    run = training.start(demo_config("long"), WORKER)
    stored.mark(run)
    add("next")
    wait_for(lambda: not stored.is_marked(run))
    assert training.state_of(run) == "running"
    training.stop(run)
    wait_for(all_over)
    assert diary().count(("begins", "long")) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
@pytest.mark.parametrize(("count", "begin"), [(6, 3), pytest.param(20, 8, marks=pytest.mark.slow)])
def test_processes_that_add_at_once_lose_none_and_start_none_twice(count, begin):
    """All wait for the same moment. Some workers really begin; the other runs are taken out again, to keep this short."""
    processes_of = multiprocessing.get_context("fork")
    moment = processes_of.Event()

    def add_then(name):
        moment.wait()
        add(name)

    adders = [processes_of.Process(target=add_then, args=(f"run-{n:02}",)) for n in range(count)]
    for one in adders:
        one.start()
    moment.set()
    for one in adders:
        one.join(60)
    assert {one.exitcode for one in adders} == {0}
    queue.hold()
    assert len(all_runs()) == count and set(states()) == {f"run-{n:02}" for n in range(count)}
    places = [run.name for run in queue.waiting()]
    for name in places[begin:]:
        queue.remove(name)
    queue.go_on(KEEPER)
    wait_for(all_over, 40)
    begun = [name for what, name in diary() if what == "begins"]
    assert len(begun) == len(set(begun)) and set(begun) == set(states())
    assert one_after_the_other(diary())
