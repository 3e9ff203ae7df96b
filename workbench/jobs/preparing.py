"""Work on data in a child process of its own: hostile or broken, no file can hang the window or take it down.

A request is what `engine/prepare.py` understands: {"do": name of a task, its arguments ...}, as JSON.
"""

import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from workbench.core.errors import WorkbenchError
from workbench.jobs.child import GB, Child, Gone, OverLimit, ProcessLimits, Progress, memory_words
from workbench.jobs.processes import engine
from workbench.store import datasets

WORKER = engine("prepare")

# Arrow's own pools keep what was freed, and glibc's arenas reserve address space for each thread.
LEAN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}

USUAL = ProcessLimits(memory=3 * GB // 2, seconds=6 * 3600, silence=180)

# A look at the first rows takes a second; the Hub may be slow to answer.
LOOK = replace(USUAL, seconds=20)
LOOK_AT_THE_HUB = replace(USUAL, seconds=90)


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
        self._child = Child(worker, self._log, LEAN)
        # Rows written by hand are more than a pipe holds, and the child does not read before it has started.
        threading.Thread(target=self._send, args=(request | {"memory": limits.memory},), daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def follow(self, progress: Progress | None = None) -> Any:
        """The result, once there is one.

        Raises WorkbenchError where the work was refused, took too much memory or time, or was cancelled.
        """

        def heard(fraction: float, words: str) -> None:
            if self._cancelled:
                raise Cancelled
            if progress:
                progress(fraction, words)

        try:
            return self._child.wait("done", self._limits, heard)["result"]
        except OverLimit as error:
            raise self._stopped(str(error)) from None
        except MemoryError:
            raise self._stopped(memory_words(self._limits)) from None
        except Gone:
            raise Cancelled if self._cancelled else self._died() from None
        finally:
            self._end()

    def cancel(self) -> None:
        """End the work at once, from any thread; `follow` then raises Cancelled."""
        self._cancelled = True
        self._child.kill()

    def _send(self, request: dict[str, Any]) -> None:
        with suppress(Gone):  # whoever follows learns of it
            self._child.send(request)

    def _stopped(self, why: str) -> WorkbenchError:
        return WorkbenchError(f"{self._what} {why} and was stopped. Nothing was stored. {self._advice}")

    def _died(self) -> Exception:
        code = self._child.end()
        self._log.seek(0)
        log = self._log.read().decode("utf-8", "replace")[-4000:]
        if "Traceback" in log:
            return RuntimeError(log)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if code == -9:
            how += ", most often because memory ran out"
        return WorkbenchError(f"{self._what} ended unexpectedly ({how}). Nothing was stored. {self._advice}")

    def _end(self) -> None:
        self._child.end()
        self._log.close()
        datasets.sweep_drafts()
        if self._target:
            datasets.sweep_beside(Path(self._target))


def _usual_limits(request: dict[str, Any]) -> ProcessLimits:
    if request["do"] != "preview":
        return USUAL
    return LOOK_AT_THE_HUB if request["source"]["where"] == "hub" else LOOK


def _words(request: dict[str, Any]) -> tuple[str, str]:
    """What the work is, and what to do where it fails."""
    source = request.get("source")
    if source is None:
        return f"The work on {request.get('name', 'the data')}", "Import fewer of its rows, or close other programs."
    title = source.get("id") or source.get("original_name") or source.get("path") or source.get("words")
    return f"Reading {os.path.basename(title)}", "Split the file, or get it from its source again."
