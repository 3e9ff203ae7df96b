"""The trainer of a reward model: TRL's, with the scores read where each answer ends, and held-out pairs measured exactly."""

from collections.abc import Callable
from typing import Any

import torch
from trl import RewardConfig, RewardTrainer

from workbench.core.monitoring.reward_quality import ScoredPair, quality
from workbench.core.monitoring.sweep_result import MARGIN_ERROR
from workbench.engine.rewards import scored
from workbench.engine.spread import standard_error

__all__ = ["RewardConfig", "RewardOnPairs"]  # named in the table of methods


class RewardOnPairs(RewardTrainer):  # type: ignore[misc]
    """Bradley-Terry on pairs (Ouyang et al. 2022, eq. 1). Logs what the preference methods log, under the same names.

    quality: of the last evaluation, None before the first. Transformers' own models read the score at the rightmost token that
    is not the padding token; where padding is the end token, as for many models, that is not where the answer ends.
    """

    read: Callable[..., torch.Tensor] | None = None  # in place of a plain pass: see `scored`

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.quality: Any = None
        self._seen: list[ScoredPair] = []

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """inputs: `input_ids` and `attention_mask`, shape (2 x pairs, tokens), the chosen answers first."""
        with (
            self.accelerator.autocast()
        ):  # which the model's own forward would enter: else the adapter computes in fp32
            scores = scored(model.get_base_model(), inputs["input_ids"], inputs["attention_mask"], read=self.read)
        chosen, rejected = scores.chunk(2)
        loss = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
        if self.args.center_rewards_coefficient is not None:
            loss = loss + self.args.center_rewards_coefficient * ((chosen + rejected) ** 2).mean()
        self._note(scores.detach(), inputs["attention_mask"])
        return (loss, {"rewards": scores}) if return_outputs else loss

    def _note(self, scores: torch.Tensor, mask: torch.Tensor) -> None:
        chosen, rejected = scores.chunk(2)
        if not self.model.training:
            rows = torch.stack([*scores.chunk(2), *mask.sum(1).chunk(2)], dim=1).tolist()
            self._seen += [ScoredPair(*row[:2], *map(int, row[2:])) for row in rows]
            return
        self._total_train_tokens += int(mask.sum())
        found = {
            "rewards/chosen": chosen.mean(),
            "rewards/rejected": rejected.mean(),
            "rewards/margins": (chosen - rejected).mean(),
            "rewards/accuracies": (chosen > rejected).float().mean(),
        }
        for name, value in found.items():
            self._metrics["train"][name].append(value.item())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """An evaluation is told with what all its pairs say together, not with the mean of its batches."""
        if "eval_loss" in logs and self._seen:
            self.quality = quality(self._seen)
            pairs, self._seen = self._seen, []
            logs |= {
                "eval_rewards/chosen": sum(pair.chosen for pair in pairs) / len(pairs),
                "eval_rewards/rejected": sum(pair.rejected for pair in pairs) / len(pairs),
                "eval_rewards/margins": self.quality.margin,
                "eval_rewards/accuracies": self.quality.accuracy,
                "eval_reward/pairs": self.quality.pairs,
                "eval_reward/spread": self.quality.std,
                "eval_reward/calibration_error": self.quality.calibration_error,
                "eval_reward/shorter_pairs": self.quality.shorter_pairs,
            }
            if self.quality.shorter_accuracy is not None:
                logs["eval_reward/shorter_accuracy"] = self.quality.shorter_accuracy
            if (error := standard_error([pair.chosen - pair.rejected for pair in pairs])) is not None:
                logs[MARGIN_ERROR] = error
        super().log(logs, start_time)
