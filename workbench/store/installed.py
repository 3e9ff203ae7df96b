"""What the packages of this machine offer, without importing them."""

import importlib.util
import sys

from workbench.core.memory.forecast import ComputeOptions
from workbench.core.training.config import RunConfig
from workbench.core.training.recipe import Device


def offered_options(config: RunConfig, device: Device) -> ComputeOptions:
    """How a run can go about a step: from an adapter or not, and the ways to log-probabilities that TRL 1.14 has here: its Triton kernel, and tiles where liger-kernel is installed.

    Unsloth makes trainers of its own out of TRL's, with ways of their own: none of these is counted on beside it.
    """
    has_triton = device.is_cuda and sys.platform == "linux" and _has("triton") and not _has("unsloth")
    return ComputeOptions(
        fused_loss=has_triton, chunked_logits=has_triton and _has("liger_kernel"), from_adapter=bool(config.start_from)
    )


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
