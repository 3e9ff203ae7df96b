"""ORPO and SimPO through TRL's experimental trainers, on the tokens that its DPO trainer would make of a row.

In TRL 1.14 these trainers cut too long rows by what is left beside the longer answer: the shorter one can lose all of
its tokens, and the row is still longer than `max_length`. They also put a start token before prompts whose template
writes none, and an end token after a turn that has ended. A model so trained sees other tokens than it is asked with.
"""

from typing import Any

from trl.data_utils import common_prefix_length
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

__all__ = ["CPOConfig", "ORPOConfig", "OrpoInTokens", "SimpoInTokens"]  # named in the table of methods

IGNORED = -100  # label of a token that is not trained on


class _InTokens:
    """Rows in tokens, cut at the end; those whose prompt alone fills max length are left out."""

    processing_class: Any
    max_length: int

    accelerator: Any
    _total_train_tokens = 0  # as TRL's other trainers call it

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self.train_dataset: Any = self.train_dataset.filter(_has_an_answer)
        if self.eval_dataset is not None:
            self.eval_dataset: Any = self.eval_dataset.filter(_has_an_answer)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Count the tokens of prompts and answers that are trained on, which TRL does not do here."""
        tokens = inputs["chosen_attention_mask"].sum() + inputs["rejected_attention_mask"].sum()
        self._total_train_tokens += int(self.accelerator.gather_for_metrics(tokens).sum())
        return super().compute_loss(model, inputs, *more, **named)  # type: ignore[misc]

    def log(self, logs: dict[str, float], *more: Any, **named: Any) -> None:
        """Written beside what TRL logs, which it takes the means of."""
        if "loss" in logs:
            logs["num_tokens"] = float(self._total_train_tokens)
        super().log(logs, *more, **named)  # type: ignore[misc]

    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, list[int]]:
        """A row of rendered texts as the columns that the collator wants."""
        prompt, chosen, rejected = (
            self.processing_class(text, add_special_tokens=False)["input_ids"]
            for text in (
                feature["prompt"],
                feature["prompt"] + feature["chosen"],
                feature["prompt"] + feature["rejected"],
            )
        )
        start = min(common_prefix_length(prompt, chosen), common_prefix_length(prompt, rejected))
        return {
            "prompt_input_ids": prompt[:start],
            "prompt_attention_mask": [1] * start,
            **_sequence("chosen", chosen[: self.max_length], start),
            **_sequence("rejected", rejected[: self.max_length], start),
        }


def _sequence(part: str, ids: list[int], start: int) -> dict[str, list[int]]:
    return {
        f"{part}_input_ids": ids,
        f"{part}_attention_mask": [1] * len(ids),
        f"{part}_labels": [IGNORED] * min(start, len(ids)) + ids[start:],
    }


def _has_an_answer(row: dict[str, list[int]]) -> bool:
    return len(row["prompt_input_ids"]) < min(len(row["chosen_input_ids"]), len(row["rejected_input_ids"]))


class OrpoInTokens(_InTokens, ORPOTrainer):  # type: ignore[misc]
    """Hong et al. 2024. TRL takes the loss of imitation over prompt and answer, not over the answer alone."""


class SimpoInTokens(_InTokens, CPOTrainer):  # type: ignore[misc]
    """Meng et al. 2024, as the loss "simpo" of CPO without its term of imitation."""
