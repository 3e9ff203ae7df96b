"""Triton's interpreter, which runs a kernel program by program on arrays, with bf16 that rounds as on a card.

The interpreter keeps bf16 as the 16 bits of each number and computes with those bits as if they were integers. Here it
computes in fp32 and rounds to the nearest bf16, ties to even. On a card a kernel in bf16 may keep fp32 for longer.
"""

import sys
from typing import Any

import numpy as np


def widened(bits: np.ndarray) -> np.ndarray:
    """bf16 as its bits -> fp32."""
    found: np.ndarray = (bits.astype(np.uint32) << 16).view(np.float32)
    return found


def narrowed(numbers: np.ndarray) -> np.ndarray:
    """fp32 -> the bits of the nearest bf16."""
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(numbers), np.uint16(0x7FC0), nearest)


def round_bf16_honestly() -> None:
    """Comes after pretend(), before a kernel runs."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    binary, unary, cast = InterpreterBuilder.binary_op, InterpreterBuilder.unary_op, InterpreterBuilder.cast_impl
    narrow_float = InterpreterBuilder.create_fp_to_fp

    def is_bf16(handle: Any) -> bool:
        return handle.dtype.scalar == tl.bfloat16 and handle.data.dtype == np.uint16

    def binary_op(self: Any, left: Any, right: Any, do: Any) -> Any:
        if not is_bf16(left):
            return binary(self, left, right, do)
        found = do(widened(left.data), widened(right.data))
        return TensorHandle(found if found.dtype == np.bool_ else narrowed(found), left.dtype.scalar)

    def unary_op(self: Any, handle: Any, do: Any) -> Any:
        if not is_bf16(handle):
            return unary(self, handle, do)
        return TensorHandle(narrowed(do(widened(handle.data))), handle.dtype.scalar)

    def cast_impl(self: Any, handle: Any, to: Any) -> Any:
        if is_bf16(handle) and to.scalar != tl.bfloat16:
            handle = TensorHandle(widened(handle.data), tl.float32)
            return handle if to.scalar == tl.float32 else cast(self, handle, to)
        if to.scalar == tl.bfloat16 and handle.dtype.scalar != tl.bfloat16:
            return TensorHandle(narrowed(handle.data.astype(np.float32)), tl.bfloat16)
        return cast(self, handle, to)

    def fp_to_fp(self: Any, handle: Any, to: Any, rounding: Any) -> Any:
        if is_bf16(handle) or to.scalar == tl.bfloat16:
            return cast_impl(self, handle, to)
        return narrow_float(self, handle, to, rounding)

    InterpreterBuilder.binary_op, InterpreterBuilder.unary_op = binary_op, unary_op
    InterpreterBuilder.cast_impl, InterpreterBuilder.create_fp_to_fp = cast_impl, fp_to_fp


def take_few_large_programs() -> None:
    """Comes after Unsloth is imported. Each program is interpreted, so that a few large ones take a fraction of the time."""
    import triton.language as tl
    from unsloth.kernels import nf4, swiglu

    nf4._CONFIG_OVERRIDE = (1 << 16, 4, False, False, 0)  # Unsloth's own switch, for its tests
    swiglu.BLOCK_SIZE = 1 << 17
    # The interpreter puts its own in the place of tl.cast where a kernel names it so, not where it has another name.
    for name, module in list(sys.modules.items()):
        if name.startswith("unsloth") and getattr(module, "triton_cast", None) is tl.cast:
            module.triton_cast = lambda numbers, dtype: tl.cast(numbers, dtype)  # type: ignore[attr-defined]
