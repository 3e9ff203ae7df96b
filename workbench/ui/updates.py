"""What a handler gives back: updates by component. What is not named keeps what it shows."""

from collections.abc import Iterable
from typing import Any

import gradio as gr
from gradio.blocks import Block

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


def shown_if(condition: bool) -> Any:
    """The update of what is there under a condition."""
    return gr.update(visible=condition)


def there_while(working: bool) -> Any:
    """The update of what is there only during some work; it is built with visible="hidden".

    Gradio mounts what was never visible some time after it is told to. Work that ends within that time is overtaken:
    the button that was hidden at its end appears after it and stays. What is "hidden" is mounted from the beginning.
    """
    return gr.update(visible=working or "hidden")


def hidden_except(all_of: Iterable[Block], shown: Updates) -> Updates:
    """Updates of few of many: all others are hidden."""
    return {one: shown_if(False) for one in all_of} | shown
