"""What a model has read of conversations: the next turn, or what is left of a batch, reads only what is new.

Keys hold the place of their token in its conversation, not in the batch. So what was kept of a row may stand in another
batch, with more or less padding before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


@dataclass(frozen=True)
class Reading:
    """Tokens that were read, and the keys and values of each layer for them, as (heads, tokens, width)."""

    ids: Sequence[int]
    layers: Sequence[tuple[torch.Tensor, torch.Tensor]]

    def shared(self, ids: Sequence[int]) -> int:
        """How many tokens at the beginning of a conversation need not be read again; the last one always is."""
        pairs = zip(self.ids, ids[:-1], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    @property
    def bytes(self) -> int:
        return sum(kept.numel() * kept.element_size() for layer in self.layers for kept in layer)


NOTHING = Reading((), ())


def new_cache(model: Any) -> DynamicCache | None:
    """An empty cache of which readings can be kept; None where a layer forgets (a sliding window), or keeps a sum of all it read."""
    if not model._supports_default_dynamic_cache() or model.generation_config.cache_implementation:
        return None
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    return cache if cache.layers and all(type(layer) is DynamicLayer for layer in cache.layers) else None


def laid_out(
    rows: Sequence[Sequence[int]], readings: Sequence[Reading], cache: DynamicCache | None, pad: int, device: Any
) -> dict[str, Any]:
    """For `generate`: conversations as a batch, padded on the left, with what was read of them put into an empty cache.

    Each row is read from the same column on, so that nothing but padding stands before it: where one has more that is new, the
    others read some of what they know again.
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    there = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    batch: dict[str, Any] = {"input_ids": ids, "attention_mask": there}
    if cache is None:
        return batch
    new = max(len(row) - reading.shared(row) for row, reading in zip(rows, readings, strict=True))
    known = longest - new
    kept = [max(0, len(row) - new) for row in rows]
    for number in range(len(cache.layers) if known else 0):
        held = next(reading.layers[number] for reading, count in zip(readings, kept, strict=True) if count)
        both = [part.new_zeros(len(rows), part.shape[0], known, part.shape[2]) for part in held]
        for place, (reading, count) in enumerate(zip(readings, kept, strict=True)):
            for whole, part in zip(both, reading.layers[number] if count else (), strict=False):
                whole[place, :, known - count :] = part[:, :count]
        cache.update(*both, number)
    return batch | {"past_key_values": cache}


def readings_of(cache: DynamicCache, padding: Sequence[int], rows: Sequence[Sequence[int]]) -> list[Reading]:
    """What a cache holds of rows that were `laid_out`.

    padding: before each row. rows: their tokens with those of their answers until now, of which the last ones may not be read.
    """
    # Where it was stopped between two layers, the first ones have read a token more.
    there = min(layer.get_seq_length() for layer in cache.layers)
    found = []
    for place, (before, row) in enumerate(zip(padding, rows, strict=True)):
        ids = row[: max(0, there - before)]
        span = slice(before, before + len(ids))
        layers = [(layer.keys[place, :, span], layer.values[place, :, span]) for layer in cache.layers] if ids else []
        found.append(Reading(ids, layers))
    return found
