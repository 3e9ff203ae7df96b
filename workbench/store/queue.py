"""The queue: runs that wait for the device, and what holds them. A waiting run is its folder with a marker in it."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.store.home import home, read_json, write_json
from workbench.store.runs import Run, runs_folder

_MARKER = "queued.json"


@dataclass(frozen=True)
class Hold:
    """Why the queue waits for a person. run: the run whose pause holds it, which frees it again when it goes on."""

    why: str
    run: str | None = None


def is_marked(run: Run) -> bool:
    """Whether a run was put into the queue and not started since."""
    return (run.folder / _MARKER).is_file()


def mark(run: Run, first: bool = False) -> None:
    """Put a run at the end of the queue, or in front of all others. The caller holds the lock of the starts."""
    places = [_place(other) for other in marked()]
    place = (min(places, default=0) - 1) if first else (max(places, default=0) + 1)
    write_json(run.folder / _MARKER, {"place": place, "added": time.time()})


def unmark(run: Run) -> None:
    (run.folder / _MARKER).unlink(missing_ok=True)


def marked() -> list[Run]:
    """Every run with a marker, in the order of the queue."""
    found = [Run(path.parent) for path in runs_folder().glob(f"*/{_MARKER}")]
    return sorted((run for run in found if run.config_file.is_file()), key=lambda run: (_place(run), run.name))


def held() -> Hold | None:
    """What holds the queue until a person lets it go on; None where nothing does."""
    values = read_json(_hold_file())
    return Hold(values["why"], values["run"]) if values else None


def hold(why: str, run: Run | None = None) -> None:
    write_json(_hold_file(), asdict(Hold(why, run.name if run else None)))


def release() -> None:
    _hold_file().unlink(missing_ok=True)


def _hold_file() -> Path:
    return home() / "queue-hold.json"


def _place(run: Run) -> int:
    return int((read_json(run.folder / _MARKER) or {}).get("place", 0))
