"""Starting, looking, stopping, losing: with a worker that only pretends to train, in real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from configs import demo_config

from workbench.core.errors import WorkbenchError
from workbench.jobs import processes, training
from workbench.store import device
from workbench.store.runs import all_runs, open_run

# Sleeps until it is asked to stop, then says so, as the real worker does. Ignores SIGTERM, and has a child.
STUBBORN = """
import signal, subprocess, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from workbench.store.runs import Run
signal.signal(signal.SIGTERM, signal.SIG_IGN)
run = Run(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(run.folder / "child").write_text(str(child.pid))
while not run.stop_file.exists():
    time.sleep(0.02)
child.kill()
run.write_result("stopped", "Stopped as asked.")
"""
SILENT = "import sys; sys.exit(3)"
ROOT = str(Path(__file__).parent.parent)


def worker(program: str) -> list[str]:
    return [sys.executable, "-c", program.format(root=ROOT) if "{root" in program else program]


def wait_for(what, seconds=10.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def start(demo_data):
    """Starts runs, and ends what is left of them."""
    started = []

    def go(name="a-run", program=STUBBORN):
        started.append(training.start(demo_config(name), worker(program)))
        return started[-1]

    yield go
    for run in started:
        found = run.worker()
        processes.end_tree(found["pid"], found["created"])
        child = run.folder / "child"
        if child.exists() and child.read_text():
            processes.end_tree(int(child.read_text()), processes.started(int(child.read_text())))


@pytest.fixture
def demo_data():
    from workbench.store import datasets

    assert {"demo-sft", "demo-preferences"} <= set(datasets.names())


def test_start_comes_back_at_once_and_stop_saves(start):
    began = time.monotonic()
    run = start()
    assert time.monotonic() - began < 1.0
    assert training.state_of(run) == "running"
    assert training.running() == run
    assert "stops after this step" in training.stop(run)
    wait_for(lambda: training.state_of(run) == "stopped")
    assert training.summary(run) == "Stopped as asked."
    assert training.running() is None


def test_a_second_start_is_refused_with_the_name_of_the_run_and_leaves_nothing(start):
    start("first")
    with pytest.raises(WorkbenchError, match="first is training.*Nothing was started"):
        start("second")
    assert [run.name for run in all_runs()] == ["first"]


def test_a_second_press_ends_it_at_once_with_all_that_it_started(start):
    run = start(program=STUBBORN.replace("while not run.stop_file.exists():", "while True:"))
    wait_for(lambda: (run.folder / "child").exists() and (run.folder / "child").read_text())
    child = int((run.folder / "child").read_text())
    training.stop(run)
    assert "ended at once" in training.stop(run)
    wait_for(lambda: not processes.alive(child, processes.started(child)))
    assert training.state_of(run) == "stopped"
    assert "No adapter was saved" in training.summary(run)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_worker_shows_as_lost_with_what_to_do(start):
    run = start()
    os.kill(run.worker()["pid"], signal.SIGKILL)
    wait_for(lambda: run.exit_code() is not None)
    assert training.state_of(run) == "lost"
    assert run.exit_code() == -9
    assert "killed from outside" in training.summary(run)
    assert "Resume starts it from its first step" in training.summary(run)
    start("the-next")  # the device is free again


def test_a_worker_that_ends_without_a_word_is_lost_and_its_code_is_kept(start):
    run = start(program=SILENT)
    wait_for(lambda: run.exit_code() is not None)
    assert training.state_of(run) == "lost"
    assert "code 3" in training.summary(run)


def test_a_pid_that_belongs_to_somebody_else_by_now_is_not_the_worker(start):
    run = start()
    found = run.worker()
    earlier = processes.started(os.getpid()) / 2  # a clock that begins with the machine
    run.write_worker(os.getpid(), earlier)
    assert training.state_of(run) == "lost"
    processes.end_tree(os.getpid(), earlier)  # must not end this very process
    run.write_worker(found["pid"], found["created"])
    assert training.state_of(run) == "running"


def test_the_worker_outlives_the_window_that_started_it(demo_data, home):
    """A process starts a run and ends; another finds the run, sees it live and stops it."""
    program = (
        f"import sys; sys.path[:0] = [{ROOT!r}, {ROOT + '/tests'!r}]\n"
        "from configs import demo_config\nfrom workbench.jobs import training\n"
        f"training.start(demo_config('orphan'), [sys.executable, '-c', {STUBBORN.format(root=ROOT)!r}])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    run = open_run("orphan")
    try:
        assert training.state_of(run) == "running"
        training.stop(run)
        wait_for(lambda: training.state_of(run) == "stopped")
    finally:
        found = run.worker()
        processes.end_tree(found["pid"], found["created"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_window_that_is_killed_leaves_its_run_to_the_next_window(demo_data, home):
    """Nobody is there to see how the worker ends, so its end is told without a code."""
    program = (
        f"import os, sys; sys.path[:0] = [{ROOT!r}, {ROOT + '/tests'!r}]\n"
        "from configs import demo_config\nfrom workbench.jobs import training\n"
        f"training.start(demo_config('orphan'), [sys.executable, '-c', {STUBBORN.format(root=ROOT)!r}])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    run = open_run("orphan")
    found = run.worker()
    assert training.running() == run
    os.kill(found["pid"], signal.SIGKILL)
    wait_for(lambda: training.state_of(run) == "lost")
    assert training.summary(run).startswith(
        "The worker is gone: the machine was switched off, or the process was ended"
    )
    child = int((run.folder / "child").read_text() or 0) if (run.folder / "child").exists() else 0
    processes.end_tree(child, processes.started(child))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_window_and_worker_that_are_killed_together_leave_a_lost_run_and_a_free_device(demo_data, home):
    """As a machine that is switched off: both in one moment, so that neither can say anything of the other."""
    program = (
        f"import os, sys; sys.path[:0] = [{ROOT!r}, {ROOT + '/tests'!r}]\n"
        "from configs import demo_config\nfrom workbench.jobs import training\n"
        f"run = training.start(demo_config('orphan'), [sys.executable, '-c', {STUBBORN.format(root=ROOT)!r}])\n"
        "while not ((run.folder / 'child').exists() and (run.folder / 'child').read_text()): pass\n"
        "os.kill(run.worker()['pid'], 9); os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    run = open_run("orphan")
    child = int((run.folder / "child").read_text())
    processes.end_tree(child, processes.started(child))
    wait_for(lambda: training.state_of(run) == "lost")
    assert (run.exit_code(), training.running(), device.holder()) == (None, None, None)
    training.resume(run, worker(STUBBORN))
    assert training.running() == run
    training.end(run)
    assert training.state_of(run) == "stopped"


def test_two_windows_see_and_stop_the_same_run(start):
    """The other window is a process of its own, which looks, stops the run and looks again."""
    run = start()
    program = (
        f"import sys, time; sys.path.insert(0, {ROOT!r})\n"
        "from workbench.jobs import training\nfrom workbench.store.runs import open_run\n"
        "run = open_run('a-run')\n"
        "print(training.state_of(run), training.summary(run), sep='|')\n"
        "print(training.stop(run))\n"
        "while training.state_of(run) == 'running': time.sleep(0.02)\n"
        "print(training.state_of(run), training.summary(run), sep='|')\n"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.splitlines() == [
        "running|It is training.",
        "a-run stops after this step and saves its adapter. Press again to end it at once.",
        "stopped|Stopped as asked.",
    ]
    assert (training.state_of(run), training.summary(run)) == ("stopped", "Stopped as asked.")
    with pytest.raises(WorkbenchError, match="a-run is not running, so there is nothing to stop"):
        training.stop(run)


def test_how_a_worker_ended_is_not_told_of_the_one_that_goes_on_after_it(start):
    """The window that saw the first one end may write that down while the next one starts."""
    run = start()
    run.write_exit_code(run.worker()["pid"] - 1, -9)
    assert run.exit_code() is None
    run.write_exit_code(run.worker()["pid"], 3)
    assert run.exit_code() == 3


def test_a_config_from_the_future_changes_only_the_order_of_runs(start):
    """A clock that was set back: the older run's file is younger by an hour, and the device is still known."""
    first = start("first")
    ahead = time.time() + 3600
    os.utime(first.config_file, (ahead, ahead))
    with pytest.raises(WorkbenchError, match="first is training"):
        start("second")
    assert training.running() == first


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_make_one_run(demo_data, tmp_path, count):
    """Each waits for the same moment, then starts a run of its own name; the rest read who was first."""
    program = (
        f"import sys, time; sys.path[:0] = [{ROOT!r}, {ROOT + '/tests'!r}]\n"
        "from configs import demo_config\nfrom workbench.jobs import training\n"
        "from workbench.core.errors import WorkbenchError\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"try: print(training.start(demo_config(sys.argv[1]), [sys.executable, '-c', {STUBBORN.format(root=ROOT)!r}]).name)\n"
        "except WorkbenchError as error: print(error)\n"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"run-{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(count)
    ]
    for one in starters:
        assert one.stdout.readline() == "ready\n"
    for one in starters:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60)[0].strip() for one in starters]
    run = training.running()
    try:
        assert len(all_runs()) == 1
        assert [words for words in said if words == run.name] == [run.name]
        assert sum(f"{run.name} is training" in words for words in said) == count - 1
        assert [folder.name for folder in run.folder.parent.iterdir()] == [run.name], "the others left nothing"
    finally:
        training.end(run)


def test_missing_data_and_a_full_disk_are_said_before_anything_starts(start, monkeypatch):
    with pytest.raises(WorkbenchError, match="no dataset called nowhere"):
        training.start(demo_config(preference_data="nowhere"), worker(SILENT))
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 * 2**20))
    with pytest.raises(WorkbenchError, match="The disk has 10 MB free"):
        start()
    assert all_runs() == []
