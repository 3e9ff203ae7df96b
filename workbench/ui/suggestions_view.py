"""Questions to begin with on the Compare page: one click asks both."""

import gradio as gr

from workbench.jobs.lanes import SUGGESTED, suggested_questions
from workbench.ui.parts import escape
from workbench.ui.updates import Updates, hidden_except


class Suggestions:
    """A button holds its whole question; the style cuts what is too long to show."""

    def __init__(self) -> None:
        self.head = gr.HTML(elem_id="wb-compare-suggested", visible=False)
        with gr.Row(elem_classes="wb-suggestions"):
            self.questions = [gr.Button("", size="sm", min_width=120, visible=False) for _ in range(SUGGESTED)]

    @property
    def all(self) -> list[gr.Button | gr.HTML]:
        return [self.head, *self.questions]

    def updates(self, left: str, right: str) -> Updates:
        """What suits the lanes as they are chosen now."""
        source, questions = suggested_questions(left, right)
        shown: Updates = {
            button: gr.update(value=question, visible=True)
            for button, question in zip(self.questions, questions, strict=False)
        }
        if shown:
            words = f'<p class="wb-quiet wb-small">{escape(source)}:</p>'
            shown[self.head] = gr.update(value=words, visible=True)
        return hidden_except(self.all, shown)
