"""Child processes: started to be talked to, and ended with all that they started."""

import os
import subprocess
from collections.abc import Sequence
from typing import IO

import psutil

from workbench.jobs.environment import child_environment
from workbench.store.alive import alive as alive
from workbench.store.alive import started as started
from workbench.store.home import home


def start_talking(
    command: Sequence[str], log: IO[bytes], environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """A child that is asked and answers by lines of text; what it prints besides goes to `log`.

    environment: what is set beside `child_environment`.
    """
    return subprocess.Popen(
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
