"""Weights that are unpacked once for a stage on a CPU change nothing of what is learned."""

import pytest
import torch
from configs import demo_config
from made_runs import create_run

from workbench.engine import unpacked
from workbench.store.adapter_files import WEIGHTS


def learned(name: str) -> tuple[dict, list[float]]:
    from safetensors.torch import load_file

    from workbench.engine import train

    run = create_run(demo_config(name, method="dpo", sft_data=None, dpo={"max_steps": 3}))
    assert train.main(str(run.folder)) == 0, run.result()
    return load_file(run.adapter / WEIGHTS), [row["loss"] for row in run.metrics() if "loss" in row]


@pytest.mark.slow
def test_a_run_learns_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    real = unpacked.room_beside
    monkeypatch.setattr("workbench.engine.stage.room_beside", lambda needed: taken.append(real(needed)) or taken[-1])
    with_room, losses = learned("roomy")
    assert taken and taken[0] > 2**28, "there was room, so weights were unpacked"
    monkeypatch.setattr("workbench.engine.stage.room_beside", lambda needed: 0)
    without, others = learned("tight")
    assert losses == others
    assert with_room.keys() == without.keys()
    assert all(torch.equal(with_room[name], without[name]) for name in with_room)
