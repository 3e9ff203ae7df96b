"""A run as a notebook that trains with Unsloth."""

import json
from collections.abc import Sequence
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.export.script import Repeated, literal, named_dict, requirements, trainer_names
from workbench.core.training.config import Stage
from workbench.core.training.methods import METHODS, stage_title
from workbench.core.training.recipe import Device, unsloth_adapter_arguments, unsloth_load_arguments
from workbench.core.training.thinking import with_default

UNSLOTH = "unsloth>=2026.8.20"
"""The first release without CVE-2026-93348."""

CARD = Device("cuda", "", True)

# Of a folder that the workbench has checked; the notebook has the Hub's name.
_OF_THE_WORKBENCH = {"local_files_only", "use_exact_model_name", "dtype"}


def refuse_what_unsloth_cannot_train(run: Repeated) -> None:
    """Raises WorkbenchError with the reason."""
    for stage in run.stages:
        if METHODS[stage].module != "trl":
            raise WorkbenchError(
                f"{stage_title(stage)} trains with a trainer of the workbench's own, which Unsloth does not know. Export the target script."
            )
    if run.precision == "fp32":
        raise WorkbenchError("Unsloth has no kernels for full precision (fp32). Export the target script.")


def notebook(run: Repeated) -> str:
    """The text of an .ipynb file (nbformat 4.5)."""
    cells = [
        _text(_intro(run)),
        _code(f'%pip install "{UNSLOTH}" {" ".join(_pins(run))}'),
        _text("## Settings\n\nAs the run had them. Change what you like."),
        _code(_settings(run)),
        _text("## Model and adapter\n\nUnsloth first: it patches Transformers, PEFT and TRL as it is imported."),
        _code(_load(run)),
        *[cell for stage in run.stages for cell in _stage_cells(run, stage)],
        _text("## Save\n\nThe adapter alone; `training_args.bin` of the trainer is a pickle, and stays behind."),
        _code('model.save_pretrained("adapter", selected_adapters=["default"])\ntokenizer.save_pretrained("adapter")'),
        _text("## Ask it"),
        _code(_ASK),
    ]
    whole = {
        "cells": [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells, 1)],
        "metadata": {
            "accelerator": "GPU",
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def load_arguments(run: Repeated) -> dict[str, Any]:
    """For FastLanguageModel.from_pretrained."""
    found = unsloth_load_arguments(run.model, run.config.max_length, run.precision == "nf4", CARD)
    return {name: value for name, value in found.items() if name not in _OF_THE_WORKBENCH} | {
        "revision": run.config.model.revision
    }


def adapter_arguments(run: Repeated) -> dict[str, Any]:
    """For FastLanguageModel.get_peft_model."""
    return unsloth_adapter_arguments(run.config.adapter, run.config.gradient_checkpointing != "off", run.config.seed)


def stage_arguments(run: Repeated, stage: Stage) -> dict[str, Any]:
    """For TRL, but for what depends on the card."""
    arguments = run.arguments(stage, CARD) | {"output_dir": f"out/{stage}", "save_strategy": "no"}
    left_out = {"bf16", "fp16", "use_cpu", "dataloader_pin_memory", "save_steps", "use_liger_kernel"}
    return {name: value for name, value in arguments.items() if name not in left_out}


def _intro(run: Repeated) -> str:
    titles = " then ".join(stage_title(stage) for stage in run.stages)
    lines = [
        f"# {titles} with Unsloth",
        "",
        f"The settings and rows of the run {run.config.name} of the alignment workbench, on {run.model}. It needs a card (CUDA); the "
        "folder `data` must lie beside it.",
        "",
        "It trains the same recipe, not the same curve: Unsloth has kernels and random numbers of its own, and rows come in random "
        "order, not in batches of about the same length. `train.py` of the target script repeats the run.",
    ]
    if run.config.model.source != "hub":
        lines += ["", "The base model is not on the Hub: put its folder into MODEL."]
    if run.config.start_from:
        lines += ["", "The run began with the adapter in the folder `start`, which must lie beside it too."]
    return "\n".join(lines)


def _pins(run: Repeated) -> list[str]:
    """The trainers in the version of the run; the rest as Unsloth asks for it."""
    return [f'"{one}"' for one in requirements(run) if one.startswith(("trl=", "peft="))]


def _settings(run: Repeated) -> str:
    model = run.model if run.config.model.source == "hub" else "FOLDER_OF_THE_BASE_MODEL"
    loading = {name: value for name, value in load_arguments(run).items() if name != "model_name"}
    parts = [f"MODEL = {literal(model)}", named_dict("LOADING", loading), named_dict("ADAPTER", adapter_arguments(run))]
    parts.append(named_dict("STAGES", {stage: stage_arguments(run, stage) for stage in run.stages}))
    return "\n".join(parts)


def _load(run: Repeated) -> str:
    names = sorted({name for stage in run.stages for name in trainer_names(run.config, stage)})
    lines = [
        "from unsloth import FastLanguageModel",
        "",
        "import torch",
        "from datasets import load_dataset",
        f"from trl import {', '.join(names)}",
        "",
        "model, tokenizer = FastLanguageModel.from_pretrained(model_name=MODEL, **LOADING)",
        "model = FastLanguageModel.get_peft_model(model, **ADAPTER)",
        "for weight in model.parameters():",
        "    if weight.requires_grad:",
        "        weight.data = weight.data.float()  # in bf16 small steps round away",
        "if tokenizer.pad_token is None:",
        "    tokenizer.pad_token = tokenizer.eos_token",
    ]
    if run.switch is not None:
        lines += [
            "# The switch of the chat template for thoughts, as the run had it.",
            f"tokenizer.chat_template = {literal(with_default('', run.switch))} + tokenizer.chat_template",
        ]
    if run.config.start_from:
        lines += [
            "",
            "from peft import set_peft_model_state_dict",
            "from safetensors.torch import load_file",
            "",
            'set_peft_model_state_dict(model, load_file("start/adapter_model.safetensors"), adapter_name="default")',
        ]
    lines += ["", "bf16 = torch.cuda.is_bf16_supported(including_emulation=False)"]
    return "\n".join(lines)


def _stage_cells(run: Repeated, stage: Stage) -> Sequence[dict[str, Any]]:
    make, settings = trainer_names(run.config, stage)
    lines = [
        f'rows = load_dataset("data/{stage}")',
        f"trainer = {make}(",
        "    model=model,",
        f'    args={settings}(bf16=bf16, fp16=not bf16, **STAGES["{stage}"]),',
        '    train_dataset=rows["train"],',
        '    eval_dataset=rows["test"],',
        "    processing_class=tokenizer,",
        ")",
        "trainer.train()",
    ]
    words = f"## {stage_title(stage)}"
    if METHODS[stage].has_reference:
        words += (
            "\n\nTRL keeps a copy of the adapter as it is now, named `ref`: the reference is the model at the start of this stage. Its loss "
            "begins at the value that its formula gives without any difference (0.693 for the sigmoid of DPO)."
        )
        lines += ['if "ref" in model.peft_config:', '    model.delete_adapter("ref")']
    return [_text(words), _code("\n".join(lines))]


_ASK = """\
FastLanguageModel.for_inference(model)
question = [{"role": "user", "content": "What can you help me with?"}]
ids = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**ids.to(model.device), max_new_tokens=128, do_sample=False)
print(tokenizer.decode(answer[0][ids["input_ids"].shape[1] :], skip_special_tokens=True))"""


def _text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}


def _code(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
