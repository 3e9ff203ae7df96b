"""The NVIDIA card of this machine, read through its management library: no CUDA context, so no memory of the card."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """used, free, total: bytes. capability: what it can compute, as NVIDIA counts it: (8, 0) is Ampere."""

    name: str
    capability: tuple[int, int]
    used: int
    free: int
    total: int


def read_card() -> Card | None:
    """The first card as it is now; None where there is none that a driver knows."""
    try:
        import pynvml

        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(card)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(card)
        sizes = int(memory.used), int(memory.free), int(memory.total)
        return Card(str(pynvml.nvmlDeviceGetName(card)), (major, minor), *sizes)
    except Exception:  # no library, no driver, no card: each has an exception type of its own
        return None
