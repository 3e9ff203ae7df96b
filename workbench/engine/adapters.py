"""Adapters on disk and in the model: written whole or not at all, taken back, kept where a run goes wrong."""

import os
import shutil
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import results
from workbench.core.monitoring.progress import trained_seconds
from workbench.core.training.config import RunConfig
from workbench.core.training.model_card import model_card
from workbench.store import checkpoints
from workbench.store.adapter_files import check_adapter
from workbench.store.forks import fork_of
from workbench.store.home import write_text
from workbench.store.runs import Run, starting_run

_HEAD = "base_model.model.score.weight"  # as PEFT saves it


def save_last_finite_adapter(run: Run) -> str:
    """Make the newest adapter whose weights are all numbers the result. Says where it was; "" where there is none."""
    import torch
    from safetensors.torch import load_file

    for found in checkpoints.whole(run):
        weights = load_file(found.folder / "adapter_model.safetensors")
        if all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
            copy_adapter(found.folder, run.adapter)
            return found.words
    return ""


def keep_start(run: Run, config: RunConfig) -> None:
    """Copy the adapter that the run starts from into its folder, once: it is its reference, whatever becomes of the other run."""
    if run.start_adapter.is_dir():
        return
    earlier = starting_run(config)
    assert earlier, "only asked for where the config names a run to start from"
    copy_adapter(earlier.adapter, run.start_adapter)


def copy_adapter(source: Path, target: Path) -> None:
    """Weights and settings of an adapter, whole or not at all."""
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a worker that was killed here
    draft.mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copy2(source / name, draft / name)
    if (source / "reward.json").is_file():
        shutil.copy2(source / "reward.json", draft / "reward.json")
    shutil.rmtree(target, ignore_errors=True)  # what an earlier life of the run left: a folder takes no other's place
    os.replace(draft, target)


def load_adapter_weights(model: Any, folder: Path) -> None:
    """Give the adapter that trains the weights of one on disk, in fp32 as they were saved.

    Raises WorkbenchError where they are not the weights of such an adapter.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    check_adapter(folder, f"the adapter in {folder.name}")
    weights = load_file(folder / "adapter_model.safetensors")
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    head = next((weight for name, weight in trained.items() if ".score." in name), None)
    if head is not None and _HEAD not in weights:  # a reward model may start from a run that answers, with its own head
        weights[_HEAD] = head.detach()
    wanted = [weight.shape for weight in trained.values()]
    # PEFT passes over in silence what it does not find.
    if sorted(wanted) != sorted(weight.shape for weight in weights.values()):
        raise WorkbenchError(
            f"The adapter in {folder.name} has {len(weights)} weights, which are not the {len(wanted)} of the one that is to "
            "be trained: it was made in another way. Start from another run, or from the base model."
        )
    set_peft_model_state_dict(model, weights, adapter_name="default")


def restore_fp32(model: Any, before: dict[str, Any]) -> None:
    """Give the adapter the fp32 weights that it had before a trainer was built around it.

    TRL casts the adapter of a quantised model to bf16, in which small steps round away, and in which it is no longer
    equal to the reference that TRL copied before the cast.
    """
    for name, weight in model.named_parameters():
        if name in before:
            weight.data = before[name]


def save_adapter(run: Run, model: Any, folder: Path, config: RunConfig) -> None:
    """The adapter with its model card, whole or not at all."""
    draft = folder.with_name(f".{folder.name}.draft")
    try:
        write_adapter(run, model, draft, config)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # where the disk was full, it has room again to say so


def write_adapter(run: Run, model: Any, folder: Path, config: RunConfig, step: str = "") -> None:
    """Weights, settings and model card of the adapter. step: which one of the run it is, in words, where that is not the last."""
    model.save_pretrained(folder, safe_serialization=True, selected_adapters=["default"])
    if run.reward_file.is_file():
        shutil.copy2(run.reward_file, folder / "reward.json")
    rows = run.log().rows
    known = run.environment() | {"seconds": trained_seconds(rows), "step": step}
    write_text(folder / "README.md", model_card(config, known, results(rows, config), fork_of(run)))
