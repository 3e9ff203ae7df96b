"""What holds after a checkpoint was loaded: the settings of the run, not those that the checkpoint was made with."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class OwnLearningRate(TrainerCallback):
    """Sets the learning rate of a run that goes on from a checkpoint back to the run's own.

    A checkpoint brings the rate that it was made with, in its optimizer and in its schedule; a run that branched off
    another one may have a different one. Transformers loads both before `on_train_begin` (trainer.py,
    `_prepare_for_training`). Where the rate is the same, nothing changes, to the last bit.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, optimizer: Any = None,
        lr_scheduler: Any = None, **_: Any,
    ):  # fmt: skip
        if state.global_step:
            set_rate(optimizer, lr_scheduler, args.learning_rate)


def set_rate(optimizer: Any, schedule: Any, rate: float) -> None:
    """Give an optimizer and its LambdaLR the highest learning rate `rate`; the place in the schedule stays."""
    schedule.base_lrs = [rate] * len(schedule.base_lrs)
    now = [rate * factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
    for group, learning_rate in zip(optimizer.param_groups, now, strict=True):
        group["initial_lr"], group["lr"] = rate, learning_rate
    schedule._last_lr = now
