"""A dropdown whose choices are what lies on disk."""

from collections.abc import Sequence
from typing import Any

import gradio as gr


def open_dropdown(choices: Sequence[tuple[str, str]], **look: Any) -> gr.Dropdown:
    """A dropdown of names of runs or datasets, which come and go. look: as gr.Dropdown takes it.

    Gradio refuses a value that is not among the choices that this process gave the page, in technical words. After a
    restart of the window it has given none, and an open tab would be refused all that it shows. Whether there is such a
    run or dataset is for the handler to find out, as it must anyway.
    """
    return gr.Dropdown(list(choices), allow_custom_value=True, **look)
