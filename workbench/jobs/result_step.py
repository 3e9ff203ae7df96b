"""Which step of a run is its result: the last one, or the best one, by one click and back again."""

from workbench.core.errors import WorkbenchError
from workbench.core.training.run_state import State
from workbench.jobs import training
from workbench.store import best, votes
from workbench.store.runs import Run, open_run

ENDED: tuple[State, ...] = ("finished", "stopped", "failed")
"""A run that may go on has no result yet, but one that failed may never do so."""


def use_best(run_name: str) -> str:
    """Make the best step of a run its result. Says what was done. Raises WorkbenchError, with nothing changed, where it cannot."""
    run = open_run(run_name)
    with training.starts():
        _check(run)
        found = best.use_best(run)
    return f"The result of {run.name} is {found.words} now: Compare, Export and whatever starts from it take that one."


def use_last(run_name: str) -> str:
    """Make the last step its result again."""
    run = open_run(run_name)
    with training.starts():
        _check(run)
        best.use_last(run)
    return f"The result of {run.name} is its last step again."


def is_offered(run: Run, state: State) -> bool:
    """Whether the best step can be made the result, and is not."""
    return state in ENDED and best.step_of_result(run) is None and best.compared(run) is not None


def _check(run: Run) -> None:
    if (now := training.state_of(run)) not in ENDED:
        raise WorkbenchError(f"{run.name} is {now}, so its result cannot be another step. Wait until it has ended.")
    by = [vote for vote in votes.all_votes() if run.name in (vote.answerer("left").name, vote.answerer("right").name)]
    if by:
        raise WorkbenchError(
            f"{len(by):,} vote{' was' if len(by) == 1 else 's were'} given on answers of {run.name}, and would count for another model "
            "then. Nothing was changed. "
            "On the Compare page its best step is offered beside it, and can be saved there as a run of its own."
        )
