"""Runs and data that tests need to be there, made without training; and the one config that is trained for all of them."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from configs import demo_config

from workbench.core.training.config import RunConfig
from workbench.store import datasets
from workbench.store.datasets import Provenance
from workbench.store.datasets.folders import folder_of
from workbench.store.runs import Run, claim_folder

SMALL = {"batch_size": 4, "held_out_limit": 8, "evaluations": 1, "max_length": 128}
TWO_STEPS = {"learning_rate": 2e-4, "max_steps": 2}
FEW = {"sft_data": ("few-answers", "demo-sft"), "preference_data": ("few-pairs", "demo-preferences")}


def few_rows() -> dict[str, str]:
    """Settings that name 120 rows of each demo dataset, of which 12 are held out. They are stored where they are not yet.

    A trainer prepares all rows before its first step: 1,600 take longer than the few steps that a test looks at.
    """
    stored = datasets.names()
    for name, demo in FEW.values():
        if name not in stored:
            shutil.copytree(_few_rows_of(name, demo), folder_of(name))
    return {setting: name for setting, (name, _) in FEW.items()}


@functools.cache
def _few_rows_of(name: str, demo: str) -> Path:
    """A dataset's folder outside every home, stored once for all tests of this process."""
    kept = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, kept)
    datasets.add(enumerate(datasets.read(demo, "train", 120), 1), name, source=Provenance("a test"))
    return Path(shutil.move(folder_of(name), kept))


def first_settings() -> dict[str, Any]:
    """Two steps of DPO on few rows: how the run is trained that the fixture first_run copies."""
    return SMALL | few_rows() | {"method": "dpo", "sft_data": None, "dpo": TWO_STEPS}


def both_settings() -> dict[str, Any]:
    """Three steps of SFT, then three of DPO, two batches each: how the run is trained that exported scripts repeat."""
    own = {"sft": {"learning_rate": 1e-3, "max_steps": 3}, "dpo": {"learning_rate": 2e-4, "max_steps": 3}}
    return SMALL | few_rows() | own | {"accumulation": 2}


def judge_settings() -> dict[str, Any]:
    """Ten steps of a reward model: how the run is trained that the fixture judge copies."""
    steps = {"learning_rate": 5e-4, "max_steps": 10, "epochs": 2}
    return SMALL | few_rows() | {"method": "reward", "sft_data": None, "batch_size": 8, "reward": steps}


def answering_settings() -> dict[str, Any]:
    """Two steps of RLOO with answers of 16 tokens at most, scored by the run `judge`."""
    own = {"reward_run": "judge", "group_size": 2, "answer_tokens": 16, "learning_rate": 1e-3, "max_steps": 2}
    return SMALL | few_rows() | {"method": "rloo", "sft_data": None, "rloo": own}


def create_run(config: RunConfig) -> Run:
    """A new folder with the config in it, and nothing else of a run."""
    run = claim_folder(config.name)
    run.write_config(config)
    return run


def finished(name: str, **changes) -> Run:
    """The folder of a run that has an adapter, without the training."""
    run = create_run(demo_config(name, **changes))
    run.adapter.mkdir()
    rank = run.config().adapter.rank
    (run.adapter / "adapter_model.safetensors").write_bytes(_matrix_of_rank(rank))
    (run.adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank}))
    return run


def _matrix_of_rank(rank: int) -> bytes:
    """A safetensors file with the zeros of one matrix A."""
    tensor = {"dtype": "F32", "shape": [rank, 1], "data_offsets": [0, 4 * rank]}
    header = json.dumps({"base_model.model.q_proj.lora_A.weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * rank)


def store_thumbs(name: str = "thumbs", pairs: int = 24) -> datasets.About:
    """An unpaired dataset out of demo pairs: the chosen answers are liked."""
    rows = [
        {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
        for pair in datasets.read("demo-preferences", "train", pairs)
        for side in ("chosen", "rejected")
    ]
    return datasets.add(enumerate(rows, 1), name, source=Provenance("a test"))


def reward_run(name: str = "judge", **changes: Any) -> Run:
    """The folder of a finished reward run, without the training: on 80 held-out pairs it is right in 95 %."""
    run = finished(name, **{"method": "reward", "sft_data": None} | changes)
    facts = {"mean": 1.0, "std": 2.0, "accuracy": 0.95, "pairs": 80}
    (run.adapter / "reward.json").write_text(json.dumps(facts))
    return run
