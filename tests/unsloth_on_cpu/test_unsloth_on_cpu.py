"""The real worker, once through the real Unsloth on a card that is only pretended, once through Transformers and PEFT.

What it proves: how we call Unsloth, what its patched trainers make of our rows, losses, references and adapters, and what it
leaves behind after an evaluation. What not: compiled code, memory, speed, activations that go to the CPU and back.
"""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configs import demo_config
from interpreter import narrowed, widened
from made_runs import SMALL, create_run, few_rows, store_thumbs
from real_runs import curve
from replaced_kernels import REPLACED, TYPES

from workbench.store.home import shipped
from workbench.store.runs import Run

MISSING = [package for package in ("unsloth", "triton") if importlib.util.find_spec(package) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"{' and '.join(MISSING)} not installed here; .ci/unsloth makes an environment and runs this there",
    ),
]

HERE = Path(__file__).parent
PATIENCE = 900  # seconds; a machine may be busy, and .ci/unsloth ends what takes too long
PLACES = 200  # of the model that KTO trains: the longest prompt that it can answer in 96 tokens has 104
FOUR = {"learning_rate": 1e-3, "max_steps": 4}
PAUSED_AT = 2

METHODS: dict[str, dict[str, Any]] = {
    "dpo": {"method": "dpo", "dpo": FOUR},
    "both": {"method": "sft+dpo", "sft": FOUR, "dpo": FOUR, "max_length": 64},  # so that examples are cut
    # Batches of five: a part of the rows, prepared by itself, does not end with a batch.
    "kto": {"method": "kto", "kto": FOUR | {"max_steps": 6}, "batch_size": 5},
    "orpo": {"method": "orpo", "orpo": FOUR},
    "simpo": {"method": "simpo", "simpo": FOUR},
}
START = {"dpo": math.log(2), "kto": 0.5}  # of policies that are their own reference


@dataclass(frozen=True)
class Trained:
    """All runs by name, and what was noted of those through Unsloth."""

    runs: dict[str, Run]
    notes: list[dict[str, Any]]
    log: str  # what the workers printed

    def of(self, name: str, *moments: str) -> list[dict[str, Any]]:
        return [one for one in self.notes if one.get("run") == name and one["moment"] in moments]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Two processes train through Unsloth, while this one trains the same through Transformers."""
    from workbench.engine import train

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(folder / "home"))
        patch.setenv("NOTES", str(folder / "notes.jsonl"))
        # With Triton here, bitsandbytes would have its ways around missing kernels compiled.
        patch.setenv("TORCHDYNAMO_DISABLE", "1")
        settings = _settings(folder)
        names = [*METHODS, "paused", "bf16"]
        runs = {name: create_run(demo_config(name, **settings[name])) for name in names}
        runs |= {f"{name} without": create_run(demo_config(f"{name}-without", **settings[name])) for name in METHODS}
        plans = (
            [{"run": "paused", "pause": PAUSED_AT}, {"run": "both"}, {"run": "orpo"}, {"run": "simpo"}],
            [{"run": "kto", "processors": 8}, {"run": "dpo"}, {"run": "paused", "resume": True}, {"run": "bf16", "dtype": "bfloat16"}],
        )  # fmt: skip
        workers = [_worker(folder / f"plan-{number}.json", plan, runs) for number, plan in enumerate(plans)]
        try:
            for name in METHODS:
                assert train.main(str(runs[f"{name} without"].folder)) == 0, runs[f"{name} without"].result()
            ends = [worker.wait(PATIENCE) for worker in workers]
            log = "".join(file.read_text() for file in sorted(folder.glob("plan-*.log")))
            assert ends == [0, 0], log
        finally:
            for worker in workers:
                worker.kill()
        notes = [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]
        yield Trained(runs, notes, log)


def _settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Of each run. Gradient checkpointing is on and answers are sampled, as a new run has them."""
    shared = SMALL | few_rows() | {"gradient_checkpointing": True, "samples": 2, "checkpoint_steps": 1}
    settings = {name: shared | own for name, own in METHODS.items()}
    long = "Tell me all about the sea. " * 15
    settings["dpo"] |= {"own_prompts": long}
    settings["paused"] = settings["dpo"]
    settings["bf16"] = settings["dpo"] | {"dpo": FOUR | {"max_steps": 2}}
    model = shutil.copytree(shipped("assets") / "demo" / "model", folder / "small" / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": PLACES}))
    settings["kto"] |= {
        "model": {"source": "folder", "name": str(model)},
        "thumbs_data": store_thumbs().name,
        "own_prompts": f"Say hello.\n{long}",
    }
    return settings


def _worker(file: Path, plan: list[dict[str, Any]], runs: dict[str, Run]) -> "subprocess.Popen[str]":
    file.write_text(json.dumps([one | {"run": str(runs[one["run"]].folder)} for one in plan]))
    with open(file.with_suffix(".log"), "w", encoding="utf-8") as log:
        command = [sys.executable, str(HERE / "worker.py"), str(file)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True, env=os.environ.copy())


def test_fp32_becomes_the_nearest_bf16():
    """1 + 2**-8 lies between 1 and 1 + 2**-7, and 1 is even; a bit more is nearer to the upper one."""
    numbers = np.array([1.0, 1 + 2**-8, 1 + 2**-8 + 2**-20, -2.5, np.inf, np.nan], np.float32)
    expected = np.array([1.0, 1.0, 1 + 2**-7, -2.5, np.inf, np.nan], np.float32)
    assert np.array_equal(widened(narrowed(numbers)), expected, equal_nan=True)


@pytest.mark.parametrize("one", REPLACED, ids=lambda one: one.name)
def test_what_stands_for_a_kernel_does_what_the_kernel_does(trained, one):
    """Bit by bit, but where a row is added up."""
    found = [note["differences"] for note in trained.notes if note["moment"] == "replaced"]
    assert len(found) == 2, "one for each process"
    assert all(each[f"{one.name} {dtype}"] <= one.limit(dtype) for each in found for dtype in TYPES)


def test_what_was_trained_went_through_unsloths_fused_layers(trained):
    steps = trained.of("dpo", "step") + trained.of("bf16", "step")
    assert {fused for one in steps for fused in one["fused"]} == {"apply_lora_qkv apply_lora_o apply_lora_mlp_swiglu"}


def adapter_of(run: Run) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(run.adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_those_of_transformers_and_peft(trained, name, record_property):
    """In NF4 and fp32: what is left are other orders of adding up."""
    run, other = trained.runs[name], trained.runs[f"{name} without"]
    assert [one.environment()["backend"] for one in (run, other)] == ["unsloth", "transformers"]
    assert run.environment()["precision"] == other.environment()["precision"] == "nf4"
    one, two = curve(run), curve(other)
    assert one.keys() == two.keys() and len(one) >= FOUR["max_steps"] + 2
    worst = max(abs(one[place] / two[place] - 1) for place in one)
    record_property("worst relative difference of a loss", f"{worst:.2g}")
    assert worst < 2e-5
    assert len({round(loss, 4) for loss in one.values()}) > 2, "it learns, so that equal curves say something"


@pytest.mark.parametrize("name", METHODS)
def test_log_probabilities_are_read_from_hidden_states_without_logits(trained, name):
    """Through Unsloth's own layers too, each answer in a row of its own; without Unsloth several share a row."""
    found = [trained.runs[run].environment()["reading"] for run in (name, f"{name} without")]
    assert found[0].keys() == found[1].keys() == {trained.runs[name].config().stages[-1]}
    for one, other in zip(*(each.values() for each in found), strict=True):
        assert one["batches"] > 0 and other["batches"] > 0 and one["packed"] == 0
        assert "Unsloth" in one["why_not"]


@pytest.mark.parametrize("name", ["dpo", "both", "kto", "bf16"])
def test_a_stage_starts_from_its_reference(trained, name):
    stage = trained.runs[name].config().stages[-1]
    found = curve(trained.runs[name])[stage, 0, "eval_loss"]
    assert found == pytest.approx(START[stage], abs=1e-6)


def test_bf16_rounds_and_learns_the_same(trained):
    """Two steps of the same run in bf16, on a card that has it: the losses have two to three digits in common."""
    one, other = curve(trained.runs["bf16"]), curve(trained.runs["dpo"])
    assert trained.runs["bf16"].environment()["precision"] == "nf4"
    for step in (1, 2):
        assert one["dpo", step, "loss"] == pytest.approx(other["dpo", step, "loss"], rel=0.02)
    assert one["dpo", 2, "loss"] != other["dpo", 2, "loss"], "it was computed in fp32"


@pytest.mark.parametrize("name", METHODS)
def test_an_adapter_has_the_names_and_the_weights_of_one_without_unsloth(trained, name):
    import torch

    one, other = adapter_of(trained.runs[name]), adapter_of(trained.runs[f"{name} without"])
    assert one.keys() == other.keys()
    assert {weight.dtype for weight in one.values()} == {torch.float32}
    moved = [key for key in one if "lora_B" in key]
    assert all(one[key].abs().max() > 0 for key in moved)
    # Adam divides by gradients: where one is next to nothing, its rounding decides the sign of a step.
    assert sum(float((one[key] - other[key]).norm()) for key in moved) < 0.02 * sum(
        float(one[key].norm()) for key in moved
    )


@pytest.mark.parametrize("name", [*METHODS, "bf16", "paused"])
def test_what_trains_is_in_fp32_and_so_is_the_state_of_its_optimizer(trained, name):
    steps = trained.of(name, "step")
    assert steps and all(one["trained"] == one["moments"] == ["torch.float32"] for one in steps)


def test_a_reference_is_the_base_model_or_the_adapter_of_the_stage_before(trained):
    """A fresh adapter changes nothing: TRL's copy of it is deleted, and the base model answers in its place."""

    def adapters(name: str, stage: str) -> list[list[str]]:
        return [one["adapters"] for one in trained.of(name, "step", "answered") if one["stage"] == stage]

    for name, stage in (("dpo", "dpo"), ("kto", "kto"), ("orpo", "orpo"), ("both", "sft")):
        found = adapters(name, stage)
        assert found and all(one == ["default"] for one in found), name
    found = adapters("both", "dpo")
    assert found and all(one == ["default", "ref"] for one in found)


@pytest.mark.parametrize("name", [*METHODS, "bf16"])
def test_an_evaluation_leaves_the_model_as_it_trained(trained, name):
    """Unsloth's way to answer turns checkpointing off in each layer and keeps copies of the adapter that never change."""
    run = trained.runs[name]
    assert {one["step"] for one in run.samples()} >= {0}, "answers were sampled"
    for stage in run.config().stages:
        before, after = (
            [one for one in trained.of(name, moment) if one["stage"] == stage] for moment in ("evaluated", "answered")
        )
        assert len(before) == len(after) >= 2
        kept = ("checkpointing", "copies", "adapters", "training", "use_cache", "trained")
        assert [[one[key] for key in kept] for one in before] == [[one[key] for key in kept] for one in after]
        steps = [one for one in trained.of(name, "step") if one["stage"] == stage]
        for one in (*before, *after, *steps):
            assert one["checkpointing"] and "False" not in one["checkpointing"]
            assert one["copies"] == 0
        assert all(one["training"] and not one["use_cache"] for one in steps)


@pytest.mark.parametrize("name", METHODS)
def test_sample_answers_are_those_of_transformers(trained, name):
    """The last ones too: they come from the adapter as it is then, and not from a copy of its beginning. So is what the policy
    gives them against its reference, though a prompt of 113 tokens with its answer is longer than any example."""
    one, other = (
        {(line["stage"], line["step"], line["prompt"][-1]["content"]): line for line in trained.runs[run].samples()}
        for run in (name, f"{name} without")
    )
    assert one.keys() == other.keys() and len({step for _, step, _ in one}) >= 2
    for place, line in one.items():
        assert line["answer"] == other[place]["answer"]
        assert {key: line[key] for key in line if "reward" in key} == {
            key: pytest.approx(other[place][key], abs=2e-4) for key in other[place] if "reward" in key
        }
    assert "No more sample answers" not in trained.log


def test_sample_answers_follow_what_was_learned(trained):
    found = [line for name in ("dpo", "both", "kto") for line in trained.runs[name].samples()]
    assert len({line["answer"] for line in found}) > len({str(line["prompt"]) for line in found})


def test_a_run_that_was_paused_goes_on_as_if_it_had_not_been(trained):
    assert curve(trained.runs["paused"]) == curve(trained.runs["dpo"])
    one, other = adapter_of(trained.runs["paused"]), adapter_of(trained.runs["dpo"])
    assert all(bool((one[key] == other[key]).all()) for key in other)
    steps = [one["step"] for one in trained.of("paused", "step")]
    assert steps == [1, 2, 3, 4] and "Finished" in trained.runs["paused"].result().why


def test_examples_are_cut_where_the_config_says_though_unsloths_sft_forgets_it(trained):
    """Its SFT leaves None in the trainer's own max_length."""
    one, other = (
        next(row for row in trained.runs[run].metrics() if row.get("stage") == "sft" and "answers/examples" in row)
        for run in ("both", "both without")
    )
    facts = [key for key in other if key.startswith("answers/")]
    assert len(facts) > 3 and {key: one[key] for key in facts} == {key: other[key] for key in facts}


def test_a_prompt_without_room_for_an_answer_is_left_out_and_the_others_are_answered(trained):
    """Unsloth refuses a batch with one prompt whose answer may pass the places that the model has, of which KTO's has few."""
    found = {line["prompt"][-1]["content"] for line in trained.runs["kto"].samples()}
    assert "Say hello." in found and len(found) > 1
    assert not any(prompt.startswith("Tell me all about the sea.") for prompt in found)


def test_the_environment_names_unsloth_and_its_kernels_and_no_folder(trained):
    environment = trained.runs["dpo"].environment()
    assert {"unsloth", "unsloth_zoo"} <= environment["versions"].keys()
    assert environment["why"].startswith("Unsloth ") and "/" not in environment["why"]
