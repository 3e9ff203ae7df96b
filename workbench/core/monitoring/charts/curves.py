"""What was logged of one stage, as lines of a chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.core.monitoring.charts.thinning import thin_out
from workbench.core.monitoring.health.curve import held_out_count
from workbench.core.monitoring.metrics import Row
from workbench.core.monitoring.readings import Series
from workbench.core.monitoring.readings.reading import FEWEST
from workbench.core.monitoring.run_log import Point, RunLog
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS, Method, stage_title

Drawn = dict[str, Any]
"""What a chart says beside its title: see ui/chart.py."""


@dataclass(frozen=True)
class Curves:
    """One stage of a run. offset: the steps of the stages before it. config: None where it cannot be read.

    forecast: bytes that the stage needs at most; None where nobody knows.
    """

    log: RunLog
    stage: Stage
    offset: int
    config: RunConfig | None = None
    forecast: int | None = None

    @property
    def method(self) -> Method:
        return METHODS[self.stage]

    @property
    def title(self) -> str:
        return stage_title(self.stage)

    @cached_property
    def rows(self) -> Sequence[Row]:
        return [row for row in self.log.rows if row.get("stage") == self.stage and "step" in row]

    @property
    def beta(self) -> float | None:
        """What rewards are nats times, of a method that has such a number."""
        if self.config is None:
            return None
        own = self.config.own(self.stage)
        # TRL calls the weight of a method without a reference its beta, and multiplies rewards by that.
        found = getattr(own, "beta", None) or getattr(own, "weight", None)
        return float(found) if found else None

    @cached_property
    def tokens(self) -> dict[str, float]:
        """Mean tokens of a chosen and of a rejected answer, where they were counted before the first step."""
        found = {}
        for side in ("chosen", "rejected"):
            counted = next((row[f"answers/{side}"] for row in self.rows if row.get(f"answers/{side}")), None)
            if counted:
                found[side] = float(counted)
        # A thumb up or down belongs to one answer, and only the length of all of them was counted.
        return {"rejected": found["chosen"], **found} if "chosen" in found else {}

    @cached_property
    def pairs(self) -> int:
        """Held-out pairs that an evaluation measures; 0 where that was not logged."""
        measured = [row for row in self.rows if row.get("eval_runtime")]
        return held_out_count(measured[-1]) if measured else 0

    def points(self, key: str) -> list[Point]:
        """Every point that is kept of a curve, by the step of the stage."""
        return self.log.points(self.stage, key)

    def series(self, key: str, factor: float = 1.0, whole: bool = False) -> Series:
        """A curve to be read, by the step of the run. The rewards of a model that is its own reference at the start are 0 there.

        factor: what the logged numbers are multiplied by. whole: point by point, where means of neighbours would hide a jump.
        """
        if (key, whole) not in self._series:
            points = self.points(key)
            self._series[key, whole] = Series.of(points, len(points)) if whole else Series.of(points)
        from_zero = self.method.has_reference and "rewards/" in key
        return self._series[key, whole].shown(self.offset, factor, 0.0 if from_zero else None)

    def line(
        self, key: str, name: str, role: str, style: str = "solid", weight: str = "thick", factor: float = 1.0
    ) -> Drawn:
        if key not in self._thinned:
            self._thinned[key] = thin_out(self.points(key))
        points = [[step + self.offset, _times(value, factor)] for step, value in self._thinned[key]]
        return {"name": name, "role": role, "style": style, "weight": weight, "points": points}

    # Several charts show the same numbers in other units.
    @cached_property
    def _series(self) -> dict[tuple[str, bool], Series]:
        return {}

    @cached_property
    def _thinned(self) -> dict[str, Sequence[Point]]:
        return {}

    def both(self, key: str, factor: float = 1.0) -> list[Drawn]:
        """In training and on held-out data."""
        return [
            self.line(key, "training", "aligned", factor=factor),
            self.line(f"eval_{key}", "held-out", "aligned", "dotted", factor=factor),
        ]

    def both_series(self, key: str, factor: float = 1.0) -> tuple[Series, Series]:
        return self.series(key, factor), self.series(f"eval_{key}", factor)

    def sides(self, kind: str, factors: dict[str, float] | None = None) -> list[Drawn]:
        """Chosen and rejected, in training and on held-out data. kind: what is logged of both, such as "rewards"."""
        by = factors or {"chosen": 1.0, "rejected": 1.0}
        return [
            self.line(f"{kind}/chosen", "chosen", "chosen", factor=by["chosen"]),
            self.line(f"{kind}/rejected", "rejected", "rejected", "dashed", factor=by["rejected"]),
            self.line(f"eval_{kind}/chosen", "chosen, held-out", "chosen", "dotted", factor=by["chosen"]),
            self.line(f"eval_{kind}/rejected", "rejected, held-out", "rejected", "dotted", factor=by["rejected"]),
        ]

    def side_series(self, kind: str, factors: dict[str, float] | None = None) -> tuple[Series, Series]:
        """Chosen and rejected: of held-out data, which are the same rows each time, where there are two evaluations.

        Of training where there are not; the last point alone while these are too few to be told from noise.
        """
        by = factors or {"chosen": 1.0, "rejected": 1.0}
        held = (
            self.series(f"eval_{kind}/chosen", by["chosen"]),
            self.series(f"eval_{kind}/rejected", by["rejected"]),
        )
        if min(map(len, held)) > 1 and held[0].lost is None:
            return held
        trained = self.series(f"{kind}/chosen", by["chosen"]), self.series(f"{kind}/rejected", by["rejected"])
        return trained if min(map(len, trained)) >= FEWEST else (trained[0].last, trained[1].last)


def _times(value: float | None, factor: float) -> float | None:
    return value if value is None or factor == 1.0 else value * factor
