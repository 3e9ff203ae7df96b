"""What a run logged -> what a person sees: charts, and a sentence on each."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

from workbench.core.monitoring.metrics import FORKED
from workbench.core.monitoring.run_log import POINTS_PER_LINE, Point, RunLog, is_part
from workbench.core.training.config import Stage
from workbench.core.training.losses import LN_2
from workbench.core.training.methods import METHODS, Method, stage_title

KTO_START = 0.5  # its loss with both weights at 1


@dataclass(frozen=True)
class _Curves:
    """What was logged of one stage of a run. offset: the steps of the stages before it."""

    log: RunLog
    stage: Stage
    offset: int

    @property
    def method(self) -> Method:
        return METHODS[self.stage]

    def line(self, key: str, name: str, role: str, style: str = "solid", weight: str = "thick") -> dict[str, Any]:
        points = [[step + self.offset, value] for step, value in thin_out(self.log.points(self.stage, key))]
        return {"name": name, "role": role, "style": style, "weight": weight, "points": points}

    def both(self, key: str) -> list[dict[str, Any]]:
        return [
            self.line(key, "training", "aligned"),
            self.line(f"eval_{key}", "held-out", "aligned", style="dotted"),
        ]

    def held_out(self, key: str) -> list[float]:
        rows = self.log.rows
        return [row[key] for row in rows if row.get(key) is not None and row.get("stage") == self.stage]


def charts(log: RunLog, plan: dict[Stage, int]) -> dict[str, dict[str, Any]]:
    """The charts of a run, by id. A stage that the run does not have leaves its charts without lines.

    Steps count through all stages of a run, so that one axis serves all charts.
    """
    offsets = {stage: sum(list(plan.values())[:place]) for place, stage in enumerate(plan)}
    marks = [
        {"x": offsets.get(row[FORKED]["stage"], 0) + row[FORKED]["step"], "label": "branched off"}
        for row in log.rows
        if FORKED in row
    ]
    later = [{"x": offsets[stage], "label": f"{stage_title(stage)} starts"} for stage in list(plan)[1:]]
    drawn = {}
    for ident, (title, draw) in _OF_METHODS.items():
        stage = next((one for one in plan if ident in METHODS[one].charts), None)
        found = draw(_Curves(log, stage, offsets[stage])) if stage else {}
        drawn[ident] = _chart(ident, title, marks, **found)
    for ident, (title, key, reading) in _OF_EVERY_STAGE.items():
        lines = [
            _Curves(log, stage, offset).line(key, stage_title(stage), "base", weight="thin")
            for stage, offset in offsets.items()
        ]
        drawn[ident] = _chart(ident, title, [*later, *marks], ident.replace("-", " "), lines, reading)
    return drawn


def drawn_by(stages: Iterable[Stage]) -> tuple[str, ...]:
    """The ids of the charts that a run with these stages has something for."""
    own = {ident for stage in stages for ident in METHODS[stage].charts}
    return tuple(ident for ident in CHART_IDS if ident in own or ident in _OF_EVERY_STAGE)


def _chart(
    ident: str, title: str, marks: list[dict[str, Any]], measure: str = "", lines: Sequence[dict[str, Any]] = (),
    reading: str = "", references: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    kept = [one for one in lines if one["points"]]
    return {
        "id": ident, "title": title, "measure": measure, "unit": "", "x": "step", "references": list(references),
        "lines": kept, "marks": marks, "reading": reading if kept else "",
    }  # fmt: skip


def thin_out(points: Sequence[Point], most: int = POINTS_PER_LINE) -> Sequence[Point]:
    """At most about `most` points that draw the same picture: of each bucket the lowest and the highest, in order."""
    if len(points) <= most:
        return points
    size = math.ceil(len(points) / (most // 2 - 1))
    kept = [points[0]]
    for start in range(1, len(points) - 1, size):
        bucket = points[start : min(start + size, len(points) - 1)]
        known = [point for point in bucket if point[1] is not None]
        values = [point[1] or 0.0 for point in known]
        if not known:
            kept.append(bucket[0])
            continue
        low, high = known[values.index(min(values))], known[values.index(max(values))]
        kept += sorted((low, high), key=lambda p: p[0]) if low is not high else [low]
    return [*kept, points[-1]]


def _imitation_loss(curves: _Curves) -> dict[str, Any]:
    held_out = curves.held_out("eval_loss")
    if len(held_out) < 2:
        reading = "Lower is better. It falls fast at first, then slowly."
    else:
        reading = f"On held-out answers it went from {held_out[0]:.2f} to {held_out[-1]:.2f}. "
        if held_out[-1] > min(held_out) * 1.05:
            reading += f"It has risen from its lowest, {min(held_out):.2f}: the model begins to overfit."
        else:
            reading += "Lower is better; the two curves should stay close."
    measure = f"{curves.method.title} loss (nats per token)"
    return {"measure": measure, "lines": curves.both("loss"), "reading": reading}


def _preference_loss(curves: _Curves, unit: str) -> dict[str, Any]:
    drawn = {"measure": f"{curves.method.title} loss{unit}", "lines": curves.both("loss")}
    held_out = curves.held_out("eval_loss")
    noun = curves.method.noun
    if not curves.method.has_reference:
        reading = "Lower is better. There is no reference, so where it starts says how the base model saw the pairs."
        if len(held_out) > 1:
            reading += f" On held-out {noun} it went from {held_out[0]:.3f} to {held_out[-1]:.3f}."
        return drawn | {"reading": reading}
    start = _start(curves)
    short = "ln 2" if start == LN_2 else f"{start:.3g}"
    number = f"ln 2 = {LN_2:.3f}" if start == LN_2 else short
    reading = f"It starts at {number}, where the model has no preference yet; lower is better."
    if len(held_out) > 1:
        reading += f" On held-out {noun} it is now {held_out[-1]:.3f}."
    return drawn | {"reading": reading, "references": [{"y": start, "label": f"{short}: no preference yet"}]}


def _reward_loss(curves: _Curves) -> dict[str, Any]:
    reading = f"Where it cannot tell the answers apart it is ln 2 = {LN_2:.3f}; lower is better."
    held_out = curves.held_out("eval_loss")
    if len(held_out) > 1:
        reading += f" On held-out pairs it is now {held_out[-1]:.3f}."
    chance = [{"y": LN_2, "label": "ln 2: cannot tell"}]
    return {"measure": "reward loss (nats)", "lines": curves.both("loss"), "reading": reading, "references": chance}


def _reward(curves: _Curves) -> dict[str, Any]:
    held_out = curves.held_out("eval_reward")
    reading = "The mean reward of its answers, without the cost of divergence."
    if len(held_out) > 1:
        reading += f" On held-out prompts it went from {held_out[0]:.2f} to {held_out[-1]:.2f}."
    reading += (
        " A reward that rises says that what judges them likes them better, not that they are better: compare them."
    )
    keys = [key for stage, key in curves.log.curves if stage == curves.stage and is_part(key)]
    styles = cycle(("solid", "dashed", "dotted"))
    parts = [
        curves.line(key, key.split("/")[1], "base", style, "thin") for key, style in zip(keys, styles, strict=False)
    ]
    parts = parts if len(parts) > 1 else []
    return {"measure": "reward", "lines": [*curves.both("reward"), *parts], "reading": reading}


def _divergence(curves: _Curves) -> dict[str, Any]:
    held_out = curves.held_out("eval_kl")
    reading = "Nats per token between the policy and its reference. It begins at 0; the reward is paid for with it."
    if held_out:
        reading += f" On held-out prompts it is now {held_out[-1]:.3f}; well above 0.1 answers often become odd."
    lines = [*curves.both("kl"), curves.line("entropy", "entropy", "base", style="dashed", weight="thin")]
    return {"measure": "nats per token", "lines": lines, "reading": reading, "references": [{"y": 0.0, "label": "0"}]}


def _answer_length(curves: _Curves) -> dict[str, Any]:
    reading = "Tokens of its answers. Where they grow and grow, the reward has a taste for length."
    ends = curves.held_out("eval_completions/clipped_ratio")
    if ends:
        reading += f" {1 - ends[-1]:.0%} of the held-out answers come to an end by themselves."
    return {"measure": "tokens of an answer", "lines": curves.both("completions/mean_length"), "reading": reading}


def _spread(curves: _Curves) -> dict[str, Any]:
    lines = [
        curves.line("reward_std", "spread of rewards", "aligned"),
        curves.line("frac_reward_zero_std", "groups without spread", "rejected", style="dashed"),
    ]
    reading = (
        "It learns from differences within a group of answers to one prompt. A group whose answers are all worth the same "
        "teaches nothing; its share is the dashed line."
    )
    return {"measure": "spread, share of groups", "lines": lines, "reading": reading}


def _start(curves: _Curves) -> float:
    """The loss where there is no preference yet: as measured before the first step, or as it usually is."""
    usual = LN_2 if curves.method.answers == 2 else KTO_START
    own = (row for row in curves.log.rows if row.get("stage") == curves.stage)
    measured = next(
        (row["eval_loss"] for row in own if row.get("step") == 0 and row.get("eval_loss") is not None), usual
    )
    return usual if abs(measured - usual) <= 0.002 else float(measured)


def _margin(curves: _Curves) -> dict[str, Any]:
    if curves.method.scores:
        held_out = curves.held_out("eval_rewards/margins")
        reading = "How much higher it scores chosen than rejected answers."
        reading += f" Held-out: {held_out[-1]:.2f}." if held_out else ""
        zero = [{"y": 0.0, "label": "0"}]
        return {
            "measure": "margin of scores",
            "lines": curves.both("rewards/margins"),
            "references": zero,
            "reading": reading,
        }
    has_reference = curves.method.has_reference
    against = ", against the reference model" if has_reference else ", per token and times beta"
    verb = "has come to favour" if has_reference else "favours"
    reading = f"How much more the model {verb} chosen over rejected answers{against}."
    held_out = curves.held_out("eval_rewards/margins")
    if held_out and has_reference:
        verdict = "It prefers the chosen ones." if held_out[-1] > 0.05 else "There is no clear preference yet."
        reading += f" Held-out: {held_out[-1]:.2f}. {verdict}"
    elif held_out:
        reading += f" Held-out: from {held_out[0]:.2f} to {held_out[-1]:.2f}."
    zero = [{"y": 0.0, "label": "0"}]
    lines = curves.both("rewards/margins")
    return {"measure": "reward margin", "lines": lines, "references": zero, "reading": reading}


def _accuracy(curves: _Curves) -> dict[str, Any]:
    held_out = curves.held_out("eval_rewards/accuracies")
    reading = (
        f"On held-out pairs the chosen answer wins in {held_out[-1]:.0%} of cases. Half is chance; 70 to 75 % is usual for real data."
        if held_out
        else "Share of pairs in which the chosen answer gets the higher reward. Half is chance."
    )
    chance = [{"y": 0.5, "label": "chance"}]
    lines = curves.both("rewards/accuracies")
    return {"measure": "reward accuracy", "lines": lines, "references": chance, "reading": reading}


def _rewards(curves: _Curves) -> dict[str, Any]:
    has_reference = curves.method.has_reference
    return {
        "measure": _rewards_measure(curves.method),
        "lines": [
            curves.line("rewards/chosen", "chosen", "chosen"),
            curves.line("rewards/rejected", "rejected", "rejected", style="dashed"),
            curves.line("eval_rewards/chosen", "chosen, held-out", "chosen", style="dotted"),
            curves.line("eval_rewards/rejected", "rejected, held-out", "rejected", style="dotted"),
        ],
        "references": [{"y": 0.0, "label": "reference model"}] if has_reference else [],
        "reading": "The gap between the two is the margin. "
        + (
            "Only the gap counts: where the two lie means nothing by itself."
            if curves.method.scores
            else "Rejected falling is the usual way; both falling is normal too."
        ),
    }


def _rewards_measure(method: Method) -> str:
    if method.scores:
        return "raw score"
    return "implicit reward" if method.has_reference else "beta × log-probability per token"


_OF_METHODS: dict[str, tuple[str, Callable[[_Curves], dict[str, Any]]]] = {
    "sft-loss": ("Is it learning to imitate the answers?", _imitation_loss),
    "dpo-loss": ("Does it tell better from worse?", partial(_preference_loss, unit=" (nats)")),
    "reward-loss": ("Does it score better answers higher?", _reward_loss),
    "reward": ("Do its answers get better, as the reward sees it?", _reward),
    "divergence": ("How far has it gone from where it began?", _divergence),
    "answer-length": ("How long are its answers, and do they end?", _answer_length),
    "spread": ("Is there anything to learn from?", _spread),
    "kto-loss": ("Does it tell liked from disliked?", partial(_preference_loss, unit="")),
    "margin": ("Is it learning the preference?", _margin),
    "accuracy": ("How often does it prefer the right answer?", _accuracy),
    "rewards": ("What moves: the chosen or the rejected answers?", _rewards),
}
"""Id -> title, and how it is drawn. Which of them a method has stands in the table of methods."""

_OF_EVERY_STAGE = {
    "learning-rate": (
        "How large are the steps?",
        "learning_rate",
        "Rises during the warm-up, then falls to nothing, so that the end of a run settles.",
    ),
    "gradient-norm": (
        "Is training stable?",
        "grad_norm",
        "Even is good. A jump to many times its usual height means that a step went wrong.",
    ),
}
"""Id -> title, key as the trainer logs it, and what to see in it."""

CHART_IDS = (*_OF_METHODS, *_OF_EVERY_STAGE)
