"""The table of charts, and how a run becomes all of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from workbench.core.monitoring.charts import every_stage, losses, online, preference
from workbench.core.monitoring.charts.curves import Curves, Drawn
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.metrics import FORKED
from workbench.core.monitoring.readings import Reading
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS, stage_title

_OF_METHODS: dict[str, tuple[str, Callable[[Curves], Drawn]]] = {
    "sft-loss": ("Is it learning to imitate the answers?", losses.imitation_loss),
    "dpo-loss": ("Does it tell better from worse?", losses.paired_loss),
    "reward-loss": ("Does it score better answers higher?", losses.reward_loss),
    "reward": ("Do its answers get better, as the reward sees it?", online.reward),
    "divergence": ("How far has it gone from where it began?", online.divergence),
    "answer-length": ("How long are its answers?", online.answer_length),
    "ending": ("Do its answers come to an end?", online.ending),
    "spread": ("Is there anything to learn from?", online.spread),
    "kto-loss": ("Does it tell liked from disliked?", losses.single_loss),
    "margin": ("Is it learning the preference?", preference.margin),
    "accuracy": ("How often does it prefer the right answer?", preference.accuracy),
    "rewards": ("What moves: the chosen or the rejected answers?", preference.rewards),
    "margin-nats": ("How large is the margin, whatever beta is?", preference.margin_in_nats),
    "log-probabilities": ("How likely does it find the answers?", preference.log_probabilities),
    "drift": ("How far is it from its reference?", preference.drift),
    "score-spread": ("How far apart are its scores?", online.score_spread),
}
"""Id -> title, and how it is drawn. Which of them a method has stands in the table of methods."""

_OF_SEVERAL: dict[str, tuple[str, Callable[[Sequence[Curves]], Drawn]]] = {
    "entropy": ("How sure is it of each token?", every_stage.entropy),
}
"""The same of charts that all stages share which have them in the table of methods."""

_OF_EVERY_STAGE: dict[str, tuple[str, Callable[[Sequence[Curves]], Drawn]]] = {
    "learning-rate": ("How large are the steps?", every_stage.learning_rate),
    "gradient-norm": ("Is training stable?", every_stage.gradient_norm),
    "speed": ("How fast is it?", every_stage.speed),
    "memory": ("Does it stay within its memory?", every_stage.memory),
}
"""The same of charts that every stage has."""

_TITLES = {ident: title for ident, (title, _) in (_OF_METHODS | _OF_SEVERAL | _OF_EVERY_STAGE).items()}

CHART_IDS = tuple(_TITLES)


def charts(
    log: RunLog,
    plan: dict[Stage, int],
    config: RunConfig | None = None,
    findings: Sequence[RunFinding] = (),
    forecasts: Mapping[str, int] | None = None,
) -> dict[str, dict[str, Any]]:
    """The charts of a run, by id. A stage that the run does not have leaves its charts without lines.

    Steps count through all stages of a run, so that one axis serves all charts. config: without it what goes by beta is not
    drawn. findings: become marks at their step. forecasts: bytes that a stage needs at most, where that is known.
    """
    stages = _stages(log, plan, config, forecasts or {})
    offsets = {stage: curves.offset for stage, curves in stages.items()}
    marks = [*_forks(log, offsets), *_found(findings, offsets)]
    later = [{"x": offsets[stage], "label": f"{stage_title(stage)} starts"} for stage in list(plan)[1:]]
    drawn = {}
    for ident, found in _drawn(stages):
        between = later if found and ident not in _OF_METHODS else []
        drawn[ident] = _chart(ident, [*between, *marks], **found)
    return drawn


def readings(log: RunLog, plan: dict[Stage, int], config: RunConfig | None = None) -> dict[str, Reading]:
    """What is read of the charts that have lines, by their ids."""
    found = _drawn(_stages(log, plan, config, {}))
    return {ident: one["reading"] for ident, one in found if any(line["points"] for line in one.get("lines", ()))}


def _stages(
    log: RunLog, plan: dict[Stage, int], config: RunConfig | None, forecasts: Mapping[str, int]
) -> dict[Stage, Curves]:
    offsets = {stage: sum(list(plan.values())[:place]) for place, stage in enumerate(plan)}
    return {stage: Curves(log, stage, offset, config, forecasts.get(stage)) for stage, offset in offsets.items()}


def _drawn(stages: Mapping[Stage, Curves]) -> Iterator[tuple[str, Drawn]]:
    """Each chart by its id; nothing of one that no stage has."""
    for ident, (_, draw) in _OF_METHODS.items():
        own = next((curves for curves in stages.values() if ident in curves.method.charts), None)
        yield ident, draw(own) if own else {}
    for ident, (_, of_several) in (_OF_SEVERAL | _OF_EVERY_STAGE).items():
        every = ident in _OF_EVERY_STAGE
        shared = [curves for curves in stages.values() if every or ident in curves.method.charts]
        yield ident, of_several(shared) if shared else {}


def drawn_by(stages: Iterable[Stage]) -> tuple[str, ...]:
    """The ids of the charts that a run with these stages has something for."""
    own = {ident for stage in stages for ident in METHODS[stage].charts}
    return tuple(ident for ident in CHART_IDS if ident in own or ident in _OF_EVERY_STAGE)


def _forks(log: RunLog, offsets: dict[Stage, int]) -> list[dict[str, Any]]:
    return [
        {"x": offsets.get(row[FORKED]["stage"], 0) + row[FORKED]["step"], "label": "branched off"}
        for row in log.rows
        if FORKED in row
    ]


def _found(findings: Sequence[RunFinding], offsets: dict[Stage, int]) -> list[dict[str, Any]]:
    return [
        {"x": offsets[one.stage] + one.step, "label": one.title, "severity": one.severity}
        for one in findings
        if one.stage in offsets
    ]


def _chart(
    ident: str, marks: list[dict[str, Any]], measure: str = "", lines: Sequence[dict[str, Any]] = (),
    reading: Reading | None = None, references: Sequence[dict[str, Any]] = (), log: bool = False,
) -> dict[str, Any]:  # fmt: skip
    kept = [one for one in lines if one["points"]]
    return {
        "id": ident, "title": _TITLES[ident], "measure": measure, "unit": "", "x": "step", "references": list(references),
        "lines": kept, "marks": marks, "reading": reading.text if reading and kept else "", **({"log": True} if log else {}),
    }  # fmt: skip
