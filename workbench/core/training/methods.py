"""The methods of training, as one table: a row says all that differs between them and is no setting.

Pages, forecasts, charts, rules about health, model card and command line ask this table. A new method is an entry here,
its settings in `settings.py`, and whatever it does that no other method did.
"""

from dataclasses import dataclass
from typing import Any, Literal

from workbench.core.training.settings import (
    DpoSettings,
    KtoSettings,
    OrpoSettings,
    RewardSettings,
    RlooSettings,
    SftSettings,
    SimpoSettings,
    StageSettings,
)


@dataclass(frozen=True)
class DataKind:
    """A kind of data, as datasets name it. setting: the one that names the dataset. noun: one row of it, in the plural."""

    setting: str
    noun: str
    holds: str


DATA_KINDS = {
    "sft": DataKind("sft_data", SftSettings.NOUN, "answers to imitate"),
    "preference": DataKind("preference_data", DpoSettings.NOUN, "preference pairs"),
    "unpaired": DataKind("thumbs_data", KtoSettings.NOUN, "answers with a thumb up or down"),
}

DATA_SETTINGS = tuple(kind.setting for kind in DATA_KINDS.values())


@dataclass(frozen=True)
class Result:
    """A headline number of a stage, measured on held-out data.

    key: as the trainer logs it. name: in a line of text and in JSON. label: in the model card. format: of a page.
    """

    key: str
    name: str
    label: str
    format: str


@dataclass(frozen=True)
class Measured:
    """What a stage reached of one of its results."""

    stage: str
    result: Result
    value: float

    @property
    def text(self) -> str:
        return format(self.value, self.result.format)


LOSS = Result("eval_loss", "loss", "Loss", ".3f")
ACCURACY = Result("eval_rewards/accuracies", "accuracy", "Reward accuracy", ".1%")
REWARD = Result("eval_reward", "reward", "Reward", ".3f")
KL = Result("eval_kl", "KL", "Divergence from the reference (nats per token)", ".4f")
MARGIN = Result("eval_rewards/margins", "margin", "Reward margin", ".3f")

RuleSet = Literal["imitation", "reference", "reference pairs", "no reference", "reward model", "online"]


@dataclass(frozen=True)
class Method:
    """A way to train, which is a stage of a run.

    help: goes on after its titles, to a sentence. kinds: of data that it can learn from, its own first. trainer,
    trainer_config: names of classes in `module`. experimental: TRL may change or remove what it needs. charts: ids of core/monitoring/charts/, besides those of every stage. closing: how a run ends that
    reached these results, by their names. up_front: settings that are drawn first. health: rule sets of
    core/monitoring/health/examining.py. sequences: that go through the model for one example; KTO's second is the
    mismatched answer of its KL estimate. smallest_batch: 2 where each example is compared with another of its batch, so
    that the order of the rows is part of the method. operations: floating-point operations per token and weight besides
    those of the trained pass, with the reference answering. tiles_loss: whether TRL's own trainer makes logits of some tokens
    at a time. scores: whether it ends as a reward model,
    which scores answers and writes none. online: whether it learns from answers of its own, which a reward judges. command:
    of TRL's command line that trains so; "" where there is none.
    """

    stage: str
    settings: type[StageSettings]
    long_title: str
    help: str
    kinds: tuple[str, ...]
    trainer: str
    trainer_config: str
    charts: tuple[str, ...]
    results: tuple[Result, ...]
    closing: str
    up_front: tuple[str, ...]
    health: tuple[RuleSet, ...]
    has_reference: bool = False
    experimental: bool = False
    sequences: int = 2
    smallest_batch: int = 1
    operations: int = 0
    tiles_loss: bool = False
    scores: bool = False
    online: bool = False
    module: str = "trl"
    command: str = ""

    @property
    def title(self) -> str:
        return self.settings.TITLE

    @property
    def noun(self) -> str:
        """What it calls its examples, in the plural."""
        return self.settings.NOUN

    @property
    def data(self) -> DataKind:
        return DATA_KINDS[self.kinds[0]]

    @property
    def imitates(self) -> bool:
        """Whether it learns single answers as they are, none of them better or worse."""
        return self.kinds[0] == "sft"

    @property
    def trained_sequences(self) -> int:
        """Those of `sequences` that a step keeps activations of: the mismatched answer of KTO passes without gradients."""
        return self.answers or self.sequences

    @property
    def answers(self) -> int:
        """Answers of a row that it reads."""
        if self.online:
            return 0
        return 2 if self.kinds[0] == "preference" else 1

    def uses(self, setting: str) -> bool:
        """Whether a setting that runs of every method have changes anything for this one."""
        if setting == "reference":
            return self.has_reference and not self.online
        if setting == "group_by_length":
            return self.smallest_batch == 1 and not self.online
        return setting != "samples" or not self.scores


_OF_PAIRS: dict[str, Any] = {
    "charts": ("dpo-loss", "margin", "accuracy", "rewards", "margin-nats", "log-probabilities"),
    "results": (LOSS, ACCURACY, MARGIN),
    "closing": "On held-out pairs it prefers the chosen answer in {accuracy:.0%} of cases, by a margin of {margin:.2f}.",
}

_IN_TOKENS = "workbench.engine.experimental"

_METHODS = (
    Method(
        "sft", SftSettings, "supervised fine-tuning", "imitates good answers.",
        ("sft", "preference"), "SFTTrainer", "SFTConfig", charts=("sft-loss", "entropy"), results=(LOSS,),
        closing="The held-out loss is {loss:.3f} nats per token.", up_front=("learning_rate", "epochs"),
        health=("imitation",), sequences=1, tiles_loss=True, command="sft",
    ),
    Method(
        "dpo", DpoSettings, "direct preference optimization",
        "learns from pairs of a better and a worse answer, measured against a reference: the model as it was when DPO began.",
        ("preference",), "DPOTrainer", "DPOConfig", **_OF_PAIRS | {"charts": (*_OF_PAIRS["charts"], "drift", "entropy")},
        up_front=("learning_rate", "beta", "epochs"),
        health=("reference", "reference pairs"), has_reference=True, operations=2, command="dpo",
    ),
    Method(
        "kto", KtoSettings, "Kahneman-Tversky optimization",
        "learns from single answers with a thumb up or down, measured against a reference as DPO is.",
        ("unpaired",), "KTOTrainer", "KTOConfig", results=(LOSS, MARGIN),
        charts=("kto-loss", "margin", "rewards", "margin-nats", "log-probabilities", "drift", "entropy"),
        closing="On held-out answers it prefers the liked ones by a margin of {margin:.2f}.",
        up_front=("learning_rate", "beta"),
        health=("reference",), has_reference=True, smallest_batch=2, operations=6, command="kto",
    ),
    Method(
        "orpo", OrpoSettings, "odds-ratio preference optimization",
        "learns from pairs and needs no reference: less time and memory, and nothing that holds the model to what it was.",
        ("preference",), "OrpoInTokens", "ORPOConfig", **_OF_PAIRS, up_front=("learning_rate", "weight"),
        health=("no reference",), experimental=True, module=_IN_TOKENS,
    ),
    Method(
        "simpo", SimpoSettings, "simple preference optimization",
        "learns from pairs without a reference too, by the mean log-probability of an answer's tokens.",
        ("preference",), "SimpoInTokens", "CPOConfig", **_OF_PAIRS, up_front=("learning_rate", "beta", "margin_ratio"),
        health=("no reference",), experimental=True, module=_IN_TOKENS,
    ),
    Method(
        "reward", RewardSettings, "reward modelling",
        "trains no model that answers but one that scores answers, for online training, for ranking and for choosing the best of several.",
        ("preference",), "RewardOnPairs", "RewardConfig",
        charts=("reward-loss", "margin", "accuracy", "rewards", "score-spread"), results=(LOSS, ACCURACY, MARGIN),
        closing="On held-out pairs it scores the chosen answer higher in {accuracy:.0%} of cases, by {margin:.2f}.",
        up_front=("learning_rate", "epochs", "centering"), health=("reward model",), scores=True,
        module="workbench.engine.reward", command="reward",
    ),
    Method(
        "rloo", RlooSettings, "online reinforcement learning",
        "answers prompts itself, and what scores above the other answers to its prompt becomes likelier: RLHF without the critic of "
        "PPO, which nearly nobody used and TRL has dropped.",
        ("preference", "sft", "unpaired"), "RlooOnOneBase", "RLOOConfig",
        charts=("reward", "divergence", "answer-length", "ending", "spread", "entropy"), results=(REWARD, KL),
        closing="On held-out prompts its answers get a reward of {reward:.2f}, {KL:.3f} nats per token away from where it began.",
        up_front=("reward_run", "rules", "algorithm", "learning_rate", "beta", "group_size", "answer_tokens"), health=("online",),
        has_reference=True, sequences=1, online=True, module="workbench.engine.rloo",
    ),
)  # fmt: skip

METHODS = {one.stage: one for one in _METHODS}
"""By stage, in the order of the form. A method that is added while the program starts, before the settings of a run are
made, is offered everywhere."""

CHAINS = ("sft+dpo",)
"""Methods of a run that are several stages, one after the other."""

BOTH_WAYS = ("sft", "dpo", "reward", "rloo")
"""The runs that compare both ways from preferences to a model: the start that both have, the direct one, and the judge and the
online run of the other."""


def stages_of(method: str) -> tuple[str, ...]:
    """The stages of a run's method, in the order in which they run."""
    return tuple(method.split("+"))


def stage_title(stage: str) -> str:
    """What a stage is called on a page."""
    return METHODS[stage].title


def method_title(method: str) -> str:
    """What the method of a run is called on a page."""
    return ", then ".join(stage_title(stage) for stage in stages_of(method))


def method_choices() -> list[tuple[str, str]]:
    """Title and id of the methods that a run can have."""
    ids = (*CHAINS, *METHODS)
    experimental = {stage: " (experimental)" for stage, method in METHODS.items() if method.experimental}
    return [(method_title(one) + experimental.get(one, ""), one) for one in ids]


def methods_help() -> str:
    """What each method does, in a sentence."""
    return " ".join(f"{method.title} ({method.long_title}) {method.help}" for method in METHODS.values())


def fed_by(setting: str) -> tuple[str, ...]:
    """The stages whose own data a setting names."""
    return tuple(stage for stage, method in METHODS.items() if method.data.setting == setting)


def that_use(setting: str) -> tuple[str, ...]:
    """The stages that need a setting which every method has."""
    return tuple(stage for stage, method in METHODS.items() if method.uses(setting))


def stages_after(stage: str) -> tuple[str, ...]:
    """The stages that a run has only after this one."""
    chains = [stages_of(chain) for chain in CHAINS]
    return tuple(later for chain in chains if stage in chain for later in chain[chain.index(stage) + 1 :])
