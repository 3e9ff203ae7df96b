"""The chart of a sweep: a figure over the values of a setting, each with its interval. HTML without a script, as wide as its place."""

from collections.abc import Sequence

from workbench.core.monitoring.sweep_result import Figure, Point, figure_label
from workbench.core.training.methods import ACCURACY, Result
from workbench.ui.parts import Html, escape
from workbench.ui.report.figures import Axis, axis_around, number_label

CHANCE = 0.5  # of an accuracy

NEAR = 7  # percent of the height: closer to each other two labels of an axis cannot be read


def sweep_chart(title: str, points: Sequence[Point], result: Result, best: Point | None) -> Html:
    """Values stand evenly spaced, in their order. A value without a figure keeps its place, and the line is broken there.

    title: what is drawn, in which unit. best: the point that is marked as such.
    """
    figures = [one.figures.get(result) for one in points]
    there = [end for one in figures if one for end in one if end is not None]
    up = axis_around(there, 0, 100)
    places = [100 * (place + 0.5) / len(points) for place in range(len(points))]
    ticks = [(tick, _tick(tick, result), "") for tick in up.ticks]
    if result == ACCURACY and up.low < CHANCE < up.high:
        ticks = [one for one in ticks if abs(up.at(one[0]) - up.at(CHANCE)) > NEAR]
        ticks.append((CHANCE, "chance", " wb-sweep-chance"))
    grid = "".join(
        f'<span class="wb-sweep-grid{look}" style="bottom:{up.at(tick):.1f}%"><i>{words}</i></span>'
        for tick, words, look in ticks
    )
    marks = "".join(
        _mark(place, figure, up, one, one is best)
        for place, figure, one in zip(places, figures, points, strict=True)
        if figure
    )
    is_order = not any(isinstance(one.value, str) for one in points)  # there is none between words
    line = _line(places, figures, up) if is_order else ""
    names = "".join(
        f"<span>{_name(one)}{_state(one, figure)}</span>" for one, figure in zip(points, figures, strict=True)
    )
    told = [
        (one.label, figure_label(result, figure) if figure else _why_none(one))
        for one, figure in zip(points, figures, strict=True)
    ]
    words = f"{title}: " + "; ".join(f"{label} {figure}" for label, figure in told)
    return Html(
        f'<figure class="wb-sweep" role="img" aria-label="{escape(words)}"><figcaption>{escape(title)}</figcaption>'
        f'<div class="wb-sweep-plot">{grid}{line}{marks}</div>'
        f'<div class="wb-sweep-names">{names}</div></figure>'
    )


def charts(pieces: Sequence[Html]) -> Html:
    """Charts beside each other, below each other where there is no room."""
    return Html(f'<div class="wb-sweeps">{"".join(pieces)}</div>' if pieces else "")


def _mark(place: float, figure: Figure, up: Axis, point: Point, is_best: bool) -> str:
    interval = ""
    if figure.low is not None and figure.high is not None:
        low, high = up.at(figure.low), up.at(figure.high)
        interval = (
            f'<span class="wb-sweep-range" style="left:{place:.2f}%;bottom:{low:.1f}%;height:{high - low:.1f}%"></span>'
        )
    look = " wb-sweep-best" if is_best else "" if point.is_settled else " wb-sweep-open"
    return (
        f'{interval}<span class="wb-sweep-at{look}" style="left:{place:.2f}%;bottom:{up.at(figure.value):.1f}%"></span>'
    )


def _line(places: Sequence[float], figures: Sequence[Figure | None], up: Axis) -> str:
    """From point to point, broken where there is a gap."""
    parts: list[list[str]] = [[]]
    for place, figure in zip(places, figures, strict=True):
        if figure:
            parts[-1].append(f"{place:.2f},{100 - up.at(figure.value):.2f}")
        else:
            parts.append([])
    lines = "".join(f'<polyline points="{" ".join(part)}"/>' for part in parts if len(part) > 1)
    return f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'


def _name(point: Point) -> str:
    """A value below its place: it may be broken behind each underscore."""
    return escape(point.label).replace("_", "_<wbr>")


def _tick(value: float, result: Result) -> str:
    return f"{number_label(100 * value)}%" if result.format.endswith("%") else number_label(value)


def _state(point: Point, figure: Figure | None) -> str:
    """A second line below a value, where it is not what a run ended with."""
    words = _why_none(point) if figure is None else "" if point.is_settled else f"step {point.step}"
    return f"<small>{escape(words)}</small>" if words else ""


def _why_none(point: Point) -> str:
    return {"gone": "no run", "queued": "waits", "running": "trains"}.get(point.state, point.state)
