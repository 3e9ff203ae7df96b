"""What every page is given of the window around it."""

from dataclasses import dataclass
from typing import Literal

import gradio as gr

from workbench.ui.ticks import Clock

PageId = Literal["model", "data", "train", "watch", "compare"]

# For the head of the page, which Gradio's page puts in place before it draws anything: a page that is loaded again opens where it was at
# once, without drawing the first one. Where that does not work, `shell` opens it a moment later.
FIRST_PAGE = """<script>{
    const tabs = window.gradio_config?.components?.find((one) => one.props.elem_id === 'wb-pages');
    const page = sessionStorage.getItem('wb-page');
    if (tabs && page) tabs.props.selected = page;
}</script>"""


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
