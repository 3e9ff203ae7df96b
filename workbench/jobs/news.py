"""What happened between two looks that somebody who is elsewhere wants to hear of: a run ended, or needs a person."""

import json
import os
from dataclasses import dataclass

from workbench.core.training.run_state import State
from workbench.jobs import queue, training
from workbench.jobs.survey import Survey
from workbench.store.runs import Run, runs_folder

_GOING_ON: tuple[State, ...] = ("running", "queued")

# A run that was paused was so by a person, who knows.
_ENDED: dict[State, str] = {"finished": "is finished", "stopped": "was stopped", "failed": "failed", "lost": "was lost"}

# Of what a run says of its end.
_MOST_WORDS = 240


@dataclass(frozen=True)
class Seen:
    """What there was at one look. going_on: the runs that train or wait. findings: bytes of them of the run that trains. held: why
    the queue does not go on by itself; "" where it does."""

    going_on: frozenset[str] = frozenset()
    running: str = ""
    findings: int = 0
    held: str = ""


@dataclass(frozen=True)
class News:
    title: str
    body: str


def look(now: Survey) -> Seen:
    """What there is now."""
    going_on = frozenset(run.name for run in now.runs if now.states[run.name] in _GOING_ON)
    held = queue.held() if now.waiting else None
    run = now.running
    return Seen(going_on, run.name if run else "", _size(run) if run else 0, held.why if held else "")


def news(before: Seen, now: Seen, survey: Survey) -> list[News]:
    """What is new since the look before."""
    found = [_ending(name, survey) for name in sorted(before.going_on - now.going_on)]
    if now.running and (now.running != before.running or now.findings > before.findings):
        found += _problems(now.running, before.findings if now.running == before.running else 0)
    if now.held and now.held != before.held and before.going_on:
        found.append(News("The queue waits for you", now.held))
    return [one for one in found if one]


def _ending(name: str, survey: Survey) -> News | None:
    """How a run ended that trained or waited before; None where a person was there."""
    state = survey.states.get(name)
    if state is None:
        told = training.gone_message(name)
        return News(f"{name} is gone", told) if told else None  # taken out of the queue, or deleted after its end
    if state not in _ENDED:
        return None
    return News(f"{name} {_ENDED[state]}", training.summary(Run(runs_folder() / name))[:_MOST_WORDS])


def _problems(name: str, begin: int) -> list[News | None]:
    """The findings of a run that stand behind so many bytes and make its result worth nothing."""
    found: list[News | None] = []
    try:
        with open(runs_folder() / name / "findings.jsonl", "rb") as file:
            file.seek(begin)
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            told = json.loads(line)
            if told["severity"] == "blocker":
                found.append(News(f"{name}: {told['title']}", str(told["advice"])[:_MOST_WORDS]))
        except (ValueError, TypeError, KeyError):  # a line that is not whole yet, or of another version
            continue
    return found


def _size(run: Run) -> int:
    try:
        return os.stat(run.folder / "findings.jsonl").st_size
    except OSError:
        return 0
