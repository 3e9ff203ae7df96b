"""What this machine offers a worker."""

import platform

import psutil

from workbench.core.training.recipe import Device


def this_device() -> Device:
    """The CUDA card in use, or the CPU."""
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Device("cuda", card.name, torch.cuda.is_bf16_supported(including_emulation=False), card.total_memory)
    return Device("cpu", platform.processor() or platform.machine() or "CPU", False, psutil.virtual_memory().total)
