"""Files of JSON lines that grow while they are read: metrics.jsonl and samples.jsonl of a run."""

import math
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Literal, TypeVar

from workbench.store.checked_lines import Flaw, flaw_summary

Value = TypeVar("Value")

# Bytes that are read before the clock is looked at.
SLICE = 2**21

# A line of numbers has some hundred bytes, one with a long prompt and its answer some ten thousand.
LONGEST_LINE = 2**20

# Bytes at the beginning and before the place reached, by which a file is known again.
REMEMBERED = 512

Look = Literal["same", "more", "other"]
"""What a look at a file found: nothing new, something to read, or that what was read of it does not count any more."""


class JsonLines(Generic[Value]):
    """Reads each line of a file once, and goes on from there when the file has grown.

    A half-written last line is waited for. Lines that cannot be used are counted in `flaws`; where the file itself cannot be
    read, `problem` says why. A file that became shorter, or another one under the same name, is read from its beginning.
    """

    def __init__(self, path: Path, check: Callable[[bytes], Value | Flaw]) -> None:
        """check: makes a value of a line, or says what is wrong with it."""
        self.path = path
        self.check = check
        self.size = 0  # bytes in the file, at the last look
        self._seen: object = None  # what the last look found
        self._forget("")

    def _forget(self, problem: str) -> None:
        self.problem = problem
        self.flaws: Counter[Flaw] = Counter()
        self.place = 0  # bytes that were read
        self.is_whole = True  # whether nothing was left to read, but for a half-written line
        self._beginning = b""
        self._before = b""  # what stands before the place
        self._in_long_line = False

    @property
    def share(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return 1.0 if self.is_whole else self.place / self.size

    @property
    def trouble(self) -> str:
        """What could not be read, in words; nothing where all could."""
        return " ".join(filter(None, (self.problem, flaw_summary(self.flaws, self.path.name))))

    def look(self) -> Look:
        """What there is to read. Costs no more than the question for the file's size where nothing changed."""
        found, problem = self._found()
        if found == self._seen and self.is_whole:
            return "same"
        self._seen = found
        size = found[-1] if isinstance(found, tuple) else 0
        if problem or size < self.place or not self._is_known():
            anew: Look = "other" if self.place or self.problem or problem else "more"
            self._forget(problem)
        else:  # after a problem, what was read before it is forgotten here, and must be there too
            anew, self.problem = "other" if self.problem else "more", ""
        self.size = size
        self.is_whole = self.place >= size
        return anew

    def read(self, seconds: float = math.inf) -> Iterator[Value]:
        """What was new at the last look; no more of it than can be read in about `seconds`."""
        until = time.monotonic() + seconds
        while not self.is_whole and time.monotonic() < until:
            try:
                with open(self.path, "rb") as file:
                    file.seek(self.place)
                    chunk = file.read(min(SLICE, self.size - self.place))
            except OSError as error:  # it went, or cannot be read any more: the next look says so
                self._forget(_unreadable(self.path, error))
                return
            yield from self._values(self._lines(chunk))

    def _found(self) -> tuple[tuple[int, ...] | str, str]:
        """What tells the file, as it is now, from any other, with its size last; and what is wrong with it."""
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            return "missing", ""
        except OSError as error:
            return (words := _unreadable(self.path, error)), words
        if not stat.S_ISREG(now.st_mode):
            words = f"{self.path.name} cannot be read: it is {'a folder' if stat.S_ISDIR(now.st_mode) else 'no file'}."
            return words, words
        return (now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size), ""

    def _is_known(self) -> bool:
        """Whether the file still begins, and goes on to the place reached, as it did. Numbers of deleted files are used again."""
        if not self.place:
            return True
        try:
            with open(self.path, "rb") as file:
                begins = file.read(len(self._beginning)) == self._beginning
                file.seek(self.place - len(self._before))
                return begins and file.read(len(self._before)) == self._before
        except OSError:
            return False

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The whole lines at the place, which moves behind them."""
        end = chunk.rfind(b"\n") + 1
        if not end and len(chunk) <= LONGEST_LINE:
            self.is_whole = True  # the end of a line that is being written
            return []
        self._beginning = self._beginning or chunk[:REMEMBERED]
        taken = chunk[: end or len(chunk)]
        self._before = taken[-REMEMBERED:]
        self.place += len(taken)
        self.is_whole = self.place >= self.size
        first_is_long, self._in_long_line = self._in_long_line, not end
        if not end:
            return []
        lines = taken.split(b"\n")[:-1]
        if first_is_long:
            self.flaws[Flaw.LONG] += 1
        return lines[1:] if first_is_long else lines

    def _values(self, lines: list[bytes]) -> Iterator[Value]:
        check, flaws = self.check, self.flaws
        for line in lines:
            value = Flaw.LONG if len(line) > LONGEST_LINE else check(line)
            if not isinstance(value, Flaw):
                yield value
            elif line.strip():
                flaws[value] += 1


def read_lines(path: Path, check: Callable[[bytes], Value | Flaw]) -> list[Value]:
    """All whole lines of a file that can be used; none where there is no such file."""
    lines = JsonLines(path, check)
    lines.look()
    return list(lines.read())


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path.name} cannot be read ({error.strerror or error})."
