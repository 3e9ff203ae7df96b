"""Which run the Watch page shows."""

from types import SimpleNamespace

import gradio as gr
import pytest
from made_runs import finished

from workbench.jobs.app_state import AppState
from workbench.store import choices
from workbench.ui.run_actions import wire_choice
from workbench.ui.ticks import Clock


@pytest.fixture
def tick():
    """What a tick does with the choice, and the choice."""
    app = AppState()
    with gr.Blocks():
        run, beside = gr.Dropdown(allow_custom_value=True), gr.Dropdown(multiselect=True)
        clock = Clock(gr.Timer(1.0))
        wire_choice(run, beside, SimpleNamespace(clock=clock, opened={"watch": gr.Tab()}), app)

    def one(shown: str | None, is_open: bool, listed: tuple = ()):
        app.look_again()
        updates = clock.tick(shown, listed, is_open)
        return updates.get(run), next((now for block, now in updates.items() if isinstance(block, gr.State)), listed)

    yield one
    app.close()


def test_a_choice_that_the_page_lost_is_made_again(tick):
    finished("first")
    finished("second")
    choices.update(run="first")
    made, listed = tick(None, is_open=True)
    assert made.value == "first", "the one that was looked at last"
    assert tick(None, is_open=True, listed=listed)[0].value == "first", "also where the list is known"
    assert tick("first", is_open=True, listed=listed)[0] is None
    offered, _ = tick("first", is_open=True)
    assert "value" not in offered, "a new list leaves the choice alone"


def test_a_page_that_was_never_opened_draws_no_run_and_one_without_runs_has_none(tick):
    assert tick(None, is_open=True) == (None, ())
    finished("first")
    offered, listed = tick(None, is_open=False)
    assert "value" not in offered and tick(None, is_open=False, listed=listed)[0] is None
