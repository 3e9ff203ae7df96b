"""A stage of a run as a file for TRL's own command line, with what that cannot say in its comments."""

import json
from collections.abc import Mapping
from typing import Any

from workbench.core.export.script import Repeated
from workbench.core.training.config import Stage
from workbench.core.training.methods import METHODS, stage_title
from workbench.core.training.recipe import Device, adapter_arguments, compute_dtype

LORA_FLAGS = {
    "r": "lora_r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout", "target_modules": "lora_target_modules",
    "task_type": "lora_task_type", "modules_to_save": "lora_modules_to_save",
}  # fmt: skip
"""Settings of peft.LoraConfig -> what TRL's command line calls them. It sets bias to none by itself."""


def trl_configs(run: Repeated) -> dict[str, str]:
    """Name of a file -> its text, for the stages that TRL's command line knows."""
    return {f"{stage}.yaml": trl_config(run, stage) for stage in run.stages if METHODS[stage].command}


def trl_config(run: Repeated, stage: Stage) -> str:
    """What `trl COMMAND --config FILE` reads, called from the folder of the export."""
    device = _device(run)
    method = METHODS[stage]
    values = _model(run, stage, device)
    values |= {"dataset_name": f"data/{stage}"}
    arguments = run.arguments(stage, device) | {"output_dir": f"out/{stage}", "save_strategy": "no"}
    # None is what TRL takes where nothing is said, and a file of its parser has no word for it in every place.
    values |= {name: value for name, value in arguments.items() if value is not None and name != "save_steps"}
    lines = [
        f"# {stage_title(stage)} as the run {run.config.name} was trained, as far as TRL's command line can say it:",
        f"#   trl {method.command} --config trl/{stage}.yaml",
        "# train.py beside it repeats the run as it was. What is different here:",
        *[f"# - {words}" for words in _differences(run, stage)],
    ]
    return (
        "\n".join(lines + [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]) + "\n"
    )


def _device(run: Repeated) -> Device:
    """Like the one of the run. A card whose kind is not known by now has bf16, as all since 2020."""
    if run.environment.get("device") == "CPU":
        return Device("cpu", "", False)
    return Device("cuda", "", run.environment.get("precision") != "fp16")


def _model(run: Repeated, stage: Stage, device: Device) -> dict[str, Any]:
    four_bit = run.precision == "nf4"
    dtype = {"bf16": "bfloat16", "fp32": "float32"}.get(run.precision, compute_dtype(device))
    values: dict[str, Any] = {"model_name_or_path": _base(run, stage)}
    if run.config.model.revision and _starts_at_the_base(run, stage):
        values["model_revision"] = run.config.model.revision
    values |= {"dtype": dtype, "load_in_4bit": four_bit}
    if four_bit:
        values |= {"bnb_4bit_quant_type": "nf4", "use_bnb_nested_quant": True}
    adapter: Mapping[str, Any] = adapter_arguments(run.config.adapter, METHODS[stage].scores)
    return values | {"use_peft": True} | {flag: adapter[name] for name, flag in LORA_FLAGS.items() if name in adapter}


def _starts_at_the_base(run: Repeated, stage: Stage) -> bool:
    return stage == run.stages[0] and not run.config.start_from


def _base(run: Repeated, stage: Stage) -> str:
    if not _starts_at_the_base(run, stage):
        return "start-merged"
    return run.model if run.config.model.source == "hub" else "FOLDER_OF_THE_BASE_MODEL"


def _differences(run: Repeated, stage: Stage) -> list[str]:
    found = []
    if run.precision == "nf4":
        found.append("the adapter is cast to bf16, in which small steps round away; train.py keeps it in fp32.")
    if run.groups:
        found.append("rows come in random order, not in batches of about the same length.")
    if not _starts_at_the_base(run, stage):
        before = "the adapter in the folder start" if stage == run.stages[0] else "the adapter of the stage before"
        found.append(
            f"it cannot go on with an adapter: merge {before} into the base model, save that as start-merged, and a fresh adapter "
            "begins there. The merged weights are then rounded to 4 bits once more."
        )
    elif run.config.model.source != "hub":
        found.append("FOLDER_OF_THE_BASE_MODEL is to be named: the base model is not on the Hub.")
    if not _device(run).is_cuda:
        found.append(
            "use_cpu is true, as the run was on a CPU; on a card set it to false, and bf16 and dtype to what the card has."
        )
    if run.switch is not None:
        found.append(
            f"whether the model thinks is left to its chat template; in the run it was {'on' if run.switch else 'off'}."
        )
    if METHODS[stage].scores:
        found.append(
            "the score is read where Transformers reads it: at the last token that is not the padding token, which is another one "
            "than the end of the answer where padding and end are the same."
        )
    found.append("save_model also writes training_args.bin, a pickle: do not pass that on.")
    return found
