"""Pairs read with their prompt once: one row [prompt | rest of the chosen answer | rest of the rejected answer].

Each token sees those before it, but the rejected answer does not see the chosen one, and its positions begin where the prompt
ended. So the hidden states are those of two rows, up to rounding. What both answers begin with is shared too.
"""

from dataclasses import dataclass
from typing import Any

import torch

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import Shape, shape_of

# Cutting rows together and apart takes time as well, and longer rows a larger mask: the share of the computing that must be
# saved, by which a row is at most 1.7 times as long as an ordinary one.
WORTH = 0.85
# Kernels of attention want the rows of a mask to begin at multiples of so many entries.
_ALIGNED = 8
_TRIED = ("sdpa", "eager")  # ways to compute attention that take a mask of who sees whom


@dataclass(frozen=True)
class Packed:
    """Pairs in one row each. ids, positions: (pairs, tokens); mask: (pairs, 1, tokens, tokens), what attention adds to the score
    of one token for another: 0, or the least number there is; made once, for all layers.

    places: (2 x pairs, length), where the token of an ordinary row lies in its pair's row.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor

    def apart(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (pairs, tokens, features) as those of ordinary rows (2 x pairs, length, features).

        What stands at padding is some other token's.
        """
        rows = torch.arange(len(self.places), device=hidden.device) % len(hidden)
        return hidden[rows.unsqueeze(1), self.places]


@dataclass(frozen=True)
class Lengths:
    """What the cost of a batch follows from. plain, packed: tokens of a row; padded: whether plain rows have padding."""

    pairs: int
    plain: int
    packed: int
    padded: bool


def lengths_of(ids: torch.Tensor, mask: torch.Tensor) -> tuple[Lengths, torch.Tensor]:
    """The lengths of a batch, and how many first tokens the two rows of each pair share, shape (pairs,).

    ids, mask: (2 x pairs, length), the chosen answers first, padded on the right.
    """
    (chosen, rejected), (one, other) = ids.chunk(2), mask.bool().chunk(2)
    shared = ((chosen == rejected) & one & other).long().cumprod(1).sum(1)
    count = mask.sum(1)
    packed = -(-int((count.view(2, -1).sum(0) - shared).max()) // _ALIGNED) * _ALIGNED
    return Lengths(len(chosen), ids.shape[1], packed, bool((count < ids.shape[1]).any())), shared


def is_worth(lengths: Lengths, shape: Shape) -> bool:
    """Whether one row per pair computes less than two, by multiplications in the layers and in attention.

    Without padding attention skips what lies behind a token; a mask that says who sees whom computes all of it.
    """

    def cost(rows: int, tokens: int, share: float) -> float:
        return rows * tokens * (shape.linear_weights + 2 * shape.query * shape.layers * tokens * share)

    plain = cost(2 * lengths.pairs, lengths.plain, 1 if lengths.padded else 0.5)
    return cost(lengths.pairs, lengths.packed, 1) <= WORTH * plain


def pack(ids: torch.Tensor, mask: torch.Tensor, shared: torch.Tensor, tokens: int, dtype: torch.dtype) -> Packed:
    """Rows of pairs cut together. shared, tokens: as `lengths_of` found them. dtype: in which attention is computed."""
    (chosen, rejected), length = ids.chunk(2), ids.shape[1]
    first, shared = mask.chunk(2)[0].sum(1, keepdim=True), shared.unsqueeze(1)
    place = torch.arange(tokens, device=ids.device).unsqueeze(0)
    second = place >= first
    positions = torch.where(second, place - first + shared, place).clamp(max=length - 1)
    cut = torch.where(second, rejected.gather(1, positions), chosen.gather(1, positions))
    between = (place >= shared) & ~second  # only in the chosen answer
    unseen = (second.unsqueeze(2) & between.unsqueeze(1)).logical_or_(place.unsqueeze(2) < place.unsqueeze(1))
    added = torch.zeros(unseen.shape, dtype=dtype, device=ids.device).masked_fill_(unseen, torch.finfo(dtype).min)
    at = torch.arange(length, device=ids.device).unsqueeze(0).expand(len(chosen), -1)
    moved = torch.where(at < shared, at, at + first - shared).clamp(max=tokens - 1)
    return Packed(cut, positions, added.unsqueeze(1), torch.cat([at.clamp(max=tokens - 1), moved]))


def shape_if_shared(model: Any, max_length: int) -> tuple[Shape | None, str]:
    """The shape of a model that can read pairs in one row, or None and why it can't. model: its adapters unwrapped."""
    config = model.config.get_text_config()
    if type(model.base_model).forward.__module__.startswith("unsloth"):
        return None, "Unsloth's own attention knows no such mask"
    if config._attn_implementation not in _TRIED:
        return None, f"its attention is computed by {config._attn_implementation}, which was not tried with such a mask"
    try:
        # Whether its weights were packed to 4 bits as it was loaded changes nothing of its shape.
        shape = shape_of(config.to_dict() | {"quantization_config": None})
    except WorkbenchError:
        return None, f"the architecture {config.model_type} was not tried with such a mask"
    window = getattr(config, "sliding_window", None)
    if window and window < max_length:
        return None, f"its attention reaches back {window:,} tokens only, and examples have up to {max_length:,}"
    return shape, ""
