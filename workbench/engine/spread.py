"""How far the held-out margin of pairs may be off: its standard error, logged beside it."""

import math
from collections.abc import Sequence
from statistics import stdev
from typing import Any

from workbench.core.monitoring.sweep_result import MARGIN_ERROR

_MARGINS = "rewards/margins"


def with_margin_error(trainer_class: type) -> type:
    """A trainer of pairs that tells with each evaluation how far its margin may be off.

    TRL keeps a mean for each batch and tells the mean of those, so the error is that of means: the spread between the batches
    over the root of their number. A single batch says nothing of it.
    """

    class Telling(trainer_class):  # type: ignore[misc]
        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if "eval_loss" in logs:
                kept: Any = getattr(self, "_stored_metrics", None) or getattr(self, "_metrics", {})
                error = standard_error(kept.get("eval", {}).get(_MARGINS, ()))
                if error is not None:
                    logs[MARGIN_ERROR] = error
            super().log(logs, start_time)

    return Telling


def standard_error(values: Sequence[float]) -> float | None:
    """Of their mean; None of fewer than two, and where one of them is no number."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return stdev(values) / math.sqrt(len(values))
