"""Prompts to ask several answerers at once: held-out ones of a run, a pasted list, an uploaded file."""

from workbench.core.chat import Answerer
from workbench.core.data.messages import Message, message
from workbench.core.errors import WorkbenchError
from workbench.core.votes.sitting import held_out_prompts
from workbench.jobs import preparing
from workbench.store import datasets
from workbench.store.runs import open_run


def held_out_prompts_of(run_name: str, count: int, seed: int) -> list[list[Message]]:
    """A fixed random list of held-out prompts of the data that a run, or one of its checkpoints, learned from last.

    Raises WorkbenchError where there is no such run or data, or nothing was held out.
    """
    config = open_run(Answerer(run_name).run).config()
    data = config.data_of(config.stages[-1]) or ""
    found = held_out_prompts([row["prompt"] for row in datasets.read(data, "held_out")], count, seed)
    if not found:
        raise WorkbenchError(
            f"{datasets.about(data).title} has no held-out rows. Paste prompts, or choose a file of them."
        )
    return found


def pasted_prompts(text: str) -> list[list[Message]]:
    """One prompt per line, each once. Raises WorkbenchError where there is none."""
    lines = list(dict.fromkeys(filter(None, (line.strip() for line in text.split("\n")))))
    if not lines:
        raise WorkbenchError("There is no prompt yet. Write or paste some, one per line.")
    return [[message("user", line)] for line in lines]


def uploaded_prompts(path: str, name: str, count: int) -> list[list[Message]]:
    """The first prompts of a file: a text with one per line, or rows in JSON lines, CSV or another form of data.

    Raises WorkbenchError where it cannot be read or holds none.
    """
    source = {"where": "file", "path": path, "original_name": name}
    found: list[list[Message]] = preparing.run({"do": "prompts", "source": source, "count": count})
    return found
