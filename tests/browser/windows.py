"""A window in a process of its own, as a user starts it, for tests that drive it in a browser."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from workbench.jobs import processes
from workbench.store.runs import Run

ROOT = Path(__file__).parent.parent.parent


class Window:
    """`python app.py` on a port of its own. Can be killed and started again on the same port and home.

    program: what Python runs in its place.
    """

    def __init__(self, home: Path, program: Sequence[str] = ("app.py",)):
        self.home = home
        self.program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        environment = os.environ | {"WORKBENCH_HOME": str(self.home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        log = open(self.home.parent / "window.log", "ab")  # noqa: SIM115  closed with the process
        self.process = subprocess.Popen(
            [sys.executable, *self.program, "--port", str(self.port)], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(self.address, timeout=30):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise AssertionError("the window did not open within a minute")

    def kill(self) -> None:
        """As if its machine's user had ended it in the task manager."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it, and the workers that it has begun."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        for folder in self.home.glob("runs/*"):
            if worker := Run(folder).worker():
                processes.end_tree(worker["pid"], worker["created"])
