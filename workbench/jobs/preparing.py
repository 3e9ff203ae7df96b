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
    """The result of a request, as JSON, once there is one. What `progress` raises ends the work.

    Raises WorkbenchError where the work was refused, or took too much memory or time.
    """
    limits = limits or _usual_limits(request)
    what, advice = _words(request)
    with tempfile.TemporaryFile() as log:
        child = Child(worker, log, LEAN)
        # Rows written by hand are more than a pipe holds, and the child does not read before it has started.
        threading.Thread(target=_send, args=(child, request | {"memory": limits.memory}), daemon=True).start()
        try:
            return child.wait("done", limits, progress)["result"]
        except (OverLimit, MemoryError) as error:
            why = f"{str(error) or memory_words(limits)} and was stopped"
        except Gone:
            why = f"ended unexpectedly ({_ending(child.end(), log)})"
        finally:
            child.end()
            datasets.sweep_drafts()
            if target := request.get("target"):
                datasets.sweep_beside(Path(target))
    raise WorkbenchError(f"{what} {why}. Nothing was stored. {advice}")


def _send(child: Child, request: dict[str, Any]) -> None:
    with suppress(Gone):  # whoever waits learns of it
        child.send(request)


def _ending(code: int, log: IO[bytes]) -> str:
    """How a child ended that said nothing. Raises RuntimeError with the traceback that it printed, if any."""
    log.seek(0)
    printed = log.read().decode("utf-8", "replace")[-4000:]
    if "Traceback" in printed:
        raise RuntimeError(printed)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"{how}, most often because memory ran out" if code == -9 else how


def _usual_limits(request: dict[str, Any]) -> ProcessLimits:
    if request["do"] == "rules":
        return LOOK
    if request["do"] not in ("preview", "prompts"):
        return USUAL
    return LOOK_AT_THE_HUB if request["source"]["where"] == "hub" else LOOK


def _words(request: dict[str, Any]) -> tuple[str, str]:
    """What the work is, and what to do where it fails."""
    if request["do"] == "rules":
        return "Applying the rules", "Write a simpler pattern: one with a repetition inside a repetition takes forever."
    source = request.get("source")
    if source is None:
        return f"The work on {request.get('name', 'the data')}", "Import fewer of its rows, or close other programs."
    title = source.get("id") or source.get("original_name") or source.get("path") or source.get("words")
    return f"Reading {os.path.basename(title)}", "Split the file, or get it from its source again."
