"""Log-probabilities of answers under a reference model, kept for later runs.

One file for each reference, in `reference/`: a line of JSON for each batch, an answer's digest -> its log-probability in
nats. A line that a kill tore is passed over, and computed again.
"""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from workbench.store.home import append_line, folder_in_home

# Of all references together. An answer takes about 60 bytes.
MOST_KEPT = 2**30  # bytes


class LogProbCache:
    """What is known of one reference. name: of its file, with the key of all that its log-probabilities follow from."""

    def __init__(self, name: str):
        self.file = folder_in_home("reference") / f"{name}.jsonl"
        self._known = _read(self.file)
        with suppress(OSError):
            os.utime(self.file)  # by which `sweep` sees that it is used
        self._writes = True

    def get(self, digest: str) -> float | None:
        """The summed log-probability of an answer in nats, or None where nobody computed it yet."""
        return self._known.get(digest)

    def add(self, found: Mapping[str, float]) -> None:
        """Keep what was not known yet and is a number. Where the disk is full it is known to this run only."""
        new = {digest: value for digest, value in found.items() if digest not in self._known and math.isfinite(value)}
        self._known.update(new)
        if not new or not self._writes:
            return
        try:
            with open(self.file, "ab+") as file:
                append_line(file, json.dumps(new))
        except OSError as error:
            self._writes = False
            print(f"The reference's log-probabilities cannot be kept for the next run: {error}")

    def forget(self) -> None:
        """Know nothing any more: it was of another model."""
        self._known.clear()
        with suppress(OSError):
            self.file.unlink(missing_ok=True)


def sweep(keep: str, most: int = MOST_KEPT) -> None:
    """Remove the files that were not used for longest, all but `keep`, until what is left is no larger than `most` bytes."""
    total = 0
    with suppress(OSError):  # another worker sweeps, or a file is open elsewhere: the next start sweeps again
        files = [(file.stat(), file) for file in folder_in_home("reference").glob("*.jsonl")]
        for stat, file in sorted(files, key=lambda one: one[0].st_mtime, reverse=True):
            total += stat.st_size
            if total > most and file.stem != keep:
                file.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, float]:
    known: dict[str, float] = {}
    try:
        lines = file.read_bytes().splitlines()
    except OSError:  # there is none yet, or none that can be read
        return known
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            for digest, value in found.items():
                if isinstance(value, float) and math.isfinite(value):
                    known.setdefault(digest, value)  # whoever came first has trained with it
    return known
