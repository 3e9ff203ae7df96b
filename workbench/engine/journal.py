"""Lines of metrics.jsonl and samples.jsonl. Imports nothing heavy, so that a worker can speak from its first second."""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from workbench.core.monitoring.health import Sample
from workbench.core.monitoring.metrics import RESUMED, Row
from workbench.core.training.config import Stage
from workbench.core.training.methods import stage_title
from workbench.store.home import append_line
from workbench.store.runs import Run


def log_phase(run: Run, phase: str) -> None:
    """What the worker is doing when it is not training, in words."""
    append_lines(run.metrics_file, [{"phase": phase, "time": time.time()}])


def log_resumed(run: Run, stage: Stage, step: int) -> None:
    """The run goes on from a checkpoint; what was logged after it does not count any more."""
    phase = f"resumed at step {step:,} of {stage_title(stage)}"
    append_lines(run.metrics_file, [{"phase": phase, "stage": stage, RESUMED: step, "time": time.time()}])


def log_begun_again(run: Run, stage: Stage) -> None:
    """A stage that was lost before its first checkpoint takes all its steps once more; what was logged does not count."""
    words = f"{stage_title(stage)} begins again: it had no checkpoint yet"
    append_lines(run.metrics_file, [{"phase": words, "stage": stage, RESUMED: -1, "time": time.time()}])


def log_numbers(run: Run, stage: Stage, step: int, steps: int, numbers: dict[str, Any]) -> Row:
    """One line of metrics.jsonl, which is given back. A number that is not finite is written as null: JSON has no word for it."""
    clean = {key: _plain(value) for key, value in numbers.items()}
    row = {"stage": stage, "step": step, "steps": steps, "time": time.time()} | clean
    append_lines(run.metrics_file, [row])
    return row


def log_samples(run: Run, samples: Sequence[Sample]) -> None:
    """The answers of one evaluation, as lines of samples.jsonl."""
    append_lines(run.samples_file, samples)


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows at the end of a file of JSON lines, in one write. Raises FileNotFoundError where the run's folder is gone."""
    if rows:
        with _appending(path) as file:
            append_line(file, "\n".join(json.dumps(row, allow_nan=False) for row in rows))


_begun: set[Path] = set()  # files that this process has written to
_DELETING = 0.5  # seconds


def _appending(path: Path) -> IO[bytes]:
    """A file to append to. One that was there before is not made anew while somebody deletes the folder around it."""
    if path in _begun and not path.exists():
        time.sleep(_DELETING)
        os.stat(path.with_name("config.json"))
    _begun.add(path)
    return open(path, "ab+")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
