"""Where the window listens and who may come in.

Settled before Gradio is imported, so that a wrong argument is told at once.
"""

import errno
import os
import socket
from dataclasses import dataclass

from workbench.core.errors import WorkbenchError
from workbench.store.space import on_space

HERE = "127.0.0.1"
SHORTEST_PASSWORD = 8


@dataclass(frozen=True)
class Listening:
    """password: None where there is none. opened: whether the address can be reached from other machines."""

    host: str
    password: str | None
    opened: bool


def listening(host: str | None, share: bool, password: str | None) -> Listening:
    """Where to listen, and behind which password.

    host: None listens where it should: on this machine only, or on every address of a Space.
    Raises WorkbenchError where the window would be open to others without a password.
    """
    password = password or os.environ.get("WORKBENCH_PASSWORD") or None
    host = host or ("0.0.0.0" if on_space() else HERE)
    opened = host not in (HERE, "localhost")
    if (opened or share) and not password and not on_space():
        raise WorkbenchError(
            f"{'A share link' if share else f'Listening on {host}'} lets others use this machine, and there is no "
            "password. Set one with --password or WORKBENCH_PASSWORD, or leave the window on 127.0.0.1."
        )
    if (opened or share) and password and len(password) < SHORTEST_PASSWORD:
        raise WorkbenchError(
            f"The password has {len(password)} characters, and whoever guesses it can use this machine. Take one with "
            f"{SHORTEST_PASSWORD} or more; three words are easy to keep in mind."
        )
    return Listening(host, password, opened)


def check_free(host: str, port: int | None) -> None:
    """Raise WorkbenchError where nothing can listen there. port: None where any will do."""
    if port is not None and not 0 < port < 65536:
        raise WorkbenchError(f"There is no port {port}; ports go from 1 to 65535. Choose another with --port.")
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            if os.name != "nt":  # where it would share the port with whoever has it
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port or 0))
    except (OSError, UnicodeError) as error:  # the second for what cannot be a name, as a..b
        raise WorkbenchError(_what_is_wrong(error, host, port)) from None


def _what_is_wrong(error: Exception, host: str, port: int | None) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"Port {port} is taken by another program. Choose another with --port."
    if code == errno.EACCES:
        return f"Port {port} is kept for the system. Choose one above 1023 with --port."
    return (
        f"The window cannot listen on {host}, which is no address of this machine. Leave --host out to listen on this "
        "machine only, or give 0.0.0.0 for all of its addresses."
    )
