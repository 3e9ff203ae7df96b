"""Page 5: is it better? One question, two answers side by side."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from workbench.core.chat import Answer, Answers, Ask, Sampling
from workbench.core.data.messages import Message, half_character
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, checked
from workbench.jobs import training
from workbench.jobs.app_state import AppState, has_card
from workbench.store import choices, votes
from workbench.store.home import shipped
from workbench.store.runs import all_runs, model_of, open_run, readable_runs
from workbench.store.votes import Choice, Vote
from workbench.ui.border import border
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.pages import Pages
from workbench.ui.parts import Html, Lane, conversation, empty, notice, page_head, text

BASE_CHOICE = ""
"""Value of a lane that answers with the base model alone. Gradio's dropdowns have no None among their choices."""

NO_VOTE = text(
    "A vote needs two whole answers to the same conversation. The lanes have answered differently before: clear the chat and ask again."
)
VOTES: dict[Choice, str] = {
    "left": "Left is better",
    "tie": "Equally good",
    "both_bad": "Both are bad",
    "right": "Right is better",
}

# A big model takes minutes from a slow disk; the page shows what is going on all the while.
LOADING_PATIENCE = 1800.0  # seconds
BETWEEN_WORDS = 0.2  # seconds


@dataclass(frozen=True)
class Turn:
    """A question, and what both lanes answered."""

    question: str
    answers: Answers


@dataclass(frozen=True)
class Talk:
    """The conversation of one browser tab. Lanes share the questions; each remembers its own answers."""

    turns: tuple[Turn, ...] = ()
    left: str = BASE_CHOICE
    right: str = BASE_CHOICE
    verified: bool | None = field(default=None)
    system: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CompareTab:
    left: gr.Dropdown
    right: gr.Dropdown
    left_lane: gr.HTML
    right_lane: gr.HTML
    note: gr.HTML
    votes: dict[Choice, gr.Button]
    voted: gr.HTML
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button
    again: gr.Button
    clear: gr.Button
    suggestions: list[gr.Button]
    system: gr.Textbox
    sampling: dict[str, gr.Number]
    talk: gr.State


def draw(app: AppState) -> CompareTab:
    gr.HTML(
        page_head(
            "Is it better?",
            "One question to both. They share one base model, the settings and the random numbers: only the adapter differs.",
        )
    )
    with gr.Row(elem_classes="wb-lane-choice"):
        left = open_dropdown(lane_choices(), value=BASE_CHOICE, label="Left", elem_id="wb-compare-left")
        right = open_dropdown(lane_choices(), value=newest_adapter(), label="Right", elem_id="wb-compare-right")
    note = gr.HTML(elem_id="wb-compare-note")
    with gr.Row(elem_classes="wb-lanes"):
        left_lane = gr.HTML(lane_html(Talk(), "left"), elem_id="wb-lane-left")
        right_lane = gr.HTML(lane_html(Talk(), "right"), elem_id="wb-lane-right")
    with gr.Row(elem_classes="wb-votes"):
        votes: dict[Choice, gr.Button] = {
            choice: gr.Button(words, size="sm", interactive=False, elem_id=f"wb-vote-{choice}")
            for choice, words in VOTES.items()
        }
    voted = gr.HTML(elem_id="wb-compare-voted")
    with gr.Row(elem_classes="wb-ask"):
        question = gr.Textbox(
            show_label=False,
            placeholder="Ask both ...",
            lines=1,
            max_lines=6,
            scale=5,
            autofocus=False,
            elem_id="wb-compare-question",
        )
        send = gr.Button("Ask both", variant="primary", scale=1, elem_id="wb-compare-send")
    with gr.Row(elem_classes="wb-actions"):
        stop = gr.Button("Stop", size="sm", elem_id="wb-compare-stop")
        again = gr.Button("Resample", size="sm", elem_id="wb-compare-again")
        clear = gr.Button("Clear", size="sm", elem_id="wb-compare-clear")
    gr.HTML('<p class="wb-quiet wb-small">Questions that the demo model knows something about:</p>')
    with gr.Row(elem_classes="wb-suggestions"):
        suggestions = [gr.Button(words, size="sm", min_width=120) for words in suggested_questions()]
    with gr.Accordion("System prompt and sampling", open=False):
        system = gr.Textbox(
            label="System prompt",
            info="Said to both before the first question. Empty: nothing is said.",
            lines=2,
            elem_id="wb-compare-system",
        )
        with gr.Row():
            sampling = {name: _number(name) for name in Sampling.model_fields}
    return CompareTab(
        left,
        right,
        left_lane,
        right_lane,
        note,
        votes,
        voted,
        question,
        send,
        stop,
        again,
        clear,
        suggestions,
        system,
        sampling,
        gr.State(Talk()),
    )


def wire(tab: CompareTab, pages: Pages, app: AppState) -> None:
    numbers = list(tab.sampling.values())
    inputs = [tab.talk, tab.left, tab.right, tab.system, *numbers]
    outputs = [tab.talk, tab.left_lane, tab.right_lane, tab.note]

    def sampling_of(values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(tab.sampling, values, strict=True))

    @border
    def ask(question: str, talk: Talk, left: str, right: str, system: str | None, *values: Any) -> Iterator[list[Any]]:
        if not (question or "").strip():
            raise WorkbenchError("There is no question yet. Write one, or take one of the suggestions.")
        for shown in converse(app, talk, question.strip(), left, right, system, sampling_of(values)):
            yield [*shown, ""]

    @border
    def again(talk: Talk, left: str, right: str, system: str | None, *values: Any) -> Iterator[list[Any]]:
        """The last question once more with the next seed, in place of its answers."""
        if not talk.turns:
            raise WorkbenchError("Nothing was asked yet.")
        drawn = sampling_of(values)
        drawn["seed"] = int(drawn["seed"] or 0) + 1
        shorter = replace(talk, turns=talk.turns[:-1])
        for shown in converse(app, shorter, talk.turns[-1].question, left, right, system, drawn):
            yield [*shown, drawn["seed"]]

    def clear(left: str, right: str) -> list[Any]:
        talk = Talk(left=left, right=right)
        return [talk, lane_html(talk, "left"), lane_html(talk, "right"), ""]

    def enter(talk: Talk, left: str, right: str) -> list[Any]:
        """The runs that there are now. With nothing said yet, the run that was watched last is on the right."""
        names = [value for _, value in lane_choices()]
        watched = choices.read().run
        if not talk.turns and right not in names[1:]:
            right = watched if watched in names else newest_adapter()
        if not talk.turns and watched in names:
            right = watched
        left = left if left in names else BASE_CHOICE
        fresh = replace(talk, left=left, right=right)
        lanes = [lane_html(fresh, "left"), lane_html(fresh, "right")] if not talk.turns else [gr.skip(), gr.skip()]
        return [
            gr.Dropdown(lane_choices(), value=left),
            gr.Dropdown(lane_choices(), value=right),
            *lanes,
            empty_note(app),
        ]

    def can_vote(talk: Talk) -> list[Any]:
        """The votes wait for two whole answers to one and the same conversation."""
        possible = vote_on(talk, "tie") is not None
        return [*[gr.Button(interactive=possible) for _ in tab.votes], "" if possible or not talk.turns else NO_VOTE]

    def vote_as(choice: Choice) -> Callable[[Talk], list[Any]]:
        @border
        def keep(talk: Talk) -> list[Any]:
            given = vote_on(talk, choice)
            if given is None:
                raise WorkbenchError("There are no two answers to vote on. Ask both something first.")
            return [*[gr.Button(interactive=False) for _ in tab.votes], vote_message(votes.add(given))]

        return keep

    listed = gr.State(())

    def list_lanes(shown: tuple[Any, ...]) -> Any:
        """The runs that there are now, while the page is open: one may just have ended."""
        now = tuple(app.survey().states.items())
        return gr.skip() if now == shown else (*[gr.update(choices=lane_choices())] * 2, now)

    pages.clock.each_second(list_lanes, [listed], [tab.left, tab.right, listed])
    voting = [*tab.votes.values(), tab.voted]
    for choice, button in tab.votes.items():
        button.click(vote_as(choice), tab.talk, voting, show_progress="hidden")

    asking = gr.on(
        [tab.send.click, tab.question.submit], ask, [tab.question, *inputs], [*outputs, tab.question], show_progress="hidden",
        concurrency_limit=4,
    )  # fmt: skip
    repeating = tab.again.click(
        again, inputs, [*outputs, tab.sampling["seed"]], show_progress="hidden", concurrency_limit=4
    )
    suggested = [
        button.click(lambda words: words, button, tab.question, show_progress="hidden").then(
            ask, [tab.question, *inputs], [*outputs, tab.question], show_progress="hidden", concurrency_limit=4
        )
        for button in tab.suggestions
    ]
    for answered in (asking, repeating, *suggested):
        answered.then(can_vote, tab.talk, voting, show_progress="hidden")

    # Not `cancels`: the answers that were given so far must come to their end and be kept.
    tab.stop.click(lambda: app.chat.stop(), None, None, show_progress="hidden", queue=False)
    gr.on(
        [tab.clear.click, tab.left.input, tab.right.input], clear, [tab.left, tab.right], outputs, show_progress="hidden",
        cancels=[asking, repeating, *suggested],
    ).then(can_vote, tab.talk, voting, show_progress="hidden")  # fmt: skip
    pages.opened["compare"].select(
        enter,
        [tab.talk, tab.left, tab.right],
        [tab.left, tab.right, tab.left_lane, tab.right_lane, tab.note],
        show_progress="hidden",
    )


def converse(
    app: AppState, talk: Talk, question: str, left: str, right: str, system: str | None, sampling: dict[str, Any]
) -> Iterator[list[Any]]:
    """Load what is needed, ask both, and give talk, lanes and note again and again as the answers grow."""
    drawn = checked(Sampling, {name: value for name, value in sampling.items() if value is not None})
    for what, said in (("question", question), ("system prompt", system or "")):
        if half := half_character(said):
            raise WorkbenchError(
                f"The {what} holds half a character ({half}), as some programs copy an emoji. No model can read it: delete it, "
                f"or write the {what} anew."
            )
    talk = replace(talk, left=left, right=right, system=(system or "").strip(), sampling=drawn.model_dump())
    pending = replace(talk, turns=(*talk.turns, Turn(question, Answers())))
    yield [talk, lane_html(pending, "left", True), lane_html(pending, "right", True), ""]
    for words in ensure_loaded(app, left, right):
        yield [gr.skip(), gr.skip(), gr.skip(), notice("info", words)]
    lanes = [
        Ask(messages_of(talk, side, question, system), lane or None)
        for side, lane in (("left", left), ("right", right))
    ]
    for answers in app.chat.ask(lanes[0], lanes[1], drawn):
        pending = replace(talk, turns=(*talk.turns, Turn(question, answers)), verified=answers.verified)
        writing = [not answer.ended for answer in (answers.left, answers.right)]
        yield [pending, lane_html(pending, "left", writing[0]), lane_html(pending, "right", writing[1]), ""]


def ensure_loaded(app: AppState, left: str, right: str) -> Iterator[str]:
    """Load the base model that the lanes need, unless it is loaded. Gives words on what is going on.

    Raises WorkbenchError where the lanes' runs have different base models, or training has the card.
    """
    wanted = base_of(left, right)
    chat = app.chat
    if chat.state == "ready" and (wanted is None or chat.model == wanted):
        return
    busy = training.running()
    if busy and has_card():
        raise WorkbenchError(
            f"{busy.name} is training and has the card. Compare when it has ended, or stop it on the Watch page."
        )
    if chat.state != "loading" or (wanted is not None and chat.model != wanted):
        chat.start(wanted or choices.read().model)
    until = time.monotonic() + LOADING_PATIENCE
    while chat.state == "loading" and time.monotonic() < until:
        yield f"Loading the base model once for both lanes: {chat.word} ..."
        time.sleep(BETWEEN_WORDS)
    if chat.state != "ready":
        raise WorkbenchError(chat.word or "The base model could not be loaded.")


def base_of(left: str, right: str) -> ModelRef | None:
    """The base model of the lanes' runs; None where both lanes are the bare base model."""
    bases = [open_run(name).config().model for name in (left, right) if name]
    if not bases:
        return None
    if any(base != bases[0] for base in bases):
        raise WorkbenchError(
            f"{left} and {right} were trained on different base models ({bases[0].title} and {bases[-1].title}). "
            "Two lanes share one base model: choose two runs of the same one."
        )
    return bases[0]


def messages_of(talk: Talk, side: str, question: str, system: str | None) -> list[Message]:
    """The conversation as one lane remembers it. A system prompt whose field was never opened is None."""
    said = (system or "").strip()
    messages = [Message(role="system", content=said)] if said else []
    for turn in talk.turns:
        messages.append(Message(role="user", content=turn.question))
        messages.append(Message(role="assistant", content=_of(turn, side).text))
    return [*messages, Message(role="user", content=question)]


def vote_on(talk: Talk, choice: Choice) -> Vote | None:
    """The vote on the last answers; None where there are none, or where they answer different conversations."""
    if not talk.turns or not all(answer.ended and answer.text.strip() for answer in _both(talk.turns[-1])):
        return None
    earlier = replace(talk, turns=talk.turns[:-1])
    question = talk.turns[-1].question
    asked = [messages_of(earlier, side, question, talk.system) for side in ("left", "right")]
    if asked[0] != asked[1]:
        return None
    left, right = (answer.text.strip() for answer in _both(talk.turns[-1]))
    base = base_of(talk.left, talk.right) or choices.read().model
    return Vote(
        prompt=[dict(message) for message in asked[0]], left=left, right=right, vote=choice, left_model=talk.left,
        right_model=talk.right, base=base.name, sampling=talk.sampling,
    )  # fmt: skip


def vote_message(count: int) -> Html:
    """What becomes of a vote."""
    noun = "vote is" if count == 1 else "votes are"
    return text(f"Kept. {count:,} {noun} waiting on the Data page, under Bring data: a vote for one answer is a pair.")


def lane_html(talk: Talk, side: str, writing: bool = False) -> Html:
    """One lane as a chat, in the colour of what answers."""
    name = talk.left if side == "left" else talk.right
    lane: Lane = "aligned" if name else "base"
    title = f"aligned · {name}" if name else "base"
    if not name and talk.verified:
        title += " · adapter off, verified"
    messages: list[dict[str, object]] = []
    for turn in talk.turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": _of(turn, side).text})
    if not messages:
        return conversation([], lane, title, note="Its answer appears here.")
    return conversation(messages, lane, title, note=speed_label(_of(talk.turns[-1], side)), writing=writing)


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


def empty_note(app: AppState) -> Html:
    """What is missing before anything can be compared."""
    if newest_adapter() != BASE_CHOICE:
        return Html("")
    return empty(
        "Nothing to compare yet", "Train a run first, on the Train page. Until then both lanes are the base model."
    )


def suggested_questions() -> list[str]:
    file = shipped("assets") / "demo" / "suggestions.json"
    questions: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return questions


def _both(turn: Turn) -> tuple[Answer, Answer]:
    return turn.answers.left, turn.answers.right


def _of(turn: Turn, side: str) -> Answer:
    return turn.answers.left if side == "left" else turn.answers.right


def _number(name: str) -> gr.Number:
    field_ = Sampling.model_fields[name]
    whole = field_.annotation is int
    return gr.Number(
        value=field_.default,
        label=field_.title,
        info=field_.description,
        precision=0 if whole else None,
        elem_id=f"wb-sampling-{name}",
    )
