"""What was read of many folders, kept in `cache/` with what their files looked like then, so that a new process need not read
them all again. Whoever uses it compares the signatures: what changed since is read anew."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import workbench
from workbench.core.errors import WorkbenchError
from workbench.store.home import folder_in_home, read_json, write_text

Stat = tuple[int, int, int] | None
Signature = tuple[Stat, ...]
"""Of a folder and of files in it: inode, bytes, nanoseconds of its last change; None where it is not there."""

# Fewer are read again faster than anybody notices.
WORTH_KEEPING = 20


def read_signed(name: str) -> dict[str, tuple[Signature, dict[str, Any]]]:
    """By the name of each folder; empty where there are none, or another version of the workbench wrote them."""
    try:
        found = read_json(_file(name))
        if found["version"] != _version():
            return {}
        return {
            one: (tuple(None if stat is None else tuple(stat) for stat in signature), dict(facts))
            for one, (signature, facts) in found["facts"].items()
        }
    except (WorkbenchError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def write_signed(name: str, facts: Mapping[str, tuple[Signature, Mapping[str, Any]]]) -> None:
    """Nothing where that is not possible: then it is read again next time."""
    try:
        # In one line: with indents, a thousand runs take Python ten times as long.
        write_text(
            _file(name), json.dumps({"version": _version(), "facts": facts}, ensure_ascii=False, allow_nan=False)
        )
    except (WorkbenchError, OSError, ValueError):
        return


@cache
def _version() -> list[int]:
    """Another one for every other version of the code, since what counts as readable is decided there."""
    package = Path(workbench.__file__).parent
    return sorted(
        file.stat().st_mtime_ns for room in ("core", "store", "jobs") for file in (package / room).rglob("*.py")
    )[-3:]


def _file(name: str) -> Path:
    return folder_in_home("cache") / f"{name}.json"
