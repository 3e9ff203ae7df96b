"""Blind votes on the Compare page: a sitting is begun, voted through, and says what it found; its votes train the next round."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import gradio as gr

from workbench.core.errors import WorkbenchError
from workbench.core.votes.expectation import expectation
from workbench.core.votes.sitting import Question, Sitting, next_match, shown
from workbench.core.votes.vote import Choice, Purpose, Vote
from workbench.jobs import lanes, rounds
from workbench.jobs import sittings as sitting_jobs
from workbench.jobs.app_state import AppState
from workbench.jobs.grid import Grid
from workbench.store import datasets, sittings, votes
from workbench.ui.compare import result_html
from workbench.ui.compare.prompt_source import DATA, PromptSource, chosen_prompts
from workbench.ui.compare.who_answers import HowToAnswer, WhoAnswers, answerers
from workbench.ui.frame import Frame
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.parts import Html, bar, conversation, notice, text
from workbench.ui.updates import LATEST, QUIET, Updates, shown_if, there_while

VOTES: dict[Choice, str] = {
    "left": "1 · Left is better",
    "tie": "2 · Equally good",
    "both_bad": "3 · Both are bad",
    "right": "4 · Right is better",
}
NOBODY = -1  # the number of the pair while none is shown
COUNTS = (10, 20, 40, 80, 160)
BETWEEN = {
    "sides": "Left against right",
    "two": "Two answers of the right side",
    "four": "Four answers of the right side",
}
DRAFTS = {"two": 2, "four": 4}

# The keys 1 to 4 vote, but never while somebody types.
_KEYS = """if (!window.wbVoteKeys) {
  window.wbVoteKeys = true;
  document.addEventListener('keydown', (event) => {
    const place = '1234'.indexOf(event.key);
    const at = document.activeElement;
    if (place < 0 || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (at && (at.isContentEditable || at.matches('textarea, select, input:not([type=radio], [type=checkbox], [type=range])'))) return;
    const button = document.getElementById('wb-blind-' + ['left', 'tie', 'both_bad', 'right'][place]);
    if (button && button.offsetParent && !button.disabled) button.click();
  });
}"""


class NewSitting:
    """earlier: what was begun before. settings: folded while one is open, so that its pairs are in sight."""

    def __init__(self) -> None:
        self.earlier = open_dropdown(
            [], value=None, label="Sittings so far", info="Choose one to go on with it, or to see what it found.",
            visible=False, elem_id="wb-blind-earlier",
        )  # fmt: skip
        with gr.Accordion("New sitting", open=True, elem_id="wb-blind-new") as self.settings:
            self._draw_settings()
        self.stop = gr.Button("Stop making answers", size="sm", visible="hidden", elem_id="wb-blind-stop")

    def _draw_settings(self) -> None:
        with gr.Row(elem_classes="wb-lane-choice"):
            self.purpose = gr.Radio(
                [("Measure: which is better?", "measure"), ("Teach: votes to train on", "teach")],
                value="measure",
                label="What the votes are for",
                info="Measuring asks a fixed random list of held-out prompts, and gives a win rate. Teaching asks prompts of the training data or your own, first those on which a vote teaches most, and gives pairs to train on, never a win rate.",
                elem_id="wb-blind-purpose",
            )
            self.between = gr.Radio(
                [(title, key) for key, title in BETWEEN.items()],
                value="sides",
                label="Which answers meet",
                info="Several answers of one side make preference data from nothing.",
                elem_id="wb-blind-between",
            )
        self.prompts = PromptSource(
            "wb-blind", "Of the training data", "Prompts of your own need no dataset.", COUNTS, 40, offered=False
        )
        self.start = gr.Button("Start a sitting", variant="primary", elem_id="wb-blind-start")


class Booth:
    """Where one pair after the other is shown, without names, and voted on."""

    def __init__(self) -> None:
        with gr.Column(visible=False) as self.all:
            self.progress = gr.HTML(elem_id="wb-blind-progress")
            self.prompt = gr.HTML(elem_id="wb-blind-prompt")
            with gr.Row(elem_classes="wb-lanes"):
                self.left = gr.HTML(elem_id="wb-blind-lane-left")
                self.right = gr.HTML(elem_id="wb-blind-lane-right")
            with gr.Row(elem_classes="wb-votes"):
                self.votes = {
                    choice: gr.Button(words, size="sm", elem_id=f"wb-blind-{choice}") for choice, words in VOTES.items()
                }
            with gr.Row(elem_classes="wb-actions"):
                self.undo = gr.Button("Undo the last vote", size="sm", interactive=False, elem_id="wb-blind-undo")
            self.told = gr.HTML(elem_id="wb-blind-told")
            with gr.Accordion("Write the ideal answer", open=False):
                self.ideal = gr.Textbox(
                    label="What should have been said",
                    info="Your text becomes the chosen answer against each of the two, and both of them count as bad.",
                    lines=3,
                    elem_id="wb-blind-ideal",
                )
                self.keep_ideal = gr.Button("Vote with this answer", size="sm", elem_id="wb-blind-keep-ideal")
        gr.HTML("", js_on_load=_KEYS)


class NextRound:
    """The votes of the sitting as a dataset, and Train with it."""

    def __init__(self) -> None:
        with gr.Accordion("Train the next round on these votes", open=False, visible=False) as self.all:
            self.expected = gr.HTML(elem_id="wb-round-expected")
            with gr.Row():
                self.name = gr.Textbox(label="Name of the dataset", elem_id="wb-round-name")
                self.kind = gr.Radio(
                    [("pairs, for DPO", "pairs"), ("single answers with a thumb, for KTO", "thumbs")],
                    value="pairs",
                    label="What the votes become",
                    info="A vote for one side makes a pair. Two bad answers make two disliked ones, and no pair. Ties make nothing.",
                    elem_id="wb-round-kind",
                )
            self.mixed = gr.Checkbox(
                False, label="Mix with the data of the earlier round",
                info="So that what was learned before is not forgotten.", elem_id="wb-round-mixed",
            )  # fmt: skip
            self.train = gr.Button("Store the votes and set up the next round → Train", variant="primary", elem_id="wb-round-train")  # fmt: skip


class SittingView:
    """sitting: id of the one that is open. number: of the pair that is shown. last: id of the vote that can be undone.

    stored: run and dataset of a round that is to be set up.
    """

    def __init__(self) -> None:
        self.new = NewSitting()
        self.making = gr.HTML(elem_id="wb-blind-making")
        self.booth = Booth()
        self.result = gr.HTML(elem_id="wb-blind-result")
        self.round = NextRound()
        self.chains = gr.HTML(elem_id="wb-round-chains")
        self.sitting, self.number, self.last = gr.State(""), gr.State(NOBODY), gr.State("")
        self.stored = gr.State(("", ""))

    def wire(
        self, who: WhoAnswers, how: HowToAnswer, frame: Frame, opened: gr.Tab, app: AppState
    ) -> Callable[..., Any]:
        """Gives back the event after which `stored` is set: a next round is wanted."""
        self._wire_start(who, how, app)
        self._wire_votes()
        gr.on([opened.select, frame.opened["compare"].select], self._enter, [self.sitting], self.shown, **QUIET)

        def look(id: str, number: int) -> Updates:
            """While nothing is shown: whether answers have come in."""
            if not id or number != NOBODY:
                return {}
            sitting = sittings.read(id)
            at = sittings.now_at(sitting)
            return {} if at is None else self._updates(sitting)

        frame.clock.each_second(look, [self.sitting, self.number], self.shown)

        def store(id: str, name: str, kind: rounds.VoteRows, mixed: bool) -> Updates:
            sitting = sittings.read(id)
            run = run_of(sitting)
            earlier = sitting_jobs.data_of_run(run) if run else None
            if mixed and not earlier:
                raise WorkbenchError("The base model has no earlier data to mix with. Train on the votes alone.")
            about = rounds.add_votes(id, name.strip(), kind, earlier if mixed else None)
            return {self.stored: (run, about.name)}

        chosen = [self.sitting, self.round.name, self.round.kind, self.round.mixed]
        stored: Callable[..., Any] = self.round.train.click(store, chosen, [self.stored]).success
        return stored

    def open_grid(self, questions: list[Question], grid: Grid) -> Updates:
        """A sitting over the answers of a grid, in which only pairs of its first two answerers meet."""
        if not questions:
            raise WorkbenchError("There are no whole pairs of answers to vote on. Ask all first.")
        sitting = sitting_jobs.begin_with(questions, grid.answerers, grid.bases, grid.sampling)
        return {
            self.sitting: sitting.id,
            **self._updates(sitting),
            **self._listed(sitting.id, sittings.all_sittings()[0]),
        }

    def _wire_start(self, who: WhoAnswers, how: HowToAnswer, app: AppState) -> None:
        new, prompts = self.new, self.new.prompts
        prompts.wire()

        def offer(purpose: Purpose, source: str) -> Updates:
            """Prompts of one's own teach; what is measured with has to be held out from training."""
            teaches = purpose == "teach"
            return {prompts.source: shown_if(teaches), **prompts.own_shown(source if teaches else DATA)}

        new.purpose.input(offer, [new.purpose, prompts.source], [prompts.source, *prompts.own], **LATEST)

        def start(
            purpose: Purpose, between: str, source: str, count: int, listed: str, file: str | None, *values: Any
        ) -> Iterator[Updates]:
            left, right = answerers(*values[:4])
            system, *numbers = values[4:]
            meet = [right] * DRAFTS[between] if between in DRAFTS else [left, right]
            if between == "sides" and left == right:
                raise WorkbenchError(
                    "Left and right are the same, so there is nothing to compare. Choose two, or let several answers of one side meet."
                )
            if purpose == "measure" and between in DRAFTS:
                raise WorkbenchError(
                    "Answers of one side cannot be measured against each other. Choose Teach, or left against right."
                )
            source = source if purpose == "teach" else DATA
            asked = chosen_prompts(source, count, listed, file, meet, 0, purpose)
            sitting = sitting_jobs.begin(app, purpose, meet, asked, how.sampling(*numbers), (system or "").strip())
            yield {
                self.sitting: sitting.id,
                **self._updates(sitting),
                **self._listed(sitting.id, sittings.all_sittings()[0]),
            }
            yield from make(sitting.id)

        def go_on(id: str | None) -> Iterator[Updates]:
            if not id:
                return
            sitting = sittings.read(id)
            yield {self.sitting: id, self.last: "", **self._updates(sitting)}
            yield from make(id)

        def make(id: str) -> Iterator[Updates]:
            """Answers are made while others are voted on already."""
            try:
                for now in sitting_jobs.make_answers(app, id):
                    words = now.words or f"{now.answered} of {len(now.sitting.questions)} prompts answered"
                    yield {
                        self.making: bar(now.answered / len(now.sitting.questions), words),
                        new.stop: there_while(True),
                    }
            except WorkbenchError:
                yield {self.making: "", new.stop: there_while(False)}
                raise
            sitting = sittings.read(id)
            missing = sum(None in one.answers for one in sitting.questions)
            words = (
                text(f"{missing} prompts are not answered yet. Choose the sitting again to go on.") if missing else ""
            )
            yield {
                self.making: words,
                new.stop: there_while(False),
                # The tick that shows the first pair may reach the browser before what was shown at the start.
                **({} if sittings.voted(sitting) else self._updates(sitting)),
            }

        inputs = [new.purpose, new.between, *prompts.inputs, *who.inputs, *how.inputs]
        outputs = [*self.shown, self.making, new.stop]
        new.start.click(start, inputs, outputs, **QUIET)
        new.earlier.input(go_on, new.earlier, outputs, **QUIET)
        new.stop.click(lambda: lanes.stop(app), None, None, **QUIET, queue=False)

    def _wire_votes(self) -> None:
        booth = self.booth

        def give(choice: Choice) -> Callable[..., Updates]:
            def vote(id: str, number: int, ideal: str = "") -> Updates:
                if not id or number == NOBODY:
                    raise WorkbenchError("There is no pair to vote on. Start a sitting first.")
                given = sittings.give(sittings.read(id), number, choice, ideal)
                return {**self._updates(sittings.read(id), given), booth.ideal: ""}

            return vote

        outputs = [*self.shown, booth.ideal]
        for choice, button in booth.votes.items():
            button.click(give(choice), [self.sitting, self.number], outputs, **QUIET)

        def with_ideal(id: str, number: int, ideal: str) -> Updates:
            if not ideal.strip():
                raise WorkbenchError("The ideal answer is empty. Write it first.")
            return give("both_bad")(id, number, ideal)

        booth.keep_ideal.click(with_ideal, [self.sitting, self.number, booth.ideal], outputs, **QUIET)

        def undo(id: str, last: str) -> Updates:
            if last:
                votes.undo(last)
            return self._updates(sittings.read(id))

        booth.undo.click(undo, [self.sitting, self.last], outputs, **QUIET)

    @property
    def shown(self) -> list[Any]:
        booth, after = self.booth, self.round
        return [
            self.sitting, self.number, self.last, self.new.earlier, self.new.settings, booth.all, booth.progress, booth.prompt, booth.left,
            booth.right, booth.undo, booth.told, *booth.votes.values(), self.result, after.all, after.expected, after.name,
            self.chains,
        ]  # fmt: skip

    def _enter(self, id: str) -> Updates:
        """What there is now; a sitting that is not at its end is open again after a reload."""
        found, problems = sittings.all_sittings()
        now = next((one for one in found if one.id == id), None) if id else _unfinished(found)
        told = {self.result: notice("warning", "Not every sitting can be read", " ".join(problems))} if problems else {}
        opened = {self.sitting: now.id, **self._updates(now)} if now else told
        return {**self._listed(now.id if now else None, found), **opened, self.chains: result_html.chains_html()}

    def _listed(self, id: str | None, found: Sequence[Sitting]) -> Updates:
        """The sittings to choose from. id: of the one that is open."""
        named = [(sitting_label(one), one.id) for one in found]
        return {
            self.new.earlier: gr.update(choices=named, value=id, visible=bool(found)),
            self.new.settings: gr.Accordion(open=id is None),
        }

    def _updates(self, sitting: Sitting, given: Vote | None = None) -> Updates:
        """The pair that comes next, and what the sitting says so far. given: the vote that was just made."""
        booth, after = self.booth, self.round
        voted = sittings.voted(sitting)
        at = next_match(sitting, voted)
        updates: Updates = {
            self.number: NOBODY if at is None else at,
            self.last: given.id if given else "",
            booth.all: shown_if(True),
            booth.progress: bar(len(voted) / max(len(sitting.matches), 1), progress_label(sitting, len(voted))),
            booth.undo: gr.update(interactive=bool(given)),
            booth.told: told_html(sitting, given),
            self.result: result_html.result_html(sitting, list(voted.values())),
        }
        for button in booth.votes.values():
            updates[button] = gr.update(interactive=at is not None)
        if at is None:
            waits = any(None in one.answers for one in sitting.questions)
            words = "The next answers are being made ..." if waits else "Every pair has a vote."
            updates |= {booth.prompt: text(words), booth.left: "", booth.right: ""}
        else:
            pair = shown(sitting, at, voted)
            updates |= {
                booth.prompt: conversation(pair.prompt, "base", "Prompt"),
                booth.left: _answer(pair.left, "Left"),
                booth.right: _answer(pair.right, "Right"),
            }
        trainable = sum(1 for _ in votes.rows(sitting.id)) if sitting.purpose == "teach" else 0
        updates[after.all] = gr.update(visible=trainable > 0)
        if trainable:
            updates |= {after.expected: text(expectation(trainable)), after.name: free_data_name(sitting)}
        return updates


def sitting_label(sitting: Sitting) -> str:
    """ "measure · 21 Nov 14:05 · 40 prompts". Who answers stays hidden."""
    when = datetime.fromisoformat(sitting.time).astimezone() if sitting.time else None
    parts = [sitting.purpose, f"{when:%d %b %H:%M}" if when else "", f"{len(sitting.questions)} prompts"]
    return " · ".join(part for part in parts if part)


def progress_label(sitting: Sitting, voted: int) -> str:
    parts = [f"{voted} of {len(sitting.matches)} pairs voted on"]
    if sitting.skipped:
        parts.append(f"{sitting.skipped} left out, where both answers were the same")
    return " · ".join(parts)


def told_html(sitting: Sitting, given: Vote | None) -> Html:
    """Who had answered, now that there is a vote."""
    if given is None or given.match is None:
        return Html("")
    names = shown(sitting, given.match, {given.match}).names
    assert names, "a pair with a vote has names"
    return text(f"Your vote is kept. Left was {names[0]}, right was {names[1]}.")


def run_of(sitting: Sitting) -> str:
    """The run that the votes are about: the last of the answerers that is one; "" for the base model."""
    return next((one.run for one in reversed(sitting.answerers) if one.run), "")


def free_data_name(sitting: Sitting) -> str:
    run = run_of(sitting)
    return datasets.free_name(f"{run[:50]}-votes" if run else "votes")


def _unfinished(found: list[Sitting]) -> Sitting | None:
    newest = found[0] if found else None
    return newest if newest and sittings.now_at(newest) is not None else None


def _answer(words: str, title: str) -> Html:
    return conversation([{"role": "assistant", "content": words}], "base", title)
