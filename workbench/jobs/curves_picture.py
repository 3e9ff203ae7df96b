"""The curves of a run as a picture that lies beside a model card: the Hub shows it there, without a program.

A PNG, because every reader of Markdown shows one. Its look is that of the live charts in the light theme.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from workbench.core.monitoring.charts import charts
from workbench.core.training.methods import METHODS
from workbench.core.training.model_card import CURVES, report_in, with_curves, with_section
from workbench.store.runs import Run

_SCALE = 2  # pixels per unit, so that it is sharp where a screen has many
_OVER = 2  # drawn so many times larger, and then made smaller: Pillow's lines have no soft edges
_WIDE, _HIGH = 440, 270  # of a chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 50, 34
_SURFACE, _INK, _QUIET, _GRID = "#ffffff", "#1f2937", "#6b7280", "#e5e7eb"
_PAINT = {"aligned": "#1d4ed8", "base": "#6b7280", "chosen": "#15803d", "rejected": "#b45309"}
_DASHES = {"solid": (), "dashed": (9, 5), "dotted": (3, 4)}

# Charts of a stage: the table of methods names the most telling ones first.
MOST = 4

Point = tuple[float, float]


def write_curves(run: Run, folder: Path) -> list[str]:
    """Draw the curves of a run into CURVES of a folder. Returns what they show, in words; nothing is written of a run without any."""
    plan = run.environment().get("plan") or {}
    ids = [ident for stage in plan for ident in METHODS[stage].charts[:MOST]]
    every = charts(run.log(), plan)
    drawn = [every[ident] for ident in dict.fromkeys(ids) if every[ident]["lines"]]
    if drawn:
        (folder / CURVES).write_bytes(picture(drawn))
    return [chart["measure"] for chart in drawn]


def with_curves_of(run: Run, folder: Path, card: str) -> str:
    """The model card of an export, with the run's curves in a picture beside it."""
    drawn = write_curves(run, folder)
    return with_curves(card, drawn) if drawn and CURVES not in card else card


def with_report_of(run: Run, card: str) -> str:
    """The model card of an export, with what a report said in the one of the run."""
    try:
        return with_section(card, report_in((run.adapter / "README.md").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return card


def picture(drawn: Sequence[Mapping[str, Any]]) -> bytes:
    """Charts as `charts` gives them, two in a row, as a PNG."""
    columns = min(2, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    size = (_WIDE * columns * _SCALE, _HIGH * rows * _SCALE)
    image = Image.new("RGB", (size[0] * _OVER, size[1] * _OVER), _SURFACE)
    for place, chart in enumerate(drawn):
        _Chart(image, chart, (place % columns * _WIDE, place // columns * _HIGH)).draw()
    written = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).quantize(64).save(written, "PNG", optimize=True)
    return written.getvalue()


class _Chart:
    """One chart in its place on the picture. at: its upper left corner, in units."""

    def __init__(self, image: Image.Image, chart: Mapping[str, Any], at: Point):
        self.pen, self.chart, self.at = ImageDraw.Draw(image), chart, at
        points = [point for line in chart["lines"] for point in line["points"] if point[1] is not None]
        marked = [one["y"] for one in chart["references"]]
        self.x = _range([x for x, _ in points])
        self.y = _range([*(y for _, y in points), *marked])

    def draw(self) -> None:
        self._text((14, 8), self.chart["measure"], 14, _INK)
        self._axes()
        for one in self.chart["references"]:
            self._line([self._place(self.x[0], one["y"]), self._place(self.x[-1], one["y"])], _QUIET, 1, (5, 4))
        left = 14.0
        for line in self.chart["lines"]:
            paint, dash = _PAINT.get(line["role"], _INK), _DASHES[line["style"]]
            width = 2.0 if line["weight"] == "thick" else 1.5
            for run in _without_gaps(line["points"]):
                self._line([self._place(*point) for point in run], paint, width, dash)
                if len(run) == 1:
                    self._dot(self._place(*run[0]), paint)
            self._line([(left, 37), (left + 18, 37)], paint, width, dash)
            left += 24 + self._text((left + 22, 30), line["name"], 11, _INK) + 12
        for one in self.chart["references"]:
            if one["label"] != "0":  # the axis says that
                x, y = self._place(self.x[-1], one["y"])
                self._text((x, y - 2), one["label"], 10, _QUIET, "rb")

    def _axes(self) -> None:
        for y in self.y:
            place = self._place(self.x[0], y)
            self._line([place, self._place(self.x[-1], y)], _GRID, 1)
            self._text((place[0] - 6, place[1]), f"{y:.4g}", 10, _QUIET, "rm")
        for x in self.x:
            place = self._place(x, self.y[0])
            self._text((place[0], place[1] + 6), f"{x:,.4g}", 10, _QUIET, "ma")
        self._text((_WIDE - _RIGHT, _HIGH - 14), "step", 10, _QUIET, "ra")

    def _place(self, x: float, y: float) -> Point:
        across = (x - self.x[0]) / (self.x[-1] - self.x[0])
        up = (y - self.y[0]) / (self.y[-1] - self.y[0])
        return _LEFT + across * (_WIDE - _LEFT - _RIGHT), _HIGH - _BOTTOM - up * (_HIGH - _TOP - _BOTTOM)

    def _line(self, points: Sequence[Point], paint: str, width: float, dash: Sequence[float] = ()) -> None:
        for part in _dashed(points, dash) if dash else [points]:
            pixels = [self._pixel(point) for point in part]
            self.pen.line(pixels, paint, round(width * _SCALE * _OVER), "curve")

    def _dot(self, at: Point, paint: str) -> None:
        x, y = self._pixel(at)
        radius = 2.5 * _SCALE * _OVER
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), paint)

    def _text(self, at: Point, words: str, size: int, paint: str, anchor: str = "la") -> float:
        """Write at a place. Returns how wide it is, in units."""
        font = ImageFont.load_default(size * _SCALE * _OVER)
        rim = 2 * _SCALE * _OVER
        self.pen.text(self._pixel(at), words, paint, font, anchor, stroke_width=rim, stroke_fill=_SURFACE)
        return self.pen.textlength(words, font) / _SCALE / _OVER

    def _pixel(self, point: Point) -> Point:
        return (self.at[0] + point[0]) * _SCALE * _OVER, (self.at[1] + point[1]) * _SCALE * _OVER


def _range(values: Sequence[float]) -> list[float]:
    """Round numbers, about five, from below the least value to above the greatest."""
    low, high = min(values), max(values)
    spread = high - low or abs(high) or 1.0
    rough = spread / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [one * step for one in range(first, max(last, first + 1) + 1)]


def _without_gaps(points: Sequence[Sequence[float | None]]) -> Iterator[list[Point]]:
    """The stretches of a line between numbers that were none."""
    run: list[Point] = []
    for x, y in points:
        if x is not None and y is not None:
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _dashed(points: Sequence[Point], dash: Sequence[float]) -> Iterator[list[Point]]:
    """A line cut into the pieces of a dash: so long drawn, so long not."""
    on, off = dash
    left, drawing, part = on, True, [points[0]]
    for start, end in zip(points, points[1:], strict=False):
        length, gone = math.dist(start, end), 0.0
        while length - gone > left:
            gone += left
            at = (start[0] + (end[0] - start[0]) * gone / length, start[1] + (end[1] - start[1]) * gone / length)
            if drawing:
                yield [*part, at]
            drawing, part = not drawing, [at]
            left = on if drawing else off
        left -= length - gone
        if drawing:
            part.append(end)
    if drawing and len(part) > 1:
        yield part
