"""What a remedy of the doctor does to rows. To split again is left to the store, which knows seed and share."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from workbench.core.data.doctor.findings import Remedy
from workbench.core.data.doctor.markup import find_markup, without_markup
from workbench.core.data.doctor.row_facts import visible
from workbench.core.data.formats.transcripts import asked_turns, transcript
from workbench.core.data.messages import Row, plain


def apply(rows: Iterable[Row], remedy: Remedy) -> Iterator[Row | None]:
    """Every row as the remedy leaves it, in order; None for one that it drops.

    rows: all rows of the dataset, training rows first. Cleaning drops a row that cannot be trained on then: nothing is left
    of a message, or its turns cannot be told.
    """
    touched = set(remedy.rows)
    for number, row in enumerate(rows):
        if number not in touched:
            yield row
        elif remedy.action == "clean":
            cleaned = clean(row)
            yield cleaned if is_trainable(cleaned) else None
        elif remedy.action == "swap":
            yield swapped(row)
        else:
            yield None if remedy.action == "drop" else row


def swapped(row: Row) -> Row:
    """The pair the other way round. Scores stay with their answers."""
    turned = row | {"chosen": row["rejected"], "rejected": row["chosen"]}
    if scores := row.get("scores"):
        turned["scores"] = {"chosen": scores["rejected"], "rejected": scores["chosen"]}
    return turned


def clean(row: Row) -> Row:
    """The row without the markup that the doctor finds in it; answers end where another turn begins in them.

    A message of the prompt that holds the turns of a conversation, with the marks of a template between them, becomes these
    turns; an answer that repeats such a conversation becomes its last turn.
    """
    question = row["prompt"][-1]["content"] if row["prompt"] else ""
    unfolded = {part: _unfolded(value, part) if isinstance(value, list) else value for part, value in row.items()}
    answers = [value[-1] for part, value in unfolded.items() if isinstance(value, list) and part != "prompt"]
    if unfolded["prompt"] and unfolded["prompt"][-1] in answers:
        unfolded["prompt"] = unfolded["prompt"][:-1]
    return {part: _cleaned(value, question) if isinstance(value, list) else value for part, value in unfolded.items()}


def _unfolded(messages: list[Any], part: str) -> list[Any]:
    """The turns that a template had made one text of. Where none did, the messages as they are."""
    turns: list[Any] = []
    for one in messages:
        marked = one["content"] if "template" in find_markup(one["content"], part != "prompt") else ""
        if part == "prompt" and one["role"] == "user" and marked:
            inside: list[Any] = asked_turns(marked) or transcript(marked) or [_without_turns(one)]
            # The template's own system message is said once.
            turns += inside[1:] if turns and inside[0]["role"] == "system" == turns[0]["role"] else inside
        elif part != "prompt" and marked and (talk := transcript(marked)) and talk[-1]["role"] == "assistant":
            turns.append({**one, "content": talk[-1]["content"]})
        else:
            turns.append(one)
    return turns


def _without_turns(one: Any) -> Any:
    """A message whose marks cannot be read as turns: nothing is left of it where it holds several."""
    return {**one, "content": ""} if one["content"].count("<|im_start|>") > 1 else one


def is_trainable(row: Row) -> bool:
    """Whether every message says something, user and assistant take turns, and a pair's answers are two."""
    said = [message for value in row.values() if isinstance(value, list) for message in value]
    roles = [message["role"] for message in row["prompt"]]
    if not all(visible(message["content"]) for message in said) or roles[-1:] != ["user"] or "system" in roles[1:]:
        return False
    if any(one == other for one, other in pairwise(roles)):
        return False
    return "rejected" not in row or _said(row["chosen"]) != _said(row["rejected"])


def _cleaned(messages: list[Any], question: str) -> list[Any]:
    return [
        {**one, "content": without_markup(one["content"], one["role"] == "assistant", question)} for one in messages
    ]


def _said(messages: list[Any]) -> str:
    return plain("\n".join(message["content"] for message in messages))
