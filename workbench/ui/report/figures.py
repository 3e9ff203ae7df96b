"""Charts of a report as SVG, which need no script: the frontier of reward over KL, and win rates with their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core.report.card import Point
from workbench.ui.parts import Html, escape

# In units of the drawing; it is shown about as wide as a telephone, so that its text stays readable there.
_WIDE, _HIGH = 360, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 16, 42
_ROW = 40


@dataclass(frozen=True)
class Bar:
    """A line of `forest`: a share with its interval, all from 0 to 1."""

    label: str
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on a line from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Four or five round numbers."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(times for times in (1, 2, 2.5, 5, 10) if (self.high - self.low) / (step * times) <= 5)
        first = math.ceil(self.low / step - 1e-9)
        return [place * step for place in range(first, math.floor(self.high / step + 1e-9) + 1)]


def frontier(points: Sequence[Point]) -> Html:
    """Reward over KL, a numbered point each with its intervals; the base model is a square. The legend names the numbers."""
    across = axis_around(
        [end for one in points for end in (0.0, one.kl.low, one.kl.high)], _LEFT, _WIDE - _RIGHT, from_zero=True
    )
    up = axis_around([end for one in points for end in (one.reward.low, one.reward.high)], _HIGH - _BOTTOM, _TOP)
    grid = "".join(
        f'<line class="wb-figure-grid" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{up.at(tick):.1f}" y2="{up.at(tick):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{up.at(tick) + 4:.1f}" text-anchor="end">{number_label(tick)}</text>'
        for tick in up.ticks
    )
    grid += "".join(
        f'<text x="{across.at(tick):.1f}" y="{_HIGH - _BOTTOM + 17}" text-anchor="middle">{number_label(tick)}</text>'
        for tick in across.ticks
    )
    marks = "".join(_mark(number, one, across, up) for number, one in enumerate(points, 1))
    titles = (
        f'<text x="{(_LEFT + _WIDE - _RIGHT) / 2:.1f}" y="{_HIGH - 6}" text-anchor="middle">KL from the base model, nats per token</text>'
        f'<text x="{_LEFT}" y="{_TOP - 4}">reward, standard deviations</text>'
    )
    label = "Reward over KL: " + "; ".join(
        f"{one.label} {one.reward.value:.2f} at {one.kl.value:.3f}" for one in points
    )
    legend = "".join(f"<li>{escape(one.label)}</li>" for one in points)
    return Html(
        f'<figure class="wb-figure"><svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escape(label)}">'
        f"{grid}{titles}{marks}</svg><figcaption><ol>{legend}</ol></figcaption></figure>"
    )


def forest(bars: Sequence[Bar]) -> Html:
    """Shares with their intervals below each other, on a line on which a half is marked."""
    axis = Axis(0.0, 1.0, 10, _WIDE - 10)
    bottom = _ROW * len(bars) + 6
    rows = "".join(
        f'<text x="10" y="{_ROW * place + 15}">{escape(_short(one.label))}</text>'
        f'<text x="{_WIDE - 10}" y="{_ROW * place + 15}" text-anchor="end">{one.rate:.0%} [{100 * one.low:.0f}, {100 * one.high:.0f}]</text>'
        f'<line class="wb-figure-grid" x1="10" x2="{_WIDE - 10}" y1="{_ROW * place + 28}" y2="{_ROW * place + 28}"/>'
        f'<line class="wb-figure-range" x1="{axis.at(one.low):.1f}" x2="{axis.at(one.high):.1f}" y1="{_ROW * place + 28}" y2="{_ROW * place + 28}"/>'
        f'<circle class="wb-figure-point" cx="{axis.at(one.rate):.1f}" cy="{_ROW * place + 28}" r="5"/>'
        for place, one in enumerate(bars)
    )
    half = f'<line class="wb-figure-half" x1="{axis.at(0.5):.1f}" x2="{axis.at(0.5):.1f}" y1="20" y2="{bottom}"/>'
    ends = "".join(
        f'<text x="{axis.at(value):.1f}" y="{bottom + 14}" text-anchor="{anchor}">{words}</text>'
        for value, anchor, words in (
            (0.0, "start", "never"),
            (0.5, "middle", "50%: no preference"),
            (1.0, "end", "always"),
        )
    )
    label = "; ".join(f"{one.label}: {one.rate:.0%}, interval {one.low:.0%} to {one.high:.0%}" for one in bars)
    return Html(
        f'<figure class="wb-figure"><svg viewBox="0 0 {_WIDE} {bottom + 20}" role="img" aria-label="{escape(label)}">'
        f"{half}{rows}{ends}</svg></figure>"
    )


def _mark(number: int, one: Point, across: Axis, up: Axis) -> str:
    x, y = across.at(one.kl.value), up.at(one.reward.value)
    look = "wb-figure-base" if one.is_base else "wb-figure-point"
    lines = (
        f'<line class="{look}" x1="{across.at(one.kl.low):.1f}" x2="{across.at(one.kl.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<line class="{look}" x1="{x:.1f}" x2="{x:.1f}" y1="{up.at(one.reward.low):.1f}" y2="{up.at(one.reward.high):.1f}"/>'
    )
    dot = (
        f'<rect class="{look}" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'
        if one.is_base
        else f'<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    )
    # Beside the point, where it is inside of the chart.
    side, anchor = (9, "start") if x < _WIDE - _RIGHT - 24 else (-9, "end")
    return f'{lines}{dot}<text class="wb-figure-name" x="{x + side:.1f}" y="{y - 8:.1f}" text-anchor="{anchor}">{number}</text>'


def axis_around(values: Sequence[float], start: float, end: float, from_zero: bool = False) -> Axis:
    """An axis with some room around the values. from_zero: none of them is below."""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or max(abs(high), 0.1) * 0.5
    return Axis(0.0 if from_zero else low - room, high + room, start, end)


def number_label(value: float) -> str:
    """A number at a mark of an axis."""
    return f"{value:.3g}".replace("-", "−") if abs(value) > 1e-12 else "0"


def _short(label: str) -> str:
    """A label that leaves room for the numbers."""
    return label if len(label) <= 44 else f"{label[:43]}…"
