"""The two lanes of the Compare page: what answers in each, and what it said."""

import gradio as gr

from workbench.core.chat import Answer
from workbench.store.runs import all_runs, model_of, readable_runs
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, Lane, conversation
from workbench.ui.talk import BASE_CHOICE, SIDES, Side, Talk
from workbench.ui.updates import Updates


class Lanes:
    """choices: what answers. said: the conversation. note: what is going on, above both."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            chosen = {"left": BASE_CHOICE, "right": newest_adapter()}
            self.choices = {
                side: open_dropdown(
                    lane_choices(), value=chosen[side], label=side.title(), elem_id=f"wb-compare-{side}"
                )
                for side in SIDES
            }
        self.note = gr.HTML(elem_id="wb-compare-note")
        with gr.Row(elem_classes="wb-lanes"):
            self.said = {side: gr.HTML(lane_html(Talk(), side), elem_id=f"wb-lane-{side}") for side in SIDES}

    def updates(self, talk: Talk, writing: tuple[bool, bool] = (False, False)) -> Updates:
        """Both lanes of a conversation. writing: whether the left and the right answer still grow."""
        return {self.said[side]: lane_html(talk, side, grows) for side, grows in zip(SIDES, writing, strict=True)}


def lane_html(talk: Talk, side: Side, writing: bool = False) -> Html:
    """One lane as a chat, in the colour of what answers."""
    name = talk.run_of(side)
    lane: Lane = "aligned" if name else "base"
    title = f"aligned · {name}" if name else "base"
    if not name and talk.verified:
        title += " · adapter off, verified"
    messages: list[dict[str, object]] = []
    for turn in talk.turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.of(side).text})
    if not messages:
        return conversation([], lane, title, note="Its answer appears here.")
    return conversation(messages, lane, title, note=speed_label(talk.turns[-1].of(side)), writing=writing)


def speed_label(answer: Answer) -> str:
    """ "18 tokens · 0.2 s to first · 61 tok/s" """
    if answer.first_token is None:
        return ""
    parts = [f"{answer.tokens} tokens", f"{answer.first_token:.1f} s to first"]
    if answer.per_second:
        parts.append(f"{answer.per_second:.0f} tok/s")
    parts += {"limit": ["cut off at the longest answer"], "stopped": ["stopped"]}.get(answer.ended, [])
    return " · ".join(parts)


def lane_choices() -> list[tuple[str, str]]:
    """The base model, and every run that has an adapter."""
    adapters = [
        (f"{run.name} ({model.title})", run.name)
        for run in all_runs()
        if run.has_adapter and (model := model_of(run)) is not None
    ]
    return [("base model, no adapter", BASE_CHOICE), *adapters]


def newest_adapter() -> str:
    """The newest run that has an adapter; the base model where there is none."""
    return next((run.name for run in readable_runs() if run.has_adapter), BASE_CHOICE)
