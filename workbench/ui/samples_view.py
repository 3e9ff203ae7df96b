"""Sample answers of a run as a film: what the model said before the first step, beside what it said at each evaluation."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import gradio as gr

from workbench.core.data.thoughts import split_thoughts
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import SAMPLE_SHARE
from workbench.core.training.methods import stage_title
from workbench.jobs.app_state import AppState
from workbench.jobs.logs import Reading
from workbench.store.runs import Run, open_run
from workbench.ui.parts import Html, Lane, card, conversation, empty, join, signed, text
from workbench.ui.updates import LATEST, QUIET, Updates
from workbench.ui.word_diff import Spans, differing_words, marked_words

# More would be a wall of text; all of them are in samples.jsonl.
SHOWN = 8

TITLE_LENGTH = 160  # characters of a prompt

A_PICTURE = 0.9  # seconds that each evaluation is shown for while the film plays

Line = Mapping[str, Any]
Evaluation = tuple[str, int]
"""Stage and step."""


class SamplesView:
    """shown: the answers of one evaluation. count: how many evaluations the slider goes over, so that a slider that stands at the
    newest one goes on to the next."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="wb-film"):
            # Never hidden: what a closed accordion is told of being shown is lost.
            self.slider = gr.Slider(
                1, 2, value=1, step=1, label="Evaluation", buttons=[], elem_id="wb-watch-film", scale=5
            )
            self.play = gr.Button("Play", size="sm", min_width=80, scale=0, elem_id="wb-watch-play")
        self.shown = gr.HTML(elem_id="wb-watch-samples")
        self.count = gr.State(0)

    @property
    def changing(self) -> list[Any]:
        return [self.shown, self.slider, self.count]

    def wire(self, run: gr.Dropdown, app: AppState) -> None:
        """run: the choice of it."""

        def look(run_name: str | None, place: float) -> Updates:
            reading, of_reward = _read(app, run_name)
            label = label_of(evaluations(reading.samples), int(place))
            return {self.shown: answers_html(reading, of_reward, int(place)), self.slider: gr.update(label=label)}

        def play(run_name: str | None) -> Iterator[Updates]:
            for place in count(1):
                reading, of_reward = _read(app, run_name)
                if place > len(evaluations(reading.samples)):
                    return
                yield self._at(reading, of_reward, place)
                time.sleep(A_PICTURE)

        playing = self.play.click(play, run, self.changing, **QUIET)
        self.slider.input(look, [run, self.slider], [self.shown, self.slider], **LATEST, cancels=[playing])

    def updates(self, run: Run, reading: Reading, place: float | None = None, known: int = 0) -> Updates:
        """What was answered. place: where the slider stands, of `known` evaluations; None: at the newest one."""
        newest = len(evaluations(reading.samples))
        stays = place is not None and place < min(known, newest)
        return self._at(reading, run.is_reward, int(place) if place is not None and stays else newest)

    def nothing(self) -> Updates:
        return {self.shown: "", self.count: 0}

    def _at(self, reading: Reading, of_reward: bool, place: int) -> Updates:
        known = evaluations(reading.samples)
        slider = gr.update(
            value=max(1, place), maximum=max(2, len(known)), label=label_of(known, place), interactive=len(known) > 1
        )
        return {self.shown: answers_html(reading, of_reward, place), self.slider: slider, self.count: len(known)}


def _read(app: AppState, run_name: str | None) -> tuple[Reading, bool]:
    if not run_name:
        raise WorkbenchError("No run is chosen. Choose one at the top of the page.")
    run = open_run(run_name)
    return app.read(run), run.is_reward


def evaluations(samples: Sequence[Line]) -> list[Evaluation]:
    """The evaluations that were answered, in their order."""
    return list(dict.fromkeys((str(one["stage"]), int(one["step"])) for one in samples))


def label_of(known: Sequence[Evaluation], place: int) -> str:
    """ "Evaluation 3 of 9: DPO, after step 10" """
    if not known:
        return "Evaluation"
    place = min(max(place, 1), len(known))
    stage, step = known[place - 1]
    when = f"after step {step:,}" if step else "before the first step"
    return f"Evaluation {place} of {len(known)}: {stage_title(stage)}, {when}"


def answers_html(reading: Reading, is_reward: bool, place: int) -> Html:
    """The answers of one evaluation, counted from 1, and what all of them cost. is_reward: of a run that writes none."""
    if is_reward:
        return empty("A reward model writes no answers", "It scores them: how well stands above the curves.")
    known = evaluations(reading.samples)
    if not known:
        return empty(
            "No sample answers yet",
            "The model answers a few held-out prompts at each evaluation, unless Sample answers is set to 0.",
        )
    shown = samples_html(reading.samples, known[min(max(place, 1), len(known)) - 1])
    return join(shown, *cost_html(reading.log.rows))


def cost_html(rows: Sequence[Mapping[str, Any]]) -> list[Html]:
    """What share of the time the answers have taken, as it was logged last."""
    share = next((row[SAMPLE_SHARE] for row in reversed(rows) if row.get(SAMPLE_SHARE) is not None), None)
    if share is None:
        return []
    return [
        text(
            f"Answering took {share:.1%} of the time of the stage. Where it would take more than 5 %, only some evaluations are "
            "answered; the first and the last always are."
        )
    ]


def samples_html(samples: Sequence[Line], at: Evaluation | None = None) -> Html:
    """The first prompts of one evaluation, the newest where none is named, each with its answers at the start of the stage and
    then."""
    stage, step = at or evaluations(samples)[-1]
    start = {str(one["prompt"]): one for one in samples if (one["stage"], one["step"]) == (stage, 0)}
    then = [one for one in samples if (one["stage"], one["step"]) == (stage, step)]
    pairs = [_pair(start.get(str(one["prompt"])), one) for one in then[:SHOWN]]
    count = f"{len(pairs)} of {len(then)} prompts" if len(then) > len(pairs) else f"{len(then)} prompts"
    rewarded = any("implicit_reward" in one for one in then)
    words = f"{count}, the likeliest answers, in {stage_title(stage)}. Words in bold are not in the other answer. " + (
        "The implicit reward is β times how much likelier the model now finds an answer than the reference does, in nats. "
        if rewarded
        else ""
    )
    return join(*pairs, text(f"{words}All of them are in samples.jsonl in the run's folder."))


def _pair(start: Line | None, then: Line) -> Html:
    """One prompt with two answers side by side."""
    lanes: list[Html] = []
    if start is None or not then["step"]:
        lane: Lane = "aligned" if then["step"] else "base"
        title = f"after step {then['step']:,}" if then["step"] else "before the first step"
        lanes.append(_answer(then, lane, title, _own_notes(then)))
    else:
        left, right = differing_words(start["answer"], then["answer"])
        rewarded = _reward("implicit reward now", then.get("implicit_reward_of_start"))
        lanes.append(_answer(start, "base", "before the first step", [*_own_notes(start), *rewarded], left))
        lanes.append(_answer(then, "aligned", f"after step {then['step']:,}", _own_notes(then), right))
    asked = str(then["prompt"][-1]["content"])
    title = asked if len(asked) <= TITLE_LENGTH else f"{asked[:TITLE_LENGTH]} …"
    return card(title, Html(f'<div class="wb-row-answers">{join(*lanes)}</div>'))


def _answer(one: Line, lane: Lane, title: str, notes: Sequence[str], differing: Spans = ()) -> Html:
    answer = str(one["answer"])
    has_thoughts = split_thoughts(answer)[1] != answer  # they are folded away, and no words are marked
    marked = None if has_thoughts or not differing else marked_words(answer, differing)
    return conversation([{"role": "assistant", "content": answer}], lane, title, ", ".join(notes), scored=marked)


def _own_notes(one: Line) -> list[str]:
    notes = [*_reward("reward", one.get("reward")), *_reward("implicit reward", one.get("implicit_reward"))]
    notes += [f"{one['tokens']} tokens"]
    notes += ["cut: its end was not reached"] if one["hit_limit"] else []
    notes += [f"{one['repetition']:.0%} repeated"] if one["repetition"] >= 0.01 else []
    return notes


def _reward(name: str, value: float | None) -> list[str]:
    return [] if value is None else [f"{name} {signed(value)}"]
