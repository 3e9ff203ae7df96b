"""Work on data in a child process of its own: hostile or broken, no file can hang the window or take it down.

A request is what `engine/prepare.py` understands: {"do": name of a task, its arguments ...}, as JSON.
"""

import json
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from workbench.core.errors import WorkbenchError
from workbench.jobs import processes
from workbench.store import datasets

WORKER = (sys.executable, "-m", "workbench.engine.prepare")

Progress = Callable[[float, str], None]

GB = 1024**3
A_LITTLE = 0.05  # seconds between two looks at the child's memory and at the clock

# Arrow's own pools keep what was freed, and glibc's arenas reserve address space for each thread.
LEAN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}


@dataclass(frozen=True)
class ProcessLimits:
    """What a piece of work may take.

    memory: bytes that are resident. seconds: from start to end. silence: seconds without a word of progress.
    """

    memory: int = 3 * GB // 2
    seconds: float = 6 * 3600
    silence: float = 180


# A look at the first rows takes a second; the Hub may be slow to answer.
LOOK = ProcessLimits(seconds=20)
LOOK_AT_THE_HUB = ProcessLimits(seconds=90)


class Cancelled(WorkbenchError):
    """The work was ended because somebody asked for it."""

    def __init__(self) -> None:
        super().__init__("Cancelled. Nothing was stored.")


def run(
    request: dict[str, Any],
    *,
    progress: Progress | None = None,
    limits: ProcessLimits | None = None,
    worker: Sequence[str] = WORKER,
) -> Any:
    """The result of a request, as JSON. See `Job.follow` for progress and for what is raised."""
    return start(request, limits=limits, worker=worker).follow(progress)


def start(request: dict[str, Any], *, limits: ProcessLimits | None = None, worker: Sequence[str] = WORKER) -> "Job":
    """Begin with a request, and return at once: for who wants to cancel it from another thread."""
    return Job(request, limits or _usual_limits(request), worker)


class Job:
    """A piece of work in a child process. It goes on until `follow` returns, or somebody calls `cancel`."""

    def __init__(self, request: dict[str, Any], limits: ProcessLimits, worker: Sequence[str] = WORKER):
        self._what, self._advice = _words(request)
        self._target = request.get("target")
        self._limits = limits
        self._cancelled = False
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `follow` closes it
        self._process = processes.start_talking(worker, self._log, LEAN)
        self._began = self._heard = time.monotonic()
        self._created = processes.started(self._process.pid)
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._talk, args=(request | {"memory": limits.memory},), daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def follow(self, progress: Progress | None = None) -> Any:
        """The result, once there is one.

        progress: called with the fraction done and a text, many times a second even where there is no news; what it
        raises ends the work and is raised here.
        Raises WorkbenchError where the work was refused, took too much memory or time, or was cancelled.
        """
        fraction, text = 0.0, "starting"
        try:
            while True:
                with suppress(queue.Empty):
                    event = self._events.get(timeout=A_LITTLE)
                    if event is None or event["event"] != "progress":
                        return self._result(event)
                    fraction, text, self._heard = event["fraction"], event["text"], time.monotonic()
                self._check()
                if progress:
                    progress(fraction, text)
        finally:
            self._end()

    def cancel(self) -> None:
        """End the work at once, from any thread; `follow` then raises Cancelled."""
        self._cancelled = True
        processes.end_tree(self.pid, self._created)

    def _talk(self, request: dict[str, Any]) -> None:
        """Send the request, and read what the child says until it ends. Runs in a thread of its own."""
        assert self._process.stdin is not None and self._process.stdout is not None
        # A child that is gone, or that was ended in the middle of a line: the None says so.
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                self._events.put(json.loads(line))
        self._events.put(None)

    def _check(self) -> None:
        """Raises WorkbenchError where the work takes too much, or was cancelled."""
        if self._cancelled:
            raise Cancelled
        now = time.monotonic()
        if now - self._began > self._limits.seconds:
            raise self._stopped(f"took longer than {self._limits.seconds:g} seconds")
        if now - self._heard > self._limits.silence:
            raise self._stopped(f"made no progress for {self._limits.silence:g} seconds")
        if self._resident() > self._limits.memory:
            raise self._out_of_memory()

    def _resident(self) -> int:
        """Bytes of memory that the child uses; 0 once it is gone."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _result(self, event: dict[str, Any] | None) -> Any:
        """What the last event means. None: the child ended without one."""
        if self._cancelled:
            raise Cancelled
        if event is None:
            raise self._died()
        if event["event"] == "refused":
            raise WorkbenchError(*event["problems"], asks=tuple(event.get("asks", ())))
        if event["event"] == "memory":
            raise self._out_of_memory()
        if event["event"] == "bug":
            raise RuntimeError(event["trace"])
        return event["result"]

    def _out_of_memory(self) -> WorkbenchError:
        return self._stopped(f"needed more than {self._limits.memory / GB:,.1f} GB of memory")

    def _stopped(self, why: str) -> WorkbenchError:
        return WorkbenchError(f"{self._what} {why} and was stopped. Nothing was stored. {self._advice}")

    def _died(self) -> Exception:
        code = self._process.wait(timeout=10)
        self._log.seek(0)
        log = self._log.read().decode("utf-8", "replace")[-4000:]
        if "Traceback" in log:
            return RuntimeError(log)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if code == -9:
            how += ", most often because memory ran out"
        return WorkbenchError(f"{self._what} ended unexpectedly ({how}). Nothing was stored. {self._advice}")

    def _end(self) -> None:
        processes.end_tree(self.pid, self._created)
        self._process.wait(timeout=10)
        datasets.sweep_drafts()
        if self._target:
            datasets.sweep_beside(Path(self._target))
        for pipe in (self._process.stdin, self._log):
            # A line that could not be sent any more is tried once again at closing.
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


def _usual_limits(request: dict[str, Any]) -> ProcessLimits:
    if request["do"] != "preview":
        return ProcessLimits()
    return LOOK_AT_THE_HUB if request["source"]["where"] == "hub" else LOOK


def _words(request: dict[str, Any]) -> tuple[str, str]:
    """What the work is, and what to do where it fails."""
    source = request.get("source")
    if source is None:
        return f"The work on {request.get('name', 'the data')}", "Import fewer of its rows, or close other programs."
    title = source.get("id") or source.get("original_name") or source.get("path") or source.get("words")
    return f"Reading {os.path.basename(title)}", "Split the file, or get it from its source again."
