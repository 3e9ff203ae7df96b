"""The chat of the Compare page: one question, two answers side by side."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from workbench.core.chat import BASE, Answerer, Answers, Ask, Sampling, Score, Talk, Turn
from workbench.core.data.messages import half_character
from workbench.core.errors import WorkbenchError
from workbench.core.votes.vote import Side
from workbench.jobs import lanes as asking
from workbench.jobs.app_state import AppState
from workbench.jobs.lanes import SUGGESTED, suggested_questions
from workbench.store import choices, conversations
from workbench.store.runs import round_before
from workbench.ui.compare.changed import reading_html, scored_html, to_score
from workbench.ui.compare.earlier import AS_REMEMBERED, Earlier
from workbench.ui.compare.lane_view import Lanes, VoteBar
from workbench.ui.compare.reward_choice import RewardChoice, reward_reading
from workbench.ui.compare.talk import SIDES, answered, messages_of, rewarded
from workbench.ui.compare.who_answers import (
    HowToAnswer,
    WhoAnswers,
    answerers,
    newest_adapter,
    way_html,
    who_choices,
)
from workbench.ui.frame import Frame
from workbench.ui.parts import Html, escape, notice, text
from workbench.ui.updates import LATEST, QUIET, Updates, hidden_except

AT_ONCE = 4  # questions that wait for the one chat
BETWEEN_PICTURES = 0.25  # seconds between two looks at a growing answer: a page that gets many falls behind

# As it is read: each question, then what either lane answered, without thoughts, end tokens and numbers.
_COPY = r"""() => {
    const lanes = ['left', 'right'].map(side => document.querySelector(`#wb-lane-${side} .wb-lane`));
    const coloured = one => one.querySelector(':scope > .wb-words > .wb-changed');
    const tokens = one => [...one.querySelectorAll('.wb-scored:not(.wb-token-special)')].map(token => token.textContent);
    const words = one => coloured(one) ? tokens(coloured(one)).join('') : one.querySelector(':scope > .wb-words').textContent;
    const said = lanes.map(lane => [...lane.querySelectorAll('.wb-bubble')]);
    const lines = said[0].flatMap((one, place) => one.classList.contains('wb-asked')
        ? [`You: ${words(one)}`]
        : lanes.map((lane, side) => `${lane.querySelector('h4').textContent}: ${words(said[side][place])}`));
    const text = lines.join('\n\n');
    const button = document.querySelector('#wb-compare-copy');
    const done = () => { button.dataset.done = 'yes'; setTimeout(() => delete button.dataset.done, 1500); };
    if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done); return; }
    const field = Object.assign(document.createElement('textarea'), {value: text});
    document.body.append(field);
    field.select();
    if (document.execCommand('copy')) done();
    field.remove();
}"""

WENT_ON = (
    "This conversation went on in another tab of the browser, and was kept as it is there. What is shown here is kept beside it, as a "
    "conversation of its own."
)
SEND, EDIT = "Ask both", "Edit and ask again"


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


def _end_first(triggers: list[Any], under_way: list[Any]) -> None:
    """Have triggers end events that are under way. To be wired before what the triggers do.

    Gradio's `cancels` of the same event comes after its handler has answered, and ends what was begun meanwhile as well: a
    question that was asked right after Clear.
    """
    gr.on(triggers, None, None, None, cancels=under_way)


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
            self.send = gr.Button(SEND, variant="primary", scale=1, elem_id="wb-compare-send")
        with gr.Row(elem_classes="wb-actions"):
            self.stop = gr.Button("Stop", size="sm", elem_id="wb-compare-stop")
            self.again = gr.Button("Resample", size="sm", elem_id="wb-compare-again")
            self.edit = gr.Button(EDIT, size="sm", elem_id="wb-compare-edit")
            self.copy = gr.Button("Copy", size="sm", elem_id="wb-compare-copy")
            self.clear = gr.Button("Clear", size="sm", elem_id="wb-compare-clear")
        self.suggestions = Suggestions()
        self.editing = gr.State(False)

    def edits(self, question: str | None) -> Updates:
        """Whether what is asked next takes the place of the last question, which stands in the field then; None where not."""
        words = {self.send: "Ask again", self.edit: "Keep the question"} if question is not None else {}
        filled = {self.question: question} if question is not None else {}
        return {self.editing: question is not None, self.send: SEND, self.edit: EDIT, **words, **filled}


class ChatView:
    """show: whether the last answers are coloured by what alignment changed of them; reading: how to read that. rewarded: how to
    read the number that a reward model puts under them. proposed: the watched run that was put on the right when the page was
    last opened."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.rewarded = gr.HTML(elem_id="wb-compare-rewarded")
        self.show = gr.Checkbox(
            False, label="Show what alignment changed", container=False, elem_id="wb-compare-changed"
        )
        self.reading = gr.HTML(elem_id="wb-compare-reading")
        self.votes = VoteBar()
        self.ask = AskBar()
        self.earlier = Earlier()
        self.talk = gr.State(Talk())
        self.proposed = gr.State("")

    def wire(self, who: WhoAnswers, how: HowToAnswer, reward: RewardChoice, frame: Frame, app: AppState) -> None:
        self.votes.wire(self.talk, app)
        self.earlier.wire()
        answering = self._wire_ask_bar(who, how, app)
        # Not `cancels`: the answers that were given so far must come to their end and be kept.
        self.ask.stop.click(lambda: asking.stop(app), None, None, **QUIET, queue=False)
        self.ask.copy.click(None, None, None, js=_COPY)

        def show_changes(talk: Talk, show: bool) -> Iterator[Updates]:
            yield from self.changes(who, app, talk, show)

        def judge(talk: Talk, show: bool, name: str) -> Iterator[Updates]:
            """What the reward model says of the last answers, then what alignment changed of them."""
            scored = yield from self.rewards(who, app, talk, name)
            if show:
                yield from self.changes(who, app, scored, show)

        def after(talk: Talk, show: bool, name: str) -> Iterator[Updates]:
            yield {**self.votes.updates(talk), **self.earlier.updates(talk)}
            yield from judge(talk, show, name)

        wanted, drawn = [self.talk, self.show], [*self.lanes.said.values(), self.reading, who.note]
        judged = [self.talk, self.rewarded, *drawn]
        after_answer = [*judged, *self.votes.all, *self.earlier.all]
        scoring = [one.then(after, [*wanted, reward.which], after_answer, **QUIET) for one in answering]
        scoring.append(self.show.input(show_changes, wanted, drawn, **LATEST))
        scoring.append(reward.which.input(judge, [*wanted, reward.which], judged, **LATEST))
        self._wire_other_talks(who, how, frame, app, [*answering, *scoring])

    def _wire_other_talks(
        self, who: WhoAnswers, how: HowToAnswer, frame: Frame, app: AppState, under_way: list[Any]
    ) -> None:
        """What shows an empty conversation or another one. under_way: the events that this ends."""

        def clear(*chosen: Any) -> Updates:
            left, right = answerers(*chosen)
            return self._shown(Talk(left=left, right=right))

        def delete(id: str | None, talk: Talk, *chosen: Any) -> Updates:
            if not id:
                raise WorkbenchError("No conversation is chosen. Choose the one to delete in the list.")
            conversations.delete(id)
            return clear(*chosen) if id == talk.id else self.earlier.updates(talk)

        def reopen(id: str | None) -> Updates:
            return self._reopened(who, how, app, conversations.read(id or ""))

        def enter(id: str, talk: Talk, proposed: str, *chosen: Any) -> Updates:
            """Where nothing is said yet: what this tab of the browser had before a reload, or the run that was watched last."""
            missing: Updates = {}
            if id and not talk.turns:
                try:
                    return self._reopened(who, how, app, conversations.read(id))
                except WorkbenchError as error:
                    missing = {self.earlier.note: notice("warning", "The last conversation is not here", str(error))}
            entered = self._entered(who, app, talk, proposed, chosen)
            return {**entered, **self.earlier.updates(talk), **missing}

        shown = [
            *[
                self.talk,
                *self.lanes.said.values(),
                self.reading,
                self.rewarded,
                *self.votes.all,
                *self.ask.suggestions.all,
            ],
            *[*self.earlier.all, self.ask.editing, self.ask.send, self.ask.edit],
        ]
        reopened = [*shown, *who.inputs, who.note, *how.inputs, self.show, self.proposed]
        to_clear = [self.ask.clear.click, *[one.input for one in who.names]]
        _end_first(to_clear, under_way)
        gr.on(to_clear, clear, who.inputs, shown, **QUIET)
        which = self.earlier.which
        self.earlier.delete.click(delete, [which, self.talk, *who.inputs], shown, **QUIET)
        _end_first([which.input], under_way)
        which.input(reopen, which, reopened, **QUIET)
        inputs = [self.earlier.id, self.talk, self.proposed, *who.inputs]
        frame.opened["compare"].select(enter, inputs, reopened, **QUIET, js=AS_REMEMBERED)

    def _shown(self, talk: Talk) -> Updates:
        """A conversation in place of the one that is shown."""
        return {
            self.talk: talk,
            self.reading: "",
            self.rewarded: rewarded_html(talk),
            **self.lanes.updates(talk),
            **self.votes.updates(talk),
            **self.ask.suggestions.updates(talk.left.name, talk.right.name),
            **self.earlier.updates(talk),
            **self.ask.edits(None),
        }

    def _reopened(self, who: WhoAnswers, how: HowToAnswer, app: AppState, talk: Talk) -> Updates:
        """A kept conversation with all that it was asked with. In place of a run that is gone the base model answers on."""
        there = [value for _, value in who_choices()]
        now = [one if one.name in there else BASE for one in (talk.left, talk.right)]
        gone = [one.label for one in (talk.left, talk.right) if one.name not in there]
        words = f"{' and '.join(gone)} answered here and cannot be asked any more: the base model answers what is asked next."
        note = {self.earlier.note: notice("warning", "Who answered is gone", words)} if gone else {}
        chosen: Updates = {}
        for side, one in zip((who.left, who.right), now, strict=True):
            chosen[side.who] = gr.Dropdown(who_choices(), value=one.name)
            chosen[side.strength] = gr.update(value=one.strength, visible=bool(one.name))
        chosen[who.note] = way_html(app, *[one.name for one in now])
        return {**self._shown(talk), **chosen, **how.updates(talk.system, talk.sampling), self.show: False, **note}

    def _entered(self, who: WhoAnswers, app: AppState, talk: Talk, proposed: str, chosen: Sequence[Any]) -> Updates:
        """The runs that there are now. With nothing said yet, the run that was watched last is on the right, and the run that
        it went on from on the left; once, so that what a person then chooses stays."""
        left, right = answerers(*chosen)
        names = [value for _, value in who_choices()]
        watched = choices.read().run
        if not talk.turns and right.name not in names[1:]:
            right = Answerer(watched if watched in names else newest_adapter())
        if not talk.turns and watched in names and watched not in (right.name, proposed):
            right = Answerer(watched)
            left = Answerer(round_before(watched) or left.name)
        left = left if left.name in names else BASE
        return {
            who.left.who: gr.Dropdown(who_choices(), value=left.name),
            who.right.who: gr.Dropdown(who_choices(), value=right.name),
            who.note: way_html(app, left.name, right.name),
            self.proposed: watched,
            **({} if talk.turns else self.lanes.updates(replace(talk, left=left, right=right))),
            **self.ask.suggestions.updates(left.name, right.name),
        }

    def _wire_ask_bar(self, who: WhoAnswers, how: HowToAnswer, app: AppState) -> list[Any]:
        """Everything that asks both. Gives back the events that an answer ends."""
        bar = self.ask
        inputs = [self.talk, *who.inputs, *how.inputs]
        outputs = [self.talk, self.earlier.id, *self.lanes.said.values(), who.note, *self.votes.votes.values()]
        edited = [bar.editing, bar.send, bar.edit]

        def now(talk: Talk, values: Sequence[Any]) -> Talk:
            """The conversation with who answers, system prompt and sampling as they are chosen now."""
            left, right = answerers(*values[:4])
            system, *numbers = values[4:]
            sampling = how.sampling(*numbers).model_dump()
            return replace(talk, left=left, right=right, system=(system or "").strip(), sampling=sampling)

        def ask(question: str, editing: bool, talk: Talk, *values: Any) -> Iterator[Updates]:
            if not (question or "").strip():
                raise WorkbenchError("There is no question yet. Write one, or take one of the suggestions.")
            before = replace(talk, turns=talk.turns[:-1]) if editing else talk
            shown = self.converse(who, app, now(before, values), question.strip())
            yield {**next(shown), **bar.edits(None), bar.question: ""}
            yield from shown

        def again(talk: Talk, *values: Any) -> Iterator[Updates]:
            """The last question once more with the next seed, in place of its answers."""
            *others, seed = values
            seed = int(seed or 0) + 1
            shown = self.converse(who, app, now(_before(talk), [*others, seed]), talk.turns[-1].question)
            yield {**next(shown), **bar.edits(None), how.seed: seed}
            yield from shown

        def dial(talk: Talk, *chosen: Any) -> Iterator[Updates]:
            """The last question once more as it was asked, but with the strengths that are chosen now."""
            left, right = answerers(*chosen)
            if talk.turns and (left, right) != (talk.left, talk.right):
                asking.wait_until_free(app)  # an answer that this ends takes a moment
                yield from self.converse(
                    who, app, replace(_before(talk), left=left, right=right), talk.turns[-1].question
                )

        def edit(talk: Talk, editing: bool) -> Updates:
            return bar.edits(None if editing else talk.turns[len(_before(talk).turns)].question)

        bar.edit.click(edit, [self.talk, bar.editing], [*edited, bar.question], **QUIET)
        answering: dict[str, Any] = {**QUIET, "concurrency_limit": AT_ONCE}
        to_ask = {
            "fn": ask,
            "inputs": [bar.question, bar.editing, *inputs],
            "outputs": [*outputs, *edited, bar.question],
            **answering,
        }
        asked = [
            gr.on([bar.send.click, bar.question.submit], **to_ask),
            bar.again.click(again, inputs, [*outputs, *edited, how.seed], **answering),
            *[
                button.click(lambda words: words, button, bar.question, **QUIET).then(**to_ask)
                for button in bar.suggestions.questions
            ],
        ]
        released = [one.release for one in who.strengths]
        _end_first(released, asked)
        turned = gr.on(released, dial, [self.talk, *who.inputs], outputs, **{**answering, **LATEST})
        return [*asked, turned]

    def converse(self, who: WhoAnswers, app: AppState, talk: Talk, question: str) -> Iterator[Updates]:
        """Load what is needed, ask both, and give talk, lanes and note again and again as the answers grow; then keep them.

        talk: with the lanes, system prompt and sampling that are chosen now.
        """
        for what, said in (("question", question), ("system prompt", talk.system)):
            if half := half_character(said):
                raise WorkbenchError(
                    f"The {what} holds half a character ({half}), as some programs copy an emoji. No model can read it: delete it, "
                    f"or write the {what} anew."
                )
        talk = replace(talk, rewarded_by="")
        pending = replace(talk, turns=(*talk.turns, Turn(question, Answers())))
        way = way_html(app, talk.left.name, talk.right.name)
        yield {self.talk: talk, who.note: way, **self.lanes.updates(pending, (True, True)), **self.votes.closed()}
        left, right = (Ask(messages_of(talk, side, question), talk.answerer(side)) for side in SIDES)
        drawn, told = 0.0, {who.note: way}
        for answers in asking.ask(app, left, right, Sampling.model_validate(talk.sampling)):
            if isinstance(answers, str):
                yield {who.note: notice("info", answers)}
                told = {who.note: way}
                continue
            pending = replace(talk, turns=(*talk.turns, Turn(question, answers)), verified=answers.verified)
            writing = not answers.left.ended, not answers.right.ended
            if time.monotonic() - drawn >= BETWEEN_PICTURES:
                yield {self.talk: pending, **told, **self.lanes.updates(pending, writing)}
                told = {}
                drawn = time.monotonic()
        yield {self.talk: pending, who.note: way, **self.lanes.updates(pending)}
        kept = conversations.save(pending)
        told = {who.note: notice("info", WENT_ON)} if pending.id not in ("", kept.id) else {}
        yield {self.talk: kept, self.earlier.id: kept.id, **told, **self.lanes.updates(kept)}

    def rewards(self, who: WhoAnswers, app: AppState, talk: Talk, name: str) -> Generator[Updates, None, Talk]:
        """What a reward model says of the last answers, below them; nothing for name "", and while they still grow.

        Gives back the conversation with that.
        """
        if not talk.turns or not all(talk.turns[-1].of(side).ended for side in SIDES):
            return talk
        asked, found = answered(talk) if name else {}, dict[Side, float]()
        if asked:
            asking.wait_until_free(app)
        for one in asking.reward_many(app, name, list(asked.values())) if asked else ():
            if isinstance(one, str):
                yield {who.note: notice("info", one)}
            else:
                found[list(asked)[one[0]]] = one[1]
        if not found and not talk.rewarded_by:
            yield {self.rewarded: ""}  # what stood there was of the question before
            return talk
        judged = rewarded(talk, found, name)
        kept = conversations.save(judged) if judged.id else judged
        way = way_html(app, talk.left.name, talk.right.name)
        yield {self.talk: kept, self.rewarded: rewarded_html(kept), who.note: way, **self.lanes.updates(kept)}
        return kept

    def changes(self, who: WhoAnswers, app: AppState, talk: Talk, show: bool) -> Iterator[Updates]:
        """The last answers, coloured by what alignment changed of them where that is wanted. Where they still grow, not yet."""
        if talk.turns and not all(talk.turns[-1].of(side).ended for side in SIDES):
            return
        if not (show and talk.turns):
            yield {self.reading: "", **self.lanes.updates(talk)}
            return
        asking.wait_until_free(app)
        asked, scores = to_score(talk), dict[Side, Score]()
        sides = list(asked)
        for found in asking.score_many(app, list(asked.values())):
            if isinstance(found, str):
                yield {who.note: notice("info", found)}
            else:
                scores[sides[found[0]]] = found[1]
        way = way_html(app, talk.left.name, talk.right.name)
        drawn = self.lanes.updates(talk, scored=scored_html(talk, scores))
        yield {self.reading: reading_html(talk), who.note: way, **drawn}


def rewarded_html(talk: Talk) -> Html:
    """How to read the numbers of the reward model; nothing where there are none."""
    return text(reward_reading(talk.rewarded_by)) if talk.rewarded_by else Html("")


def _before(talk: Talk) -> Talk:
    """The conversation without its last question. Raises WorkbenchError where nothing was asked."""
    if not talk.turns:
        raise WorkbenchError("Nothing was asked yet.")
    return replace(talk, turns=talk.turns[:-1])
