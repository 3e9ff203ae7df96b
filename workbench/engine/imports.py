"""The libraries that a worker or a chat needs, imported in three quarters of the time that it takes otherwise."""

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FOR_A_CHAT = ("transformers.modeling_utils", "transformers.models.auto.modeling_auto", "bitsandbytes", "accelerate")
FOR_A_RUN = (*FOR_A_CHAT, "workbench.engine.stage", "trl.trainer.sft_trainer", "trl.trainer.dpo_trainer")


def import_for(modules: tuple[str, ...]) -> None:
    """Torch, then all of these, unless Unsloth is here: it patches the others, and so has to be imported before them."""
    if all(module in sys.modules for module in ("torch", *modules)):
        return
    with _without_looking_for_garbage():
        import torch

        if importlib.util.find_spec("unsloth"):
            return
        if not torch.cuda.is_available():
            # bitsandbytes wraps fallbacks for processors that it has no kernels for in torch.compile, which takes a second to
            # import. A compiler is rarely installed where there is no card, and then they run as they are all the same.
            os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        for module in modules:
            importlib.import_module(module)


@contextmanager
def _without_looking_for_garbage() -> Iterator[None]:
    """What modules make stays to the end: looking through it, again and again as it grows, is an eighth of the time. It is
    not looked at afterwards either, so that freeing memory between two stages is fast."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
