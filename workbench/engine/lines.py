"""What a child process says to the window: one event a line, as JSON."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from workbench.core import masking
from workbench.store import secrets

Say = Callable[[dict[str, Any]], None]


def speaker() -> Say:
    """A function that writes one event a line to what was standard output.

    Whatever a library prints now goes to standard error, and so never comes between the events.
    """
    channel: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print_no_secrets()

    def say(event: dict[str, Any]) -> None:
        channel.write(json.dumps(event) + "\n")
        channel.flush()

    return say


def print_no_secrets() -> None:
    """From here on nothing that this process prints, or says in an error, holds a token or a password that can be known."""
    masking.know(secrets.known)
    sys.stdout, sys.stderr = (cast("TextIO", masking.Masked(stream)) for stream in (sys.stdout, sys.stderr))
