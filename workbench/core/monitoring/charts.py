"""What a run logged -> what a person sees: charts, and a sentence on each."""

import math
from collections.abc import Sequence
from typing import Any

from workbench.core.monitoring.metrics import FORKED, Row
from workbench.core.monitoring.run_log import POINTS_PER_LINE, Point, RunLog
from workbench.core.training.config import OF_PAIRS, WITH_REFERENCE, Stage, stage_title
from workbench.core.training.losses import LN_2

KTO_START = 0.5  # its loss with both weights at 1


def charts(log: RunLog, plan: dict[Stage, int]) -> dict[str, dict[str, Any]]:
    """The charts of a run, by id. A stage that the run does not have leaves its charts without lines.

    Steps count through both stages of a run, so that one axis serves all charts.
    """
    rows = log.rows
    preference: Stage = next((stage for stage in plan if stage != "sft"), "dpo")
    pairs: Stage = preference if preference in OF_PAIRS else "dpo"
    both_stages = [{"x": plan["sft"], "label": "DPO starts"}] if len(plan) == 2 else []
    marks = [
        {"x": _offset(plan, row[FORKED]["stage"]) + row[FORKED]["step"], "label": "branched off"}
        for row in rows
        if FORKED in row
    ]

    def line(stage: Stage, key: str, name: str, role: str, **look: str) -> dict[str, Any]:
        return _line(log, plan, stage, key, name, role, **look)

    def chart(ident: str, title: str, measure: str, lines: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        shared = {"id": ident, "title": title, "measure": measure, "unit": "", "x": "step", "references": []}
        kept = [one for one in lines if one["points"]]
        return shared | {"lines": kept, "marks": marks} | more | {"reading": more["reading"] if kept else ""}

    def both(stage: Stage, key: str) -> list[dict[str, Any]]:
        return [
            line(stage, key, "training", "aligned"),
            line(stage, f"eval_{key}", "held-out", "aligned", style="dotted"),
        ]

    drawn = [
        chart(
            "sft-loss",
            "Is it learning to imitate the answers?",
            "SFT loss (nats per token)",
            both("sft", "loss"),
            reading=_reading_of_sft_loss(rows),
        ),
        chart(
            "dpo-loss",
            "Does it tell better from worse?",
            f"{stage_title(pairs)} loss (nats)",
            both(pairs, "loss"),
            references=[_no_preference_yet(rows, pairs)] if pairs in WITH_REFERENCE else [],
            reading=_reading_of_preference_loss(rows, pairs, "pairs"),
        ),
        chart(
            "kto-loss",
            "Does it tell liked from disliked?",
            "KTO loss",
            both("kto", "loss"),
            references=[_no_preference_yet(rows, "kto")],
            reading=_reading_of_preference_loss(rows, "kto", "answers"),
        ),
        chart(
            "margin",
            "Is it learning the preference?",
            "reward margin",
            both(preference, "rewards/margins"),
            references=[{"y": 0.0, "label": "0"}],
            reading=_reading_of_margin(rows, preference),
        ),
        chart(
            "accuracy",
            "How often does it prefer the right answer?",
            "reward accuracy",
            both(pairs, "rewards/accuracies"),
            references=[{"y": 0.5, "label": "chance"}],
            reading=_reading_of_accuracy(rows, pairs),
        ),
        chart(
            "rewards",
            "What moves: the chosen or the rejected answers?",
            "implicit reward" if preference in WITH_REFERENCE else "beta × log-probability per token",
            [
                line(preference, "rewards/chosen", "chosen", "chosen"),
                line(preference, "rewards/rejected", "rejected", "rejected", style="dashed"),
                line(preference, "eval_rewards/chosen", "chosen, held-out", "chosen", style="dotted"),
                line(preference, "eval_rewards/rejected", "rejected, held-out", "rejected", style="dotted"),
            ],
            references=[{"y": 0.0, "label": "reference model"}] if preference in WITH_REFERENCE else [],
            reading="The gap between the two is the margin. Rejected falling is the usual way; both falling is normal too.",
        ),
        chart(
            "learning-rate",
            "How large are the steps?",
            "learning rate",
            [line(stage, "learning_rate", stage_title(stage), "base", weight="thin") for stage in plan],
            marks=[*both_stages, *marks],
            reading="Rises during the warm-up, then falls to nothing, so that the end of a run settles.",
        ),
        chart(
            "gradient-norm",
            "Is training stable?",
            "gradient norm",
            [line(stage, "grad_norm", stage_title(stage), "base", weight="thin") for stage in plan],
            marks=[*both_stages, *marks],
            reading="Even is good. A jump to many times its usual height means that a step went wrong.",
        ),
    ]
    return {one["id"]: one for one in drawn}


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


def _offset(plan: dict[Stage, int], stage: str) -> int:
    return plan.get("sft", 0) if stage == "dpo" else 0


def _line(
    log: RunLog,
    plan: dict[Stage, int],
    stage: Stage,
    key: str,
    name: str,
    role: str,
    style: str = "solid",
    weight: str = "thick",
) -> dict[str, Any]:
    offset = _offset(plan, stage)
    points = [[step + offset, value] for step, value in thin_out(log.points(stage, key))]
    return {"name": name, "role": role, "style": style, "weight": weight, "points": points}


def _values(rows: Sequence[Row], key: str, stage: str) -> list[float]:
    return [row[key] for row in rows if row.get(key) is not None and row.get("stage") == stage]


def _reading_of_sft_loss(rows: Sequence[Row]) -> str:
    held_out = _values(rows, "eval_loss", "sft")
    if len(held_out) < 2:
        return "Lower is better. It falls fast at first, then slowly."
    now = f"On held-out answers it went from {held_out[0]:.2f} to {held_out[-1]:.2f}."
    if held_out[-1] > min(held_out) * 1.05:
        return f"{now} It has risen from its lowest, {min(held_out):.2f}: the model begins to overfit."
    return f"{now} Lower is better; the two curves should stay close."


def _start(rows: Sequence[Row], stage: Stage) -> float:
    """The loss of a stage where it has no preference yet: as measured before its first step, or as it usually is."""
    usual = LN_2 if stage == "dpo" else KTO_START
    measured = next((row["eval_loss"] for row in rows if row.get("stage") == stage and _is_start(row)), None)
    return usual if measured is None or abs(measured - usual) <= 0.002 else float(measured)


def _is_start(row: Row) -> bool:
    return row.get("step") == 0 and row.get("eval_loss") is not None


def _start_label(start: float) -> str:
    return "ln 2" if start == LN_2 else f"{start:.3g}"


def _no_preference_yet(rows: Sequence[Row], stage: Stage) -> dict[str, Any]:
    start = _start(rows, stage)
    return {"y": start, "label": f"{_start_label(start)}: no preference yet"}


def _reading_of_preference_loss(rows: Sequence[Row], stage: Stage, noun: str) -> str:
    if stage not in WITH_REFERENCE:
        return _reading_without_reference(rows, stage)
    start = _start(rows, stage)
    number = f"ln 2 = {LN_2:.3f}" if start == LN_2 else _start_label(start)
    words = f"It starts at {number}, where the model has no preference yet; lower is better."
    held_out = _values(rows, "eval_loss", stage)
    if len(held_out) < 2:
        return words
    return f"{words} On held-out {noun} it is now {held_out[-1]:.3f}."


def _reading_without_reference(rows: Sequence[Row], stage: Stage) -> str:
    words = "Lower is better. There is no reference, so where it starts says how the base model saw the pairs."
    held_out = _values(rows, "eval_loss", stage)
    if len(held_out) < 2:
        return words
    return f"{words} On held-out pairs it went from {held_out[0]:.3f} to {held_out[-1]:.3f}."


def _reading_of_margin(rows: Sequence[Row], stage: Stage) -> str:
    has_reference = stage in WITH_REFERENCE
    against = ", against the reference model" if has_reference else ", per token and times beta"
    verb = "has come to favour" if has_reference else "favours"
    meaning = f"How much more the model {verb} chosen over rejected answers{against}."
    held_out = _values(rows, "eval_rewards/margins", stage)
    if not held_out:
        return meaning
    if not has_reference:
        return f"{meaning} Held-out: from {held_out[0]:.2f} to {held_out[-1]:.2f}."
    verdict = "It prefers the chosen ones." if held_out[-1] > 0.05 else "There is no clear preference yet."
    return f"{meaning} Held-out: {held_out[-1]:.2f}. {verdict}"


def _reading_of_accuracy(rows: Sequence[Row], stage: Stage) -> str:
    held_out = _values(rows, "eval_rewards/accuracies", stage)
    if not held_out:
        return "Share of pairs in which the chosen answer gets the higher reward. Half is chance."
    return f"On held-out pairs the chosen answer wins in {held_out[-1]:.0%} of cases. Half is chance; 70 to 75 % is usual for real data."
