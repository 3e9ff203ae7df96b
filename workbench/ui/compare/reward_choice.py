"""Which reward model scores the answers on the Compare page: none, or a finished reward run; and how to read what it says."""

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.store.reward_models import reward_models
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.updates import Updates

NONE = ""
"""Value where nothing is scored. Gradio's dropdowns have no None among their choices."""


class RewardChoice:
    """which: name of a reward run; there only where there is one."""

    def __init__(self) -> None:
        self.which = open_dropdown(
            reward_choices(), value=NONE, label="Reward model", visible=len(reward_choices()) > 1,
            info="Puts a number under each answer. It judges what its own data taught it, and nothing else.",
            elem_id="wb-compare-reward",
        )  # fmt: skip

    def wire(self, frame: Frame, app: AppState) -> None:
        listed = gr.State(())

        def list_models(shown: tuple[object, ...]) -> Updates:
            """One may just have ended, or got a title."""
            survey = app.survey()
            now = *survey.states.items(), *survey.titles.items()
            if now == shown:
                return {}
            choices = reward_choices()
            return {self.which: gr.update(choices=choices, visible=len(choices) > 1), listed: now}

        frame.clock.each_second(list_models, [listed], [self.which, listed])


def reward_choices() -> list[tuple[str, str]]:
    """No reward model, and every finished one."""
    return [("none", NONE), *[(one.label, one.name) for one in reward_models()]]


def reward_reading(name: str) -> str:
    """What the numbers of a reward model mean, in a sentence."""
    return f"Reward by {name}: 0 is an average held-out answer, 1 is one standard deviation better; it says nothing about facts."
