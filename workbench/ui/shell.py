"""The frame of the window: the status line, the five pages, one clock for all of them, and what crosses from page to page."""

from functools import partial
from pathlib import Path

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.jobs.proposals import proposal_for
from workbench.jobs.rounds import next_round
from workbench.store.space import on_space
from workbench.ui.compare.compare_tab import CompareTab
from workbench.ui.data.data_tab import DataTab
from workbench.ui.data.display import unseen_results_html
from workbench.ui.frame import Frame, PageId
from workbench.ui.inputs import Window, close
from workbench.ui.model_tab import ModelTab
from workbench.ui.notify_view import Notifier
from workbench.ui.space_view import Banner, VisitorChat, wire_roles
from workbench.ui.status import status_html
from workbench.ui.ticks import Clock
from workbench.ui.train_tab import TrainTab
from workbench.ui.updates import Updates
from workbench.ui.watch_tab import WatchTab
from workbench.ui.who_may import for_visitors

# Uploads are looked at every hour and go after a day; imported data was copied out of them by then.
_CACHE_CARE = (3600, 86_400)
_QUEUE_LOOKS = 0.02  # seconds

NOT_FOR_VISITORS: tuple[PageId, ...] = ("data", "train", "compare")

# Calls that wait for one handler. Left out, Gradio lets a single one wait on a ZeroGPU Space, and any number elsewhere.
MOST_WAITING = 200

# The first page is selected whenever the window is drawn, before anything can be asked for.
_REMEMBER = "() => { if (window.wbIsBack) sessionStorage.setItem('wb-page', '%s'); }"
_RETURN = """() => {
    window.wbIsBack = true;
    return {__type__: 'update', selected: sessionStorage.getItem('wb-page') ?? 'model'};
}"""

_KEEP_FOLDS_OPEN = Path(__file__).with_name("folds.js").read_text("utf-8")


def build(app: AppState) -> gr.Blocks:
    """The whole window: all pages drawn, then all pages wired."""
    app.poll()

    @for_visitors
    def status_now() -> str:
        return status_html(app)

    with Window(title="Workbench", fill_width=True, analytics_enabled=False, delete_cache=_CACHE_CARE) as window:
        window.queue(max_size=MOST_WAITING)
        status = gr.HTML(status_now, elem_id="wb-status", js_on_load=None)
        clock = Clock(gr.Timer(1.0))
        notifier = Notifier()
        gr.HTML(
            "", html_template="<span></span>", js_on_load=_KEEP_FOLDS_OPEN, visible="hidden", apply_default_css=False
        )
        banner = Banner() if on_space() else None
        opened: dict[PageId, gr.Tab] = {}
        # Gradio's own menu for tabs that do not fit hides them; wrapped ones are laid out by theme.css.
        with gr.Tabs(selected="model", overflow_behavior="wrap", elem_id="wb-pages") as tabs:
            with gr.Tab("1 Model", id="model") as opened["model"]:
                visit = VisitorChat() if on_space() else None
                model = ModelTab(app)
            with gr.Tab("2 Data", id="data") as opened["data"]:
                data = DataTab()
            with gr.Tab("3 Train", id="train") as opened["train"]:
                train = TrainTab()
            with gr.Tab("4 Watch", id="watch") as opened["watch"]:
                watch = WatchTab()
            with gr.Tab("5 Compare", id="compare") as opened["compare"]:
                compare = CompareTab()
        frame = Frame(tabs, opened, clock)
        model.wire(frame, app)
        data.wire(frame, app)
        train.wire(frame, app)
        watch.wire(frame, app)
        next_round_is_wanted = compare.wire(frame, app)
        train.propose_when(frame, next_round_is_wanted, compare.votes.stored, lambda stored: next_round(*stored))
        _wire_between(model, data, train, watch, frame, app)
        _wire_open_page(window, frame)
        _wire_status(status, data.untold, clock, app)
        notifier.wire(clock, app)
        watch.notify.wire_load(window)
        clock.wire()
        if banner and visit:
            closed = [*(opened[page] for page in NOT_FOR_VISITORS), model.welcome, *watch.of_the_owner]
            close(*closed)
            wire_roles(window, banner, visit, closed, app)
        _quieten(window, status)
    return window


def _quieten(window: gr.Blocks, silent: gr.HTML) -> None:
    """Have what goes on unseen cost less: ticks, and events of which nothing shows that they are waited for.

    Gradio's page keeps a state of waiting for every output of every event that ever ran, and at each event goes through all
    of them twice, each time through the whole tree of the page. silent: the one component that such events touch instead.
    """
    for event in window.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [silent]
        # The page of a window holds what programs may know of each public event: 800 kB, for nobody who looks at it.
        if event.api_visibility == "public":
            event.api_visibility = "undocumented"
    # Of an idle queue, which Gradio looks at a thousand times a second (on Windows twenty times).
    window._queue.sleep_when_free = _QUEUE_LOOKS


def _wire_between(
    model: ModelTab, data: DataTab, train: TrainTab, watch: WatchTab, frame: Frame, app: AppState
) -> None:
    """What happens on one page and fills in another one. Each page knows itself only."""
    demo_is_tried, length_is_taken = model.try_it.click, data.lengths.train.click
    train.try_when(frame, demo_is_tried)
    train.take_length_when(frame, length_is_taken, data.shown.length)
    follow_ups = [*watch.actions.follow_ups.items(), ("again", watch.all_runs.clone)]
    for follow_up, button in follow_ups:
        another_run_is_wanted = button.click
        train.propose_when(frame, another_run_is_wanted, watch.run, partial(proposal_for, app, follow_up))


def _wire_open_page(window: gr.Blocks, frame: Frame) -> None:
    """A page that is loaded again opens where it was: Gradio loads it anew when the window was away for a moment.

    The browser remembers it, for each of its tabs, because a window that was started anew knows nothing of them.
    """
    for page, tab in frame.opened.items():
        tab.select(None, None, None, js=_REMEMBER % page)
    window.load(None, None, frame.tabs, js=_RETURN)


def _wire_status(status: gr.HTML, untold: gr.HTML, clock: Clock, app: AppState) -> None:
    shown = gr.State(("", ""))

    def refresh(before: tuple[str, str]) -> Updates:
        app.poll()
        now = status_html(app), unseen_results_html(app.untold)
        return {} if now == before else {status: now[0], untold: now[1], shown: now}

    clock.each_second(refresh, [shown], [status, untold, shown])
