"""All tests that need a card, and one table of what they found.

    python tests/gpu/run_all.py [what pytest takes, such as -k fp16]

On a machine without a network, where the packages were brought along in .gpu/site.tar.gz:

    mkdir -p .gpu/site && tar xzf .gpu/site.tar.gz -C .gpu/site && PYTHONPATH=.gpu/site:. python tests/gpu/run_all.py

The whole takes about a quarter of an hour, most of it imports and Unsloth's first compiling. Nothing is written outside
the system's folder for temporary files. Ends with 1 where a test failed.
"""

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("torch", "triton", "transformers", "trl", "peft", "bitsandbytes", "unsloth", "unsloth_zoo", "liger-kernel")


class Table:
    """Gathers a line for each test: how it ended, how long it took, and the figures that it noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        figures = "; ".join(f"{label}: {value}" for label, value in report.user_properties)
        self.lines.append(
            f"{report.outcome:<8}{report.duration:>7.0f} s  {name}{self._why(report) or figures and f'   ({figures})'}"
        )

    @staticmethod
    def _why(report: pytest.TestReport) -> str:
        """The last words of a test that did not pass."""
        if report.passed:
            return ""
        words: Any = report.longrepr
        last = words[2] if isinstance(words, tuple) else str(words).strip().splitlines()[-1]
        return f"   ({last[:200]})"


def installed(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def main() -> int:
    import torch

    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA card"
    head = f"{card}; Python {sys.version.split()[0]}; " + ", ".join(installed(package) for package in PACKAGES)
    print(head, flush=True)
    # Workers are started in a folder of their own, where a relative path would name nothing.
    paths = [str(ROOT), *(os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    table = Table()
    # One process: two would share the card whose memory is measured, and the table is filled in this one.
    options = ["-o", "addopts=--strict-markers", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-q"]
    code = pytest.main([str(Path(__file__).parent), *options, *sys.argv[1:]], plugins=[table])
    print("", head, *table.lines, sep="\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
