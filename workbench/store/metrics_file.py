"""metrics.jsonl of a run, taken in as it grows."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.core.monitoring.metrics import FORKED, RESUMED, Row, as_trained, latest
from workbench.core.monitoring.run_log import Digest, RunLog
from workbench.store.checked_lines import Flaw, checked_row
from workbench.store.json_lines import JsonLines

# A glance at a long file: its first and last bytes, and this many places between them.
GLANCES = 400
AT_A_GLANCE = 2**13  # bytes at each of them
AT_THE_ENDS = 2**18

# How a run ended stands in its last rows, and how long it took between the first and the last: no more is read for that.
ENOUGH = 2**20
_TIME = re.compile(rb'"time": ?([0-9.]+)')


class MetricsFile:
    """What is kept of the rows of a file, and how far it was read."""

    def __init__(self, path: Path) -> None:
        self.lines = JsonLines(path, checked_row)
        self.digest = Digest()

    def read(self, seconds: float = math.inf) -> bool:
        """Take in what is new, in about `seconds` at most. Whether there was anything, or something else than before."""
        look = self.lines.look()
        if look == "same":
            return False
        if look == "other":
            self.digest = Digest()
        for row in self.lines.read(seconds):
            self.digest.add(row)
        return True


def read_digest(path: Path) -> Digest:
    """A file read to its end."""
    file = MetricsFile(path)
    file.read()
    return file.digest


def glance(path: Path) -> RunLog:
    """A long file in a moment: its beginning, its end, and some rows of every part between. For while it is being read."""
    digest = Digest()
    for line in _some_lines(path):
        row = checked_row(line)
        if not isinstance(row, Flaw):  # flaws are counted when it is read
            digest.add(row)
    return digest.log()


def ending(
    path: Path, stage: str, keys: Sequence[str], until: float = math.inf
) -> tuple[dict[str, float], float | None]:
    """The last numbers of a stage by their keys, and the seconds that the run worked, without its pauses. Quick for any file.

    until: the step of the stage that is the result. None seconds where the file does not say. Of what was logged before the last `ENOUGH` bytes, only the first time counts.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = file.read(min(size, ENOUGH))
            end = b""
            if size > ENOUGH:
                file.seek(max(ENOUGH, size - ENOUGH))
                end = file.read(ENOUGH)
    except OSError:
        return {}, None
    whole = start + end
    return _last_values(whole, stage, keys, until), _worked(whole)


def _last_values(lines: bytes, stage: str, keys: Sequence[str], until: float) -> dict[str, float]:
    """From the end backwards, as far as is needed; steps that the run went back behind do not count."""
    wanted = [f'"{key}"'.encode() for key in (*keys, RESUMED)]
    seen: list[Row] = []
    found: dict[str, float] = {}
    for line in reversed(lines.split(b"\n")):
        if not any(one in line for one in wanted) or isinstance(row := checked_row(line), Flaw):
            continue
        if row.get("stage") == stage and row.get("step", 0) > until:
            continue
        seen.insert(0, row)
        counted = as_trained(seen)
        values = {key: latest(counted, key, stage) for key in keys}
        found = {key: value for key, value in values.items() if value is not None}
        if len(found) == len(keys):
            break
    return found


def _worked(lines: bytes) -> float | None:
    """From the first time to the last, without what lies before the run branched off and before each time it went on."""
    begin = max(0, lines.rfind(f'"{FORKED}"'.encode()))
    first, last = _TIME.search(lines, begin), lines.rfind(b'"time"')
    if not first or last < 0 or not (ended := _TIME.match(lines, last)):
        return None
    seconds = _seconds(ended) - _seconds(first)
    at = lines.find(f'"{RESUMED}"'.encode(), first.end())
    while at >= 0:
        line = lines.rfind(b"\n", 0, at) + 1
        before, after = lines.rfind(b'"time"', 0, line), _TIME.search(lines, line)
        if before >= 0 and after and (paused := _TIME.match(lines, before)):
            seconds -= max(0.0, _seconds(after) - _seconds(paused))
        at = lines.find(f'"{RESUMED}"'.encode(), at + 1)
    return max(0.0, seconds)


def _seconds(found: re.Match[bytes]) -> float:
    try:
        return float(found[1])
    except ValueError:  # 1.2.3
        return 0.0


def _some_lines(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            between = range(AT_THE_ENDS, max(AT_THE_ENDS, size - AT_THE_ENDS), max(AT_A_GLANCE, size // GLANCES))
            for place, length in ((0, AT_THE_ENDS), *((one, AT_A_GLANCE) for one in between), (-1, AT_THE_ENDS)):
                file.seek(place if place >= 0 else max(AT_THE_ENDS, size - AT_THE_ENDS))
                lines = file.read(length).split(b"\n")
                yield from lines[1 if place else 0 : -1]
    except OSError:
        return
