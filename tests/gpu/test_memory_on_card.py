"""The forecast of memory beside what real runs and steps take, on the card as it is and on it made as small as others are."""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from backends import ask_for
from test_speed_on_card import long_config, model_folder, peak_of
from workers import DRY, needs_memory, trained

from workbench.core.memory.architectures import shape_of
from workbench.core.memory.forecast import CUDA_CONTEXT
from workbench.store import presets
from workbench.store.model_configs import preset_configs

pytestmark = pytest.mark.gpu

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

PURPOSE = "everyday"


def largest_model(card: str) -> str:
    """The model with the most weights that the everyday preset of a card is made for."""
    configs = preset_configs()
    return max(presets.recipe(PURPOSE, card).models, key=lambda name: shape_of(configs[name]).parameters)


@pytest.mark.own_model
@pytest.mark.parametrize("gigabytes", [8] if DRY else [8, 12, 16, 24])
def test_the_preset_of_a_card_fits_on_one_of_its_size(gigabytes, monkeypatch, record_property):
    """The longest batch is tried first, so a few steps show the worst one. PyTorch gets what a desktop and CUDA leave."""
    needs_memory(0.93 * gigabytes)
    card = f"{gigabytes}gb"
    name = largest_model(card)
    settings = {key: value for key, value in presets.recipe(PURPOSE, card).settings.items() if key != "max_length"}
    length = 64 if DRY else presets.recipe(PURPOSE, card).settings["max_length"]
    few = settings["dpo"] | {"max_steps": 2}
    ask_for("transformers", monkeypatch)
    monkeypatch.setenv("CARD_GIB", str(gigabytes))
    more: dict[str, Any] = settings | {"dpo": few, "evaluations": 1, "held_out_limit": 8}
    run = trained(long_config(card, model_folder("demo-size" if DRY else name), length, **more), on_other_card=True)
    probe = run.environment()["probes"]["dpo"]
    record_property("model", f"{name}, {length} tokens, batch {settings['batch_size']}")
    record_property("forecast, GB", f"{probe['forecast'] / 1e9:.2f}")
    record_property("forecast over tensors", f"{(probe['forecast'] - CUDA_CONTEXT) / peak_of(run):.3f}")
    assert run.adjustments() == [], "it fits as it is"
    assert DRY or probe["forecast"] - CUDA_CONTEXT >= 0.98 * peak_of(run)


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from memory_parts import measure
from workbench.engine.device import this_device
found = measure(this_device(), float(sys.argv[2]) or None)
print(json.dumps([[str(one.case), one.ratio, one.verdict] for one in found]))
"""


def measured(gigabytes: float = 0) -> list[tuple[str, float | None, str]]:
    """Case, forecast over measured (None: it ran out of memory), verdict; in a process that then gives the card back."""
    if DRY:
        return _two_measured()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(BENCHMARKS), str(gigabytes)], capture_output=True, text=True
    )
    print(done.stdout, done.stderr[-4000:])
    assert done.returncode == 0
    rows: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return [(case, ratio, verdict) for case, ratio, verdict in rows]


def _two_measured() -> list[tuple[str, float | None, str]]:
    """The first two cases of the grid for a processor."""
    sys.path.insert(0, str(BENCHMARKS))
    import memory_parts

    from workbench.engine.device import this_device

    grid = memory_parts.grid
    with mock.patch.object(memory_parts, "grid", lambda device: islice(grid(device), 2)):
        return [(str(one.case), one.ratio, one.verdict) for one in memory_parts.measure(this_device())]


@pytest.mark.own_model
def test_the_forecast_is_never_under_and_seldom_far_over(record_property):
    found = [(case, ratio) for case, ratio, _ in measured() if ratio]
    ratios = sorted(ratio for _, ratio in found)
    record_property("forecast over measured", f"{ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} cases")
    assert len(found) >= (2 if DRY else 30)
    assert [case for case, ratio in found if not 0.98 <= ratio <= 1.15] == []


@pytest.mark.needs_card
@pytest.mark.parametrize("gigabytes", [6, 12])
def test_what_is_said_to_fit_on_a_small_card_does(gigabytes, record_property):
    found = measured(gigabytes)
    fits = [(case, ratio) for case, ratio, verdict in found if verdict == "fits"]
    broke = sum(ratio is None for _, ratio, _ in found)
    record_property("small card", f"{len(fits)} of {len(found)} said to fit, {broke} ran out of memory")
    assert fits and [case for case, ratio in fits if ratio is None] == []
