"""Charts of answers that a model writes and learns from, and of the scores of a reward model."""

from itertools import cycle

from workbench.core.monitoring.charts.curves import Curves, Drawn
from workbench.core.monitoring.readings import Series, every_stage, online
from workbench.core.monitoring.run_log import is_part


def reward(curves: Curves) -> Drawn:
    """With the parts that it is made of, where there are several."""
    keys = [key for stage, key in curves.log.curves if stage == curves.stage and is_part(key)]
    styles = cycle(("solid", "dashed", "dotted"))
    parts = [
        curves.line(key, key.split("/")[1], "base", style, "thin") for key, style in zip(keys, styles, strict=False)
    ]
    lines = [*curves.both("reward"), *(parts if len(parts) > 1 else [])]
    return {"measure": "reward", "lines": lines, "reading": online.reward(*curves.both_series("reward"))}


def divergence(curves: Curves) -> Drawn:
    found = online.divergence(*curves.both_series("kl"))
    start = [{"y": 0.0, "label": "0"}]
    return {"measure": "nats per token", "lines": curves.both("kl"), "references": start, "reading": found}


def answer_length(curves: Curves) -> Drawn:
    key = "completions/mean_length"
    return {
        "measure": "tokens of an answer",
        "lines": curves.both(key),
        "reading": online.length(curves.series(key)),
    }


def ending(curves: Curves) -> Drawn:
    key = "completions/clipped_ratio"
    lines = curves.both(key)
    for line in lines:
        line["points"] = [[step, None if cut is None else 1 - cut] for step, cut in line["points"]]
    ends = [Series.of(line["points"]) for line in lines]
    return {"measure": "share of answers that end", "lines": lines, "reading": online.ending(ends[0], ends[1])}


def spread(curves: Curves) -> Drawn:
    lines = [
        curves.line("reward_std", "spread of rewards", "aligned"),
        curves.line("frac_reward_zero_std", "groups without spread", "rejected", "dashed"),
    ]
    found = online.spread(curves.series("frac_reward_zero_std"), curves.series("reward_std"))
    return {"measure": "spread, share of groups", "lines": lines, "reading": found}


def score_spread(curves: Curves) -> Drawn:
    """Of held-out answers, chosen and rejected."""
    key = "eval_reward/spread"
    lines = [curves.line(key, "held-out", "aligned", "dotted")]
    reading = every_stage.score_spread(curves.series(key))
    return {"measure": "standard deviation of scores", "lines": lines, "reading": reading}
