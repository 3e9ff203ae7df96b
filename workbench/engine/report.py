"""Trainer callback: every logged number to metrics.jsonl; sample answers; the stop file; the check of the reference."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import examine
from workbench.core.monitoring.progress import MOST_BETWEEN_CHECKPOINTS
from workbench.core.training.config import Stage, stage_title
from workbench.core.training.losses import LN_2
from workbench.engine.answers import stage_facts
from workbench.engine.generate import end_tokens
from workbench.engine.journal import log_numbers
from workbench.engine.samples import Samples
from workbench.engine.trouble import Diverged
from workbench.store import checkpoints
from workbench.store.metrics_file import read_digest
from workbench.store.runs import Outcome, Run

# DPO and KTO start from their reference, so all rewards are 0 and the loss is known. Rounding stays far below these.
LOSS_TOLERANCE = 0.002  # of the loss where that is above 1; the loss of IPO at a small beta is in the thousands
DRIFT_TOLERANCE = 0.1  # nats between policy and reference; a reward is beta times as many

# The rules are quick, but not for nothing: early on they look at each step, later at some.
LOOKED_AT_EACH = 200
LOOK_EVERY = 20


class WrongReference(WorkbenchError):
    """DPO or KTO did not start from its reference model."""


class ReportCallback(TrainerCallback):
    """Writes down a stage as it goes, line by line."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        checkpoint_steps: int,
        beta: float | None = None,
        prompts: Sequence[list[Message]] = (),
    ):
        """beta: of a stage that has a reference, which is then verified before the first step.

        prompts: what the model answers at each evaluation.
        """
        self.run = run
        self.stage = stage
        self.checkpoint_steps = checkpoint_steps
        self.beta = beta
        self.start_loss: float | None = None  # where policy = reference; None where it depends on the data
        self.samples = Samples(run, stage, prompts)
        self.saved = time.monotonic()
        self.stepped = False  # whether this life of the worker has taken a step
        self.ended: Outcome | None = None  # "stopped" or "paused", where a person asked for it
        self.digest = read_digest(run.metrics_file)
        self.told: set[str] = set()  # rules about health that spoke already

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None,
        train_dataloader: Any = None, processing_class: Any = None, **_: Any,
    ):  # fmt: skip
        if state.global_step == 0 and train_dataloader is not None:
            # Not args.max_length, which Unsloth sets to None where it packs rows without padding.
            most = self.run.adjusted_config().max_length
            facts = stage_facts(train_dataloader.dataset, most, end_tokens(model, processing_class))
            self.digest.add(log_numbers(self.run, self.stage, 0, state.max_steps, facts))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any):
        logs = logs or {}
        self.digest.add(log_numbers(self.run, self.stage, state.global_step, state.max_steps, logs))
        if "eval_loss" in logs:
            print(in_a_line(self.stage, state.global_step, state.max_steps, logs))
        loss = logs.get("loss")
        if loss is not None and not math.isfinite(loss):
            raise Diverged(
                f"The loss became {loss} at step {state.global_step} of {stage_title(self.stage)}: the weights have run away, "
                "and the run was stopped. Most often the learning rate is too high. Halve it and start again."
            )
        # Before the first step the reference is what counts, and `check_start` looks at that.
        early = 0 < state.global_step <= LOOKED_AT_EACH
        if early or (state.global_step and (state.global_step % LOOK_EVERY == 0 or "eval_loss" in logs)):
            self._look()

    def _look(self) -> None:
        """Write down what the rules about health say for the first time. Raises Diverged where the run is lost."""
        for finding in examine(self.digest.rows, self.run.adjusted_config(), self.run.environment().get("plan", {})):
            if finding.rule not in self.told:
                self.told.add(finding.rule)
                self.run.note_finding(finding.model_dump(mode="json"))
                print(f"{finding.title} ({stage_title(finding.stage)} step {finding.step}): {finding.evidence}")
            if finding.stop:
                raise Diverged(f"{finding.title}: {finding.evidence} {finding.meaning} {finding.advice}")

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None,
        model: Any = None, processing_class: Any = None, **_: Any,
    ):  # fmt: skip
        if self.beta is not None and state.global_step == 0:
            check_start(metrics, self.stage, self.start_loss, self.beta)
        facts = self.samples.facts_at(state.global_step, model, processing_class)
        if facts:
            self.digest.add(log_numbers(self.run, self.stage, state.global_step, state.max_steps, facts))
            if state.global_step:
                self._look()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        self.stepped = True
        late = time.monotonic() - self.saved > MOST_BETWEEN_CHECKPOINTS
        control.should_save = late or state.global_step % self.checkpoint_steps == 0
        if self.run.stop_file.exists():
            self.ended = "paused" if self.run.is_to_pause else "stopped"
            control.should_save = self.ended == "paused"
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        draft = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        checkpoints.keep(self.run, self.stage, state.global_step, draft)
        self.saved = time.monotonic()


def in_a_line(stage: Stage, step: int, steps: int, logs: dict[str, float]) -> str:
    """An evaluation as a line of the worker's log."""
    words = {"eval_loss": "loss", "eval_rewards/accuracies": "accuracy", "eval_rewards/margins": "margin"}
    numbers = ", ".join(f"{word} {logs[key]:.4f}" for key, word in words.items() if key in logs)
    return f"{stage_title(stage)} step {step}/{steps}: held-out {numbers}"


def check_start(metrics: dict[str, float], stage: Stage, start_loss: float | None, beta: float) -> None:
    """Raises WrongReference unless an evaluation before the first step shows a policy that is its own reference.

    Rafailov et al. 2023, eq. 5 and 7: a reward is beta times a log-ratio, and all log-ratios are 0. start_loss: what
    the formula of the loss then gives; None where the data have a part in it.
    """
    loss = metrics["eval_loss"]
    # KTO logs a side of the rewards only where the held-out answers have that thumb.
    rewards = [metrics[key] for key in ("eval_rewards/chosen", "eval_rewards/rejected") if key in metrics]
    starts_right = bool(rewards) and all(abs(reward) / beta <= DRIFT_TOLERANCE for reward in rewards)
    if start_loss is not None:
        starts_right &= abs(loss - start_loss) <= LOSS_TOLERANCE * max(1.0, start_loss)
    if starts_right and math.isfinite(loss):
        return
    largest = max((abs(reward) for reward in rewards), default=math.nan)
    wanted = "a loss that is a number" if start_loss is None else _loss_label(start_loss)
    raise WrongReference(
        f"Before its first step the {stage_title(stage)} loss is {loss:.4f} and the largest reward {largest:.4f}; a model that "
        f"starts from its reference has {wanted} and 0. So the reference is not the model that training starts "
        "from, every later number would mislead, and the run was stopped. This is a fault of the workbench or of a "
        "library: please report it, with the run's folder."
    )


def _loss_label(loss: float) -> str:
    return f"ln 2 = {LN_2:.4f}" if abs(loss - LN_2) < 1e-9 else f"{loss:.4f}"
