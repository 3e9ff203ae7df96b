"""The form of the Train page -> the config of a run, and a preset -> the form."""

from collections.abc import Mapping
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.core.training.both_ways import both_ways
from workbench.core.training.config import RunConfig, fields, read_config
from workbench.core.training.forks import Fork, parse_fork
from workbench.core.training.methods import BOTH_WAYS, DATA_SETTINGS, METHODS, stages_of
from workbench.store import choices, presets
from workbench.store.runs import free_name, open_run
from workbench.ui import form


def recipe_values(recipe: str, card: str | None = None) -> dict[str, Any]:
    """Every setting of a preset by its dotted name; what the preset does not name has its default."""
    config = RunConfig.model_validate(presets.recipe(recipe, card).apply({"name": "any"}))
    drawn = [name for name in fields() if name == "method" or name.split(".")[0] not in form.DRAWN_ELSEWHERE]
    return form.from_config(config, drawn)


def config_from(values: Mapping[str, Any]) -> RunConfig:
    """The form as a checked config, with the model that was chosen on the Model page.

    Raises WorkbenchError with all problems at once.
    """
    if not values["method"]:
        raise WorkbenchError("No method is chosen. Choose one.")
    model = choices.read().model
    typed = (values.get("name") or "").strip()
    suggested = free_name(to_name(f"{model.title}-{values['method'].replace('+', '-')}", "run"))
    named = {**values, "name": typed or suggested}
    # Data that the method does not use would be kept in the run's config as if it had been.
    used = {METHODS[stage].data.setting for stage in stages_of(values["method"])}
    named |= dict.fromkeys(set(DATA_SETTINGS) - used)
    fork = fork_from(values)
    named["start_from"] = open_run(fork.run).config().start_from if fork else values.get("start_from") or None
    return read_config(form.to_values(named) | {"model": model.model_dump()})


def both_ways_from(values: Mapping[str, Any]) -> list[RunConfig]:
    """The runs of DPO against RLHF on the data and the start of the form.

    On the demo model they are trained as its presets say, elsewhere with the settings of the form. Raises WorkbenchError with all
    problems at once.
    """
    model = choices.read().model
    if fork := fork_from(values):
        raise WorkbenchError(
            f"{fork.words} is no result to compare from. Choose a run that has ended, or the base model."
        )
    stem = (values.get("name") or "").strip() or to_name(model.title, "run")
    names = {stage: free_name(to_name(f"{stem}-{stage}", "run")) for stage in BOTH_WAYS}
    measured = {stage: presets.measured(model, stage) for stage in BOTH_WAYS}
    return both_ways(form.to_values(values) | {"model": model.model_dump()}, names, measured)


def fork_from(values: Mapping[str, Any]) -> Fork | None:
    """Where the run of the form branches off another one; None where it begins by itself."""
    return parse_fork(values.get("start_from") or "")
