"""The trainers of online methods: policy, reference and reward on one base model, answers in the batches that fit."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import GENERATING
from workbench.core.training.reward_rules import Rule
from workbench.engine.answer_pass import read_rows
from workbench.engine.reading import Reader, knows_output_layer

__all__ = [
    "GRPOConfig",
    "GrpoOnOneBase",
    "RLOOConfig",
    "RlooOnOneBase",
]  # named in the table of methods and its settings

Conversations = Sequence[list[Message]]
Part = Callable[[Conversations], list[float]]

# The same random numbers at every evaluation: a difference between two of them is one of the model.
EVALUATION_SEED = 17


class Reward:
    """What an answer is worth: the sum of some parts.

    parts: name -> raw rewards of conversations that end with an answer; weights: of each part, in that order.
    """

    def __init__(self, parts: dict[str, Part], weights: Sequence[float]):
        self.parts, self.weights = parts, list(weights)

    def of(self, conversations: Conversations) -> tuple[list[float], dict[str, list[float]]]:
        """The rewards, and those of each part before its weight. Raises WorkbenchError where one is no number."""
        found = {name: checked(name, part(conversations)) for name, part in self.parts.items()}
        sums = [
            sum(weight * value for weight, value in zip(self.weights, values, strict=True))
            for values in zip(*found.values(), strict=True)
        ]
        return sums, found

    def functions(self) -> list[Callable[..., list[float]]]:
        """As TRL asks for them: one function for each part, known by its name."""
        return [_function(name, part) for name, part in self.parts.items()]


def rule_part(rule: Rule) -> Part:
    return lambda conversations: [rule.score(str(one[-1]["content"])) for one in conversations]


def checked(name: str, values: list[float]) -> list[float]:
    """Raises WorkbenchError where one of them is no number: TRL would pass over it in silence."""
    wrong = sum(not math.isfinite(value) for value in values)
    if wrong:
        raise WorkbenchError(
            f"The reward {name!r} gave {wrong:,} of {len(values):,} answers a value that is no number, so there is nothing to learn "
            "from. Choose another reward model."
        )
    return values


def _function(name: str, part: Part) -> Callable[..., list[float]]:
    def reward(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        return checked(name, part([[*asked, *said] for asked, said in zip(prompts, completions, strict=True)]))

    reward.__name__ = name
    return reward


class _OnOneBase:
    """Answers are generated in the batches of a training step, so that a smaller batch needs less memory for them too.

    Generating goes on in training mode, as TRL does it; with dropout off, as these methods are given, that changes nothing.
    """

    args: Any
    model: Any
    accelerator: Any
    temperature: float
    _metrics: dict[str, dict[str, list[float]]]

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        known = knows_output_layer(self.model)
        self.reader = Reader(self.model, None, pairs=False) if known else None

    def _generate_single_turn(self, prompt_ids: list[Any], *more: Any, **named: Any) -> Any:
        """The tokens of each answer; with GRPO, a second value that is None without vLLM."""
        begun = time.perf_counter()
        size = self.args.per_device_train_batch_size
        answers: list[Any] = []
        second: tuple[Any, ...] = ()
        for start in range(0, len(prompt_ids), size):
            found = super()._generate_single_turn(prompt_ids[start : start + size], *more, **named)  # type: ignore[misc]
            some, *others = found if isinstance(found, tuple) else (found,)
            answers, second = [*answers, *some], tuple(others)
        self._metrics["train" if self.model.training else "eval"][GENERATING].append(time.perf_counter() - begun)
        return (answers, *second) if second else answers

    def _get_per_token_logps_and_entropies(
        self, model: Any, ids: Any, mask: Any, answer: int, batch_size: int | None = None, **named: Any
    ) -> Any:
        """Log-probabilities and entropies of the last `answer` tokens, shape (rows, answer) each, and None.

        An evaluation reads no more answers at once than a training step, even where it has two and the other one.
        """
        size = self.args.per_device_train_batch_size
        if self.reader is None or named.get("compute_aux_loss"):
            return super()._get_per_token_logps_and_entropies(model, ids, mask, answer, batch_size=size, **named)  # type: ignore[misc]
        parts = [
            self._read(ids[start : start + size], mask[start : start + size], answer)
            for start in range(0, len(ids), size)
        ]
        log_probs, entropies = (torch.cat(found) for found in zip(*parts, strict=True))
        return log_probs, entropies, None

    def _read(self, ids: torch.Tensor, mask: torch.Tensor, answer: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.reader, "only asked where there is one"
        asked = mask[:, 1:].bool()
        asked[:, :-answer] = False
        with self.accelerator.autocast():
            hidden = self.reader.hidden(ids, mask)
            found = read_rows(hidden, ids, asked, self.reader.layer, self.temperature)
        return found.log_probs[:, -answer:], found.entropies[:, -answer:]

    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(EVALUATION_SEED)
            return super().evaluate(*arguments, **named)  # type: ignore[misc]


class RlooOnOneBase(_OnOneBase, RLOOTrainer):  # type: ignore[misc]
    """Ahmadian et al. 2024."""


class GrpoOnOneBase(_OnOneBase, GRPOTrainer):  # type: ignore[misc]
    """Shao et al. 2024."""


def digest_of(weights: dict[str, torch.Tensor]) -> str:
    """A digest of weights, byte for byte: to show that they did not change."""
    found = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        found.update(name.encode())
        found.update(weight.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def frozen_weights(model: Any, others: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """What must not change while the policy trains: the base model, its reference, and the reward."""
    parts: dict[str, dict[str, torch.Tensor]] = {"base": {}, "reference": {}, "reward": dict(others)}
    for name, weight in model.named_parameters():
        if ".ref." in name:
            parts["reference"][name] = weight
        elif name not in others and ".default." not in name:
            parts["base"][name] = weight
    return {part: weights for part, weights in parts.items() if weights}
