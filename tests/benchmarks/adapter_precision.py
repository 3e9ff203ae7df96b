"""The adapter in fp32, as the workbench trains it, against the cast to bf16 that TRL makes: what each learns and takes.

    python tests/benchmarks/adapter_precision.py [--steps 200] [--seeds 17 18] [--rates 5e-6 2e-5 2e-4] [--only memory]

Margin: DPO runs of the real worker on the demo model in NF4, the same but for the cast; the held-out reward margin after
the last step. In bf16 a weight has 8 bits of mantissa, so that an update below 0.4 % of it rounds away.

Memory: the peak of one DPO step by PyTorch's record of allocations on a CPU, on a random model that computes in bf16 as
on a card; adapter, gradients and moments are in it, which in fp32 take 16 bytes per weight of the adapter instead of 8.
With a base model in bf16 PEFT copies each adapter's input to fp32, and without checkpointing keeps the copies for the
way back, unless it is told not to (engine/train.py does so); autocast turns the copies back to bf16, so that the
numbers are the same. With one in NF4 PEFT makes no copies under CUDA's autocast; it does not know the CPU's, so here it
is told not to, to have what a card has.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from workbench.core.monitoring.metrics import latest  # noqa: E402
from workbench.core.training.config import read_config  # noqa: E402
from workbench.core.training.recipe import Device  # noqa: E402

ADAPTERS = ("bf16", "fp32")
CARD = Device("cuda", "a card with bf16", True)
SHAPE = {
    "model_type": "llama",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 8192,
    "tie_word_embeddings": True,
}


def worker(adapter: str, folder: str) -> int:
    """The real worker; for bf16 without the step that gives the adapter its fp32 weights back."""
    from workbench.engine import adapters, train

    if adapter == "bf16":
        adapters.restore_fp32 = lambda model, before: None
    return train.main(folder)


def margin(adapter: str, rate: float, steps: int, seed: int) -> float:
    """Held-out reward margin at the end of a run."""
    from workbench.jobs import training

    config = read_config(
        {
            "name": f"{adapter}-{rate:g}-{seed}-{time.time_ns()}",
            "method": "dpo",
            "preference_data": "demo-preferences",
            "precision": "nf4",
            "batch_size": 4,
            "accumulation": 1,
            "max_length": 160,
            "gradient_checkpointing": False,
            "evaluations": 1,
            "held_out_limit": 112,
            "checkpoint_steps": steps,
            "seed": seed,
            "dpo": {"learning_rate": rate, "max_steps": steps},
        }
    )
    run = training.start(config, worker=[sys.executable, __file__, "--worker", adapter])
    while training.state_of(run) == "running":
        time.sleep(0.5)
    found = latest(run.metrics(), "eval_rewards/margins", "dpo")
    assert training.state_of(run) == "finished" and found is not None, training.summary(run)
    return found


def margins(rates: list[float], steps: int, seeds: list[int]) -> None:
    """A line for each learning rate: medians over the seeds, and the ratio seed by seed."""
    print(f"held-out margin after {steps} steps, medians of {len(seeds)} seeds")
    print(f"{'rate':>8}{'TRL, bf16':>12}{'fp32':>12}{'ratio':>8}   ratio by seed")
    for rate in rates:
        found = {adapter: [margin(adapter, rate, steps, seed) for seed in seeds] for adapter in ADAPTERS}
        low, high = (statistics.median(found[adapter]) for adapter in ADAPTERS)
        by_seed = " ".join(f"{ours / theirs:.2f}" for theirs, ours in zip(found["bf16"], found["fp32"], strict=True))
        print(f"{rate:>8.0e}{low:>12.5f}{high:>12.5f}{high / low:>8.2f}   {by_seed}", flush=True)


def peak(weights: str, adapter: str, copies: bool, length: int, batch: int, checkpointing: bool) -> int:
    """Bytes at the worst moment of a step, without those of the base model.

    weights: of the base model, "nf4" or "bf16". copies: whether PEFT may copy inputs to the type of the adapter.
    """
    import torch
    from model_memory import highest, tiny_model, with_adapter
    from peft.helpers import disable_input_dtype_casting
    from torch.profiler import ProfilerActivity, profile

    config = read_config(
        {"name": "memory", "method": "dpo", "preference_data": "pairs", "batch_size": batch, "max_length": length}
    )
    model = with_adapter(tiny_model(SHAPE, weights, CARD, place="cpu"), config)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:
        weight.data = weight.data.to(torch.bfloat16 if adapter == "bf16" else torch.float32)
    model.enable_input_require_grads()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    ids = torch.randint(0, SHAPE["vocab_size"], (2 * batch, length), generator=torch.Generator().manual_seed(1))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16), disable_input_dtype_casting(model, active=not copies):
            logits = model(input_ids=ids).logits.float()
            picked = torch.log_softmax(logits[:, :-1], -1).gather(-1, ids[:, 1:, None]).sum((1, 2))
            loss = -torch.nn.functional.logsigmoid(0.1 * (picked[:batch] - picked[batch:])).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    step()  # makes gradients and moments
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    moments = [part for state in optimizer.state.values() for part in state.values()]
    return highest(record) + sum(part.nbytes for part in [*trained, *(one.grad for one in trained), *moments])


def memory() -> None:
    """A line for each kind of step: the peak with TRL's cast, and ours over it."""
    print("peak of a step without the base model, MB")
    print(
        f"{'weights':<9}{'length':>7}{'pairs':>6}{'ckpt':>6}{'TRL, bf16':>12}{'fp32, copies':>14}{'fp32':>10}{'ratio':>8}"
    )
    for weights, (length, batch, checkpointing) in product(
        ("nf4", "bf16"), ((256, 1, True), (256, 4, True), (256, 1, False))
    ):
        with _quiet():
            theirs = peak(weights, "bf16", False, length, batch, checkpointing)
            copied = peak(weights, "fp32", True, length, batch, checkpointing) if weights == "bf16" else 0
            ours = peak(weights, "fp32", False, length, batch, checkpointing)
        print(
            f"{weights:<9}{length:>7}{batch:>6}{'yes' if checkpointing else 'no':>6}{theirs / 1e6:>12.1f}"
            f"{f'{copied / 1e6:.1f}' if copied else 'none':>14}{ours / 1e6:>10.1f}{ours / theirs:>8.3f}",
            flush=True,
        )


@contextlib.contextmanager
def _quiet() -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18])
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-6, 2e-5, 2e-4])
    parser.add_argument("--only", choices=("memory", "margin"), help="one of the two tables")
    parser.add_argument("--worker", choices=ADAPTERS, help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.folder)
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="adapter-precision-")
    if options.only != "margin":
        memory()
    if options.only != "memory":
        margins(options.rates, options.steps, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
