"""Many prompts to both sides at once, as a table that grows; and one adapter at five strengths."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import gradio as gr

from workbench.core.chat import Answered, Answerer
from workbench.core.data.thoughts import has_thoughts, is_open, without_thoughts
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.duration import duration_label
from workbench.jobs import lanes as asking
from workbench.jobs.app_state import AppState
from workbench.jobs.grid import (
    STRENGTHS,
    Grid,
    LastGrids,
    Means,
    answer_all,
    as_csv,
    as_json_lines,
    ended_label,
    means_of,
    new_grid,
    prompt_label,
    reward_all,
    score_all,
)
from workbench.store.answerers import beta_of
from workbench.store.reward_models import open_reward_model
from workbench.ui.compare.prompt_source import PromptSource, chosen_prompts
from workbench.ui.compare.reward_choice import RewardChoice, reward_reading
from workbench.ui.compare.save_strength import SaveStrength
from workbench.ui.compare.who_answers import HowToAnswer, WhoAnswers, answerers
from workbench.ui.environment import export_folder
from workbench.ui.frame import Frame
from workbench.ui.parts import Html, Lane, answer_table, bar, empty, join, signed, table, text
from workbench.ui.updates import QUIET, Updates, shown_if, there_while

AT_ONCE = 4  # browser tabs that may ask; all but one are told to wait
COUNTS = (8, 16, 32)
SWEPT = 8  # prompts of a sweep, at most: each is asked five times
BETWEEN_PICTURES = 0.3  # seconds
REPEATS = 0.2  # share of an answer from which on its repetition is said

SEEN = (
    "You have seen these answers with their names, so votes on them are data to train on and no measurement: to measure, start a "
    "sitting under Blind votes, which shows nothing before."
)
READING = (
    "How to read it: 0 is the base model and 1 the run as it was trained; below 1 acts like a higher beta, above 1 goes further the "
    "same way (ExPO, Zheng et al. 2024). {reward} says how much more likely the run makes an answer than the base model does{times}; "
    "it is the run's own measure and no judgement. Take the strength beyond which it gains little, or answers grow long or repeat."
)


# Only after the page is back where it was: until then the field is empty because nothing has filled it yet.
_REMEMBER = "id => {{ if (window.wbIsBack && id) sessionStorage.setItem('{}', id); }}"
_AS_REMEMBERED = """(id, swept, grid) =>
    [...['wb-grid', 'wb-strengths'].map(one => sessionStorage.getItem(one) ?? ''), grid]"""


class GridView:
    """grid: the last one of this browser tab. id: what the tab remembers it by, swept_id: its last sweep. answers_state: the grid
    as questions for a sitting, once all is answered."""

    def __init__(self) -> None:
        self.source = PromptSource(
            "wb-many", "Held-out prompts of the run",
            "Held-out ones are of the data that the run learned from, and no training saw them.", COUNTS, 16,
        )  # fmt: skip
        with gr.Row(elem_classes="wb-actions"):
            self.ask = gr.Button("Ask all", variant="primary", elem_id="wb-many-ask")
            self.sweep = gr.Button("Try five strengths", elem_id="wb-many-sweep")
            self.stop = gr.Button("Stop", visible="hidden", elem_id="wb-many-stop")
        self.progress = gr.HTML(visible="hidden", elem_id="wb-many-progress")
        self.strengths = gr.HTML(visible=False, elem_id="wb-many-strengths")
        self.answers = gr.HTML(
            empty(
                "No answers yet",
                "Ask both sides 8, 16 or 32 prompts at once: what one question cannot show, many do. Or try the right-hand run "
                f"at five strengths on up to {SWEPT} of the prompts.",
            ),
            elem_id="wb-many-answers",
        )
        with gr.Row(elem_classes="wb-actions"):
            self.vote = gr.Button("Vote on these, blind", visible=False, elem_id="wb-many-vote")
            self.files = {
                "jsonl": gr.DownloadButton("Download JSON lines", visible=False, elem_id="wb-many-jsonl"),
                "csv": gr.DownloadButton("Download CSV", visible=False, elem_id="wb-many-csv"),
            }
        self.seen = gr.HTML(text(SEEN), visible=False, elem_id="wb-many-seen")
        self.save = SaveStrength()
        self.id = gr.Textbox("", visible="hidden", elem_id="wb-many-id")
        self.swept_id = gr.Textbox("", visible="hidden", elem_id="wb-many-swept-id")
        self.grid = gr.State(Grid())
        self._last, self._last_swept = LastGrids(), LastGrids()
        self.answers_state = gr.State([])
        self._can_vote = False

    def when_voting(self, act: Callable[..., Any], outputs: Iterable[Any]) -> None:
        """What `Vote on these` does: `act` is given the questions and the grid. Without it the button is not shown."""
        self._can_vote = True
        self.vote.click(act, [self.answers_state, self.grid], list(outputs), **QUIET)

    def wire(self, who: WhoAnswers, how: HowToAnswer, reward: RewardChoice, frame: Frame, app: AppState) -> None:
        self.source.wire()
        self.save.wire(who)

        def asked(source: str, count: int, listed: str, file: str | None, *values: Any) -> Grid:
            """The grid that is chosen, without answers. The first four `values` say who answers, the others how."""
            sides = answerers(*values[:4])
            system, *numbers = values[4:]
            sampling = how.sampling(*numbers)
            prompts = chosen_prompts(source, count, listed, file, sides, sampling.seed)
            return new_grid(app, prompts, sides, sampling, (system or "").strip())

        def ask(judge: str, source: str, count: int, listed: str, file: str | None, *values: Any) -> Iterator[Updates]:
            yield from self.fill(app, asked(source, count, listed, file, *values), judge)

        def sweep(
            judge: str, source: str, count: int, listed: str, file: str | None, *values: Any
        ) -> Iterator[Updates]:
            right = answerers(*values[:4])[1]
            if not right.name:
                raise WorkbenchError("The right side is the base model, which has no strength. Choose a run there.")
            grid = asked(source, count, listed, file, *values)
            grid.prompts, grid.answerers = grid.prompts[:SWEPT], [Answerer(right.name, one) for one in STRENGTHS]
            asking.way_of(app, grid.answerers)
            yield from self.fill_strengths(app, grid, judge)

        def enter(id: str, swept_id: str, grid: Grid) -> Iterator[Updates]:
            """After a reload this tab has its answers and its sweep again, as far as they had come."""
            swept = self._last_swept.get(swept_id)
            if swept and swept.answers:
                with suppress(WorkbenchError):  # its run may be in the trash by now
                    yield {
                        self.swept_id: swept_id,
                        self.strengths: gr.update(value=strengths_html(swept), visible=True),
                    }
            found = None if grid.answers else self._last.get(id)
            if found:
                yield {self.id: id, self.answers: grid_html(found)}
                yield from self._finished(found)

        inputs = [reward.which, *self.source.inputs, *who.inputs, *how.inputs]
        answering: dict[str, Any] = {**QUIET, "concurrency_limit": AT_ONCE}
        shown = [self.stop, self.progress]
        swept = [self.swept_id, self.strengths]
        kept = [self.id, self.grid, self.answers, self.answers_state, self.vote, self.seen, *self.files.values()]
        self.ask.click(ask, inputs, [*shown, *kept], **answering)
        self.sweep.click(sweep, inputs, [*shown, *swept], **answering)
        # Not `cancels`: what was answered so far must come to its end and be kept.
        self.stop.click(lambda: asking.stop(app), None, None, **QUIET, queue=False)
        self.id.change(None, self.id, None, js=_REMEMBER.format("wb-grid"))
        self.swept_id.change(None, self.swept_id, None, js=_REMEMBER.format("wb-strengths"))
        remembered = [self.id, self.swept_id, self.grid]
        frame.opened["compare"].select(enter, remembered, [*swept, *kept], **QUIET, js=_AS_REMEMBERED)

    def fill(self, app: AppState, grid: Grid, reward: str = "") -> Iterator[Updates]:
        """Ask everything, and give the table again and again as it grows; at last also the files of it.

        reward: name of the reward model that then scores the answers; "" for none.
        """

        def now() -> Updates:
            return {self.answers: grid_html(grid)} if grid.answers else {}

        if reward:
            open_reward_model(reward)  # what is wrong with it is told before anything is asked
        answering = self._during(answer_all(app, grid), now, lambda: (grid.answered, grid.size, "answers"))
        yield {**next(answering), self.id: self._last.keep(grid)}
        yield from answering
        yield from self._finished(grid)
        if reward and grid.answered == grid.size:
            yield from self._during(
                reward_all(app, grid, reward), now, lambda: (len(grid.rewards), grid.size, "rewards")
            )
            yield from self._finished(grid)

    def _finished(self, grid: Grid) -> Iterator[Updates]:
        """What can be done with the answers."""
        if grid.answers:
            questions = [one for one in grid.questions if None not in one.answers]
            can_vote = shown_if(self._can_vote and bool(questions) and len(set(grid.answerers)) > 1)
            yield {
                self.grid: grid,
                self.answers_state: questions,
                self.vote: can_vote,
                self.seen: can_vote,
                **self._files(grid),
            }

    def fill_strengths(self, app: AppState, grid: Grid, reward: str = "") -> Iterator[Updates]:
        """Ask one adapter at several strengths and score what it said, and give the table again and again."""

        def now() -> Updates:
            return {self.strengths: gr.update(value=strengths_html(grid), visible=True)} if grid.answers else {}

        answering = self._during(answer_all(app, grid), now, lambda: (grid.answered, grid.size, "answers"))
        yield {**next(answering), self.swept_id: self._last_swept.keep(grid)}
        yield from answering
        if grid.answered == grid.size:
            run = grid.answerers[0].name
            yield from self._during(score_all(app, grid, run), now, lambda: (len(grid.scores), grid.size, "rewards"))
        if reward and grid.answered == grid.size:
            yield from self._during(
                reward_all(app, grid, reward), now, lambda: (len(grid.rewards), grid.size, "rewards")
            )

    def _during(
        self, work: Iterator[Any], now: Callable[[], Updates], done: Callable[[], tuple[int, int, str]]
    ) -> Iterator[Updates]:
        """Progress and what there is so far, while work goes on; at its end, and where it fails, without the bar.

        done: how many of how many are there, and the word for them.
        """
        yield {self.stop: there_while(True), self.progress: _shown(bar(0, "starting ..."))}
        began: float | None = None
        pictured = 0.0
        try:
            for what in work:
                if isinstance(what, str):
                    yield {self.progress: _shown(bar(0, what))}
                    continue
                began = began or time.monotonic()
                if time.monotonic() - pictured >= BETWEEN_PICTURES:
                    yield {self.progress: _shown(_progress_html(*done(), began)), **now()}
                    pictured = time.monotonic()
        except WorkbenchError:
            yield {self.stop: there_while(False), self.progress: _shown(Html("")), **now()}
            raise
        count, size, noun = done()
        words = (
            text(f"Stopped: {count} of {size} {noun} are whole.") if count < size and noun == "answers" else Html("")
        )
        yield {self.stop: there_while(False), self.progress: _shown(words), **now()}

    def _files(self, grid: Grid) -> Updates:
        """Both buttons, each with its file."""
        updates: Updates = {}
        stem = f"answers-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        for kind, content in (("jsonl", as_json_lines(grid)), ("csv", as_csv(grid))):
            target = export_folder() / f"{stem}.{kind}"
            # Excel takes a table without the mark for one in its own encoding.
            encoding = "utf-8-sig" if kind == "csv" else "utf-8"
            target.write_text(content, encoding=encoding, errors="replace", newline="")
            updates[self.files[kind]] = gr.update(value=str(target), visible=True)
        return updates


def grid_html(grid: Grid) -> Html:
    """What the answers of each side come to, and all of them beside each other."""
    rows = [
        (prompt_label(prompt), [_cell(grid.answers.get((place, side))) for side in range(len(grid.answerers))])
        for place, prompt in enumerate(grid.prompts)
    ]
    sides = [_side(one) for one in grid.answerers]
    if not grid.rewards:
        return join(summary_html(grid), answer_table(sides, rows))
    rewards = [
        [signed(grid.rewards[place, side]) if (place, side) in grid.rewards else "" for side in range(len(sides))]
        for place in range(len(grid.prompts))
    ]
    return join(
        summary_html(grid), text(reward_reading(grid.rewarded_by)), answer_table(sides, rows, ("Reward", rewards))
    )


def summary_html(grid: Grid) -> Html:
    """A line for each side: lengths, cut off, repetition, and kind answers on the demo."""
    found = [(title, means_of(grid, place)) for place, (_, title) in enumerate(map(_side, grid.answerers))]
    shown = [[title, means.answers, *_numbers(means, grid)] for title, means in found if means]
    columns = ["", "Answers", *_columns(grid)]
    return table(columns, shown) if shown else Html("")


def strengths_html(grid: Grid) -> Html:
    """A line for each strength of one adapter that has answers, and how to read them."""
    run = grid.answerers[0].name
    has_beta = beta_of(Answerer(run)) is not None
    reward = "Implicit reward" if has_beta else "Log ratio"
    shown = []
    for place, answerer in enumerate(grid.answerers):
        if means := means_of(grid, place):
            rewarded = "–" if means.implicit_reward is None else f"{means.implicit_reward:+.2f}"
            shown.append([f"{answerer.strength:g}", rewarded, *_numbers(means, grid)])
    if not shown:
        return Html("")
    words = READING.format(
        reward=f"The {reward.lower()}",
        times=", in nats, times beta (Rafailov et al. 2023)" if has_beta else ", in nats",
    )
    caption = f"{Answerer(run).label} at {len(grid.answerers)} strengths, {len(grid.prompts)} prompts each"
    scored = [text(reward_reading(grid.rewarded_by))] if grid.rewards else []
    return join(table(["Strength", reward, *_columns(grid)], shown, caption), text(words), *scored)


def _columns(grid: Grid) -> list[str]:
    rewarded, kind = ["Mean reward"] if grid.rewards else [], ["Kind answers"] if grid.is_demo else []
    return [*rewarded, "Mean tokens", "Cut off", "Repeated", *kind]


def _numbers(means: Means, grid: Grid) -> list[str]:
    kind = [f"{means.kind} of {means.answers}"] if grid.is_demo else []
    rewarded = ["–" if means.reward is None else signed(means.reward)] if grid.rewards else []
    return [*rewarded, f"{means.tokens:.0f}", f"{means.cut_off:.0%}", f"{means.repetition:.0%}", *kind]


def _shown(html: Html) -> Any:
    """The update of a part of the page that takes no room while it is empty."""
    return gr.update(value=html, visible=bool(html) or "hidden")


def _side(answerer: Answerer) -> tuple[Lane, str]:
    return ("aligned", answerer.label) if answerer.name else ("base", "base")


def _cell(one: Answered | None) -> tuple[str, str] | None:
    """An answer and what is to be said of it, without its thoughts."""
    if one is None:
        return None
    notes = [f"{one.tokens} tokens", ended_label(one)]
    if one.repetition >= REPEATS:
        notes.append(f"{one.repetition:.0%} repeated")
    if has_thoughts(one.text):
        notes.append("its thoughts have no end" if is_open(one.text) else "thoughts left out")
    return without_thoughts(one.text), " · ".join(filter(None, notes))


def _progress_html(count: int, size: int, noun: str, began: float) -> Html:
    words = f"{count} of {size} {noun}"
    if count * 8 >= size > count:
        words += f" · about {duration_label((time.monotonic() - began) / count * (size - count))} left"
    return bar(count / size, words)
