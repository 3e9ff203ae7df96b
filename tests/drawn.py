"""Pages without a browser: drawn once, and what they show by the elem_id of their components."""

from functools import cache
from typing import Any

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.ui import train_tab, watch_tab
from workbench.ui.updates import Updates


@cache
def watch() -> watch_tab.WatchTab:
    with gr.Blocks():
        return watch_tab.draw()


@cache
def train() -> train_tab.TrainTab:
    with gr.Blocks():
        return train_tab.draw()


def by_id(updates: Updates) -> dict[str, Any]:
    return {str(component.elem_id): update for component, update in updates.items()}


def watch_page(name: str | None, app: AppState | None = None, before: watch_tab.Signature = ()) -> dict[str, Any]:
    """What the Watch page shows of a run."""
    return by_id(watch_tab.page_of(watch(), app or AppState(), name, before))


def starts(name: str | None) -> gr.Dropdown:
    """What "Start from" offers on the Train page, with one run or checkpoint asked for."""
    fields = train().fields
    return train_tab.start_update(fields, name)[fields.start_from]
