"""Memory of a model that answers and does not train: what is loaded, and how many answers are given at once."""

from collections.abc import Collection, Mapping

from workbench.core.memory.architectures import Shape
from workbench.core.memory.forecast import CUDA_CONTEXT, nf4_bytes
from workbench.core.memory.plan import TIGHT
from workbench.core.training.recipe import Device, compute_dtype

# Bytes per logit while a token is drawn: fp32, sorted with places of 8 bytes, probabilities and their sums, noise.
_PER_LOGIT = 36
MOST_ROWS = 64  # more at once brings little, and keeps whoever reads waiting for the first answer
USUAL_ROWS = 8  # of a model of which no shape is known
A_TALK = 4096  # tokens of a long conversation with its answer


def loaded_bytes(shape: Shape, device: Device) -> int:
    """The base model in NF4, as the chat loads it."""
    weights = sum(linear.count * nf4_bytes(linear.weights) for linear in shape.linears)
    return weights + _width(device) * shape.unquantized_weights


def row_bytes(shape: Shape, tokens: int, device: Device) -> int:
    """What one answer takes at most, with the conversation before it: `tokens` in all. An upper estimate."""
    width = _width(device)
    cache = 2 * shape.layers * shape.key * width * tokens
    layer = tokens * width * (4 * shape.intermediate + 4 * shape.hidden + 2 * shape.query)
    return cache + layer + tokens**2 * width + shape.vocabulary * _PER_LOGIT


def chat_bytes(shape: Shape, device: Device, tokens: int = A_TALK) -> int:
    """A process that answers both lanes, without what the libraries take where there is no card."""
    return (CUDA_CONTEXT if device.is_cuda else 0) + loaded_bytes(shape, device) + 2 * row_bytes(shape, tokens, device)


def rows_at_once(shape: Shape | None, tokens: int, device: Device, free: int) -> int:
    """How many answers fit into the free memory together; at least 1."""
    if shape is None:
        return USUAL_ROWS
    return max(1, min(MOST_ROWS, int(TIGHT * free) // row_bytes(shape, tokens, device)))


def adapters_to_drop(loaded: Mapping[str, int], wanted: int, room: int, needed: Collection[str]) -> list[str]:
    """Which adapters make place for new ones of `wanted` bytes: the oldest first, and none that is needed.

    loaded: bytes of each that is there, the one that was used longest ago first. room: bytes for all of them together.
    """
    dropped: list[str] = []
    there = sum(loaded.values())
    for name, size in loaded.items():
        if there + wanted <= room:
            break
        if name not in needed:
            dropped.append(name)
            there -= size
    return dropped


def _width(device: Device) -> int:
    return 4 if compute_dtype(device) == "float32" else 2
