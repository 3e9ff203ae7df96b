"""python tests/gpu/other_card.py RUN: the real worker, on a card that is made smaller or older than it is.

CARD_SHARE     the part of the card's memory that PyTorch may take
CARD_GIB       the worker takes the card for one of so many GiB, of which a desktop and CUDA itself have their part
CARD_IS_OLD    set: the card computes in fp16, as those before 2020 do that have no bf16
RUNS_OUT_AT    the step at which the first life of the worker finds no memory left
DIES_AT        the step after which it kills itself
UNSLOTH_FAILS  set: what Unsloth says of the model, instead of an adapter on it
NOTES          a file; each life of the worker adds a line of JSON: the free bytes of the card at its start, and at each
               step the types of the trained weights and the most bytes that PyTorch had reserved by then
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

COMMAND = [sys.executable, os.path.abspath(__file__)]

GIB = 2**30
DESKTOP = GIB


def note(**facts: object) -> None:
    if place := os.environ.get("NOTES"):
        with open(place, "a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


@contextlib.contextmanager
def changed() -> Iterator[None]:
    """The worker as the environment wants it, for as long as this is open."""
    import torch

    from workbench.engine import train

    found, train_stages = train.this_device, train.train_stages

    def this_device() -> Any:
        device = found()
        gib = float(os.environ.get("CARD_GIB", 0))
        return dataclasses.replace(
            device,
            bf16=device.bf16 and not os.environ.get("CARD_IS_OLD"),
            memory=int(gib * GIB) or device.memory,
        )

    def watched_stages(*arguments: Any) -> Any:
        # Not before the model is loaded: it imports TRL, which Unsloth patches where it is imported first.
        from workbench.engine.report import ReportCallback

        step_ended = ReportCallback.on_step_end

        def on_step_end(self: Any, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
            types = {str(weight.dtype) for weight in model.parameters() if weight.requires_grad}
            note(
                stage=self.stage, step=state.global_step, types=sorted(types), reserved=torch.cuda.max_memory_reserved()
            )
            step_ended(self, args, state, control, model=model, **more)
            if os.environ.get("DIES_AT") == str(state.global_step):
                os.kill(os.getpid(), signal.SIGKILL)
            if os.environ.get("RUNS_OUT_AT") == str(state.global_step):
                del os.environ["RUNS_OUT_AT"]
                raise MemoryError("DefaultCPUAllocator: can't allocate memory")

        with mock.patch.object(ReportCallback, "on_step_end", on_step_end):
            return train_stages(*arguments)

    on_card = torch.cuda.is_available()
    note(free=torch.cuda.mem_get_info()[0] if on_card else 0)
    if on_card and (share := _share(torch)):
        torch.cuda.set_per_process_memory_fraction(share)
    with (
        mock.patch.object(train, "this_device", this_device),
        mock.patch.object(train, "train_stages", watched_stages),
    ):
        yield


def _share(torch: Any) -> float:
    from workbench.core.memory.forecast import CUDA_CONTEXT

    if gib := float(os.environ.get("CARD_GIB", 0)):
        whole = torch.cuda.get_device_properties(0).total_memory
        return min(1.0, (gib * GIB - DESKTOP - CUDA_CONTEXT) / float(whole))
    return float(os.environ.get("CARD_SHARE", 0))


def let_unsloth_fail() -> None:
    if words := os.environ.get("UNSLOTH_FAILS"):
        # Before anything of Transformers, as the worker itself does.
        from unsloth import FastLanguageModel

        def get_peft_model(*_: object, **__: object) -> None:
            raise NotImplementedError(words)

        FastLanguageModel.get_peft_model = staticmethod(get_peft_model)


def stay_other() -> None:
    """Have a worker that begins anew begin as this one did. Without Unsloth it no longer fails."""
    execute = os.execv

    def execv(program: str, command: list[str]) -> None:
        os.environ.pop("UNSLOTH_FAILS", None)
        execute(program, [program, __file__, command[-1]])

    os.execv = execv


if __name__ == "__main__":
    let_unsloth_fail()
    stay_other()
    from workbench.engine import train as worker

    with changed():
        sys.exit(worker.main(sys.argv[1]))
