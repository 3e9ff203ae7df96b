"""A sentence on each chart that says what this curve does now: pure functions of its numbers."""

from workbench.core.monitoring.readings.reading import Reading, Tone
from workbench.core.monitoring.readings.series import Series

__all__ = ["Reading", "Series", "Tone"]
