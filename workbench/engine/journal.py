"""Lines of metrics.jsonl. Imports nothing heavy, so that a worker can speak from its first second."""

import json
import math
import time
from typing import Any

from workbench.core.config import Stage
from workbench.store.runs import Run


def log_phase(run: Run, phase: str) -> None:
    """What the worker is doing when it is not training, in words."""
    _append(run, {"phase": phase, "time": time.time()})


def log_numbers(run: Run, stage: Stage, step: int, steps: int, numbers: dict[str, Any]) -> None:
    """One line of metrics.jsonl. A number that is not finite is written as null: JSON has no word for it."""
    clean = {key: _plain(value) for key, value in numbers.items()}
    _append(run, {"stage": stage, "step": step, "steps": steps, "time": time.time()} | clean)


def _append(run: Run, row: dict[str, Any]) -> None:
    with open(run.metrics_file, "a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
