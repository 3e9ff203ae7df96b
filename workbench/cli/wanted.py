"""Which settings a command line asks for: those of a config file, or a preset's with a model and data."""

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.cli.data import read_options, request_of, stored
from workbench.cli.printing import to_stderr
from workbench.core.data.formats import AS_RECOGNISED
from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.core.training.config import DEMO_MODEL, RunConfig, overlay, parse_model, read_config
from workbench.core.training.methods import DATA_KINDS
from workbench.jobs.planning import machine
from workbench.store import datasets, presets
from workbench.store.datasets import About
from workbench.store.home import read_json
from workbench.store.runs import free_name
from workbench.store.sources import FileSource

DEMO_DATA = {"sft_data": "demo-sft", "preference_data": "demo-preferences"}


def wanted_config(options: argparse.Namespace) -> RunConfig:
    """The settings of the run that `train` or `plan` was asked for, under a name that is free.

    Raises WorkbenchError where there is neither a file nor a preset, or both; and for settings that do not fit.
    """
    if bool(options.config) == bool(options.preset):
        raise WorkbenchError(
            "Name a config file or a preset, one of the two: `workbench train config.json`, or `workbench train --preset "
            "first-try --model ID --data FILE`. `workbench presets` lists the presets."
        )
    if options.preset:
        values, name = _of_preset(options), options.preset
    else:
        values, name = _of_file(options), Path(options.config).stem
    return read_config(values | {"name": free_name(to_name(options.name or values.get("name") or name))})


def _of_file(options: argparse.Namespace) -> dict[str, Any]:
    if options.model or options.data or options.card or options.reward:
        raise WorkbenchError(
            "--model, --data, --reward and --card go with --preset. A config file names its own model and data: change it there."
        )
    values = read_json(Path(options.config))
    if not isinstance(values, dict):
        raise WorkbenchError(
            f"{options.config} is not a readable JSON object. A run's config.json is an example to start from."
        )
    return values


def _of_preset(options: argparse.Namespace) -> dict[str, Any]:
    """A preset's settings with the model and the data. A data file is stored first, as `import` would."""
    recipe = presets.recipe(options.preset, options.card or presets.card_of(machine()[0]).id)
    is_demo = recipe.models == (DEMO_MODEL,)
    if not options.model and not is_demo:
        raise WorkbenchError(
            f"Which model? Add --model with its id or folder. {recipe.title} is made for {', '.join(recipe.models)}."
        )
    if not options.data and not is_demo:
        raise WorkbenchError("Which data? Add --data with a file, or with the name of a stored dataset.")
    data = {**DEMO_DATA} if not options.data else _data(options)
    values = recipe.apply({"model": parse_model(options.model or DEMO_MODEL).model_dump(), **data})
    return overlay(values, {values["method"]: {"reward_run": options.reward}}) if options.reward else values


def _data(options: argparse.Namespace) -> dict[str, Any]:
    """The setting that names the data, by what it is."""
    if options.data in datasets.names() and not Path(options.data).exists():
        about = datasets.about(options.data)
    else:
        request = request_of(options, options.data)
        about = _stored_before(options, request) or stored(
            options, request | {"name": datasets.free_name(request["name"])}
        )
        to_stderr(f"{options.data} is the dataset {about.name}: {about.kept:,} of {about.rows:,} rows.")
    return {DATA_KINDS[about.kind].setting: about.name}


def _stored_before(options: argparse.Namespace, request: dict[str, Any]) -> About | None:
    """The dataset that an earlier command made of the same file, as long as it has not changed and nothing is said of its rows."""
    if read_options(options) != AS_RECOGNISED or request["name"] not in datasets.names():
        return None
    about = datasets.about(request["name"])
    file = Path(request["source"]["path"])
    is_same = about.source == FileSource.model_validate(request["source"]).words and file.is_file()
    return about if is_same and file.stat().st_mtime < datetime.fromisoformat(about.created).timestamp() else None
