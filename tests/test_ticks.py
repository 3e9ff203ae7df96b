"""Once a second, in one request: every page's updates, and failures that are told once."""

import asyncio

import gradio as gr
import pytest

from workbench.ui.inputs import Window
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
