"""Tests for a machine with an NVIDIA card. `python tests/gpu/run_all.py` runs them all and prints one table."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]  # what all tests share

from backends import BACKENDS, ask_for  # noqa: E402


@pytest.fixture(autouse=True)
def card() -> None:
    """Skips where there is no card to train on."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA card, or a PyTorch that cannot use it")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of both in turn."""
    name: str = request.param
    ask_for(name, monkeypatch)
    return name
