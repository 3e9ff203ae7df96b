"""Checkpoints are whole or not there, and a run that goes on from one ends where an uninterrupted one does."""

import hashlib
import json
import os
import signal
import sys
import time

import pytest
from configs import demo_config

from workbench.core.errors import WorkbenchError
from workbench.core.metrics import RESUMED, as_trained
from workbench.core.pace import seconds_per_step
from workbench.jobs import training
from workbench.store import checkpoints
from workbench.store.runs import create_run


def drafted(run, stage="dpo", step=8, text="weights"):
    """A folder as a trainer leaves it: what is needed, a pickle that is not, and the reference once more."""
    draft = run.folder / "scratch" / f"checkpoint-{step}"
    (draft / "ref").mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "training_args.bin", "ref/adapter_model.safetensors"):
        (draft / name).write_text(f"{text} {step}")
    return checkpoints.keep(run, stage, step, draft)


def test_a_checkpoint_has_what_resuming_needs_and_no_pickle_that_nothing_reads():
    run = create_run(demo_config())
    kept = drafted(run)
    assert kept.folder == run.folder / "checkpoints" / "dpo-0000008"
    assert sorted(file.name for file in kept.folder.iterdir()) == [
        "adapter_model.safetensors",
        "manifest.json",
        "optimizer.pt",
    ]
    assert checkpoints.newest(run) == kept
    assert json.loads((kept.folder / "manifest.json").read_text())["files"]["optimizer.pt"] == [
        9,
        hashlib.sha256(b"weights 8").hexdigest(),
    ]


def test_two_checkpoints_are_kept_and_a_torn_one_is_passed_over():
    run = create_run(demo_config())
    assert checkpoints.newest(run) is None
    for stage, step in (("sft", 4), ("sft", 16), ("dpo", 2)):
        drafted(run, stage, step)
    assert sorted(folder.name for folder in (run.folder / "checkpoints").iterdir()) == ["dpo-0000002", "sft-0000016"]
    last = checkpoints.newest(run)
    assert (last.stage, last.step) == ("dpo", 2)
    (last.folder / "optimizer.pt").write_text("weights 9")  # the same size, other bytes
    assert checkpoints.newest(run, at_a_glance=True) == last
    assert (checkpoints.newest(run).stage, checkpoints.newest(run).step) == ("sft", 16)
    (last.folder / "manifest.json").write_text('{"stage": "dpo", "st')
    assert checkpoints.newest(run, at_a_glance=True).stage == "sft"


def row(stage, step, loss=0.5, time=0.0):
    return {"stage": stage, "step": step, "steps": 9, "loss": loss, "time": time}


def test_steps_that_were_taken_once_more_count_once():
    rows = [row("dpo", 1), row("dpo", 2), row("dpo", 3, loss=0.9), {"phase": "resumed", "stage": "dpo", RESUMED: 2}]
    again = row("dpo", 3, loss=0.4)
    assert [one.get("loss") for one in as_trained([*rows, again])] == [0.5, 0.5, None, 0.4]
    assert as_trained(rows[:3]) == rows[:3]


def test_a_stage_that_is_gone_back_to_takes_the_later_one_with_it():
    rows = [row("sft", 4), row("dpo", 1), {"phase": "resumed", "stage": "sft", RESUMED: 4}]
    assert [one.get("stage") for one in as_trained(rows) if "loss" in one] == ["sft"]


def test_a_night_between_two_steps_is_no_slow_step():
    """Two steps of 2 s, a night, then steps of 3 s: 3 s a step"""
    rows = [row("dpo", 1, time=0), row("dpo", 2, time=2), {"phase": "resumed", "stage": "dpo", RESUMED: 2, "time": 9e4}]
    assert seconds_per_step([*rows, row("dpo", 3, time=90003), row("dpo", 4, time=90006)], "dpo") == 3


def ended(run, seconds=120):
    until = time.monotonic() + seconds
    while training.state_of(run) == "running":
        assert time.monotonic() < until, run.log_tail()
        time.sleep(0.1)
    return training.state_of(run)


def weights(run):
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def curve(run):
    """Every logged loss, by stage, step and kind."""
    return {
        (one["stage"], one["step"], key): one[key]
        for one in run.metrics()
        for key in ("loss", "eval_loss")
        if key in one
    }


def wait_for_step(run, stage, step):
    until = time.monotonic() + 120
    while not any(one.get("stage") == stage and one.get("step", 0) >= step and "loss" in one for one in run.metrics()):
        assert time.monotonic() < until and training.state_of(run) == "running", run.log_tail()
        time.sleep(0.05)


def test_a_run_that_was_killed_and_paused_ends_with_the_weights_of_one_that_was_not():
    """Killed in SFT, paused in DPO after SFT, whose reference is the SFT adapter: bit for bit the same."""
    steps = {"sft": {"learning_rate": 1e-3, "max_steps": 6}, "dpo": {"learning_rate": 2e-4, "max_steps": 12}}
    whole = training.start(demo_config("whole", **steps))
    assert ended(whole) == "finished", training.in_words(whole)
    assert not (whole.folder / "checkpoints").exists()

    pieces = training.start(demo_config("pieces", **steps))
    wait_for_step(pieces, "sft", 2)
    os.kill(pieces.worker()["pid"], signal.SIGKILL)
    assert ended(pieces) == "lost"
    assert "Resume goes on from step" in training.in_words(pieces)
    training.resume(pieces)
    wait_for_step(pieces, "dpo", 2)
    training.pause(pieces)
    assert ended(pieces) == "paused"
    assert training.running() is None
    training.resume(pieces)
    assert ended(pieces) == "finished", training.in_words(pieces)
    assert curve(pieces) == curve(whole)
    assert weights(pieces) == weights(whole)


# The real worker, whose memory runs out once, at step 5 of its first life. The next life is the plain worker.
OUT_OF_MEMORY = """
import sys
from workbench.engine import report, train
def on_step_end(self, args, state, control, **_):
    known(self, args, state, control)
    if state.global_step == 5:
        raise MemoryError("DefaultCPUAllocator: can't allocate memory")
known, report.Report.on_step_end = report.Report.on_step_end, on_step_end
sys.exit(train.main(sys.argv[1]))
"""


def test_out_of_memory_goes_on_with_less_at_once_and_the_same_in_all():
    steps = {"learning_rate": 2e-4, "max_steps": 8}
    run = training.start(
        demo_config("tight", method="dpo", sft_data=None, dpo=steps, gradient_checkpointing=True, checkpoint_steps=2),
        [sys.executable, "-c", OUT_OF_MEMORY],
    )
    assert ended(run) == "finished", training.in_words(run)
    assert [one["changes"] for one in run.adjustments()] == [{"batch_size": 4, "accumulation": 2}]
    assert run.config().batch_size == 8, "what was asked for is not rewritten"
    assert [one["step"] for one in run.metrics() if "loss" in one] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "the effective batch stays" in next(
        one["phase"] for one in run.metrics() if "memory ran out" in one.get("phase", "")
    )


# The real worker, one of whose weights stops being a number after step 5.
NOT_A_NUMBER = """
import sys
from workbench.engine import report, train
def on_step_end(self, args, state, control, model=None, **_):
    if state.global_step == 5:
        next(weight for weight in model.parameters() if weight.requires_grad).data[0, 0] = float("nan")
    known(self, args, state, control)
known, report.Report.on_step_end = report.Report.on_step_end, on_step_end
sys.exit(train.main(sys.argv[1]))
"""


def test_weights_that_run_away_leave_the_last_good_adapter():
    """Checkpoints after each step: the one after step 5 has the NaN in it, so the one after step 4 is kept."""
    steps = {"learning_rate": 1e-3, "max_steps": 8}
    run = training.start(
        demo_config("wild", method="sft", preference_data=None, sft=steps, checkpoint_steps=1),
        [sys.executable, "-c", NOT_A_NUMBER],
    )
    assert ended(run) == "failed"
    assert "The loss became nan at step 6 of SFT" in training.in_words(run)
    assert "The adapter of step 4 of SFT is kept." in training.in_words(run)
    assert run.has_adapter


def test_only_a_run_that_can_go_on_is_resumed():
    run = create_run(demo_config())
    run.write_result("finished", "Finished.")
    with pytest.raises(WorkbenchError, match="is finished, so there is nothing to resume"):
        training.resume(run)
    with pytest.raises(WorkbenchError, match="not running, so there is nothing to pause"):
        training.pause(run)
