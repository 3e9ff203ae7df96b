"""The rows that a run logs, and which of them count."""

from collections.abc import Sequence
from typing import Any

from workbench.core.training.config import RunConfig
from workbench.core.training.methods import METHODS, Measured, stages_after

Row = dict[str, Any]
"""One line of metrics.jsonl: `stage`, `step` (within the stage), `steps` (of the stage), `time` (seconds since the
epoch) and whatever numbers the trainer logged under its own names; or a `phase` in words instead of numbers."""

RESUMED = "resumed"
"""Key of the line that says that a stage went on from a checkpoint: its value is the step, and `stage` is in the line.
-1: it began again, because it had none yet."""

GENERATING = "generating_time"
"""Seconds of a step that an online method writes answers for; TRL logs those of the whole step as `step_time`."""

FORKED = "forked"
"""Key of the line behind which a run that branched off another one has its own steps: run, stage and step it came from."""


def as_trained(rows: Sequence[Row]) -> list[Row]:
    """The rows of what the weights went through: steps after a checkpoint that a run went back to are left out.

    They stay in metrics.jsonl; the run took them once more.
    """
    kept: list[Row] = []
    went_back: dict[str, int] = {}  # the step of each stage from which on rows do not count
    for row in reversed(rows):
        if "step" not in row or row["step"] <= went_back.get(row["stage"], row["step"]):
            kept.append(row)
        if RESUMED in row:
            for stage, step in steps_before(row):
                went_back[stage] = min(step, went_back.get(stage, step))
    return kept[::-1]


def steps_before(resumed: Row) -> list[tuple[str, int]]:
    """The last step that still counts, of each stage in which a line says that the run went back."""
    own = (resumed["stage"], resumed[RESUMED])
    return [own, *((later, -1) for later in stages_after(resumed["stage"]))]


def latest(rows: Sequence[Row], key: str, stage: str | None = None) -> float | None:
    """The last number logged under `key`, of one stage or of any."""
    for row in reversed(rows):
        if key in row and (stage is None or row["stage"] == stage):
            value = row[key]
            return None if value is None else float(value)
    return None


def latest_step(rows: Sequence[Row], stage: str) -> int:
    """The last step that a stage has taken; 0 where it has taken none."""
    return next((int(row["step"]) for row in reversed(rows) if row.get("stage") == stage and "step" in row), 0)


def results(rows: Sequence[Row], config: RunConfig) -> list[Measured]:
    """What a run reached so far on held-out data, stage by stage."""
    found = []
    for stage in config.stages:
        for result in METHODS[stage].results:
            value = latest(rows, result.key, stage)
            found += [] if value is None else [Measured(stage, result, value)]
    return found


def closing_message(rows: Sequence[Row], config: RunConfig) -> str:
    """What a finished run reached, in a sentence; "" where that was not measured."""
    reached = results(rows, config)
    for stage in reversed(config.stages):
        values = {one.result.name: one.value for one in reached if one.stage == stage}
        if len(values) == len(METHODS[stage].results):
            return METHODS[stage].closing.format(**values)
    return ""
