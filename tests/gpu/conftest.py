"""Tests for a machine with an NVIDIA card. `python tests/gpu/run_all.py` runs them all and prints one table."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]  # what all tests share

from backends import BACKENDS, ask_for  # noqa: E402
from workers import DRY  # noqa: E402


@pytest.fixture(autouse=True)
def card(request: pytest.FixtureRequest) -> None:
    """Skips where there is no card to train on. In a dry run the demo model is loaded once for all, on the processor."""
    if DRY:
        if request.node.get_closest_marker("needs_card"):
            pytest.skip("needs a card")
        if not request.node.get_closest_marker("own_model"):
            request.getfixturevalue("one_base")
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA card, or a PyTorch that cannot use it")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of both in turn."""
    name: str = request.param
    ask_for(name, monkeypatch)
    return name
