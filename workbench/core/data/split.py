"""The split into training and held-out rows: by prompt, never by row; and what so many held-out rows can tell."""

import hashlib
import math
from collections.abc import Sequence

from workbench.core.data.messages import Message, prompt_key

HELD_OUT_SHARE = 0.1

_Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def prompt_digest(prompt: Sequence[Message], seed: int) -> int:
    """A number below 2^64 that only seed and prompt decide. It stands for the prompt: two never share one in practice."""
    digest = hashlib.sha256(f"{seed}:{prompt_key(prompt)}".encode()).digest()
    return int.from_bytes(digest[:8])


def is_held_out(digest: int, share: float) -> bool:
    """On which side a prompt falls where chance is not corrected."""
    return digest / 2**64 < share


def sides(digests: Sequence[int], held_out_share: float) -> list[bool]:
    """For each row, by its prompt's digest, whether it is held out; rows with the same prompt are on the same side.

    A prompt stays on its side when the dataset grows. Only in a small dataset chance is corrected: never more than
    twice the share is held out, and with two or more distinct prompts neither side is empty.
    held_out_share: between 0 and 1.
    """
    distinct = sorted(set(digests))
    if len(distinct) < 2:
        return [False] * len(digests)
    most = min(max(1, round(2 * held_out_share * len(distinct))), len(distinct) - 1)
    first, *others = distinct[:most]
    held_out = {first, *(other for other in others if is_held_out(other, held_out_share))}
    return [digest in held_out for digest in digests]


def resolution(held_out: int) -> float:
    """How sure an accuracy near 50 % is that was measured on so many rows: half of its 95 % interval, in points.

    Wilson's score interval, which is symmetric at 50 %: z / (2 sqrt(n + z^2)).
    """
    return 100 * _Z95 / (2 * math.sqrt(held_out + _Z95**2))
