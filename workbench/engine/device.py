"""What this machine offers a worker."""

import platform

import psutil
import torch

from workbench.core.recipe import Device


def this_device() -> Device:
    """The CUDA card in use, or the CPU."""
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Device("cuda", card.name, torch.cuda.is_bf16_supported(including_emulation=False), card.total_memory)
    return Device("cpu", platform.processor() or platform.machine() or "CPU", False, psutil.virtual_memory().total)


def torch_dtype(name: str) -> torch.dtype:
    """The torch type of a name such as "bfloat16"."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def memory_in_use(device: Device) -> int:
    """Bytes: of this process on the card, or in main memory where there is no card."""
    if device.is_cuda:
        return int(torch.cuda.memory_reserved())
    return int(psutil.Process().memory_info().rss)
