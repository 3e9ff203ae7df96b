"""Work whose page is closed or loaded again: what became of it is told to whoever looks next."""

import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.ui.data.display import unseen_results_html
from workbench.ui.working import WorkView, cancel_button

TAB: Any = SimpleNamespace(session_hash="tab")
with gr.Blocks():
    VIEW = WorkView(gr.HTML(), cancel_button())


def left_alone(act: Any) -> AppState:
    """A app whose tab went away after the first bar, once it has something to tell."""
    app = AppState()
    bars = VIEW.during(app, TAB, act, "Storing mine")
    next(bars)
    bars.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 10
    while not app.untold and time.monotonic() < until:
        time.sleep(0.01)
    return app


def goes_on(progress: Any) -> None:
    while True:
        progress(0.5, "half")
        time.sleep(0.01)


def test_work_is_ended_with_its_page_and_that_is_told_until_there_is_new_work():
    app = left_alone(goes_on)
    assert app.untold.startswith("Storing mine was ended, because the page that showed it was closed or loaded again.")
    assert "Nothing was stored" in unseen_results_html(app.untold)
    assert list(VIEW.during(app, TAB, lambda progress: time.sleep(0.3), "Storing yours"))
    assert app.untold == "" and unseen_results_html(app.untold) == ""


def failing(text: Exception) -> Any:
    def act(progress: Any) -> None:
        time.sleep(0.1)
        raise text

    return act


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda progress: time.sleep(0.1), "Storing mine was finished after the page"),
        (failing(WorkbenchError("The disk is full.")), "The disk is full."),
        (failing(ValueError("a bug")), "The details are in "),
    ],
    ids=["at its end already", "refused", "a bug"],
)
def test_work_that_comes_to_an_end_of_its_own_says_which(act, words):
    assert words in left_alone(act).untold


def test_work_that_is_watched_to_its_end_is_not_told_again():
    app = AppState()
    assert list(VIEW.during(app, TAB, lambda progress: time.sleep(0.3), "Storing mine"))
    assert app.untold == ""
