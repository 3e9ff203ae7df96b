"""The view of the Data page that says how long the rows are in tokens, and what the longest example would cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.store import choices
from workbench.ui.border import border
from workbench.ui.chart import packed
from workbench.ui.data.seen import Shown, about_of
from workbench.ui.lengths import lengths, lengths_value, released_length
from workbench.ui.pages import Pages, go_to
from workbench.ui.parts import Html, text
from workbench.ui.working import cancel, cancel_button, work


@dataclass(frozen=True)
class LengthsView:
    words: gr.HTML
    count: gr.Button
    cancel: gr.Button
    working: gr.HTML
    picture: gr.HTML
    train: gr.Button


def draw() -> LengthsView:
    words = gr.HTML(elem_id="wb-lengths-words")
    with gr.Row(elem_classes="wb-actions"):
        count = gr.Button("Count the tokens", variant="primary", elem_id="wb-lengths-count")
        cancel = cancel_button()
    working = gr.HTML()
    picture = lengths(elem_id="wb-lengths-picture")
    with gr.Row(elem_classes="wb-actions"):
        train = gr.Button("Train with this length →", visible=False, elem_id="wb-lengths-train")
    return LengthsView(words, count, cancel, working, picture, train)


def wire(view: LengthsView, shown: Shown, pages: Pages, app: AppState) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}

    @border
    def show(seen: str) -> list[Any]:
        """Another dataset: its picture is not drawn yet."""
        return [words_html(seen), gr.Button(visible=True), None, gr.Button(visible=False)]

    @border
    def count(seen: str, length: int, request: gr.Request) -> Iterator[list[Any]]:
        about, model = about_of(seen), choices.read().model
        counting = work(
            app, request, partial(app.tokens.counts, model, about.name), f"Counting the tokens of {about.name}"
        )
        counts = yield from _bars(counting)
        value = packed(lengths_value(counts, length, model.title))
        yield ["", gr.Button(visible=False), value, train_button(length)]

    def _bars(counting: Iterator[Html]) -> Any:
        """Updates of the page for each bar; gives back what the work gave."""
        while True:
            try:
                yield [next(counting), gr.Button(visible=True), gr.skip(), gr.skip()]
            except StopIteration as done:
                return done.value

    def release(event: gr.EventData) -> list[Any]:
        length = released_length(event)
        return [length, gr.Number(value=length), train_button(length)]

    shown.seen.change(show, shown.seen, [view.words, view.count, view.picture, view.train], **quiet)
    view.count.click(
        count, [shown.seen, shown.length], [view.working, view.cancel, view.picture, view.train], show_progress="hidden"
    )
    view.cancel.click(cancel(app), None, None, show_progress="hidden", queue=False)
    view.picture.release(release, None, [shown.length, pages.data.rows.length, view.train], **quiet)
    view.train.click(
        lambda length: [gr.Number(value=length), go_to("train")], shown.length, [pages.train.named["max_length"], pages.tabs], **quiet
    )  # fmt: skip


def train_button(length: int) -> gr.Button:
    return gr.Button(f"Train with {length:,} tokens at most →", visible=True)


def words_html(seen: str) -> Html:
    """Whose tokens are counted, and why that matters."""
    model = choices.read().model
    return text(
        f"A model reads tokens, pieces of words. Each model has its own, so these are counted with the tokenizer of {model.title}, "
        f"the model that is chosen on the Model page. What is longer than the longest example is cut at its end in training."
    )
