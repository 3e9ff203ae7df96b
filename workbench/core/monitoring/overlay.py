"""Several runs in one set of charts: each run in a colour of its own, training solid, held-out dotted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.monitoring.charts import thin_out
from workbench.core.training.config import Stage
from workbench.core.training.methods import METHODS, stage_title

MOST_RUNS = 6
POINTS = 250
"""Of a line at most. Six runs in a chart are as much to send and to draw as one run with longer lines."""

Chart = Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A run with its charts by id. plan: the steps of each stage."""

    name: str
    charts: Mapping[str, Chart]
    plan: Mapping[Stage, int]

    def stage_of(self, ident: str) -> tuple[Stage, int] | None:
        """The stage that a chart is of, and the steps of the stages before it; None where it is of all of them."""
        before = 0
        for stage, steps in self.plan.items():
            if ident in METHODS[stage].charts:
                return stage, before
            before += steps
        return None


def overlaid(runs: Sequence[Drawn]) -> dict[str, dict[str, Any]]:
    """The charts of the first run, by id, with the lines of the others in them.

    Marks, references and the reading are those of the first run that has the chart. Where another one measures something else
    under the same title, such as raw scores beside implicit rewards, it is not drawn, and the reading says so. Where a stage
    begins later in some of the runs, its steps are counted from its own start in all of them.
    """
    return {ident: _together(ident, runs) for ident in runs[0].charts}


def _together(ident: str, runs: Sequence[Drawn]) -> dict[str, Any]:
    drawn = [run for run in runs if ident in run.charts and run.charts[ident]["lines"]]
    if not drawn:
        return dict(runs[0].charts[ident])
    first = drawn[0].charts[ident]
    same = [run for run in drawn if run.charts[ident]["measure"] == first["measure"]]
    places = [run.stage_of(ident) for run in same]
    begins = {run.name: place[1] if place else 0 for run, place in zip(same, places, strict=True)}
    is_aligned = len(set(begins.values())) > 1
    colours = {run.name: f"run{place}" for place, run in enumerate(runs, start=1)}
    lines = [
        _of_run(line, run.name, colours[run.name], begins[run.name] if is_aligned else 0)
        for run in same
        for line in run.charts[ident]["lines"]
    ]
    by = begins[drawn[0].name] if is_aligned else 0
    left_out = [
        f"{run.name} measures another thing: {run.charts[ident]['measure']}." for run in drawn if run not in same
    ]
    reading = [f"{drawn[0].name}: {first['reading']}"] if first["reading"] else []
    return {
        **first,
        "x": f"step of {stage_title(places[0][0])}" if is_aligned and places[0] else first["x"],
        "lines": lines,
        "marks": [{**mark, "x": mark["x"] - by} for mark in first["marks"] if mark["x"] >= by],
        "reading": " ".join([*reading, *left_out]),
    }


def _of_run(line: Mapping[str, Any], run: str, role: str, begins: int) -> dict[str, Any]:
    """A line in the colour of its run. Intervals of several runs would lie on each other, so they are left out."""
    kept = {key: value for key, value in line.items() if key != "band"}
    points = [[x - begins, y] for x, y in thin_out(line["points"], POINTS)]
    return {**kept, "role": role, "run": run, "points": points}
