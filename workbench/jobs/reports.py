"""Makes a report: asks everybody the same held-out prompts, and measures what they said in every way that there is.

What was measured is stored after each part, so that a stop, a closed tab or a part that fails loses nothing of the others.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from workbench.core.chat import BASE, Answerer, Sampling
from workbench.core.data.messages import Message, message
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import results
from workbench.core.report.card import card_of, summary_lines
from workbench.core.report.material import BlindVotes, Material, RewardModel, Said, Subject
from workbench.core.training.config import ModelRef
from workbench.core.training.methods import method_title
from workbench.core.training.model_card import with_report
from workbench.core.votes.result import result
from workbench.jobs import lanes, report_parts
from workbench.jobs.app_state import AppState
from workbench.jobs.prompts import with_system
from workbench.jobs.sittings import prompts_for
from workbench.store import choices, datasets, reports, votes
from workbench.store.best import rows_of_result
from workbench.store.home import shipped, write_text
from workbench.store.runs import open_run, reward_runs, round_before

MOST_SUBJECTS = 8
LEAST_PROMPTS, MOST_PROMPTS = 8, 600


@dataclass(frozen=True)
class Wanted:
    """What a report is to be of. names: runs or checkpoints, as `Answerer` has them; one that stands there twice answers with
    two seeds, which shows what chance alone does. reward: name of a reward run, "" for none. judge: a model that compares."""

    names: Sequence[str]
    prompts: int = 64
    reward: str = ""
    judge: ModelRef | None = None
    sampling: Sampling = Sampling()
    system: str = ""


@dataclass(frozen=True)
class Making:
    """How far a report is. words: what is going on. fraction: of the part that is being made."""

    material: Material
    words: str
    fraction: float = 0.0


def make(app: AppState, wanted: Wanted) -> Iterator[Making]:
    """Make a report, with progress. The last `Making` holds all that there is; it is stored.

    Raises WorkbenchError where nothing can be asked. A later part that fails is named among what is missing.
    """
    app.stop_report.clear()
    material = begin(app, wanted)
    parts: list[tuple[str, Callable[[], report_parts.Steps]]] = [
        ("The answers", lambda: report_parts.answers(app, wanted.sampling, material)),
        ("The KL from the base model", lambda: report_parts.distances(app, wanted.sampling, material)),
        ("The perplexity of a neutral text", lambda: report_parts.neutral(app, material)),
    ]
    if wanted.reward:
        parts.append(("Rewards", lambda: report_parts.rewards(app, wanted.reward, material)))
    if judge := wanted.judge:
        parts.append(("The judge's verdicts", lambda: report_parts.judgements(app, judge, material)))
    for place, (what, part) in enumerate(parts):
        try:
            steps = part()
            whole = False
            while True:
                try:
                    fraction, words = next(steps)
                except StopIteration as end:
                    material, whole = end.value
                    break
                if app.stop_report.is_set():  # also where it was said while something was loading, and nobody heard it
                    lanes.stop(app)
                yield Making(material, f"{what} (part {place + 1} of {len(parts)}): {words}", fraction)
        except WorkbenchError as error:
            if not place:
                raise
            why = f"{what} could not be measured: {' '.join(error.problems)}"
            material, whole = material.model_copy(update={"missing": [*material.missing, why]}), True
        whole = whole and (not app.stop_report.is_set() or place == len(parts) - 1)
        if not whole:
            material = material.model_copy(update={"stopped": True})
        if any(any(one.said) for one in material.subjects):
            material = reports.save(material)
        if not whole:
            break
    if not material.stopped:
        _tell_model_cards(material)
    yield Making(material, "", 1.0)


def begin(app: AppState, wanted: Wanted) -> Material:
    """A report in which nothing is measured yet. Raises WorkbenchError with all that stands against it."""
    names = [name for name in wanted.names if name]
    found = []
    if not names:
        found.append("A report is of at least one run. Choose one.")
    if len(names) >= MOST_SUBJECTS:
        found.append(
            f"A report compares at most {MOST_SUBJECTS - 1} runs with the base model, and {len(names)} were chosen."
        )
    if not LEAST_PROMPTS <= wanted.prompts <= MOST_PROMPTS:
        found.append(f"{wanted.prompts} prompts were asked for; it must be from {LEAST_PROMPTS} to {MOST_PROMPTS}.")
    if found:
        raise WorkbenchError(*found)
    answerers = [BASE, *map(Answerer, names)]
    models = {lanes.base_of(name) for name in names}
    if len(models) > 1:
        titles = " and ".join(sorted(model.title for model in models if model))
        raise WorkbenchError(
            f"A report is of runs on one base model, and these are on {titles}. Choose runs of one of them."
        )
    lanes.way_of(app, answerers)
    base = next(iter(models)) or choices.read().model
    reward = _reward_model(wanted.reward) if wanted.reward else None
    data, prompts, facts = _prompts(base, answerers, wanted)
    seeds = [wanted.sampling.seed + answerers[:place].count(one) for place, one in enumerate(answerers)]
    return Material(
        base=base.title, is_demo=base.source == "demo", data=data, facts=facts, reward=reward,
        prompts=[[dict(turn) for turn in prompt] for prompt in with_system(prompts, wanted.system)],
        sampling=wanted.sampling.model_dump(),
        subjects=[_subject(one, seed, len(prompts)) for one, seed in zip(answerers, seeds, strict=True)],
        votes=_votes(answerers, base.name),
    )  # fmt: skip


def stop(app: AppState) -> None:
    """End what is being asked; what was measured until then is the report."""
    app.stop_report.set()
    lanes.stop(app)


def _reward_model(name: str) -> RewardModel:
    """Raises WorkbenchError for a run that gives no rewards."""
    run = open_run(name)
    if not run.is_reward:
        known = ", ".join(one.name for one in reward_runs()) or "none yet"
        raise WorkbenchError(f"{name} is no reward model: it answers. Reward runs: {known}.")
    return RewardModel(name=name, data=_data_of(name), accuracy=_results(name).get("accuracy"))


def _prompts(
    base: ModelRef, answerers: Sequence[Answerer], wanted: Wanted
) -> tuple[str, list[list[Message]], list[list[str] | None]]:
    """Whose prompts they are; held-out prompts of the data of the last run, by a fixed draw; and of the demo's the words of
    right facts."""
    learned_from = _data_of(answerers[-1].run)
    demo = next((name for name in learned_from if name.startswith("demo-")), None)
    if base.source == "demo" and demo:
        lines = (shipped("assets") / "demo" / "prompts.jsonl").read_text("utf-8").splitlines()
        known = [json.loads(line) for line in lines]
        drawn = random.Random(wanted.sampling.seed).sample(known, min(wanted.prompts, len(known)))
        return demo, [[message("user", one["prompt"])] for one in drawn], [list(one["fact"]) for one in drawn]
    prompts = prompts_for("measure", answerers, wanted.prompts, wanted.sampling.seed)
    return next(iter(learned_from), ""), prompts, []


def _subject(answerer: Answerer, seed: int, prompts: int) -> Subject:
    nothing: list[Said | None] = [None] * prompts
    if answerer.is_base:
        return Subject(answerer=answerer, seed=seed, method="base model", said=nothing)
    run = open_run(answerer.run)
    config, data = run.config(), _data_of(answerer.run)
    held_out = 0
    with suppress(WorkbenchError):  # the data is gone: then its number of rows is not known
        held_out = min(run.adjusted_config().held_out_limit, datasets.about(data[0]).held_out_rows) if data else 0
    probe = run.environment().get("probes", {}).get(config.stages[-1], {})
    return Subject(
        answerer=answerer, seed=seed, method=method_title(config.method), data=data, held_out=held_out,
        # A checkpoint is another model than the one that the run ended with and measured.
        results={} if answerer.checkpoint else _results(answerer.run),
        rewarded_by=getattr(config.own(config.stages[-1]), "reward_run", ""), seconds=_seconds(answerer.run), memory=probe.get("needed"), said=nothing,
    )  # fmt: skip


def _results(run_name: str) -> dict[str, float]:
    run = open_run(run_name)
    config = run.config()
    return {
        one.result.name: one.value
        for one in results(rows_of_result(run, run.log().rows), config)
        if one.stage == config.stages[-1]
    }


def _data_of(run_name: str) -> list[str]:
    """Every dataset that a run learned from, and the runs that it went on from: the last one first."""
    found: list[str] = []
    name: str | None = run_name
    seen: set[str] = set()
    while name and name not in seen:
        seen.add(name)
        config = open_run(name).config()
        found += [data for stage in reversed(config.stages) if (data := config.data_of(stage))]
        name = round_before(name)
    return list(dict.fromkeys(found))


def _seconds(run_name: str) -> float | None:
    """How long it trained, stage by stage from the first line to the last; None where that is not in its log."""
    times: dict[str, list[float]] = {}
    for row in open_run(run_name).log().rows:
        if "stage" in row and "time" in row:
            times.setdefault(row["stage"], []).append(row["time"])
    return sum(max(of_stage) - min(of_stage) for of_stage in times.values()) if times else None


def _votes(answerers: Sequence[Answerer], base: str) -> list[BlindVotes]:
    """What blind votes say of each two."""
    given = [vote for vote in votes.all_votes() if vote.base == base]
    found = []
    for second in range(len(answerers)):
        for first in range(second):
            told = result(given, answerers[second], answerers[first])
            if told.wins + told.ties + told.losses:
                found.append(BlindVotes(first=first, second=second, result=told))
    return found


def _tell_model_cards(material: Material) -> None:
    """Write what it found into the model card of each run, in place of what an earlier report said there."""
    card = card_of(material)
    for place, subject in enumerate(material.subjects):
        at = subject.answerer
        if at.is_base or at.checkpoint or at.strength != 1:
            continue
        file = open_run(at.run).adapter / "README.md"
        with suppress(
            OSError, UnicodeDecodeError, WorkbenchError
        ):  # a card that nobody can write to is worth no report
            write_text(file, with_report(file.read_text("utf-8"), material.time[:10], summary_lines(card, place)))
