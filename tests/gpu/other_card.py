"""python tests/gpu/other_card.py RUN: the real worker, on a card that is made smaller or older than it is.

CARD_SHARE     the part of the card's memory that PyTorch may take
CARD_IS_OLD    set: the card computes in fp16, as those before 2020 do that have no bf16
UNSLOTH_FAILS  set: what Unsloth says of the model, instead of an adapter on it
NOTES          a file; each life of the worker adds a line of JSON: the free bytes of the card at its start, and at each
               step the types of the trained weights and the most bytes that PyTorch had reserved by then
"""

import dataclasses
import json
import os
import sys

import torch

from workbench.engine import report, train


def note(**facts: object) -> None:
    with open(os.environ["NOTES"], "a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def change_the_card() -> None:
    if share := os.environ.get("CARD_SHARE"):
        torch.cuda.set_per_process_memory_fraction(float(share))
    if os.environ.get("CARD_IS_OLD"):
        found = train.this_device()
        train.this_device = lambda: dataclasses.replace(found, bf16=False)


def let_unsloth_fail() -> None:
    if words := os.environ.get("UNSLOTH_FAILS"):
        # Before anything of Transformers, as the worker itself does.
        from unsloth import FastLanguageModel

        def get_peft_model(*_: object, **__: object) -> None:
            raise NotImplementedError(words)

        FastLanguageModel.get_peft_model = staticmethod(get_peft_model)


def take_notes() -> None:
    step_ended = report.ReportCallback.on_step_end

    def on_step_end(self, args, state, control, model=None, **more):
        types = {str(weight.dtype) for weight in model.parameters() if weight.requires_grad}
        note(stage=self.stage, step=state.global_step, types=sorted(types), reserved=torch.cuda.max_memory_reserved())
        step_ended(self, args, state, control, model=model, **more)

    report.ReportCallback.on_step_end = on_step_end


def stay_other() -> None:
    """Have a worker that begins anew begin as this one did. Without Unsloth it no longer fails."""
    execute = os.execv

    def execv(program: str, command: list[str]) -> None:
        os.environ.pop("UNSLOTH_FAILS", None)
        execute(program, [program, __file__, command[-1]])

    os.execv = execv


if __name__ == "__main__":
    note(free=torch.cuda.mem_get_info()[0])
    let_unsloth_fail()
    change_the_card()
    take_notes()
    stay_other()
    sys.exit(train.main(sys.argv[1]))
