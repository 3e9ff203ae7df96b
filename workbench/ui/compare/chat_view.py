"""The chat of the Compare page: one question, two answers side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from workbench.core.chat import BASE, Answerer, Answers, Ask, Sampling
from workbench.core.data.messages import half_character
from workbench.core.errors import WorkbenchError
from workbench.jobs import lanes as asking
from workbench.jobs.app_state import AppState
from workbench.jobs.lanes import SUGGESTED, suggested_questions
from workbench.store import choices
from workbench.store.runs import round_before
from workbench.ui.compare.lane_view import Lanes, VoteBar
from workbench.ui.compare.talk import SIDES, Talk, Turn, messages_of
from workbench.ui.compare.who_answers import (
    HowToAnswer,
    WhoAnswers,
    answerers,
    newest_adapter,
    way_html,
    who_choices,
)
from workbench.ui.frame import Frame
from workbench.ui.parts import escape, notice
from workbench.ui.updates import QUIET, Updates, hidden_except

AT_ONCE = 4  # questions that wait for the one chat


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


class AskBar:
    """The question, what is done with it, and how both answer."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-ask"):
            self.question = gr.Textbox(
                show_label=False,
                placeholder="Ask both ...",
                lines=1,
                max_lines=6,
                scale=5,
                autofocus=False,
                elem_id="wb-compare-question",
            )
            self.send = gr.Button("Ask both", variant="primary", scale=1, elem_id="wb-compare-send")
        with gr.Row(elem_classes="wb-actions"):
            self.stop = gr.Button("Stop", size="sm", elem_id="wb-compare-stop")
            self.again = gr.Button("Resample", size="sm", elem_id="wb-compare-again")
            self.clear = gr.Button("Clear", size="sm", elem_id="wb-compare-clear")
        self.suggestions = Suggestions()


class ChatView:
    def __init__(self) -> None:
        self.lanes = Lanes()
        self.votes = VoteBar()
        self.ask = AskBar()
        self.talk = gr.State(Talk())

    def wire(self, who: WhoAnswers, how: HowToAnswer, frame: Frame, app: AppState) -> None:
        self.votes.wire(self.talk)
        answering = self._wire_ask_bar(who, how, app)
        # Not `cancels`: the answers that were given so far must come to their end and be kept.
        self.ask.stop.click(lambda: asking.stop(app), None, None, **QUIET, queue=False)
        for answered in answering:
            answered.then(lambda talk: self.votes.updates(talk), self.talk, self.votes.all, **QUIET)

        def clear(*chosen: Any) -> Updates:
            left, right = answerers(*chosen)
            talk = Talk(left=left, right=right)
            return {
                self.talk: talk,
                **self.lanes.updates(talk),
                **self.votes.updates(talk),
                **self.ask.suggestions.updates(left.name, right.name),
            }

        gr.on(
            [self.ask.clear.click, *[one.input for one in who.names]],
            clear,
            who.inputs,
            [self.talk, *self.lanes.said.values(), *self.votes.all, *self.ask.suggestions.all],
            **QUIET,
            cancels=answering,
        )

        def enter(talk: Talk, *chosen: Any) -> Updates:
            """The runs that there are now. With nothing said yet, the run that was watched last is on the right, and the run
            that it went on from on the left."""
            left, right = answerers(*chosen)
            names = [value for _, value in who_choices()]
            watched = choices.read().run
            if not talk.turns and right.name not in names[1:]:
                right = Answerer(watched if watched in names else newest_adapter())
            if not talk.turns and watched in names and watched != right.name:
                right = Answerer(watched)
                left = Answerer(round_before(watched) or left.name)
            left = left if left.name in names else BASE
            return {
                who.left.who: gr.Dropdown(who_choices(), value=left.name),
                who.right.who: gr.Dropdown(who_choices(), value=right.name),
                who.note: way_html(app, left.name, right.name),
                **({} if talk.turns else self.lanes.updates(replace(talk, left=left, right=right))),
                **self.ask.suggestions.updates(left.name, right.name),
            }

        frame.opened["compare"].select(
            enter,
            [self.talk, *who.inputs],
            [*who.names, *self.lanes.said.values(), who.note, *self.ask.suggestions.all],
            **QUIET,
        )

    def _wire_ask_bar(self, who: WhoAnswers, how: HowToAnswer, app: AppState) -> list[Any]:
        """Everything that asks both. Gives back the events that an answer ends."""
        bar = self.ask
        inputs = [self.talk, *who.inputs, *how.inputs]
        outputs = [self.talk, *self.lanes.said.values(), who.note]

        def now(talk: Talk, values: Sequence[Any]) -> Talk:
            """The conversation with who answers, system prompt and sampling as they are chosen now."""
            left, right = answerers(*values[:4])
            system, *numbers = values[4:]
            sampling = how.sampling(*numbers).model_dump()
            return replace(talk, left=left, right=right, system=(system or "").strip(), sampling=sampling)

        def ask(question: str, talk: Talk, *values: Any) -> Iterator[Updates]:
            if not (question or "").strip():
                raise WorkbenchError("There is no question yet. Write one, or take one of the suggestions.")
            shown = self.converse(who, app, now(talk, values), question.strip())
            yield {**next(shown), bar.question: ""}
            yield from shown

        def again(talk: Talk, *values: Any) -> Iterator[Updates]:
            """The last question once more with the next seed, in place of its answers."""
            if not talk.turns:
                raise WorkbenchError("Nothing was asked yet.")
            *others, seed = values
            seed = int(seed or 0) + 1
            shorter = now(replace(talk, turns=talk.turns[:-1]), [*others, seed])
            shown = self.converse(who, app, shorter, talk.turns[-1].question)
            yield {**next(shown), how.seed: seed}
            yield from shown

        answering: dict[str, Any] = {**QUIET, "concurrency_limit": AT_ONCE}
        to_ask = {"fn": ask, "inputs": [bar.question, *inputs], "outputs": [*outputs, bar.question], **answering}
        return [
            gr.on([bar.send.click, bar.question.submit], **to_ask),
            bar.again.click(again, inputs, [*outputs, how.seed], **answering),
            *[
                button.click(lambda words: words, button, bar.question, **QUIET).then(**to_ask)
                for button in bar.suggestions.questions
            ],
        ]

    def converse(self, who: WhoAnswers, app: AppState, talk: Talk, question: str) -> Iterator[Updates]:
        """Load what is needed, ask both, and give talk, lanes and note again and again as the answers grow.

        talk: with the lanes, system prompt and sampling that are chosen now.
        """
        for what, said in (("question", question), ("system prompt", talk.system)):
            if half := half_character(said):
                raise WorkbenchError(
                    f"The {what} holds half a character ({half}), as some programs copy an emoji. No model can read it: delete it, "
                    f"or write the {what} anew."
                )
        pending = replace(talk, turns=(*talk.turns, Turn(question, Answers())))
        way = way_html(app, talk.left.name, talk.right.name)
        yield {self.talk: talk, who.note: way, **self.lanes.updates(pending, (True, True))}
        left, right = (Ask(messages_of(talk, side, question), talk.answerer(side)) for side in SIDES)
        for answers in asking.ask(app, left, right, Sampling.model_validate(talk.sampling)):
            if isinstance(answers, str):
                yield {who.note: notice("info", answers)}
                continue
            pending = replace(talk, turns=(*talk.turns, Turn(question, answers)), verified=answers.verified)
            writing = not answers.left.ended, not answers.right.ended
            yield {self.talk: pending, who.note: way, **self.lanes.updates(pending, writing)}
