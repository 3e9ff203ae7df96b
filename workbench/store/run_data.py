"""Which rows a run learns from: noted when it is made and when it begins, looked at again whenever it goes on.

A dataset can be deleted, changed or put in the place of another one while a run waits, trains or is lost. A stage that has
steps behind it goes on with the very rows that it began with, or not at all: its checkpoint is a place among them. One
that has none takes the rows as they are, and says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import stage_title
from workbench.store import datasets
from workbench.store.checkpoints import Checkpoint
from workbench.store.datasets import About
from workbench.store.home import read_json, write_json
from workbench.store.runs import Run

CHANGED = "data_changed"
"""In environment.json: a sentence for each dataset that was another one when the run came to it."""


def note(run: Run, config: RunConfig) -> None:
    """Write down what a new run is to learn from. Raises OSError; WorkbenchError where data is gone."""
    abouts = {stage: datasets.about(_name(config, stage)) for stage in config.stages}
    write_json(run.folder / "data.json", as_noted(abouts))


def noted(run: Run, stage: Stage) -> About | None:
    """What a stage learns from, or was to learn from when the run was made; None where nothing was noted."""
    for values in (run.environment().get("data"), read_json(run.folder / "data.json")):
        if isinstance(values, dict) and (found := _about(values.get(stage))):
            return found
    return None


def settle(run: Run, config: RunConfig, begun: Checkpoint | None) -> tuple[dict[Stage, About], list[str]]:
    """What each stage of a run that begins or goes on learns from, and in words what is not as it was noted.

    begun: where it goes on. Raises WorkbenchError where it cannot.
    """
    found: dict[Stage, About] = {}
    words = []
    for stage in config.stages:
        then = noted(run, stage)
        if then and stage != config.stages[-1] and run.stage_adapter(stage).is_dir():
            found[stage] = then  # that stage is over, whatever became of its data
            continue
        found[stage], changed = rows_of(run, config, stage, bool(begun and begun.stage == stage))
        words += [changed] if changed else []
    return found, words


def rows_of(run: Run, config: RunConfig, stage: Stage, has_steps: bool) -> tuple[About, str]:
    """The dataset, in one version, that a stage is to learn from; and that it is another one than was noted, or "".

    has_steps: whether the stage has trained on what was noted. Raises WorkbenchError where those rows are gone then, where
    there is no dataset of that name, or where it is of another kind.
    """
    name, then = _name(config, stage), noted(run, stage)
    try:
        if then and then.name == name and (same := _same_rows(then, has_steps)):
            return same, ""
        now = datasets.about(name)
    except WorkbenchError as error:
        raise WorkbenchError(
            f"{error} {run.name} needs it for {stage_title(stage)}: bring it back, then resume."
        ) from None
    if then is None:
        return now, ""
    if has_steps:
        raise WorkbenchError(
            f"{name} has changed since {run.name} began: {_described(then)} then, {_described(now)} now. The "
            "checkpoint knows its place in those rows. Bring them back (undo the changes on the Data page, or import the "
            "same file again), or start a new run with the same settings."
        )
    if now.kind != then.kind:
        raise WorkbenchError(
            f"{name} holds data of another kind since {run.name} was made: {now.kind} now, {then.kind} then. Bring the "
            "data back, or start a new run."
        )
    return now, (
        f"{name} is not what it was when {run.name} was made: {_described(then)} then, {_described(now)} now. "
        f"{stage_title(stage)} learns from the rows as they are now."
    )


def as_noted(abouts: Mapping[Stage, About]) -> dict[str, Any]:
    """What environment.json holds of them."""
    return {stage: one.model_dump(mode="json") for stage, one in abouts.items()}


def note_change(run: Run, abouts: Mapping[Stage, About], words: Sequence[str]) -> None:
    """Write down what stages learn from in the end, and why that is worth a word."""
    data = run.environment().get("data") or {}
    run.add_to_environment({"data": data | as_noted(abouts), CHANGED: [*data_change_message(run), *words]})


def data_change_message(run: Run) -> list[str]:
    """What was not as it was noted when the run came to it."""
    found = run.environment().get(CHANGED, [])
    return [str(one) for one in found] if isinstance(found, list) else []


def _same_rows(then: About, has_steps: bool) -> About | None:
    """The noted rows, where they are in use, or where a stage that trains on them needs them and a version still has them."""
    now = datasets.about(then.name)
    if now.fingerprint == then.fingerprint:
        return now
    if not has_steps:
        return None
    try:
        kept = datasets.about(then.name, then.version)
    except WorkbenchError:  # that version is gone
        return None
    return kept if kept.fingerprint == then.fingerprint else None


def _described(about: About) -> str:
    return f"{about.train_rows:,} + {about.held_out_rows:,} rows, fingerprint {about.fingerprint[:12]}"


def _name(config: RunConfig, stage: Stage) -> str:
    name = config.data_of(stage)
    assert name, "read_config refuses a config without the data that its stages need"
    return name


def _about(values: Any) -> About | None:
    try:
        return About.model_validate(values)
    except ValidationError:
        return None
