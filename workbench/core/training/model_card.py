"""The model card of an adapter: what it is, what it was made from, what it reached, how to load it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.training.config import RunConfig
from workbench.core.training.forks import Fork, reference_of
from workbench.core.training.methods import METHODS, Measured, stage_title
from workbench.core.training.thinking import SWITCHES

_ANSWERS = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER")"""

# The score is read at the last token of the conversation. Transformers' own models read it at the last one that is not the padding
# token, which is another one where padding and end are the same; so one conversation at a time, and no padding token.
_SCORES = """\
import json

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{base}")
base = AutoModelForSequenceClassification.from_pretrained("{base}", num_labels=1)
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER").eval()
model.config.pad_token_id = None  # one conversation at a time: the score stands at its last token

conversation = [
    {{"role": "user", "content": "What is the capital of France?"}},
    {{"role": "assistant", "content": "It is Paris."}},
]
ids = tokenizer.apply_chat_template(conversation, return_tensors="pt", return_dict=True)
with torch.no_grad():
    score = model(**ids).logits[0, 0].item()
scale = json.load(open("PATH_OF_THIS_FOLDER/reward.json"))
print((score - scale["mean"]) / scale["std"])  # 0 is an average held-out answer, 1 a standard deviation better"""

_WHOLE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("PATH_OF_THIS_FOLDER")
model = AutoModelForCausalLM.from_pretrained("PATH_OF_THIS_FOLDER", dtype="auto")

conversation = [{{"role": "user", "content": "What is the capital of France?"}}]
ids = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids)[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))"""

_REPORT = "<!-- report -->", "<!-- /report -->"


@dataclass(frozen=True)
class Merged:
    """What the card of a merged model says besides. checked: lines on how it was compared with the run."""

    precision: str
    checked: Sequence[str]


def model_card(
    config: RunConfig,
    environment: Mapping[str, Any],
    results: Sequence[Measured],
    fork: Fork | None = None,
    merged: Merged | None = None,
) -> str:
    """Markdown with the front matter that the Hub reads.

    results: as measured on held-out data at the end. fork: where the run branched off another one. merged: of a model that
    holds the adapter; None for the adapter itself. No path of this machine is written.
    """
    base = config.model.name if config.model.source == "hub" else config.model.title
    scores = METHODS[config.stages[-1]].scores
    how = " then ".join(f"{METHODS[stage].long_title} ({METHODS[stage].title})" for stage in config.stages)
    library, relation = ("transformers", "finetune") if merged else ("peft", "adapter")
    front = ["---", f"library_name: {library}", f"pipeline_tag: text-{'classification' if scores else 'generation'}"]
    tags = [*([] if merged else ["lora"]), "trl", *config.stages, *(["reward-model"] if scores else [])]
    tags.append("alignment-workbench")
    if config.model.source == "hub":
        front.append(f"base_model: {base}")
        tags.append(f"base_model:{relation}:{base}")
    if environment.get("backend") == "unsloth":
        tags.append("unsloth")
    front += ["tags:", *[f"- {tag}" for tag in tags], "---"]
    path = base if config.model.source == "hub" else "PATH_OF_THE_BASE_MODEL"
    scaled = environment.get("scaled")
    settings = _settings(config, environment, how, base, fork)
    what = "reward model (a LoRA adapter with a head that scores answers)" if scores else "LoRA adapter"
    if merged:
        what = f"model in {merged.precision}, with a LoRA adapter merged into the full-precision weights,"
    loading = _WHOLE if merged else _SCORES if scores else _ANSWERS
    return "\n".join(
        [
            *front,
            "",
            f"# {config.name}",
            "",
            f"A {what} {'from' if merged else 'for'} {base}, made by {how} with the alignment workbench.",
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
            *(["## Compared with the run", "", *[f"- {line}" for line in merged.checked], ""] if merged else []),
            "## Limits",
            "",
            "These numbers say how well it separates chosen from rejected answers of one dataset. They do not say that its",
            *(
                [
                    "scores follow what is true, safe or good elsewhere: a model that is trained against it finds what it overlooks.",
                    "Look at answers beside their rewards.",
                ]
                if scores
                else ["answers are true, safe or good elsewhere. Compare it with its base model on your own questions."]
            ),
            "",
            "## Loading it",
            "",
            "```python",
            *loading.format(base=path).splitlines(),
            "```",
            "",
        ]
    )


def _settings(
    config: RunConfig, environment: Mapping[str, Any], how: str, base: str, fork: Fork | None
) -> dict[str, str]:
    """How it was made, title and value; "" for what does not apply."""
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
    return settings


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
