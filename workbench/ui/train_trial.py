"""The reward of an online run on a few real answers, on the Train page, before it is started."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.reward_trial import Group, Judged, verdict
from workbench.jobs import lanes, reward_trial
from workbench.jobs.app_state import AppState
from workbench.ui.parts import Html, card, facts, join, notice, signed, text
from workbench.ui.train_form import config_from, fork_from
from workbench.ui.updates import QUIET, Updates, there_while

LONGEST_SHOWN = 240  # characters of an answer
NUMBERS = {2: "two", 3: "three", 4: "four"}


class RewardTrial:
    """Shown with the methods that answer by themselves, which the form sees to."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-actions"):
            self.ask = gr.Button("Try the reward on real answers", visible="hidden", elem_id="wb-train-try")
            self.stop = gr.Button("Stop", visible="hidden", elem_id="wb-train-try-stop")
        self.said = gr.HTML(visible="hidden", elem_id="wb-train-tried")

    def wire(self, named: Mapping[str, Component], app: AppState) -> None:
        names, widgets = list(named), list(named.values())

        def ask(*values: Any) -> Iterator[Updates]:
            form = dict(zip(names, values, strict=True))
            groups: list[Group] = []
            yield {self.stop: there_while(True), self.said: text("Starting ...")}
            try:
                for one in reward_trial.try_reward(app, config_from(form), fork_from(form)):
                    if isinstance(one, str):
                        yield {self.said: text(one)}
                    else:
                        groups = one
            except WorkbenchError:
                yield {self.stop: there_while(False), self.said: ""}
                raise
            beside = [str(value) for name, value in form.items() if name.endswith(".reward_model") and value]
            yield {self.stop: there_while(False), self.said: join(tried_html(groups), *map(_not_in_it, beside))}

        self.ask.click(ask, widgets, [self.stop, self.said], **QUIET)
        self.stop.click(lambda: lanes.stop(app), None, None, **QUIET, queue=False)


def _not_in_it(beside: str) -> Html:
    """beside: a reward model of the Hub, which is loaded when the run begins and no earlier."""
    words = f"The scores of {beside} are not in these numbers: it is loaded when the run begins."
    return notice("warning", "A part is missing", words)


def tried_html(groups: Sequence[Group]) -> Html:
    """Each group with its rewards, the best answer first, and whether anything could be learned from them."""
    if not groups:
        return Html("")
    can_learn, words = verdict(groups)
    return join(
        notice("info" if can_learn else "warning", "What the reward says", words), *[_group_html(one) for one in groups]
    )


def _group_html(group: Group) -> Html:
    ranked = group.ranked
    count = NUMBERS.get(len(ranked), str(len(ranked)))
    listed = ", ".join(signed(reward) for reward, _ in ranked)
    rows = [(signed(reward), _answer_text(group, one)) for reward, one in ranked]
    return card(_shortened(group.prompt), text(f"These {count} answers get {listed}."), facts(rows))


def _answer_text(group: Group, answer: Judged) -> str:
    """The answer, and where the reward has several parts, what each of them says of it."""
    words = _shortened(answer.text) + (" (cut off)" if answer.cut else "")
    weights = {name: "" if weight == 1 else f"{weight:g} × " for name, weight in group.weights.items()}
    parts = [f"{weights[name]}{signed(value)} ({name})" for name, value in answer.parts.items()]
    return f"{words}\n= {' + '.join(parts)}" if len(parts) > 1 else words


def _shortened(words: str) -> str:
    return words if len(words) <= LONGEST_SHOWN else f"{words[:LONGEST_SHOWN]} …"
