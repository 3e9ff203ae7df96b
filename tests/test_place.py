"""A run whose folder goes away: its worker ends itself, nothing is made anew, the device is free, and a person is told."""

import errno
import os
import shutil
import subprocess
import sys
import time

import pytest
from configs import demo_config
from drawn import by_id, watch, watch_page
from made_runs import create_run, first_settings
from test_checkpoints import wait_for_step
from test_queue import KEEPER
from test_run_data import stored
from test_training import ROOT, STUBBORN, wait_for, worker

from workbench import cli
from workbench.core.errors import WorkbenchError
from workbench.engine import place as place_module
from workbench.engine import report, train
from workbench.engine.journal import log_phase
from workbench.engine.place import Place, PlaceGone
from workbench.jobs import processes, queue, training
from workbench.jobs.app_state import AppState
from workbench.store import device, gone
from workbench.store.home import home
from workbench.store.runs import Run, all_runs, runs_folder
from workbench.ui import watch_tab

# Holds the device and looks after its place as the real worker does, with a child of its own, but trains nothing.
LOOKS = """
import os, subprocess, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from workbench.engine import place
from workbench.store import device
from workbench.store.runs import Run
assert sys.stdin.readline() == "begin\\n" and device.hold()
run = Run(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
place.BETWEEN_LOOKS = 0.05
place.Place(run).watch()
(run.folder / "child").write_text(str(child.pid))
while True: time.sleep(1)
"""


@pytest.fixture
def mine():
    """A run that this very process trains."""
    run = create_run(demo_config())
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    return run


@pytest.fixture
def start():
    """Starts runs, and ends their workers whatever became of the folders."""
    begun = []

    def go(name="a-run", program=LOOKS):
        run = training.start(demo_config(name), worker(program))
        begun.append(run.worker())
        if program is LOOKS:
            wait_for(lambda: (run.folder / "child").exists() and (run.folder / "child").read_text())
        return run

    yield go
    for one in begun:
        processes.end_tree(one["pid"], one["created"])


def gone_over(found):
    """The worker and its child have ended, and the device is free."""
    return not processes.alive(found["pid"], found["created"]) and device.holder() is None


def deleted(run: Run) -> None:
    # A worker may take away a folder, or still write into one, at the same moment: a person would press delete again.
    until = time.monotonic() + 30
    while run.folder.exists() and time.monotonic() < until:
        shutil.rmtree(run.folder, ignore_errors=True)


def moved(run: Run) -> None:
    run.folder.rename(run.folder.with_name("elsewhere"))


def replaced(run: Run) -> None:
    """By a copy, as a backup would put it back: even worker.json in it is the same."""
    copy = run.folder.with_name("copy")
    shutil.copytree(run.folder, copy)
    shutil.rmtree(run.folder)
    copy.rename(run.folder)


def without_settings(run: Run) -> None:
    run.config_file.unlink()


def unnamed(run: Run) -> None:
    (run.folder / "worker.json").unlink()


def named_another(run: Run) -> None:
    run.write_worker(1, processes.started(1))


def name_damaged(run: Run) -> None:
    (run.folder / "worker.json").write_text('{"pid": "some')


def no_folder(run: Run) -> None:
    deleted(run)
    run.folder.write_text("a file in its place")


def made_anew(run: Run) -> None:
    """As a library does that saves into it at that moment."""
    deleted(run)
    (run.folder / "scratch").mkdir(parents=True)


LOSSES = {
    deleted: "was deleted or moved",
    moved: "was deleted or moved",
    replaced: "was replaced by another one",
    without_settings: "lost its config.json",
    unnamed: "no longer names its worker",
    named_another: "no longer names its worker",
    name_damaged: "no longer names its worker",
    no_folder: "was deleted or moved",
    made_anew: "was deleted or moved",
}


@pytest.mark.parametrize("happens", LOSSES, ids=lambda one: one.__name__)
def test_each_way_to_lose_a_place_is_seen_and_named(mine, happens):
    place = Place(mine)
    place.check()
    happens(mine)
    with pytest.raises(PlaceGone, match=LOSSES[happens]):
        place.check()


def test_what_is_no_loss_ends_no_run(mine, monkeypatch):
    """worker.json written again with the same; a file being put in another's place; a drive that does not answer."""
    place = Place(mine)
    mine.write_worker(os.getpid(), processes.started(os.getpid()))
    place.check()
    text = mine.config_file.read_text()
    monkeypatch.setattr(place_module.time, "sleep", lambda _: mine.config_file.write_text(text))
    mine.config_file.unlink()
    place.check()

    def silent(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(place_module.os, "stat", silent)
    place.check()


def test_a_folder_that_is_still_being_deleted_is_said_to_be_deleted(mine, monkeypatch):
    place = Place(mine)
    mine.config_file.unlink()
    looks = iter([lambda: None, lambda: None, lambda: deleted(mine)])
    monkeypatch.setattr(place_module.time, "sleep", lambda _: next(looks)())
    with pytest.raises(PlaceGone, match="was deleted or moved"):
        place.check()


def test_a_folder_that_goes_while_its_worker_leaves_is_said_to_be_deleted(mine):
    """What the trainer made anew kept it from going when the worker looked."""
    place = Place(mine)
    for file in mine.folder.iterdir():
        file.unlink()
    (mine.folder / "scratch" / "checkpoint-4").mkdir(parents=True)
    place.leave("lost its config.json")
    assert not mine.folder.exists()
    assert "was deleted or moved while it trained" in training.gone_message("a-run")


def test_a_look_is_cheap_enough_for_every_step(mine):
    """A thousand in a fifth of a second: of a step of 100 ms a five-hundredth."""
    place = Place(mine)
    begun = time.process_time()
    for _ in range(1000):
        place.check()
    assert time.process_time() - begun < 0.2


def test_a_line_is_not_logged_into_a_folder_that_somebody_deletes(mine):
    """rm -r has taken the log and comes to the settings: a new log would keep the folder from going."""
    log_phase(mine, "training SFT")
    mine.metrics_file.unlink()
    mine.config_file.unlink()
    with pytest.raises(FileNotFoundError):
        log_phase(mine, "training DPO")
    assert not mine.metrics_file.exists()
    mine.write_config(demo_config())
    log_phase(mine, "training DPO")
    assert [row["phase"] for row in mine.metrics()] == ["training DPO"], "the log alone was deleted: the run goes on"


def test_what_libraries_made_anew_goes_with_the_worker_and_nothing_else_does(mine):
    place = Place(mine)
    deleted(mine)
    (mine.folder / "scratch" / "checkpoint-4").mkdir(parents=True)
    place.leave("was deleted or moved")
    assert not mine.folder.exists()
    (mine.folder / "checkpoints" / "sft-0000004").mkdir(parents=True)
    Place(mine).leave("lost its config.json")
    assert (mine.folder / "checkpoints" / "sft-0000004").exists(), "it may be all that is left of a run"


def test_a_worker_whose_folder_is_deleted_ends_itself_and_its_child_and_the_window_says_so(start):
    run = start()
    found, child = run.worker(), int((run.folder / "child").read_text())
    deleted(run)
    wait_for(lambda: gone_over(found))
    wait_for(lambda: not processes.alive(child, processes.started(child)))
    assert not run.folder.exists() and all_runs() == []
    words = "The folder of a-run was deleted or moved while it trained, so its worker ended itself"
    assert words in training.gone_message("a-run")
    page = watch_page("a-run")
    assert "a-run is gone" in page["wb-watch-head"] and words in page["wb-watch-head"]
    assert not [one for one in page.values() if isinstance(one, dict) and one.get("visible") is True]
    assert AppState().gone() == "a-run ended: its folder is gone"
    assert training.summary(run).startswith(words)
    for ask in (training.stop, training.pause, training.resume):
        with pytest.raises(WorkbenchError):
            ask(run)
    with pytest.raises(WorkbenchError, match=words):
        training.end(run)
    assert not run.folder.exists(), "nothing of that made it anew"
    again = start()  # the device is free, and a new run of that name has no story yet
    assert training.gone_message("a-run") == "" and training.running() == again


def test_a_page_that_shows_a_run_is_drawn_again_when_its_folder_goes_and_when_its_worker_has_told(start):
    run, app = start(program=STUBBORN), AppState()
    seen = [watch_tab.signature(app, "a-run")]
    found = run.worker()
    deleted(run)
    seen.append(watch_tab.signature(app, "a-run"))
    assert "its worker ends itself" in watch_page("a-run", app, seen[0])["wb-watch-head"]
    gone.note("a-run", "The folder of a-run was deleted.", found["pid"], found["created"])
    seen.append(watch_tab.signature(app, "a-run"))
    assert len(set(seen)) == 3


def test_while_the_worker_of_a_deleted_run_lives_nothing_starts_beside_it_and_the_queue_waits(start):
    """A worker that does not look, as one of an earlier version: the lock is in the process, not in the folder."""
    run = start("first", STUBBORN)
    found = run.worker()
    waits = queue.add(demo_config("waits"), keeper=KEEPER)
    wait_for(lambda: (home() / "queue-keeper.json").exists())
    time.sleep(0.3)  # the keeper has seen whose turn it is
    deleted(run)
    assert all_runs() == [waits] and training.running() is None
    refusal = (
        rf"The device is still held by first, whose folder was deleted.*process {found['pid']}\) ends itself within seconds.*"
        "Nothing was started"
    )
    with pytest.raises(WorkbenchError, match=refusal):
        start("second")
    assert [folder.name for folder in runs_folder().iterdir()] == ["waits"], "nothing is left of it"
    assert training.state_of(waits) == "queued"
    assert "still held by first" in by_id(watch().queue.updates(AppState()))["wb-watch-queue"]["value"]
    processes.end_tree(found["pid"], found["created"])
    wait_for(lambda: training.state_of(waits) == "finished", 20)
    assert "Traceback" not in (home() / "queue.log").read_text()


def test_a_worker_that_told_its_result_and_is_not_gone_yet_is_waited_for(start):
    """As one does that gives back the memory of a card: half a second here."""
    program = STUBBORN.replace("while not run.stop_file.exists():\n    time.sleep(0.02)", "") + "time.sleep(0.5)\n"
    first = start("first", program)
    wait_for(lambda: training.state_of(first) == "stopped")
    assert device.holder().run == "first"
    second = start("second")
    assert training.running() == second and not processes.alive(first.worker()["pid"], first.worker()["created"])


def test_a_killed_worker_of_which_a_thread_still_dies_is_waited_for(start):
    """The first thread is gone, so that its process reads as dead, while another one still has the lock: half a second here."""
    with device.passing_on() as told:
        dying = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"], **told)
    device.note_holder("killed", 99_999_999, 1.0)
    assert device.holder() is not None
    run = start("next", STUBBORN)
    assert training.running() == run and dying.wait(0.1) == 0


def test_a_folder_that_is_renamed_while_it_trains_has_its_story_and_can_go_on(start):
    run = start()
    found = run.worker()
    moved(run)
    wait_for(lambda: gone_over(found) and gone.noted())
    elsewhere = Run(run.folder.with_name("elsewhere"))
    assert training.state_of(elsewhere) == "lost"
    said = training.summary(elsewhere)
    assert (
        "The folder of a-run was deleted or moved while it trained" in said
        and "Resume starts it from its first" in said
    )
    assert "its worker ended itself" in elsewhere.log_tail(), "the log went with the folder"
    training.resume(elsewhere, worker(STUBBORN))
    assert training.running() == elsewhere
    training.end(elsewhere)


def test_a_copy_put_in_the_place_of_a_run_is_not_written_to(start):
    run = start()
    found = run.worker()
    replaced(run)
    before = {file.name: file.read_bytes() for file in run.folder.iterdir()}
    wait_for(lambda: gone_over(found) and gone.noted() and run.exit_code() is not None)  # which the window writes
    after = {file.name: file.read_bytes() for file in run.folder.iterdir() if file.name != "exit.json"}
    assert after == before
    assert training.state_of(run) == "lost" and "was replaced by another one" in training.summary(run)


def test_a_home_that_is_moved_is_not_made_anew_by_the_worker(start):
    run = start()
    found, moved_home = run.worker(), home().with_name("moved")
    home().rename(moved_home)
    wait_for(lambda: not processes.alive(found["pid"], found["created"]))
    assert not (moved_home.parent / "home").exists()
    assert "its worker ended itself" in Run(moved_home / "runs" / "a-run").log_tail()


def test_the_command_line_says_what_became_of_a_run_that_it_follows(monkeypatch, tmp_path, capsys):
    (tmp_path / "config.json").write_text(demo_config().model_dump_json())
    gone.note("a-run", "The folder of a-run was deleted or moved while it trained.", 1, 1.0)
    monkeypatch.setattr(cli.runs, "follow", lambda *_: Run(runs_folder() / "a-run"))
    assert cli.main(["train", str(tmp_path / "config.json"), "--json"]) == 1
    assert "The folder of a-run was deleted or moved while it trained." in capsys.readouterr().err


def test_the_lock_goes_from_starter_to_worker_without_a_gap_and_to_what_it_begins_next(tmp_path):
    """A process that holds it replaces its program by another; nobody else can have it in between, nor a forked child."""
    program = (
        f"import os, sys, time; sys.path.insert(0, {ROOT!r})\n"
        "from workbench.store import device\n"
        "lives = int(sys.argv[1])\n"
        "assert device.hold()\n"
        "if not lives:\n"
        "    if not os.fork(): time.sleep(3)\n"
        "    print('holds', flush=True); sys.stdin.readline(); os._exit(0)\n"
        "os.set_inheritable(device.hand_on(), True)\n"
        "os.execv(sys.executable, [sys.executable, __file__, str(lives - 1)])\n"
    )
    (tmp_path / "holds.py").write_text(program)
    with device.passing_on() as told:
        assert told is not None
        child = subprocess.Popen(
            [sys.executable, str(tmp_path / "holds.py"), "2"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | device.passed_on(told), **told,
        )  # fmt: skip
    free = []
    device.note_holder("a-run", child.pid, processes.started(child.pid))
    while processes.alive(child.pid, processes.started(child.pid)) and not child.stdout.readable():
        free.append(device.holder() is None)
    assert child.stdout.readline() == "holds\n"
    assert device.holder().pid == child.pid and not any(free)
    with device.passing_on() as told:
        assert told is None
    child.communicate("\n")
    assert device.holder() is None, "a forked child that lives on does not keep it"


def test_a_trainer_that_saves_after_each_step_leaves_nothing_of_a_deleted_folder(one_base, monkeypatch):
    """Deleted after its second step and before the checkpoint of it, which makes the folder anew."""
    config = demo_config("a-run", **first_settings() | {"checkpoint_steps": 1, "dpo": {"max_steps": 4}})
    run = create_run(config)
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    known, seen = report.ReportCallback.on_step_end, []

    def on_step_end(self, args, state, control, **_):
        seen.append((state.global_step, run.folder.exists()))
        known(self, args, state, control)
        if state.global_step == 2:
            deleted(run)

    monkeypatch.setattr(report.ReportCallback, "on_step_end", on_step_end)
    assert train.main(str(run.folder)) == 1
    assert seen[:2] == [(1, True), (2, True)]
    assert not run.folder.exists()
    assert "was deleted or moved while it trained" in training.gone_message("a-run")


@pytest.mark.slow
def test_a_real_worker_whose_folder_is_deleted_leaves_nothing_of_it_behind():
    """In the middle of its steps, of which each is saved: the trainer's own saving would make the folder anew."""
    stored()
    steps = {"learning_rate": 2e-4, "max_steps": 400}
    small = {"batch_size": 2, "max_length": 64, "held_out_limit": 8, "checkpoint_steps": 1, "dpo": steps}
    run = training.start(demo_config(method="dpo", sft_data=None, preference_data="mine", **small))
    found = run.worker()
    try:
        wait_for_step(run, "dpo", 2)
        deleted(run)
        wait_for(lambda: gone_over(found), 60)
    finally:
        processes.end_tree(found["pid"], found["created"])
    assert not run.folder.exists()
    assert "was deleted or moved while it trained" in training.gone_message("a-run")


def test_where_the_disk_knows_no_locks_the_process_that_is_written_down_has_the_device(monkeypatch):
    def no_locks(descriptor, blocking):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(device, "lock_descriptor", no_locks)
    assert device.holder() is None, "nobody is written down"
    device.note_holder("old", 99_999_999, 1.0)
    assert device.holder() is None
    device.note_holder("other", os.getppid(), processes.started(os.getppid()))
    assert device.holder().run == "other"
    with device.passing_on() as told:
        assert told is None
    device.note_holder("mine", os.getpid(), processes.started(os.getpid()))
    with device.passing_on() as told:
        assert told is not None
