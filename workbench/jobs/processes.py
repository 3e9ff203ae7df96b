"""Child processes: started to be talked to, and ended with all that they started."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from workbench.jobs.environment import child_environment
from workbench.store.alive import alive as alive
from workbench.store.alive import started as started
from workbench.store.home import home

# Between 0 and 1000; 500 counts as half of the machine's memory on top of what a process has.
ENDED_FIRST = 500


def engine(module: str) -> tuple[str, ...]:
    """The command that runs a module of the engine."""
    return (sys.executable, "-m", f"workbench.engine.{module}")


def start_talking(
    command: Sequence[str], log: IO[bytes], environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """A child that is asked and answers by lines of text; what it prints besides goes to `log`.

    environment: what is set beside `child_environment`.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        cwd=home(),
        env=(environment or {}) | child_environment(),
        # Ctrl+C in the terminal is for the window, which then ends its children in order.
        start_new_session=os.name != "nt",
    )
    end_first(process.pid)
    return process


def start_detached(
    command: Sequence[str], log: IO[bytes], environment: Mapping[str, str], **streams: Any
) -> subprocess.Popen[bytes]:
    """A child in a session of its own, which neither a closed window nor Ctrl+C in its terminal ends. It prints to `log`."""
    return subprocess.Popen(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A module given by -m is looked for in the folder one is in first: that must not be just any folder.
        cwd=home(),
        env=environment,
        start_new_session=os.name != "nt",
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        **streams,
    )


def end_first(pid: int) -> None:
    """Where a machine's memory runs out, Linux ends some process: rather a child that can be started again than the window,
    a run that has trained for hours, or a program of somebody else. Other systems choose by themselves.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(ENDED_FIRST), encoding="ascii")


def end_tree(pid: int, created: float) -> None:
    """End a process and all that it started, at once. One that is gone is fine."""
    if not alive(pid, created):
        return
    try:
        parent = psutil.Process(pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=5)
