"""The forecast of memory: its parts for the models of presets/, and beside what real steps take.

    python tests/benchmarks/memory_parts.py [--method dpo] [--measure] [--gigabytes 8]

Without --measure only tables of the forecast, for lengths of 512 to 4,096 tokens; nothing is loaded. With it a grid of
method, model, length, batch and checkpointing, on random weights: on a CUDA card models of
presets/ in their real shapes, and the peak that PyTorch allocated over two steps (CUDA's own share printed apart); on a
CPU small Llamas, and the peak of one step's allocations added to what is stored. The ratio is forecast over measured;
the aim is 1.00 to 1.15, and never below 1.00. RLOO writes
answers of a quarter of the length, which a reward model on the same base scores. --gigabytes makes the card as small as that
(set_per_process_memory_fraction), and the last column says what then happened to the verdict: a run that "fits" must end.
"""

import argparse
import contextlib
import functools
import gc
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from model_memory import passing_peak, tiny_model, trainer_for  # noqa: E402

from workbench.core.memory.architectures import shape_of  # noqa: E402
from workbench.core.memory.forecast import Companions, Objective, forecast, stored  # noqa: E402
from workbench.core.memory.plan import verdict  # noqa: E402
from workbench.core.training.config import RunConfig, read_config  # noqa: E402
from workbench.core.training.methods import METHODS  # noqa: E402
from workbench.core.training.recipe import Device  # noqa: E402
from workbench.store.model_configs import preset_configs, suggestions  # noqa: E402

LENGTHS = (512, 1024, 2048, 4096)
CARD = Device("cuda", "a card with bf16", True)

# Small and large vocabularies, one family with norms inside its heads.
ON_A_CARD = ("HuggingFaceTB/SmolLM2-360M-Instruct", "Qwen/Qwen3-0.6B", "meta-llama/Llama-3.2-1B-Instruct")
SIZES_ON_A_CARD = ((256, 2), (1024, 2), (2048, 4), (4096, 2))  # tokens, batch


METHODS_MEASURED = ("dpo", "orpo", "sft", "reward", "rloo")


@dataclass(frozen=True)
class Case:
    """One point of the grid. model: of presets/ by its id, or the size of the vocabulary of a small Llama."""

    method: Objective
    length: int
    batch: int
    model: str
    checkpointing: bool

    def config(self) -> RunConfig:
        return read_config(
            {
                "name": "memory",
                "method": self.method,
                "rloo": {"reward_run": "judge", "group_size": 2, "answer_tokens": max(8, self.length // 4)},
                "preference_data": "pairs",
                "thumbs_data": "thumbs",
                "batch_size": self.batch,
                "accumulation": 2 if METHODS[self.method].online and self.batch % 2 else 1,
                "max_length": self.length,
                "gradient_checkpointing": self.checkpointing,
            }
        )


@dataclass(frozen=True)
class Measured:
    """A point, what was said of it and what it took, in bytes. took: None where it ran out of memory."""

    case: Case
    said: int  # without CUDA's own share, which PyTorch does not count
    verdict: str  # of the whole on the card as large as it was made
    took: int | None

    @property
    def ratio(self) -> float | None:
        return self.said / self.took if self.took else None


def tables(method: Objective) -> None:
    """Parts of every preset model, one pair (or example) at a time, at every length."""
    for model in suggestions():
        print(
            f"\n{model.title} ({model.shape.parameters / 1e9:.2f} billion), {method}, batch {2 if method == 'kto' else 1}, rank 16, GB"
        )
        for length in LENGTHS:
            config = Case(method, length, 2 if method == "kto" else 1, "", True).config()
            found = forecast(model.shape, config, method, CARD)
            parts = "  ".join(f"{part} {size / 1e9:.2f}" for part, size in found.parts.items())
            print(f"{length:>6}: total {found.total / 1e9:6.2f}   {parts}   ({found.moment})")


def grid(device: Device) -> Iterator[Case]:
    """Without checkpointing only the short ones: the others are what nobody would try."""
    if not device.is_cuda:
        for method, length, batch, vocabulary, checkpointing in product(
            METHODS_MEASURED, (64, 256), (1, 2), ("1536", "8192"), (True, False)
        ):
            yield Case(method, length, batch, vocabulary, checkpointing)  # type: ignore[arg-type]
        return
    for model, (length, batch), method in product(ON_A_CARD, SIZES_ON_A_CARD, (*METHODS_MEASURED, "kto")):
        yield Case(method, length, batch, model, True)  # type: ignore[arg-type]
        if length * batch <= 1024:
            yield Case(method, length, batch, model, False)  # type: ignore[arg-type]


def model_values(case: Case) -> Mapping[str, Any]:
    """What config.json says of the model."""
    if not case.model.isdecimal():
        return preset_configs()[case.model]
    return {
        "model_type": "llama",
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "vocab_size": int(case.model),
        "tie_word_embeddings": True,
        "max_position_embeddings": 8192,
    }


@functools.lru_cache(1)
def base_on_a_card(model: str, device: Device, scores: bool) -> Any:
    """The random model, loaded once for all cases of it that lie beside each other."""
    return tiny_model(preset_configs()[model], "nf4", device, scores=scores)


def on_a_card(case: Case, device: Device) -> int | None:
    """Most bytes that PyTorch had allocated over two steps; None where they were not enough."""
    import torch

    trainer = None
    try:
        base = base_on_a_card(case.model, device, METHODS[case.method].scores)
        base.gradient_checkpointing_disable()
        trainer = trainer_for(model_values(case), case.config(), case.method, device, base)
        torch.cuda.reset_peak_memory_stats()
        trainer.train()
        peak = int(torch.cuda.max_memory_allocated())
        trainer.model.unload()
        return peak
    except torch.cuda.OutOfMemoryError:
        base_on_a_card.cache_clear()  # what it left in the model is not known
        return None
    finally:
        del trainer
        gc.collect()
        torch.cuda.empty_cache()


def on_a_cpu(case: Case, device: Device) -> int:
    values, config = model_values(case), case.config()
    fixed = sum(stored(shape_of(values), config, case.method, device, Companions()).values())
    return fixed + passing_peak(values, config, case.method)


def measure(device: Device, gigabytes: float | None = None) -> list[Measured]:
    """The grid, forecast beside measured; each line is printed as it is found. gigabytes: how small to make the card."""
    import torch

    if device.is_cuda:
        own = _cuda_itself()
        print(f"CUDA itself takes {own / 1e9:.2f} GB here before the first layer.")
        if gigabytes:
            torch.cuda.set_per_process_memory_fraction(max(0.0, gigabytes * 1e9 - own) / device.memory)
    found = []
    print(
        f"{'method':<7}{'length':>7}{'batch':>6}  {'model':<36}{'ckpt':<5}{'forecast':>10}{'measured':>10}{'ratio':>8}"
    )
    for case in grid(device):
        expected = forecast(shape_of(model_values(case)), case.config(), case.method, device)
        with _quiet():
            took = on_a_card(case, device) if device.is_cuda else on_a_cpu(case, device)
        room = int(gigabytes * 1e9) if gigabytes else device.memory
        said = expected.total - expected.parts["context"]
        found.append(Measured(case, said, verdict(expected.total, room), took))
        print(_line(found[-1]), flush=True)
    ratios = sorted(one.ratio for one in found if one.ratio)
    print(f"{len(ratios)} cases: {ratios[0]:.3f} to {ratios[-1]:.3f}, median {ratios[len(ratios) // 2]:.3f}")
    return found


def _line(one: Measured) -> str:
    case = one.case
    return (
        f"{case.method:<7}{case.length:>7}{case.batch:>6}  {case.model:<36}{'yes' if case.checkpointing else 'no':<5}"
        f"{one.said / 1e6:>8.0f}MB{(one.took or 0) / 1e6:>8.0f}MB{one.ratio or 0:>8.3f}"
        f"   said {one.verdict}, {'ran' if one.took else 'ran out of memory'}"
    )


def _cuda_itself() -> int:
    """What the card lacks once this process has multiplied two matrices, without what PyTorch holds itself."""
    import torch

    free_before, _ = torch.cuda.mem_get_info()
    matrix = torch.ones(256, 256, device="cuda", dtype=torch.bfloat16)
    matrix @ matrix
    torch.cuda.synchronize()
    free_after, total = torch.cuda.mem_get_info()
    # mem_get_info itself makes the context, so what was missing before counts too; a card that others use shows more.
    return total - free_after - torch.cuda.memory_reserved() if free_before <= total else 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=(*METHODS_MEASURED, "kto"), default="dpo")
    parser.add_argument("--measure", action="store_true", help="take real steps on a random model")
    parser.add_argument("--gigabytes", type=float, help="pretend that the card has so many (10^9 bytes)")
    options = parser.parse_args()
    if not options.measure:
        return tables(options.method)
    from workbench.engine.device import this_device

    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="memory-parts-")  # for what is kept of references
    measure(this_device(), options.gigabytes)


if __name__ == "__main__":
    main()
