"""The NVIDIA card of this machine, read through its management library: no CUDA context, so no memory of the card."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Card:
    """used, free, total: bytes. capability: what it can compute, as NVIDIA counts it: (8, 0) is Ampere."""

    name: str
    capability: tuple[int, int]
    used: int
    free: int
    total: int


@dataclass(frozen=True)
class CardAtWork:
    """How busy the card is: share of the time in percent, degrees Celsius, watts; None for what it does not tell.

    users: bytes of the card by process id; None as the number of bytes, where the driver names the process alone.
    """

    load: int | None
    temperature: int | None
    power: int | None
    users: dict[int, int | None]


def read_card() -> Card | None:
    """The first card as it is now; None where there is none that a driver knows."""
    try:
        nvml, card = _first()
        memory = nvml.nvmlDeviceGetMemoryInfo(card)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(card)
        sizes = int(memory.used), int(memory.free), int(memory.total)
        return Card(str(nvml.nvmlDeviceGetName(card)), (major, minor), *sizes)
    except Exception:  # no library, no driver, no card: each has an exception type of its own
        return None


def read_card_at_work() -> CardAtWork | None:
    """How busy the first card is now; None where there is none."""
    try:
        nvml, card = _first()
    except Exception:  # as above
        return None
    power = _told(lambda: nvml.nvmlDeviceGetPowerUsage(card))  # milliwatts
    running = _told(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(card)) or []
    return CardAtWork(
        _told(lambda: int(nvml.nvmlDeviceGetUtilizationRates(card).gpu)),
        _told(lambda: int(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))),
        None if power is None else round(power / 1000),
        {int(one.pid): one.usedGpuMemory for one in running},
    )


def _first() -> tuple[Any, Any]:
    """The library and the handle of the first card."""
    import pynvml

    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)


def _told(ask: Callable[[], Any]) -> Any:
    """What a card says; None where this one has no such sensor, or its driver keeps it to itself."""
    try:
        return ask()
    except Exception:
        return None
