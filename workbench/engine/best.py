"""Keeps the adapter of the step with the best held-out number, beside the checkpoints."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import find_batch_size

from workbench.core.monitoring.best import chosen_by, is_better, taken
from workbench.core.monitoring.metrics import latest
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import LOSS
from workbench.engine import adapters
from workbench.engine.clock import RunClock
from workbench.engine.place import Place
from workbench.store import best
from workbench.store.runs import Run


class KeepsBest(TrainerCallback):
    """Added after whatever else writes at an evaluation: the adapter that it keeps has the scale of its rewards with it."""

    def __init__(self, trainer: Any, run: Run, stage: Stage, config: RunConfig, place: Place, clock: RunClock):
        self._run, self._stage, self._config, self._place, self._clock = run, stage, config, place, clock
        self._model = trainer.model
        self._losses: list[
            Any
        ] = []  # of the batches of this evaluation, on the device: reading each would make it wait
        self._sizes: list[int] = []
        if chosen_by(stage) is LOSS:
            self._watch(trainer)

    def _watch(self, trainer: Any) -> None:
        """Note the loss of each batch that is evaluated, and how many examples it counts for."""
        known = trainer.prediction_step

        def prediction_step(model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            found = known(model, inputs, *more, **named)
            if found[0] is not None:
                self._losses.append(found[0].detach().mean())
                self._sizes.append(find_batch_size(inputs) or 1)
            return found

        trainer.prediction_step = prediction_step

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        best.forget_other_stages(self._run, self._stage)
        best.draft_of(self._run)  # makes room where a worker was killed in the middle of one
        self._forget_batches()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **_: Any
    ) -> None:
        losses, sizes = [float(loss) for loss in self._losses], list(self._sizes)
        self._forget_batches()
        value = latest([metrics or {}], chosen_by(self._stage).key)
        # The model before the first step is the one that training began with, which needs no place of its own.
        if not state.global_step or value is None or value != value or abs(value) == float("inf"):
            return
        found = taken(self._stage, state.global_step, int(args.eval_steps or 1), value, losses, sizes)
        self._place.check()  # saving would make the folder anew
        known = best.best_of(self._run)
        if is_better(found, known and known[1]):
            with self._clock.counting("checkpoints"):
                draft = best.draft_of(self._run)
                adapters.write_adapter(self._run, self._model, draft, self._config, found.words)
                best.keep(self._run, draft, found)
        best.note_last(self._run, found)

    def _forget_batches(self) -> None:
        self._losses, self._sizes = [], []
