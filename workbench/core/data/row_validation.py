"""A canonical row that a person wrote or changed: what is wrong with it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from workbench.core.data.messages import PARTS, ROLES, Kind, Message, Row, half_character, same
from workbench.core.errors import WorkbenchError

_WORDS = {"chosen": "better answer", "rejected": "worse answer", "completion": "answer"}


def check_row(row: Row, kind: Kind) -> None:
    """Raises WorkbenchError with every reason why a row of this kind cannot be trained on."""
    problems = list(_problems(row, kind))
    if problems:
        raise WorkbenchError(*problems)


def _problems(row: Row, kind: Kind) -> Iterator[str]:
    missing = [part for part in PARTS[kind] if part not in row]
    if missing:
        yield f"The row has no {' and no '.join(missing)}. It needs {', '.join(PARTS[kind])}."
        return
    parts = [part for part in PARTS[kind] if part != "label"]
    strange = [part for part in parts if not _is_messages(row[part])]
    if strange:
        yield f"The {strange[0]} is not a list of messages with a role and a content that can be stored as text."
        return
    yield from _prompt_problems(row["prompt"])
    for part in parts[1:]:
        yield from _answer_problems(row[part], _WORDS[part])
    if kind == "preference" and same(row["chosen"], row["rejected"]):
        yield "Both answers are the same. A pair teaches only by what tells them apart."
    if kind == "unpaired" and not isinstance(row["label"], bool):
        yield f"The label is {row['label']!r}; it must be true (thumb up) or false (thumb down)."


def _prompt_problems(prompt: Sequence[Message]) -> Iterator[str]:
    roles = [message["role"] for message in prompt]
    if not any(message["content"].strip() for message in prompt if message["role"] == "user"):
        yield "The prompt is empty. Write what a person asks."
        return
    if any(not message["content"].strip() for message in prompt):
        yield "A message of the prompt is empty. Write something in it, or remove it."
    if "system" in roles[1:]:
        yield "A system message stands behind other messages. It must be the first one."
    if any(first == second for first, second in pairwise(roles)):
        yield "Two messages in a row are from the same role. User and assistant must take turns."
    if roles[-1] != "user":
        yield f"The prompt ends with a message from the {roles[-1]}. It must end with the user's."


def _answer_problems(answer: Sequence[Message], words: str) -> Iterator[str]:
    if [message["role"] for message in answer] != ["assistant"]:
        yield f"The {words} is not one message from the assistant."
    elif not answer[0]["content"].strip():
        yield f"The {words} is empty. Write it."


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_message, value))


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"role", "content"} or value["role"] not in ROLES:
        return False
    return isinstance(value["content"], str) and half_character(value["content"]) is None
