"""Once a second, in one request: every page's updates, and failures that are told once."""

import asyncio

import gradio as gr
import pytest
from gradio.routes import App
from gradio.state_holder import SessionState
from starlette.testclient import TestClient

from workbench.jobs.app_state import AppState
from workbench.ui.inputs import Window
from workbench.ui.launch import launch_kwargs
from workbench.ui.shell import build
from workbench.ui.ticks import Clock


def fields(count):
    with gr.Blocks():
        return [gr.Textbox() for _ in range(count)]


@pytest.fixture
def clock():
    with gr.Blocks():
        return Clock(gr.Timer(1.0))


def test_each_part_gets_its_own_values_and_gives_its_own_updates(clock):
    a, b, c, d = fields(4)
    clock.each_second(lambda one: {a: one + 1, b: one + 2}, [a], [a, b])
    clock.each_second(lambda one, two: {c: one * two}, [c, d], [c])
    assert clock.tick(1, 3, 5) == {a: 2, b: 3, c: 15}


def test_where_nothing_changed_nothing_is_sent(clock):
    a, b = fields(2)
    clock.each_second(dict, [], [a])
    clock.each_second(lambda one: {}, [b], [b])
    assert clock.tick(1) == {}
    clock.each_second(lambda: {b: "new"}, [], [a, b])
    assert clock.tick(1) == {b: "new"}


def test_a_tick_in_which_nothing_changed_leaves_every_field_as_it_is():
    """Gradio takes an empty dict for a value, or for too few of them: the window knows what it means."""
    with Window() as window:
        a, b = gr.Textbox("old"), gr.Textbox("older")
        a.change(lambda: {}, None, [a, b])
        a.change(lambda: {}, None, a)
        a.change(lambda: {b: "new"}, None, [a, b])
    sent = [asyncio.run(window.process_api(window.fns[number], []))["data"] for number in range(3)]
    assert sent == [[gr.skip(), gr.skip()], [gr.skip()], [gr.skip(), "new"]]


def test_a_failure_is_told_once_and_keeps_nothing_else_from_its_page(clock):
    a, b = fields(2)

    def fails():
        raise ValueError("damaged this very moment")

    clock.each_second(fails, [], [a])
    clock.each_second(lambda: {b: "still here"}, [], [b])
    with pytest.raises(gr.Error, match="Something went wrong inside"):
        clock.tick()
    for _ in range(3):
        assert clock.tick() == {b: "still here"}


def test_what_a_handler_does_not_name_is_not_built_anew(monkeypatch):
    """Gradio builds a component for each output of an event, whatever it does; here only for what is named."""
    with Window() as window:
        seen, text, many = gr.State(1), gr.Textbox("as it was"), [gr.Textbox() for _ in range(20)]
        button = gr.Button()
        button.click(lambda: {text: gr.update(value="new", lines=2), seen: 2}, None, [seen, *many, text])
    [event] = window.fns.values()
    built = []
    constructor = gr.Textbox.__init__
    monkeypatch.setattr(gr.Textbox, "__init__", lambda self, **given: (built.append(1), constructor(self, **given))[1])
    state = SessionState(window)
    [*others, last] = asyncio.run(window.postprocess_data(event, event.fn(), state))
    assert others == [None, *[gr.skip()] * 20] and last == {"__type__": "update", "value": "new", "lines": 2}
    assert len(built) == 1 and state[seen._id] == 2


def test_an_update_of_what_is_no_output_is_a_bug_that_is_told():
    with Window() as window:
        text, other, button = gr.Textbox(), gr.Textbox(), gr.Button()
        button.click(lambda: {other: "new"}, None, text)
    [event] = window.fns.values()
    with pytest.raises(ValueError, match="none of its outputs"):
        asyncio.run(window.postprocess_data(event, event.fn(), None))


def test_a_tick_in_which_nothing_changed_takes_less_than_a_kilobyte_on_the_wire(home):
    """Each of about a hundred fields is told to stay as it is, which is two kilobytes of the same words."""
    window = build(AppState())
    window.max_file_size = None  # set when a window is launched
    number, tick = next((number, fn) for number, fn in window.fns.items() if getattr(fn.fn, "__name__", "") == "tick")
    data = [None if getattr(field, "stateful", False) else field.value for field in tick.inputs]
    served = App.create_app(window, app_kwargs=launch_kwargs()["app_kwargs"])
    with TestClient(served, base_url="http://127.0.0.1") as client:
        for _ in range(3):
            answer = client.post(
                "/gradio_api/run/predict", json={"fn_index": number, "data": data, "session_hash": "a-tab"}
            )
    told = [one for one, field in zip(answer.json()["data"], tick.outputs, strict=True) if not field.stateful]
    assert told == [gr.skip()] * len(told) and len(told) > 50
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) <= 1000
    assert "content-security-policy" in answer.headers


def test_events_that_nobody_sees_waiting_touch_one_component(home):
    window = build(AppState())
    quiet = [event for event in window.fns.values() if event.show_progress == "hidden"]
    assert len(quiet) > 100
    assert {tuple(one._id for one in event.show_progress_on) for event in quiet} == {
        (quiet[0].show_progress_on[0]._id,)
    }
