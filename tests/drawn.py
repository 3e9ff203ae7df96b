"""Pages without a browser: drawn once, and what they show by the elem_id of their components."""

from functools import cache
from typing import Any

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.ui import watch_tab
from workbench.ui.train_tab import TrainTab
from workbench.ui.updates import Updates
from workbench.ui.watch_tab import WatchTab


@cache
def watch() -> WatchTab:
    with gr.Blocks():
        return WatchTab()


@cache
def train() -> TrainTab:
    with gr.Blocks():
        return TrainTab()


def by_id(updates: Updates) -> dict[str, Any]:
    return {str(component.elem_id): update for component, update in updates.items()}


def watch_page(
    name: str | None, app: AppState | None = None, before: watch_tab.Signature = (), beside: list[str] | None = None
) -> dict[str, Any]:
    """What the Watch page shows of a run."""
    return by_id(watch().page_of(app or AppState(), name, before, beside=beside))


def starts(name: str | None) -> gr.Dropdown:
    """What "Start from" offers on the Train page, with one run or checkpoint asked for."""
    fields = train().fields
    return fields.start_update(name)[fields.start_from]
