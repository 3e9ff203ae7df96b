"""The queue: runs that wait for the device, and what holds them. A waiting run is its folder with a marker in it."""

import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench.store.home import home, write_json, writing
from workbench.store.records import Damaged, Record
from workbench.store.run_files import Fields
from workbench.store.runs import Run, runs_folder

MARKER = "queued.json"
_LAST = 10**9


class Hold(Fields):
    """Why the queue waits for a person. run: the run whose pause holds it, which frees it again when it goes on."""

    why: str
    run: str | None = None


class _Marker(Fields):
    place: Annotated[int, Field(gt=-_LAST, lt=_LAST)] = 0


_MARKERS: Record[_Marker] = Record(_Marker)
_HOLDS: Record[Hold] = Record(Hold)


def is_marked(run: Run) -> bool:
    """Whether a run was put into the queue and not started since."""
    return (run.folder / MARKER).is_file()


def mark(run: Run, first: bool = False) -> None:
    """Put a run at the end of the queue, or in front of all others. The caller holds the lock of the starts."""
    places = [place for other in marked() if (place := _place(other)) != _LAST]
    place = (min(places, default=0) - 1) if first else (max(places, default=0) + 1)
    write_json(run.folder / MARKER, {"place": place, "added": time.time()})


def unmark(run: Run) -> None:
    (run.folder / MARKER).unlink(missing_ok=True)


def marked() -> list[Run]:
    """Every run with a marker, in the order of the queue."""
    found = [Run(path.parent) for path in runs_folder().glob(f"*/{MARKER}")]
    return sorted((run for run in found if run.config_file.is_file()), key=order)


def order(run: Run) -> tuple[int, str]:
    """What runs that wait are sorted by."""
    return _place(run), run.name


def held() -> Hold | None:
    """What holds the queue until a person lets it go on; None where nothing does."""
    try:
        return _HOLDS.read(_hold_file())
    except Damaged as damaged:  # somebody wanted it held, whatever for
        return Hold(why=f"Why is not known any more: {damaged}")


def hold(why: str, run: Run | None = None) -> None:
    write_json(_hold_file(), Hold(why=why, run=run.name if run else None).model_dump())


def release() -> None:
    """Resume queue. Raises WorkbenchError where the file that holds it cannot be removed."""
    with writing("That the queue is running"):
        _hold_file().unlink(missing_ok=True)


def _hold_file() -> Path:
    return home() / "queue-hold.json"


def _place(run: Run) -> int:
    """Where a run stands in the queue. A marker that cannot be read still says that the run waits: then behind the others."""
    try:
        found = _MARKERS.read(run.folder / MARKER)
    except Damaged:
        return _LAST
    return found.place if found else 0
