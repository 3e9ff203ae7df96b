"""Whether another model finds room: beside a run that trains, or beside one that is loaded."""

from workbench.core.errors import WorkbenchError
from workbench.core.memory.answering import chat_bytes
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.forecast import Companions
from workbench.core.memory.plan import verdict, worst_stage
from workbench.core.training.config import ModelRef
from workbench.core.training.recipe import Device
from workbench.jobs.planning import machine
from workbench.store import model_configs
from workbench.store.runs import Run


def fits_beside_run(run: Run, model: ModelRef) -> bool:
    """Whether the chat with a model and a run that trains fit on the device together, by the forecast of both.

    The run may not have come to its worst moment yet, so what is free now says little. Without a card it is allowed always.
    """
    device, _ = machine()
    if not device.is_cuda:
        return True
    try:
        config = run.adjusted_config()
        companions = Companions.of(run.chosen().get("paths", {}))
        training = worst_stage(shape_of(model_configs.config_of(config.model)), config, device, companions).total
        return verdict(training + _chat(model, device), device.memory) == "fits"
    except WorkbenchError:  # of what is not known it cannot be promised
        return False


def fit_now(*models: ModelRef) -> bool:
    """Whether chats with some models fit together into what is free on the device now."""
    device, free = machine()
    try:
        return verdict(sum(_chat(model, device) for model in models), free) == "fits"
    except WorkbenchError:
        return False


def _chat(model: ModelRef, device: Device) -> int:
    return chat_bytes(shape_of(model_configs.config_of(model)), device)
