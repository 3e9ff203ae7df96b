"""One process that has imported what a worker needs and waits, so that the next run or chat begins seconds sooner.

It has no lock, no device and no run; no file names it. It is told through a socket what to be (`engine/warm.py`), gets its
streams and the lock of the device there, and is from then on that worker like any other. It ends with the window, also with
one that is killed. What it is not used for starts as ever: there is none on a Space, on Windows, where memory is short, or
where WORKBENCH_WARM is 0.
"""

import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import psutil

from workbench.jobs import processes
from workbench.jobs.environment import child_environment
from workbench.store.home import home
from workbench.store.space import on_space

ROOM = 4 * 1024**3  # bytes that must be available; it takes a sixth of them
SETTLING = 5.0  # seconds in which the window shows its first page: the imports would take the processor from it
AGAIN = 60.0  # seconds after which one that ended by itself is replaced

MODULES = ("workbench.engine.train", "workbench.engine.chat")


@dataclass(frozen=True)
class _Warm:
    process: subprocess.Popen[Any]
    line: socket.socket
    environment: dict[str, str]
    created: float


_lock = threading.Lock()
_waiting: _Warm | None = None
_not_before = time.monotonic() + SETTLING


def keep(only_torch: bool = False) -> None:
    """See to it that one waits, where it may. Cheap: asked each second. only_torch: where there is a card."""
    global _waiting, _not_before
    with _lock:
        if _waiting and _waiting.process.poll() is None:
            return
        _let_go()
        if not _may() or time.monotonic() < _not_before:
            return
        _not_before = time.monotonic() + AGAIN
        with suppress(OSError):
            _waiting = _started(only_torch)


def take(
    command: Sequence[str], log: IO[bytes], environment: Mapping[str, str], handed: Mapping[str, int], talks: bool
) -> subprocess.Popen[Any] | None:
    """The process that waits, as if it had just been started with this command; None where that has to be done.

    handed: descriptors that it gets, by the variable of the environment that is to name them. talks: what it writes comes
    back as text, as with `processes.start_talking`; otherwise it goes to the log, and a run may begin.
    """
    global _waiting, _not_before
    module = command[2] if len(command) > 2 else ""
    with _lock:
        warm = _waiting
        if warm is None or module not in MODULES or tuple(command[:3]) != processes.engine(module.rpartition(".")[2]):
            return None
        if warm.environment != child_environment() or warm.process.poll() is not None:
            _let_go()
            return None
        told: dict[str, Any] = {"module": module, "arguments": command[3:], "environment": dict(environment)}
        told |= {"handed": list(handed), "ended_first": processes.ENDED_FIRST if talks else 0}
        heard, asks = os.pipe()
        answers, says = os.pipe() if talks else (None, log.fileno())
        try:
            socket.send_fds(warm.line, [b"!"], [heard, says, log.fileno(), *handed.values()])
            warm.line.sendall(json.dumps(told).encode() + b"\n")
        except OSError:
            for file in (asks, answers):
                if file is not None:
                    os.close(file)
            _let_go()
            return None
        finally:
            os.close(heard)
            if talks:
                os.close(says)
        warm.line.close()
        warm.process.stdin = open(asks, "w", encoding="utf-8") if talks else open(asks, "wb")  # noqa: SIM115
        warm.process.stdout = open(answers, encoding="utf-8") if answers is not None else None  # noqa: SIM115
        _waiting, _not_before = None, time.monotonic()
        return warm.process


def end() -> None:
    """The window goes."""
    with _lock:
        _let_go()


def wait(seconds: float) -> bool:
    """Whether one waits that has imported all, as soon as it has."""
    return bool(_waiting and select.select([_waiting.line], [], [], seconds)[0])


def _may() -> bool:
    if os.name == "nt" or on_space() or os.environ.get("WORKBENCH_WARM") == "0":
        return False
    return bool(psutil.virtual_memory().available > ROOM)


def _started(only_torch: bool) -> _Warm:
    ours, its = socket.socketpair()
    environment = child_environment()
    with its:
        process = subprocess.Popen(
            [*processes.engine("warm"), str(its.fileno()), *(["torch"] if only_torch else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=home(),
            env=environment,
            start_new_session=True,
            pass_fds=(its.fileno(),),
        )
    processes.end_first(process.pid)
    return _Warm(process, ours, environment, processes.started(process.pid))


def _let_go() -> None:
    global _waiting
    warm, _waiting = _waiting, None
    if warm:
        warm.line.close()
        processes.end_tree(warm.process.pid, warm.created)
        warm.process.wait()
