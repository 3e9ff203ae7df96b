"""The two ways to load a base model on a card, and how a test asks for one."""

import importlib.util

import pytest
from workers import DRY

from workbench.engine.load import WITHOUT_UNSLOTH

BACKENDS = ("transformers", "unsloth")


def ask_for(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the workers of this test take a backend: they take Unsloth wherever it is installed and not ruled out."""
    if backend == "unsloth" and DRY:
        pytest.skip("needs a card")
    if backend == "unsloth" and importlib.util.find_spec("unsloth") is None:
        pytest.skip("Unsloth is not installed; `pip install .[gpu]` brings it")
    if backend == "transformers":
        monkeypatch.setenv(WITHOUT_UNSLOTH, "the test asked for Transformers")
    else:
        monkeypatch.delenv(WITHOUT_UNSLOTH, raising=False)
