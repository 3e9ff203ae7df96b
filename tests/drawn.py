"""Pages without a browser: drawn once, and what they show by the elem_id of their components."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.ui import watch_tab
from workbench.ui.all_runs.run_table import RunTable
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


def handler(page: gr.Blocks, *ids: str) -> Callable[..., Any]:
    """What a page does on an event with these fields among its inputs and outputs. Takes values by the ids of its inputs, the
    others as they are drawn."""
    named = ({str(one.elem_id): one for one in (*fn.inputs, *fn.outputs)} for fn in page.fns.values())
    fn = next(fn for fn, fields in zip(page.fns.values(), named, strict=True) if set(ids) <= set(fields))

    def call(**values: Any) -> Any:
        given = {name.replace("_", "-"): value for name, value in values.items()}
        assert set(given) <= {str(one.elem_id) for one in fn.inputs}, "a field of another name"
        return fn.fn(*[given.get(str(one.elem_id), one.value) for one in fn.inputs])

    return call


def watch_page(
    name: str | None, app: AppState | None = None, before: watch_tab.Signature = (), beside: list[str] | None = None
) -> dict[str, Any]:
    """What the Watch page shows of a run."""
    return by_id(watch().page_of(app or AppState(), name, before, beside=beside))


def table_tick(app: AppState) -> Callable[[], Updates]:
    """What a tick does for the list of all runs, where it is open; as the tab holds it in between."""
    collected: list[tuple[Callable[..., Updates], list[Any]]] = []

    class Clock:
        def each_second(self, happens: Callable[..., Updates], inputs: list[Any], _outputs: list[Any]) -> None:
            collected.append((happens, inputs))

    with gr.Blocks():
        table, run, is_open = RunTable(), gr.Dropdown(value="run-000", allow_custom_value=True), gr.State(True)
        table.wire(run, gr.HTML(), is_open, SimpleNamespace(clock=Clock()), app)
    ((happens, inputs),) = collected
    held = {one: one.value for one in inputs}

    def tick() -> Updates:
        updates = happens(*held.values())
        held.update({one: value for one, value in updates.items() if one in held and isinstance(one, gr.State)})
        return updates

    return tick


def starts(name: str | None) -> gr.Dropdown:
    """What "Start from" offers on the Train page, with one run or checkpoint asked for."""
    fields = train().fields
    return fields.start_update(name)[fields.start_from]
