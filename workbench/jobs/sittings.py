"""Blind sittings: their prompts, and their answers, which are made in batches before anybody votes on them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.core.chat import Answerer, Sampling, ToScore
from workbench.core.data.messages import Message, message, prompt_key
from workbench.core.errors import WorkbenchError
from workbench.core.votes.sitting import Question, Sitting, held_out_prompts
from workbench.core.votes.vote import Purpose
from workbench.jobs import lanes
from workbench.jobs.app_state import AppState
from workbench.jobs.prompts import with_system
from workbench.store import choices, datasets, sittings, votes
from workbench.store.ids import new_id
from workbench.store.runs import open_run, round_before

# So many prompts are answered, and stored, before the next ones are begun: the first pair is there soon.
AT_ONCE = 8
LOOKED_THROUGH = 2000  # rows of a dataset

DEMO_DATA = "demo-preferences"


@dataclass(frozen=True)
class Making:
    """How far the answers of a sitting are. words: what is going on besides."""

    sitting: Sitting
    answered: int
    words: str = ""


def prompts_for(purpose: Purpose, answerers: Sequence[Answerer], count: int, seed: int) -> list[list[Message]]:
    """Prompts of the data that a run learned from, each once, by a fixed random draw.

    To measure, held-out ones that have no vote which may be trained on; to teach, ones that were trained on, so that the
    held-out ones stay as they are. The votes of a round hold few: then it is the data of the round before. Raises
    WorkbenchError where the data is gone or has none.
    """
    most: list[list[Message]] = []
    used = set()
    if purpose == "measure":
        used = {prompt_key(_as_messages(vote.prompt)) for vote in votes.all_votes() if vote.purpose != "measure"}
    for data in _data_of(answerers):
        rows = datasets.read(data, "held_out" if purpose == "measure" else "train", LOOKED_THROUGH)
        prompts = [row["prompt"] for row in rows if row.get("prompt") and prompt_key(row["prompt"]) not in used]
        found = held_out_prompts(prompts, count, seed)
        if len(found) >= count:
            return found
        most = max(most, found, key=len)
    if not most:
        raise WorkbenchError("The data of this run has no prompts for this. Choose another run.")
    return most


def begin(
    app: AppState,
    purpose: Purpose,
    answerers: Sequence[Answerer],
    prompts: Sequence[list[Message]],
    sampling: Sampling,
    system: str = "",
) -> Sitting:
    """A new sitting, stored, that waits for its answers. answerers: the same one several times for drafts to pick from.

    system: see `with_system`.
    """
    bases = lanes.base_names(app, answerers)
    asked = [[dict(turn) for turn in prompt] for prompt in with_system(prompts, system)]
    alike = len(set(answerers)) < len(answerers)
    seeds = [sampling.seed + place if alike else sampling.seed for place in range(len(answerers))]
    questions = [Question(prompt=prompt, answers=[None] * len(answerers), seeds=list(seeds)) for prompt in asked]
    return sittings.save(
        Sitting(
            id=new_id(), purpose=purpose, base=bases[0], bases=bases, answerers=list(answerers), questions=questions,
            seed=random.SystemRandom().randrange(2**31), sampling=sampling.model_dump(),
        )
    )  # fmt: skip


def begin_with(
    questions: Sequence[Question], answerers: Sequence[Answerer], bases: Sequence[str], sampling: Sampling
) -> Sitting:
    """A sitting over answers that are there already. It teaches: whoever has seen the answers does not measure any more."""
    return sittings.save(
        Sitting(
            id=new_id(), purpose="teach", base=next(iter(bases), ""), bases=list(bases), answerers=list(answerers),
            questions=list(questions), seed=random.SystemRandom().randrange(2**31), sampling=sampling.model_dump(),
        )
    )  # fmt: skip


def make_answers(app: AppState, id: str) -> Iterator[Making]:
    """Answer what a sitting has not answered yet, some prompts at a time, and store them. Goes on where it was left.

    Raises WorkbenchError as `lanes.ask_many`.
    """
    sitting = sittings.read(id)
    while waiting := [n for n, one in enumerate(sitting.questions) if None in one.answers][:AT_ONCE]:
        done = sum(None not in one.answers for one in sitting.questions)
        answers: dict[tuple[int, int], str] = {}
        for one in _asked(app, sitting, waiting):
            if isinstance(one, str):
                yield Making(sitting, done, one)
                continue
            number, place, text = one
            answers[number, place] = text
        places = range(len(sitting.answerers))
        whole = [number for number in waiting if all((number, place) in answers for place in places)]
        questions = list(sitting.questions)
        for number in whole:
            made = [answers[number, place].strip() for place in places]
            questions[number] = questions[number].model_copy(update={"answers": made})
        if sitting.purpose == "teach":
            yield Making(sitting, done, "Looking where a vote teaches most ...")
            _score(app, sitting, questions, whole)
        sitting = sittings.save(sitting.model_copy(update={"questions": questions}))
        yield Making(sitting, done + len(whole))
        if len(whole) < len(waiting):  # stopped
            return


def _asked(app: AppState, sitting: Sitting, numbers: Sequence[int]) -> Iterator[str | tuple[int, int, str]]:
    """Words while something is loaded, then number of the question, place of the answerer and what it said."""
    sampling = Sampling.model_validate(sitting.sampling)
    prompts = [_messages(sitting.questions[number]) for number in numbers]
    if len(set(sitting.answerers)) == len(sitting.answerers):
        asked = [(list(range(len(sitting.answerers))), [sampling.seed] * len(prompts))]
    else:  # drafts of one model, each from a seed of its own
        asked = [([place], [seed or 0] * len(prompts)) for place, seed in enumerate(sitting.questions[0].seeds)]
    for places, seeds in asked:
        who = [sitting.answerers[place] for place in places]
        for one in lanes.ask_many(app, prompts, who, sampling, seeds):
            if isinstance(one, str):
                yield one
            elif one.ended != "stopped":
                yield numbers[one.prompt], places[one.answerer], one.text


def _score(app: AppState, sitting: Sitting, questions: list[Question], numbers: Sequence[int]) -> None:
    """Give questions the implicit rewards of their answers, as the last adapter among the answerers sees them.

    Without an adapter, or without a reference, there are none, and the words of the answers decide alone.
    """
    judge = next((one for one in reversed(sitting.answerers) if not one.is_base), None)
    if judge is None:
        return
    items, places = [], []
    for number in numbers:
        for place, text in enumerate(questions[number].answers):
            items.append(ToScore(_messages(questions[number]), text or "", judge))
            places.append((number, place))
    rewards: dict[tuple[int, int], float] = {}
    for one in lanes.score_many(app, items):
        if not isinstance(one, str) and one[1].reward is not None:
            rewards[places[one[0]]] = one[1].reward
    for number in numbers:
        found = [rewards.get((number, place)) for place in range(len(sitting.answerers))]
        known = [reward for reward in found if reward is not None]
        if len(known) == len(found):
            questions[number] = questions[number].model_copy(update={"rewards": known})


def _messages(question: Question) -> list[Message]:
    return _as_messages(question.prompt)


def _as_messages(turns: Sequence[Mapping[str, str]]) -> list[Message]:
    return [message(turn.get("role", ""), turn.get("content", "")) for turn in turns]


def data_of_run(run_name: str) -> str | None:
    """The dataset that a run learned from last."""
    config = open_run(run_name).config()
    return config.data_of(config.stages[-1])


def _data_of(answerers: Sequence[Answerer]) -> Iterator[str]:
    """The data that the last of the runs learned from last, then that of the runs it went on from; the data that is chosen
    where all are the base model."""
    name: str | None = next((one.run for one in reversed(answerers) if one.run), None)
    if name is None:
        yield choices.read().preference_data or DEMO_DATA
    seen: set[str] = set()
    while name and name not in seen:
        seen.add(name)
        data = data_of_run(name)
        if data and data in datasets.names():
            yield data
        name = round_before(name)
