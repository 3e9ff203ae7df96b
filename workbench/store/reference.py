"""Log-probabilities of answers under a reference model, kept for later runs.

One file for each reference, in `reference/`: a line of JSON for each batch, an answer's digest -> its log-probability in
nats. A line that a kill tore is passed over, and computed again.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from workbench.store.home import folder_in_home

# Of all references together. An answer takes about 60 bytes.
MOST_KEPT = 2**30  # bytes


class KeptLogProbs:
    """What is known of one reference. name: of its file, with the key of all that its log-probabilities follow from."""

    def __init__(self, name: str):
        self.file = folder_in_home("reference") / f"{name}.jsonl"
        self._known = _read(self.file)
        self._writes = True

    def get(self, digest: str) -> float | None:
        """The summed log-probability of an answer in nats, or None where nobody computed it yet."""
        return self._known.get(digest)

    def add(self, found: Mapping[str, float]) -> None:
        """Keep what was not known yet. Where the disk is full it is known to this run only."""
        new = {digest: value for digest, value in found.items() if digest not in self._known}
        self._known.update(new)
        if not new or not self._writes:
            return
        try:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(new) + "\n")
        except OSError as error:
            self._writes = False
            print(f"The reference's log-probabilities cannot be kept for the next run: {error}")


def sweep(keep: str, most: int = MOST_KEPT) -> None:
    """Remove the files that were not used for longest, all but `keep`, until what is left is no larger than `most` bytes."""
    files = sorted(folder_in_home("reference").glob("*.jsonl"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > most and file.stem != keep:
            file.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, float]:
    known: dict[str, float] = {}
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            found = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(found, dict):
            known.update({digest: value for digest, value in found.items() if isinstance(value, float)})
    return known
