"""A model's config.json without its weights: from the demo, a folder, the Hugging Face cache, presets/ or the Hub."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import shape_of
from workbench.core.memory.savings import Smaller
from workbench.core.training.config import ModelRef
from workbench.store import presets
from workbench.store.home import shipped
from workbench.store.hub_errors import hub_errors
from workbench.store.model_files import read_config

Download = Callable[[str, str | None], Path]


def config_of(ref: ModelRef, download: Download | None = None) -> Mapping[str, Any]:
    """The config.json of a model, checked. Only a Hub model that is neither in the cache nor in presets/ is asked for.

    Raises WorkbenchError in plain words for a model that is missing, gated or out of reach, and for an unsafe config.
    """
    if ref.source == "demo":
        return read_config(shipped("assets") / "demo" / "model", "the demo model")
    if ref.source == "folder":
        return _in_folder(Path(ref.name).expanduser(), ref.name)
    cached = _cached(ref.name, ref.revision)
    if cached:
        return read_config(cached.parent, ref.name)
    known = preset_configs()
    if ref.revision is None and ref.name in known:
        return known[ref.name]
    return read_config((download or download_config)(ref.name, ref.revision).parent, ref.name)


def folder_of(ref: ModelRef) -> Path | None:
    """Where a model's files lie; None for one of the Hub that was not downloaded."""
    if ref.source == "demo":
        return shipped("assets") / "demo" / "model"
    if ref.source == "folder":
        return Path(ref.name).expanduser()
    cached = _cached(ref.name, ref.revision)
    return cached.parent if cached else None


def preset_configs() -> dict[str, Mapping[str, Any]]:
    """Hub id -> the sizes in its published config.json, of the models in presets/."""
    with open(shipped("presets") / "configs.toml", "rb") as file:
        configs: dict[str, Mapping[str, Any]] = tomllib.load(file)["configs"]
    return configs


def suggestions() -> list[Smaller]:
    """The models of presets/, as what a plan may suggest in place of a larger one."""
    configs = preset_configs()
    return [Smaller(model.id, model.title, shape_of(configs[model.id])) for model in presets.models()]


def download_config(name: str, revision: str | None) -> Path:
    """A small download: config.json alone. Raises WorkbenchError that says why it could not be had."""
    import huggingface_hub

    with hub_errors("model", name, revision):
        if _cached(name, revision) is None:
            # Where nothing answers, the download tries again and again for half a minute. One question says so at once.
            address = huggingface_hub.hf_hub_url(name, "config.json", revision=revision)
            huggingface_hub.get_hf_file_metadata(address, timeout=10)
        return Path(huggingface_hub.hf_hub_download(name, "config.json", revision=revision, etag_timeout=10))


def _cached(name: str, revision: str | None) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None


def _in_folder(folder: Path, title: str) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise WorkbenchError(
            f"There is no folder {title}. Check the path; it must be on the machine that runs the workbench."
        )
    if not (folder / "config.json").is_file():
        raise WorkbenchError(f"{title} has no config.json, so it is not a Transformers model.")
    return read_config(folder, title)
