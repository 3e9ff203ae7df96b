"""The view of the Data page that says how long the rows are in tokens, and what the longest example would cut."""

from collections.abc import Iterator
from functools import partial

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.store import choices
from workbench.ui.chart import packed, picture
from workbench.ui.data.seen import Shown, about_of
from workbench.ui.lengths import lengths_value, released_length
from workbench.ui.parts import Html, text
from workbench.ui.updates import LATEST, QUIET, Updates, shown_if
from workbench.ui.working import WorkView, cancel_button


class LengthsView:
    def __init__(self) -> None:
        self.words = gr.HTML(elem_id="wb-lengths-words")
        with gr.Row(elem_classes="wb-actions"):
            self.count = gr.Button("Count the tokens", variant="primary", elem_id="wb-lengths-count")
            cancel = cancel_button()
        self.work = WorkView(gr.HTML(), cancel)
        self.picture = picture("lengths", "wb-lengths-picture")
        with gr.Row(elem_classes="wb-actions"):
            self.train = gr.Button("Train with this length →", visible=False, elem_id="wb-lengths-train")

    def wire(self, shown: Shown, row_length: gr.Number, app: AppState) -> None:
        """row_length: the longest example by which the Rows view cuts."""

        def show(seen: str) -> Updates:
            """Another dataset: its picture is not drawn yet."""
            return {self.words: words_html(), self.picture: None, self.train: shown_if(False)}

        def count(seen: str, length: int, request: gr.Request) -> Iterator[Updates]:
            about, model = about_of(seen), choices.read().model
            act = partial(app.tokens.counts, model, about.name)
            counts = yield from self.work.during(app, request, act, f"Counting the tokens of {about.name}")
            picture = packed(lengths_value(counts, length, model.title))
            yield {**self.work.over(), self.picture: picture, self.train: train_button(length)}

        def release(event: gr.EventData) -> Updates:
            length = released_length(event)
            return {shown.length: length, row_length: gr.Number(value=length), self.train: train_button(length)}

        shown.seen.change(show, shown.seen, [self.words, self.picture, self.train], **LATEST)
        self.count.click(count, [shown.seen, shown.length], [*self.work.outputs, self.picture, self.train], **QUIET)
        self.work.wire(app)
        self.picture.release(release, None, [shown.length, row_length, self.train], **LATEST)


def train_button(length: int) -> gr.Button:
    return gr.Button(f"Train with {length:,} tokens at most →", visible=True)


def words_html() -> Html:
    """Whose tokens are counted, and why that matters."""
    model = choices.read().model
    return text(
        f"A model reads tokens, pieces of words. Each model has its own, so these are counted with the tokenizer of {model.title}, "
        f"the model that is chosen on the Model page. What is longer than the longest example is cut at its end in training."
    )
