"""Conversations of the chat on disk, one file each, so that a reload or another day goes on where one left off."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from workbench.core.chat import Sampling, Talk
from workbench.core.errors import WorkbenchError
from workbench.store.home import folder_in_home, write_json, writing
from workbench.store.ids import checked_id, is_id, new_id
from workbench.store.records import Damaged, Record, first_problem

_TALK: Record[Talk] = Record(Talk)
MOST_LISTED = 200
_TITLE = 60  # characters of a first question


def save(talk: Talk) -> Talk:
    """Write a conversation down whole. Returns it with the id that names its file, which it gets when it is kept first.

    Where another tab of the browser went on with it meanwhile, that one stays, and this one is kept beside it under an id of its
    own.
    """
    is_same = bool(talk.id) and _times_saved(talk.id) in (None, talk.saved)
    named = replace(talk, id=talk.id if is_same else new_id(), saved=talk.saved + 1)
    with writing("The conversation"):
        write_json(_file(named.id), asdict(named))
    return named


def read(id: str) -> Talk:
    """A stored conversation. Raises WorkbenchError where there is none, and where its file is damaged."""
    try:
        found = _TALK.read(_file(id))
        if found is None:
            raise WorkbenchError(f"There is no conversation {id}. It may have been deleted.")
        return replace(_checked(found), id=id)
    except Damaged as error:
        problems = [f"The conversation {id} cannot be read. {problem}" for problem in error.problems]
        raise WorkbenchError(*problems) from None


def listed() -> list[tuple[str, str]]:
    """Conversations as (label, id), the one that was added to last first. One that `read` refuses is listed as such."""
    found: list[tuple[float, str]] = []
    for file in folder_in_home("conversations").glob("*.json"):
        if is_id(file.stem):
            with suppress(OSError):  # it went between the two looks
                found.append((file.lstat().st_mtime, file.stem))
    return [(_label(id, changed), id) for changed, id in sorted(found, reverse=True)[:MOST_LISTED]]


def delete(id: str) -> None:
    """Move a conversation, or a file that holds none, to the trash of the home."""
    file = _file(id)
    with writing(f"The conversation {id} in the trash"):
        try:
            os.replace(file, folder_in_home("trash") / file.name)
        except FileNotFoundError:
            raise WorkbenchError(f"There is no conversation {id}. It may have been deleted.") from None


def _times_saved(id: str) -> int | None:
    """None where there is no such conversation, or none that can be read."""
    try:
        return read(id).saved
    except WorkbenchError:
        return None


def _file(id: str) -> Path:
    return folder_in_home("conversations") / f"{checked_id(id, 'conversation')}.json"


def _checked(talk: Talk) -> Talk:
    """Raises Damaged where a number is none that can be shown, stored or sampled with, or nothing was asked."""
    name = f"{talk.id}.json"
    if not talk.turns:
        raise Damaged(f"{name} holds no question.")
    # A newer version may draw with more than this one knows.
    sampling = {key: value for key, value in talk.sampling.items() if key in Sampling.model_fields}
    try:
        json.dumps(asdict(talk), allow_nan=False)
        drawn = Sampling.model_validate(sampling)
    except ValidationError as error:
        raise Damaged(f"{name}: sampling: {first_problem(error)}.") from None
    except ValueError:
        raise Damaged(f"{name} holds a number that cannot be counted with.") from None
    return replace(talk, sampling=drawn.model_dump())


def _label(id: str, changed: float) -> str:
    """ "22 Nov 14:05 · What is a baby dog called? · base, first" """
    when = f"{datetime.fromtimestamp(changed):%d %b %H:%M}".lstrip("0")
    try:
        talk = read(id)
    except WorkbenchError:
        return f"{when} · {id} cannot be read"
    question = " ".join(talk.turns[0].question.split())
    short = question if len(question) <= _TITLE else f"{question[: _TITLE - 1]}…"
    return f"{when} · {short} · {talk.left.label}, {talk.right.label}"
