"""Every setting of a run, with its default, bounds, unit and help, in one place.

The form, the checks, the error texts and the README's table all read these fields.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field, ValidationError, create_model, field_validator
from pydantic.fields import FieldInfo

from workbench.core.errors import WorkbenchError
from workbench.core.names import NAME_RULE, is_name
from workbench.core.training.methods import CHAINS, DATA_KINDS, METHODS, methods_help, stages_of
from workbench.core.training.mirror import MIRROR_TITLES
from workbench.core.training.settings import AdapterSettings, Settings, StageSettings

OWN_PROMPTS = 16

MOST_SHOWN = 200  # characters of a value that is not taken

Precision = Literal["auto", "nf4", "bf16", "fp32"]

if TYPE_CHECKING:
    Stage = str
    MethodId = str
else:  # what files and forms may hold
    Stage = Literal[tuple(METHODS)]
    MethodId = Literal[(*CHAINS, *METHODS)]

DEMO_MODEL = "demo"

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


S = TypeVar("S", bound=Settings)


class ModelRef(Settings):
    """Which base model, and where it is."""

    source: Literal["demo", "hub", "folder"] = "demo"
    name: str = Field(DEMO_MODEL, description="`demo`, a Hugging Face id such as org/name, or the path of a folder.")
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub. Empty means the newest.")

    @property
    def title(self) -> str:
        """A short name to show: the last part of an id or path."""
        if self.source == "demo":
            return "demo model"
        name = self.name.rstrip("/\\")
        return PureWindowsPath(name).name if "\\" in name else PurePosixPath(name).name


def parse_model(text: str) -> ModelRef:
    """The model that a person meant by `text`: `demo`, a Hub id or a folder.

    Raises WorkbenchError for text that is none of them.
    """
    text = text.strip().strip('"')
    if text in ("", DEMO_MODEL):
        return ModelRef()
    text = re.sub(r"^https?://(www\.)?huggingface\.co/", "", text).rstrip("/") if "huggingface.co/" in text else text
    if _HUB_ID.fullmatch(text):
        return ModelRef(source="hub", name=text)
    if text.startswith(("/", "~", "./", "../", ".\\", "..\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        return ModelRef(source="folder", name=text)
    raise WorkbenchError(
        f"{text[:120]!r} is neither a model id nor a folder. A Hugging Face id has the form owner/name, "
        "for example HuggingFaceTB/SmolLM2-135M-Instruct; a folder is written as a full path."
    )


class _Shared(Settings):
    """What every method has. What each has of its own stands beside it in `RunConfig`, under the name of its stage."""

    name: str = Field(title="Name of the run", description=f"Becomes the name of its folder: {NAME_RULE}.")
    method: MethodId = Field(CHAINS[0], title="Method", description=methods_help())
    model: ModelRef = ModelRef()
    start_from: str | None = Field(
        None,
        title="Start from",
        description="Run whose adapter training continues from, with the same base model and rank. Empty: a fresh adapter on the base model.",
    )
    sft_data: str | None = Field(
        None,
        title="SFT data",
        description="Dataset that SFT imitates. Of a preference dataset, the chosen answers are used.",
    )
    preference_data: str | None = Field(
        None,
        title="Preference data",
        description="Dataset of pairs that DPO, ORPO, SimPO or a reward model learns from, and of which RLOO takes the prompts.",
    )
    thumbs_data: str | None = Field(
        None, title="Thumbs data", description="Dataset of single answers with a thumb up or down that KTO learns from."
    )
    precision: Precision = Field(
        "auto", title="Precision", description="nf4 keeps the base model in 4 bits (QLoRA). auto takes nf4."
    )
    batch_size: int = Field(
        4,
        ge=1,
        le=256,
        title="Batch size",
        description="Examples (SFT), pairs (DPO, ORPO, SimPO, reward model) or answers (KTO, RLOO) on the device at once. Costs memory.",
    )
    accumulation: int = Field(
        4,
        ge=1,
        le=1024,
        title="Gradient accumulation",
        description="Batches per step. Batch size times accumulation is the effective batch.",
    )
    max_length: int = Field(
        1024,
        ge=16,
        le=131_072,
        title="Max length (tokens)",
        description="Prompt and answer together. Longer ones are cut at the end. Costs memory.",
    )
    thinking: bool = Field(
        False,
        title="Thinking",
        description="Whether the model thinks before it answers, in training, samples and chat. Only where its chat template has a switch for that.",
    )
    adapter: AdapterSettings = AdapterSettings()
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = Field(
        "cosine", title="Learning-rate schedule", description="How the learning rate falls after the warm-up."
    )
    warmup: float = Field(
        0.1, ge=0, le=0.9, title="Warm-up", description="Share of the steps in which the learning rate rises from 0."
    )
    weight_decay: float = Field(
        0.0, ge=0, le=1, title="Weight decay", description="Pulls the adapter's weights towards 0."
    )
    max_grad_norm: float = Field(
        1.0,
        gt=0,
        le=1000,
        title="Gradient clipping",
        description="Longest gradient that a step may use; longer ones are scaled down to it.",
    )
    optimizer: Literal["auto", "adamw_torch", "paged_adamw_8bit", "paged_adamw_32bit"] = Field(
        "auto",
        title="Optimizer",
        description="The paged ones save memory and need a CUDA card. auto takes the one with 8 bits where memory is short.",
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto",
        title="Gradient checkpointing",
        description="Computes activations again instead of keeping them: much less memory, about a third slower. auto: on where it is needed.",
    )
    reference: Literal["kept", "beside"] = Field(
        "kept",
        title="Reference log-probabilities",
        description="kept: each is computed once and read by later epochs and runs, also with another beta, loss, rank or seed. beside: computed anew at each step.",
    )
    group_by_length: bool = Field(
        True,
        title="Group by length",
        description="All but KTO and RLOO: batches of examples of about the same length, so that less is padded. Which ones meet is still random.",
    )
    evaluations: int = Field(
        0,
        ge=0,
        le=100,
        title="Evaluations per stage",
        description="How often the held-out examples are measured during a stage. 0: up to 8 times, in a short run less often and on fewer of them, so that this takes at most a tenth of the time.",
    )
    held_out_limit: int = Field(
        200, ge=8, le=10_000, title="Max held-out examples", description="Examples that each evaluation measures."
    )
    samples: int = Field(
        8,
        ge=0,
        le=64,
        title="Sample answers",
        description="Held-out prompts that the model answers at each evaluation, to read and to watch length and repetition by. 0: none.",
    )
    own_prompts: str = Field(
        "",
        max_length=4_000,
        title="Your own prompts",
        description=f"One per line, {OWN_PROMPTS} at most: the model answers them at each evaluation as well, and you watch its answers change.",
        json_schema_extra={"lines": 3},
    )
    checkpoint_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Steps between checkpoints",
        description="A lost or paused run continues from its last checkpoint. 0: ten per stage, and one every ten minutes at least.",
    )
    mirror: Literal["none", "tensorboard", "trackio", "wandb"] = Field(
        "none",
        title="Mirror",
        description="Where the numbers and settings of the run are sent besides. Its folder stays the truth, and a mirror that fails never ends a run.",
        json_schema_extra={"titles": dict(MIRROR_TITLES)},
    )
    seed: int = Field(17, ge=0, le=2**31 - 1, title="Seed", description="Same seed, data and device: same run.")

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _switch_message(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("name")
    @classmethod
    def _name_is_usable(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(f"must have {NAME_RULE}")
        return name

    @field_validator("own_prompts")
    @classmethod
    def _prompts_are_few(cls, prompts: str) -> str:
        if (count := len(_lines(prompts))) > OWN_PROMPTS:
            raise ValueError(f"has {count} lines; it must be at most {OWN_PROMPTS}")
        return prompts

    @property
    def prompts_of_own(self) -> list[str]:
        """A person's own prompts, which each evaluation answers beside those of the held-out data."""
        return _lines(self.own_prompts)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the method, in the order in which they run."""
        return stages_of(self.method)

    @property
    def effective_batch(self) -> int:
        """Examples (or pairs) per optimizer step."""
        return self.batch_size * self.accumulation

    def own(self, stage: Stage) -> StageSettings:
        """The settings that are a stage's own."""
        own: StageSettings = getattr(self, stage)
        return own

    def beta_of(self, stage: Stage) -> float | None:
        """How closely a stage was held to its reference; None where it has none."""
        return float(getattr(self.own(stage), "beta")) if METHODS[stage].has_reference else None  # noqa: B009

    def data_of(self, stage: Stage) -> str | None:
        """Name of the dataset that a stage trains on."""
        named = (getattr(self, DATA_KINDS[kind].setting) for kind in METHODS[stage].kinds)
        return next((name for name in named if name), None)


if TYPE_CHECKING:

    class RunConfig(_Shared):
        """What is made below."""

else:
    RunConfig = create_model(
        "RunConfig",
        __base__=_Shared,
        __doc__="A whole run, as it is written to `config.json` before the start and never changed.",
        __module__=__name__,
        **{stage: (method.settings, method.settings()) for stage, method in METHODS.items()},
    )


def fields(kind: type[Settings] = RunConfig) -> dict[str, FieldInfo]:
    """Every setting by its dotted name, in their order."""
    found: dict[str, FieldInfo] = {}
    for name, field in kind.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Settings):
            found |= {f"{name}.{inner}": inner_field for inner, inner_field in fields(part).items()}
        else:
            found[name] = field
    return found


def value_of(config: RunConfig, name: str) -> Any:
    """The value of a setting, by its dotted name."""
    return reduce(getattr, name.split("."), config)


def nested(named: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names -> nested settings."""
    found: dict[str, Any] = {}
    for name, value in named.items():
        *parts, last = name.split(".")
        inside = found
        for part in parts:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return found


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others laid over them. Neither is changed."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        if isinstance(value, Mapping):
            value = overlay(under if isinstance(under, Mapping) else {}, value)
        merged[name] = value
    return merged


def checked(kind: type[S], values: dict[str, Any]) -> S:
    """Settings of some kind from plain values.

    Raises WorkbenchError that lists every problem at once.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        titles = {name: field.title or name for name, field in fields(kind).items()}
        raise WorkbenchError(*[_problem_message(problem, titles) for problem in error.errors()]) from None


def read_config(values: dict[str, Any]) -> RunConfig:
    """A checked RunConfig that can be run, from plain values.

    Raises WorkbenchError that lists every problem at once.
    """
    return _that_can_run(checked(RunConfig, values))


def _that_can_run(config: RunConfig) -> RunConfig:
    if found := problems(config):
        raise WorkbenchError(*found)
    return config


RENAMED: dict[str, str] = {}
"""Dotted name of a setting in files of an earlier version -> its name now."""


def stored_config(values: Any, renamed: Mapping[str, str] = RENAMED) -> tuple[RunConfig, tuple[str, ...]]:
    """A config as some version of the workbench wrote it, and the settings in it that this one does not know.

    Those are named as "future.setting = 1" and passed over; renamed ones are read. Raises WorkbenchError, with all that
    is wrong, where what is left cannot be run.
    """
    if not isinstance(values, dict):
        raise WorkbenchError("it holds no object of settings.")
    known: dict[str, Any] = copy.deepcopy(values) if renamed else values
    for old, new in renamed.items():
        found = _take_out(known, old.split("."))
        if found is not _NOTHING:
            known = overlay(nested({new: found}), known)  # a setting that has its new name already keeps that value
    unknown = []
    try:
        config = RunConfig.model_validate(known)
    except ValidationError as error:
        known = copy.deepcopy(known)
        for problem in error.errors():
            if problem["type"] == "extra_forbidden":
                _take_out(known, problem["loc"])
                unknown.append(f"{'.'.join(map(str, problem['loc']))} = {str(problem['input'])[:60]}")
        config = checked(RunConfig, known)
    return _that_can_run(config), tuple(unknown)


_NOTHING = object()


def _take_out(values: dict[str, Any], where: Sequence[str | int]) -> Any:
    """Remove a setting from nested settings. Returns what it was, or _NOTHING."""
    *path, last = where
    inside: Any = values
    for part in path:
        inside = inside.get(part) if isinstance(inside, dict) else None
    return inside.pop(last, _NOTHING) if isinstance(inside, dict) else _NOTHING


def problems(config: RunConfig) -> list[str]:
    """What makes a well-formed config impossible to run, seen from the config alone."""
    found = []
    for stage in config.stages:
        method = METHODS[stage]
        if not config.data_of(stage):
            found.append(
                f"{method.title} needs {method.data.holds}, and none are chosen. Choose such a dataset on the Data page."
            )
        if config.batch_size < method.smallest_batch:
            found.append(
                f"Batch size is {config.batch_size}; {method.title} needs at least {method.smallest_batch}, because it "
                "compares each answer with another one of its batch."
            )
        group, answer = config.own(stage).answers_per_row(), config.own(stage).longest_own_answer()
        if config.effective_batch % group:
            found.append(
                f"Batch size times gradient accumulation is {config.effective_batch}, which holds no whole number of groups of "
                f"{group} answers. Set it to a multiple of the group size."
            )
        if config.max_length <= answer:
            found.append(
                f"Max length is {config.max_length}, and an answer alone may have {answer} tokens: no room is left for a prompt. "
                "Raise max length, or shorten the longest answer."
            )
        found += config.own(stage).problems()
    return found


def reference_label(config: RunConfig) -> str:
    """The model that the last stage is measured against: the one that it starts from. "" where there is none."""
    if not METHODS[config.stages[-1]].has_reference:
        return ""
    if len(config.stages) > 1:
        return "the SFT model of this run"
    return f"run {config.start_from} as it ended" if config.start_from else "the base model"


def _problem_message(problem: Any, titles: dict[str, str]) -> str:
    """One pydantic problem as a sentence with the setting's own title and bounds."""
    where = ".".join(str(part) for part in problem["loc"])
    bounds = problem.get("ctx") or {}
    title, given = titles.get(where, where), repr(problem["input"])
    given = given if len(given) <= MOST_SHOWN else f"{given[:MOST_SHOWN]} …"
    if problem["type"] == "extra_forbidden":
        return f"There is no setting called {where}. Remove it, or look for a typing error."
    if problem["type"] == "missing":
        return f"{title} is missing. Set {where}."
    for rule, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if rule in bounds:
            return f"{title} is {given}; it must be {words} {bounds[rule]:g}."
    return f"{title} is {given}: {problem['msg'].removeprefix('Value error, ')}."


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
