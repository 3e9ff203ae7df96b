"""Several answers to each prompt, of which a reward model takes the best as the answer, or the best and the worst as a pair."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from workbench.core.best_of import LEAST_GAP, Candidate, best, best_and_worst
from workbench.core.chat import Answerer, Sampling
from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.core.training.settings import Settings
from workbench.core.votes.sitting import held_out_prompts
from workbench.jobs import lanes, preparing
from workbench.jobs.app_state import AppState
from workbench.jobs.child import Progress
from workbench.jobs.grid import Grid, answer_all, reward_all
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.store.reward_models import open_reward_model
from workbench.store.sources import RowsSource

LOOKED_THROUGH = 20_000  # rows of a dataset, for its prompts

# How much of the work is done when all is answered, and when all is scored.
_ANSWERED, _SCORED = 0.7, 0.95


class PairSettings(Settings):
    """How pairs are made with a reward model. Answers are drawn as `Sampling` draws them, each of a prompt with its own seed."""

    prompts: int = Field(
        200, ge=2, le=20_000, title="Prompts", description="Drawn from the training side of the data, each once."
    )
    answers: int = Field(
        4, ge=2, le=32, title="Answers per prompt",
        description="Of these the best and the worst become the pair. More find a better best one, and take longer.",
    )  # fmt: skip
    least_gap: float = Field(
        LEAST_GAP, ge=0, le=10, title="Least difference",
        description="Standard deviations of the reward between the two. Where they are closer, the prompt makes no pair.",
    )  # fmt: skip
    temperature: float = Field(
        1.0, gt=0, le=2, title="Temperature", description="1 is the model as it is; the answers have to differ."
    )
    max_new_tokens: int = Field(
        256,
        ge=1,
        le=4096,
        title="Max new tokens",
        description="An answer that is cut off there is never the chosen one.",
    )
    seed: int = Field(17, ge=0, le=2**31 - 1, title="Seed", description="Same seed: same prompts and same answers.")

    @property
    def sampling(self) -> Sampling:
        numbers = {"temperature": self.temperature, "max_new_tokens": self.max_new_tokens, "seed": self.seed}
        return Sampling(**numbers, top_p=1.0)


@dataclass(frozen=True)
class PairsWanted:
    """data: whose training prompts are asked. reward: name of a reward run. name: of the dataset that is made."""

    data: str
    answerer: Answerer
    reward: str
    name: str
    settings: PairSettings = PairSettings()


@dataclass(frozen=True)
class PairsMade:
    """about: of the dataset. prompts: that were answered and scored. asked: that were to be."""

    about: About
    prompts: int
    asked: int

    @property
    def words(self) -> str:
        stopped = "" if self.prompts == self.asked else f" (stopped before the other {self.asked - self.prompts:,})"
        close = self.prompts - self.about.kept
        none = f" {close:,} made none, because their answers were alike, too close, or cut off." if close else ""
        return f"{self.about.kept:,} pairs of {self.prompts:,} prompts{stopped}.{none}"


def best_of(
    app: AppState,
    prompts: Sequence[list[Message]],
    answerer: Answerer,
    reward: str,
    n: int,
    sampling: Sampling,
) -> Iterator[str | tuple[int, Candidate]]:
    """The best of n answers to each prompt by a reward model: words on what is going on, then (place of the prompt, answer).

    A prompt without any answer, because it was stopped or does not fit, is left out. Raises as `lanes.ask_many` and
    `lanes.reward_many`.
    """
    drawn = _drawn(prompts, answerer, n, sampling, open_reward_model(reward).model)
    for one in answer_all(app, drawn):
        yield one if isinstance(one, str) else f"{drawn.answered:,} of {drawn.size:,} answers"
    for one in reward_all(app, drawn, reward):
        yield one if isinstance(one, str) else f"{len(drawn.rewards):,} of {drawn.answered:,} answers scored"
    for place, candidates in enumerate(candidates_of(drawn, n)):
        if taken := best(candidates):
            yield place, taken


def make_pairs(app: AppState, wanted: PairsWanted, progress: Progress, stop: threading.Event) -> PairsMade:
    """Store pairs of the best and the worst of several answers, as a reward model has them.

    progress: what it raises ends the work, and nothing is stored. stop: once it is set no more is asked, and the pairs of
    what was answered and scored by then are stored. Raises WorkbenchError where no pair came out, and as `best_of`.
    """
    settings = wanted.settings
    datasets.check_free(wanted.name)
    scorer = open_reward_model(wanted.reward)
    prompts = held_out_prompts(_prompts_of(wanted.data), settings.prompts, settings.seed)
    drawn = _drawn(prompts, wanted.answerer, settings.answers, settings.sampling, scorer.model)
    progress(0.0, f"asking {len(prompts):,} prompts {settings.answers} times each")
    for one in _until(stop, app, answer_all(app, drawn)):
        words = one if isinstance(one, str) else f"{drawn.answered:,} of {drawn.size:,} answers"
        progress(_ANSWERED * drawn.answered / drawn.size, words)
    scoring = threading.Event() if stop.is_set() else stop  # what was answered before a stop is still scored
    for one in _until(scoring, app, reward_all(app, drawn, wanted.reward)):
        done, all_of = len(drawn.rewards), max(drawn.answered, 1)
        words = one if isinstance(one, str) else f"{done:,} of {all_of:,} answers scored"
        progress(_ANSWERED + (_SCORED - _ANSWERED) * done / all_of, words)
    candidates = candidates_of(drawn, settings.answers)
    rows = [row for place, found in enumerate(candidates) if (row := _row(wanted, prompts[place], found))]
    whole = sum(bool(found) for found in candidates)
    if not rows:
        raise WorkbenchError(_no_pairs_message(whole, settings))
    source = RowsSource(words=_source_words(wanted), rows=rows).model_dump()
    preparing.run(
        {"do": "import", "source": source, "name": wanted.name},
        progress=lambda fraction, words: progress(_SCORED + (1 - _SCORED) * fraction, words),
    )
    return PairsMade(datasets.about(wanted.name), whole, len(prompts))


def candidates_of(drawn: Grid, n: int) -> list[list[Candidate]]:
    """The answers to each prompt with their rewards, of a grid in which each prompt stands n times in a row.

    None of a prompt of which not all answers are there and scored, because it was stopped: those that are may be the short ones.
    """
    found: list[list[Candidate]] = []
    for start in range(0, len(drawn.prompts), n):
        said = [drawn.answers.get((place, 0)) for place in range(start, start + n)]
        there = [one for one in said if one and one.ended != "stopped"]
        scored = [
            Candidate(one.text.strip(), drawn.rewards[one.prompt, 0], one.ended == "end")
            for one in there
            if (one.prompt, 0) in drawn.rewards
        ]
        whole = len(there) == n and len(scored) == sum(bool(one.text.strip()) for one in there)
        found.append(scored if whole else [])
    return found


def _drawn(prompts: Sequence[list[Message]], answerer: Answerer, n: int, sampling: Sampling, base: ModelRef) -> Grid:
    """Each prompt n times in a row, with n seeds. base: answers where that is the bare base model."""
    seeds = [(sampling.seed + one) % 2**31 for one in range(n)]
    repeated = [prompt for prompt in prompts for _ in seeds]
    return Grid(repeated, (answerer,), sampling, seeds=[seed for _ in prompts for seed in seeds], model=base)


def _until(stop: threading.Event, app: AppState, work: Iterator[str | Grid]) -> Iterator[str | Grid]:
    """What work gives, which is asked to end once `stop` is set; what was begun then still comes."""
    asked = False
    for one in work:
        if stop.is_set() and not asked and not isinstance(one, str):
            lanes.stop(app)
            asked = True
        yield one


def _prompts_of(data: str) -> list[list[Message]]:
    found = [row["prompt"] for row in datasets.read(data, "train", LOOKED_THROUGH) if row.get("prompt")]
    if not found:
        raise WorkbenchError(f"{data} has no prompts on its training side. Choose another dataset.")
    return found


def _row(wanted: PairsWanted, prompt: list[Message], candidates: Sequence[Candidate]) -> dict[str, object] | None:
    """A pair as the import reads it; None where the answers make none."""
    two = best_and_worst(candidates, wanted.settings.least_gap)
    if two is None:
        return None
    chosen, rejected = two
    return {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "chosen_score": round(chosen.reward, 4),
        "rejected_score": round(rejected.reward, 4),
        "provenance": {
            "made": "best and worst by a reward model",
            "reward_model": wanted.reward,
            "answered_by": wanted.answerer.label,
            "prompts_of": wanted.data,
            "answers": len(candidates),
            "sampling": wanted.settings.sampling.model_dump(),
        },
    }


def _source_words(wanted: PairsWanted) -> str:
    return (
        f"best and worst of {wanted.settings.answers} answers of {wanted.answerer.label} to prompts of {wanted.data}, by the reward "
        f"model {wanted.reward} (at least {wanted.settings.least_gap:g} standard deviations apart)"
    )


def _no_pairs_message(prompts: int, settings: PairSettings) -> str:
    if not prompts:
        return "No prompt was answered and scored whole, so there is no pair to store. Let it go on for longer."
    return (
        f"Of {prompts:,} prompts none made a pair: the best and the worst of {settings.answers} answers differ by less than "
        f"{settings.least_gap:g} standard deviations of the reward, are the same, or were cut off. Lower the least difference, ask "
        "for more answers, raise the temperature, or let the answers become longer."
    )
