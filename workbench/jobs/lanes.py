"""The two lanes of a comparison: the base model that they share, that it is loaded, and what to ask of it."""

import json
import time
from collections.abc import Iterator

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs import training
from workbench.jobs.app_state import AppState, has_card
from workbench.store import choices, datasets
from workbench.store.home import shipped
from workbench.store.runs import open_run

# A big model takes minutes from a slow disk; the page shows what is going on all the while.
LOADING_PATIENCE = 1800.0  # seconds
BETWEEN_WORDS = 0.2  # seconds

SUGGESTED = 8
LOOKED_THROUGH = 200  # held-out rows
LONGEST_SUGGESTION = 120  # characters; a longer prompt is no question to begin with


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


def suggested_questions(left: str, right: str) -> tuple[str, list[str]]:
    """Questions to begin with, and before them where they come from, in words; ("", []) where none suit the lanes.

    The demo's where the demo model answers, otherwise held-out prompts of the data of the right run, or the left one.
    """
    try:
        model = base_of(left, right) or choices.read().model
        if model.source == "demo":
            file = shipped("assets") / "demo" / "suggestions.json"
            return "Questions that the demo model knows something about", json.loads(file.read_text(encoding="utf-8"))
        for name in filter(None, (right, left)):
            config = open_run(name).config()
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
