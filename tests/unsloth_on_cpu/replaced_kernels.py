"""The kernels of Unsloth that have a program for each token or weight, by PyTorch: interpreted they would take minutes.

Each takes the place of its kernel only after both were shown to make the same of the same numbers."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TYPES = ("float32", "float16", "bfloat16")

# Relative. What adds up a row adds in another order, and so may round the last digit of some numbers the other way.
ROUNDING = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}


@dataclass(frozen=True)
class Replacement:
    """A function that launches a kernel, and what does the same without one.

    module: within unsloth.kernels. tried: what such a function makes of some numbers of a type, as tensors.
    adds: whether it adds up numbers, so that it may round otherwise; else both must be equal bit by bit.
    """

    module: str
    name: str
    by: Callable[..., Any]
    tried: Callable[[Callable[..., Any], Any], list[Any]]
    adds: bool = False

    def difference(self, dtype: str) -> float:
        """The norm of the difference over the norm, at its worst among the tensors."""
        import torch

        module = importlib.import_module(f"unsloth.kernels.{self.module}")
        known = getattr(module, self.name)
        pairs = zip(*(self.tried(one, getattr(torch, dtype)) for one in (known, self.by)), strict=True)
        return max(float((one.float() - other.float()).norm() / one.float().norm()) for one, other in pairs)

    def limit(self, dtype: str) -> float:
        return ROUNDING[dtype] if self.adds else 0.0


def replace() -> dict[str, float]:
    """Put all in their places, once, and say how far each was from its kernel in each type.

    Raises AssertionError where one does not do what its kernel does.
    """
    from unsloth.kernels import utils

    found = {f"{one.name} {dtype}": (one.difference(dtype), one.limit(dtype)) for one in REPLACED for dtype in TYPES}
    wrong = {name: difference for name, (difference, limit) in found.items() if not difference <= limit}
    assert not wrong, f"not what the kernels do: {wrong}"
    for one in REPLACED:
        setattr(importlib.import_module(f"unsloth.kernels.{one.module}"), one.name, one.by)
    utils._TRITON_GEMV_EAGER = False
    return {name: difference for name, (difference, _) in found.items()}


def _rotated(one: Any, two: Any, sin: Any, cos: Any) -> tuple[Any, Any]:
    return one * cos - two * sin, two * cos + one * sin


def rope_rows(
    rows: Any, cos: Any, sin: Any, seq_len: int, n_heads: int, head_dim: int, backward: bool, _wrap: Any
) -> None:
    """rows: (batch * seq_len, n_heads * head_dim), rotated in place."""
    import torch

    half = head_dim // 2
    place = torch.arange(len(rows)) % seq_len
    turn, keep = sin[place, None, :half], cos[place, None, :half]
    heads = rows.view(-1, n_heads, head_dim)
    one, two = heads[..., :half].to(sin.dtype), heads[..., half:].to(sin.dtype)
    heads[..., :half], heads[..., half:] = _rotated(one, two, -turn if backward else turn, keep)


def rope_qk(
    queries: Any, keys: Any, cos: Any, sin: Any, places: Any, has_places: bool, backward: bool, _wrap: Any
) -> None:
    """queries, keys: (batch, heads, seq_len, head_dim), rotated in place. places: the position of each token."""
    import torch

    batch, _, seq_len, head_dim = queries.shape
    half = head_dim // 2
    place = places.long() if has_places else torch.arange(batch * seq_len) % seq_len
    turn, keep = (table[place, :half].view(batch, 1, seq_len, half) for table in (sin, cos))
    for heads in (queries, keys):
        one, two = heads[..., :half].clone(), heads[..., half:].clone()
        heads[..., :half], heads[..., half:] = _rotated(one, two, -turn if backward else turn, keep)


def rms_forward(rows: Any, weight: Any, eps: float, gemma: bool, _wrap: Any, _multirow: Any = None) -> tuple[Any, Any]:
    """The normed rows, and by what each was multiplied."""
    import torch

    assert not gemma
    wide = rows.float()
    inverse = torch.rsqrt((wide * wide).sum(-1) / rows.shape[1] + eps)
    return ((wide * inverse[:, None]).to(weight.dtype) * weight).to(rows.dtype), inverse


def rms_backward(
    slopes: Any, out: Any, rows: Any, weight: Any, inverse: Any, eps: float, gemma: bool, _wrap: Any, *_: Any, **more: Any
) -> None:  # fmt: skip
    assert not gemma and not any(more.values())
    count = rows.shape[1]
    scaled, normed = slopes.float() * weight.float(), rows.float() * inverse[:, None]
    along = (scaled * normed).sum(-1, keepdim=True)
    out.copy_((inverse[:, None] / count) * (count * scaled - normed * along))


def dequantized(
    packed: Any, scales: Any, code2: Any, scales2: Any, offset: Any, code: Any, size: int, size2: int, shape: Any,
    dtype: Any, out: Any = None,
) -> Any:  # fmt: skip
    """A weight in NF4, by the kernels that bitsandbytes has for the CPU."""
    import torch
    from bitsandbytes import functional

    if code2 is not None:
        scales = functional.dequantize_blockwise(scales, absmax=scales2, code=code2, blocksize=size2) + offset
    packed = (packed.t() if packed.shape[0] == 1 else packed).contiguous()
    found = torch.ops.bitsandbytes.dequantize_4bit.default(packed, scales.float(), size, "nf4", tuple(shape), dtype)
    return found if out is None else out.copy_(found)


def times_weight(one: Any, packed: Any, state: Any, out: Any = None) -> Any:
    """A single token times a weight in NF4."""
    import torch
    from unsloth.kernels import utils

    return torch.matmul(one, utils.fast_dequantize(packed, state).t(), out=out)


def _random(dtype: Any, *shape: int) -> Any:
    import torch

    # The same numbers for a kernel and what stands for it.
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def _rope_table(dtype: Any) -> tuple[Any, Any]:
    import torch

    angles = torch.outer(torch.arange(12.0), 10000 ** (-torch.arange(0, 64, 2) / 64))
    both = torch.cat([angles, angles], -1)
    return both.cos().to(dtype), both.sin().to(dtype)


def _try_rope_rows(do: Callable[..., Any], dtype: Any) -> list[Any]:
    found = []
    for backward in (False, True):
        rows = _random(dtype, 24, 4 * 64)
        do(rows, *_rope_table(dtype), 12, 4, 64, backward, _no_wrap)
        found.append(rows)
    return found


def _try_rope_qk(do: Callable[..., Any], dtype: Any) -> list[Any]:
    """Two rows of tokens, one of which is packed of two; queries have four heads, keys two."""
    import torch

    places = torch.cat([torch.arange(12), torch.arange(7), torch.arange(5)]).int()
    found = []
    for backward in (False, True):
        queries, keys = _random(dtype, 2, 4, 12, 64), _random(dtype, 2, 2, 12, 64)
        do(queries, keys, *_rope_table(dtype), places, True, backward, _no_wrap)
        found += [queries, keys]
    return found


def _try_rms_forward(do: Callable[..., Any], dtype: Any) -> list[Any]:
    return list(do(_random(dtype, 9, 256), _random(dtype, 256), 1e-6, False, _no_wrap))


def _try_rms_backward(do: Callable[..., Any], dtype: Any) -> list[Any]:
    import torch

    rows, slopes, weight = _random(dtype, 9, 256), _random(dtype, 9, 256) * 2, _random(dtype, 256)
    inverse = torch.rsqrt(rows.float().pow(2).mean(-1) + 1e-6)
    out = torch.empty_like(slopes)
    do(slopes, out, rows, weight, inverse, 1e-6, False, _no_wrap)
    return [out]


def _packed(dtype: Any) -> Any:
    from bitsandbytes import functional

    weight = _random(dtype, 128, 256) * 0.05
    return functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")


def _try_dequantized(do: Callable[..., Any], dtype: Any) -> list[Any]:
    packed, state = _packed(dtype)
    inner = state.state2
    shared = (state.absmax, inner.code, inner.absmax, state.offset, state.code, state.blocksize, inner.blocksize)
    return [do(one, *shared, state.shape, dtype) for one in (packed, packed.t())]


def _try_times_weight(do: Callable[..., Any], dtype: Any) -> list[Any]:
    return [do(_random(dtype, 1, 1, 256), *_packed(dtype))]


def _no_wrap(kernel: Any) -> Any:
    return kernel


REPLACED = (
    Replacement("rope_embedding", "_rope_rows", rope_rows, _try_rope_rows),
    Replacement("rope_embedding", "_rope_qk", rope_qk, _try_rope_qk),
    Replacement("rms_layernorm", "_rms_forward", rms_forward, _try_rms_forward, adds=True),
    Replacement("rms_layernorm", "_rms_backward", rms_backward, _try_rms_backward, adds=True),
    Replacement("utils", "dequantize_nf4", dequantized, _try_dequantized),
    Replacement("utils", "_fast_gemv_bnb", times_weight, _try_times_weight, adds=True),
)
