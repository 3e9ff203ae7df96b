"""A side's adapter at its strength, saved as a run of its own."""

from typing import Any

import gradio as gr

from workbench.core.chat import Answerer
from workbench.store.scaled import save_scaled, suggested_name
from workbench.ui.compare.who_answers import WhoAnswers, answerers, who_choices
from workbench.ui.parts import notice, text
from workbench.ui.updates import EACH, QUIET, Updates

SIDES = [("Right", "right"), ("Left", "left")]


class SaveStrength:
    def __init__(self) -> None:
        with gr.Accordion("Save as a run of this strength", open=False, elem_id="wb-scale") as self.opened:
            with gr.Row(elem_classes="wb-lane-choice"):
                self.side = gr.Radio(SIDES, value="right", label="Which side", elem_id="wb-scale-side")
                self.name = gr.Textbox(label="Name of the new run", max_lines=1, elem_id="wb-scale-name")
            with gr.Row(elem_classes="wb-actions"):
                self.save = gr.Button("Save", elem_id="wb-scale-save")
            self.said = gr.HTML(
                text(
                    "The new run at strength 1 is that side at the strength above. Nothing is trained; it can be asked, exported and "
                    "trained on like any other."
                ),
                elem_id="wb-scale-said",
            )

    def wire(self, who: WhoAnswers) -> None:
        def suggest(side: str, *chosen: Any) -> Updates:
            answerer = _of(side, chosen)
            return {self.name: "" if answerer.is_base else suggested_name(answerer)}

        def save(side: str, name: str, *chosen: Any) -> Updates:
            answerer = _of(side, chosen)
            run = save_scaled(answerer, name.strip())
            words = f"It is {answerer.label} at strength 1, and can be chosen above and as a run to start from on the Train page."
            offered = {one: gr.update(choices=who_choices()) for one in who.names}
            return {
                **offered,
                self.said: notice("good", f"Saved as {run.name}", words),
                self.name: suggested_name(answerer),
            }

        changed = [self.opened.expand, self.side.input, *(one.change for one in [*who.names, *who.strengths])]
        gr.on(changed, suggest, [self.side, *who.inputs], self.name, **EACH)
        self.save.click(save, [self.side, self.name, *who.inputs], [self.name, self.said, *who.names], **QUIET)


def _of(side: str, chosen: Any) -> Answerer:
    left, right = answerers(*chosen)
    return left if side == "left" else right
