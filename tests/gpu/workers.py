"""Runs of the real worker: in a process of its own on a card, in the test's own and in a small size in a dry run."""

import contextlib
import gc
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import other_card
import pytest
from configs import demo_config
from made_runs import create_run, few_rows, store_thumbs
from real_runs import ended

from workbench.core.training.config import RunConfig
from workbench.jobs import training
from workbench.store.runs import Run

DRY_RUN = "WORKBENCH_GPU_DRY_RUN"
DRY = bool(os.environ.get(DRY_RUN))
"""Set by `run_all.py --dry-run`: no card is needed, and nothing that is measured means anything."""

MINUTES = 6 * 60.0  # the first run through Unsloth compiles its kernels

FULL: dict[str, Any] = {
    "checkpoint_steps": 1,
    "sft": {"learning_rate": 1e-3, "max_steps": 8},
    **{stage: {"learning_rate": 2e-4, "max_steps": 16} for stage in ("dpo", "kto", "orpo", "simpo")},
    "reward": {"learning_rate": 5e-4, "max_steps": 16},
}
SMALL: dict[str, Any] = {
    "batch_size": 4, "max_length": 128, "held_out_limit": 8, "evaluations": 1, "checkpoint_steps": 1,
    **{stage: {"learning_rate": 1e-3, "max_steps": 2} for stage in ("sft", "dpo", "kto", "orpo", "simpo", "reward")},
}  # fmt: skip


def config_of(name: str, method: str, **changes: Any) -> RunConfig:
    """A run on the demo model; of few rows and steps in a dry run."""
    data = {"thumbs_data": store_thumbs().name} if method == "kto" else few_rows() if DRY else {}
    return demo_config(name, **(SMALL if DRY else FULL) | data | {"method": method} | changes)


def trained(config: RunConfig, on_other_card: bool = False) -> Run:
    """A run that has finished. on_other_card: its worker is that of other_card.py."""
    if not DRY:
        run = training.start(config, other_card.COMMAND if on_other_card else training.WORKER)
        assert ended(run, MINUTES) == "finished", training.summary(run) + run.log_tail()
        return run
    run = create_run(config)
    finish_here(run, on_other_card)
    return run


def finish_here(run: Run, on_other_card: bool = False) -> None:
    """Train a run to its end in this process; where it begins again, it does so here as well."""
    from workbench.engine import train

    with (
        other_card.changed() if on_other_card else contextlib.nullcontext(),
        mock.patch.object(train, "restart_worker", lambda folder: train.main(folder)),
    ):
        assert train.main(str(run.folder)) == 0, run.result()


def needs_memory(gigabytes: float) -> None:
    """Skips on a card that has less."""
    import torch

    if not DRY and torch.cuda.get_device_properties(0).total_memory < gigabytes * 1e9:
        pytest.skip(f"needs a card of {gigabytes:g} GB")


def last_step(stage: str) -> int:
    """The last step of a stage of `config_of`."""
    return int((SMALL if DRY else FULL)[stage]["max_steps"])


def folder_of_model(values: dict[str, Any], folder: Path) -> Path:
    """A model of random weights in bf16 with the demo's tokenizer: what is measured of it does not depend on their values."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from workbench.store.home import shipped

    torch.manual_seed(1)
    config = AutoConfig.for_model(**values | {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    gc.collect()
    torch.cuda.empty_cache()  # a worker in another process wants the card
    for file in (shipped("assets") / "demo" / "model").iterdir():
        if file.name.startswith("tokenizer") or file.suffix == ".jinja":
            shutil.copy2(file, folder / file.name)
    return folder
