"""What the pages know of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import gradio as gr

from workbench.ui.ticks import Clock

if TYPE_CHECKING:
    from workbench.ui.compare_tab import CompareTab
    from workbench.ui.data.data_tab import DataTab
    from workbench.ui.model_tab import ModelTab
    from workbench.ui.train_tab import TrainTab
    from workbench.ui.watch_tab import WatchTab

PageId = Literal["model", "data", "train", "watch", "compare"]


@dataclass(frozen=True)
class Pages:
    """Every component that is drawn, by page, for `wire`.

    opened: the tab of each page; its `select` comes whenever the page is opened, by a click or by `go_to`.
    clock: what happens once a second, whichever page is open.
    """

    tabs: gr.Tabs
    opened: dict[PageId, gr.Tab]
    status: gr.HTML
    clock: Clock
    model: ModelTab
    data: DataTab
    train: TrainTab
    watch: WatchTab
    compare: CompareTab


def go_to(page: PageId) -> gr.Tabs:
    """The update of `Pages.tabs` that opens a page."""
    return gr.Tabs(selected=page)
