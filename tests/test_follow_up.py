"""Runs that follow from another one: what may change at a checkpoint, and what is copied."""

import json

import pytest
from configs import demo_config
from made_runs import create_run, finished
from test_checkpoints import drafted

from workbench.core.errors import WorkbenchError
from workbench.core.training.forks import Fork, fork_problems, parse_fork, reference_of
from workbench.jobs import training
from workbench.store import checkpoints, forks

AT = Fork("first", "dpo", 4)
PLANNED = {"sft": 4, "dpo": 8}


def problems(fork=AT, **changes):
    return fork_problems(demo_config("branch", **changes), demo_config("first"), fork, PLANNED)


@pytest.mark.parametrize(
    "changes",
    [
        {"dpo": {"learning_rate": 1e-4, "beta": 0.3, "loss": "ipo"}},
        {"gradient_checkpointing": "on", "reference": "beside", "optimizer": "auto"},
        {"schedule": "linear", "warmup": 0.0, "max_grad_norm": 0.5, "evaluations": 4},
    ],
    ids=["rate-beta-loss", "for-the-machine", "schedule"],
)
def test_what_a_checkpoint_does_not_depend_on_may_change(changes):
    assert problems(**changes) == []


def test_less_at_once_fits_where_the_order_of_the_examples_does_not_depend_on_it():
    """Batches of about the same length are made from the batch size and the lengths; without them only the sum counts."""
    less = {"batch_size": 4, "accumulation": 2, "max_length": 128}
    loose = demo_config("first", group_by_length=False)
    assert fork_problems(demo_config("branch", group_by_length=False, **less), loose, AT, PLANNED) == []
    assert [one.split(" is ")[0] for one in problems(**less)] == ["Batch size", "Longest example"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter": {"rank": 8}}, "Rank is 8, and it was 16 in first: the weights of the checkpoint would not fit"),
        ({"adapter": {"alpha": 64}}, "Alpha is 64, and it was 32"),
        ({"model": {"source": "hub", "name": "owner/other"}}, "The base model is owner/other, and it was demo"),
        ({"method": "dpo"}, "Method is dpo, and it was sft+dpo"),
        ({"preference_data": "votes"}, "The data of DPO is votes, and it was demo-preferences"),
        ({"batch_size": 4}, "The effective batch is 4, and it was 8 in first: step 4 would lie elsewhere in the data"),
        (
            {"group_by_length": False},
            "Group by length is False, and it was True in first: the checkpoint knows its place",
        ),
        ({"seed": 1}, "Seed is 1, and it was 17"),
        ({"start_from": "other"}, "Start from is other, and it was None in first: the reference would be another one"),
        ({"sft": {"learning_rate": 1e-4}}, "SFT learning rate is 0.0001, and it was 0.001 in first: SFT is behind it"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_a_checkpoint_is_refused_with_the_reason(changes, words):
    found = problems(**{"sft": demo_config().sft.model_dump()} | changes)
    assert any(one.startswith(words) and "start from the beginning" in one for one in found), found


def test_before_a_later_stage_all_of_its_settings_may_change():
    at_sft = Fork("first", "sft", 2)
    assert problems(at_sft, preference_data="votes", dpo={"beta": 0.5, "max_steps": 2}) == []
    assert "nothing is left to train after step 4 of SFT of first" in problems(Fork("first", "sft", 4))[0]


def test_a_fork_is_one_word_and_no_name_of_a_run_is_taken_for_one():
    assert AT.written == "first@dpo-4"
    assert parse_fork("first@dpo-4") == AT
    assert [parse_fork(text) for text in ("first", "", "first-dpo-4", "first@ppo-4", "first@dpo-x")] == [None] * 5


def test_the_reference_of_a_fork_is_the_one_of_the_run_that_it_left():
    assert reference_of(demo_config(), AT) == "the SFT model of run first"
    assert reference_of(demo_config(), Fork("first", "sft", 2)) == "the SFT model of this run"
    assert reference_of(demo_config(method="dpo"), AT) == "the base model, as in run first"
    assert reference_of(demo_config(method="dpo", start_from="zero"), AT) == "run zero as it ended, as in run first"
    assert reference_of(demo_config(method="dpo"), None) == "the base model"


def first_run():
    """A run in DPO with checkpoints at steps 2 and 4, rows and samples until step 5, the adapter after SFT and the one at its start."""
    run = create_run(demo_config("first"))
    drafted(run, "dpo", 2)
    drafted(run, "dpo", 4)
    for adapter in (run.stage_adapter("sft"), run.start_adapter):
        adapter.mkdir()
        (adapter / "adapter_model.safetensors").write_text("weights")
    rows = [
        {"phase": "starting"},
        *({"stage": "sft", "step": n, "steps": 4, "time": 1.0 * n, "loss": 2.0} for n in range(1, 5)),
    ]
    rows += [{"stage": "dpo", "step": n, "steps": 8, "time": 5.0 + n, "loss": 0.6} for n in range(1, 6)]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples = [
        {"stage": stage, "step": step, "prompt": [{"role": "user", "content": "Why?"}], "answer": "x"}
        | {"tokens": 1, "hit_limit": False, "repetition": 0.0}
        for stage, step in (("sft", 4), ("dpo", 3), ("dpo", 5))
    ]
    run.samples_file.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return run


def test_a_fork_has_all_that_it_needs_and_the_curve_until_its_step():
    first = first_run()
    half = demo_config("half", dpo={"learning_rate": 1e-4, "max_steps": 8})
    assert forks.newest_before(first, "dpo", 3) == Fork("first", "dpo", 2)
    assert forks.newest_before(first, "dpo", 1) is None
    assert forks.newest_before(first, "sft", 9) is None
    run = training.make_run(half, AT)
    assert training.state_of(run) == "queued"
    assert forks.fork_of(run) == AT and forks.fork_of(first) is None
    assert (checkpoints.newest(run).stage, checkpoints.newest(run).step) == ("dpo", 4)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "adapter-after-sft", "adapter-at-start", "checkpoints", "config.json", "data.json", "forked.json", "metrics.jsonl", "queued.json",
        "samples.jsonl",
    ]  # fmt: skip
    assert [(one["stage"], one["step"]) for one in run.samples()] == [("sft", 4), ("dpo", 3)]
    rows = run.metrics()
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert rows[-1] == {
        "phase": "branched off at step 4 of DPO of first",
        "forked": {"run": "first", "stage": "dpo", "step": 4},
    }


def test_a_checkpoint_that_is_gone_or_damaged_leaves_no_run():
    first = first_run()
    with pytest.raises(WorkbenchError, match="checkpoint at step 3 of DPO of first is gone: a run keeps its 2 newest"):
        training.make_run(demo_config("half"), Fork("first", "dpo", 3))
    (checkpoints.newest(first, at_a_glance=True).folder / "optimizer.pt").write_text("weights 9")
    with pytest.raises(WorkbenchError, match="checkpoint at step 4 of DPO of first is damaged"):
        training.make_run(demo_config("half"), AT)
    assert not (first.folder.parent / "half").exists()
    assert forks.forks_of(finished("done")) == []
