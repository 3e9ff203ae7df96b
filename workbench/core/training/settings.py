"""What is set for every run alike in small groups, and what each method has of its own.

A method's settings know what follows from them alone: the trainer's arguments, where its loss starts, what cannot be run.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.core.errors import WorkbenchError
from workbench.core.training.losses import LOSSES, LossId, find_loss, kto_start, kto_weights_advice
from workbench.core.training.reward_rules import HELP as RULES_HELP
from workbench.core.training.reward_rules import parse_rules

SFT_TERM = "sft"
"""TRL's name for the term that adds the negative log-likelihood of the chosen answers, in nats per token."""


class Settings(BaseModel):
    """Unknown settings are errors, and nobody changes a setting after it was passed on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


Rate = Annotated[float, Field(gt=0, le=1)]


class StageSettings(Settings):
    """What every method has. TITLE, IT, NOUN and RATE take the places of {title}, {it}, {noun} and {rate} in the texts of its fields."""

    TITLE: ClassVar[str] = ""
    IT: ClassVar[str] = ""  # the method in a sentence, where that is not its title
    NOUN: ClassVar[str] = "pairs"  # what the method learns from
    RATE: ClassVar[str] = (  # what rate is usual
        "For a model from the Hub 5e-7 to 2e-5 is usual; the small demo model takes 2e-4."
    )

    learning_rate: Rate = 5e-6
    epochs: float = Field(
        1.0, gt=0, le=100, title="{title} epochs", description="How often {it} goes through the {noun}."
    )
    max_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Max {title} steps",
        description="Ends {it} after this many steps. 0: as many as the epochs need.",
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        rate = cls.model_fields["learning_rate"]
        rate.title, rate.description = "{title} learning rate", "Size of each step of {it}. {rate}"
        for field in cls.model_fields.values() if cls.TITLE else ():
            field.title = (field.title or "").format(title=cls.TITLE)
            field.description = (field.description or "").format(
                title=cls.TITLE, it=cls.IT or cls.TITLE, noun=cls.NOUN, rate=cls.RATE
            )

    def trainer_arguments(self) -> dict[str, Any]:
        """What TRL is told besides what it is told for every method."""
        return {}

    def start_loss(self, thumbs: Sequence[bool] = ()) -> float | None:
        """The loss of an evaluation before the first step, where the policy is its own reference; None where data decide.

        thumbs: of the held-out answers, where each has one.
        """
        return None

    def problems(self) -> list[str]:
        """What makes well-formed settings impossible to run."""
        return []

    def trainer_names(self) -> tuple[str, str] | None:
        """The names of the trainer and of its arguments, where they are not those of the table of methods."""
        return None

    def answers_per_row(self) -> int:
        """Answers that are made of a row; 1 where answers are read."""
        return 1

    def longest_own_answer(self) -> int:
        """Tokens of the answers that the method makes; 0 where it makes none."""
        return 0

    def judges(self) -> list[str]:
        """What gives the answers that the method makes their reward, in words."""
        return []

    def shorter_answers(self, tokens: int) -> dict[str, Any]:
        """The settings that change where answers of its own are shorter by so many tokens; none where it makes none."""
        return {}

    def reward_run_name(self) -> str:
        """The run whose reward model scores answers of its own; "" where none does."""
        return ""

    def reward_model_name(self) -> str:
        """The model that scores them from beside the base model; "" where none does."""
        return ""

    def loss_summary(self) -> str:
        """The loss in words, where there is more than one to choose from."""
        return ""

    def thumbs_advice(self, liked: int, disliked: int) -> str:
        """What to set for so many answers of each thumb; "" where nothing speaks against what is set."""
        return ""


class ReferenceSettings(StageSettings):
    """What a method has that measures the model against its reference."""

    beta: float = Field(
        0.1,
        ge=0.001,
        le=10,
        title="{title} beta",
        description="How closely {title} holds to the reference model. Lower lets it drift further.",
    )


class SftSettings(StageSettings):
    """Supervised fine-tuning: imitate the answers of the data."""

    TITLE = "SFT"
    NOUN = "examples"
    RATE = "For an adapter 1e-4 to 5e-4 is usual."

    learning_rate: Rate = 2e-4

    def trainer_arguments(self) -> dict[str, Any]:
        return {"completion_only_loss": True}


class DpoSettings(ReferenceSettings):
    """Direct preference optimization: prefer the chosen answer over the rejected one."""

    TITLE = "DPO"

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
        json_schema_extra={"titles": {one.id: one.title for one in LOSSES}},
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

    def trainer_arguments(self) -> dict[str, Any]:
        losses: dict[str, Any] = {"loss_type": [self.loss]}
        if self.sft_weight:
            losses = {"loss_type": [self.loss, SFT_TERM], "loss_weights": [1.0, self.sft_weight]}
        return {"beta": self.beta, "label_smoothing": self.label_smoothing} | losses

    def start_loss(self, thumbs: Sequence[bool] = ()) -> float | None:
        return None if self.sft_weight else find_loss(self.loss).start(self.beta, self.label_smoothing)

    def problems(self) -> list[str]:
        loss = find_loss(self.loss)
        if self.label_smoothing and not loss.smooths:
            return [
                f"Label smoothing is {self.label_smoothing:g}, and the {loss.id} loss has none. Set it to 0, or choose the robust loss."
            ]
        if loss.id == "exo_pair" and not self.label_smoothing:
            return [f"The exo_pair loss needs label smoothing above 0. Its paper takes {loss.smoothing:g}."]
        return []

    def loss_summary(self) -> str:
        """The loss, when it is the one to take, and what its paper used where that is not what is set."""
        loss = find_loss(self.loss)
        words = f"{loss.title}. {loss.use} {loss.source}."
        if loss.beta is not None and not 0.5 <= self.beta / loss.beta <= 2:
            words += f" Its paper used beta {loss.beta:g}; it is {self.beta:g}."
        if loss.smoothing and not self.label_smoothing:
            words += f" Without label smoothing it is no other than sigmoid; its paper used {loss.smoothing:g}."
        if self.sft_weight:
            words += f" With the SFT loss of the chosen answers, times {self.sft_weight:g}."
        return words


class KtoSettings(ReferenceSettings):
    """Kahneman-Tversky optimization: learn from single answers with a thumb up or down."""

    TITLE = "KTO"
    NOUN = "answers"

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

    def trainer_arguments(self) -> dict[str, Any]:
        return self.model_dump(include={"beta", "desirable_weight", "undesirable_weight"})

    def start_loss(self, thumbs: Sequence[bool] = ()) -> float | None:
        if not thumbs:
            return None
        return kto_start(self.desirable_weight, self.undesirable_weight, sum(thumbs), len(thumbs) - sum(thumbs))

    def thumbs_advice(self, liked: int, disliked: int) -> str:
        return kto_weights_advice(self.desirable_weight, self.undesirable_weight, liked, disliked)


class OrpoSettings(StageSettings):
    """Odds-ratio preference optimization: imitate the chosen answer and prefer it at once, without a reference.

    Hong et al. 2024. The defaults are those of TRL's own example for an adapter.
    """

    TITLE = "ORPO"
    RATE = "Published recipes take 5e-6 to 8e-6 on all weights; an adapter takes about ten times that."

    learning_rate: Rate = 8e-5
    weight: float = Field(
        0.1,
        ge=0.001,
        le=10,
        title="Weight of the odds ratio",
        description="How much preferring the chosen answer counts against imitating it; lambda in the paper. Published recipes take 0.05 to 0.1.",
    )

    def trainer_arguments(self) -> dict[str, Any]:
        return {"beta": self.weight}


class RewardSettings(StageSettings):
    """A reward model: score answers, so that the chosen one of a pair scores higher.

    Bradley and Terry 1952; Ouyang et al. 2022, eq. 1.
    """

    TITLE = "Reward model"
    IT = "the reward model"
    RATE = "For an adapter 5e-5 to 5e-4 is usual; the small demo model takes 5e-4."

    learning_rate: Rate = 1e-4
    centering: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Centring of rewards",
        description="Pulls the mean reward of a pair towards 0, so that rewards of different prompts compare. 0: none; 0.01 is usual (Eisenstein et al. 2023).",
    )

    def trainer_arguments(self) -> dict[str, Any]:
        return {"center_rewards_coefficient": self.centering or None}


class RlooSettings(ReferenceSettings):
    """Online reinforcement learning: answer prompts, have the answers scored, and make what scored above its group likelier.

    RLOO: Ahmadian et al. 2024, "Back to Basics", eq. 6; the reward less beta times the divergence from the reference. It has
    PPO's objective without PPO's critic. GRPO: Shao et al. 2024, eq. 3.
    """

    TITLE = "RLOO"
    NOUN = "prompts"
    RATE = "For an adapter 1e-6 to 2e-5 is usual; the small demo model takes 1e-3."

    learning_rate: Rate = 1e-5
    beta: float = Field(
        0.05,
        ge=0.001,
        le=10,
        title="RLOO beta",
        description="How much each nat of divergence from the reference costs, in units of the reward. Lower lets it drift further.",
    )
    reward_run: str = Field(
        "",
        title="Reward model",
        description="Run of the method reward model, on the same base model. Its adapter and head score the answers on that one base.",
        json_schema_extra={"choose": "reward run"},
    )
    reward_model: str = Field(
        "",
        title="Reward model from the Hub",
        description="Instead, or besides: a sequence classifier with one score, such as Skywork/Skywork-Reward-V2-Qwen3-0.6B. It is loaded beside the base model.",
    )
    rules: str = Field(
        "",
        title="Rewards by rule",
        description=f"One per line, a weight and a rule, added to the reward: 0.5 words: gladly, sure. {RULES_HELP}.",
        json_schema_extra={"lines": 3},
    )
    group_size: int = Field(
        4,
        ge=2,
        le=64,
        title="Group size",
        description="Answers to each prompt, of which each is compared with the others. More say more about a prompt and take longer.",
    )
    answer_tokens: int = Field(
        256,
        ge=8,
        le=8192,
        title="Longest answer (tokens)",
        description="Answers are cut there. Costs time and memory.",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=2,
        title="Sampling temperature",
        description="How adventurous the answers are that it learns from. 1 is what the method assumes.",
    )
    algorithm: Literal["rloo", "grpo"] = Field(
        "rloo",
        title="Algorithm",
        description="rloo: the divergence is part of the reward, the others of the group are the baseline. grpo: usual where the reward is a rule.",
        json_schema_extra={"titles": {"rloo": "RLOO", "grpo": "GRPO"}},
    )

    def trainer_arguments(self) -> dict[str, Any]:
        return {
            "beta": self.beta,
            "num_generations": self.group_size,
            "max_completion_length": self.answer_tokens,
            "temperature": self.temperature,
            # The log-probabilities that the loss compares know nothing of top-p.
            "top_p": 1.0,
            "disable_dropout": True,
        }

    def trainer_names(self) -> tuple[str, str] | None:
        return ("GrpoOnOneBase", "GRPOConfig") if self.algorithm == "grpo" else None

    def answers_per_row(self) -> int:
        return self.group_size

    def longest_own_answer(self) -> int:
        return self.answer_tokens

    def judges(self) -> list[str]:
        models = [f"reward model {name}" for name in (self.reward_run, self.reward_model) if name]
        return models + [f"{rule.weight:g} × ({rule.name})" for rule in parse_rules(self.rules)]

    def loss_summary(self) -> str:
        if self.algorithm == "grpo":
            words = "GRPO: the reward of an answer against the mean of its group, in units of the group's spread; the divergence is part of the loss."
        else:
            words = f"The reward less {self.beta:g} times the divergence from the reference, against the mean of the other answers of the group."
        return f"{words} PPO itself left TRL in 1.13 for lack of use; RLOO has the same KL-regularised objective without the critic."

    def shorter_answers(self, tokens: int) -> dict[str, Any]:
        return {"answer_tokens": self.answer_tokens - tokens}

    def reward_run_name(self) -> str:
        return self.reward_run

    def reward_model_name(self) -> str:
        return self.reward_model

    def problems(self) -> list[str]:
        found = []
        if not (self.reward_run or self.reward_model or self.rules.strip()):
            found.append(
                "RLOO needs a reward, and none is chosen. Train a reward model first and choose it, name one of the Hub, or write a rule."
            )
        try:
            parse_rules(self.rules)
        except WorkbenchError as error:
            found += error.problems
        return found


class SimpoSettings(StageSettings):
    """Simple preference optimization: prefer the chosen answer by its mean log-probability, without a reference.

    Meng et al. 2024. Beta 2 and a margin of half of it are what its authors tell to begin with.
    """

    TITLE = "SimPO"
    RATE = (
        "Its paper used 3e-7 to 1e-6 on all weights; an adapter takes about ten times that. Too high, and answers repeat "
        "themselves."
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

    def trainer_arguments(self) -> dict[str, Any]:
        """For trl.experimental.cpo, whose loss is SimPO's without its SFT term. TRL's gamma is the margin in units of the loss."""
        return {
            "loss_type": "simpo",
            "cpo_alpha": 0.0,
            "beta": self.beta,
            "simpo_gamma": self.margin_ratio * self.beta,
        }
