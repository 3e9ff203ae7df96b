"""A window in a process of its own, for tests that drive it in a browser.

Importing Gradio and the pages is three quarters of what a start costs, and dozens of tests start one. So a process imports
them once and is forked for each window, where the system can fork; `tests/test_window.py` starts it as a user does.
"""

import atexit
import functools
import json
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

import psutil

from workbench.jobs import processes
from workbench.store.runs import Run

ROOT = Path(__file__).parent.parent.parent

# Reads {"program": ..., "environment": ..., "log": ...} as lines, and answers each with the id of a fork that runs the program.
# It imports without a home of its own, so what Gradio read from its environment meanwhile is set anew in the fork.
_IMPORTED_ONCE = """
import json, os, runpy, signal, sys
import gradio, workbench.ui.serve, workbench.ui.shell
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what ended is not waited for
for line in sys.stdin:
    asked = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for target, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(asked["environment"])
    for module in list(sys.modules.values()):
        if hasattr(module, "DEFAULT_TEMP_DIR"):
            module.DEFAULT_TEMP_DIR = os.path.join(os.environ["WORKBENCH_HOME"], "uploads")
    sys.argv = asked["program"]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@functools.cache
def _nursery() -> subprocess.Popen[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _IMPORTED_ONCE]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)


def close_nursery() -> None:
    """End the process that windows are forked from, where there is one."""
    if _nursery.cache_info().currsize:
        with _nursery() as nursery:
            nursery.kill()
        _nursery.cache_clear()


atexit.register(close_nursery)


def _started(command: list[str], environment: dict[str, str], log: Path) -> psutil.Process:
    if not hasattr(os, "fork"):
        with open(log, "ab") as file:
            return psutil.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=file, stderr=file)
    nursery = _nursery()
    assert nursery.stdin and nursery.stdout
    nursery.stdin.write(json.dumps({"program": command, "environment": environment, "log": str(log)}) + "\n")
    nursery.stdin.flush()
    return psutil.Process(int(nursery.stdout.readline()))


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
        self.process: psutil.Process | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        environment = os.environ | {"WORKBENCH_HOME": str(self.home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        command = [*self.program, "--port", str(self.port)]
        self.process = _started(command, environment, self.home.parent / "window.log")
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
        if self.process and self.process.is_running():
            self.process.terminate()
            self.process.wait()
        for folder in self.home.glob("runs/*"):
            if worker := Run(folder).worker():
                processes.end_tree(worker["pid"], worker["created"])
