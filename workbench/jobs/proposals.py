"""Runs that can follow a run: the same again, with what its health suggests, longer, or from one of its checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import RunFinding, examine, with_changes
from workbench.core.training.both_ways import against
from workbench.core.training.config import RunConfig
from workbench.core.training.forks import Fork, more_epochs
from workbench.core.training.methods import BOTH_WAYS, METHODS
from workbench.jobs import training
from workbench.jobs.app_state import AppState
from workbench.store import presets
from workbench.store.forks import fork_of, forks_of, forks_of_model, newest_before
from workbench.store.runs import Run, free_name, open_run, runs_to_start_from

FollowUp = Literal["again", "better", "better-from", "branch", "more", "against"]


@dataclass(frozen=True)
class Proposal:
    """Settings for a run that nobody has started yet. start_from: a run, or a checkpoint as `Fork.written` names it."""

    config: RunConfig
    start_from: str | None


def findings_of(app: AppState, run: Run) -> list[RunFinding]:
    """What the rules about health say of a run now; nothing where its settings cannot be read, or not all of it was read."""
    reading = app.read(run)
    if not reading.is_whole:
        return []
    try:
        return examine(reading.log.rows, run.adjusted_config(), run.environment().get("plan", {}))
    except WorkbenchError:
        return []


def when_first_said(run: Run, findings: Sequence[RunFinding]) -> list[RunFinding]:
    """The same findings, at the step at which each was first said: a rule looks at every row anew, and says the newest."""
    first = run.first_said()
    return [one.model_copy(update={"step": first.get((one.rule, one.stage), one.step)}) for one in findings]


def suggested(findings: Sequence[RunFinding]) -> RunFinding | None:
    """The gravest finding that suggests other settings; None where there is none."""
    return next((finding for finding in findings if finding.changes), None)


def better_fork(run: Run, findings: Sequence[RunFinding]) -> Fork | None:
    """The newest checkpoint before the trouble from which the suggested settings can go on; None where there is none."""
    finding = suggested(findings)
    fork = newest_before(run, finding.stage, finding.from_step) if finding and finding.from_step else None
    if not finding or not fork:
        return None
    try:
        training.check(with_changes(run.adjusted_config(), finding, run.name), fork)
    except WorkbenchError:
        return None
    return fork


def better_config(app: AppState, run: Run) -> RunConfig:
    """The settings of a run with what its health suggests, under a free name."""
    finding = suggested(findings_of(app, run))
    if finding is None:
        raise WorkbenchError("Nothing is suggested for this run any more.")
    return with_changes(run.adjusted_config(), finding, free_name(run.name))


def _again(app: AppState, run: Run) -> Proposal:
    config, fork = run.config(), fork_of(run)
    start_from = fork.written if fork and fork in forks_of_model(config.model) else config.start_from
    return Proposal(_renamed(config), start_from)


def _better(app: AppState, run: Run) -> Proposal:
    config = better_config(app, run)
    return Proposal(config, config.start_from)


def _better_from(app: AppState, run: Run) -> Proposal:
    fork = better_fork(run, findings_of(app, run))
    if fork is None:
        raise WorkbenchError(f"{run.name} has no checkpoint from before the trouble any more.")
    return Proposal(better_config(app, run), fork.written)


def _branch(app: AppState, run: Run) -> Proposal:
    fork = next(iter(forks_of(run)), None)
    if fork is None:
        raise WorkbenchError(f"{run.name} has no checkpoint any more.")
    return Proposal(_renamed(run.adjusted_config()), fork.written)


def _more(app: AppState, run: Run) -> Proposal:
    return Proposal(more_epochs(run.adjusted_config(), free_name(run.name)), run.name)


def _against(app: AppState, run: Run) -> Proposal:
    """A reward model as the judge of a run from the newest one that imitates, or else from the base model."""
    config, stage = run.config(), BOTH_WAYS[-1]
    starts = [(one.name, one.config()) for one in runs_to_start_from(config.model)]
    start = next((name for name, one in starts if METHODS[one.stages[-1]].imitates), None)
    name = free_name(f"{run.name[:50]}-{stage}")
    return Proposal(against(config, name, start, presets.measured(config.model, stage)), start)


def _renamed(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"name": free_name(config.name)})


PROPOSALS: Mapping[FollowUp, Callable[[AppState, Run], Proposal]] = {
    "again": _again,
    "better": _better,
    "better-from": _better_from,
    "branch": _branch,
    "more": _more,
    "against": _against,
}
"""What the Watch page offers for a run: the same settings, the suggested ones from the beginning or from the newest
checkpoint before the trouble, its newest checkpoint to change something there, two more epochs, and of a reward model a run that
trains against it."""


def proposal_for(app: AppState, follow_up: FollowUp, run_name: str | None) -> Proposal:
    """What the Watch page offers for the run that is chosen there. Raises WorkbenchError where none is."""
    if not run_name:
        raise WorkbenchError("Choose a run first.")
    return PROPOSALS[follow_up](app, open_run(run_name))
