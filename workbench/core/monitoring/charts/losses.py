"""Charts of losses."""

from workbench.core.monitoring.charts.curves import Curves, Drawn
from workbench.core.monitoring.readings import losses
from workbench.core.training.losses import LN_2

KTO_START = 0.5  # its loss with both weights at 1


def imitation_loss(curves: Curves) -> Drawn:
    return _loss(curves, " (nats per token)", memorizes=True)


def reward_loss(curves: Curves) -> Drawn:
    return _loss(curves, " (nats)") | {"references": [{"y": LN_2, "label": "ln 2: cannot tell"}]}


def paired_loss(curves: Curves) -> Drawn:
    return _loss(curves, " (nats)") | _start(curves)


def single_loss(curves: Curves) -> Drawn:
    return _loss(curves, "") | _start(curves)


def _loss(curves: Curves, unit: str, memorizes: bool = False) -> Drawn:
    reading = losses.loss(*curves.both_series("loss"), memorizes)
    title = "reward" if curves.method.scores else curves.method.title
    return {"measure": f"{title} loss{unit}", "lines": curves.both("loss"), "reading": reading, "log": True}


def _start(curves: Curves) -> Drawn:
    """The loss where there is no preference yet: as measured before the first step, or as it usually is."""
    if not curves.method.has_reference:
        return {}
    usual = LN_2 if curves.method.answers == 2 else KTO_START
    at_start = (row for row in curves.rows if row.get("step") == 0 and row.get("eval_loss") is not None)
    measured = next((float(row["eval_loss"]) for row in at_start), usual)
    start = usual if abs(measured - usual) <= 0.002 else measured
    label = "ln 2" if start == LN_2 else f"{start:.3g}"
    return {"references": [{"y": start, "label": f"{label}: no preference yet"}]}
