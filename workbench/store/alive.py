"""Processes by pid and start time: a pid alone may belong to somebody else by now."""

import os
from pathlib import Path

import psutil

# Start times are read with a clock of 10 ms ticks, and may be rounded differently from one reading to the next.
SAME_START = 0.05  # seconds


def started(pid: int) -> float:
    """Start time of a process, in seconds; 0 where it is gone already.

    On Linux they are counted from the start of the machine, as the system keeps them: added to the time of that start,
    as psutil does, they move when the clock is set, and a worker that trains would read as lost. Elsewhere the system
    keeps the time of day at which a process began, and that is what they are.
    """
    if os.path.isdir("/proc/self"):
        fields = _stat(pid)
        return int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def alive(pid: int | None, created: float | None) -> bool:
    """Whether the very process that had this pid at that start time still runs."""
    if not pid or not created:
        return False
    return abs(started(pid) - created) < SAME_START and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat behind the name, which may hold anything (man 5 proc: state is the third)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []
