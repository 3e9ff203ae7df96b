"""How fast a run goes, from the times of its rows: progress, time left, the next checkpoint.

A clock can be put forward or back while a run trains, and a machine can sleep. So a pace is made of single intervals
between steps, and one that no step can have taken is left out.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.core.monitoring.metrics import RESUMED, Row
from workbench.core.training.config import Stage
from workbench.core.training.recipe import steps_between_evaluations

# The time left follows a machine that slows down.
STEPS_LOOKED_AT = 50

# An interval this many times the usual one is a sleep or a clock, not a step.
TOO_LONG = 10

# Two answers per row, and the reference pass besides: where nothing was measured yet, a step after SFT takes so much longer.
PREFERENCE_OVER_SFT = 2

# A step that takes minutes must not make a lost run lose hours.
MOST_BETWEEN_CHECKPOINTS = 600.0  # seconds


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    phase: str
    stage: Stage | None  # None before the first step
    step: int  # counted through all stages
    steps: int
    seconds_left: float | None  # None until two steps were timed


@dataclass(frozen=True)
class NextCheckpoint:
    """When a run will save itself next. step: of its stage."""

    stage: Stage
    step: int
    seconds: float


def progress(
    rows: Sequence[Row],
    plan: Mapping[Stage, int],
    earlier: Mapping[Stage, float] | None = None,
    evaluations: int = 0,
) -> Progress:
    """How far a run with `plan` (stage -> steps) has come, from its rows.

    earlier: seconds per step that earlier runs took for a stage, for the stages that this one has not come to.
    evaluations: of a stage, as the run's settings say.
    """
    total = sum(plan.values())
    phase = next((row["phase"] for row in reversed(rows) if "phase" in row), "starting")
    trained = [row for row in rows if "loss" in row]
    if not trained:
        return Progress(phase, None, 0, total, None)
    last = trained[-1]
    stages = list(plan)
    before = stages.index(last["stage"]) if last["stage"] in plan else 0
    done = sum(plan[stage] for stage in stages[:before]) + last["step"]
    pace = seconds_per_step(rows, last["stage"], evaluations)
    if pace is None:
        return Progress(phase, last["stage"], done, total, None)
    seconds = pace * (last["steps"] - last["step"])
    for stage in stages[before + 1 :]:
        seconds += plan[stage] * (earlier or {}).get(stage, PREFERENCE_OVER_SFT * pace)
    return Progress(phase, last["stage"], done, total, seconds)


def seconds_per_step(rows: Sequence[Row], stage: str, evaluations: int = 0) -> float | None:
    """Wall time of a step of `stage` with its share of the evaluations; None before two steps in a row were timed.

    The one before the first step was timed already, so that later ones count before they come.
    """
    steps, held_out = _intervals(rows, stage)
    if not steps:
        return None
    usual = statistics.median(steps)
    step = statistics.fmean(one for one in steps if one <= TOO_LONG * usual)
    planned = next(row["steps"] for row in reversed(rows) if row.get("stage") == stage and "loss" in row)
    evaluating = statistics.median_low(held_out) if held_out else 0.0
    return step + evaluating / steps_between_evaluations(evaluations, planned)


def trained_seconds(rows: Sequence[Row]) -> float:
    """Wall time of all stages, from their first row to their last one, without the time between a run's lives."""
    total = 0.0
    before: Row | None = None
    for row in rows:
        if "stage" not in row or "time" not in row:
            continue
        if before is not None and RESUMED not in row and row["stage"] == before["stage"]:
            total += max(0.0, row["time"] - before["time"])
        before = row
    return total


def next_checkpoint(
    rows: Sequence[Row], stage: Stage, every: int, saved_at: int | None, evaluations: int = 0
) -> NextCheckpoint | None:
    """When a run in `stage` saves itself next; None where that cannot be told, or where the stage ends before.

    every: steps from one checkpoint to the next; one comes after ten minutes at the latest. saved_at: step of the last
    checkpoint in this stage, None where there is none yet.
    """
    pace = seconds_per_step(rows, stage, evaluations)
    last = next((row for row in reversed(rows) if row.get("stage") == stage and "loss" in row), None)
    if pace is None or last is None:
        return None
    # A run that was resumed counts its ten minutes from then on; it did so at its checkpoint.
    late = (saved_at or 0) + math.ceil(MOST_BETWEEN_CHECKPOINTS / pace) if pace > 1e-6 else math.inf
    step = min((last["step"] // every + 1) * every, max(last["step"] + 1, late))
    if step > last["steps"]:
        return None
    return NextCheckpoint(stage, int(step), (step - last["step"]) * pace)


def _intervals(rows: Sequence[Row], stage: str) -> tuple[list[float], list[float]]:
    """Seconds of each of the newest steps without the evaluations between them, and of all evaluations.

    After a resume the steps since then count, as soon as there are some.
    """
    steps: list[float] = []
    earlier: list[float] = []
    held_out: list[float] = []
    before: Row | None = None
    evaluating = 0.0
    for row in rows:
        if RESUMED in row:  # by another machine, perhaps, or with less at once
            steps, earlier = [], steps or earlier
        if RESUMED in row or row.get("stage") != stage:
            before = None  # whatever lies between was no step: a night, the loading of a model
        elif "eval_loss" in row:
            evaluating = max(0.0, row.get("eval_runtime") or 0.0)
            held_out.append(evaluating)
        elif "loss" in row:
            if before is not None and row["step"] > before["step"]:
                seconds = (row["time"] - before["time"] - evaluating) / (row["step"] - before["step"])
                if seconds >= 0:
                    steps.append(seconds)
            before, evaluating = row, 0.0
    return (steps or earlier)[-STEPS_LOOKED_AT:], held_out
