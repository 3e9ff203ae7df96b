"""The model card of an adapter: what it is, what it was made from, what it reached, how to load it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.statistics import wilson
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

CURVES = "curves.png"
"""The picture beside a card that shows how a run went."""

_OF_HUB = re.compile(r"hub: (?P<id>[\w.-]+/[\w.-]+) ")
_OF_DATA = {"name", "source", "train_rows", "held_out_rows", "fingerprint"}
_COMES_ALONG = "comes with the workbench"


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

    environment: as the run wrote it down; `seconds` besides are those of its training, `step` is the one that was taken where that
    was not the last. results: as measured on held-out data
    at the end. fork: where the run branched off another one. merged: of a model that holds the adapter; None for the adapter
    itself. No path of this machine is written.
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
    if known := _hub_datasets(config, environment):
        front += ["datasets:", *[f"- {id}" for id in known]]
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
                [f"- {_result_line(one, config, environment)}" for one in results]
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
        "Base model": _with_revision(base, environment.get("model", {}).get("commit") or config.model.revision),
        "Method": how,
        "Started from": f"run {config.start_from}" if config.start_from else "",
        "Branched off at": fork.words if fork else "",
        "Taken from": environment.get("step", ""),
        "Made of": f"{scaled['name']} at strength {scaled['strength']:g}, without training" if scaled else "",
        **_data(config, environment),
        "Precision of the base": environment.get("precision", config.precision),
        "Backend": environment.get("backend", ""),
        "Device": environment.get("device", ""),
        "Training time": _time_label(environment.get("seconds")),
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


def _data(config: RunConfig, environment: Mapping[str, Any]) -> dict[str, str]:
    """What each stage learned from. Where own data lay on this machine is nobody's business."""
    found = {}
    for stage in config.stages:
        about = environment.get("data", {}).get(stage)
        title = "Data" if len(config.stages) == 1 else f"Data of {stage_title(stage)}"
        known = about and about.keys() >= _OF_DATA  # another version wrote down less
        found[title] = _described(about) if known else config.data_of(stage) or ""
    return found


def _described(about: Mapping[str, Any]) -> str:
    source, named = about["source"], _OF_HUB.match(about["source"])
    if named:
        link = f"[{named['id']}](https://huggingface.co/datasets/{named['id']})"
        whence = _with_revision(link, about.get("revision"))
        whence += ", mixed with other data" if ", mixed with " in source else ""
    else:
        whence = f"{about['name']} ({'demo data' if source == _COMES_ALONG else 'own data'})"
    rows = f"{about['train_rows']:,} rows, {about['held_out_rows']:,} held out"
    return f"{whence}: {rows}, fingerprint `{about['fingerprint'][:12]}`"


def _hub_datasets(config: RunConfig, environment: Mapping[str, Any]) -> list[str]:
    """The ids of the Hub's datasets that a run learned from."""
    abouts = [environment.get("data", {}).get(stage) or {} for stage in config.stages]
    found = [_OF_HUB.match(about.get("source", "")) for about in abouts]
    return list(dict.fromkeys(one["id"] for one in found if one))


def _with_revision(name: str, revision: str | None) -> str:
    return f"{name}, revision `{revision[:12]}`" if revision else name


def _time_label(seconds: float | None) -> str:
    if not seconds:
        return ""
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{max(1, round(seconds / 60))} min"


def _result_line(one: Measured, config: RunConfig, environment: Mapping[str, Any]) -> str:
    """A result; of a share with its interval, where it is known of how many held-out examples it is one."""
    line = f"{one.result.label} ({stage_title(one.stage)}): {one.value:.4g}"
    about = environment.get("data", {}).get(one.stage) or {}
    count = min(config.held_out_limit, about.get("held_out_rows") or about.get("train_rows") or 0)
    if not one.result.format.endswith("%") or not count or not 0 <= one.value <= 1:
        return line
    low, high = wilson(one.value, count)
    return f"{line} (95 % interval {low:.3f} to {high:.3f}, {count:,} held-out {METHODS[one.stage].noun})"


def with_curves(card: str, drawn: Sequence[str]) -> str:
    """A model card that shows the picture that lies beside it. drawn: what the picture shows, in words."""
    words = _one_line("; ".join(drawn))
    return with_section(card, f"## How it went\n\n![{words}]({CURVES})\n\n")


def with_section(card: str, section: str) -> str:
    """A model card with another section, before what a report says and the limits."""
    signs = [place for sign in (_REPORT[0], "## Limits") if (place := card.find(sign)) >= 0]
    place = min(signs, default=len(card))
    return card[:place] + section + card[place:]


def report_in(card: str) -> str:
    """What a report said in a card, as it stands there; "" for none."""
    begin, end = _REPORT
    _, found, rest = card.partition(begin)
    return f"{begin}{rest.partition(end)[0]}{end}\n\n" if found and end in rest else ""


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
