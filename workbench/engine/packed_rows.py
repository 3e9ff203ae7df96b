"""Batches read without padding: several sequences in one row, and of a pair what both answers begin with only once.

A pair is put in as [what both share | rest of the chosen answer | rest of the rejected answer]. Each token sees those of its own
sequence that come before it, and its position is the one that it has there. So the hidden states are those of ordinary rows, up
to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import Shape, shape_of

# Cutting rows together and apart takes time as well, and longer rows a larger mask: the share of the computing that must be
# saved, by which a row of a pair is at most 1.7 times as long as an ordinary one.
WORTH = 0.85
# Kernels of attention want the rows of a mask to begin at multiples of so many entries.
_ALIGNED = 8
_TRIED = ("sdpa", "eager")  # ways to compute attention that take a mask of who sees whom


@dataclass(frozen=True)
class Batch:
    """Ordinary rows, padded on the right. counts: the tokens of each; length: of a row with its padding.

    shared: of each pair (the chosen answers come first), or of each row that stands alone, how many first tokens its rows have
    in common; 0 where it stands alone.
    """

    counts: tuple[int, ...]
    shared: tuple[int, ...]
    length: int

    @property
    def branches(self) -> int:
        """Rows that go together: 2 for pairs."""
        return len(self.counts) // len(self.shared)

    def sizes(self) -> list[int]:
        """Tokens of each pair, or of each row that stands alone, without what is there twice."""
        items, repeated = len(self.shared), self.branches - 1
        return [sum(self.counts[at::items]) - repeated * self.shared[at] for at in range(items)]


@dataclass(frozen=True)
class Layout:
    """Which rows hold what. rows, tokens: of the batch that is computed; starts: (row, first token) of each pair or lone row."""

    rows: int
    tokens: int
    starts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Packed:
    """A batch as it is computed. ids, positions: (rows, tokens); mask: (rows, 1, tokens, tokens), what attention adds to the
    score of one token for another: 0, or the least number there is; made once, for all layers.

    places: (ordinary rows, length), where the token of an ordinary row lies among all tokens of the packed rows.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor

    def apart(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (rows, tokens, features) as those of ordinary rows (ordinary rows, length, features).

        What stands at padding is some other token's.
        """
        return hidden.flatten(0, 1)[self.places]


def batch_of(ids: torch.Tensor, mask: torch.Tensor, pairs: bool) -> Batch | None:
    """What is in a batch; None where rows are padded on the left. ids, mask: (rows, length). pairs: see Batch."""
    if not mask[:, 0].all():
        return None
    counts = mask.sum(1).tolist()
    if not pairs:
        return Batch(tuple(counts), (0,) * len(counts), ids.shape[1])
    (chosen, rejected), (one, other) = ids.chunk(2), mask.bool().chunk(2)
    shared = ((chosen == rejected) & one & other).long().cumprod(1).sum(1)
    return Batch(tuple(counts), tuple(shared.tolist()), ids.shape[1])


def arrange(sizes: Sequence[int]) -> Layout:
    """Rows as long as the longest size, filled from the longest size to the shortest, each in the first row that has room.

    First-fit decreasing needs at most 11/9 of the fewest rows, and one more (Johnson et al. 1974).
    """
    tokens = -(-max(sizes) // _ALIGNED) * _ALIGNED
    filled: list[int] = []
    starts = [(0, 0)] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        row = next((row for row, used in enumerate(filled) if used + sizes[index] <= tokens), len(filled))
        if row == len(filled):
            filled.append(0)
        starts[index] = (row, filled[row])
        filled[row] += sizes[index]
    return Layout(len(filled), tokens, tuple(starts))


def is_worth(batch: Batch, layout: Layout, shape: Shape) -> bool:
    """Whether packed rows compute less than ordinary ones, by multiplications in the layers and in attention.

    Without padding attention skips what lies behind a token; a mask that says who sees whom computes all of it.
    """

    def cost(rows: int, tokens: int, share: float) -> float:
        return rows * tokens * (shape.linear_weights + 2 * shape.query * shape.layers * tokens * share)

    padded = min(batch.counts) < batch.length
    plain = cost(len(batch.counts), batch.length, 1 if padded else 0.5)
    return cost(layout.rows, layout.tokens, 1) <= WORTH * plain


def pack(ids: torch.Tensor, batch: Batch, layout: Layout, dtype: torch.dtype) -> Packed:
    """The rows of a batch put together. ids: (rows, length), as `batch_of` saw them. dtype: in which attention is computed."""
    source = torch.zeros(
        layout.rows * layout.tokens, dtype=torch.long
    )  # of each token, where it lies among ordinary rows
    # Who sees whom: a token sees those before it that are in its own part, or in the part that its part goes on from.
    part, trunk = torch.full_like(source, -1), torch.full_like(source, -1)
    places = torch.zeros(ids.shape, dtype=torch.long)
    items = len(batch.shared)
    for item, (row, start) in enumerate(layout.starts):
        shared, begin = batch.shared[item], row * layout.tokens + start
        end, beginning = begin + shared, item * (batch.branches + 1)
        if shared:
            source[begin:end] = item * batch.length + torch.arange(shared)
            part[begin:end] = trunk[begin:end] = beginning
        for branch in range(batch.branches):
            ordinary = branch * items + item
            own = slice(end, end + batch.counts[ordinary] - shared)
            source[own] = ordinary * batch.length + torch.arange(shared, batch.counts[ordinary])
            part[own], trunk[own] = beginning + 1 + branch, beginning
            places[ordinary, :shared] = torch.arange(begin, begin + shared)
            places[ordinary, shared : batch.counts[ordinary]] = torch.arange(own.start, own.stop)
            end = own.stop
    device, size = ids.device, (layout.rows, layout.tokens)
    source, part, trunk = (one.to(device).view(size) for one in (source, part, trunk))
    seen = (part.unsqueeze(2) == part.unsqueeze(1)).logical_or_(trunk.unsqueeze(2) == part.unsqueeze(1))
    unseen = seen.tril_().logical_not_()
    added = torch.zeros(unseen.shape, dtype=dtype, device=device).masked_fill_(unseen, torch.finfo(dtype).min)
    return Packed(ids.flatten()[source], source % batch.length, added.unsqueeze(1), places.to(device))


def shape_if_packed(model: Any, max_length: int) -> tuple[Shape | None, str]:
    """The shape of a model that can read packed rows, or None and why it can't. model: its adapters unwrapped."""
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
