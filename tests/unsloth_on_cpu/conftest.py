"""Unsloth's own code on a CPU. `.ci/unsloth` makes an environment with it and runs these tests there."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]  # what all tests share

# PyTorch without a card, where Triton is installed: bitsandbytes would have its fallbacks compiled.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("unsloth", "triton") if importlib.util.find_spec(name) is None]
    why = f"no {' and no '.join(missing)} here; .ci/unsloth makes an environment with Unsloth and runs this there"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(pytest.mark.skip(reason=why))
