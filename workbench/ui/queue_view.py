"""The queue of runs on the Watch page: what waits, what for, and whether it goes on."""

from collections.abc import Sequence

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.training.methods import method_title
from workbench.jobs import queue, training
from workbench.jobs.app_state import AppState
from workbench.store.queue import Hold
from workbench.store.runs import Run
from workbench.ui.parts import Html, card, notice, table, text
from workbench.ui.updates import QUIET, Updates, hidden_except, shown_if

Waiting = tuple[str, str, str]
"""Name, method and model of a run that waits."""


class QueueView:
    def __init__(self) -> None:
        self.card = gr.HTML(elem_id="wb-watch-queue")
        with gr.Row(elem_classes="wb-actions"):
            self.hold = gr.Button("Hold queue", visible=False, elem_id="wb-watch-hold")
            self.go_on = gr.Button("Resume queue", visible=False, elem_id="wb-watch-go-on")

    def wire(self) -> None:
        def hold() -> None:
            gr.Info(queue.hold())

        def go_on() -> None:
            gr.Info(queue.go_on())

        self.hold.click(hold, None, None, **QUIET)
        self.go_on.click(go_on, None, None, **QUIET)

    def updates(self, app: AppState) -> Updates:
        """The card of the queue and its two buttons; nothing where nothing waits."""
        waiting, held = app.survey().waiting, queue.held()
        if not waiting:
            return hidden_except([self.hold, self.go_on], {self.card: gr.update(value="", visible="hidden")})
        busy = app.survey().running
        taken = None if busy else training.unlisted_holder()
        words = training.holder_message(taken) if taken else ""
        html = queue_html([_described(one) for one in waiting], held, busy.name if busy else None, words)
        return {
            self.card: gr.update(value=html, visible=True),
            self.hold: shown_if(held is None),
            self.go_on: shown_if(held is not None),
        }


def _described(run: Run) -> Waiting:
    try:
        config = run.config()
    except WorkbenchError:
        return run.name, "its settings cannot be read", ""
    return run.name, method_title(config.method), config.model.title


def queue_html(waiting: Sequence[Waiting], held: Hold | None, busy: str | None, taken: str = "") -> Html:
    """What waits, in its order, and what for. busy: the run that has the device. taken: why it is not free without one."""
    rows = [(f"{place}. {name}", *rest) for place, (name, *rest) in enumerate(waiting, 1)]
    first = waiting[0][0]
    if held:
        words = notice("info", "The queue is on hold", held.why)
    elif busy:
        words = text(f"{first} starts when {busy} has ended, also when this window is closed.")
    elif taken:
        words = notice("info", f"{first} starts when the device is free", taken)
    else:
        words = text(f"{first} starts in a moment.")
    return card("Waiting for the device", words, table(["Run", "Method", "Model"], rows))


def queue_position_message(name: str, waiting: Sequence[str], held: Hold | None) -> str:
    """Where a run stands in the queue, and when it starts."""
    if name not in waiting:
        return "It starts in a moment."
    place = waiting.index(name)
    before = "It is the next one." if place == 0 else f"{place} {'run comes' if place == 1 else 'runs come'} before it."
    if held:
        return f"{before} The queue is on hold, so it waits until you resume it."
    return f"{before} It starts by itself when the device is free, also when this window is closed."
