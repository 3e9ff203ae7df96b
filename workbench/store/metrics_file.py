"""metrics.jsonl of a run, taken in as it grows."""

import math
from collections.abc import Iterator
from pathlib import Path

from workbench.core.monitoring.run_log import Digest, RunLog
from workbench.store.checked_lines import Flaw, checked_row
from workbench.store.json_lines import JsonLines

# A glance at a long file: its first and last bytes, and this many places between them.
GLANCES = 400
AT_A_GLANCE = 2**13  # bytes at each of them
AT_THE_ENDS = 2**18


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
