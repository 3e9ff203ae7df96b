"""python made_up_method.py HOME: adds a method to the table and to nothing else, then looks for it everywhere.

A program of its own, as the settings of a run are made of the table when they are imported. Prints one JSON object.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from pydantic import Field

from workbench.core.training.methods import LOSS, METHODS, Method, Result
from workbench.core.training.settings import ReferenceSettings


class MadeUpSettings(ReferenceSettings):
    """Learn from pairs by a rule that nobody published."""

    TITLE = "Made-up"

    tilt: float = Field(0.3, ge=0, le=1, title="Tilt", description="How far it leans.")


METHODS["made-up"] = Method(
    "made-up",
    MadeUpSettings,
    "made-up preference optimization",
    "leans towards the chosen answers.",
    ("preference",),
    "DPOTrainer",
    "DPOConfig",
    charts=("dpo-loss",),
    results=(LOSS, Result("eval_tilt", "tilt", "Tilt reached", ".1%")),
    closing="It leans by {tilt:.2f}.",
    up_front=("learning_rate", "tilt"),
    health=("reference",),
    has_reference=True,
    operations=2,
)

SETTINGS = {
    "name": "leaning",
    "method": "made-up",
    "preference_data": "demo-preferences",
    "batch_size": 8,
    "accumulation": 1,
    "made-up": {"max_steps": 4, "tilt": 0.7},
}
ROWS = [
    {"stage": "made-up", "step": 0, "steps": 4, "time": 0.0, "eval_loss": 0.7, "eval_tilt": 0.0},
    {"stage": "made-up", "step": 4, "steps": 4, "time": 9.0, "eval_loss": 0.5, "eval_tilt": 0.42},
]


def main(home: Path) -> None:
    import gradio as gr
    from made_runs import create_run

    from workbench.cli import main as command_line
    from workbench.core.monitoring.charts import charts, drawn_by
    from workbench.core.monitoring.health import examine
    from workbench.core.monitoring.metrics import closing_message, results
    from workbench.core.monitoring.run_log import RunLog
    from workbench.core.training.config import read_config
    from workbench.core.training.forks import Fork, parse_fork
    from workbench.core.training.model_card import model_card
    from workbench.core.training.recipe import Device, trainer_arguments
    from workbench.store.runs import Run
    from workbench.ui.train_form import recipe_values
    from workbench.ui.train_summary import summary_html
    from workbench.ui.train_tab import TrainTab

    def said(*arguments: str) -> dict | list:
        with contextlib.redirect_stdout(io.StringIO()) as told:
            assert command_line([*arguments, "--json"]) == 0
        return json.loads(told.getvalue())

    config = read_config(SETTINGS)
    with gr.Blocks():
        form = TrainTab().fields
    run = create_run(config)
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    run.write_result("finished", "It is done.")
    planned = home / "plan.json"
    forecasts = {}
    for method in ("made-up", "dpo", "sft"):
        planned.write_text(json.dumps({"method": method, "preference_data": "demo-preferences", "batch_size": 8}))
        forecasts[method] = said("plan", str(planned))
    rows = run.metrics()
    values = recipe_values("demo") | SETTINGS | {"made-up.max_steps": 4, "start_from": ""}
    print(
        json.dumps(
            {
                "choices": form.named["method"].choices,
                "widget": [form.named["made-up.tilt"].label, form.named["made-up.tilt"].visible],
                "shown for": [list(stages) for stages, widget in form.of_stage if widget is form.named["made-up.tilt"]],
                "summary": summary_html(values),
                "forecasts": forecasts,
                "chart": charts(RunLog.of(rows), {"made-up": 4})["dpo-loss"],
                "charts": drawn_by(config.stages),
                "card": model_card(config, {}, results(rows, config)),
                "end": closing_message(rows, config),
                "runs": said("runs"),
                "read again": Run(run.folder).config().own("made-up").model_dump(),
                "arguments": trainer_arguments(config, "made-up", Device("cpu", "CPU", False), 4, "scratch"),
                "health": [found.rule for found in examine(rows, config, {"made-up": 4})],
                "fork": parse_fork(Fork("leaning", "made-up", 2).written) == Fork("leaning", "made-up", 2),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
