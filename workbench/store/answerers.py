"""What can be chosen to answer: runs with an adapter, and the checkpoints that they keep; and where its adapter lies."""

from dataclasses import dataclass
from pathlib import Path

from workbench.core.chat import Answerer
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.run_list import run_label
from workbench.core.training.config import ModelRef
from workbench.store import best, checkpoints
from workbench.store.adapter_files import WEIGHTS, why_alone
from workbench.store.checkpoints import Checkpoint
from workbench.store.run_notes import notes_of
from workbench.store.runs import Run, all_runs, model_of, open_run


@dataclass(frozen=True)
class Offered:
    """An adapter that can answer. name: see `Answerer`. title: of its run."""

    name: str
    model: ModelRef
    title: str = ""

    @property
    def label(self) -> str:
        return f"{run_label(Answerer(self.name).label, self.title)} ({self.model.title})"


def offered() -> list[Offered]:
    """Every adapter that can answer, the newest run first: what it ended with, and the checkpoints it keeps, newest first.

    A run that trains has some too.
    """
    found: list[Offered] = []
    for run in all_runs():
        model = model_of(run)
        if model is None or run.is_reward:
            continue
        title = notes_of(run).title
        if run.has_adapter:
            found.append(Offered(run.name, model, title))
        found += [Offered(f"{run.name}@{at.stage}-{at.step}", model, title) for at in _steps_of(run)]
    return found


def _steps_of(run: Run) -> list[Checkpoint]:
    """The steps that a run keeps, its best one among them, newest first."""
    kept = [at for at in checkpoints.whole(run, at_a_glance=True) if (at.folder / WEIGHTS).is_file()]
    found = best.best_of(run)
    if found and all((at.stage, at.step) != (found[0].stage, found[0].step) for at in kept):
        kept.append(found[0])
    return kept


def adapter_folder(answerer: Answerer) -> Path | None:
    """Where the adapter lies; None for the base model. Raises WorkbenchError where there is none, or none any more."""
    if not answerer.name:
        return None
    run, at = open_run(answerer.run), answerer.checkpoint
    if run.is_reward:
        raise WorkbenchError(
            f"The run {run.name} is a reward model: it scores answers and writes none. Choose another one."
        )
    if at is None:
        if not run.has_adapter:
            raise WorkbenchError(f"The run {run.name} has no adapter yet. Choose a run that finished or was stopped.")
        return run.adapter
    for kept in _steps_of(run):
        if (kept.stage, kept.step) == (at.stage, at.step):
            return kept.folder
    raise WorkbenchError(
        f"The checkpoint at {at.words} is gone: a run keeps its {checkpoints.KEPT} newest ones until it is finished, and its "
        "best one. Choose another one, or the run itself."
    )


def answers_alone(answerer: Answerer) -> str:
    """Why an adapter cannot share a batch with others, as the end of a sentence; "" where it can. Raises as `adapter_folder`."""
    folder = None if answerer.is_base else adapter_folder(answerer)
    return why_alone(folder, f"the adapter of {answerer.run}") if folder else ""


def beta_of(answerer: Answerer) -> float | None:
    """The beta of the run's last stage, or of its checkpoint's; None where it was not measured against a reference."""
    config = open_run(answerer.run).config()
    stage = answerer.checkpoint.stage if answerer.checkpoint else config.stages[-1]
    return config.beta_of(stage)


def thinks(answerer: Answerer) -> bool:
    """Whether it is to think before it answers, as its run was trained to; the base model is not."""
    return bool(answerer.name) and open_run(answerer.run).config().thinking
