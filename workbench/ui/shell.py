"""The frame of the window: the status line, the five pages, and one clock for all of them."""

from typing import Any

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.ui import compare_tab, model_tab, train_tab, watch_tab
from workbench.ui.data import data_tab
from workbench.ui.data.display import unseen_results_html
from workbench.ui.inputs import Window
from workbench.ui.pages import PageId, Pages
from workbench.ui.status import status_html
from workbench.ui.ticks import Clock

# Uploads are looked at every hour and go after a day; imported data was copied out of them by then.
_CACHE_CARE = (3600, 86_400)

# The first page is selected whenever the window is drawn, before anything can be asked for.
_REMEMBER = "() => { if (window.wbIsBack) sessionStorage.setItem('wb-page', '%s'); }"
_RETURN = """() => {
    window.wbIsBack = true;
    return {__type__: 'update', selected: sessionStorage.getItem('wb-page') ?? 'model'};
}"""


def build(app: AppState) -> gr.Blocks:
    """The whole window: all pages drawn, then all pages wired."""
    app.poll()
    with Window(title="Workbench", fill_width=True, analytics_enabled=False, delete_cache=_CACHE_CARE) as window:
        status = gr.HTML(lambda: status_html(app), elem_id="wb-status", js_on_load=None)
        clock = Clock(gr.Timer(1.0))
        # Gradio's own menu for tabs that do not fit hides them; wrapped ones are laid out by theme.css.
        with gr.Tabs(selected="model", overflow_behavior="wrap", elem_id="wb-pages") as tabs:
            with gr.Tab("1 Model", id="model") as model_page:
                model = model_tab.draw(app)
            with gr.Tab("2 Data", id="data") as data_page:
                data = data_tab.draw(app)
            with gr.Tab("3 Train", id="train") as train_page:
                train = train_tab.draw(app)
            with gr.Tab("4 Watch", id="watch") as watch_page:
                watch = watch_tab.draw(app)
            with gr.Tab("5 Compare", id="compare") as compare_page:
                compare = compare_tab.draw(app)
        opened: dict[PageId, gr.Tab] = {
            "model": model_page,
            "data": data_page,
            "train": train_page,
            "watch": watch_page,
            "compare": compare_page,
        }
        pages = Pages(tabs, opened, status, clock, model, data, train, watch, compare)
        model_tab.wire(model, pages, app)
        data_tab.wire(data, pages, app)
        train_tab.wire(train, pages, app)
        watch_tab.wire(watch, pages, app)
        compare_tab.wire(compare, pages, app)
        _wire_status(pages, app)
        _wire_open_page(window, pages)
        clock.wire()
    return window


def _wire_open_page(window: gr.Blocks, pages: Pages) -> None:
    """A page that is loaded again opens where it was: Gradio loads it anew when the window was away for a moment.

    The browser remembers it, for each of its tabs, because a window that was started anew knows nothing of them.
    """
    for page, tab in pages.opened.items():
        tab.select(None, None, None, js=_REMEMBER % page)
    window.load(None, None, pages.tabs, js=_RETURN)


def _wire_status(pages: Pages, app: AppState) -> None:
    shown = gr.State(("", ""))

    def refresh(before: tuple[str, str]) -> Any:
        app.poll()
        now = status_html(app), unseen_results_html(app.untold)
        return gr.skip() if now == before else (*now, now)

    pages.clock.each_second(refresh, [shown], [pages.status, pages.data.untold, shown])
