"""What is left to the workbench, decided: gradient checkpointing, optimizer and the way to the log-probabilities.

All follow from the run, the model's shape and the memory that the device has in all, so that the same run on the same
machine is always the same, whatever else is open. How much is free now is for the verdict (core/fitting.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from workbench.core.architectures import Shape
from workbench.core.config import WITH_REFERENCE, RunConfig
from workbench.core.fitting import TIGHT, in_gigabytes, worst_stage
from workbench.core.memory import Paths
from workbench.core.recipe import Device

# A desktop, a browser and the window itself have their part of a card and of a machine's memory.
SHARE_OF_A_CARD = 0.92
SHARE_OF_A_MACHINE = 0.6


@dataclass(frozen=True)
class Chosen:
    """What was decided. changes: of settings, as RunConfig has them; words: a sentence for each, with its reason."""

    changes: Mapping[str, Any]
    paths: Paths
    words: tuple[str, ...]

    def config(self, config: RunConfig) -> RunConfig:
        """The settings with what was decided."""
        return config.model_copy(update=dict(self.changes))


def choose(shape: Shape | None, config: RunConfig, device: Device, offered: Paths | None = None) -> Chosen:
    """Decide what a run leaves open. shape: None where the model's architecture is not known.

    offered: the paths that this machine has; one that costs time is taken only where it is needed.
    """
    offered = offered or Paths()
    paths = replace(offered, chunked_logits=False)
    open_ones = {
        name: value
        for name, value in (("gradient_checkpointing", "on"), ("optimizer", "adamw_torch"))
        if getattr(config, name) == "auto"
    }
    if shape is None:
        words = ["The memory of this architecture cannot be forecast, so gradient checkpointing is on."]
        return Chosen(open_ones, paths, tuple(words if "gradient_checkpointing" in open_ones else ()))
    weighed = _Weighed(shape, config, device)
    words = []
    if "gradient_checkpointing" in open_ones:
        without = weighed.total(open_ones | {"gradient_checkpointing": "off"}, paths)
        if without <= weighed.room:
            open_ones["gradient_checkpointing"] = "off"
            words.append(
                f"Gradient checkpointing is off: without it {in_gigabytes(without)} are needed, and it would cost a third of the speed."
            )
        else:
            words.append(f"Gradient checkpointing is on: without it {in_gigabytes(without)} would be needed.")
    if (
        offered.chunked_logits
        and weighed.total(open_ones, paths) > weighed.room
        and config.stages[-1] in WITH_REFERENCE
    ):
        paths = replace(paths, chunked_logits=True)
        words.append("Log-probabilities are computed in tiles: all logits at once would not fit.")
    if "optimizer" in open_ones and device.is_cuda and weighed.total(open_ones, paths) > weighed.room:
        open_ones["optimizer"] = "paged_adamw_8bit"
        words.append("The optimizer is the paged one with 8 bits: it gives way when memory runs short.")
    if config.optimizer.startswith("paged") and not device.is_cuda:
        open_ones["optimizer"] = "adamw_torch"
        words.append(f"The optimizer is adamw_torch: {config.optimizer} needs a card.")
    return Chosen(open_ones, paths, tuple(words))


class _Weighed:
    """The memory of one run on one device, with this or that decided."""

    def __init__(self, shape: Shape, config: RunConfig, device: Device):
        self._shape, self._config, self._device = shape, config, device
        self.room = TIGHT * device.memory * (SHARE_OF_A_CARD if device.is_cuda else SHARE_OF_A_MACHINE)

    def total(self, changes: Mapping[str, Any], paths: Paths) -> int:
        config = self._config.model_copy(update=dict(changes))
        return worst_stage(self._shape, config, self._device, paths).total
