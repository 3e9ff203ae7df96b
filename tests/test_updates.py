"""What handlers give back; the same with requests that overtake one another in a real browser: tests/browser/test_pages.py."""

import gradio as gr

from workbench.ui.updates import InOrder


def test_of_events_that_draw_the_same_the_one_that_was_sent_last_counts():
    with gr.Blocks():
        field, shown = gr.Textbox(), gr.HTML()
        order = InOrder()
        draw = order.of(lambda value: {shown: value}, [field], [shown])
        clear = order.of(lambda: {shown: ""}, [], [shown])
    newest = draw["outputs"][-1]
    assert draw["fn"](20.0, 10.0, "whole") == {shown: "whole", newest: 20.0}
    assert draw["fn"](15.0, 20.0, "half") == {}, "it was sent before what is shown"
    assert clear["fn"](19.0, 20.0) == {}, "also where another event drew that"
    assert draw["fn"](None, 20.0, "asked by a program") == {shown: "asked by a program", newest: 20.0}
    assert draw["concurrency_id"] == clear["concurrency_id"], "one is answered after the other"


def test_two_views_do_not_wait_for_each_other():
    with gr.Blocks():
        one, other = (InOrder().of(dict, [], [])["concurrency_id"] for _ in range(2))
    assert one != other
