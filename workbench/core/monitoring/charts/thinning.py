"""Fewer points that draw the same picture."""

import math
from collections.abc import Sequence

from workbench.core.monitoring.run_log import POINTS_PER_LINE, Point


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
