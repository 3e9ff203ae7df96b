"""Memory and disk of merging an adapter into its base model."""

from workbench.core.errors import WorkbenchError
from workbench.core.memory.plan import in_gigabytes

BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}

# Beside the weights: one layer twice while it is merged, and a file of weights while it is written.
_BESIDE = 1.15


def arithmetic(weights: int, precision: str, compared: int, free: int, title: str) -> str:
    """What is computed in while merging: fp32 where the memory holds that, otherwise the type that is written.

    weights: of the model. precision: that is written. compared: bytes of the logits that are kept to compare with. free: bytes.
    Raises WorkbenchError, with what is there and what is needed, where neither fits.
    """
    for one in ("fp32", precision):
        if merging_bytes(weights, one, compared) <= free:
            return one
    wanted = merging_bytes(weights, precision, compared)
    smaller = " Take bf16, which needs half of it." if precision == "fp32" else ""
    raise WorkbenchError(
        f"Merging {title} needs about {in_gigabytes(wanted)} of memory, and {in_gigabytes(free)} are free on this machine.{smaller} "
        "Close other programs and the loaded model, use a machine with more memory, or export the adapter, which needs none."
    )


def merging_bytes(weights: int, computed_in: str, compared: int) -> int:
    """Bytes of memory."""
    return int(_BESIDE * BYTES[computed_in] * weights) + compared


def check_disk(weights: int, precision: str, free: int) -> None:
    """Raises WorkbenchError where the merged weights do not fit on the disk. free: bytes on it."""
    wanted = BYTES[precision] * weights
    if wanted > free:
        raise WorkbenchError(
            f"The merged weights take {in_gigabytes(wanted)} in {precision}, and the disk has {in_gigabytes(free)} free. Make room, or name "
            "a folder on another disk. Nothing was stored."
        )
