"""The model card of an adapter: what it is, what it was made from, what it reached, how to load it."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.training.config import RunConfig
from workbench.core.training.forks import Fork, reference_of
from workbench.core.training.methods import METHODS, Measured, stage_title
from workbench.core.training.thinking import SWITCHES

_REPORT = "<!-- report -->", "<!-- /report -->"


def model_card(
    config: RunConfig, environment: Mapping[str, Any], results: Sequence[Measured], fork: Fork | None = None
) -> str:
    """Markdown with the front matter that the Hub reads.

    results: as measured on held-out data at the end. fork: where the run branched off another one.
    No path of this machine is written.
    """
    base = config.model.name if config.model.source == "hub" else config.model.title
    how = " then ".join(f"{METHODS[stage].long_title} ({METHODS[stage].title})" for stage in config.stages)
    front = ["---", "library_name: peft", "pipeline_tag: text-generation"]
    tags = ["lora", "trl", *config.stages, "alignment-workbench"]
    if config.model.source == "hub":
        front.append(f"base_model: {base}")
        tags.append(f"base_model:adapter:{base}")
    if environment.get("backend") == "unsloth":
        tags.append("unsloth")
    front += ["tags:", *[f"- {tag}" for tag in tags], "---"]
    scaled = environment.get("scaled")
    settings = {
        "Base model": base,
        "Method": how,
        "Started from": f"run {config.start_from}" if config.start_from else "",
        "Branched off at": fork.words if fork else "",
        "Made of": f"{scaled['name']} at strength {scaled['strength']:g}, without training" if scaled else "",
        "Data": ", ".join(sorted({config.data_of(stage) or "" for stage in config.stages})),
        "Precision of the base": environment.get("precision", config.precision),
        "Backend": environment.get("backend", ""),
        "Device": environment.get("device", ""),
        "Rank / alpha": f"{config.adapter.rank} / {config.adapter.alpha}",
        "Effective batch": str(config.effective_batch),
        "Longest example": f"{config.max_length} tokens",
        "Seed": str(config.seed),
        "Thinking": _thinking_label(config.thinking) if environment.get("model", {}).get("thinking_switch") else "",
    }
    for stage in config.stages:
        own = config.own(stage)
        for name, field in type(own).model_fields.items():
            if name in METHODS[stage].up_front or getattr(own, name) != field.default:
                settings[field.title or name] = str(getattr(own, name))
    settings["Reference"] = reference_of(config, fork)
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
                [f"- {one.result.label} ({stage_title(one.stage)}): {one.value:.4g}" for one in results]
                or ["Not measured at this strength." if scaled else "Not measured: the run was stopped early."]
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


def with_report(card: str, day: str, lines: Sequence[str]) -> str:
    """A model card with what a report says of the adapter, before its limits, in place of what an earlier report said.

    The rest of the card stays as it is: somebody may have written into it. day: of the report.
    """
    begin, end = _REPORT
    section = "\n".join(
        [begin, f"## Report card of {day}", "", *[f"- {_one_line(line)}" for line in lines], end, "", ""]
    )
    before, found, rest = card.partition(begin)
    if found and end in rest:
        return before + section + rest.partition(end)[2].lstrip("\n")
    before, found, rest = card.partition("## Limits")
    return before + section + found + rest if found else f"{card.rstrip()}\n\n{section}"


def _one_line(text: str) -> str:
    """Text of names and numbers as Markdown shows it, and as no HTML."""
    return " ".join(text.split()).replace("<", "&lt;")


def _thinking_label(on: bool) -> str:
    """With what its chat template is to be given wherever the adapter is used."""
    return f"{'on' if on else 'off'} (chat template: {SWITCHES[0]}={on})"
