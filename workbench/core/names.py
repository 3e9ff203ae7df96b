"""The one rule for names that become folders."""

import re

from workbench.core.errors import WorkbenchError

NAME_RULE = (
    "lower-case letters, digits, dots, hyphens and underscores; starts with a letter or digit; at most 64 characters"
)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# Windows opens these as devices whatever the extension, so a folder of that name cannot exist there.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def is_name(text: str) -> bool:
    """Whether `text` can name a run or a dataset on every system that the workbench runs on."""
    return (
        _NAME.fullmatch(text) is not None
        and not text.endswith(".")
        and ".." not in text
        and text.split(".")[0] not in _RESERVED
    )


def check_name(text: str, what: str) -> str:
    """`text` itself if it is a usable name of a `what` ("run", "dataset").

    Raises WorkbenchError with a usable name to take instead.
    """
    if is_name(text):
        return text
    suggestion = f" Try {to_name(text)}." if text.strip() else ""
    raise WorkbenchError(f"{text[:80]!r} cannot be the name of a {what}. A name has {NAME_RULE}.{suggestion}")


def to_name(text: str, otherwise: str = "unnamed") -> str:
    """The nearest usable name to any text, for example to the name of an uploaded file."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())
    name = re.sub(r"\.{2,}", ".", name).strip("._-")[:64].rstrip("._-")
    return name if is_name(name) else otherwise
