"""Conversations of the chat that were kept: opened again, or deleted. The browser remembers the one of each of its tabs."""

import gradio as gr

from workbench.core.chat import Talk
from workbench.store import conversations
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.updates import Updates

# Only after the page is back where it was: until then the field is empty because nothing has filled it yet.
_REMEMBER = "id => { if (window.wbIsBack) sessionStorage.setItem('wb-conversation', id); }"

AS_REMEMBERED = "(id, ...others) => [sessionStorage.getItem('wb-conversation') ?? '', ...others]"
"""Gives a handler whose first input is `Earlier.id` the conversation that this browser tab had, also after a reload."""


class Earlier:
    """id: of the conversation that is shown; "" where it is not kept yet."""

    def __init__(self) -> None:
        self.id = gr.Textbox("", visible="hidden", elem_id="wb-compare-conversation")
        with gr.Row(elem_classes="wb-choose"):
            self.which = open_dropdown(
                [], value=None, label="Earlier conversations", scale=5, elem_id="wb-compare-earlier",
                info="Each is kept on this machine after every answer, with who answered and how.",
            )  # fmt: skip
            self.delete = gr.Button("Delete", elem_id="wb-compare-delete", min_width=120)
        self.note = gr.HTML(elem_id="wb-compare-earlier-note")

    @property
    def all(self) -> list[gr.Textbox | gr.Dropdown | gr.HTML]:
        return [self.id, self.which, self.note]

    def wire(self) -> None:
        self.id.change(None, self.id, None, js=_REMEMBER)

    def updates(self, talk: Talk) -> Updates:
        """The list as it is now, with the shown conversation chosen in it."""
        which = gr.update(choices=conversations.listed(), value=talk.id or None)
        return {self.id: talk.id, self.which: which, self.note: ""}
