"""The model card of an adapter: what it is, what it was made from, what it reached, how to load it."""

from collections.abc import Mapping
from typing import Any

from workbench.core.training.config import DpoSettings, RunConfig
from workbench.core.training.forks import Fork, reference_of

_STAGE_LABELS = {
    "sft": "supervised fine-tuning (SFT)",
    "dpo": "direct preference optimization (DPO)",
    "kto": "Kahneman-Tversky optimization (KTO)",
    "orpo": "odds-ratio preference optimization (ORPO)",
    "simpo": "simple preference optimization (SimPO)",
}


def model_card(
    config: RunConfig, environment: Mapping[str, Any], results: Mapping[str, float], fork: Fork | None = None
) -> str:
    """Markdown with the front matter that the Hub reads.

    results: label -> number, as measured on held-out data at the end. fork: where the run branched off another one.
    No path of this machine is written.
    """
    base = config.model.name if config.model.source == "hub" else config.model.title
    how = " then ".join(_STAGE_LABELS[stage] for stage in config.stages)
    front = ["---", "library_name: peft", "pipeline_tag: text-generation"]
    tags = ["lora", "trl", *config.stages, "alignment-workbench"]
    if config.model.source == "hub":
        front.append(f"base_model: {base}")
        tags.append(f"base_model:adapter:{base}")
    if environment.get("backend") == "unsloth":
        tags.append("unsloth")
    front += ["tags:", *[f"- {tag}" for tag in tags], "---"]
    settings = {
        "Base model": base,
        "Method": how,
        "Started from": f"run {config.start_from}" if config.start_from else "",
        "Branched off at": fork.words if fork else "",
        "Data": ", ".join(sorted({config.data_of(stage) or "" for stage in config.stages})),
        "Precision of the base": environment.get("precision", config.precision),
        "Backend": environment.get("backend", ""),
        "Device": environment.get("device", ""),
        "Rank / alpha": f"{config.adapter.rank} / {config.adapter.alpha}",
        "Effective batch": str(config.effective_batch),
        "Longest example": f"{config.max_length} tokens",
        "Seed": str(config.seed),
    }
    if "sft" in config.stages:
        settings["SFT learning rate"] = f"{config.sft.learning_rate:g}"
    if "dpo" in config.stages:
        settings |= {
            "DPO learning rate": f"{config.dpo.learning_rate:g}",
            "DPO loss": _loss_label(config.dpo),
            "Beta": f"{config.dpo.beta:g}",
            "Reference": reference_of(config, fork),
        }
    if "kto" in config.stages:
        settings |= {
            "KTO learning rate": f"{config.kto.learning_rate:g}",
            "Beta": f"{config.kto.beta:g}",
            "Weights of liked / disliked": f"{config.kto.desirable_weight:g} / {config.kto.undesirable_weight:g}",
            "Reference": reference_of(config, fork),
        }
    if "orpo" in config.stages:
        settings |= {
            "ORPO learning rate": f"{config.orpo.learning_rate:g}",
            "Weight of the odds ratio": f"{config.orpo.weight:g}",
        }
    if "simpo" in config.stages:
        settings |= {
            "SimPO learning rate": f"{config.simpo.learning_rate:g}",
            "Beta": f"{config.simpo.beta:g}",
            "Target margin / beta": f"{config.simpo.margin_ratio:g}",
        }
    return "\n".join(
        [
            *front,
            "",
            f"# {config.name}",
            "",
            f"A LoRA adapter for {base}, made by {how} with the alignment workbench.",
            "",
            "## How it was made",
            "",
            "| | |",
            "|---|---|",
            *[f"| {name} | {value} |" for name, value in settings.items() if value],
            "",
            "## What it reached on held-out data",
            "",
            *(
                [f"- {label}: {value:.4g}" for label, value in results.items()]
                or ["Not measured: the run was stopped early."]
            ),
            "",
            "## Limits",
            "",
            "These numbers say how well it separates chosen from rejected answers of one dataset. They do not say that its",
            "answers are true, safe or good elsewhere. Compare it with its base model on your own questions.",
            "",
            "## Loading it",
            "",
            "```python",
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM",
            "",
            f'base = AutoModelForCausalLM.from_pretrained("{base if config.model.source == "hub" else "PATH_OF_THE_BASE_MODEL"}")',
            'model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER")',
            "```",
            "",
        ]
    )


def _loss_label(dpo: DpoSettings) -> str:
    smoothing = f", label smoothing {dpo.label_smoothing:g}" if dpo.label_smoothing else ""
    return f"{dpo.loss}{smoothing}" + (f", with {dpo.sft_weight:g} x SFT" if dpo.sft_weight else "")
