"""The demo model trained on a card, through both backends: every method, kills, a memory that is too small, fp16."""

import functools
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from backends import BACKENDS, ask_for
from configs import demo_config
from made_runs import store_thumbs
from real_runs import curve, ended

from workbench.jobs import training
from workbench.store import checkpoints
from workbench.store.runs import Run

pytestmark = pytest.mark.gpu

OTHER_CARD = [sys.executable, str(Path(__file__).parent / "other_card.py")]
MINUTES = 6 * 60.0  # the first run through Unsloth compiles its kernels

SETTINGS: dict[str, Any] = {
    "checkpoint_steps": 1,
    "sft": {"learning_rate": 1e-3, "max_steps": 8},
    "dpo": {"learning_rate": 2e-4, "max_steps": 16},
    "kto": {"learning_rate": 2e-4, "max_steps": 16},
}
START = {"dpo": math.log(2), "kto": 0.5}


@functools.cache
def whole(backend: str, method: str) -> Run:
    """A run that nothing happened to, made once for all tests that compare with it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        ask_for(backend, monkeypatch)
        thumbs = store_thumbs().name if method == "kto" else None
        run = training.start(
            demo_config(f"{backend}-{method.replace('+', '-')}", method=method, thumbs_data=thumbs, **SETTINGS)
        )
        assert ended(run, MINUTES) == "finished", training.summary(run) + run.log_tail()
    return run


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


@pytest.mark.parametrize("method", ["sft", "dpo", "sft+dpo", "kto"])
def test_each_method_starts_from_its_reference_and_ends_with_an_fp32_adapter(backend, method, record_property):
    import torch

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
    first, last = ([found[backend]["dpo", step, "eval_loss"] for backend in BACKENDS] for step in (0, 16))
    record_property("held-out loss", " and ".join(f"{loss:.4f}" for loss in last))
    assert abs(first[0] - first[1]) < 0.002
    assert abs(last[0] - last[1]) < 0.05


def test_a_run_that_is_killed_in_both_stages_ends_where_one_that_is_not_does(backend, record_property):
    """A card adds in another order each time, so the curves are compared and not the bytes."""
    untouched = whole(backend, "sft+dpo")
    run = training.start(demo_config(f"{backend}-killed", method="sft+dpo", **SETTINGS))
    for stage, step in (("sft", 3), ("dpo", 5)):
        wait_for_step(run, stage, step)
        os.kill(run.worker()["pid"], signal.SIGKILL)
        assert ended(run) == "lost"
        assert checkpoints.newest(run).stage == stage
        training.resume(run)
    assert ended(run, MINUTES) == "finished", training.summary(run)
    one, other = curve(run), curve(untouched)
    assert one.keys() == other.keys()
    furthest = max(abs(one[place] - other[place]) for place in one)
    record_property("furthest loss from the untouched run's", f"{furthest:.5f}")
    assert furthest < 0.02


def wait_for_step(run: Run, stage: str, step: int) -> None:
    until = time.monotonic() + MINUTES
    while not any(row.get("stage") == stage and row.get("step", 0) >= step and "loss" in row for row in run.metrics()):
        assert time.monotonic() < until and training.state_of(run) == "running", run.log_tail()
        time.sleep(0.02)


def test_a_card_without_bf16_trains_in_fp16_with_an_adapter_in_fp32(backend, notes, monkeypatch, record_property):
    """A T4: TRL's cast of the adapter to bf16 would end in `not implemented for 'BFloat16'`."""
    monkeypatch.setenv("CARD_IS_OLD", "1")
    run = training.start(demo_config(f"{backend}-fp16", method="sft+dpo", **SETTINGS), OTHER_CARD)
    assert ended(run, MINUTES) == "finished", training.summary(run) + run.log_tail()
    assert run.environment()["backend"] == backend, run.environment()["why"]
    assert {kind for kinds in read(notes, "types") for kind in kinds} == {"torch.float32"}
    losses = curve(run)
    assert abs(losses["dpo", 0, "eval_loss"] - START["dpo"]) < 0.002
    assert losses["dpo", 16, "eval_loss"] < losses["dpo", 0, "eval_loss"]
    record_property("held-out loss", f"{losses['dpo', 0, 'eval_loss']:.4f} to {losses['dpo', 16, 'eval_loss']:.4f}")


def test_a_run_that_outgrows_the_card_goes_on_with_less_at_once(backend, notes, monkeypatch, record_property):
    """The card is given three quarters of what the run takes; the next life finds all of it free again."""
    import torch

    large: dict[str, Any] = SETTINGS | {
        "method": "dpo",
        "batch_size": 64,
        "gradient_checkpointing": "off",
        "dpo": {"learning_rate": 2e-4, "max_steps": 4},
    }
    free_run = training.start(demo_config(f"{backend}-free", **large), OTHER_CARD)
    assert ended(free_run, MINUTES) == "finished", training.summary(free_run) + free_run.log_tail()
    needs = max(read(notes, "reserved"))
    notes.unlink()

    share = 0.75 * needs / torch.cuda.get_device_properties(0).total_memory
    monkeypatch.setenv("CARD_SHARE", f"{share:.6f}")
    run = training.start(demo_config(f"{backend}-tight", **large), OTHER_CARD)
    assert ended(run, MINUTES) == "finished", training.summary(run) + run.log_tail()
    changes = [one["changes"] for one in run.adjustments()]
    assert changes and changes[0] == {"batch_size": 32, "accumulation": 2}, "the effective batch stays 64"
    assert [row["step"] for row in run.metrics() if "loss" in row] == [1, 2, 3, 4]
    first, *later = read(notes, "free")
    assert len(later) == len(changes)
    assert all(first - free < 300e6 for free in later), "what a life took is given back before the next begins"
    record_property("memory and rungs", f"{needs / 1e9:.2f} GB needed, 3/4 given, {len(changes)} rungs")


def test_a_model_that_unsloth_refuses_is_trained_without_it_and_the_page_says_why(notes, monkeypatch):
    ask_for("unsloth", monkeypatch)
    monkeypatch.setenv("UNSLOTH_FAILS", "Unsloth: phi9 is not yet implemented!")
    run = training.start(demo_config("refused", method="dpo", dpo={"max_steps": 2}), OTHER_CARD)
    assert ended(run, MINUTES) == "finished", training.summary(run) + run.log_tail()
    environment = run.environment()
    assert environment["backend"] == "transformers"
    assert "Unsloth could not take this model (phi9 is not yet implemented)" in environment["why"]
