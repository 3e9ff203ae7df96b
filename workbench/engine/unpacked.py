"""4-bit weights unpacked once, where there is no card: bitsandbytes unpacks them there at every pass, and an answer is a pass per token."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import torch

# Of the memory that is free: whatever else is loaded or trained beside it has its own part.
SHARE = 0.25
_WIDTH = 4  # bytes of a weight in fp32, the type in which a CPU computes


def room_beside(needed: int) -> int:
    """Bytes that unpacked weights may take beside what else will be needed."""
    return int(SHARE * max(0, psutil.virtual_memory().available - needed))


@contextmanager
def unpacked(model: Any, most: int | None = None) -> Iterator[int]:
    """Inside, 4-bit layers compute with weights that are kept in fp32, to the same bits; nothing where they would be too many.

    most: bytes that they may take; None for a SHARE of what is free. Gives the bytes that they take.
    """
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    most = room_beside(0) if most is None else most
    layers = [one for one in model.modules() if isinstance(one, Linear4bit) and "forward" not in vars(one)]
    size = _WIDTH * sum(math.prod(layer.weight.quant_state.shape) for layer in layers)
    # What another type than fp32 becomes here, and layers of which some are on a card, is left to bitsandbytes.
    if size > most or not all(
        layer.weight.quant_state.dtype == torch.float32 and layer.weight.is_cpu for layer in layers
    ):
        yield 0
        return
    for layer in layers:
        layer.forward = partial(_forward, dequantize_4bit(layer.weight.data, layer.weight.quant_state), layer.bias)
    try:
        yield size
    finally:
        for layer in layers:
            del layer.forward


def _forward(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """As Linear4bit, whose `forward` it stands for."""
    return torch.nn.functional.linear(x.float(), weight, bias if bias is None else bias.float()).to(x.dtype)
