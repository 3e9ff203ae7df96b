"""Once a second, in one request: every page's updates, and failures that are told once."""

import gradio as gr
import pytest

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
    clock.each_second(lambda one: (one + 1, one + 2), [a], [a, b])
    clock.each_second(lambda one, two: [one * two], [c, d], [c])
    assert clock.tick(1, 3, 5) == [2, 3, 15]


def test_where_nothing_changed_nothing_is_sent(clock):
    a, b = fields(2)
    clock.each_second(gr.skip, [], [a])
    clock.each_second(lambda one: gr.skip(), [b], [b])
    assert clock.tick(1) == gr.skip()
    clock.each_second(lambda: ("new",), [], [b])
    assert clock.tick(1) == [gr.skip(), gr.skip(), "new"]


def test_a_failure_is_told_once_and_keeps_nothing_else_from_its_page(clock):
    a, b = fields(2)

    def fails():
        raise ValueError("damaged this very moment")

    clock.each_second(fails, [], [a])
    clock.each_second(lambda: ("still here",), [], [b])
    with pytest.raises(gr.Error, match="Something went wrong inside"):
        clock.tick()
    for _ in range(3):
        assert clock.tick() == [gr.skip(), "still here"]
