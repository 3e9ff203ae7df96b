"""The parts of a report: each asks the models something, gives progress, and ends with what was measured by then."""

from collections.abc import Generator, Sequence
from typing import Any

from workbench.core.chat import BASE, Answered, Answerer, Sampling, ToScore
from workbench.core.data.messages import Message, message
from workbench.core.data.thoughts import without_thoughts
from workbench.core.errors import WorkbenchError
from workbench.core.report.judging import judge_question, preferred, verdict_in
from workbench.core.report.material import Judge, Judged, Material, Said
from workbench.core.training.config import ModelRef
from workbench.core.votes.vote import Vote
from workbench.jobs import lanes
from workbench.jobs.app_state import AppState
from workbench.store import votes
from workbench.store.home import shipped

AT_ONCE = 32  # prompts
# Answers of which the KL is taken: a mean over their tokens, of which there are many more.
FOR_KL = 64
# Of one's own votes, the newest: so many tell a judge that agrees in two of three from one that guesses.
FOR_JUDGE = 80
JUDGE = Sampling(temperature=0, max_new_tokens=8)

NEUTRAL_QUESTION = "Write a paragraph of an encyclopaedia about rivers."

Steps = Generator[tuple[float, str], None, tuple[Material, bool]]
"""Progress of a part and words on it; at its end what there is by then, and whether the part is whole."""


def answers(app: AppState, sampling: Sampling, material: Material) -> Steps:
    """Every prompt to everybody, some at a time, so that a stop loses few; those with another seed after the others."""
    prompts = _conversations(material)
    said = [list(one.said) for one in material.subjects]
    size, done = len(prompts) * len(said), 0
    begins = range(0, len(prompts), AT_ONCE)
    seeds = sorted({one.seed for one in material.subjects})
    for first, seed in ((first, seed) for first in begins for seed in seeds):
        places = [place for place, one in enumerate(material.subjects) if one.seed == seed]
        asked = [material.subjects[place].answerer for place in places]
        now = prompts[first : first + AT_ONCE]
        drawn, whole = sampling.model_copy(update={"seed": seed}), 0
        try:
            for one in lanes.ask_many(app, now, asked, drawn):
                if isinstance(one, Answered) and one.ended != "stopped":
                    whole += 1
                    said[places[one.answerer]][first + one.prompt] = Said(
                        text=one.text, tokens=one.tokens, ended=one.ended, repetition=one.repetition
                    )
                yield (done + whole) / size, one if isinstance(one, str) else f"{done + whole} of {size} answers"
        except WorkbenchError as error:
            if not done + whole:
                raise
            why = f"Only {done + whole} of {size} answers could be had: {' '.join(error.problems)}"
            material = material.model_copy(update={"missing": [*material.missing, why]})
        done += whole
        if whole < len(now) * len(places):
            break
    return _with(material, said=said), done == size


def distances(app: AppState, sampling: Sampling, material: Material) -> Steps:
    """Answers drawn at temperature 1, from all tokens: only of those the mean log ratio is the KL. Then their log ratios."""
    prompts = _conversations(material)[:FOR_KL]
    places = [place for place, one in enumerate(material.subjects) if not one.answerer.is_base]
    answerers = list(dict.fromkeys(material.subjects[place].answerer for place in places))
    drawn = sampling.model_copy(update={"temperature": 1.0, "top_p": 1.0})
    size, items = len(prompts) * len(answerers), []
    for one in lanes.ask_many(app, prompts, answerers, drawn):
        if isinstance(one, Answered) and one.ended != "stopped":
            items.append(ToScore(prompts[one.prompt], one.text, answerers[one.answerer], one.ended == "end"))
        yield len(items) / size / 2, one if isinstance(one, str) else f"{len(items)} of {size} answers at temperature 1"
    if len(items) < size:
        return material, False
    ratios: dict[Answerer, list[list[float]]] = {one: [] for one in answerers}
    scored = [item for item in items if item.answer]
    for count, found in enumerate(lanes.score_many(app, scored), 1):
        if isinstance(found, str):
            yield 0.5, found
            continue
        place, score = found
        ratios[scored[place].answerer].append([round(token.ratio, 6) for token in score.tokens])
        yield 0.5 + count / max(len(scored), 1) / 2, f"{count} of {len(scored)} answers scored"
    whole = sum(map(len, ratios.values())) == len(scored)
    update = [ratios.get(one.answerer, []) if whole else [] for one in material.subjects]
    return _with(material, log_ratios=update), whole


def neutral(app: AppState, material: Material) -> Steps:
    """A text that ships, as an answer to a question: its log-probabilities with each adapter, and without."""
    text = (shipped("assets") / "report" / "neutral.txt").read_text("utf-8")
    pieces = [piece for piece in text.strip().split("\n\n") if piece]
    asked: list[Message] = [message("user", NEUTRAL_QUESTION)]
    answerers = list(dict.fromkeys(one.answerer for one in material.subjects if not one.answerer.is_base))
    items = [ToScore(asked, piece, one, ended=False) for one in answerers for piece in pieces]
    found: dict[int, tuple[list[float], list[float]]] = {}
    for one in lanes.score_many(app, items):
        if not isinstance(one, str):
            tokens = one[1].tokens
            found[one[0]] = [round(t.aligned, 6) for t in tokens], [round(t.base, 6) for t in tokens]
        yield len(found) / len(items), one if isinstance(one, str) else f"{len(found)} of {len(items)} pieces"
    if len(found) < len(items):
        return material, False
    values = {
        one: [value for place, item in enumerate(items) if item.answerer == one for value in found[place][0]]
        for one in answerers
    }
    values[BASE] = [value for place in range(len(pieces)) for value in found[place][1]]
    return _with(material, neutral=[values[one.answerer] for one in material.subjects]), True


def rewards(app: AppState, reward: str, material: Material) -> Steps:
    """The standardised reward of every answer, without its thoughts."""
    prompts = _conversations(material)
    places = [
        (subject, prompt)
        for subject, one in enumerate(material.subjects)
        for prompt in range(len(prompts))
        if one.said[prompt]
    ]
    conversations = [
        [*prompts[prompt], message("assistant", _text(material, subject, prompt))] for subject, prompt in places
    ]
    said, done = [list(one.said) for one in material.subjects], 0
    for found in lanes.reward_many(app, reward, conversations):
        if not isinstance(found, str):
            subject, prompt = places[found[0]]
            before = said[subject][prompt]
            assert before, "only answers that are there are scored"
            said[subject][prompt] = before.model_copy(update={"reward": found[1]})
            done += 1
        yield done / max(len(places), 1), found if isinstance(found, str) else f"{done} of {len(places)} answers"
    return _with(material, said=said), done == len(places)


def judgements(app: AppState, model: ModelRef, material: Material) -> Steps:
    """How a judge decides pairs that one voted on, then each two subjects on every prompt; always in both orders."""
    held = [vote for vote in votes.all_votes() if vote.vote in ("left", "right")][-FOR_JUDGE:]
    texts = [(_messages(vote.prompt), vote.left, vote.right) for vote in held]
    pairs = [(first, second) for second in range(len(material.subjects)) for first in range(second)]
    cells = [
        (pair, prompt) for pair in pairs for prompt in range(len(material.prompts))
        if all(material.subjects[place].said[prompt] for place in pair)
    ]  # fmt: skip
    prompts = _conversations(material)
    texts += [
        (prompts[prompt], _text(material, first, prompt), _text(material, second, prompt))
        for (first, second), prompt in cells
    ]
    questions = [
        [message("user", judge_question(asked, *answers))]
        for asked, one, other in texts
        for answers in ((one, other), (other, one))
    ]
    heard: dict[int, str] = {}
    for said in lanes.ask_base_many(app, model, questions, JUDGE):
        if isinstance(said, Answered) and said.ended != "stopped":
            heard[said.prompt] = said.text
        yield (
            len(heard) / max(len(questions), 1),
            said if isinstance(said, str) else f"{len(heard)} of {len(questions)} questions",
        )
    whole = len(heard) == len(questions)
    found = [
        preferred(verdict_in(heard.get(2 * place, "")), verdict_in(heard.get(2 * place + 1, "")))
        for place in range(len(texts))
    ]
    judge = _judge(model.title, held, found[: len(held)])
    scores: dict[tuple[int, int], list[float | None]] = {pair: [None] * len(prompts) for pair in pairs}
    for (pair, prompt), score in zip(cells, found[len(held) :], strict=True):
        scores[pair][prompt] = score
    judged = [Judged(first=first, second=second, scores=scores[first, second]) for first, second in pairs]
    return material.model_copy(update={"judge": judge.model_copy(update={"pairs": judged})}), whole


def _judge(title: str, held: Sequence[Vote], found: Sequence[float | None]) -> Judge:
    """How a judge agrees with votes. found: 1 where it preferred the right answer, 0 the left one."""
    decided = [(vote, score) for vote, score in zip(held, found, strict=True) if score is not None]
    agreed = sum((vote.vote == "right") == (score == 1) for vote, score in decided)
    return Judge(title=title, voted=len(held), decided=len(decided), agreed=agreed)


def _with(material: Material, **values: Sequence[Any]) -> Material:
    """The material with other values of a field of each subject."""
    subjects = [
        one.model_copy(update={name: column[place] for name, column in values.items()})
        for place, one in enumerate(material.subjects)
    ]
    return material.model_copy(update={"subjects": subjects})


def _text(material: Material, subject: int, prompt: int) -> str:
    said = material.subjects[subject].said[prompt]
    return without_thoughts(said.text).strip() if said else ""


def _conversations(material: Material) -> list[list[Message]]:
    return [_messages(prompt) for prompt in material.prompts]


def _messages(turns: Sequence[dict[str, str]]) -> list[Message]:
    return [message(turn.get("role", ""), turn.get("content", "")) for turn in turns]
