"""The list of all runs: what their files say, read once for each change, with their states and what blind votes say of them."""

import math
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.chat import Answerer
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.run_list import Relation, RunFacts, RunRow, WinRate
from workbench.core.training.config import RunConfig
from workbench.core.training.methods import METHODS, method_title
from workbench.core.votes.result import measured, win_rate
from workbench.jobs.survey import Survey
from workbench.store import best, datasets, run_notes, votes
from workbench.store.forks import fork_of
from workbench.store.metrics_file import ending
from workbench.store.runs import Run, runs_folder
from workbench.store.signed_facts import WORTH_KEEPING, Signature, read_signed, write_signed
from workbench.store.trash import size_of

_KEPT = "run-facts"


class Listing(NamedTuple):
    """version: another number for anything else in the rows."""

    version: int
    rows: tuple[RunRow, ...]


_Known = dict[str, tuple[Signature, RunFacts]]


class RunRows:
    """What was read of the runs, for all pages and tabs."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._known: _Known = {}
        self._folder: Path | None = None
        self._seen: tuple[object, ...] = ()
        self._listing = Listing(0, ())
        self._votes: tuple[object, dict[tuple[str, str], WinRate]] = (None, {})

    def now(self, survey: Survey) -> Listing:
        """A row of each run, in the order of the survey; the same where nothing changed."""
        with self._reading:
            running = survey.running
            logged = _stat(running.metrics_file) if running else None
            seen = survey.signatures, survey.states, logged, _stat(votes.path())
            if seen != self._seen:
                self._listing = Listing(self._listing.version + 1, self._read(survey, logged))
                self._seen = seen
            return self._listing

    def _read(self, survey: Survey, logged: tuple[int, int, int] | None) -> tuple[RunRow, ...]:
        self._remember()
        rates = self._win_rates()
        sources: dict[str, tuple[str, ...]] = {}
        known: _Known = {}
        fresh = 0
        for run in survey.runs:
            signature = survey.signatures[run.name]
            if survey.states[run.name] == "running":
                signature = (*signature, logged)
            before = self._known.get(run.name)
            if before is None or before[0] != signature:
                fresh += 1
                before = signature, facts_of(run, sources)
            known[run.name] = before
        self._known = known
        if fresh >= WORTH_KEEPING:
            write_signed(_KEPT, {name: (signature, vars(facts)) for name, (signature, facts) in known.items()})
        return tuple(
            RunRow(
                run.name,
                survey.states[run.name],
                survey.made[run.name],
                facts := known[run.name][1],
                rates.get((facts.base, run.name)),
            )
            for run in survey.runs
        )

    def _remember(self) -> None:
        """Begin with what an earlier process read."""
        if self._folder != (folder := runs_folder()):
            self._folder = folder
            with suppress(TypeError, KeyError, ValueError):
                self._known = {
                    name: (signature, _facts(told)) for name, (signature, told) in read_signed(_KEPT).items()
                }

    def _win_rates(self) -> dict[tuple[str, str], WinRate]:
        """By base model and name of the run."""
        now = _stat(votes.path())
        if now is None or self._votes[0] != now:
            self._votes = now, win_rates()
        return self._votes[1]


def win_rates() -> dict[tuple[str, str], WinRate]:
    """What blind votes say of every run against its base model, by that model and the name of the run."""
    scores: dict[tuple[str, str], list[float]] = {}
    try:
        given = measured(votes.all_votes())
    except WorkbenchError:  # the Compare page says so
        return {}
    for vote in given:
        left, right = vote.answerer("left"), vote.answerer("right")
        if left.is_base != right.is_base:
            which, score = (right, 1 - vote.score) if left.is_base else (left, vote.score)
            if which == Answerer(which.run):  # as it ended, at full strength
                scores.setdefault((vote.base, which.run), []).append(score)
    found = {}
    for key, of_run in scores.items():
        told = win_rate(of_run.count(1.0), of_run.count(0.5), of_run.count(0.0))
        found[key] = WinRate(told.rate, told.low, told.high, len(of_run))
    return found


def facts_of(run: Run, sources: dict[str, tuple[str, ...]] | None = None) -> RunFacts:
    """What the files of a run say of it. sources: of each dataset the runs whose answers were voted on, as far as is known."""
    notes, size = run_notes.notes_of(run), size_of(run.folder)
    told: dict[str, Any] = {"bytes": size, "title": notes.title, "note": notes.note, "tags": notes.tags}
    try:
        config = run.config()  # what is adjusted on the way is nothing that the list tells
    except WorkbenchError:
        return RunFacts(**told)
    stage = config.stages[-1]
    data = dict.fromkeys(config.data_of(one) or "" for one in config.stages)
    measures = {result.key: result.name for result in METHODS[stage].results}
    at = best.step_of_result(run)
    until = at.step if at and at.stage == stage else math.inf
    values, seconds = ending(run.metrics_file, stage, list(measures), until)
    return RunFacts(
        base=config.model.name,
        method=method_title(config.method),
        data=", ".join(filter(None, data)),
        beta=_beta(config),
        results={measures[key]: value for key, value in values.items()},
        seconds=seconds,
        relations=_relations(run, config, sources if sources is not None else {}, trained=seconds is not None),
        **told,
    )


def _beta(config: RunConfig) -> float | None:
    """Of the last stage, whatever beta is there: of SimPO too, which has no reference."""
    beta = getattr(config.own(config.stages[-1]), "beta", None)
    return None if beta is None else float(beta)


def _relations(run: Run, config: RunConfig, sources: dict[str, tuple[str, ...]], trained: bool) -> tuple[Relation, ...]:
    """trained: whether it worked at all; of one that did not, what else it was made of is looked up."""
    found = []
    with suppress(WorkbenchError):  # the run reads as damaged then
        if fork := fork_of(run):
            found.append(Relation("branched", fork.run, f"step {fork.step:,}"))
    if config.start_from and not found:
        found.append(Relation("continued", config.start_from))
    if not trained and (scaled := run.scaled()):
        found = [Relation("scaled", Answerer(scaled.name).run, f"at strength {scaled.strength:g}")]
    for data in dict.fromkeys(config.data_of(stage) or "" for stage in config.stages):
        if data not in sources:
            sources[data] = _voted_on(data)
        found += [Relation("votes", name) for name in sources[data]]
    judges = dict.fromkeys(config.own(stage).reward_run_name() for stage in config.stages)
    return (*found, *(Relation("reward", name) for name in judges if name))


def _voted_on(data: str) -> tuple[str, ...]:
    try:
        return votes.voted_on(datasets.about(data).source)
    except WorkbenchError:
        return ()


def _facts(told: Mapping[str, Any]) -> RunFacts:
    relations = tuple(Relation(*one) for one in told["relations"])
    return RunFacts(**{**told, "tags": tuple(told["tags"]), "relations": relations})


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
