"""Sweeps: runs that differ in one setting, put into the queue together, and what came of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.run_log import RunLog
from workbench.core.monitoring.sweep_result import Point, figures, in_nats
from workbench.core.training.config import RunConfig
from workbench.core.training.evaluating import settle_evaluations
from workbench.core.training.forks import Fork
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import planned_steps
from workbench.core.training.sweep import (
    Member,
    Sweep,
    parsed,
    raise_all,
    run_names,
    shares_reference,
    swept,
    value_label,
)
from workbench.jobs import queue, training
from workbench.jobs.situation import refuse_where_nothing_trains
from workbench.store import datasets, run_data, sweeps
from workbench.store.runs import Run, all_runs

# How many earlier runs are asked what their reference cost.
RUNS_TO_LEARN_FROM = 20


class Planned(NamedTuple):
    """A sweep that can be queued: its runs, in the order in which they are trained."""

    sweep: Sweep
    configs: list[RunConfig]


class Saved(NamedTuple):
    """What sharing a reference saves. answers, seconds: what asking for all of them takes one run. run: that was timed.
    readers: runs that asked for none of them."""

    answers: int
    seconds: float
    run: str
    readers: int = 0


def plan(values: Mapping[str, Any], setting: str, text: str, stem: str, fork: Fork | None = None) -> Planned:
    """The runs of a sweep over the values that a person wrote, checked as if each of them began now.

    values: nested settings of all of them. stem: what their names begin with. Raises WorkbenchError with all that stands
    against any of them; nothing is stored.
    """
    chosen = parsed(setting, text, str(values.get("method", "")))
    names = run_names(stem, setting, chosen, sweeps.taken_names())
    configs = swept(values, setting, chosen, names)
    problems = {}
    coming = queue.coming()
    for value, config in zip(chosen, configs, strict=True):
        try:
            training.check(config, fork, coming)
        except WorkbenchError as error:
            problems[value_label(value)] = error.problems
    raise_all(setting, problems, len(chosen))
    members = [Member(run=config.name, value=value) for config, value in zip(configs, chosen, strict=True)]
    return Planned(Sweep(setting=setting, members=members), _measured_alike(configs))


def _measured_alike(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """With the evaluations that the shortest of them affords, where that is left open: their numbers are to be compared."""
    settled = []
    for config in configs:
        rows = {stage: datasets.about(config.data_of(stage) or "").train_rows for stage in config.stages}
        settled.append(settle_evaluations(config, rows)[0])
    fewest = min(settled, key=lambda one: tuple(one.values()))
    return [config.model_copy(update=fewest) for config in configs]


def add(planned: Planned, fork: Fork | None = None, keeper: Sequence[str] = queue.KEEPER) -> Sweep:
    """Put all runs of a sweep into the queue, and write down that they belong together: all of it, or nothing.

    Raises WorkbenchError as `queue.add_all`.
    """
    refuse_where_nothing_trains()
    # First: runs that train without a record would be no sweep, and a record without runs is only an empty one.
    sweep = sweeps.save(planned.sweep)
    try:
        queue.add_all(planned.configs, fork, keeper)
    except BaseException:
        sweeps.forget(sweep)
        raise
    return sweep


def points(sweep: Sweep, read: Callable[[Run], RunLog] = Run.log) -> list[Point]:
    """What is known of each value, in the order of the chart. read: the log of a run.

    Margins are in nats where the runs have several betas.
    """
    found, betas = [], []
    for member in sweep.ordered:
        point, beta = _point(sweep, member, read)
        found.append(point)
        betas.append(beta)
    known = {beta for beta in betas if beta}
    return in_nats(found, betas) if len(known) > 1 else found


def has_several_betas(sweep: Sweep) -> bool:
    """Whether `points` gives margins in nats."""
    runs = [run for member in sweep.members if (run := sweeps.run_of(sweep, member))]
    return len({_beta(run.config()) for run in runs}) > 1


def _point(sweep: Sweep, member: Member, read: Callable[[Run], RunLog]) -> tuple[Point, float | None]:
    run = sweeps.run_of(sweep, member)
    if run is None:
        return Point(member.value, member.run, "gone"), None
    state = training.state_of(run)
    if state == "unreadable":
        return Point(member.value, member.run, state), None
    config, rows = run.config(), read(run).rows
    last = next((row for row in reversed(rows) if "step" in row), {})
    found = figures(rows, config, held_out_rows(run, config))
    return Point(member.value, member.run, state, found, last.get("step", 0), last.get("steps", 0)), _beta(config)


def held_out_rows(run: Run, config: RunConfig) -> int:
    """How many held-out examples each evaluation of a run's last stage measures, at most; 0 where nobody noted it."""
    about = run_data.noted(run, config.stages[-1])
    return min(about.held_out_rows, run.adjusted_config().held_out_limit) if about else 0


def shared_reference(sweep: Sweep) -> Saved | None:
    """What one run of a sweep took to ask its reference, which the others read; None where nothing was shared, or not yet."""
    runs = [run for member in sweep.members if (run := sweeps.run_of(sweep, member))]
    facts = {run.name: run.environment().get("reference", {}) for run in runs}
    readers = [name for name, one in facts.items() if one.get("read") and not one.get("computed")]
    asked = _cost(facts)
    return asked._replace(readers=len(readers)) if asked and readers else None


def expected_sharing(planned: Planned) -> Saved | None:
    """What each run but the first need not spend on its reference, by what an earlier run of this model took for an answer.

    None where nothing will be shared, and where no earlier run says what it costs.
    """
    config = planned.configs[0]
    if not will_share(planned):
        return None
    stage = config.stages[-1]
    timed = _cost({run.name: run.environment().get("reference", {}) for run in _of_same_model(config)})
    if timed is None:
        return None
    about = datasets.about(config.data_of(stage) or "")
    trained = min(about.train_rows, planned_steps(config, stage, about.train_rows) * config.effective_batch)
    rows = trained + min(about.held_out_rows, config.held_out_limit)
    answers = rows * METHODS[stage].sequences  # of KTO also the mismatched ones
    return Saved(answers, answers * timed.seconds / timed.answers, timed.run)


def will_share(planned: Planned) -> bool:
    """Whether the runs of a sweep have one reference."""
    return shares_reference(planned.configs[0], planned.sweep.setting)


def _cost(facts: Mapping[str, Mapping[str, int]]) -> Saved | None:
    """The run that computed most, with what that took it."""
    timed = {name: one for name, one in facts.items() if one.get("computed") and one.get("milliseconds")}
    name = max(timed, key=lambda one: timed[one]["computed"], default="")
    return Saved(timed[name]["computed"], timed[name]["milliseconds"] / 1000, name) if name else None


def _of_same_model(config: RunConfig) -> Iterable[Run]:
    for run in all_runs()[:RUNS_TO_LEARN_FROM]:
        try:
            same = run.config().model == config.model and run.config().precision == config.precision
        except WorkbenchError:
            continue
        if same:
            yield run


def _beta(config: RunConfig) -> float | None:
    return config.beta_of(config.stages[-1])
