"""Prompts of one's own to ask several answerers: a pasted list, an uploaded file. Those of data: `prompts_for` in sittings.py."""

from collections.abc import Sequence

from workbench.core.data.messages import Message, message
from workbench.core.errors import WorkbenchError
from workbench.jobs import preparing


def with_system(prompts: Sequence[list[Message]], system: str) -> list[list[Message]]:
    """The prompts with a system prompt before those that have none of their own; "" leaves all as they are."""
    head = [message("system", system)] if system else []
    return [prompt if prompt[0]["role"] == "system" else [*head, *prompt] for prompt in prompts]


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
