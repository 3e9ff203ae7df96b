"""The curves of a run on the Watch page, two per row, with those of other runs in them."""

from collections.abc import Sequence

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.charts import CHART_IDS, charts, drawn_by
from workbench.core.monitoring.health import RunFinding
from workbench.core.monitoring.overlay import Drawn, overlaid
from workbench.core.training.config import RunConfig
from workbench.jobs.logs import Reading
from workbench.jobs.proposals import when_first_said
from workbench.store.runs import Run
from workbench.ui.chart import CHARTS_CLASS, packed, picture
from workbench.ui.explained_view import explained_html
from workbench.ui.updates import Updates


class Curves:
    def __init__(self) -> None:
        with gr.Column(elem_classes=CHARTS_CLASS):
            self.by_id = {
                ident: picture("chart", f"wb-chart-{ident}", explanation=explained_html(ident)) for ident in CHART_IDS
            }

    def updates(
        self,
        run: Run,
        reading: Reading,
        findings: Sequence[RunFinding] = (),
        beside: Sequence[tuple[Run, Reading]] = (),
        is_over: bool = False,
    ) -> Updates:
        """All curves of a run, and those hidden that none of its stages has. beside: more runs to be drawn in them.

        is_over: nothing comes any more, so a chart is hidden for which nothing was logged, as by an earlier version.
        """
        config = _config(run)
        shown = drawn_by(config.stages if config else ())
        drawn = _drawn(run, reading, when_first_said(run, findings))
        found = overlaid([drawn, *(_drawn(*other) for other in beside)]) if beside else drawn.charts
        return {
            self.by_id[ident]: gr.update(
                value=packed(dict(value)),
                visible=(ident in shown and (not is_over or bool(value["lines"]))) or "hidden",
            )
            for ident, value in found.items()
            if ident in self.by_id
        }

    def nothing(self) -> Updates:
        # Not False, which would take the canvas off the page.
        return {one: gr.update(visible="hidden") for one in self.by_id.values()}


def _drawn(run: Run, reading: Reading, findings: Sequence[RunFinding] = ()) -> Drawn:
    environment = run.environment()
    plan, probes = environment.get("plan", {}), environment.get("probes", {})
    forecasts = {stage: probe["forecast"] for stage, probe in probes.items() if probe.get("forecast")}
    return Drawn(run.name, charts(reading.log, plan, _config(run), findings, forecasts), plan)


def _config(run: Run) -> RunConfig | None:
    try:
        return run.adjusted_config()
    except WorkbenchError:
        return None
