"""The whole loop of the demo on a card, and its two lanes in one batch beside one after the other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from configs import demo_config
from workers import DRY, config_of, trained

from workbench.core.training.config import read_config
from workbench.store import presets
from workbench.store.runs import Run

pytestmark = [pytest.mark.gpu, pytest.mark.own_model]

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def demo_run() -> Run:
    """The demo as `workbench demo` trains it; two steps of it in a dry run."""
    if DRY:
        return trained(config_of("demo", "dpo"))
    usual = demo_config("demo").model_dump(mode="json")
    return trained(read_config(presets.recipe("demo").apply(usual)))


def lanes(run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What compare_lanes.py finds; on a card in a process of its own, which then gives it back."""
    if not DRY:
        command = [sys.executable, str(BENCHMARKS / "compare_lanes.py"), "--run", run.name, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stdout, done.stderr[-4000:])
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert all(found["limits"].values()), found["limits"]
        return dict(found["found"])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compare_lanes

    monkeypatch.setattr(compare_lanes, "SAMPLING", compare_lanes.Sampling(max_new_tokens=8, seed=5))
    prompts = [[{"role": "user", "content": text}] for text in ("What is snow?", "Where is the harbour?")]
    return dict(compare_lanes.measure(run, "nf4", prompts, 1))


def test_the_demo_is_trained_and_two_lanes_are_answered_in_one_batch(record_property, monkeypatch):
    run = demo_run()
    rows = [row for row in run.metrics() if row.get("stage") == "dpo" and "eval_rewards/accuracies" in row]
    assert DRY or rows[-1]["eval_rewards/accuracies"] > 0.9
    record_property("held-out accuracy", f"{rows[-1]['eval_rewards/accuracies']:.2f}")
    record_property("seconds", ", ".join(f"{work} {took:.0f}" for work, took in run.seconds().items()))
    found = lanes(run, monkeypatch)
    for name in ("time ratio, nf4", "memory ratio, nf4"):
        record_property(f"two lanes, {name}", f"{found[name]:.2f}")
