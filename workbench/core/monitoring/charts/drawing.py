"""The table of charts, and how a run becomes all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from workbench.core.monitoring.charts import every_stage, losses, online, preference
from workbench.core.monitoring.charts.curves import Curves, Drawn
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.metrics import FORKED
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

CHART_IDS = (*_OF_METHODS, *_OF_SEVERAL, *_OF_EVERY_STAGE)


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
    offsets = {stage: sum(list(plan.values())[:place]) for place, stage in enumerate(plan)}
    stages = {
        stage: Curves(log, stage, offset, config, (forecasts or {}).get(stage)) for stage, offset in offsets.items()
    }
    marks = [*_forks(log, offsets), *_found(findings, offsets)]
    later = [{"x": offsets[stage], "label": f"{stage_title(stage)} starts"} for stage in list(plan)[1:]]
    drawn = {}
    for ident, (title, draw) in _OF_METHODS.items():
        own = next((curves for curves in stages.values() if ident in curves.method.charts), None)
        drawn[ident] = _chart(ident, title, marks, **draw(own) if own else {})
    for ident, (title, of_several) in (_OF_SEVERAL | _OF_EVERY_STAGE).items():
        every = ident in _OF_EVERY_STAGE
        shared = [curves for curves in stages.values() if every or ident in curves.method.charts]
        drawn[ident] = _chart(ident, title, [*(later if shared else []), *marks], **of_several(shared))
    return drawn


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
    ident: str, title: str, marks: list[dict[str, Any]], measure: str = "", lines: Sequence[dict[str, Any]] = (),
    reading: str = "", references: Sequence[dict[str, Any]] = (), log: bool = False,
) -> dict[str, Any]:  # fmt: skip
    kept = [one for one in lines if one["points"]]
    return {
        "id": ident, "title": title, "measure": measure, "unit": "", "x": "step", "references": list(references),
        "lines": kept, "marks": marks, "reading": reading if kept else "", **({"log": True} if log else {}),
    }  # fmt: skip
