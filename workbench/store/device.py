"""Who has the device: a lock in the home, held by a worker from its start to its end.

The system lets go of it when the process is gone, however it went. So it holds where a list of runs does not: a worker
whose folder was deleted is in no list, and has the device all the same. `device.json` says whose it is, for messages.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from workbench.core.names import is_name
from workbench.store.alive import alive
from workbench.store.home import home, read_json, write_json

PASSED_ON = "WORKBENCH_DEVICE_LOCK"
"""Tells a worker the descriptor of the lock that its starter took for it, or that another process holds it in its stead."""

_BY_PARENT = "parent"

# Whoever asks whether the lock is held has it for microseconds, and may meet another one who asks.
_ASKING = 0.2  # seconds

_TO_TAKE = 10.0  # seconds; where a worker takes the lock itself, the one before may just be ending

# A drive of the network may know no locks. Then the device is whose `device.json` says, for as long as that process lives.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

_mine: int | None = None  # the descriptor by which this process holds the lock


@dataclass(frozen=True)
class Holder:
    """Whose the device is. pid and created (see store/alive.py) are 0 where nothing readable says so."""

    run: str = ""
    pid: int = 0
    created: float = 0.0

    @property
    def lives(self) -> bool:
        return alive(self.pid, self.created)


def holder() -> Holder | None:
    """Who has the device now; None where it is free. Cheap: pages ask each second.

    A lock that cannot be opened is nobody's; starting a run says what is wrong with it.
    """
    until = time.monotonic() + _ASKING
    with suppress(OSError):
        while not _is_free():
            who = _named()
            if who.lives or time.monotonic() > until:
                return who
            time.sleep(0.005)
    return None


@contextmanager
def passing_on() -> Iterator[dict[str, Any] | None]:
    """Take the device for a process that is started meanwhile: what to tell `subprocess.Popen` besides.

    None where somebody has it. The process has it from its first moment; where a system has no locks that a child
    inherits, it takes it itself (see `hold`).
    """
    descriptor = _taken(_ASKING)
    try:
        if descriptor is None:
            yield None
        elif os.name == "nt":
            os.close(descriptor)
            descriptor = None
            yield {}
        else:
            yield {"pass_fds": (descriptor,)}
    finally:
        if descriptor is not None:
            os.close(descriptor)


def passed_on(told: dict[str, Any]) -> dict[str, str]:
    """What the environment of that process says of it."""
    return {PASSED_ON: str(told["pass_fds"][0])} if told.get("pass_fds") else {}


def note_holder(run: str, pid: int, created: float) -> None:
    """Write down whose the device is. Raises OSError."""
    write_json(_note(), asdict(Holder(run, pid, created)))


def hold() -> bool:
    """In a worker: have the device until this process is gone. False where another one has it."""
    global _mine
    told = os.environ.pop(PASSED_ON, "")
    if told == _BY_PARENT:
        return True
    descriptor = int(told) if told.isdecimal() and _is_of_lock(int(told)) else None
    if descriptor is not None and _lock(descriptor):
        os.set_inheritable(descriptor, False)
    else:
        descriptor = _taken(_TO_TAKE)
    if descriptor is None:
        return False
    _mine = descriptor
    if hasattr(os, "register_at_fork"):  # a forked child that outlives its worker must not keep the device
        os.register_at_fork(after_in_child=lambda: _close(descriptor))
    return True


def hand_on() -> int | None:
    """Let the program that this process begins next hold the lock. The descriptor to leave open, where there is one."""
    if _mine is None:
        return None
    if os.name == "nt":  # where this process stays, and waits for the next
        os.environ[PASSED_ON] = _BY_PARENT
        return None
    os.environ[PASSED_ON] = str(_mine)
    return _mine


def _taken(seconds: float) -> int | None:
    """A descriptor with the lock; None where somebody else has had it all the time."""
    descriptor = _opened()
    until = time.monotonic() + seconds
    while not _lock(descriptor):
        if time.monotonic() > until:
            os.close(descriptor)
            return None
        time.sleep(0.005)
    return descriptor


def _is_free() -> bool:
    descriptor = _opened()
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock, where nobody else has it. Raises OSError."""
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        who = _named()
        return who.pid == os.getpid() or not who.lives


def _opened() -> int:
    return os.open(_file(), os.O_RDWR | os.O_CREAT, 0o644)


def _is_of_lock(descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(_file()))
    except OSError:
        return False


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def _named() -> Holder:
    try:
        values = read_json(_note())
        run = str(values["run"])
        return Holder(run if is_name(run) else "", int(values["pid"]), float(values["created"]))
    except (OSError, TypeError, KeyError, ValueError, OverflowError):
        return Holder()


def _file() -> Path:
    return home() / "device.lock"


def _note() -> Path:
    return home() / "device.json"
