"""The targets script and notebook: a run as code that needs no workbench, with its rows beside it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import workbench
from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check
from workbench.core.export.launch import accelerate_configs
from workbench.core.export.notebook import notebook, refuse_what_unsloth_cannot_train
from workbench.core.export.script import (
    TRAIN_ROWS,
    Repeated,
    refuse_what_plain_libraries_cannot_repeat,
    train_script,
)
from workbench.core.export.script_readme import script_readme
from workbench.core.export.trl_yaml import trl_configs
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.plan import worst_stage
from workbench.core.monitoring.metrics import Row
from workbench.core.training.recipe import Device, planned_steps
from workbench.jobs import preparing
from workbench.jobs.child import Progress
from workbench.store import model_configs
from workbench.store.adapter_files import SETTINGS, WEIGHTS, check_adapter
from workbench.store.forks import fork_of
from workbench.store.home import write_text
from workbench.store.runs import Run

A_CARD = Device("cuda", "a card", True)

Counts = Mapping[str, Sequence[int]]


def write_script(run: Run, folder: Path, model: str, say: Progress) -> tuple[list[Check], list[str]]:
    """train.py, its rows, and the ways to run it on other machines. model: its base model's name, without a path."""
    counts, repeated = _begin(run, folder, model, say)
    write_text(folder / "train.py", train_script(repeated, source_of))
    if repeated.can_be_shared:
        _write_all(folder / "accelerate", accelerate_configs(_mixed_precision(repeated)))
    _write_all(folder / "trl", trl_configs(repeated))
    notes = _notes(run, repeated)
    write_text(folder / "README.md", script_readme(repeated, counts, _needed(repeated), notes))
    return _checks(run, folder, repeated, counts), [
        *notes,
        "README.md says how to run it, on several cards and as a Job.",
    ]


def write_notebook(run: Run, folder: Path, model: str, say: Progress) -> tuple[list[Check], list[str]]:
    """train.ipynb for Unsloth, with its rows."""
    config = run.adjusted_config()
    refuse_what_plain_libraries_cannot_repeat(config, _is_scaled(run), fork_of(run) is not None)
    refuse_what_unsloth_cannot_train(repeated_of(run, model, {}))
    counts, repeated = _begin(run, folder, model, say)
    write_text(folder / "train.ipynb", notebook(repeated))
    return [_rows_check(run, counts)], [
        "The notebook was not run: Unsloth needs a card. It repeats the recipe; the target script repeats the curve."
    ]


def source_of(module: str) -> str:
    """The text of a module of the workbench."""
    path = Path(workbench.__file__).parent.joinpath(*module.split(".")[1:])
    return path.with_suffix(".py").read_text(encoding="utf-8")


def repeated_of(run: Run, model: str, counts: Counts) -> Repeated:
    """What there is to repeat of a run. counts: stage -> rows; without them no stage has steps."""
    config = run.adjusted_config()
    return Repeated(
        config=config,
        model=model,
        steps={stage: planned_steps(config, stage, rows[0]) for stage, rows in counts.items()},
        environment=run.environment(),
        chunked_logits=_needs_chunks(run),
        asked_batch=run.config().batch_size,
        seconds=trained_seconds(run.metrics()),
    )


def _needs_chunks(run: Run) -> bool:
    """Whether TRL is to take its own path without all logits, so that the script needs about the memory that the run did.

    It wants liger-kernel, which wants a card, and leaves out by what Granite divides its logits.
    """
    facts = run.environment()
    if facts.get("device", "CPU") == "CPU" or "reading" not in facts:
        return False
    try:
        return model_configs.config_of(run.config().model).get("logits_scaling") in (None, 1)
    except WorkbenchError:
        return True


def trained_seconds(rows: Sequence[Row]) -> float:
    """From the first line of a run to its last, without the time that it was paused."""
    times = [row["time"] for row in rows if "time" in row]
    between = (now - before for before, now in zip(times, times[1:], strict=False))
    return float(sum(gap for gap in between if 0 < gap < 3600))


def _begin(run: Run, folder: Path, model: str, say: Progress) -> tuple[Counts, Repeated]:
    """The rows, and the adapter that it started from, in the folder. Raises WorkbenchError where they cannot be had."""
    config = run.adjusted_config()
    refuse_what_plain_libraries_cannot_repeat(config, _is_scaled(run), fork_of(run) is not None)
    if config.start_from:
        _copy_start(run, folder / "start", model)
    counts = preparing.run({"do": "rows", "name": run.name, "folder": str(folder / "data")}, progress=say)
    return counts, repeated_of(run, model, counts)


def _copy_start(run: Run, folder: Path, model: str) -> None:
    title = f"the adapter that {run.name} started from"
    check_adapter(run.start_adapter, title)
    folder.mkdir()
    (folder / WEIGHTS).write_bytes((run.start_adapter / WEIGHTS).read_bytes())
    settings = json.loads((run.start_adapter / SETTINGS).read_text(encoding="utf-8"))
    write_text(folder / SETTINGS, json.dumps(settings | {"base_model_name_or_path": model}, indent=2) + "\n")


def _is_scaled(run: Run) -> bool:
    return bool(run.environment().get("scaled"))


def _write_all(folder: Path, files: Mapping[str, str]) -> None:
    if files:
        folder.mkdir()
    for name, text in files.items():
        write_text(folder / name, text)


def _mixed_precision(run: Repeated) -> str:
    if run.precision == "fp32":
        return "no"
    return "fp16" if run.environment.get("precision") == "fp16" else "bf16"


def _needed(run: Repeated) -> float | None:
    """Bytes on a card, by the forecast; None where the architecture is not known."""
    with suppress(WorkbenchError):
        shape = shape_of(model_configs.config_of(run.config.model))
        return float(worst_stage(shape, run.config, A_CARD).total)
    return None


def _checks(run: Run, folder: Path, repeated: Repeated, counts: Counts) -> list[Check]:
    """What can be said of the script without training again."""
    text = (folder / "train.py").read_text(encoding="utf-8")
    compile(text, "train.py", "exec")
    noted = run.environment().get("plan", {})
    steps = {stage: repeated.steps[stage] for stage in repeated.stages}
    words = ", ".join(f"{stage} {count:,}" for stage, count in steps.items())
    return [
        _rows_check(run, counts),
        Check("Steps", f"{words}, as the run took", not noted or dict(noted) == steps),
    ]


def _rows_check(run: Run, counts: Counts) -> Check:
    """Whether as many rows were written as the data had when the run learned from them."""
    noted: Any = run.environment().get("data", {})
    same = all(noted[stage]["train_rows"] == rows[0] for stage, rows in counts.items() if stage in noted)
    words = ", ".join(f"data/{stage}/{TRAIN_ROWS} {rows[0]:,}" for stage, rows in counts.items())
    return Check(
        "Rows", f"{words}, {'of the version that the run learned from' if same else 'not those of the run'}", same
    )


def _notes(run: Run, repeated: Repeated) -> list[str]:
    """What keeps the script from repeating the very curve."""
    notes = []
    if repeated.environment.get("backend") == "unsloth":
        notes.append(
            "The run was trained through Unsloth, whose kernels round in their own way: the curve is close, not equal."
        )
    if run.adjustments():
        notes.append(
            "Memory ran out on the way, so the run changed its settings; the script has the last ones from its first step."
        )
    if repeated.config.model.source == "hub" and not repeated.config.model.revision:
        notes.append("The run named no revision of its base model: the script takes the newest.")
    return notes
