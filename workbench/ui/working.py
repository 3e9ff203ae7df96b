"""Work that takes a while, as a bar that grows on the page, with a button that ends it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.jobs import preparing
from workbench.jobs.app_state import AppState
from workbench.jobs.child import Progress
from workbench.jobs.preparing import Cancelled
from workbench.ui.environment import log_file
from workbench.ui.parts import bar
from workbench.ui.updates import QUIET, Updates, there_while

logger = logging.getLogger(__name__)

_BEAT = 0.25  # seconds between two looks at how far the work is


@dataclass(frozen=True)
class WorkView:
    """bar: where it is shown how far the work is. cancel: shown while something is at work."""

    bar: gr.HTML
    cancel: gr.Button

    @property
    def outputs(self) -> list[gr.HTML | gr.Button]:
        return [self.bar, self.cancel]

    def during(
        self, app: AppState, request: gr.Request, act: Callable[[Progress], Any], what: str
    ) -> Generator[Updates, None, Any]:
        """Updates while `act` goes on in a thread; the generator returns its result, and raises what it raises.

        act: is given a function for its progress (fraction, words), which raises once the work is to end: after a click on
        Cancel, or when the page went away. what: the work in words; with them every page tells what became of it then.
        """
        cancelled, gone = threading.Event(), threading.Event()
        said: queue.Queue[tuple[float, str]] = queue.Queue()
        outcome: dict[str, Any] = {}

        def progress(fraction: float, words: str) -> None:
            if cancelled.is_set():
                raise Cancelled
            said.put((fraction, words))

        def run() -> None:
            try:
                outcome["result"] = act(progress)
            except Exception as error:
                outcome["error"] = error
            if gone.is_set():
                app.untold = unseen_results_message(what, outcome.get("error"))

        thread = threading.Thread(target=run, daemon=True)
        app.working[str(request.session_hash)] = cancelled
        app.untold = ""
        thread.start()
        fraction, words = 0.0, "starting"
        try:
            while thread.is_alive():
                shown = bar(fraction, "stopping" if cancelled.is_set() else words)
                yield {self.bar: shown, self.cancel: there_while(True)}
                thread.join(_BEAT)
                while not said.empty():
                    fraction, words = said.get()
        except GeneratorExit:
            gone.set()
            raise
        finally:
            app.working.pop(str(request.session_hash), None)
            cancelled.set()
        if "error" in outcome:
            yield self.over()
            raise outcome["error"]
        return outcome["result"]

    def over(self, said: str = "") -> Updates:
        """Updates once the work is done. said: HTML in place of the bar."""
        return {self.bar: said, self.cancel: there_while(False)}

    def wire(self, app: AppState) -> None:
        """Cancel ends the work of this browser tab, and of no other."""

        def end(request: gr.Request) -> None:
            if at_work := app.working.get(str(request.session_hash)):
                at_work.set()

        self.cancel.click(end, None, None, **QUIET, queue=False)


def cancel_button() -> gr.Button:
    return gr.Button("Cancel", size="sm", variant="stop", visible="hidden")


def unseen_results_message(what: str, error: Exception | None) -> str:
    """What became of work that nobody watched to its end."""
    if error is None:
        return f"{what} was finished after the page that showed it was closed or loaded again."
    if isinstance(error, Cancelled):
        return (
            f"{what} was ended, because the page that showed it was closed or loaded again. Nothing was stored. "
            "Begin it again, and leave the page open until it is done."
        )
    if isinstance(error, WorkbenchError):
        return f"{what} failed after the page that showed it was closed or loaded again. {error}"
    logger.error("%s failed", what, exc_info=error)
    return f"{what} failed after the page that showed it was closed or loaded again. The details are in {log_file()}."


def prepared(task: dict[str, Any]) -> Callable[[Progress], Any]:
    """A task of the data child, as something to do `during` which a bar is shown."""
    return lambda progress: preparing.run(task, progress=progress)
