"""What the window has read of the runs on disk."""

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.core.monitoring.health import Sample
from workbench.core.monitoring.run_log import RunLog
from workbench.store.checked_lines import answered_once, checked_sample
from workbench.store.json_lines import JsonLines
from workbench.store.metrics_file import MetricsFile, glance
from workbench.store.runs import Run

# A file that is too long to be read in so many seconds is read in turns, with time for everything else between them.
TURN = 0.5
REST = 0.25

# Runs whose logs are kept in memory: those that were looked at last.
MOST_RUNS = 16

_VERSIONS = itertools.count(1)


@dataclass(frozen=True)
class Reading:
    """What was read of a run. It does not change when more is read.

    share: how much of metrics.jsonl was read, from 0 to 1; below 1 the log is a glance at the whole file. trouble: what cannot be
    read, in words. version: another number for anything else that was read.
    """

    log: RunLog = field(default_factory=RunLog)
    samples: Sequence[Sample] = ()
    share: float = 1.0
    trouble: str = ""
    version: int = 0

    @property
    def is_whole(self) -> bool:
        return self.share == 1.0


class Logs:
    """The readings of all runs. No look at one waits for another look, at the same run or at another one."""

    def __init__(self) -> None:
        self._files: dict[str, _Files] = {}
        self._finding = threading.Lock()  # held for a look into the table, never while anything is read

    def read(self, run: Run) -> Reading:
        """What is known of a run, with what is new in its files. Where another tab is reading them just now, without it."""
        with self._finding:
            files = self._files.pop(run.name, None) or _Files(run)
            self._files[run.name] = files  # the last one is the one looked at last
            while len(self._files) > MOST_RUNS:
                del self._files[next(iter(self._files))]
        if files.reading.acquire(blocking=False):
            try:
                files.read()
            finally:
                files.reading.release()
        return files.known


class _Files:
    """The files of one run, as far as they were read."""

    def __init__(self, run: Run) -> None:
        self.reading = threading.Lock()
        self.known = Reading()
        self._metrics = MetricsFile(run.metrics_file)
        self._answers = JsonLines(run.samples_file, checked_sample)
        self._samples: list[Sample] = []
        self._glance: RunLog | None = None
        self._rests_until = 0.0

    def read(self) -> None:
        if time.monotonic() < self._rests_until:
            return
        metrics_are_new = self._metrics.read(TURN)
        samples_are_new = self._read_samples()
        if metrics_are_new or samples_are_new:
            self.known = self._reading()
        if not self._metrics.lines.is_whole:
            self._rests_until = time.monotonic() + REST

    def _read_samples(self) -> bool:
        look = self._answers.look()
        if look == "same":
            return False
        before = [] if look == "other" else self._samples
        self._samples = answered_once([*before, *self._answers.read(TURN)])
        return True

    def _reading(self) -> Reading:
        lines = self._metrics.lines
        if lines.is_whole:
            self._glance = None
        elif self._glance is None:
            self._glance = glance(lines.path)
        return Reading(
            self._glance or self._metrics.digest.log(),
            self._samples,
            lines.share,
            " ".join(filter(None, (lines.trouble, self._answers.trouble))),
            next(_VERSIONS),
        )
