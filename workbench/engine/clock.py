"""The clock of a run: what each second of its workers went into, kept in clock.json through pauses, kills and fresh starts.

Imports nothing heavy, so that a worker counts from its first second.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from workbench.core.monitoring.time_spent import TITLES, Work
from workbench.engine.place import Place
from workbench.store.home import write_json
from workbench.store.runs import Run

# A run that is killed loses what was counted since: of a long step all of it, of loading what it was at.
BETWEEN_WRITINGS = 5.0  # seconds; each writing waits for the disk


class RunClock:
    """Counts every second of a worker for one kind of work, beyond what earlier workers of the run counted.

    Kinds lie within each other: sample answers are given within an evaluation, and count for that no more.
    """

    def __init__(self, run: Run, place: Place | None = None, clock: Callable[[], float] = time.monotonic):
        """place: where it is gone, nothing is written any more."""
        self._run, self._place, self._clock = run, place, clock
        self._seconds: dict[Work, float] = dict.fromkeys(TITLES, 0.0) | run.seconds()
        self._works: list[Work] = ["loading"]
        self._since = self._written = clock()

    def begin(self, work: Work) -> None:
        """What is done from now on, where nothing else is counted meanwhile."""
        if work != self._works[0]:
            self._count()
            self._works[0] = work
            self.write()

    @contextlib.contextmanager
    def counting(self, work: Work) -> Iterator[None]:
        """Count what is done meanwhile for this work alone."""
        self._count()
        self._works.append(work)
        try:
            yield
        finally:
            self._count()
            self._works.pop()

    def counted(self, work: Work, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with each call of it counted."""

        @functools.wraps(function)
        def counting(*arguments: Any, **named: Any) -> Any:
            with self.counting(work):
                return function(*arguments, **named)

        return counting

    def note(self) -> None:
        """Write down what was counted, if it was not done lately."""
        if self._clock() - self._written >= BETWEEN_WRITINGS:
            self.write()

    def write(self) -> None:
        """Write down what was counted so far. A disk that is full, or a folder that is gone, ends no run here."""
        self._count()
        self._written = self._since
        if not (self._place and self._place.lost()):
            with contextlib.suppress(OSError):
                write_json(self._run.clock_file, {work: round(took, 3) for work, took in self._seconds.items()})

    def _count(self) -> None:
        now = self._clock()
        self._seconds[self._works[-1]] += now - self._since
        self._since = now
