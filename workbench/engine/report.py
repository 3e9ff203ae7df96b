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
from workbench.core.monitoring.health import examine, wrong_start
from workbench.core.monitoring.progress import MOST_BETWEEN_CHECKPOINTS
from workbench.core.training.config import Stage
from workbench.core.training.methods import METHODS, stage_title
from workbench.core.training.settings import ReferenceSettings, StageSettings
from workbench.engine.answers import stage_facts
from workbench.engine.clock import RunClock
from workbench.engine.generate import end_tokens
from workbench.engine.journal import log_numbers
from workbench.engine.meter import Meter
from workbench.engine.mirror import MirrorThread
from workbench.engine.samples import Samples, Score
from workbench.engine.trouble import Diverged
from workbench.store import checkpoints
from workbench.store.home import write_json
from workbench.store.metrics_file import read_digest
from workbench.store.runs import Outcome, Run

# The rules are quick, but not for nothing: early on they look at each step, later at some.
LOOKED_AT_EACH = 200
LOOK_EVERY = 20

MOST_DIVERGENCE = 1e-3  # nats per token before the first step: two passes in 16 bits round in different ways


class WrongReference(WorkbenchError):
    """The stage did not start from its reference model."""


class ReportCallback(TrainerCallback):
    """Writes down a stage as it goes, line by line."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        checkpoint_steps: int,
        prompts: Sequence[list[Message]] = (),
        score: Score | None = None,
        mirror: MirrorThread | None = None,
        clock: RunClock | None = None,
    ):
        """prompts: what the model answers at each evaluation. score: what those answers are worth. mirror: gets every row too."""
        self.run = run
        self.stage = stage
        self.checkpoint_steps = checkpoint_steps
        self.thumbs: Sequence[bool] = ()  # of the held-out answers, where each has one
        # Online the reward that counts is `score`.
        beta = None if METHODS[stage].online else run.adjusted_config().beta_of(stage)
        self.samples = Samples(run, stage, prompts, score, beta)
        self.saved = time.monotonic()
        self.stepped = False  # whether this life of the worker has taken a step
        self.ended: Outcome | None = None  # "stopped" or "paused", where a person asked for it
        self.mirror = mirror
        self.digest = read_digest(run.metrics_file)
        self.told: set[str] = set()  # rules about health that spoke already
        self.meter = Meter()
        self.clock = clock or RunClock(run)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None,
        train_dataloader: Any = None, processing_class: Any = None, **_: Any,
    ):  # fmt: skip
        if state.global_step == 0 and train_dataloader is not None:
            # Not args.max_length, which Unsloth sets to None where it packs rows without padding.
            most = self.run.adjusted_config().max_length
            facts = stage_facts(train_dataloader.dataset, most, end_tokens(model, processing_class))
            self._log(0, state.max_steps, facts)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        self.clock.begin("steps")
        self.meter.begin()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any):
        logs = logs or {}
        if "loss" in logs:
            logs = logs | self.meter.measure(logs.get("num_tokens"))
        self._log(state.global_step, state.max_steps, logs)
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

    def _log(self, step: int, steps: int, numbers: dict[str, Any]) -> None:
        """A line of metrics.jsonl, for the rules and for the mirror too."""
        row = log_numbers(self.run, self.stage, step, steps, numbers)
        self.digest.add(row)
        if self.mirror:
            self.mirror.add(row)

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
        method = METHODS[self.stage]
        if method.online and state.global_step == 0:
            check_no_divergence(metrics, self.stage)
        elif method.has_reference and state.global_step == 0:
            check_start(metrics, self.stage, self.run.adjusted_config().own(self.stage), self.thumbs)
        is_last = state.global_step >= state.max_steps
        with self.clock.counting("samples"):
            facts = self.samples.facts_at(state.global_step, model, processing_class, is_last=is_last)
        if facts:
            self._log(state.global_step, state.max_steps, facts)
            if state.global_step:
                self._look()

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        self.clock.note()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        self.stepped = True
        self.clock.note()
        late = time.monotonic() - self.saved > MOST_BETWEEN_CHECKPOINTS
        control.should_save = late or state.global_step % self.checkpoint_steps == 0
        if self.run.stop_file.exists():
            self.ended = "paused" if self.run.is_to_pause else "stopped"
            control.should_save = self.ended == "paused"
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        draft = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        with self.clock.counting("checkpoints"):
            checkpoints.keep(self.run, self.stage, state.global_step, draft)
        self.saved = time.monotonic()


class KeepsQuality(TrainerCallback):
    """Writes down how good a reward model is on held-out pairs, with the scale of its scores, at each evaluation."""

    def __init__(self, trainer: Any, run: Run):
        self._trainer, self._run = trainer, run

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any):
        if found := self._trainer.quality:
            write_json(self._run.reward_file, found.as_dict() | {"step": state.global_step})


def in_a_line(stage: Stage, step: int, steps: int, logs: dict[str, float]) -> str:
    """An evaluation as a line of the worker's log."""
    shown = [one for one in METHODS[stage].results if one.key in logs]
    numbers = ", ".join(f"{one.name} {logs[one.key]:.4f}" for one in shown)
    return f"{stage_title(stage)} step {step}/{steps}: held-out {numbers}"


def check_no_divergence(metrics: dict[str, float], stage: Stage) -> None:
    """Raises WrongReference unless an evaluation before the first step shows a policy that is its own reference."""
    found = metrics.get("eval_kl")
    if found is None or not abs(found) <= MOST_DIVERGENCE:
        raise WrongReference(
            f"{stage_title(stage)}: before the first step the policy is {found} nats per token away from its reference, which should "
            "be 0. So the reference is not the model that training starts from, and the run was stopped. This is a fault of the "
            "workbench or of a library: please report it, with the run's folder."
        )


def check_start(metrics: dict[str, float], stage: Stage, own: StageSettings, thumbs: Sequence[bool] = ()) -> None:
    """Raises WrongReference unless an evaluation before the first step shows a policy that is its own reference."""
    assert isinstance(own, ReferenceSettings), "asked of methods that have a reference"
    if told := wrong_start(metrics, own.beta, own.start_loss(thumbs)):
        raise WrongReference(
            f"{stage_title(stage)}: {told} So the reference is not the model that training starts from, every later number "
            "would mislead, and the run was stopped. This is a fault of the workbench or of a library: please report it, "
            "with the run's folder."
        )
