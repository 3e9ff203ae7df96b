"""The demo model trained on a card, through both backends: every method, kills, a memory that is too small, fp16."""

import functools
import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import other_card
import pytest
from backends import BACKENDS, ask_for
from made_runs import few_rows
from real_runs import curve, ended
from workers import DRY, MINUTES, config_of, finish_here, last_step, trained

from workbench.core.training.config import RunConfig
from workbench.engine.load import WITHOUT_UNSLOTH
from workbench.jobs import processes, training
from workbench.store import checkpoints
from workbench.store.runs import Run

pytestmark = pytest.mark.gpu

START = {"dpo": math.log(2), "kto": 0.5}
# In a dry run without what the tests below train as well.
METHODS = (*(() if DRY else ("sft", "sft+dpo")), "dpo", "kto", "orpo", "simpo")
OPTIMIZERS = {"paged_adamw_8bit": 0.05} | (
    {} if DRY else {"paged_adamw_32bit": 0.01}
)  # how far a loss may be from the usual one's


@functools.cache
def whole(backend: str, method: str) -> Run:
    """A run that nothing happened to, made once for all tests that compare with it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        ask_for(backend, monkeypatch)
        return trained(config_of(f"{backend}-{method.replace('+', '-')}", method))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTES", str(tmp_path / "notes.jsonl"))
    return tmp_path / "notes.jsonl"


def read(notes: Path, key: str) -> list[Any]:
    rows = [json.loads(line) for line in notes.read_text().splitlines()]
    return [row[key] for row in rows if key in row]


def adapter_of(run: Run) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(run.adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("method", [*METHODS, pytest.param("reward", marks=pytest.mark.own_model)])
def test_each_method_starts_from_its_reference_and_ends_with_an_fp32_adapter(backend, method, record_property):
    import torch

    if (backend, method) == ("unsloth", "reward"):
        pytest.skip("Unsloth has no head that scores")
    run = whole(backend, method)
    environment = run.environment()
    assert (environment["backend"], environment["precision"]) == (backend, "nf4"), environment["why"]
    stage = run.config().stages[-1]
    rows = [row for row in run.metrics() if row.get("stage") == stage]
    evaluations = [row for row in rows if "eval_loss" in row]
    if stage in START:
        assert evaluations[0]["step"] == 0
        assert abs(evaluations[0]["eval_loss"] - START[stage]) < 0.002
        assert max(abs(evaluations[0].get(f"eval_rewards/{side}", 0.0)) for side in ("chosen", "rejected")) < 0.01
    assert evaluations[-1]["eval_loss"] < evaluations[0]["eval_loss"]
    weights = adapter_of(run)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(weight.isfinite().all() for weight in weights.values())
    assert all(weight.abs().max() > 0 for name, weight in weights.items() if "lora_B" in name)
    record_property("held-out loss", f"{evaluations[0]['eval_loss']:.4f} to {evaluations[-1]['eval_loss']:.4f}")


def test_both_backends_learn_about_the_same(record_property):
    """The same recipe and rows; their kernels round in their own ways, and their adapters start at other random numbers."""
    found = {backend: curve(whole(backend, "dpo")) for backend in BACKENDS}
    first, last = ([found[backend]["dpo", step, "eval_loss"] for backend in BACKENDS] for step in (0, last_step("dpo")))
    record_property("held-out loss", " and ".join(f"{loss:.4f}" for loss in last))
    assert abs(first[0] - first[1]) < 0.002
    assert abs(last[0] - last[1]) < 0.05


def test_a_card_learns_about_the_same_as_the_processor(monkeypatch, record_property):
    """The processor computes in fp32, the card in 16 bits; the adapters start at other random numbers."""
    with monkeypatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        here = curve(trained(config_of("processor", "dpo")))
    there = curve(whole("transformers", "dpo"))
    assert here.keys() == there.keys()
    furthest = max(abs(here[place] - there[place]) for place in here if place[2] == "eval_loss")
    record_property("furthest held-out loss from the processor's", f"{furthest:.5f}")
    assert furthest < 0.05


def test_a_run_that_is_killed_goes_on_to_where_one_that_is_not_ends(backend, record_property):
    """A card adds in another order each time, so the curves are compared and not the bytes."""
    untouched = whole(backend, "dpo" if DRY else "sft+dpo")
    config = untouched.config().model_copy(update={"name": f"{backend}-killed"})
    run = killed_here(config) if DRY else killed_twice(config)
    assert ended(run, MINUTES) == "finished", training.summary(run)
    one, other = curve(run), curve(untouched)
    assert one.keys() == other.keys()
    furthest = max(abs(one[place] - other[place]) for place in one)
    record_property("furthest loss from the untouched run's", f"{furthest:.5f}")
    assert furthest < 0.02


def killed_twice(config: RunConfig) -> Run:
    run = training.start(config)
    for stage, step in (("sft", 3), ("dpo", 5)):
        wait_for_step(run, stage, step)
        os.kill(run.worker()["pid"], signal.SIGKILL)
        assert ended(run) == "lost"
        assert checkpoints.newest(run).stage == stage
        training.resume(run)
    return run


def killed_here(config: RunConfig) -> Run:
    """A worker of its own, which kills itself after a step; its run goes on in this process."""
    few_rows()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIES_AT", "1")
        run = training.start(config, other_card.COMMAND)
        assert ended(run) == "lost", run.log_tail()
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    finish_here(run)
    return run


def wait_for_step(run: Run, stage: str, step: int) -> None:
    until = time.monotonic() + MINUTES
    while not any(row.get("stage") == stage and row.get("step", 0) >= step and "loss" in row for row in run.metrics()):
        assert time.monotonic() < until and training.state_of(run) == "running", run.log_tail()
        time.sleep(0.02)


def test_a_card_without_bf16_trains_in_fp16_with_an_adapter_in_fp32(backend, notes, monkeypatch, record_property):
    """A T4: TRL's cast of the adapter to bf16 would end in `not implemented for 'BFloat16'`."""
    monkeypatch.setenv("CARD_IS_OLD", "1")
    run = trained(config_of(f"{backend}-fp16", "sft+dpo"), on_other_card=True)
    assert run.environment()["backend"] == backend, run.environment()["why"]
    assert {kind for kinds in read(notes, "types") for kind in kinds} == {"torch.float32"}
    losses = curve(run)
    first, last = (losses["dpo", step, "eval_loss"] for step in (0, last_step("dpo")))
    assert abs(first - START["dpo"]) < 0.002
    assert last < first
    record_property("held-out loss", f"{first:.4f} to {last:.4f}")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_paged_optimizer_learns_what_the_usual_one_does(optimizer, record_property, monkeypatch):
    """Without a card the usual one takes its place, and the run says so."""
    ask_for("transformers", monkeypatch)
    run = trained(config_of(optimizer.replace("_", "-"), "dpo", optimizer=optimizer))
    one, other = curve(run), curve(whole("transformers", "dpo"))
    furthest = max(abs(one[place] - other[place]) for place in one)
    record_property("furthest loss from adamw_torch's", f"{furthest:.5f}")
    assert furthest < OPTIMIZERS[optimizer]
    assert run.adjusted_config().optimizer == ("adamw_torch" if DRY else optimizer)


def test_a_run_that_outgrows_the_card_goes_on_with_less_at_once(backend, notes, monkeypatch, record_property):
    """The card is given three quarters of what the run takes; the next life finds all of it free again."""
    import torch

    large: dict[str, Any] = {
        "batch_size": 8 if DRY else 64,
        "gradient_checkpointing": "off",
        "dpo": {"learning_rate": 2e-4, "max_steps": 2 if DRY else 4},
    }
    needs = 0
    if DRY:
        monkeypatch.setenv("RUNS_OUT_AT", "1")
    else:
        trained(config_of(f"{backend}-free", "dpo", **large), on_other_card=True)
        needs = max(read(notes, "reserved"))
        notes.unlink()
        share = 0.75 * needs / torch.cuda.get_device_properties(0).total_memory
        monkeypatch.setenv("CARD_SHARE", f"{share:.6f}")
    run = trained(config_of(f"{backend}-tight", "dpo", **large), on_other_card=True)
    changes = [one["changes"] for one in run.adjustments()]
    half = large["batch_size"] // 2
    assert changes and changes[0] == {"batch_size": half, "accumulation": 2}, "the effective batch stays"
    assert [row["step"] for row in run.metrics() if "loss" in row] == list(range(1, large["dpo"]["max_steps"] + 1))
    if not DRY:
        first, *later = read(notes, "free")
        assert len(later) == len(changes)
        assert all(first - free < 300e6 for free in later), "what a life took is given back before the next begins"
    record_property("memory and rungs", f"{needs / 1e9:.2f} GB needed, 3/4 given, {len(changes)} rungs")


@pytest.mark.needs_card
def test_a_model_that_unsloth_refuses_is_trained_without_it_and_the_page_says_why(notes, monkeypatch):
    ask_for("unsloth", monkeypatch)
    monkeypatch.setenv("UNSLOTH_FAILS", "Unsloth: phi9 is not yet implemented!")
    run = trained(config_of("refused", "dpo", dpo={"max_steps": 2}), on_other_card=True)
    environment = run.environment()
    assert environment["backend"] == "transformers"
    assert "Unsloth could not take this model (phi9 is not yet implemented)" in environment["why"]
    assert WITHOUT_UNSLOTH not in os.environ, "of the worker alone"
