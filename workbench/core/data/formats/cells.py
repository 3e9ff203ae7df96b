"""What a cell holds, in words for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.data.formats.column_names import holds_messages, number
from workbench.core.data.messages import is_messages, text_of_parts

EXAMPLE_CHARACTERS = 80


def is_filled(value: Any) -> bool:
    """Whether a cell says anything. `false` and 0 do."""
    return value is not None and value != "" and value != [] and value != {}


def holds(value: Any) -> str:
    """What a value is: "text", "a number", "messages", ..."""
    if not is_filled(value):
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, bytes | bytearray):
        return "binary data"
    if is_messages(value):
        return "messages"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence):
        kinds = {holds(item) for item in value}
        return f"a list of {_several(kinds.pop())}" if len(kinds) == 1 else "a list"
    return f"a {type(value).__name__}"


def _of_text(value: str) -> str:
    if number(value) is not None:
        return "a number written as text"
    return "messages written as text" if holds_messages(value) else "text"


def _several(kind: str) -> str:
    words = {
        "text": "texts",
        "a number": "numbers",
        "an object": "objects",
        "nothing": "nothing",
        "messages": "messages",
    }
    if kind.startswith("a list"):
        return "lists"
    return words.get(kind, f"{kind.removeprefix('a ')}s" if kind.startswith("a ") else kind)


def example(value: Any) -> str:
    """The beginning of a cell, in one line."""
    text = " ".join(str(value)[: 4 * EXAMPLE_CHARACTERS].split())
    return text if len(text) <= EXAMPLE_CHARACTERS else f"{text[:EXAMPLE_CHARACTERS]}…"


def not_text(value: Any) -> str | None:
    """What a cell holds that can be read neither as text nor as messages; None for one that can, and for an empty one."""
    if not is_filled(value) or isinstance(value, str):
        return None
    items = [value] if isinstance(value, Mapping) else value
    if isinstance(items, Sequence) and not isinstance(items, bytes) and any(map(is_messages, items)):
        said = next((words for item in items if (words := _bad_message(item))), None)
        return f"messages, one of them with {said}" if said else None
    if isinstance(items, Sequence) and not isinstance(items, bytes) and text_of_parts(items) is not None:
        return None
    return holds(value)


def _bad_message(item: Any) -> str | None:
    """What is wrong with a message, of a list in which some are well."""
    if not is_messages(item):
        return f"{holds(item)} in the place of a message"
    content = item.get("content", item.get("value"))
    if isinstance(content, Sequence) and not isinstance(content, str | bytes) and text_of_parts(content) is None:
        return "a part that is no text"
    if content is not None and not isinstance(content, str | Sequence):
        return f"{holds(content)} as its content"
    return None
