"""A JSON file on disk as a checked value: read once per change, and what is wrong with it in words.

Whatever lies in a folder may be torn, foreign, of another version, or put there by hand. So a file is checked where it
is read, and nowhere else: what comes out of here has the types that it says.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from workbench.core.errors import WorkbenchError

T = TypeVar("T")

# No file of settings or facts comes near it.
LARGEST = 16 * 2**20  # bytes
_USUAL = 2**16

# A file that is younger than this when it is read may still change without its time and size showing it.
STILL_WARM = 0.1  # seconds

_KEPT_AT_MOST = 20_000
_kept: dict[str, "_Kept"] = {}

_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


class Damaged(WorkbenchError):
    """A file that is there, and that cannot be used: which one, and why."""


@dataclass(frozen=True)
class _Kept:
    """What a file held when it was read last. signature: tells one state of a file from another."""

    signature: tuple[int, ...]
    kind: object
    value: Any
    problem: Damaged | None


class Record(Generic[T]):
    """One kind of JSON file.

    type_: what pydantic checks the value against; keys that it does not know are passed over, because a newer version
    may have written them.
    """

    def __init__(self, type_: Any):
        self._adapter: TypeAdapter[T] = TypeAdapter(type_)

    def read(self, path: Path | str) -> T | None:
        """The checked value in a file; None where there is no such file.

        Values are shared between readers, and are not to be changed. Raises Damaged with what was found in its place.
        """
        try:
            state = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Damaged(f"{os.path.basename(path)} cannot be opened ({error.strerror or error}).") from None
        signature = state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
        kept = _kept.get(str(path))
        if kept is None or kept.signature != signature or kept.kind is not self:
            kept = self._look(path, signature)
            if kept is None:
                return None
            self._keep(path, kept, state.st_mtime_ns)
        if kept.problem:
            raise Damaged(*kept.problem.problems)
        value: T = kept.value
        return value

    def check(self, value: Any) -> T:
        """The value that JSON stands for. Raises ValidationError or WorkbenchError where it stands for none."""
        return self._adapter.validate_python(value)

    def _look(self, path: Path | str, signature: tuple[int, ...]) -> _Kept | None:
        try:
            return _Kept(signature, self, self.check(parse(path)), None)
        except FileNotFoundError:
            return None  # it went between the two looks
        except ValidationError as error:
            return _Kept(signature, self, None, Damaged(f"{os.path.basename(path)}: {first_problem(error)}."))
        except Damaged as error:
            return _Kept(signature, self, None, error)
        except WorkbenchError as error:
            return _Kept(
                signature, self, None, Damaged(*[f"{os.path.basename(path)}: {one}" for one in error.problems])
            )

    def _keep(self, path: Path | str, kept: _Kept, modified: int) -> None:
        if time.time_ns() - modified < STILL_WARM * 1e9:
            return
        if len(_kept) >= _KEPT_AT_MOST:
            _kept.clear()
        _kept[str(path)] = kept


def parse(path: Path | str) -> Any:
    """What a JSON file holds, of whatever type.

    Raises FileNotFoundError where there is none, and Damaged for anything else that keeps it from being read.
    """
    name = os.path.basename(path)
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(_USUAL)
            if (
                len(text) == _USUAL
            ):  # room for the largest is not made for every small one: that took longer than to read it
                text += file.read(LARGEST + 1 - _USUAL)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except IsADirectoryError:
        raise Damaged(f"{name} is a folder, and a file belongs there.") from None
    except OSError as error:
        # Windows says "permission denied" of a folder that is opened as a file.
        what = (
            "is a folder, and a file belongs there" if os.path.isdir(path) else f"cannot be opened ({error.strerror})"
        )
        raise Damaged(f"{name} {what}.") from None
    if len(text) > LARGEST:
        raise Damaged(f"{name} is larger than {LARGEST // 2**20} MB, which no such file is.")
    if not text.strip():
        raise Damaged(f"{name} is empty.")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Damaged(f"{name} is not whole JSON (line {error.lineno}: {error.msg}).") from None
    except UnicodeDecodeError:
        raise Damaged(f"{name} is not text in UTF-8.") from None
    except RecursionError:
        raise Damaged(f"{name} has lists or objects within each other more deeply than can be read.") from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise Damaged(f"{name} holds a number with thousands of digits.") from None


def first_problem(error: ValidationError) -> str:
    """The first thing that a value was refused for: where, and what was found there."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{where} is missing"
    found = first["input"]
    shown = _KINDS.get(type(found)) or str(found)[:60]
    if isinstance(found, str):
        shown = f"{found[:60]!r}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{where or 'the whole of it'} is {shown} ({message})"
