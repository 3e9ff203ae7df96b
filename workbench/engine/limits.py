"""Limits that a process sets itself, where the system offers them: the last resort beside whoever watches it."""

import os
from contextlib import suppress


def limit_process(addresses: int | None = None, seconds: int | None = None) -> None:
    """Refuse this process more than so many bytes of addresses, end it after so many seconds of computing.

    What was limited more closely before stays so. Windows has neither limit; macOS knows the first and refuses it.
    """
    try:
        import resource
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_AS, addresses), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        if most is None:
            continue
        _, hard = resource.getrlimit(what)
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most if hard < 0 else min(most, hard), hard))


def addresses_in_use() -> int:
    """Bytes of addresses that this process has by now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
