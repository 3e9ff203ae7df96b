"""The curves of a run on the Watch page, two per row."""

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.charts import CHART_IDS, charts, drawn_by
from workbench.jobs.logs import Reading
from workbench.store.runs import Run
from workbench.ui.chart import CHARTS_CLASS, packed, picture
from workbench.ui.updates import Updates


class Curves:
    def __init__(self) -> None:
        with gr.Column(elem_classes=CHARTS_CLASS):
            self.by_id = {ident: picture("chart", f"wb-chart-{ident}") for ident in CHART_IDS}

    def updates(self, run: Run, reading: Reading) -> Updates:
        """All curves of a run, and those hidden that none of its stages has."""
        try:
            shown = drawn_by(run.config().stages)
        except WorkbenchError:
            shown = drawn_by(())
        drawn = charts(reading.log, run.environment().get("plan", {}))
        return {
            self.by_id[ident]: gr.update(value=packed(value), visible=ident in shown or "hidden")
            for ident, value in drawn.items()
            if ident in self.by_id
        }

    def nothing(self) -> Updates:
        # Not False, which would take the canvas off the page.
        return {one: gr.update(visible="hidden") for one in self.by_id.values()}
