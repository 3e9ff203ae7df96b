"""How long the rows are in tokens: histograms with the longest example as a line to drag, and a cloud of the answers.

What the line would cut is worked out in the browser, from exact counts, so that it follows the hand. When the hand lets
go, the component's `release` event brings the new length; `released_length` reads it.
"""

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.core.data.token_counts import TokenCounts, chart_points, longer_chosen
from workbench.core.training.config import RunConfig
from workbench.core.training.methods import DATA_KINDS

POINTS = 3000
_BINS = 64
# The picture reaches as far as all rows but these; a few giants would squeeze the others into a corner.
_BEYOND = 0.005
# Part of a row -> name and look of its histogram.
_BANDS = {
    "prompt": ("prompt", "base", "solid"),
    "chosen": ("prompt + chosen", "chosen", "solid"),
    "rejected": ("prompt + rejected", "rejected", "dashed"),
}


def lengths_value(counts: TokenCounts, max_length: int, model: str) -> dict[str, Any]:
    """What the component shows of a dataset. Send it through `chart.packed`. model: whose tokenizer counted.

    {"noun", "rows", "pairs", "model", "max_length", "low", "high", "top": end of the axis, "width": tokens per bin,
    "bands": [{"name", "role", "style", "bins"}], "tallies": TokenCounts.tallies(), "suggestion",
    "cloud": None or {"points": [[chosen, rejected]], "top", "reading"}}
    """
    is_pair = counts.kind == "preference"
    low, most = length_bounds()
    suggestion = counts.suggestion(most)
    width = max(1, math.ceil(1.15 * max(_reach(_ends(counts)), 32) / _BINS))
    return {
        "noun": DATA_KINDS[counts.kind].noun,
        "rows": len(counts),
        "pairs": is_pair,
        "model": model,
        "max_length": max_length,
        "low": low,
        "high": min(most, max(width * _BINS, counts.longest() + 1, max_length)),
        "top": width * _BINS,
        "width": width,
        "bands": _bands(counts, width, is_pair),
        "tallies": counts.tallies(),
        "suggestion": suggestion,
        "cloud": _cloud(counts) if is_pair and len(counts) else None,
    }


def length_bounds() -> tuple[int, int]:
    """The shortest and the longest that a run's longest example may be, in tokens."""
    limits = RunConfig.model_json_schema()["properties"]["max_length"]
    return limits["minimum"], limits["maximum"]


def released_length(event: gr.EventData) -> int:
    """The length at which the line was let go. It comes from a browser, so it is held to the bounds of the setting."""
    low, most = length_bounds()
    value = getattr(event, "max_length", None)
    return min(max(int(value), low), most) if isinstance(value, int | float) and math.isfinite(value) else most


def _bands(counts: TokenCounts, width: int, is_pair: bool) -> list[dict[str, Any]]:
    shown = {part: look for part, look in _BANDS.items() if is_pair or part != "rejected"}
    if not is_pair:
        shown["chosen"] = ("prompt + answer", "chosen", "solid")
    return [
        {"name": name, "role": role, "style": style, "bins": counts.histogram(part, width, _BINS)}  # type: ignore[arg-type]
        for part, (name, role, style) in shown.items()
    ]


def _cloud(counts: TokenCounts) -> dict[str, Any]:
    points = chart_points(counts, POINTS)
    found = longer_chosen(counts)
    top = max(8, math.ceil(1.1 * _reach([max(pair) for pair in points])))
    beyond = sum(max(pair) > top for pair in points)
    sentences = [
        f"In {_percent(found['chosen'], len(counts))} of the pairs the chosen answer is the longer one, "
        f"in {_percent(found['rejected'], len(counts))} the rejected one."
    ]
    if len(points) < len(counts):
        sentences.append(f"Drawn: {len(points):,} of {len(counts):,} pairs.")
    if beyond:
        sentences.append(f"{beyond:,} {'pairs are' if beyond > 1 else 'pair is'} longer than the picture, at its edge.")
    return {"points": points, "top": top, "reading": " ".join(sentences)}


def _ends(counts: TokenCounts) -> list[int]:
    chosen = counts.lengths("chosen")
    return [max(pair) for pair in zip(chosen, counts.lengths("rejected"), strict=True)]


def _reach(values: Sequence[int]) -> int:
    """The value that all but a few do not pass. 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * (1 - _BEYOND)) - 1)] if ordered else 0


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.0f} %"
