"""Will a run fit on this machine: its memory, part by part, against what is free. Loads no weights and no torch."""

import platform
from dataclasses import replace

import psutil

from workbench.core.memory.architectures import shape_of
from workbench.core.memory.auto_settings import choose
from workbench.core.memory.forecast import LIBRARIES
from workbench.core.memory.plan import Plan, plan
from workbench.core.training.config import RunConfig
from workbench.core.training.recipe import Device
from workbench.jobs.card import read_card
from workbench.store import model_configs
from workbench.store.installed import companions_of
from workbench.store.model_configs import Download

BF16_FROM = (8, 0)  # compute capability of the first cards with bf16 (Ampere)


def plan_run(config: RunConfig, download: Download | None = None) -> Plan:
    """The plan of a run on this machine, as it is now. download: how a model's config.json is fetched, if it must be.

    Raises WorkbenchError for a model whose config cannot be had, or whose architecture is not known.
    """
    device, free = machine()
    shape = shape_of(model_configs.config_of(config.model, download))
    chosen = choose(shape, config, device, companions_of(config, device))
    found = plan(shape, chosen.config(config), device, free, chosen.companions, smaller=model_configs.suggestions())
    return replace(found, chosen=chosen.words)


def machine() -> tuple[Device, int]:
    """What a worker would train on, and how many bytes of its memory are free now."""
    if card := read_card():
        return Device("cuda", card.name, card.capability >= BF16_FROM, card.total), card.free
    memory = psutil.virtual_memory()
    name = platform.processor() or platform.machine() or "CPU"
    return Device("cpu", name, False, memory.total), max(0, memory.available - LIBRARIES)
