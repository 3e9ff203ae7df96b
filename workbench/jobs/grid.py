"""Many prompts to several answerers: what they answered so far, what that comes to, and files of it."""

import csv
import io
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from workbench.core.chat import Answered, Answerer, Sampling, Score, ToScore
from workbench.core.data.messages import Message, message
from workbench.core.data.thoughts import without_thoughts
from workbench.core.demo import manner
from workbench.core.training.config import ModelRef
from workbench.core.votes.sitting import Question
from workbench.jobs import lanes
from workbench.jobs.app_state import AppState
from workbench.jobs.prompts import with_system
from workbench.store.ids import new_id

STRENGTHS = (0.0, 0.5, 0.75, 1.0, 1.25)
"""What a sweep asks with: the base model, twice less than the run, the run, and an extrapolation of it."""

MOST_KEPT = 20  # grids, of all tabs together

_FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001 - programs read the wide ones too
_ENDED = {"end": "", "limit": "cut off", "full": "no room left in the context", "stopped": "stopped"}


@dataclass
class Grid:
    """Prompts, and who is asked them, all with the same seed and sampling. bases: names of their base models.

    answers: so far, by the places of prompt and answerer. scores: of those, what the run as it was trained changed. rewards: of
    those, what the reward model rewarded_by says. seeds: one for each prompt, in place of the one of the sampling. model: the
    bare base model, where no answerer has an adapter; None for whichever is loaded.
    """

    prompts: Sequence[list[Message]] = ()
    answerers: Sequence[Answerer] = ()
    sampling: Sampling = field(default_factory=Sampling)
    bases: Sequence[str] = ()
    is_demo: bool = False
    answers: dict[tuple[int, int], Answered] = field(default_factory=dict)
    scores: dict[tuple[int, int], Score] = field(default_factory=dict)
    rewards: dict[tuple[int, int], float] = field(default_factory=dict)
    rewarded_by: str = ""
    seeds: Sequence[int] | None = None
    model: ModelRef | None = None

    @property
    def size(self) -> int:
        return len(self.prompts) * len(self.answerers)

    @property
    def answered(self) -> int:
        """How many answers are there whole."""
        return sum(len(self.whole(place)) for place in range(len(self.answerers)))

    def whole(self, answerer: int) -> list[Answered]:
        """The answers of one that were not stopped."""
        return [one for one in self.answers.values() if one.answerer == answerer and one.ended != "stopped"]

    @property
    def questions(self) -> list[Question]:
        """As a sitting takes them. A stopped answer is none."""
        columns = [{one.prompt: one.text for one in self.whole(place)} for place in range(len(self.answerers))]
        seeds: list[int | None] = [self.sampling.seed] * len(columns)
        return [
            Question(
                prompt=[dict(turn) for turn in prompt], answers=[column.get(place) for column in columns], seeds=seeds
            )
            for place, prompt in enumerate(self.prompts)
        ]


class LastGrids:
    """The last grids of the browser's tabs, so that a tab that is loaded again shows its own. Those of long ago go."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Grid] = OrderedDict()

    def keep(self, grid: Grid) -> str:
        """The id by which it is known from now on."""
        id = new_id()
        self._known[id] = grid
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)
        return id

    def get(self, id: str) -> Grid | None:
        return self._known.get(id)


@dataclass(frozen=True)
class Means:
    """What the answers of one come to. tokens: mean length. cut_off: share. kind: how many are; None for another model than
    the demo's. implicit_reward: its mean, or the mean log ratio where the run has no beta. reward: the mean of what a reward
    model says. Both None where nothing was scored."""

    answers: int
    tokens: float
    cut_off: float
    repetition: float
    kind: int | None
    implicit_reward: float | None
    reward: float | None


def new_grid(
    app: AppState, prompts: Sequence[list[Message]], answerers: Sequence[Answerer], sampling: Sampling, system: str = ""
) -> Grid:
    """A grid without answers. system: see `with_system`. Raises WorkbenchError where one of the answerers
    cannot be asked."""
    lanes.way_of(app, answerers)
    models = lanes.bases_of(answerers, lanes.bare_base(app))
    is_demo = all(model is not None and model.source == "demo" for model in models)
    return Grid(with_system(prompts, system), answerers, sampling, [model.name for model in models if model], is_demo)


def answer_all(app: AppState, grid: Grid) -> Iterator[str | Grid]:
    """Ask everything: words while a model is loaded, then the grid after each answer. Raises as `lanes.ask_many`."""
    for one in lanes.ask_many(app, grid.prompts, grid.answerers, grid.sampling, grid.seeds, grid.model):
        if isinstance(one, Answered):
            grid.answers[one.prompt, one.answerer] = one
        yield one if isinstance(one, str) else grid


def score_all(app: AppState, grid: Grid, run: str) -> Iterator[str | Grid]:
    """Score all answers by one measure: what the run as it was trained changed of them. Raises as `lanes.score_many`."""
    whole = [one for place in range(len(grid.answerers)) for one in grid.whole(place)]
    items = [ToScore(grid.prompts[one.prompt], one.text, Answerer(run), one.ended == "end") for one in whole]
    for scored in lanes.score_many(app, items):
        if isinstance(scored, str):
            yield scored
            continue
        place, score = scored
        grid.scores[whole[place].prompt, whole[place].answerer] = score
        yield grid


def reward_all(app: AppState, grid: Grid, reward: str) -> Iterator[str | Grid]:
    """Have a reward model score all answers that are there whole. Raises as `lanes.reward_many`."""
    whole = [one for place in range(len(grid.answerers)) for one in grid.whole(place) if one.text.strip()]
    grid.rewards, grid.rewarded_by = {}, reward
    conversations = [[*grid.prompts[one.prompt], message("assistant", one.text.strip())] for one in whole]
    for scored in lanes.reward_many(app, reward, conversations):
        if isinstance(scored, str):
            yield scored
            continue
        place, found = scored
        grid.rewards[whole[place].prompt, whole[place].answerer] = found
        yield grid


def means_of(grid: Grid, answerer: int) -> Means | None:
    """None where nothing was answered whole."""
    found = grid.whole(answerer)
    if not found:
        return None
    scores = [grid.scores[one.prompt, answerer] for one in found if (one.prompt, answerer) in grid.scores]
    implicit = [score.ratio if score.reward is None else score.reward for score in scores]
    rewards = [grid.rewards[one.prompt, answerer] for one in found if (one.prompt, answerer) in grid.rewards]
    return Means(
        answers=len(found),
        tokens=fmean(one.tokens for one in found),
        cut_off=fmean(one.ended in ("limit", "full") for one in found),
        repetition=fmean(one.repetition for one in found),
        kind=sum(manner(without_thoughts(one.text)) == "preferred" for one in found) if grid.is_demo else None,
        implicit_reward=fmean(implicit) if implicit else None,
        reward=fmean(rewards) if rewards else None,
    )


def ended_label(answered: Answered) -> str:
    """How an answer ended, where it did not end by itself."""
    return _ENDED[answered.ended]


def prompt_label(prompt: Sequence[Message]) -> str:
    """A prompt as text. Who speaks is said where there is more than one question."""
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)


def as_json_lines(grid: Grid) -> str:
    """One line per prompt: its messages, and what each answered."""
    rows = [{"prompt": prompt, "answers": _answers(grid, place)} for place, prompt in enumerate(grid.prompts)]
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def as_csv(grid: Grid) -> str:
    """One line per prompt. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    answered = [_answers(grid, place) for place in range(len(grid.prompts))]
    keys = ["answer", "by", "tokens", "ended", "repetition", *(["reward"] if grid.rewards else [])]
    out = io.StringIO()
    writer = csv.writer(out)
    sides = ["left", "right"] if len(grid.answerers) == 2 else [f"{n}" for n in range(1, len(grid.answerers) + 1)]
    writer.writerow(["prompt", *(f"{side}_{key}" for side in sides for key in keys)])
    for prompt, answers in zip(grid.prompts, answered, strict=True):
        cells = [prompt_label(prompt), *(one.get(key, "") for one in answers for key in keys)]
        writer.writerow([_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()


def _answers(grid: Grid, prompt: int) -> list[dict[str, Any]]:
    """What each said to a prompt; of one that has not answered only its name."""
    found = []
    for place, answerer in enumerate(grid.answerers):
        one = grid.answers.get((prompt, place))
        said = (
            {"answer": one.text, "tokens": one.tokens, "ended": one.ended, "repetition": one.repetition} if one else {}
        )
        reward = grid.rewards.get((prompt, place))
        rewarded = {} if reward is None else {"reward": round(reward, 4), "rewarded_by": grid.rewarded_by}
        found.append({"by": answerer.label, **said, **rewarded})
    return found


def _cell(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
