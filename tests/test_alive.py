"""A process is told from another one that has its pid, whatever becomes of the clock."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from workbench.store.alive import alive, started


def test_a_process_is_alive_until_it_ends_even_where_nobody_has_asked_how_it_did():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    begun = started(child.pid)
    assert begun > 0
    assert alive(child.pid, begun)
    assert not alive(child.pid, begun - 3600), "another process that had this pid an hour before"
    child.send_signal(signal.SIGKILL)
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert not alive(child.pid, begun), "a zombie"
    child.wait()
    assert not alive(child.pid, begun)
    assert started(child.pid) == 0


def test_nobody_is_alive_who_has_no_pid_or_no_start():
    assert not alive(None, 1.0)
    assert not alive(os.getpid(), None)
    assert not alive(99_999_999, 0.0)


def test_the_time_of_day_is_only_written_down_for_people():
    """A clock can be set back and forth: what lasts is measured otherwise, and what comes first follows from no time."""
    root = Path(__file__).parent.parent / "workbench"
    written = {
        "engine/journal.py": 4,  # of a line; a pace is made of single intervals, see core/monitoring/progress.py
        "store/runs.py": 1,  # of an adjustment
        "store/queue.py": 1,  # of an entry, beside its place
        "store/gone.py": 2,  # of a note, and whether it is still news: either way at most a while too long or too short
        "ui/environment.py": 1,  # of a download that is a day old
        "store/trash.py": 1,  # when a run was thrown away
        "ui/notify_view.py": 1,  # so that no two messages to a page are equal
        "ui/who_may.py": 1,  # whether a sign-in is over, as the Hub wrote it down
    }
    found = {file.relative_to(root).as_posix(): file.read_text().count("time.time()") for file in root.rglob("*.py")}
    assert {name: count for name, count in found.items() if count} == written


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="elsewhere the system keeps the time of day itself")
def test_a_clock_that_is_set_does_not_make_a_worker_another_process(monkeypatch):
    """psutil adds the time of the machine's start, which the system moves with its clock: here by an hour."""
    begun, as_psutil_sees_it = started(os.getpid()), psutil.Process().create_time()
    booted = psutil.boot_time()
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: booted + 3600)
    assert abs(psutil.Process().create_time() - as_psutil_sees_it - 3600) < 1
    assert started(os.getpid()) == begun
    assert alive(os.getpid(), begun)
