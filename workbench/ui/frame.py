"""What every page is given of the window around it."""

from dataclasses import dataclass
from typing import Literal

import gradio as gr

from workbench.ui.ticks import Clock

PageId = Literal["model", "data", "train", "watch", "compare"]


@dataclass(frozen=True)
class Frame:
    """No page is in it: what one page does to another is wired by `shell`.

    opened: the tab of each page; its `select` comes whenever the page is opened, by a click or by `go_to`.
    clock: what happens once a second, whichever page is open.
    """

    tabs: gr.Tabs
    opened: dict[PageId, gr.Tab]
    clock: Clock


def go_to(page: PageId) -> gr.Tabs:
    """The update of `Frame.tabs` that opens a page."""
    return gr.Tabs(selected=page)
