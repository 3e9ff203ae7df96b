"""What all runs are doing at one moment, also where their folders are damaged, foreign or copied."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from configs import demo_config
from drawn import watch_page
from made_runs import create_run, finished
from old_home import OLD_HOME

import workbench
from workbench import cli
from workbench.core.errors import WorkbenchError
from workbench.jobs import processes, queue, training
from workbench.jobs.app_state import AppState
from workbench.jobs.survey import survey
from workbench.store import forks
from workbench.store import queue as stored
from workbench.store.home import home as home_folder
from workbench.store.runs import Run, all_runs, open_run

STATES = {
    "first": "finished", "liked": "finished", "paused": "paused", "branch": "finished", "goes-on": "finished",
    "waits": "queued",
}  # fmt: skip


@pytest.fixture
def old_home(home):
    shutil.copytree(OLD_HOME, home)
    return home


def test_the_runs_of_an_earlier_version_are_listed_with_their_states(old_home):
    now = survey()
    assert now.states == STATES
    assert [run.name for run in now.waiting] == ["waits"]
    assert now.running is None
    assert all(not run.problems() and not run.notes() for run in now.runs)
    assert forks.fork_of(open_run("branch")).run == "paused"
    assert open_run("paused").adjusted_config().gradient_checkpointing in ("on", "off")
    assert queue.held().why == "You put it on hold."


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("config.json", "", "config.json is empty."),
        ("config.json", '{"batch_size": -1}', "Batch size is -1; it must be at least 1."),
        ("result.json", "[]", "result.json: the whole of it is a list"),
        ("result.json", '{"outcome": "exploded", "why": ""}', "outcome is 'exploded'"),
        ("worker.json", '{"pid": "x", "created": 1}', "worker.json: pid is 'x'"),
        ("adjustments.json", "[{}]", "adjustments.json: 0.changes is missing"),
        ("chosen.json", '{"changes": {"optimizer": 7}}', "chosen.json or adjustments.json: "),
        ("forked.json", '{"run": "../../etc", "stage": "dpo", "step": 1}', "forked.json: run is '../../etc'"),
    ],
)
def test_a_run_with_a_damaged_file_says_which_and_why(old_home, capsys, file, content, why):
    run = open_run("paused")
    (run.folder / file).write_text(content)
    assert survey().states == STATES | {"paused": "unreadable"}
    assert any(why in problem for problem in run.problems())
    shown = watch_page("paused")
    assert "paused cannot be read" in shown["wb-watch-head"] and str(run.folder) in shown["wb-watch-head"]
    assert shown["wb-watch-trash"]["visible"] and not shown["wb-watch-again"]["visible"]
    assert cli.main(["runs"]) == 0
    assert f"{'paused':<28} It cannot be read: {file}" in capsys.readouterr().out or file == "chosen.json"
    with pytest.raises(WorkbenchError, match="nothing to resume"):
        training.resume(run)


def test_a_setting_of_a_newer_version_is_named_and_the_run_goes_on_working(old_home):
    run = open_run("paused")
    values = json.loads(run.config_file.read_text()) | {"future_setting": 1}
    run.config_file.write_text(json.dumps(values))
    assert survey().states == STATES
    assert "future_setting = 1" in run.notes()[0]
    assert "future_setting = 1" in watch_page("paused")["wb-watch-head"]


def test_a_file_that_only_tells_about_a_run_is_missed_and_named(old_home):
    run = open_run("first")
    (run.folder / "environment.json").write_text("[]")
    assert survey().states == STATES
    assert run.environment() == {}
    assert "environment.json: the whole of it is a list" in watch_page("first")["wb-watch-head"]


def test_a_copied_folder_is_a_run_of_its_own(old_home):
    shutil.copytree(old_home / "runs" / "first", old_home / "runs" / "first-copy")
    assert open_run("first-copy").config().name == "first-copy"


def test_a_folder_whose_name_no_run_can_have_is_listed_with_its_reason(old_home):
    shutil.copytree(old_home / "runs" / "first", old_home / "runs" / "First (copy)")
    assert survey().states["First (copy)"] == "unreadable"
    assert "Rename the folder" in open_run("First (copy)").problems()[0]


def test_a_run_that_lost_its_config_is_still_listed(old_home):
    open_run("first").config_file.unlink()
    assert survey().states["first"] == "unreadable"
    assert open_run("first").problems() == ["config.json is missing."]


def test_a_run_goes_to_the_trash_whole_and_twice_under_two_names(old_home, capsys):
    for _ in range(2):
        create_run(demo_config("thrown"))
        assert cli.main(["trash", "thrown"]) == 0
    assert {path.name for path in (old_home / "trash").iterdir()} == {"thrown", "thrown-2"}
    assert (old_home / "trash" / "thrown" / "config.json").is_file()
    assert "thrown" not in survey().states


def test_a_run_that_trains_or_waits_does_not_go_to_the_trash():
    busy = create_run(demo_config("busy"))
    busy.write_worker(1, processes.started(1))
    waits = create_run(demo_config("waits"))
    stored.mark(waits)
    for run, words in ((busy, "Stop it first"), (waits, "Remove it from the queue")):
        with pytest.raises(WorkbenchError, match=words):
            training.move_to_trash(run)
    assert len(all_runs()) == 2


def test_a_run_that_changes_is_seen_by_the_next_survey():
    run = finished("done")
    assert survey().states == {"done": "lost"}
    run.write_result("finished", "Finished.")
    assert survey().states == {"done": "finished"}
    run.forget_end()
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    assert survey().running == run
    shutil.rmtree(run.folder)
    assert survey().states == {}


def test_the_bench_looks_once_for_all_that_ask_at_the_same_moment(monkeypatch):
    finished("done")
    app, looks = AppState(), []
    monkeypatch.setattr("workbench.jobs.app_state.survey", lambda: looks.append(1) or survey())
    for _ in range(20):
        app.survey()
    assert len(looks) == 1


def test_a_damaged_hold_of_the_queue_still_holds_it():
    (home_folder() / "queue-hold.json").write_text("{}")
    assert "why is missing" in stored.held().why
    stored.release()
    assert stored.held() is None


def test_a_marker_that_cannot_be_read_puts_a_run_behind_the_others():
    for name in ("one", "two"):
        stored.mark(create_run(demo_config(name)))
    (Run(open_run("one").folder).folder / stored.MARKER).write_text("[1]")
    assert [run.name for run in survey().waiting] == ["two", "one"]


def test_a_home_that_cannot_be_used_is_told_in_a_sentence(tmp_path):
    """`python app.py` builds its window as it is imported."""
    (tmp_path / "runs").write_text("a file in the place of the folder")
    app = Path(workbench.__file__).parents[1] / "app.py"
    done = subprocess.run(
        [sys.executable, str(app)], env=os.environ | {"WORKBENCH_HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "The folder runs could not be stored" in done.stderr and "Traceback" not in done.stderr
