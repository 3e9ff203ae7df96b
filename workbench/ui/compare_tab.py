"""Page 5: is it better? One question, two answers side by side."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from workbench.core.chat import Answerer, Answers, Ask, Sampling
from workbench.core.data.messages import half_character
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import checked
from workbench.jobs import lanes as asking
from workbench.jobs.app_state import AppState
from workbench.jobs.lanes import SUGGESTED, suggested_questions
from workbench.store import choices
from workbench.ui.frame import Frame
from workbench.ui.lane_view import Lanes, VoteBar, lane_choices, newest_adapter
from workbench.ui.parts import Html, empty, escape, notice, page_head
from workbench.ui.talk import BASE_CHOICE, SIDES, Talk, Turn, messages_of
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
        with gr.Accordion("System prompt and sampling", open=False):
            self.system = gr.Textbox(
                label="System prompt",
                info="Given to both before the first question. Leave it empty for none.",
                lines=2,
                elem_id="wb-compare-system",
            )
            with gr.Row():
                self.sampling = {name: _number(name) for name in Sampling.model_fields}


class CompareTab:
    def __init__(self) -> None:
        gr.HTML(
            page_head(
                "Is it better?",
                "One question to both. They share one base model, the settings and the random numbers: only the adapter differs.",
            )
        )
        self.lanes = Lanes()
        self.votes = VoteBar()
        self.ask = AskBar()
        self.talk = gr.State(Talk())

    def wire(self, frame: Frame, app: AppState) -> None:
        self.votes.wire(self.talk)
        self._wire_lanes(frame, app)
        answering = self._wire_ask_bar(app)
        # Not `cancels`: the answers that were given so far must come to their end and be kept.
        self.ask.stop.click(lambda: asking.stop(app), None, None, **QUIET, queue=False)
        for answered in answering:
            answered.then(lambda talk: self.votes.updates(talk), self.talk, self.votes.all, **QUIET)

        def clear(left: str, right: str) -> Updates:
            talk = Talk(left=left, right=right)
            return {
                self.talk: talk,
                self.lanes.note: "",
                **self.lanes.updates(talk),
                **self.votes.updates(talk),
                **self.ask.suggestions.updates(left, right),
            }

        chosen = list(self.lanes.choices.values())
        gr.on(
            [self.ask.clear.click, *[one.input for one in chosen]],
            clear,
            chosen,
            [self.talk, self.lanes.note, *self.lanes.said.values(), *self.votes.all, *self.ask.suggestions.all],
            **QUIET,
            cancels=answering,
        )

    def _wire_lanes(self, frame: Frame, app: AppState) -> None:
        """Which runs there are to compare: when the page is opened, and while it is."""
        lanes, listed = self.lanes, gr.State(())
        chosen = [lanes.choices[side] for side in SIDES]

        def enter(talk: Talk, left: str, right: str) -> Updates:
            """The runs that there are now. With nothing said yet, the run that was watched last is on the right."""
            names = [value for _, value in lane_choices()]
            watched = choices.read().run
            if not talk.turns and right not in names[1:]:
                right = watched if watched in names else newest_adapter()
            if not talk.turns and watched in names:
                right = watched
            left = left if left in names else BASE_CHOICE
            return {
                lanes.choices["left"]: gr.Dropdown(lane_choices(), value=left),
                lanes.choices["right"]: gr.Dropdown(lane_choices(), value=right),
                lanes.note: nothing_to_compare(),
                **({} if talk.turns else lanes.updates(replace(talk, left=left, right=right))),
                **self.ask.suggestions.updates(left, right),
            }

        def list_lanes(shown: tuple[Any, ...]) -> Updates:
            """One may just have ended."""
            now = tuple(app.survey().states.items())
            if now == shown:
                return {}
            return {**{one: gr.update(choices=lane_choices()) for one in chosen}, listed: now}

        frame.clock.each_second(list_lanes, [listed], [*chosen, listed])
        frame.opened["compare"].select(
            enter,
            [self.talk, *chosen],
            [*chosen, *lanes.said.values(), lanes.note, *self.ask.suggestions.all],
            **QUIET,
        )

    def _wire_ask_bar(self, app: AppState) -> list[Any]:
        """Everything that asks both. Gives back the events that an answer ends."""
        bar = self.ask
        inputs = [self.talk, *[self.lanes.choices[side] for side in SIDES], bar.system, *bar.sampling.values()]
        outputs = [self.talk, *self.lanes.said.values(), self.lanes.note]
        named = bar.sampling.keys()

        def ask(
            question: str, talk: Talk, left: str, right: str, system: str | None, *values: float | None
        ) -> Iterator[Updates]:
            if not (question or "").strip():
                raise WorkbenchError("There is no question yet. Write one, or take one of the suggestions.")
            sampling = dict(zip(named, values, strict=True))
            asked = replace(talk, left=left, right=right, system=(system or "").strip(), sampling=sampling)
            shown = self.converse(app, asked, question.strip())
            yield {**next(shown), bar.question: ""}
            yield from shown

        def again(talk: Talk, left: str, right: str, system: str | None, *values: float | None) -> Iterator[Updates]:
            """The last question once more with the next seed, in place of its answers."""
            if not talk.turns:
                raise WorkbenchError("Nothing was asked yet.")
            sampling = dict(zip(named, values, strict=True))
            sampling["seed"] = int(sampling["seed"] or 0) + 1
            shorter = replace(
                talk, turns=talk.turns[:-1], left=left, right=right, system=(system or "").strip(), sampling=sampling
            )
            shown = self.converse(app, shorter, talk.turns[-1].question)
            yield {**next(shown), bar.sampling["seed"]: sampling["seed"]}
            yield from shown

        answering: dict[str, Any] = {**QUIET, "concurrency_limit": AT_ONCE}
        to_ask = {"fn": ask, "inputs": [bar.question, *inputs], "outputs": [*outputs, bar.question], **answering}
        return [
            gr.on([bar.send.click, bar.question.submit], **to_ask),
            bar.again.click(again, inputs, [*outputs, bar.sampling["seed"]], **answering),
            *[
                button.click(lambda words: words, button, bar.question, **QUIET).then(**to_ask)
                for button in bar.suggestions.questions
            ],
        ]

    def converse(self, app: AppState, talk: Talk, question: str) -> Iterator[Updates]:
        """Load what is needed, ask both, and give talk, lanes and note again and again as the answers grow.

        talk: with the lanes, system prompt and sampling that are chosen now.
        """
        sampling = checked(Sampling, {name: value for name, value in talk.sampling.items() if value is not None})
        for what, said in (("question", question), ("system prompt", talk.system)):
            if half := half_character(said):
                raise WorkbenchError(
                    f"The {what} holds half a character ({half}), as some programs copy an emoji. No model can read it: delete it, "
                    f"or write the {what} anew."
                )
        talk = replace(talk, sampling=sampling.model_dump())
        pending = replace(talk, turns=(*talk.turns, Turn(question, Answers())))
        yield {self.talk: talk, self.lanes.note: "", **self.lanes.updates(pending, (True, True))}
        left, right = (Ask(messages_of(talk, side, question), Answerer(talk.run_of(side))) for side in SIDES)
        for answers in asking.ask(app, left, right, sampling):
            if isinstance(answers, str):
                yield {self.lanes.note: notice("info", answers)}
                continue
            pending = replace(talk, turns=(*talk.turns, Turn(question, answers)), verified=answers.verified)
            writing = not answers.left.ended, not answers.right.ended
            yield {self.talk: pending, self.lanes.note: "", **self.lanes.updates(pending, writing)}


def nothing_to_compare() -> Html:
    """What is missing before anything can be compared."""
    if newest_adapter() != BASE_CHOICE:
        return Html("")
    return empty(
        "Nothing to compare yet", "Train a run first, on the Train page. Until then both lanes are the base model."
    )


def _number(name: str) -> gr.Number:
    field = Sampling.model_fields[name]
    whole = field.annotation is int
    return gr.Number(
        value=field.default,
        label=field.title,
        info=field.description,
        precision=0 if whole else None,
        elem_id=f"wb-sampling-{name}",
    )
