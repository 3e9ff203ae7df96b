"""Checkpoints are whole or not there, and a run that goes on from one ends where an uninterrupted one does."""

import hashlib
import json
import os
import shutil
import signal
import sys
import time

import pytest
from configs import demo_config
from made_runs import answering_settings, create_run, few_rows, first_settings
from real_runs import curve, ended, weights

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import RESUMED, as_trained
from workbench.core.monitoring.progress import seconds_per_step
from workbench.engine import adapters, train
from workbench.jobs import processes, training
from workbench.store import best, checkpoints


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
    shutil.rmtree(last.folder.parent)
    assert checkpoints.newest(run) is None
    assert drafted(run, "dpo", 4) == checkpoints.newest(run), "all were deleted while it trained: the next one is kept"


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


def test_a_clock_that_is_set_and_a_machine_that_sleeps_are_no_slow_steps():
    """Steps of 2, 4 and 3 s; between them the clock goes back an hour, and the lid is closed for eight."""
    times = [0, 2, 2 - 3600, 6 - 3600, 6 - 3600 + 8 * 3600, 9 - 3600 + 8 * 3600]
    assert seconds_per_step([row("dpo", n, time=time) for n, time in enumerate(times, 1)], "dpo") == 3
    assert seconds_per_step([row("dpo", 1, time=3600), row("dpo", 2, time=0)], "dpo") is None


def wait_for_step(run, stage, step):
    until = time.monotonic() + 120
    while not any(one.get("stage") == stage and one.get("step", 0) >= step and "loss" in one for one in run.metrics()):
        assert time.monotonic() < until and training.state_of(run) == "running", run.log_tail()
        time.sleep(0.05)


def wait_until_gone(run):
    """A worker tells its result, and then puts away what nobody needs any more."""
    worker, until = run.worker(), time.monotonic() + 60
    while processes.alive(worker["pid"], worker["created"]):
        assert time.monotonic() < until
        time.sleep(0.05)


# The real worker, which is killed the first time that it calls a function of its own.
KILLED_IN = """
import os, signal, sys
from workbench.engine import adapters, train
from workbench.store import checkpoints
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{function} = die
sys.exit(train.main(sys.argv[1]))
"""


def killed_in(function):
    return [sys.executable, "-c", KILLED_IN.format(function=function)]


@pytest.mark.slow
def test_a_run_that_was_killed_and_paused_ends_with_the_weights_of_one_that_was_not():
    """Killed inside its first checkpoint, then as it keeps its best step, again as it saves the adapter of SFT, whose last
    step is done and in a checkpoint by then, paused in DPO, whose reference is the SFT adapter, and killed between its last
    adapter and its result: bit for bit the same.
    """
    small = {
        "batch_size": 4,
        "max_length": 128,
        "evaluations": 0,  # left open: what is settled at the start holds for all of its lives
        "held_out_limit": 24,
        "samples": 2,
        "sft": {"learning_rate": 1e-3, "max_steps": 4},
        "dpo": {"learning_rate": 2e-4, "max_steps": 8},
    }
    whole = training.start(demo_config("whole", **small))
    assert ended(whole) == "finished", training.summary(whole)
    wait_until_gone(whole)
    assert not (whole.folder / "checkpoints").exists()

    pieces = training.start(demo_config("pieces", **small), killed_in("checkpoints.write_json"))
    assert ended(pieces) == "lost"
    assert "had no checkpoint yet: Resume starts it from its first step" in training.summary(pieces)
    training.resume(pieces, killed_in("adapters.write_text"))
    assert ended(pieces) == "lost" and best.best_of(pieces) is None
    assert "Resume continues from step 1 of SFT" in training.summary(pieces)
    training.resume(pieces, killed_in("adapters.save_adapter"))
    assert ended(pieces) == "lost" and best.best_of(pieces)
    assert "Resume continues from step 4 of SFT" in training.summary(pieces)
    training.resume(pieces)
    wait_for_step(pieces, "dpo", 2)
    training.pause(pieces)
    assert ended(pieces) == "paused"
    assert training.running() is None
    training.resume(pieces, killed_in("adapters.Run.write_result"))
    assert ended(pieces) == "lost" and pieces.has_adapter
    assert "Resume continues from step 8 of DPO" in training.summary(pieces), "it does not train that stage once more"
    training.resume(pieces)
    assert ended(pieces) == "finished", training.summary(pieces)
    wait_until_gone(pieces)
    assert curve(pieces) == curve(whole)
    assert weights(pieces) == weights(whole)
    assert pieces.adjusted_config().evaluations == 3 and pieces.adjusted_config().held_out_limit == 8
    assert pieces.environment()["probes"].keys() == {"sft", "dpo"}, "what the lives before found out is kept"
    assert best.last_of(pieces) == best.last_of(whole) and best.compared(pieces) == best.compared(whole)
    left = {file.name for file in pieces.folder.iterdir()}
    assert left - {file.name for file in whole.folder.iterdir()} <= {"exit.json"}
    # How often answers are given follows from the time that they take, which is another one in each life.
    asked = [{(one["stage"], one["step"]) for one in run.samples()} for run in (whole, pieces)]
    given = [
        [one for one in run.samples() if (one["stage"], one["step"]) in asked[0] & asked[1]] for run in (whole, pieces)
    ]
    assert given[0] == given[1] and len(given[0]) >= 4, "at the start and at the end of each stage"
    assert len(pieces.samples_file.read_text().splitlines()) == len(pieces.samples()), "none was given twice"


# The real worker, which is killed after its second step, of which there is no checkpoint yet.
KILLED_AT_STEP_2 = """
import os, signal, sys
from workbench.engine import report, train
def on_step_end(self, args, state, control, **_):
    known(self, args, state, control)
    if state.global_step == 2:
        os.kill(os.getpid(), signal.SIGKILL)
known, report.ReportCallback.on_step_end = report.ReportCallback.on_step_end, on_step_end
sys.exit(train.main(sys.argv[1]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_goes_on_from_its_checkpoint_to_the_weights_of_one_that_was_not(one_base, first_run):
    """A real worker, killed once; this process takes the last step again. The long one of this follows."""
    config = demo_config("killed", **first_settings() | {"checkpoint_steps": 1})
    run = training.start(config, [sys.executable, "-c", KILLED_AT_STEP_2])
    assert ended(run) == "lost"
    assert "Resume continues from step 1 of DPO" in training.summary(run)
    before = run.seconds()
    assert before["loading"] > 0, "written down when the steps began, in which it was killed"
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    assert train.main(str(run.folder)) == 0, run.result()
    assert curve(run) == curve(first_run)
    assert weights(run) == weights(first_run)
    now = run.seconds()
    assert all(now[work] >= before[work] for work in before) and now["loading"] > before["loading"], "of both its lives"


# The real worker, whose memory runs out once, at step 5 of its first life. The next life is the plain worker.
OUT_OF_MEMORY = """
import sys
from workbench.engine import report, train
def on_step_end(self, args, state, control, **_):
    known(self, args, state, control)
    if state.global_step == 5:
        raise MemoryError("DefaultCPUAllocator: can't allocate memory")
known, report.ReportCallback.on_step_end = report.ReportCallback.on_step_end, on_step_end
sys.exit(train.main(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_worker_out_of_memory_begins_again_with_less_at_once_and_the_same_in_all():
    steps = {"learning_rate": 2e-4, "max_steps": 8}
    run = training.start(
        demo_config("tight", method="dpo", sft_data=None, dpo=steps, gradient_checkpointing=True, checkpoint_steps=2),
        [sys.executable, "-c", OUT_OF_MEMORY],
    )
    assert ended(run) == "finished", training.summary(run)
    assert [one["changes"] for one in run.adjustments()] == [{"batch_size": 4, "accumulation": 2}]
    assert run.config().batch_size == 8, "what was asked for is not rewritten"
    assert [one["step"] for one in run.metrics() if "loss" in one] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "the same effective batch of 8" in next(
        one["phase"] for one in run.metrics() if "memory ran out" in one.get("phase", "")
    )


def test_out_of_memory_goes_on_with_less_and_the_same_in_all(one_base, monkeypatch, after_step):
    """As above, without a new process."""

    def out_of_memory(_):
        raise MemoryError("DefaultCPUAllocator: can't allocate memory")

    after_step(3, out_of_memory)
    monkeypatch.setattr(train, "restart_worker", lambda folder: train.main(folder))
    steps = {"learning_rate": 2e-4, "max_steps": 4}
    run = create_run(demo_config("tight", **first_settings() | {"dpo": steps, "checkpoint_steps": 2}))
    assert train.main(str(run.folder)) == 0, run.result()
    assert len(run.adjustments()) == 1 and run.config().batch_size == 4
    adjusted = run.adjusted_config()
    assert (adjusted.batch_size, adjusted.accumulation) in ((4, 1), (2, 2)), "the same effective batch of 8"
    assert [one["step"] for one in run.metrics() if "loss" in one] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["while answers are written", "in the training step"])
def test_out_of_memory_of_a_run_that_answers_by_itself_keeps_whole_groups(judge, one_base, monkeypatch, where):
    """2 x 1 -> 1 x 2: the same effective batch of one group; each answer is then written by itself."""
    from workbench.engine.rloo import RlooOnOneBase

    method = "_generate_single_turn" if where.startswith("while") else "compute_loss"
    known, calls = getattr(RlooOnOneBase.__mro__[2], method), []

    def runs_out(self, *arguments, **named):
        size = self.args.per_device_train_batch_size
        if self.model.training and self.state.global_step == 2 and size > 1:
            raise MemoryError("DefaultCPUAllocator: can't allocate memory")
        calls.append((size, len(arguments[0]) if method.startswith("_generate") else 0))
        return known(self, *arguments, **named)

    monkeypatch.setattr(RlooOnOneBase.__mro__[2], method, runs_out)
    monkeypatch.setattr(train, "restart_worker", lambda folder: train.main(folder))
    settings = answering_settings()
    settings["rloo"] |= {"max_steps": 3}
    run = create_run(demo_config("tight", **settings | {"batch_size": 2, "checkpoint_steps": 1}))
    assert train.main(str(run.folder)) == 0, run.result()
    assert [one["changes"] for one in run.adjustments()] == [{"batch_size": 1, "accumulation": 2}]
    assert [one["step"] for one in run.metrics() if "loss" in one] == [1, 2, 3]
    told = run.environment()["frozen"]
    assert told["unchanged"] and {size for size, _ in calls} == {1, 2}
    assert all(answers <= size for size, answers in calls), (
        "answers are written as few at once as are trained on, in evaluations too"
    )


def test_weights_that_run_away_leave_the_last_good_adapter(one_base, after_step):
    """Checkpoints after each step: the one after step 3 has the NaN in it, so the one after step 2 is kept."""

    def not_a_number(model):
        next(weight for weight in model.parameters() if weight.requires_grad).data[0, 0] = float("nan")

    after_step(3, not_a_number)
    wild = {"method": "sft", "preference_data": None, "checkpoint_steps": 1}
    wild |= {"sft_data": few_rows()["sft_data"], "sft": {"learning_rate": 1e-3, "max_steps": 6}}
    run = create_run(demo_config("wild", **first_settings() | wild))
    assert train.main(str(run.folder)) == 1
    assert "The loss became nan at step 4 of SFT" in run.result().why
    assert "The adapter of step 2 of SFT is kept." in run.result().why
    assert run.has_adapter


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_a_kill_while_an_adapter_is_saved_leaves_the_one_before_or_the_new_one_and_nothing_torn(monkeypatch):
    """A process that dies with half of the new weights on the disk; then with all of them, before they have their place."""
    run = create_run(demo_config())

    def write(text, dies):
        def written(run, model, folder, config):
            folder.mkdir(exist_ok=True)
            (folder / "adapter_model.safetensors").write_text(text)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)

        return written

    def save(text, dies):
        monkeypatch.setattr(adapters, "write_adapter", write(text, dies))
        if (child := os.fork()) == 0:
            adapters.save_adapter(run, None, run.adapter, run.config())
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert (save("half", dies=True), run.has_adapter) == (-9, False)
    assert (save("old", dies=False), save("half of the new", dies=True)) == (0, -9)
    assert (run.adapter / "adapter_model.safetensors").read_text() == "old"
    assert save("new", dies=False) == 0
    assert (run.adapter / "adapter_model.safetensors").read_text() == "new"
    assert not list(run.folder.glob(".adapter*"))


def test_the_last_good_adapter_is_kept_also_where_an_earlier_life_of_the_run_kept_one():
    """A run that diverged, was resumed and diverged again; and a worker that was killed while it copied."""
    run = create_run(demo_config())
    for text in ("first", "second"):
        source = run.folder / text
        source.mkdir()
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            (source / name).write_text(text)
        (run.folder / ".adapter.draft" / "torn").mkdir(parents=True)
        adapters.copy_adapter(source, run.adapter)
        assert (run.adapter / "adapter_model.safetensors").read_text() == text
        assert not (run.adapter / "torn").exists()


def test_only_a_run_that_can_go_on_is_resumed():
    run = create_run(demo_config())
    run.write_result("finished", "Finished.")
    with pytest.raises(WorkbenchError, match="is finished, so there is nothing to resume"):
        training.resume(run)
    with pytest.raises(WorkbenchError, match="not running, so there is nothing to pause"):
        training.pause(run)
