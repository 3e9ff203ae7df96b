"""All that needs a card, in one command and one folder: correctness, speed, memory, kills, old and small cards, two lanes.

    python tests/gpu/run_all.py [--out FOLDER] [--minutes 25] [--readme] [what pytest takes, such as -k fp16]
    python tests/gpu/run_all.py --dry-run [--out FOLDER]    # without a card: on the processor, in a small size

What was found goes into FOLDER: results.jsonl, a line for each test as soon as it ends, and table.md. What passed already in a
results.jsonl that is there is not done again, so that a machine that is lent for ten minutes at a time does it in turns; what
finds no time left is skipped, and the most important comes first. --readme puts the table into README.md.

On a machine without a network, where the packages were brought along in .gpu/site.tar.gz:

    mkdir -p .gpu/site && tar xzf .gpu/site.tar.gz -C .gpu/site && PYTHONPATH=.gpu/site:. python tests/gpu/run_all.py

Apart from FOLDER nothing is written outside the system's folder for temporary files. Ends with 1 where a test failed.
"""

import argparse
import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("torch", "triton", "transformers", "trl", "peft", "bitsandbytes", "unsloth", "unsloth_zoo")
PARTS = {
    "test_training_on_card.py": "Correctness",
    "test_speed_on_card.py": "Speed",
    "test_chat_on_card.py": "Demo and chat",
    "test_memory_on_card.py": "Memory",
}
"""The files in the order in which they are done."""

BEGIN, END = "<!-- table of a card -->", "<!-- /table of a card -->"

Result = dict[str, Any]
"""test, part, outcome ("passed", "failed" or "skipped"), seconds, figures (label -> value), why."""


class Results:
    """Gathers what the tests found, and writes each down as soon as it ends."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._file, self._until = folder / "results.jsonl", time.monotonic() + seconds
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        self.by_test: dict[str, Result] = {one["test"]: one for one in map(json.loads, lines)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        order = list(PARTS)
        done = {test for test, one in self.by_test.items() if one["outcome"] == "passed"}
        items[:] = sorted((one for one in items if one.name not in done), key=lambda one: order.index(one.path.name))

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if time.monotonic() > self._until:
            pytest.skip("no time left")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        place, _, test = report.nodeid.rpartition("::")
        found: Result = {
            "test": test,
            "part": PARTS[Path(place).name],
            "outcome": report.outcome,
            "seconds": round(report.duration, 1),
            "figures": dict(report.user_properties),
            "why": _why(report),
        }
        self.by_test[test] = found
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")


def _why(report: pytest.TestReport) -> str:
    """The last words of a test that did not pass."""
    if report.passed:
        return ""
    words: Any = report.longrepr
    crash = getattr(words, "reprcrash", None)
    last = words[2] if isinstance(words, tuple) else crash.message if crash else str(words).strip().splitlines()[-1]
    return str(last).removeprefix("Skipped: ")[:200]


def table(head: str, results: Iterable[Result]) -> str:
    """Markdown: a line for each test, with what it measured."""
    lines = [head, "", "| part | what was tried | result | found |", "|---|---|---|---|"]
    for one in sorted(results, key=lambda one: list(PARTS.values()).index(one["part"])):
        name = one["test"].removeprefix("test_").replace("_", " ")
        found = one["why"] or "; ".join(f"{label}: {value}" for label, value in one["figures"].items())
        lines.append(f"| {one['part']} | {_cell(name)} | {one['outcome']}, {one['seconds']:.0f} s | {_cell(found)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("|", "/"))


def with_table(readme: str, found: str) -> str:
    """The README with the table in its place. Raises ValueError where it has none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md has no place for the table: {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{found}{END}{after}"


def machine() -> str:
    """The card, and the versions of what computes."""
    import torch

    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA card"
    return f"{card}; Python {sys.version.split()[0]}; " + ", ".join(map(_installed, PACKAGES))


def _installed(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("card-results"), help="the folder of results")
    parser.add_argument("--minutes", type=float, default=25, help="after which no more test begins")
    parser.add_argument("--dry-run", action="store_true", help="on the processor, in a small size")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    options, more = parser.parse_known_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    head = machine()
    print(head, flush=True)
    # Workers are started in a folder of their own, where a relative path would name nothing.
    paths = [str(ROOT), *(os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    if options.dry_run:
        os.environ |= {"WORKBENCH_GPU_DRY_RUN": "1", "CUDA_VISIBLE_DEVICES": ""}
    results = Results(options.out, 60 * options.minutes)
    # One process: two would share the card whose memory is measured, and the results are gathered in this one.
    usual = ["-o", "addopts=--strict-markers", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-q"]
    code = int(pytest.main([str(Path(__file__).parent), *usual, *more], plugins=[results]))
    found = table(head, results.by_test.values())
    (options.out / "table.md").write_text(found, encoding="utf-8")
    if options.readme:
        readme = ROOT / "README.md"
        readme.write_text(with_table(readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    print("", found, f"In {options.out.resolve()}: results.jsonl and table.md.", sep="\n")
    failed = any(one["outcome"] == "failed" for one in results.by_test.values())
    return 1 if failed else 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code


if __name__ == "__main__":
    sys.exit(main())
