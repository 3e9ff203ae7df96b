"""Every setting of a run, with its default, bounds, unit and help, in one place.

The form, the checks, the error texts and the README's table all read these fields.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.core.errors import WorkbenchError
from workbench.core.names import NAME_RULE, is_name
from workbench.core.training.losses import LossId, find_loss

Method = Literal["sft", "dpo", "sft+dpo", "kto", "orpo", "simpo"]
Precision = Literal["auto", "nf4", "bf16", "fp32"]
Stage = Literal["sft", "dpo", "kto", "orpo", "simpo"]

OF_PAIRS: tuple[Stage, ...] = ("dpo", "orpo", "simpo")
"""The stages that learn from chosen and rejected answers."""
DATA_OF_STAGE: dict[Stage, str] = {
    "sft": "sft_data",
    **dict.fromkeys(OF_PAIRS, "preference_data"),
    "kto": "thumbs_data",
}
"""The setting that names the dataset of a stage."""

WITH_REFERENCE: tuple[Stage, ...] = ("dpo", "kto")
"""The stages that measure the model against the one that it was."""
EXPERIMENTAL: tuple[Stage, ...] = ("orpo", "simpo")
"""The stages whose trainers may change or be removed in TRL."""

DEMO_MODEL = "demo"

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


class Settings(BaseModel):
    """Unknown settings are errors, and nobody changes a setting after it was passed on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


class AdapterSettings(Settings):
    """The LoRA adapter: the small set of weights that training changes."""

    rank: int = Field(
        16, ge=1, le=256, title="Rank", description="Size of the adapter. More can learn more, and takes more memory."
    )
    alpha: int = Field(
        32,
        ge=1,
        le=1024,
        title="Alpha",
        description="How strongly the adapter acts; its output is scaled by alpha / rank. Twice the rank is usual.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=0.5,
        title="Dropout",
        description="Share of the adapter's inputs that are left out at random while training, against overfitting.",
    )


class SftSettings(Settings):
    """Supervised fine-tuning: imitate the answers of the data."""

    learning_rate: float = Field(
        2e-4,
        gt=0,
        le=1,
        title="SFT learning rate",
        description="Size of each step of SFT. For an adapter 1e-4 to 5e-4 is usual.",
    )
    epochs: float = Field(1.0, gt=0, le=100, title="SFT epochs", description="How often SFT goes through the data.")
    max_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Max SFT steps",
        description="Ends SFT after this many steps. 0: as many as the epochs need.",
    )


class DpoSettings(Settings):
    """Direct preference optimization: prefer the chosen answer over the rejected one."""

    learning_rate: float = Field(
        5e-6,
        gt=0,
        le=1,
        title="DPO learning rate",
        description="Size of each step of DPO. For a model from the Hub 5e-7 to 2e-5 is usual; the small demo model takes 2.5e-4.",
    )
    epochs: float = Field(1.0, gt=0, le=100, title="DPO epochs", description="How often DPO goes through the pairs.")
    max_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Max DPO steps",
        description="Ends DPO after this many steps. 0: as many as the epochs need.",
    )
    beta: float = Field(
        0.1,
        ge=0.001,
        le=10,
        title="Beta",
        description="How closely DPO holds to the reference model. Lower lets it drift further. Each loss has a range of its own: sigmoid .01 to .5, sigmoid_norm about 5.",
    )
    loss: LossId = Field(
        "sigmoid",
        title="DPO loss",
        description="How chosen and rejected answers are weighed against each other. sigmoid is that of the paper; sigmoid_norm, ipo, robust and apo_zero fix its known weaknesses.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        title="Label smoothing",
        description="Share of pairs whose label is believed to be wrong. For the losses robust, exo_pair, aot and aot_unpaired.",
    )
    sft_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Weight of the SFT term",
        description="Adds the SFT loss of the chosen answers, so that their probability does not fall. 0: none; 0.1 to 1 is usual.",
    )


class KtoSettings(Settings):
    """Kahneman-Tversky optimization: learn from single answers with a thumb up or down."""

    learning_rate: float = Field(
        5e-6,
        gt=0,
        le=1,
        title="KTO learning rate",
        description="Size of each step of KTO. For a model from the Hub 5e-7 to 2e-5 is usual; the small demo model takes 2.5e-4.",
    )
    epochs: float = Field(1.0, gt=0, le=100, title="KTO epochs", description="How often KTO goes through the answers.")
    max_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Max KTO steps",
        description="Ends KTO after this many steps. 0: as many as the epochs need.",
    )
    beta: float = Field(
        0.1,
        ge=0.001,
        le=10,
        title="KTO beta",
        description="How closely KTO holds to the reference model. Lower lets it drift further.",
    )
    desirable_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        title="Weight of liked answers",
        description="Number times weight of the liked answers should be 1 to 1.33 times that of the disliked ones.",
    )
    undesirable_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        title="Weight of disliked answers",
        description="Where there are fewer disliked answers than liked ones, raise it until both weigh the same.",
    )


class OrpoSettings(Settings):
    """Odds-ratio preference optimization: imitate the chosen answer and prefer it at once, without a reference.

    Hong et al. 2024. The defaults are those of TRL's own example for an adapter.
    """

    learning_rate: float = Field(
        8e-5,
        gt=0,
        le=1,
        title="ORPO learning rate",
        description="Size of each step of ORPO. Published recipes take 5e-6 to 8e-6 on all weights; an adapter takes about ten times that.",
    )
    epochs: float = Field(1.0, gt=0, le=100, title="ORPO epochs", description="How often ORPO goes through the pairs.")
    max_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Max ORPO steps",
        description="Ends ORPO after this many steps. 0: as many as the epochs need.",
    )
    weight: float = Field(
        0.1,
        ge=0.001,
        le=10,
        title="Weight of the odds ratio",
        description="How much preferring the chosen answer counts against imitating it; lambda in the paper. Published recipes take 0.05 to 0.1.",
    )


class SimpoSettings(Settings):
    """Simple preference optimization: prefer the chosen answer by its mean log-probability, without a reference.

    Meng et al. 2024. Beta 2 and a margin of half of it are what its authors tell to begin with.
    """

    learning_rate: float = Field(
        5e-6,
        gt=0,
        le=1,
        title="SimPO learning rate",
        description="Size of each step of SimPO. Its paper used 3e-7 to 1e-6 on all weights; an adapter takes about ten times that. Too high, and answers repeat themselves.",
    )
    epochs: float = Field(
        1.0, gt=0, le=100, title="SimPO epochs", description="How often SimPO goes through the pairs."
    )
    max_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Max SimPO steps",
        description="Ends SimPO after this many steps. 0: as many as the epochs need.",
    )
    beta: float = Field(
        2.0,
        ge=0.001,
        le=100,
        title="SimPO beta",
        description="How sharply pairs are separated. Much larger than that of DPO: 2 to 10.",
    )
    margin_ratio: float = Field(
        0.5,
        ge=0,
        le=10,
        title="Target margin / beta",
        description="By how many nats per token the chosen answer should be likelier; gamma / beta in the paper, which used 0.1 to 0.8.",
    )


class RunConfig(Settings):
    """A whole run, as it is written to `config.json` before the start and never changed."""

    name: str = Field(title="Name of the run", description=f"Becomes the name of its folder: {NAME_RULE}.")
    method: Method = Field(
        "sft+dpo",
        title="Method",
        description="SFT imitates good answers. DPO learns from pairs of a better and a worse answer. SFT then DPO does both, with the SFT model as the reference. KTO learns from single answers with a thumb up or down. ORPO and SimPO (both experimental) learn from pairs without a reference.",
    )
    model: ModelRef = ModelRef()
    start_from: str | None = Field(
        None,
        title="Start from",
        description="Run whose adapter training continues from, with the same base model and rank. Empty: a fresh adapter on the base model.",
    )
    sft_data: str | None = Field(
        None, title="SFT data", description="Dataset that SFT imitates. A preference dataset lends its chosen answers."
    )
    preference_data: str | None = Field(
        None, title="Preference data", description="Dataset of pairs that DPO, ORPO or SimPO learns from."
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
        description="Examples (SFT), pairs (DPO, ORPO, SimPO) or answers (KTO) on the device at once. Costs memory.",
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
    adapter: AdapterSettings = AdapterSettings()
    sft: SftSettings = SftSettings()
    dpo: DpoSettings = DpoSettings()
    kto: KtoSettings = KtoSettings()
    orpo: OrpoSettings = OrpoSettings()
    simpo: SimpoSettings = SimpoSettings()
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
        description="All but KTO: batches of examples of about the same length, so that less is padded. Which ones meet is still random.",
    )
    evaluations: int = Field(
        8,
        ge=1,
        le=100,
        title="Evaluations per stage",
        description="How often the held-out examples are measured during a stage.",
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
    checkpoint_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Steps between checkpoints",
        description="A lost or paused run continues from its last checkpoint. 0: ten per stage, and one every ten minutes at least.",
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

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the method, in the order in which they run."""
        return ("sft", "dpo") if self.method == "sft+dpo" else (self.method,)

    @property
    def effective_batch(self) -> int:
        """Examples (or pairs) per optimizer step."""
        return self.batch_size * self.accumulation

    def data_of(self, stage: Stage) -> str | None:
        """Name of the dataset that a stage trains on."""
        if stage == "kto":
            return self.thumbs_data
        return self.preference_data if stage in OF_PAIRS else self.sft_data or self.preference_data


def checked(kind: type[S], values: dict[str, Any]) -> S:
    """Settings of some kind from plain values.

    Raises WorkbenchError that lists every problem at once.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        titles = _titles(kind)
        raise WorkbenchError(*[_problem_message(problem, titles) for problem in error.errors()]) from None


def read_config(values: dict[str, Any]) -> RunConfig:
    """A checked RunConfig that can be run, from plain values.

    Raises WorkbenchError that lists every problem at once.
    """
    config = checked(RunConfig, values)
    found = problems(config)
    if found:
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
    known: dict[str, Any] = copy.deepcopy(values)
    for old, new in renamed.items():
        found = _take_out(known, old.split("."))
        if found is not _NOTHING:
            _put_in(known, new.split("."), found)
    unknown = []
    try:
        RunConfig.model_validate(known)
    except ValidationError as error:
        for problem in error.errors():
            if problem["type"] == "extra_forbidden":
                _take_out(known, problem["loc"])
                unknown.append(f"{'.'.join(map(str, problem['loc']))} = {str(problem['input'])[:60]}")
    return read_config(known), tuple(unknown)


_NOTHING = object()


def _take_out(values: dict[str, Any], where: Sequence[str | int]) -> Any:
    """Remove a setting from nested settings. Returns what it was, or _NOTHING."""
    *path, last = where
    inside: Any = values
    for part in path:
        inside = inside.get(part) if isinstance(inside, dict) else None
    return inside.pop(last, _NOTHING) if isinstance(inside, dict) else _NOTHING


def _put_in(values: dict[str, Any], where: Sequence[str], value: Any) -> None:
    """Set a setting in nested settings, unless it has a value already."""
    *path, last = where
    inside: Any = values
    for part in path:
        inside = inside.setdefault(part, {}) if isinstance(inside, dict) else None
    if isinstance(inside, dict):
        inside.setdefault(last, value)


def problems(config: RunConfig) -> list[str]:
    """What makes a well-formed config impossible to run, seen from the config alone."""
    found = []
    pairs = next((stage for stage in config.stages if stage in OF_PAIRS), None)
    if pairs and not config.preference_data:
        found.append(
            f"{stage_title(pairs)} needs preference data, and none is chosen. Choose a dataset with chosen and rejected answers "
            "on the Data page."
        )
    if "sft" in config.stages and not config.data_of("sft"):
        found.append("SFT needs data, and none is chosen. Choose a dataset on the Data page.")
    if "dpo" in config.stages:
        found += _loss_problems(config.dpo)
    if "kto" in config.stages:
        found += _kto_problems(config)
    return found


def stage_title(stage: str) -> str:
    """What a stage is called on a page."""
    return "SimPO" if stage == "simpo" else stage.upper()


def reference_label(config: RunConfig) -> str:
    """The model that DPO or KTO is measured against: the one that its stage starts from. "" where there is none."""
    if config.stages[-1] not in WITH_REFERENCE:
        return ""
    if len(config.stages) > 1:
        return "the SFT model of this run"
    return f"run {config.start_from} as it ended" if config.start_from else "the base model"


def _loss_problems(dpo: DpoSettings) -> list[str]:
    """Settings of DPO that its loss cannot use."""
    loss = find_loss(dpo.loss)
    if dpo.label_smoothing and not loss.smooths:
        return [
            f"Label smoothing is {dpo.label_smoothing:g}, and the {loss.id} loss has none. Set it to 0, or choose the robust loss."
        ]
    if loss.id == "exo_pair" and not dpo.label_smoothing:
        return [f"The exo_pair loss needs label smoothing above 0. Its paper takes {loss.smoothing:g}."]
    return []


def _kto_problems(config: RunConfig) -> list[str]:
    found = []
    if not config.thumbs_data:
        found.append(
            "KTO needs answers with a thumb up or down, and none are chosen. Choose such a dataset on the Data page."
        )
    if config.batch_size < 2:
        found.append(
            f"Batch size is {config.batch_size}; KTO needs at least 2, because it compares each answer with another one of its batch."
        )
    return found


def _problem_message(problem: Any, titles: dict[str, str]) -> str:
    """One pydantic problem as a sentence with the setting's own title and bounds."""
    where = ".".join(str(part) for part in problem["loc"])
    bounds = problem.get("ctx") or {}
    title = titles.get(where, where)
    if problem["type"] == "extra_forbidden":
        return f"There is no setting called {where}. Remove it, or look for a typing error."
    if problem["type"] == "missing":
        return f"{title} is missing. Set {where}."
    for rule, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if rule in bounds:
            return f"{title} is {problem['input']!r}; it must be {words} {bounds[rule]:g}."
    return f"{title} is {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}."


def _titles(kind: type[Settings]) -> dict[str, str]:
    """Dotted name -> title, for every setting."""
    titles: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Settings):
            titles |= {f"{name}.{inner}": inner_title for inner, inner_title in _titles(part).items()}
        else:
            titles[name] = field.title or name
    return titles
