"""The order of examples in which those of a batch are about equally long, so that little is padded."""

import random
from collections.abc import Sequence

# Batches whose examples are sorted together: more pad less, and mix less.
_BATCHES_SORTED_TOGETHER = 50


def in_groups(lengths: Sequence[int], batch_size: int, seed: int) -> list[int]:
    """Every index once, so that `batch_size` after the other are of about the same length.

    Which examples meet, and the order of the batches, is still random: examples are shuffled, stretches of them are sorted
    and cut into batches, and all batches are shuffled. A last batch that is not full stays the last.
    """
    shuffled = list(range(len(lengths)))
    randomly = random.Random(seed)
    randomly.shuffle(shuffled)
    whole = len(shuffled) // batch_size * batch_size
    # A stretch of a quarter of the data at most: an epoch would else go through the same batches each time.
    stretch = batch_size * max(1, min(_BATCHES_SORTED_TOGETHER, whole // batch_size // 4))
    batches = []
    for start in range(0, whole, stretch):
        alike = sorted(shuffled[start : min(start + stretch, whole)], key=lambda index: lengths[index])
        batches += [alike[first : first + batch_size] for first in range(0, len(alike), batch_size)]
    randomly.shuffle(batches)
    return [index for batch in batches for index in batch] + shuffled[whole:]
