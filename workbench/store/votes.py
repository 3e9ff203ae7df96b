"""What a person thought of two answers: one line of votes.jsonl per vote, and one for each that is taken back.

A vote is kept whole, with both answers and who gave them, so that it can become rows to train on. Nothing in the file is
ever rewritten: of two votes on the same answers the later one holds, and one that is taken back is no longer read.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from workbench.core.chat import Answerer
from workbench.core.data.messages import RawRow
from workbench.core.data.thoughts import without_thoughts
from workbench.core.errors import WorkbenchError
from workbench.core.names import is_name
from workbench.core.votes.vote import Choice, Side, Vote, word_count
from workbench.store.home import append_line, home, writing

__all__ = [
    "Choice",
    "Vote",
    "add",
    "all_votes",
    "mixed_source",
    "of_sitting",
    "path",
    "rows",
    "source_of",
    "undo",
    "unreadable",
    "voted_on",
]

_LOCK_SECONDS = 30


def add(vote: Vote) -> int:
    """Write a vote down, on the disk before this returns. Returns how many there are now.

    A vote with the id of one that is there is that one, sent again. Raises WorkbenchError where the disk is full.
    """
    stamped = vote.model_copy(
        update={
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "id": vote.id or uuid.uuid4().hex,
            "left_words": word_count(vote.left),
            "right_words": word_count(vote.right),
        }
    )
    with writing("The vote"), _alone():
        if not vote.id or all(one.id != vote.id for one in _stored()[0]):
            _append(stamped.model_dump_json())
    return len(all_votes())


def undo(id: str) -> None:
    """Take a vote back: what it replaced, if anything, holds again. Raises WorkbenchError where there is no such vote."""
    with writing("The vote"), _alone():
        if all(vote.id != id for vote in all_votes()):
            raise WorkbenchError("There is no such vote to take back. It may have been taken back before.")
        _append(json.dumps({"undo": id, "time": datetime.now(UTC).isoformat(timespec="seconds")}))


def all_votes() -> list[Vote]:
    """Every vote, oldest first; of several on the same two answers of a sitting the last. Broken lines are passed over."""
    found, undone = _stored()
    votes: dict[str, Vote] = {}
    for vote in found:
        if not vote.id or vote.id not in undone:
            votes.pop(vote.question, None)
            votes[vote.question] = vote
    return list(votes.values())


def of_sitting(id: str) -> list[Vote]:
    return [vote for vote in all_votes() if vote.sitting == id]


def unreadable() -> int:
    """How many lines of votes.jsonl hold no vote that this version can read. They stay where they are."""
    return sum(1 for line in _lines() if _read(line) is None)


def rows(sitting: str = "", measured: bool = False) -> Iterator[tuple[int, RawRow]]:
    """The votes as raw rows of the format "votes", numbered from 1, without thoughts.

    sitting: only of this one. measured: also those of measuring sittings, whose prompts are held out: who trains on them can
    measure with them no more. Of the same answers in several sittings the last vote holds.
    """
    chosen: dict[str, RawRow] = {}
    for vote in all_votes():
        if (sitting and vote.sitting != sitting) or (vote.purpose == "measure" and not measured):
            continue
        key = json.dumps([vote.prompt, *sorted((vote.left, vote.right))])
        chosen.pop(key, None)
        chosen[key] = _row(vote)
    yield from enumerate(chosen.values(), start=1)


_SOURCE = "votes from the Compare page"
_OF = " on answers of "
_MIXED = ", mixed with "
_NAME = r"[a-z0-9._-]+(?![^,)])"  # to its end, so that no title is taken for one
# In the beginning, or in parentheses behind the title of what was mixed in.
_VOTED = re.compile(rf"(?:^|{_MIXED}[^()]*\(){_SOURCE}{_OF}({_NAME}(?:, {_NAME})*)")


def source_of(given: Sequence[RawRow]) -> str:
    """What a dataset of such rows says of where it is from, with the runs whose answers were voted on."""
    told = [(row.get("provenance") or {}).get(side) or {} for row in given for side in ("left", "right")]
    runs = sorted({Answerer(one["name"]).run for one in told if one.get("name")})
    return _words_of(runs)


def _words_of(runs: Sequence[str]) -> str:
    return f"{_SOURCE}{_OF}{', '.join(runs)}" if runs else _SOURCE


def mixed_source(source: str, title: str, of_other: str) -> str:
    """What a dataset says of where it is from that is mixed of two: the source of the first, and the title of the other, with the
    runs whose answers were voted on where its own source names some."""
    runs = voted_on(of_other)
    return f"{source}{_MIXED}{title}" + (f" ({_words_of(runs)})" if runs else "")


def voted_on(source: str) -> tuple[str, ...]:
    """The runs that `source_of` and `mixed_source` named; none for data from elsewhere."""
    named = [name for told in _VOTED.finditer(source) for name in told[1].split(", ")]
    return tuple(filter(is_name, dict.fromkeys(named)))


def path() -> Path:
    return home() / "votes.jsonl"


def _row(vote: Vote) -> RawRow:
    answers = {"left": without_thoughts(vote.left), "right": without_thoughts(vote.right)}
    row: dict[str, Any] = {"prompt": vote.prompt, **answers, "vote": vote.vote}
    if vote.ideal.strip():
        row["ideal"] = vote.ideal
    if vote.id:  # votes of earlier versions say little of where they are from
        told = {"id": vote.id, "time": vote.time, "sitting": vote.sitting, "purpose": vote.purpose}
        row["provenance"] = {**told, "sampling": vote.sampling, "left": _by(vote, "left"), "right": _by(vote, "right")}
    return row


def _by(vote: Vote, side: Side) -> dict[str, Any]:
    seed = vote.left_seed if side == "left" else vote.right_seed
    return {**asdict(vote.answerer(side)), "base": vote.base_of(side), "seed": seed}


def _append(line: str) -> None:
    with open(path(), "ab+") as file:
        append_line(file, line)
        file.flush()
        os.fsync(file.fileno())


def _alone() -> FileLock:
    """One writer at a time, of all windows and processes; the system lets go of it when a process is killed."""
    return FileLock(home() / "votes.lock", timeout=_LOCK_SECONDS)


def _stored() -> tuple[list[Vote], set[str]]:
    """Every vote in the file, and the ids of those that were taken back."""
    found = [_read(line) for line in _lines()]
    return [one for one in found if isinstance(one, Vote)], {one for one in found if isinstance(one, str)}


def _read(line: bytes) -> Vote | str | None:
    """The vote in a line, or the id of one that it takes back; None where it holds neither."""
    try:
        return Vote.model_validate_json(line)
    except ValidationError:
        pass
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    undone = value.get("undo") if isinstance(value, dict) else None
    return undone if isinstance(undone, str) else None


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
