"""A disk that fills up: before a run, while its metrics are written, while a checkpoint is; each in words, nothing torn.

The full disk is a limit on the size of a file, which needs no rights: the system refuses to write beyond it, and every
library meets that refusal in its own way.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from configs import demo_config
from made_runs import create_run
from real_runs import ended

from workbench.core.errors import WorkbenchError
from workbench.engine import train
from workbench.engine.journal import log_numbers
from workbench.engine.trouble import explain
from workbench.jobs import processes, training
from workbench.store import checkpoints
from workbench.store.runs import Run, all_runs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no limits on the size of a file")

ROOT = Path(__file__).parent.parent
FULL = (
    "The disk is full, so nothing more could be written. Make room and start again; what was saved until then is kept."
)


def run_program(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_a_paused_run_is_not_resumed_onto_a_full_disk(monkeypatch):
    run = create_run(demo_config())
    run.write_result("paused", "Paused, as you asked.")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 * 2**20))
    with pytest.raises(WorkbenchError, match="The disk has 10 MB free"):
        training.resume(run)
    assert training.state_of(run) == "paused"


def test_a_worker_that_had_no_room_for_a_last_word_is_told_by_the_disk(monkeypatch):
    """It could write neither a result nor a log, and the window not even its exit code."""
    run = create_run(demo_config())
    run.write_worker(99_999_999, 1.0)
    assert training.summary(run).startswith("The worker is gone: the machine was switched off")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    assert training.summary(run).startswith(
        "The disk is full, so the worker could not write any further. Free some space first."
    )


def test_a_run_whose_config_cannot_be_written_leaves_no_folder(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("workbench.store.runs.write_json", full)
        with pytest.raises(
            WorkbenchError, match="The run a-run could not be stored .*The disk is full: make room on it"
        ):
            training.make_run(demo_config())
    assert training.make_run(demo_config()).name == "a-run", "the name is free"


def test_a_worker_that_cannot_be_written_down_is_ended(monkeypatch, tmp_path):
    """Nobody would know that it has the device, and the next run would share it."""
    said = tmp_path / "pid"
    waits = f"import os, pathlib, time; pathlib.Path({str(said)!r}).write_text(str(os.getpid())); time.sleep(60)"

    def full(self: Run, pid: int, created: float) -> None:
        while not (said.exists() and said.read_text()):
            assert processes.alive(pid, created)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "write_worker", full)
    with pytest.raises(WorkbenchError, match="could not be started: .*No space left on device. Nothing was kept"):
        training.start(demo_config(), [sys.executable, "-c", waits])
    pid = int(said.read_text())
    assert not processes.alive(pid, processes.started(pid))
    assert all_runs() == []


# The worker's own end, around a stage that only writes metrics, on a disk that takes 80 kB for each file.
METRICS_UNTIL_FULL = """
import resource, signal, sys
from workbench.engine import train
from workbench.engine.journal import log_numbers
def only_metrics(run, place, clock):
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))
    for step in range(1, 10_000):
        log_numbers(run, "dpo", step, 10_000, {"loss": 0.6931})
train.train = only_metrics
sys.exit(train.main(sys.argv[1]))
"""


def test_a_disk_that_fills_while_metrics_are_written_ends_the_run_in_words():
    """The line that was cut is passed over, and the next one begins on a line of its own."""
    run = create_run(demo_config())
    done = run_program(METRICS_UNTIL_FULL, str(run.folder))
    assert (done.returncode, run.result().outcome, run.result().why) == (1, "failed", FULL)
    assert run.metrics_file.stat().st_size == 80_000
    rows = run.metrics()
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert not run.metrics_file.read_bytes().endswith(b"\n"), "the last line was cut"
    log_numbers(run, "dpo", 1, 4, {"loss": 0.5})
    assert run.metrics()[-1]["loss"] == 0.5
    assert not (run.folder / "reserve").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a file that is always full")
def test_a_metrics_file_that_takes_nothing_ends_the_run_in_words():
    run = create_run(demo_config())
    run.metrics_file.symlink_to("/dev/full")
    assert train.main(str(run.folder)) == 1
    assert run.result().why == FULL


# What each library raises where it cannot write on.
FULL_FOR_ALL = """
import json, resource, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from workbench.engine.trouble import explain
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
weights = {"weight": torch.ones(20_000)}
found = {}
for name, write in {
    "torch": lambda file: torch.save(weights, file),
    "safetensors": lambda file: save_file(weights, file),
    "text": lambda file: Path(file).write_text("x" * 30_000),
}.items():
    try:
        write(sys.argv[1] + "/" + name)
    except Exception as error:
        found[name] = [type(error).__name__, explain(error)]
print(json.dumps(found))
"""


def test_a_full_disk_is_recognised_in_the_words_of_every_library(tmp_path):
    done = run_program(FULL_FOR_ALL, str(tmp_path))
    found = json.loads(done.stdout)
    assert {name: kind for name, (kind, _) in found.items()} == {
        "torch": "RuntimeError", "safetensors": "SafetensorError", "text": "OSError",
    }  # fmt: skip
    assert {words for _, words in found.values()} == {FULL}
    assert "does not know" in explain(RuntimeError("PytorchStreamReader failed reading zip archive"))


# The real worker; after step 2 the disk takes no file as large as an adapter any more.
FULL_AFTER_TWO_STEPS = """
import resource, sys
from workbench.engine import report, train
def on_step_end(self, args, state, control, **_):
    known(self, args, state, control)
    if state.global_step == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
known, report.ReportCallback.on_step_end = report.ReportCallback.on_step_end, on_step_end
sys.exit(train.main(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_disk_that_fills_inside_a_checkpoint_loses_only_what_came_after_the_last_one():
    small = {"batch_size": 4, "max_length": 128, "held_out_limit": 8, "evaluations": 1, "checkpoint_steps": 1}
    run = training.start(
        demo_config(method="dpo", sft_data=None, dpo={"max_steps": 4}, **small),
        [sys.executable, "-c", FULL_AFTER_TWO_STEPS],
    )
    assert ended(run) == "failed"
    assert training.summary(run) == FULL
    assert sorted(folder.name for folder in (run.folder / "checkpoints").iterdir()) == ["dpo-0000001", "dpo-0000002"]
    assert checkpoints.newest(run).step == 2
    assert not (run.folder / "scratch").exists(), "what was half written has given its room back"
    training.resume(run)
    assert ended(run) == "finished", training.summary(run)
    assert [row["step"] for row in run.metrics() if "loss" in row] == [1, 2, 3, 4]
