"""What a run logged -> what a person sees: charts, and a sentence on each that reads it."""

from workbench.core.monitoring.charts.drawing import CHART_IDS, charts, drawn_by, readings
from workbench.core.monitoring.charts.thinning import thin_out

__all__ = ["CHART_IDS", "charts", "drawn_by", "readings", "thin_out"]
