"""Charts that go through all stages of a run."""

from collections.abc import Sequence

from workbench.core.monitoring.charts.curves import Curves, Drawn
from workbench.core.monitoring.readings import Series, every_stage
from workbench.core.monitoring.run_log import MEMORY, SPEED

GIGABYTE = 1e9


def entropy(stages: Sequence[Curves]) -> Drawn:
    """Training and held-out; each stage by its name where there are several."""
    lines = []
    for curves in stages:
        training, held_out = curves.both("entropy")
        if len(stages) > 1:
            training["name"], held_out["name"] = curves.title, f"{curves.title}, held-out"
        lines += [training, held_out]
    known = [curves for curves in stages if curves.points("entropy")]
    reading = every_stage.entropy(*known[-1].both_series("entropy")) if known else None
    return {"measure": "entropy (nats per token)", "lines": lines, "reading": reading}


def learning_rate(stages: Sequence[Curves]) -> Drawn:
    reading = every_stage.learning_rate(_newest(stages, "learning_rate"))
    return {"measure": "learning rate", "lines": _by_stage(stages, "learning_rate"), "reading": reading}


def gradient_norm(stages: Sequence[Curves]) -> Drawn:
    """Read point by point: a mean of neighbours would hide a jump."""
    norms = _newest(stages, "grad_norm", whole=True)
    return {
        "measure": "gradient norm",
        "lines": _by_stage(stages, "grad_norm"),
        "reading": every_stage.gradient(norms),
        "log": True,
    }


def speed(stages: Sequence[Curves]) -> Drawn:
    reading = every_stage.speed(_newest(stages, SPEED))
    return {"measure": "tokens per second", "lines": _by_stage(stages, SPEED), "reading": reading}


def memory(stages: Sequence[Curves]) -> Drawn:
    """What is forecast is a line for each stage that needs another amount."""
    forecasts = {one.forecast / GIGABYTE: one.title for one in stages if one.forecast}
    references = [
        {"y": size, "label": "forecast" if len(forecasts) == 1 else f"forecast of {title}"}
        for size, title in forecasts.items()
    ]
    known = [one for one in stages if one.points(MEMORY)]
    newest = known[-1].forecast if known else None
    used = _newest(stages, MEMORY, 1 / GIGABYTE)
    return {
        "measure": "memory (GB)",
        "lines": _by_stage(stages, MEMORY, 1 / GIGABYTE),
        "references": references if known else [],
        "reading": every_stage.memory(used, newest / GIGABYTE if newest else None),
    }


def _by_stage(stages: Sequence[Curves], key: str, factor: float = 1.0) -> list[Drawn]:
    return [one.line(key, one.title, "base", weight="thin", factor=factor) for one in stages]


def _newest(stages: Sequence[Curves], key: str, factor: float = 1.0, whole: bool = False) -> Series:
    """The curve of the last stage that has one."""
    known = [one for one in stages if one.points(key)]
    return known[-1].series(key, factor, whole) if known else Series()
