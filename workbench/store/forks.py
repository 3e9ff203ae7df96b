"""A run that branches off another one at a checkpoint: what is copied, and what is written down about it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import FORKED, RESUMED, Row
from workbench.core.training.config import ModelRef, Stage
from workbench.core.training.forks import Fork
from workbench.core.training.methods import METHODS
from workbench.store import best, checkpoints, run_files
from workbench.store.checkpoints import Checkpoint
from workbench.store.home import write_json, write_text
from workbench.store.runs import Run, all_runs, model_of, open_run


def fork_of(run: Run) -> Fork | None:
    """Where a run branched off another one; None where it began by itself. Raises WorkbenchError where that cannot be read."""
    found = run_files.BRANCH.read(run.folder / "forked.json")
    return Fork(found.run, found.stage, found.step) if found else None


def forks_of(run: Run) -> list[Fork]:
    """Where a new run could branch off this one: its whole checkpoints, the newest first."""
    return [Fork(run.name, found.stage, found.step) for found in checkpoints.whole(run, at_a_glance=True)]


def forks_of_model(model: ModelRef) -> list[Fork]:
    """Where a new run of a model could branch off an earlier one, the newest run first."""
    return [fork for run in all_runs() if model_of(run) == model for fork in forks_of(run)]


def newest_before(run: Run, stage: Stage, step: int) -> Fork | None:
    """The newest checkpoint of a stage, at this step of it or before; None where there is none any more."""
    return next((fork for fork in forks_of(run) if fork.stage == stage and fork.step <= step), None)


def take(fork: Fork, run: Run) -> None:
    """Copy into a new run's folder all that it needs to go on where another one was.

    The checkpoint, the adapters of the stages before it, the adapter that the other run started from, and its numbers up to
    that step. Raises WorkbenchError where the checkpoint is gone or damaged, OSError where the disk is full.
    """
    source = open_run(fork.run)
    found = _checkpoint(source, fork)
    try:
        shutil.copytree(found.folder, run.folder / "checkpoints" / found.folder.name)
    except FileNotFoundError:
        raise _gone(fork) from None
    if checkpoints.newest(run) is None:
        raise WorkbenchError(
            f"The checkpoint at {fork.words} is damaged. Take another step, or start from the beginning."
        )
    for adapter in (source.start_adapter, *(source.stage_adapter(stage) for stage in METHODS)):
        if adapter.is_dir() and adapter != source.stage_adapter(fork.stage):
            shutil.copytree(adapter, run.folder / adapter.name)
    best.take(source, run, fork)
    rows: list[Row] = [
        *rows_up_to(source.metrics(), fork),
        {"phase": f"branched off at {fork.words}", FORKED: asdict(fork)},
    ]
    write_text(run.metrics_file, "".join(json.dumps(row) + "\n" for row in rows))
    if answered := rows_up_to(source.samples(), fork):
        write_text(run.samples_file, "".join(json.dumps(sample) + "\n" for sample in answered))
    write_json(run.folder / "forked.json", asdict(fork))


def rows_up_to(rows: Sequence[Mapping[str, Any]], fork: Fork) -> list[Row]:
    """What was logged until a checkpoint: all stages before its own, and its own up to that step."""
    stages = list(METHODS)
    place = stages.index(fork.stage)

    def belongs(row: Mapping[str, Any]) -> bool:
        step = row.get("step", row.get(RESUMED))
        if "stage" not in row or step is None:
            return False  # what the worker did then is the other run's story
        return stages.index(row["stage"]) < place or (row["stage"] == fork.stage and step <= fork.step)

    return [dict(row) for row in rows if belongs(row)]


def _checkpoint(source: Run, fork: Fork) -> Checkpoint:
    for found in checkpoints.whole(source, at_a_glance=True):
        if (found.stage, found.step) == (fork.stage, fork.step):
            return found
    raise _gone(fork)


def _gone(fork: Fork) -> WorkbenchError:
    return WorkbenchError(
        f"The checkpoint at {fork.words} is gone: a run keeps its {checkpoints.KEPT} newest ones until it is finished. "
        "Take another step, or start from the beginning."
    )
