"""Exported scripts run as a person runs them, and their curves beside those of the run."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs import demo_config

from workbench.core.export.exported import Exported
from workbench.core.export.script import Repeated
from workbench.core.export.targets import ExportOptions
from workbench.jobs.exports import export
from workbench.store.home import shipped


def exported(name: str, out: Path, target: str = "script") -> Exported:
    """A run of this home in a folder."""
    return export(name, target, out, ExportOptions(), lambda fraction, words: None)


def repeated(method: str, device: str = "a card", **changes) -> Repeated:
    """What there is to repeat of a run of four steps of each stage, that nobody trained."""
    config = demo_config("a-run", method=method, thumbs_data="thumbs", **changes)
    return Repeated(config, "demo model", dict.fromkeys(config.stages, 4), {"device": device})


OF_THE_CLOCK = ("runtime", "per_second", "time", "phase", "steps", "memory_in_use", "share", "margins_error", "logits/")
"""Parts of the names of numbers that no two runs share, or that only the workbench logs."""

ROUNDING = 1e-5
"""The same sums in another order: most often the curves are equal to the last digit, and else 4e-6 apart, in log-probabilities of
some 30 nats. A wrong row, rate, seed or reference is a thousand times as far."""

Curve = dict[tuple[str, int], dict[str, float]]


def run_script(
    folder: Path, out: Path, *arguments: str, launcher: Sequence[str] = (), environment: Mapping[str, str] = {}
) -> Curve:
    """Run train.py of an export on the demo model, in a process that knows no workbench. Returns its curve."""
    done = subprocess.run(
        [
            *(launcher or (sys.executable,)),
            str(folder / "train.py"),
            "--model",
            str(shipped("assets") / "demo" / "model"),
        ]
        + ["--out", str(out), *arguments],
        cwd=folder,
        env=plain_environment() | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    out.with_suffix(".log").write_text(done.stdout)
    return curve([json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()])


def plain_environment() -> dict[str, str]:
    """Of this process, without what would lead a child to the workbench, and with no Hub within reach."""
    left_out = ("PYTHONPATH", "WORKBENCH_HOME", "HF_HUB_OFFLINE", "HF_TOKEN")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"HF_ENDPOINT": "http://127.0.0.1:9"}


def curve(rows: list[dict[str, Any]]) -> Curve:
    """(stage, step) -> all numbers that the trainer logged there."""
    found: Curve = defaultdict(dict)
    for row in rows:
        if "step" in row and ("loss" in row or "eval_loss" in row):
            found[row["stage"], row["step"]] |= {
                name: value
                for name, value in row.items()
                if isinstance(value, int | float) and not any(part in name for part in OF_THE_CLOCK)
            }
    return dict(found)


def deviations(one: Curve, other: Curve) -> dict[str, float]:
    """Metric -> the largest difference at any step. Both curves must have the same points and the same numbers there."""
    assert one.keys() == other.keys(), (sorted(one), sorted(other))
    found: dict[str, float] = defaultdict(float)
    for point, numbers in one.items():
        assert numbers.keys() == other[point].keys(), (point, sorted(numbers), sorted(other[point]))
        for name, value in numbers.items():
            found[name] = max(found[name], abs(value - other[point][name]))
    return dict(found)
