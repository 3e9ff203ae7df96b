"""Reward models: finished runs of which the result scores answers, and answers none."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.run_list import run_label
from workbench.core.training.config import ModelRef
from workbench.store.records import Damaged
from workbench.store.run_files import REWARD, RewardFacts
from workbench.store.run_notes import notes_of
from workbench.store.runs import Run, open_run, reward_runs

FACTS = "reward.json"


@dataclass(frozen=True)
class RewardModel:
    """A run that scores answers. model: its base model. max_length: what it reads of a conversation, in tokens. title: of the run."""

    name: str
    model: ModelRef
    folder: Path
    max_length: int
    facts: RewardFacts
    title: str = ""

    @property
    def label(self) -> str:
        return f"{run_label(self.name, self.title)} ({self.model.title})"

    @property
    def agreement(self) -> str:
        """How often it is right by its own held-out pairs, as a sentence; "" where nothing was measured."""
        facts = self.facts
        if facts.accuracy is None or not facts.pairs:
            return ""
        return (
            f"On {facts.pairs:,} held-out pairs of its own data it agrees with the label in {facts.accuracy:.0%} "
            f"({facts.low:.0%} to {facts.high:.0%})."
        )


def reward_models() -> list[RewardModel]:
    """All that can score, the newest first. A damaged one is left out here, and told when it is asked for by name."""
    found = []
    for run in reward_runs():
        with suppress(WorkbenchError):
            found.append(_of(run))
    return found


def open_reward_model(name: str) -> RewardModel:
    """The reward model that a run made. Raises WorkbenchError where the run has made none."""
    run = open_run(name)
    if not run.is_reward:
        names = ", ".join(one.name for one in reward_models()) or "none yet"
        raise WorkbenchError(f"{name} is no reward model: it answers, and scores nothing. Reward models: {names}.")
    if not run.has_adapter:
        raise WorkbenchError(f"The reward model {name} is not finished. Choose a run that finished or was stopped.")
    return _of(run)


def _of(run: Run) -> RewardModel:
    config = run.adjusted_config()
    try:
        facts = REWARD.read(run.adapter / FACTS)
    except Damaged as error:
        problems = [f"The reward model {run.name} cannot be used. {problem}" for problem in error.problems]
        raise WorkbenchError(*problems) from None
    if facts is None:
        raise WorkbenchError(
            f"The reward model {run.name} cannot be used: {FACTS} is missing from {run.adapter}, which says how its scores "
            "are spread. Train it again."
        )
    return RewardModel(run.name, config.model, run.adapter, config.max_length, facts, notes_of(run).title)
