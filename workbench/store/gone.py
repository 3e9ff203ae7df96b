"""What became of runs whose folder went away while they trained: told by their worker as it ends itself.

A run's own folder cannot say it, so one file in the home does: gone.json, the newest last.
"""

import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.store.alive import SAME_START
from workbench.store.home import home, read_json, write_json
from workbench.store.run_files import Fields

KEPT = 50


class Gone(Fields):
    """The end of a run without a place. pid and created: of its worker (see store/alive.py). when: seconds since 1970."""

    run: str
    why: str
    pid: int
    created: float
    when: float


def note(run: str, why: str, pid: int, created: float) -> None:
    """Write down why a worker ended itself. It has the device, so no other one writes at the same time. Raises OSError."""
    before = [one.model_dump() for one in noted()][-(KEPT - 1) :]
    write_json(_file(), [*before, Gone(run=run, why=why, pid=pid, created=created, when=time.time()).model_dump()])


def forget(run: str) -> None:
    """A new run has that name. Raises OSError."""
    before = noted()
    if any(one.run == run for one in before):
        write_json(_file(), [one.model_dump() for one in before if one.run != run])


def newest(seconds: float) -> Gone | None:
    """What was told last, where that is not longer ago. A clock that was set back since does not keep it for ever."""
    last = next(reversed(noted()), None)
    return last if last and abs(time.time() - last.when) <= seconds else None


def noted() -> list[Gone]:
    """All that is known, the newest last. What cannot be read is passed over: it is told once more where it matters."""
    values = read_json(_file())
    return [one for value in values if (one := _read(value))] if isinstance(values, list) else []


def of_run(run: str) -> Gone | None:
    """What was last told of a run of this name; None where nothing was."""
    return next((one for one in reversed(noted()) if one.run == run), None)


def of_worker(pid: int, created: float) -> Gone | None:
    """What a worker told as it ended; None where it told nothing. So a folder that was renamed or put back has its story."""
    return next((one for one in reversed(noted()) if one.pid == pid and abs(one.created - created) < SAME_START), None)


def _read(value: Any) -> Gone | None:
    try:
        return Gone.model_validate(value)
    except ValidationError:
        return None


def _file() -> Path:
    return home() / "gone.json"
