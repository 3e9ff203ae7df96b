"""Names of files that the workbench makes itself, one after the other: when, and something that nobody else has."""

import re
import secrets
from datetime import UTC, datetime

from workbench.core.errors import WorkbenchError

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


def new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


def checked_id(text: str, what: str) -> str:
    """The id of a `what`, which may come from a browser and names a file. Raises WorkbenchError where it is none."""
    if not is_id(text):
        raise WorkbenchError(f"{text[:60]!r} is no name of a {what}.")
    return text
