"""python worker.py PLAN: the real worker, through the real Unsloth on a card that is only pretended.

PLAN   a file with a JSON list of what to train, one after the other in this process:
       {"run": its folder, "dtype": in which it computes, "pause": the step after which it is told to pause,
       "resume": true for a run that another process pauses first, "processors": how many Unsloth is told of}
NOTES  a file; each moment of a stage adds a line of JSON with what the model is like then
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import interpreter
import pretended_card
import psutil
import replaced_kernels

PATIENCE = 600  # seconds, for a run that another process pauses


def note(**facts: object) -> None:
    with open(os.environ["NOTES"], "a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def facts_of(report: Any, step: int, model: Any) -> dict[str, Any]:
    """What training depends on, and what Unsloth's way to answer could have left behind."""
    layers = [module for module in model.modules() if hasattr(module, "self_attn") and hasattr(module, "mlp")]
    return {
        "run": report.run.name,
        "stage": report.stage,
        "step": step,
        "training": model.training,
        "use_cache": model.config.use_cache,
        "checkpointing": [
            str(one.gradient_checkpointing) for one in model.modules() if "gradient_checkpointing" in vars(one)
        ],
        "copies": sum("_fast_lora" in vars(weight) for weight in model.parameters()),
        "adapters": sorted(model.peft_config),
        "trained": sorted({str(weight.dtype) for weight in model.parameters() if weight.requires_grad}),
        "fused": sorted(
            {
                f"{one.self_attn.apply_qkv.__name__} {one.self_attn.apply_o.__name__} {one.mlp.forward.__name__}"
                for one in layers
            }
        ),
    }


def take_notes(plan: dict[str, dict[str, Any]]) -> None:
    """Before and after each evaluation, and after each step; and have a run pause where its plan says so."""
    from workbench.engine import report
    from workbench.store.runs import PAUSE

    callback = report.ReportCallback
    evaluated, ended = callback.on_evaluate, callback.on_step_end

    def on_evaluate(self: Any, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        note(moment="evaluated", **facts_of(self, state.global_step, model))
        evaluated(self, args, state, control, model=model, **more)
        note(moment="answered", **facts_of(self, state.global_step, model))

    def on_step_end(self: Any, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        moments = sorted({str(of["exp_avg"].dtype) for of in more["optimizer"].state.values() if "exp_avg" in of})
        note(moment="step", moments=moments, **facts_of(self, state.global_step, model))
        if state.global_step == plan[str(self.run.folder)].get("pause"):
            self.run.stop_file.write_text(PAUSE)
        ended(self, args, state, control, model=model, **more)

    callback.on_evaluate, callback.on_step_end = on_evaluate, on_step_end


def compute_in(dtype: str) -> None:
    """Have the next run compute in a type, as a precision and a card would decide. fp32 is what a CPU computes in."""
    from workbench.core.training import recipe
    from workbench.engine import load

    recipe.compute_dtype = load.compute_dtype = lambda device: dtype
    # Where a card has bf16 Unsloth computes in that, whatever it is told.
    pretended_card.Properties.has_bf16 = dtype == "bfloat16"
    # What is cached of a reference is that of a card: a card computes in one type.
    pretended_card.Properties.name = f"a pretended card that computes in {dtype}"


def change_unsloth_where_it_is_imported(plan: dict[str, dict[str, Any]]) -> None:
    """The worker imports it before anything of Transformers, and so does this, at the same place."""
    from workbench.engine import load

    known = load._load_with_unsloth

    def load_with_unsloth(ref: Any, folder: Path, precision: Any, device: Any, max_length: int) -> Any:
        if "unsloth" not in sys.modules:
            # What Unsloth writes as it is imported; two processes must not write it at once.
            os.environ["UNSLOTH_COMPILE_LOCATION"] = str(Path(os.environ["NOTES"]).with_suffix(f".{os.getpid()}"))
            with pretended_card.that_has_bf16():
                import unsloth  # noqa: F401

            interpreter.take_few_large_programs()
            note(moment="replaced", differences=replaced_kernels.replace())
            fuse_in_fp32_too()
            take_notes(plan)
        return known(ref, folder, precision, device, max_length)

    load._load_with_unsloth = load_with_unsloth


def pretend_processors(count: int) -> None:
    """Unsloth would prepare rows in half as many processes; with one in none, which takes the least time here."""
    psutil.cpu_count = lambda logical=True: count
    os.sched_getaffinity = lambda pid: set(range(count))


def fuse_in_fp32_too() -> None:
    """Unsloth's own forward and backward of base and adapter in one, which it takes where weights have 16 bits: what is to
    be compared is what a card would compute, and fp32 shows the last digit of a fault."""
    import torch
    from unsloth.models import llama

    llama._base_weight_dtype = lambda layer: torch.bfloat16


def fail_where_it_would_begin_again() -> None:
    """A worker that Unsloth refused would begin again, without Unsloth and without the pretended card."""

    def execv(program: str, command: list[str]) -> None:
        traceback.print_exc()
        why = os.environ.get("WORKBENCH_WITHOUT_UNSLOTH", "a stale reference, or memory that ran out")
        raise SystemExit(f"The worker was about to begin again: {why}")

    os.execv = execv


def wait_for_the_end_of(folder: Path) -> None:
    """Of its earlier life in another process."""
    until = time.monotonic() + PATIENCE
    while not (folder / "result.json").is_file():
        assert time.monotonic() < until, f"{folder.name} was not paused"
        time.sleep(0.2)


def main(plan: list[dict[str, Any]]) -> int:
    pretended_card.pretend()
    interpreter.round_bf16_honestly()

    from workbench.engine import train
    from workbench.store.runs import Run

    change_unsloth_where_it_is_imported({one["run"]: one for one in plan})
    fail_where_it_would_begin_again()
    for one in plan:
        run = Run(Path(one["run"]))
        if one.get("resume"):
            wait_for_the_end_of(run.folder)
            run.forget_end()
        compute_in(one.get("dtype", "float32"))
        pretend_processors(one.get("processors", 1))
        began = time.monotonic()
        if code := train.main(one["run"]):
            return code
        print(f"{run.name}: {run.result()}, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
