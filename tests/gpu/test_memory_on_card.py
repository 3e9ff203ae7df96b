"""The forecast of memory beside what real steps take on a card, over the grid of tests/benchmarks/memory_parts.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.gpu

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
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(benchmarks), str(gigabytes)], capture_output=True, text=True
    )
    print(done.stdout, done.stderr[-4000:])
    assert done.returncode == 0
    rows: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return [(case, ratio, verdict) for case, ratio, verdict in rows]


def test_the_forecast_is_never_under_and_seldom_far_over(record_property):
    found = [(case, ratio) for case, ratio, _ in measured() if ratio]
    ratios = sorted(ratio for _, ratio in found)
    record_property("forecast over measured", f"{ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} cases")
    assert len(found) >= 30
    assert [case for case, ratio in found if not 0.98 <= ratio <= 1.15] == []


@pytest.mark.parametrize("gigabytes", [6, 12])
def test_what_is_said_to_fit_on_a_small_card_does(gigabytes, record_property):
    found = measured(gigabytes)
    fits = [(case, ratio) for case, ratio, verdict in found if verdict == "fits"]
    broke = sum(ratio is None for _, ratio, _ in found)
    record_property("small card", f"{len(fits)} of {len(found)} said to fit, {broke} ran out of memory")
    assert fits and [case for case, ratio in fits if ratio is None] == []
