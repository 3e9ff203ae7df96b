"""Runs and data that tests need to be there, made without training."""

import json

from configs import demo_config

from workbench.store import datasets
from workbench.store.datasets import Provenance
from workbench.store.runs import Run, create_run


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
