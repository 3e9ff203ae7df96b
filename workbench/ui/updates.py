"""What a handler gives back: updates by component. What is not named keeps what it shows."""

from collections.abc import Iterable
from typing import Any

import gradio as gr
from gradio.blocks import Block

Updates = dict[Block, Any]

QUIET: dict[str, Any] = {"show_progress": "hidden"}
"""Of an event whose answer comes at once: nothing on the page shows that it is waited for."""

LATEST: dict[str, Any] = QUIET | {"trigger_mode": "always_last"}
"""The same, where only the last of many in a row counts: typing, dragging, clicking through a list."""


def shown_if(condition: bool) -> Any:
    """The update of what is there under a condition."""
    return gr.update(visible=condition)


def hidden_except(all_of: Iterable[Block], shown: Updates) -> Updates:
    """Updates of few of many: all others are hidden."""
    return {one: shown_if(False) for one in all_of} | shown
