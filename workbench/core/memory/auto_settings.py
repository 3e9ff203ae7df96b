"""What is left to the workbench, decided: gradient checkpointing and optimizer.

All follow from the run, the model's shape and the memory that the device has in all, so that the same run on the same
machine is always the same, whatever else is open. How much is free now is for the verdict (core/memory/plan.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.core.memory.architectures import Shape
from workbench.core.memory.forecast import Companions
from workbench.core.memory.plan import TIGHT, in_gigabytes, worst_stage
from workbench.core.memory.savings import CHECKPOINTING, SMALL_OPTIMIZER
from workbench.core.training.config import RunConfig
from workbench.core.training.recipe import Device

# A desktop, a browser and the window itself have their part of a card and of a machine's memory.
SHARE_OF_A_CARD = 0.92
SHARE_OF_A_MACHINE = 0.6


@dataclass(frozen=True)
class Chosen:
    """What was decided. changes: of settings, as RunConfig has them; words: a sentence for each, with its reason."""

    changes: Mapping[str, Any]
    companions: Companions
    words: tuple[str, ...]

    def config(self, config: RunConfig) -> RunConfig:
        """The settings with what was decided."""
        return config.model_copy(update=dict(self.changes))


def choose(shape: Shape | None, config: RunConfig, device: Device, companions: Companions | None = None) -> Chosen:
    """Decide what a run leaves open. shape: None where the model's architecture is not known."""
    companions = companions or Companions()
    weighed = _Weighed(shape, config, device) if shape else None
    changes, words = _open_ones(config), []
    if "gradient_checkpointing" in changes:
        words.append(_decide_checkpointing(changes, weighed, companions))
    if "optimizer" in changes and weighed and device.is_cuda and weighed.is_short(changes, companions):
        changes |= SMALL_OPTIMIZER
        words.append(
            "The optimizer is the paged one with 8 bits: it moves its state to main memory when the card is full."
        )
    if config.optimizer.startswith("paged") and not device.is_cuda:
        changes["optimizer"] = "adamw_torch"
        words.append(f"The optimizer is adamw_torch: {config.optimizer} needs a card.")
    if (beside := config.own(config.stages[-1]).reward_model_name()) and not companions.reward_bytes:
        words.append(f"The memory of the reward model {beside} is not counted: what it is made of is not known here.")
    return Chosen(changes, companions, tuple(words))


def _open_ones(config: RunConfig) -> dict[str, Any]:
    """What is left open, with what it becomes where nothing speaks against it."""
    usual = {"optimizer": "adamw_torch", **CHECKPOINTING}
    return {name: value for name, value in usual.items() if getattr(config, name) == "auto"}


def _decide_checkpointing(changes: dict[str, Any], weighed: "_Weighed | None", companions: Companions) -> str:
    """Switch it off in `changes` where the run fits without it. Returns why, or why not."""
    if weighed is None:
        return "The memory of this model cannot be forecast, so gradient checkpointing is on."
    without = changes | {"gradient_checkpointing": "off"}
    needed = in_gigabytes(weighed.total(without, companions))
    if weighed.is_short(without, companions):
        return f"Gradient checkpointing is on: without it {needed} would be needed."
    changes.update(without)
    return f"Gradient checkpointing is off: {needed} are needed without it, and it costs a third of the speed."


class _Weighed:
    """The memory of one run on one device, with this or that decided."""

    def __init__(self, shape: Shape, config: RunConfig, device: Device):
        self._shape, self._config, self._device = shape, config, device
        self._room = TIGHT * device.memory * (SHARE_OF_A_CARD if device.is_cuda else SHARE_OF_A_MACHINE)

    def is_short(self, changes: Mapping[str, Any], companions: Companions) -> bool:
        return self.total(changes, companions) > self._room

    def total(self, changes: Mapping[str, Any], companions: Companions) -> int:
        config = self._config.model_copy(update=dict(changes))
        return worst_stage(self._shape, config, self._device, companions).total
