"""What the pages share: the chat makes room for training where both want the card, and only there."""

import sys

import pytest
from configs import demo_config
from made_runs import create_run
from test_chat import FAKE

from workbench.core.training.config import ModelRef
from workbench.jobs import app_state as app_state_module
from workbench.jobs import training
from workbench.jobs.app_state import AppState, short_count
from workbench.jobs.chat import Chat
from workbench.jobs.survey import Survey


@pytest.fixture
def app(monkeypatch):
    one = AppState()
    one.chat = Chat([sys.executable, "-c", FAKE])
    one.chat.start(ModelRef())
    one.chat.wait(10)
    monkeypatch.setattr(training, "start", lambda config, fork=None: create_run(config))
    yield one
    one.close()


@pytest.mark.parametrize("card", [True, False])
def test_the_chat_is_closed_with_a_word_where_there_is_a_card_to_share(app, monkeypatch, card):
    monkeypatch.setattr(app_state_module, "has_card", lambda: card)
    monkeypatch.setattr(app_state_module, "fits_beside_run", lambda run, model: False)
    run = app.start(demo_config())
    assert app.chat.is_open is not card
    assert (f"{run.name} trains on the card" in app.chat.word) is card


def test_the_chat_makes_room_once_for_a_run_that_the_queue_started(app, monkeypatch):
    """A model that a person loads while it trains stays."""
    run = create_run(demo_config())
    monkeypatch.setattr(app_state_module, "has_card", lambda: True)
    monkeypatch.setattr(app_state_module, "fits_beside_run", lambda run, model: False)
    monkeypatch.setattr(app_state_module, "survey", lambda: Survey((run,), {run.name: "running"}))
    app.poll()
    assert not app.chat.is_open
    app.chat.start(ModelRef())
    app.chat.wait(10)
    app.poll()
    assert app.chat.is_open
    run.write_worker(4711, 1.0)  # it was resumed, or another run has its name: another start of the queue
    app.poll()
    assert not app.chat.is_open


def test_what_is_loaded_is_said_in_a_few_words(app):
    assert app.loaded() == "fake 1 · NF4 · CPU"
    app.chat.close()
    assert app.loaded() is None
    assert [short_count(count) for count in (999, 4_600_000, 1_720_000_000)] == ["999", "4.6M", "1.72B"]


def test_the_meter_tells_of_something_that_is_there(app):
    found = app.meter()
    assert 0 < found.used < found.total
    assert found.what in ("RAM", "GPU") and 0 <= found.load <= 100
    assert app.meter() is found, "all tabs share one look at the machine"


def test_who_uses_the_memory_is_the_run_and_the_chat(app, monkeypatch):
    run = create_run(demo_config())
    run.write_worker(4711, 1.0)
    monkeypatch.setattr(app_state_module, "survey", lambda: Survey((run,), {run.name: "running"}))
    assert app._at_work() == {app.chat.pid: "chat", 4711: "the run"}
