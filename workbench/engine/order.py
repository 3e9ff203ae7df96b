"""The order in which a trainer goes through its rows: batches of about the same length."""

from collections.abc import Iterator
from typing import Any

import pyarrow
import pyarrow.compute
from torch.utils.data import Sampler

from workbench.core.training.length_groups import in_groups

_ROWS_AT_ONCE = 2000


class LengthGroupedSampler(Sampler[int]):
    """Another order in each epoch, and the same one for the same seed and epoch, wherever a run goes on."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        # Seeds that lie beside each other must not share orders in later epochs.
        return iter(in_groups(self.lengths, self.batch_size, self.seed * 1_000_003 + self.epoch))


def length_grouped(trainer_class: type, batch_size: int, max_length: int, seed: int) -> type:
    """A trainer whose batches hold rows of about the same length. Not for KTO, whose rows are paired with neighbours."""

    class Grouping(trainer_class):  # type: ignore[misc]
        def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
            rows = self.train_dataset if train_dataset is None else train_dataset
            return LengthGroupedSampler(row_lengths(rows, max_length), batch_size, seed)

    return Grouping


def row_lengths(rows: Any, max_length: int) -> list[int]:
    """Tokens of the longest sequence of each row, as it is cut. rows: a datasets.Dataset that TRL has tokenised."""
    lengths: list[int] = []
    # By Arrow: as Python's lists the ids of a large dataset would take gigabytes.
    for table in rows.with_format("arrow").iter(_ROWS_AT_ONCE):
        lengths += [min(length, max_length) for length in _lengths(table)]
    return lengths


def _lengths(table: pyarrow.Table) -> list[int]:
    count = {
        name: pyarrow.compute.list_value_length(table[name]).to_pylist()
        for name in (
            "input_ids",
            "prompt_ids",
            "completion_ids",
            "KL_completion_ids",
            "chosen_ids",
            "rejected_ids",
            "chosen_input_ids",
            "rejected_input_ids",
        )  # fmt: skip
        if name in table.column_names
    }
    if "input_ids" in count:
        return list(count["input_ids"])
    if "chosen_input_ids" in count:  # of ORPO and SimPO, where they hold the prompt too
        return [max(pair) for pair in zip(count["chosen_input_ids"], count["rejected_input_ids"], strict=True)]
    answers = [counts for name, counts in count.items() if name != "prompt_ids"]
    if "prompt_ids" not in count:  # of a reward model, where they hold the prompt too
        return [max(pair) for pair in zip(*answers, strict=True)]
    return [prompt + max(answer) for prompt, *answer in zip(count["prompt_ids"], *answers, strict=True)]
