"""What a person thought of two answers on the Compare page: one line of votes.jsonl per vote.

A vote is kept whole, with both answers and who gave them, so that it can become a preference pair (Data page).
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from workbench.core.data.messages import RawRow
from workbench.core.errors import WorkbenchError
from workbench.store.home import append_line, home, writing
from workbench.store.run_files import Fields

Choice = Literal["left", "right", "tie", "both_bad"]


class Vote(Fields):
    """prompt: the messages that both answers follow. left_model, right_model: name of a run, or "" for the base model.

    sampling: how the answers were drawn. time: ISO 8601, UTC.
    """

    prompt: list[dict[str, str]]
    left: str
    right: str
    vote: Choice
    left_model: str
    right_model: str
    base: str
    sampling: dict[str, Any] = {}
    time: str = ""

    @property
    def question(self) -> str:
        """What makes two votes a vote on the same thing; the later one holds."""
        return json.dumps([self.prompt, self.left, self.right])


def add(vote: Vote) -> int:
    """Write a vote down. Returns how many there are now. Raises WorkbenchError where the disk is full."""
    stamped = vote.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="seconds")})
    with writing("The vote"), open(path(), "ab+") as file:
        append_line(file, stamped.model_dump_json())
    return len(all_votes())


def all_votes() -> list[Vote]:
    """Every vote, oldest first; of several on the same two answers the last. Broken lines are passed over."""
    votes: dict[str, Vote] = {}
    for line in _lines():
        if vote := _read(line):
            votes.pop(vote.question, None)
            votes[vote.question] = vote
    return list(votes.values())


def unreadable() -> int:
    """How many lines of votes.jsonl hold no vote that this version can read. They stay where they are."""
    return sum(1 for line in _lines() if _read(line) is None)


def rows() -> Iterator[tuple[int, RawRow]]:
    """The votes as raw rows of the format "votes", numbered from 1."""
    for number, vote in enumerate(all_votes(), start=1):
        yield number, vote.model_dump(include={"prompt", "left", "right", "vote"})


def path() -> Path:
    return home() / "votes.jsonl"


def _read(line: bytes) -> Vote | None:
    try:
        return Vote.model_validate_json(line)
    except ValidationError:
        return None


def _lines() -> list[bytes]:
    """The lines that are not empty. Raises WorkbenchError where there is something else than a file.

    As bytes: text would also be split at the line separators of Unicode, which stand inside of answers.
    """
    try:
        lines = path().read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WorkbenchError(
            f"The votes cannot be read: {path()} cannot be opened ({error.strerror or error}). Move it away, or put it right."
        ) from None
    return [line for line in lines if line.strip()]
