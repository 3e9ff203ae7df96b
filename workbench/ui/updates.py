"""What a handler gives back: updates by component. What is not named keeps what it shows."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

Updates = dict[Block, Any]

QUIET: dict[str, Any] = {"show_progress": "hidden"}
"""Of an event whose answer comes at once: nothing on the page shows that it is waited for."""

LATEST: dict[str, Any] = QUIET | {"trigger_mode": "always_last"}
"""The same, where only the last of many in a row counts: typing, dragging, clicking through a list.

At most one listener of a component's event may be so. Gradio 6.31 keeps what such a listener missed by sending the whole event
once more, to all that listen to it: two of them keep each other busy for ever, and the page with them.
"""

EACH: dict[str, Any] = QUIET | {"trigger_mode": "multiple"}
"""The same for the others that listen to that event. Each time counts, one after the other."""


class InOrder:
    """Events that draw the same, of which the one that was sent last counts.

    Fields that are filled in together each tell that they changed, the first of them while the others are still empty. Gradio 6.31 sends
    all these events at once, LATEST or not (it looks for one that is under way before it has noted any: `dispatch` in js/core); any of
    them can arrive last, and what it draws would stay. So each is sent with its time and answered one after the other, and one that is
    older than what is shown is not answered.
    """

    def __init__(self) -> None:
        self._sent, self._newest = gr.Number(visible=False), gr.State(0.0)

    def of(self, draw: Callable[..., Updates], inputs: Sequence[Component], outputs: Sequence[Block]) -> dict[str, Any]:
        """What an event that calls `draw` is made with."""

        @functools.wraps(draw)
        def draw_newest(sent: float | None, newest: float, *values: Any) -> Updates:
            """sent: in milliseconds of the page; None from a program, which waits for its answers."""
            if sent is not None and sent < newest:
                return {}
            return {**draw(*values), self._newest: newest if sent is None else sent}

        del draw_newest.__wrapped__  # by which Gradio would count its inputs
        return {
            "fn": draw_newest,
            "inputs": [self._sent, self._newest, *inputs],
            "outputs": [*outputs, self._newest],
            "js": "(sent, ...values) => [performance.now(), ...values]",
            "concurrency_id": f"in-order-{self._newest._id}",
            "concurrency_limit": 1,
        }


def shown_if(condition: bool) -> Any:
    """The update of what is there under a condition."""
    return gr.update(visible=condition)


def there_while(working: bool) -> Any:
    """The update of what is there only during some work; it is built with visible="hidden".

    Gradio mounts what was never visible some time after it is told to. Work that ends within that time is overtaken:
    the button that was hidden at its end appears after it and stays. What is "hidden" is mounted from the beginning.
    Not for what is told while its tab within another tab was never opened: Gradio 6.31 forgets that of what is "hidden".
    """
    return gr.update(visible=working or "hidden")


def hidden_except(all_of: Iterable[Block], shown: Updates) -> Updates:
    """Updates of few of many: all others are hidden."""
    return {one: shown_if(False) for one in all_of} | shown
