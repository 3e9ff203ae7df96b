"""ZeroGPU, whose card is lent for single calls: what the platform needs to let a Space start at all."""

import importlib
import sys

from workbench.jobs import situation


def declare_function() -> None:
    """Declare a function for the lent card, where this is a ZeroGPU Space.

    The platform's package `spaces` reports at the launch that there is one, and ends a Space that has none (spaces/zero/__init__.py of
    0.51). Answers come from the processor all the same: the chat is a process of its own, and a card is lent only to calls of
    this one.
    """
    if situation.now().kind != "zero-gpu":
        return
    try:
        spaces = importlib.import_module("spaces")  # the platform installs it; nobody else has it
    except ImportError:
        print(
            "This is a ZeroGPU Space without the package `spaces`, which may end it. Add it to requirements.txt.",
            file=sys.stderr,
        )
        return
    spaces.GPU(duration=1)(name_of_card)


def name_of_card() -> str:
    """The card that is lent, as PyTorch names it."""
    torch = importlib.import_module("torch")
    return str(torch.cuda.get_device_name())
