"""What this machine offers a run: its packages, without importing them, and the reward models that it has."""

import contextlib
import importlib.util
import netrc
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from workbench.core.errors import WorkbenchError
from workbench.core.export.serving import LLAMA, OLLAMA, TRANSFORMERS, VLLM
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.forecast import Companions, model_that_scores
from workbench.core.training.config import RunConfig, parse_model
from workbench.core.training.mirror import MIRRORS, mirror_problem
from workbench.core.training.recipe import Device
from workbench.store import model_configs
from workbench.store.runs import open_run


def companions_of(config: RunConfig, device: Device) -> Companions:
    """What a run will hold beside the model that it trains: the reference of one that starts from an adapter, reward models."""
    rank, beside = _reward_models(config, device)
    return Companions(bool(config.start_from), rank, beside)


def _reward_models(config: RunConfig, device: Device) -> tuple[int, int]:
    """The rank of the adapter that scores answers, and the bytes of a reward model beside the base model; 0 where not known."""
    own, rank, beside = config.own(config.stages[-1]), 0, 0
    with contextlib.suppress(WorkbenchError):  # a run that is gone, a model that cannot be had: training says so
        if own.reward_run_name():
            rank = open_run(own.reward_run_name()).config().adapter.rank
    with contextlib.suppress(WorkbenchError):
        if own.reward_model_name():
            shape = shape_of(model_configs.config_of(parse_model(own.reward_model_name())))
            beside = model_that_scores(shape, config.max_length, device)
    return rank, beside


def installed_engines() -> frozenset[str]:
    """The engines on this machine that could serve a model."""
    # What Transformers itself looks for before it serves; fastapi, uvicorn and pydantic come with the window.
    found = {TRANSFORMERS: _has("openai") and _has("uvicorn"), VLLM: _has("vllm")}
    found |= {LLAMA: shutil.which("llama-server") is not None, OLLAMA: shutil.which("ollama") is not None}
    return frozenset(name for name, is_there in found.items() if is_there)


def check_mirror(config: RunConfig) -> None:
    """Raises WorkbenchError where the numbers of a run cannot be sent where its settings say."""
    mirror = MIRRORS.get(config.mirror)
    if mirror and (found := mirror_problem(config.mirror, _has(mirror.package), os.environ, _has_login())):
        raise WorkbenchError(found)


def _has_login() -> bool:
    """Whether `wandb login` was done here. Only that is looked at: the key itself is read by nobody but its own library."""
    names = (".netrc", "_netrc")
    places = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else [Path.home() / name for name in names]
    hosts = ("api.wandb.ai", urlsplit(os.environ.get("WANDB_BASE_URL", "")).hostname or "api.wandb.ai")
    for place in places:
        with contextlib.suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            if {*hosts} & netrc.netrc(place).hosts.keys():
                return True
    return False


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
