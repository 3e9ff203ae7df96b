"""What of the way to GGUF is installed where the tests run."""

import pytest

from workbench.core.errors import WorkbenchError
from workbench.store.gguf_converter import Converter, find_converter


def converter_or_skip(lora: bool = False) -> Converter:
    """The converter that is here; skips the test where there is none, with what to install."""
    try:
        return find_converter(False, lambda fraction, words: None, lora)
    except WorkbenchError:
        how = "name the folder of a llama.cpp in LLAMA_CPP_ROOT" if lora else "pip install -e '.[gguf]'"
        pytest.skip(f"there is no converter to GGUF here: {how}")


def has_llama_cpp() -> bool:
    """Whether llama-cpp-python is installed and its library loads."""
    try:
        import llama_cpp  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True
