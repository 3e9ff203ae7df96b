"""How fast preference pairs are read, converted, examined and stored, and how much memory that takes.

    python tests/benchmarks/data_speed.py [--pairs 200000] [--words 150]

Writes a JSONL file of made-up pairs, imports it in the child process that the window uses, and prints a table. The
memory is the child's resident set, looked at every 20 ms. Cancelling ends the child in the middle of a second import;
its latency is the time until the process and what it had stored are gone. The last lines are waits of a person on the Data
page, without a process of their own.
"""

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from workbench.jobs import preparing
from workbench.jobs.child import Progress
from workbench.store import datasets
from workbench.store.sources import FileSource

MEMORY_LIMIT = 1536  # MB
PAIRS_A_MINUTE = 50_000

STARTS = ("How do I", "Why does", "Explain how to", "What happens when I", "Is it safe to", "Help me to", "Where can I")
VOCABULARY = (
    "the a to of and in it is that for with on as this by from or are be you can your will not have if when then "
    "water light garden bread engine letter morning winter budget window recipe neighbour planet travel signal "
    "computer battery memory friend lesson mountain paper river market kitchen answer question reason number "
    "slowly carefully often usually together quickly measure check write clean repair compare choose mix remember "
    "small large cold warm bright quiet simple careful common useful open early heavy short long certain different"
)
ENDS = (".", ".", ".", ".", "!", ":", "?")


def sentences(draw: random.Random, words: int) -> str:
    """A text of about so many words, in sentences, now and then in a list or with code in it."""
    known = VOCABULARY.split()
    pieces = []
    left = words
    while left > 0:
        length = draw.randint(6, 18)
        left -= length
        pieces.append(" ".join(draw.choices(known, k=length)).capitalize() + draw.choice(ENDS))
        if draw.random() < 0.1:
            pieces.append(f"\n\n- {draw.choice(known)}: {draw.randint(1, 999)}\n- `{draw.choice(known)}()`\n")
    return " ".join(pieces)


def write_pairs(file: Path, count: int, words: int) -> None:
    draw = random.Random(17)
    with open(file, "w", encoding="utf-8") as sink:
        for number in range(count):
            prompt = f"{draw.choice(STARTS)} {sentences(draw, draw.randint(8, 60))} ({number})"
            chosen, rejected = (sentences(draw, draw.randint(words // 3, words * 5 // 3)) for _ in range(2))
            sink.write(json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected}) + "\n")


def imported(file: Path, name: str, progress: Progress | None = None) -> None:
    source = FileSource(path=str(file), uploaded=False).model_dump(mode="json")
    preparing.run({"do": "import", "source": source, "name": name}, progress=progress)


def measured(file: Path) -> tuple[float, int]:
    """Seconds of the import, and its peak memory in bytes."""
    began = time.monotonic()
    peak = 0

    def look(fraction: float, text: str) -> None:
        nonlocal peak
        with contextlib.suppress(psutil.Error):
            peak = max(peak, *(child.memory_info().rss for child in psutil.Process().children()))

    imported(file, "speed", look)
    return time.monotonic() - began, peak


def cancelled(file: Path, home: Path) -> float:
    """Seconds from the cancel, when the import was under way, until nothing is left of it."""
    began = 0.0

    def cancel(fraction: float, text: str) -> None:
        nonlocal began
        if fraction > 0.2:
            began = time.monotonic()
            raise preparing.Cancelled

    with contextlib.suppress(preparing.Cancelled):
        imported(file, "cancelled", cancel)
    seconds = time.monotonic() - began
    left = [p.name for p in (home / "datasets").iterdir() if p.name != "speed"]
    if left:
        sys.exit(f"Something was left of a cancelled import: {left}")
    return seconds


def seconds_of(action: Callable[[], object]) -> str:
    began = time.monotonic()
    action()
    return f"{time.monotonic() - began:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=150, help="of an answer, on average")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, file = Path(folder, "home"), Path(folder, "pairs.jsonl")
        os.environ["WORKBENCH_HOME"] = str(home)
        write_pairs(file, options.pairs, options.words)
        seconds, peak = measured(file)
        rate = 60 * datasets.about("speed").rows / seconds
        rows = [
            ("pairs", f"{options.pairs:,}"),
            ("file", f"{file.stat().st_size / 1024**2:,.0f} MB"),
            ("seconds", f"{seconds:.1f}"),
            ("pairs a minute", f"{rate:,.0f} (wanted: {PAIRS_A_MINUTE:,})"),
            ("peak memory", f"{peak / 1024**2:,.0f} MB (limit: {MEMORY_LIMIT:,})"),
            ("cancelled after", f"{1000 * cancelled(file, home):.0f} ms"),
            ("search for words", seconds_of(lambda: datasets.search("speed", "garden travel"))),
            ("take a row out", seconds_of(lambda: datasets.delete_rows("speed", [0]))),
        ]
    for name, value in rows:
        print(f"{name:<16} {value}")


if __name__ == "__main__":
    main()
