"""The report on the Compare page: which runs, against what, how many prompts; then verdicts, charts and files."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from workbench.core.chat import Answerer
from workbench.core.errors import WorkbenchError
from workbench.core.report.material import Material
from workbench.core.training.config import parse_model
from workbench.jobs import reports as making
from workbench.jobs.app_state import AppState
from workbench.store import reports
from workbench.store.answerers import offered
from workbench.store.home import write_json, write_text
from workbench.store.run_notes import label_of
from workbench.store.runs import reward_runs
from workbench.ui.compare.who_answers import HowToAnswer
from workbench.ui.environment import export_folder
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, bar, empty
from workbench.ui.report.report_file import report_file
from workbench.ui.report.report_html import report_html
from workbench.ui.updates import QUIET, Updates, there_while

BETWEEN_PICTURES = 0.3  # seconds
COUNTS = (32, 64, 128, 256, 512)
NO_REWARD = ""
_NONE = ("none", NO_REWARD)
_EMPTY = empty(
    "No report yet",
    "A report asks base model and runs the same held-out prompts and says which is better at what you asked, how sure that is, "
    "what it cost elsewhere, and what it cannot say. Choose two runs to see DPO against RLHF.",
)


class ReportView:
    """report: id of the one that is shown; "" for none."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            self.runs = open_dropdown(
                _run_choices(), value=_newest(), label="Runs", multiselect=True,
                max_choices=making.MOST_SUBJECTS - 1,
                info="Each is compared with the base model, and all with each other. Checkpoints can be chosen too.",
                elem_id="wb-report-runs",
            )  # fmt: skip
            self.reward = open_dropdown(
                _reward_choices(), value=NO_REWARD, label="Reward model",
                info="A run that trained one. It scores every answer; what it gained per KL becomes a chart.",
                elem_id="wb-report-reward",
            )  # fmt: skip
        with gr.Row(elem_classes="wb-lane-choice"):
            self.count = gr.Radio(
                list(COUNTS), value=64, label="Held-out prompts",
                info="More make narrower intervals: 64 show a win rate of 70%, 256 one of 60%.",
                elem_id="wb-report-count",
            )  # fmt: skip
            self.judge = gr.Textbox(
                label="Judge model", placeholder="none", max_lines=1,
                info="A model's id or folder. It is asked in both orders, and held against your own votes first.",
                elem_id="wb-report-judge",
            )  # fmt: skip
        with gr.Row(elem_classes="wb-actions"):
            self.start = gr.Button("Make a report", variant="primary", elem_id="wb-report-start")
            self.stop = gr.Button("Stop", visible="hidden", elem_id="wb-report-stop")
        self.earlier = open_dropdown(
            [], value=None, label="Earlier reports", visible=False, elem_id="wb-report-earlier"
        )
        self.progress = gr.HTML(visible="hidden", elem_id="wb-report-progress")
        self.shown = gr.HTML(_EMPTY, elem_id="wb-report-shown")
        with gr.Row(elem_classes="wb-actions"):
            self.html = gr.DownloadButton("Download as a page", visible=False, elem_id="wb-report-html")
            self.json = gr.DownloadButton("Download JSON", visible=False, elem_id="wb-report-json")

    def wire(self, how: HowToAnswer, frame: Frame, opened: gr.Tab, app: AppState) -> None:
        def start(runs: list[str], reward: str, count: int, judge: str, *values: Any) -> Iterator[Updates]:
            system, *numbers = values
            model = parse_model(judge.strip()) if judge.strip() else None
            sampling = how.sampling(*numbers)
            yield from self.fill(app, making.Wanted(runs, count, reward, model, sampling, (system or "").strip()))

        inputs = [self.runs, self.reward, self.count, self.judge, *how.inputs]
        outputs = [self.stop, self.progress, self.shown, self.html, self.json, self.earlier]
        self.start.click(start, inputs, outputs, **QUIET)
        # Not `cancels`: what was measured so far must come to its end and be kept.
        self.stop.click(lambda: making.stop(app), None, None, **QUIET, queue=False)
        gr.on(
            [opened.select, frame.opened["compare"].select],
            self._enter,
            self.runs,
            [self.runs, self.reward, self.earlier],
            **QUIET,
        )
        self.earlier.input(self._open, self.earlier, [self.shown, self.html, self.json], **QUIET)

    def fill(self, app: AppState, wanted: making.Wanted) -> Iterator[Updates]:
        """Make a report: progress, what there is after each part, at last the whole of it with its files."""
        yield {self.stop: there_while(True), self.progress: gr.update(value=bar(0, "starting ..."), visible=True)}
        told, pictured = None, 0.0
        try:
            for now in making.make(app, wanted):
                is_new = bool(now.material.id) and now.material is not told
                # Each answer is told of, and a page that is sent all of it is slower than the model.
                if not is_new and time.monotonic() - pictured < BETWEEN_PICTURES:
                    continue
                updates: Updates = {self.progress: bar(now.fraction, now.words)}
                if is_new:
                    told = now.material
                    updates[self.shown] = report_html(told)
                yield updates
                pictured = time.monotonic()
        except WorkbenchError:
            yield self._ended
            raise
        yield self._ended | ({**self._of(told), self.earlier: _listed(told.id)} if told else {})

    @property
    def _ended(self) -> Updates:
        return {self.stop: there_while(False), self.progress: gr.update(value=Html(""), visible="hidden")}

    def _enter(self, chosen: list[str] | None) -> Updates:
        """What there is now; where nothing is chosen, the newest run is."""
        choices = _run_choices()
        there = [name for name in chosen or () if name in [one for _, one in choices]]
        return {
            self.runs: gr.update(choices=choices, value=there or _newest()),
            self.reward: gr.update(choices=_reward_choices()),
            self.earlier: _listed(),
        }

    def _open(self, id: str | None) -> Updates:
        return self._of(reports.read(id)) if id else {}

    def _of(self, material: Material) -> Updates:
        """The report with both files of it."""
        page, data = (export_folder() / f"report-{material.id}.{kind}" for kind in ("html", "json"))
        write_text(page, report_file(material))
        write_json(data, material.model_dump(mode="json"))
        return {
            self.shown: report_html(material),
            self.html: gr.update(value=str(page), visible=True),
            self.json: gr.update(value=str(data), visible=True),
        }


def _newest() -> list[str]:
    """The run that ended last; none where there is none."""
    return [one.name for one in offered() if not Answerer(one.name).checkpoint][:1]


def _run_choices() -> list[tuple[str, str]]:
    return [(one.label, one.name) for one in offered()]


def _reward_choices() -> Sequence[tuple[str, str]]:
    return [_NONE, *((label_of(run), run.name) for run in reward_runs())]


def _listed(id: str | None = None) -> Any:
    """The earlier reports. id: of the one that is shown, None to leave it as it is."""
    found = reports.listed()
    chosen = {"value": id} if id else {}
    return gr.update(choices=found, visible=bool(found), **chosen)
