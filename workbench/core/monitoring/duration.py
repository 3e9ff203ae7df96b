"""What a run will take, before it starts: steps, and about how long."""

from dataclasses import dataclass

from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import planned_steps

# Rates that hobbyists' machines reach in training, from slow to fast, in floating-point operations per second:
# a laptop's CPU to a desktop's; an older 6 GB card to a current 24 GB one. Only a guess until a step was measured.
GUESSED_RATES = {"cpu": (1.5e10, 2e11), "cuda": (8e12, 7e13)}

# A rough length of a token of English text. Tokenizers differ by a third either way.
CHARACTERS_PER_TOKEN = 4.0

LOADING = 15.0  # seconds to import the libraries and load a small model


@dataclass(frozen=True)
class StageForecast:
    """One stage, before it runs. Seconds as (at best, at worst). tokens: that it reads in all, estimated from characters."""

    stage: Stage
    rows: int
    steps: int
    seconds: tuple[float, float] | None
    measured: bool  # whether the seconds come from an earlier run on this machine
    tokens: int


def forecast_stage(
    config: RunConfig,
    stage: Stage,
    rows: int,
    characters: float,
    parameters: int | None,
    device: str,
    seconds_per_example: float | None,
) -> StageForecast:
    """Steps and time of a stage.

    characters: mean length of an example (SFT, KTO) or of prompt, chosen and rejected together (pairs); parameters: of the
    base model, None where it is not known yet; seconds_per_example: measured in an earlier run of this model and stage.
    """
    steps = planned_steps(config, stage, rows)
    examples = min(steps * config.effective_batch, steps * rows)
    length = min(characters / CHARACTERS_PER_TOKEN, METHODS[stage].answers * config.max_length)
    tokens = round(examples * length)
    if seconds_per_example is not None:
        seconds = examples * seconds_per_example
        return StageForecast(stage, rows, steps, (seconds * 0.8, seconds * 1.3), True, tokens)
    if parameters is None:
        return StageForecast(stage, rows, steps, None, False, tokens)
    work = examples * length * parameters * operations_per_weight(stage, config.gradient_checkpointing != "off")
    slow, fast = GUESSED_RATES[device]
    return StageForecast(stage, rows, steps, (work / fast, work / slow), False, tokens)


def operations_per_weight(stage: Stage, gradient_checkpointing: bool) -> int:
    """Floating-point operations per token and weight of a LoRA step.

    Forward 2, backward to the inputs 2; checkpointing computes the forward pass again; DPO adds the reference's.
    KTO adds the reference's and, for its KL term, one of both models on other answers.
    """
    return 4 + 2 * gradient_checkpointing + METHODS[stage].operations


def duration_label(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def tokens_label(tokens: int) -> str:
    """A rough number of tokens as a person says it, with two digits that mean something."""
    digits = max(0, len(str(tokens)) - 2)
    return f"about {round(tokens, -digits):,} tokens"


def duration_range_label(seconds: tuple[float, float]) -> str:
    """A range of times as a person says it: "20 to 60 seconds", "about 5 minutes"."""
    low, high = (duration_label(part) for part in seconds)
    if low == high:
        return f"about {low}"
    number, unit = low.split(" ", 1)
    return f"{number} to {high}" if high.endswith(unit) else f"{low} to {high}"
