"""Who can be compared and how: what models it takes, that they are loaded, who is asked in which order, and what to ask.

What takes a while gives words on what is going on before it gives answers.
"""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.core.chat import Answered, Answerer, Answers, Ask, Sampling, Score, ToScore
from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.duration import duration_label
from workbench.core.training.config import ModelRef
from workbench.jobs import training
from workbench.jobs.app_state import AppState, has_card
from workbench.jobs.chat import Chat
from workbench.jobs.room import fit_now, fits_beside_run
from workbench.store import choices, datasets
from workbench.store.answerers import adapter_folder, answers_alone
from workbench.store.answerers import offered as offered  # what there is to choose from
from workbench.store.home import shipped
from workbench.store.reward_models import open_reward_model
from workbench.store.runs import open_run

# A big model takes minutes from a slow disk; the page shows what is going on all the while.
LOADING_PATIENCE = 1800.0  # seconds
BETWEEN_WORDS = 0.2  # seconds

SUGGESTED = 8
LOOKED_THROUGH = 200  # held-out rows
LONGEST_SUGGESTION = 120  # characters; a longer prompt is no question to begin with


@dataclass(frozen=True)
class Way:
    """How several answer the same question. id: in one batch; of one base model, one after the other; of several base models,
    of which each has a process of its own, or one is unloaded for the other. words: that as a sentence."""

    id: Literal["batch", "turns", "two models", "model by model"]
    words: str


def way_of(app: AppState, answerers: Sequence[Answerer]) -> Way:
    """The way in which they will be asked. Raises WorkbenchError where one of them cannot be asked at all."""
    for answerer in answerers:
        adapter_folder(answerer)
    models = [model for model in _by_base(answerers) if model]
    if len(models) > 1:
        begins = f"Their base models differ ({' and '.join(model.title for model in models)}), so they answer one after the other"
        missing = [model for model in models if _chat_with(app, model) is None]
        if len(models) == 2 and fit_now(*missing) and not _card_is_taken():
            return Way("two models", f"{begins}. Both models fit into the memory.")
        return Way("model by model", f"{begins}, and one model is unloaded before the next one is loaded.")
    for answerer in answerers:
        if why := answers_alone(answerer):
            if answerer.strength != 1:
                raise WorkbenchError(f"{answerer.run} {why}")
            return Way("turns", f"They answer one after the other: {answerer.run} {why.partition(', so ')[0]}.")
    return Way("batch", "One copy of the base model answers for all of them, in one batch.")


def ask(app: AppState, left: Ask, right: Ask, sampling: Sampling) -> Iterator[str | Answers]:
    """Load what is needed and ask both lanes. Gives words while something is loaded, then both answers as they grow.

    Raises WorkbenchError as `Chat.ask`, and where training has the card.
    """
    models = _by_base([left.answerer, right.answerer])
    if len(models) == 1:
        chat = yield from _loaded(app, next(iter(models)), alone=True)
        yield from chat.ask(left, right, sampling)
        return
    both, verified = Answers(), []
    for model, places in models.items():
        chat = yield from _loaded(app, model)
        for answers in chat.ask((left, right)[places[0]], None, sampling):
            both = replace(both, right=answers.left) if places[0] else replace(both, left=answers.left)
            yield both
        verified.append(answers.verified)
        if answers.left.ended == "stopped":  # both lanes are
            for answer in (both.left, both.right):
                answer.ended = answer.ended or "stopped"
            break
    yield replace(both, verified=None if None in verified else all(verified))


def stop(app: AppState) -> None:
    """End the answers that are being given, in whichever process; what was said until then stays."""
    for chat in (app.chat, app.beside):
        chat.stop()


def wait_until_free(app: AppState, seconds: float = 3.0) -> None:
    """Until no question is being answered, or the time is over: an answer that was asked to stop ends within it."""
    until = time.monotonic() + seconds
    while any(chat.is_answering for chat in (app.chat, app.beside)) and time.monotonic() < until:
        time.sleep(0.05)


def ask_many(
    app: AppState,
    prompts: Sequence[list[Message]],
    answerers: Sequence[Answerer],
    sampling: Sampling,
    seeds: Sequence[int] | None = None,
    base: ModelRef | None = None,
) -> Iterator[str | Answered]:
    """Load what is needed and ask all of them every prompt: words while something is loaded, and each answer as it is finished.

    See `Chat.ask_many`. Where one was stopped, the models that come after it are not asked. base: the bare base model, where
    no answerer has an adapter; None for whichever is loaded.
    """
    models = _by_base(answerers, base)
    for model, places in models.items():
        chat = yield from _loaded(app, model, alone=len(models) == 1)
        answered = 0
        for one in chat.ask_many(prompts, [answerers[place] for place in places], sampling, seeds):
            answered += one.ended != "stopped"
            yield replace(one, answerer=places[one.answerer])
        if answered < len(prompts) * len(places):
            return


def ask_base_many(
    app: AppState, model: ModelRef, prompts: Sequence[list[Message]], sampling: Sampling
) -> Iterator[str | Answered]:
    """As `ask_many`, of a base model by itself, whatever is loaded: it may judge what others said."""
    chat = yield from _loaded(app, model)
    yield from chat.ask_many(prompts, [Answerer()], sampling)


def score_many(app: AppState, items: Sequence[ToScore]) -> Iterator[str | tuple[int, Score]]:
    """Load what is needed and have answers scored; see `Chat.score_many`. Words while something is loaded."""
    models = _by_base([item.answerer for item in items])
    for model, places in models.items():
        chat = yield from _loaded(app, model, alone=len(models) == 1)
        for place, score in chat.score_many([items[place] for place in places]):
            yield places[place], score


def reward_many(
    app: AppState, reward: str, conversations: Sequence[list[Message]]
) -> Iterator[str | tuple[int, float]]:
    """Load what is needed and have conversations that end with an answer scored; see `Chat.reward_many`.

    Words while something is loaded, then place and standardised reward of each. reward: name of a reward run. Where its base
    model is another one than what answers, a process of its own scores, beside the other or in its place.
    """
    scorer = open_reward_model(reward)
    chat = yield from _loaded(app, scorer.model, words=f"Loading the base model of the reward model {reward}")
    yield from chat.reward_many(scorer, conversations)


def base_of(*names: str) -> ModelRef | None:
    """The base model of the first of some answerers that has one of its own; None where all are the bare base model."""
    return next((open_run(Answerer(name).run).config().model for name in names if name), None)


def bases_of(answerers: Sequence[Answerer], base: ModelRef | None = None) -> list[ModelRef | None]:
    """The base model of each. The bare base model is that of the first one that has an adapter; base where none has."""
    shared = base_of(*[one.name for one in answerers]) or base
    return [base_of(one.name) or shared for one in answerers]


def bare_base(app: AppState) -> ModelRef:
    """The base model that answers where no answerer has an adapter: the one that is loaded, or else the chosen one."""
    chat = _chat_with(app, None)
    return chat.model if chat and chat.model else choices.read().model


def base_names(app: AppState, answerers: Sequence[Answerer]) -> list[str]:
    """Name of the base model of each; where none has an adapter, of the bare base model."""
    return [model.name for model in bases_of(answerers, bare_base(app)) if model]


def ensure_loaded(app: AppState, *names: str) -> Iterator[str]:
    """Load the base model of some answerers, which share it, unless it is loaded. Gives words on what is going on.

    Raises WorkbenchError where training has the card.
    """
    yield from _loaded(app, base_of(*names), alone=True)


def _by_base(answerers: Sequence[Answerer], base: ModelRef | None = None) -> dict[ModelRef | None, list[int]]:
    """Places of the answerers by their base model, see `bases_of`."""
    found: dict[ModelRef | None, list[int]] = {}
    for place, model in enumerate(bases_of(answerers, base)):
        found.setdefault(model, []).append(place)
    return found


def _chat_with(app: AppState, model: ModelRef | None) -> Chat | None:
    """The process that has a model, or loads it; for None, any that has one."""
    chats = [chat for chat in (app.chat, app.beside) if chat.is_open]
    return next((chat for chat in chats if model is None or chat.model == model), None)


def _loaded(
    app: AppState,
    model: ModelRef | None,
    alone: bool = False,
    words: str = "Loading the base model once for both lanes",
) -> Generator[str, None, Chat]:
    """The process that has a base model, once it is loaded. Gives words meanwhile.

    model: None for whichever is loaded, or was chosen. alone: no other base model is wanted beside it.
    """
    chat = _chat_with(app, model)
    if chat is None:
        wanted = model or choices.read().model
        busy = training.running()
        if busy and not fits_beside_run(busy, wanted):
            raise WorkbenchError(
                f"{busy.name} is training and has the card: {wanted.title} does not fit beside it. {_back_in(app)} Or stop it on the "
                "Watch page."
            )
        beside = app.chat.is_open and not alone and not _card_is_taken() and fit_now(wanted)
        chat = app.beside if beside else app.chat
        if not beside:
            app.beside.close()
        chat.start(wanted)
    until = time.monotonic() + LOADING_PATIENCE
    while chat.state == "loading" and time.monotonic() < until:
        yield f"{words}: {chat.word} ..."
        time.sleep(BETWEEN_WORDS)
    if chat.state != "ready":
        raise WorkbenchError(chat.word or "The base model could not be loaded.")
    return chat


def _card_is_taken() -> bool:
    return has_card() and training.running() is not None


def _back_in(app: AppState) -> str:
    """When a run that trains will be done, in a sentence."""
    running = app.running()
    left = running[-1] if running else None
    when = f"in about {duration_label(left)}, when it has ended" if left is not None else "when it has ended"
    return f"Compare is back {when}."


def suggested_questions(left: str, right: str) -> tuple[str, list[str]]:
    """Questions to begin with, and before them where they come from, in words; ("", []) where none suit the lanes.

    The demo's where the demo model answers, otherwise held-out prompts of the data of the right run, or the left one.
    """
    try:
        if len(_by_base([Answerer(left), Answerer(right)])) > 1:
            return "", []  # no question suits both
        model = base_of(left, right) or choices.read().model
        if model.source == "demo":
            file = shipped("assets") / "demo" / "suggestions.json"
            return "Questions that the demo model knows something about", json.loads(file.read_text(encoding="utf-8"))
        for name in filter(None, (right, left)):
            config = open_run(Answerer(name).run).config()
            data = config.data_of(config.stages[-1]) or ""
            if questions := _held_out_questions(data):
                return f"Held-out prompts of {datasets.about(data).title}", questions
    except WorkbenchError:  # a run or its data is gone or damaged: there is nothing to suggest
        pass
    return "", []


def _held_out_questions(data: str) -> list[str]:
    prompts = [row["prompt"] for row in datasets.read(data, "held_out", LOOKED_THROUGH)]
    single = [prompt[0]["content"].strip() for prompt in prompts if len(prompt) == 1 and prompt[0]["role"] == "user"]
    short = [question for question in single if 0 < len(question) <= LONGEST_SUGGESTION and "\n" not in question]
    return list(dict.fromkeys(short))[:SUGGESTED]
