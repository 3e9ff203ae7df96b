"""A run as one Python file: its settings at the top, then what trains, with nothing of the workbench to install."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.export.one_file import Read, one_file
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS, stage_title
from workbench.core.training.recipe import Device, adapter_arguments, trainer_arguments

MODULE = "workbench.engine.plain"

TRAIN_ROWS, HELD_OUT_ROWS = "train.jsonl", "test.jsonl"
"""In data/STAGE: the names by which `load_dataset` knows the parts of a folder."""

PINNED = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate", "huggingface_hub")
LEAST = {"accelerate": ">=1.15,<2", "huggingface_hub": ">=1.16,<2"}
"""Of packages whose version earlier runs did not note."""

OF_THE_MACHINE = (
    "output_dir", "per_device_train_batch_size", "per_device_eval_batch_size", "seed", "bf16", "fp16", "use_cpu",
    "dataloader_pin_memory", "save_strategy", "save_steps",
)  # fmt: skip
"""Arguments of TRL that the script decides when it begins, or gives by a constant of its own."""


@dataclass(frozen=True)
class Repeated:
    """What of a run is needed to repeat it.

    config: with what was decided and changed on the way. model: its base model's name, without a path of this machine.
    steps: optimizer steps of each stage. environment: as environment.json has it. asked_batch: the batch size before it was
    halved for lack of memory, by which rows were put in order. seconds: that the run took; 0 where not known.
    """

    config: RunConfig
    model: str
    steps: Mapping[Stage, int]
    environment: Mapping[str, Any]
    chunked_logits: bool = False
    asked_batch: int = 0
    seconds: float = 0.0

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.config.stages

    @property
    def switch(self) -> bool | None:
        """Whether it thinks; None where its chat template has no switch for that."""
        return self.config.thinking if self.environment.get("model", {}).get("thinking_switch") else None

    @property
    def precision(self) -> str:
        return "nf4" if self.config.precision == "auto" else self.config.precision

    @property
    def groups(self) -> bool:
        return self.config.group_by_length and all(METHODS[stage].uses("group_by_length") for stage in self.stages)

    @property
    def can_be_shared(self) -> bool:
        """Whether several processes can train it: a reward model is measured on all held-out pairs together."""
        return not any(METHODS[stage].scores for stage in self.stages)

    def arguments(self, stage: Stage, device: Device) -> dict[str, Any]:
        """What TRL was told, with the folder "scratch"."""
        return trainer_arguments(self.config, stage, device, self.steps[stage], "scratch", self.chunked_logits)

    def shared_and_own(self) -> tuple[dict[str, Any], dict[Stage, dict[str, Any]]]:
        """Arguments that are the same in every stage for any machine, and those of each stage."""
        every = {stage: self._kept(stage) for stage in self.stages}
        own_names = {"max_steps", "learning_rate", "warmup_steps", "eval_steps"}
        for stage in self.stages:
            own_names |= self.config.own(stage).trainer_arguments().keys()
        first = every[self.stages[0]]
        shared = {
            name: value
            for name, value in first.items()
            if name not in own_names and all(name in one and one[name] == value for one in every.values())
        }
        own = {
            stage: {name: value for name, value in one.items() if name not in shared} for stage, one in every.items()
        }
        return shared | {"save_strategy": "no"}, own

    def _kept(self, stage: Stage) -> dict[str, Any]:
        arguments = self.arguments(stage, Device("cuda", "", True))
        return {name: value for name, value in arguments.items() if name not in OF_THE_MACHINE}


def refuse_what_plain_libraries_cannot_repeat(config: RunConfig, scaled: bool, forked: bool) -> None:
    """Raises WorkbenchError with the reason and the way out."""
    if scaled:
        raise WorkbenchError(
            f"{config.name} was made of another run at another strength, without training: there is nothing to repeat. Export the "
            "run that it was made of."
        )
    if forked:
        raise WorkbenchError(
            f"{config.name} branched off a checkpoint of another run, whose optimizer it took over: a script cannot begin there. "
            "Export the adapter, or train from the beginning with its settings."
        )
    for stage in config.stages:
        if METHODS[stage].online:
            raise WorkbenchError(
                f"{stage_title(stage)} keeps policy, reference and reward model on one base model and gives the rewards their scale "
                "by code of the workbench, which plain TRL does not have: a script that left it out would train something else. Export "
                "the adapter, or the run that this one started from."
            )


def train_script(run: Repeated, read: Read) -> str:
    """The whole file. read: gives the text of a module of the workbench."""
    settings = settings_of(run)
    also: dict[str, str] = {}
    for stage in run.stages:
        also |= dict.fromkeys(trainer_names(run.config, stage), METHODS[stage].module)
    imports, taken, own = one_file(MODULE, read, settings, also)
    trainers = "\n".join(
        ["TRAINERS = {"]
        + [f'    "{stage}": ({", ".join(trainer_names(run.config, stage))}),' for stage in run.stages]
        + ["}"]
    )
    top = [_header(run), _docstring(run), imports, _settings_text(run, settings)]
    return "\n\n".join(top) + f"\n\n\n{taken}\n\n\n{trainers}\n{own}\n"


def settings_of(run: Repeated) -> dict[str, Any]:
    """The constants at the top of the file."""
    shared, own = run.shared_and_own()
    config = run.config
    scores = METHODS[config.stages[-1]].scores
    starts = {stage: config.own(stage).start_loss() for stage in run.stages if METHODS[stage].has_reference}
    return {
        "MODEL": run.model,
        "REVISION": config.model.revision,
        "PRECISION": run.precision,
        "THINKING": run.switch,
        "STARTS_FROM_ADAPTER": bool(config.start_from),
        "SCORES": scores,
        "SEED": config.seed,
        "BATCH_SIZE": config.batch_size,
        "GROUP_BY_LENGTH": (run.asked_batch or config.batch_size) if run.groups else 0,
        "LORA": adapter_arguments(config.adapter, scores),
        "EVERY_STAGE": shared,
        "STAGES": own,
        "START_LOSS": {stage: loss for stage, loss in starts.items() if loss is not None},
        "TRAINERS": {},  # written below what they are made of
    }


_WHY = {
    "MODEL": "the base model, on the Hub; --model names another place",
    "REVISION": "of the base model; None is the newest",
    "PRECISION": "of the base model: nf4 (4 bits), bf16 or fp32",
    "THINKING": "what the switch of its chat template is set to; None where it has none",
    "STARTS_FROM_ADAPTER": "the run began with the adapter in the folder start",
    "SCORES": "it trains a reward model, whose head gives a score in place of the next token",
    "BATCH_SIZE": "rows that are on all devices together at once; gradient_accumulation_steps of them make a step",
    "GROUP_BY_LENGTH": "rows that follow one another and are of about the same length; 0: all in random order",
    "LORA": "for peft.LoraConfig",
    "EVERY_STAGE": "for TRL, in every stage",
    "STAGES": "for TRL, in each stage; steps count from the start of the stage",
    "START_LOSS": "of an evaluation before the first step, where the model is its own reference",
}


def _settings_text(run: Repeated, settings: Mapping[str, Any]) -> str:
    lines = [f"# The settings of the run {run.config.name}. Change what you like."]
    for name, value in settings.items():
        if name == "TRAINERS":
            continue
        why = f"  # {_WHY[name]}" if name in _WHY else ""
        if isinstance(value, dict) and value:
            lines.append(named_dict(name, value, why))
        else:
            lines.append(f"{name} = {literal(value)}{why}")
    return "\n".join(lines)


def named_dict(name: str, values: Mapping[str, Any], why: str = "") -> str:
    """An assignment, one entry to a line."""
    return "\n".join([f"{name} = {{{why}", *_items(values, 1), "}"])


def _items(values: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            lines += [f'{"    " * depth}"{name}": {{', *_items(value, depth + 1), f"{'    ' * depth}}},"]
        else:
            lines.append(f'{"    " * depth}"{name}": {literal(value)},')
    return lines


def literal(value: Any) -> str:
    """A value of a setting as Python, with double quotes as everywhere in the file."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def requirements(run: Repeated) -> list[str]:
    """The packages that the run was trained with, in its versions."""
    versions = run.environment.get("versions", {})
    found = []
    for package in PINNED:
        if package == "bitsandbytes" and run.precision != "nf4" and "bit" not in run.config.optimizer:
            continue
        # "2.13.0+cpu" is no version of PyPI's.
        version = re.sub(r"\+.*", "", str(versions.get(package, "")))
        found.append(f"{package}=={version}" if version else package + LEAST.get(package, ""))
    return [*found, "liger-kernel>=0.8.2"] if run.chunked_logits else found


def _header(run: Repeated) -> str:
    lines = ["# /// script", '# requires-python = ">=3.11"', "# dependencies = ["]
    return "\n".join([*lines, *[f'#   "{one}",' for one in requirements(run)], "# ]", "# ///"])


def _docstring(run: Repeated) -> str:
    titles = " then ".join(stage_title(stage) for stage in run.stages)
    where = "" if run.config.model.source == "hub" else " --model FOLDER_OF_THE_BASE_MODEL"
    return "\n".join(
        [
            f'"""{titles} of {_plain(run.model)}, as the run {run.config.name} of the alignment workbench was trained.',
            "",
            f"    uv run train.py{where}",
            "",
            "Plain TRL and PEFT; the rows are in the folder data beside it. Writes metrics.jsonl and the adapter to --out.",
            '"""',
        ]
    )


def _plain(name: str) -> str:
    """A name of a folder, in which anything may stand, within a text in quotes."""
    return re.sub(r"[^\w ./-]", "_", name)


def trainer_names(config: RunConfig, stage: Stage) -> tuple[str, str]:
    """Of the trainer of a stage and of its arguments."""
    method = METHODS[stage]
    return config.own(stage).trainer_names() or (method.trainer, method.trainer_config)
