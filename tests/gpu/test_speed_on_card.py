"""Real architectures with random weights, through the real worker: speed and memory of both backends, and ways to log-probabilities."""

import atexit
import functools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backends import BACKENDS, ask_for
from random_models import random_qwen3
from workers import DRY, folder_of_model, needs_memory, trained

from workbench.core.monitoring.run_log import MEMORY, SPEED
from workbench.core.training.config import RunConfig, read_config
from workbench.store import datasets
from workbench.store.datasets import Provenance
from workbench.store.model_configs import preset_configs
from workbench.store.runs import Run

pytestmark = [pytest.mark.gpu, pytest.mark.own_model]

MODELS = {"demo-size": 0.0} if DRY else {"Qwen/Qwen3-0.6B": 7.0, "Qwen/Qwen3-4B": 22.0}  # GB of a card that they need
LENGTH, BATCH, STEPS = (64, 2, 3) if DRY else (1024, 4, 12)
FIRST = 1 if DRY else 4  # steps in which kernels are compiled and tuned
PAIRS = 16 if DRY else 64


@functools.cache
def model_folder(name: str) -> Path:
    """A model of presets/ with random weights, made once for all tests."""
    place = tempfile.mkdtemp(prefix="random-model-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = Path(place) / name.replace("/", "-")
    return random_qwen3(folder) if DRY else folder_of_model(dict(preset_configs()[name]), folder)


def long_pairs(length: int, name: str = "long-pairs") -> str:
    """A dataset of pairs that fill `length` tokens and more, every second one a quarter of it."""
    if name not in datasets.names():
        rows = []
        for number in range(PAIRS):
            words = " the" * (length // 4 if number % 2 else 2 * length)
            rows.append({"prompt": f"Question {number}", "chosen": f"a{words}", "rejected": f"b{words}"})
        datasets.add(enumerate(rows, 1), name, source=Provenance("a test"))
    return name


def long_config(name: str, model: Path, length: int, **changes: Any) -> RunConfig:
    """A few steps of DPO on pairs that fill max length, and nothing beside them that takes time."""
    usual: dict[str, Any] = {
        "method": "dpo", "batch_size": BATCH, "accumulation": 1, "gradient_checkpointing": "on",
        "evaluations": 1, "held_out_limit": 8, "samples": 0, "dpo": {"max_steps": STEPS},
    }  # fmt: skip
    own = {
        "name": name, "model": {"source": "folder", "name": str(model)}, "max_length": length,
        "preference_data": long_pairs(length),
    }  # fmt: skip
    return read_config(usual | changes | own)


def speed_of(run: Run) -> float:
    """Tokens per second, the median of the steps after the first ones."""
    return statistics.median(row[SPEED] for row in run.metrics() if SPEED in row and row["step"] > FIRST)


def peak_of(run: Run) -> float:
    """Bytes of tensors on the card at the worst step; of the whole process without a card."""
    return max(float(row[MEMORY]) for row in run.metrics() if MEMORY in row)


@functools.cache
def timed(model: str, backend: str) -> Run:
    needs_memory(MODELS[model])
    with pytest.MonkeyPatch.context() as monkeypatch:
        ask_for(backend, monkeypatch)
        return trained(long_config(f"speed-{backend}", model_folder(model), LENGTH))


@pytest.mark.parametrize("model", MODELS)
def test_a_backend_trains_a_real_architecture(model, backend, record_property):
    run = timed(model, backend)
    assert run.environment()["backend"] == backend, run.environment()["why"]
    assert not run.adjustments()
    record_property("tokens per second", f"{speed_of(run):,.0f}")
    record_property("memory, GB", f"{peak_of(run) / 1e9:.2f}")
    probe = run.environment()["probes"]["dpo"]
    assert probe["forecast"] > 0 and probe["needed"] > 0
    record_property("forecast over needed", f"{probe['forecast'] / probe['needed']:.3f}")


@pytest.mark.parametrize("model", MODELS)
def test_unsloth_beside_transformers(model, record_property):
    one, other = (timed(model, backend) for backend in BACKENDS)
    record_property("speed of Unsloth over Transformers", f"{speed_of(other) / speed_of(one):.2f}")
    record_property("memory of Unsloth over Transformers", f"{peak_of(other) / peak_of(one):.2f}")


def test_log_probabilities_without_logits_are_those_of_all_logits(record_property):
    """In fp32 to 1e-5; in 16 bits as far as a logit is rounded, and slopes to a hundredth of their length."""
    import torch

    from workbench.engine.answer_pass import OutputLayer, read_tokens

    tokens, features, vocabulary = (64, 32, 500) if DRY else (2048, 2560, 151_936)
    device, dtype = ("cpu", torch.float32) if DRY else ("cuda", torch.bfloat16)
    torch.manual_seed(3)
    states = torch.randn(tokens, features, device=device, dtype=dtype)
    weight = torch.randn(vocabulary, features, device=device, dtype=dtype) / features**0.5
    wanted = torch.randint(vocabulary, (tokens,), device=device)

    def whole(hidden: Any) -> Any:
        return torch.log_softmax((hidden @ weight.T).float(), -1).gather(1, wanted.unsqueeze(1)).squeeze(1)

    def lean(hidden: Any) -> Any:
        return read_tokens(hidden, wanted, OutputLayer(weight)).log_probs

    all_values, all_slopes, all_time, all_peak = timed_way(whole, states)
    values, slopes, took, peak = timed_way(lean, states)
    furthest = float((all_values - values).abs().max())
    record_property("furthest log-probability", f"{furthest:.2e}")
    record_property("time over that of all logits", f"{took / all_time:.2f}")
    record_property("memory over that of all logits", f"{peak / all_peak:.2f}" if all_peak else "not without a card")
    assert furthest < (1e-5 if DRY else 5e-2)
    assert float((all_slopes - slopes).norm() / all_slopes.norm()) < (1e-5 if DRY else 1e-2)


def test_prompts_read_once_for_both_answers_are_those_read_twice(record_property):
    """On the lengths of hh-rlhf, 180 tokens and answers of 60; in 16 bits a sum of 60 rounds to a tenth of a nat."""
    import torch
    from transformers import AutoModelForCausalLM

    from workbench.engine.answer_pass import read_rows
    from workbench.engine.reading import Reader

    pairs, prompt, answer = (2, 36, 12) if DRY else (8, 180, 60)
    device, dtype = ("cpu", torch.float32) if DRY else ("cuda", torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(model_folder(next(iter(MODELS))), dtype=dtype).to(device)
    torch.manual_seed(3)
    asked = torch.randint(5, 1500, (pairs, prompt)).repeat(2, 1)
    ids = torch.cat([asked, torch.randint(5, 1500, (2 * pairs, answer))], 1).to(device)
    mask, answers = torch.ones_like(ids), torch.zeros_like(ids)
    answers[:, prompt:] = 1
    embedded = model.get_input_embeddings().weight
    model.requires_grad_(False)
    embedded.requires_grad_()  # so that slopes go back through every layer
    found = {}
    for way, is_once in (("twice", False), ("once", True)):
        reader = Reader(model, None, pairs=is_once)

        def read(_: Any, reader: Any = reader) -> Any:
            return read_rows(reader.hidden(ids, mask), ids, answers[:, 1:], reader.layer).log_probs.sum(1)

        found[way] = timed_way(read, embedded)
        assert (reader.facts()["packed"] > 0) == is_once
    furthest = float((found["once"][0] - found["twice"][0]).abs().max())
    record_property("furthest answer, nats", f"{furthest:.2e}")
    record_property("time over that of twice", f"{found['once'][2] / found['twice'][2]:.2f}")
    assert furthest < (1e-4 if DRY else 0.5)


def timed_way(way: Callable[[Any], Any], states: Any) -> tuple[Any, Any, float, int]:
    """What a way makes of states, its slopes, the median of its seconds, and on a card the most bytes that it took."""
    import torch

    times: list[float] = []
    peak = 0
    for _ in range(2 if DRY else 6):
        given = states if states.is_leaf and states.requires_grad else states.clone().requires_grad_()
        given.grad = None
        if not DRY:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        values = way(given)
        values.mean().backward()
        if not DRY:
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated()
        times.append(time.perf_counter() - began)
    return values.detach(), given.grad.float(), statistics.median(times[1:]), peak
