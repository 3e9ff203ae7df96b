"""Memory of a step of DPO or KTO by three ways to the log-probabilities, on a card that is only counted (tests/pretended_card.py).

    python tests/benchmarks/step_memory.py [--model Qwen/Qwen3-0.6B] [--length 1024] [--batch 4]

The ways are the workbench's (engine/reading.py), TRL's own path in chunks, which it takes with liger-kernel, and TRL's path with
all logits in fp32. Counted is what lives for moments: the peak of a step without weights, adapter and optimizer. "apart": the two
answers of a pair share nothing, and every second is an eighth shorter than the longest; "half": they share half of the longest.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from memory_parts import Case  # noqa: E402
from memory_parts import _quiet as quiet  # noqa: E402
from pretended_card import peak_of_step  # noqa: E402

from workbench.store.model_configs import preset_configs  # noqa: E402


def in_chunks(trainer: Any) -> None:
    """TRL's path, as it is without the workbench's."""
    trls = next(one for one in type(trainer).__mro__ if one.__module__.startswith("trl."))
    trainer._get_per_token_logps_and_entropies = MethodType(trls._get_per_token_logps_and_entropies, trainer)


def with_all_logits(trainer: Any) -> None:
    trainer.use_liger_kernel = False


WAYS: dict[str, Callable[[Any], None] | None] = {
    "workbench": None,
    "TRL in chunks": in_chunks,
    "TRL, all logits": with_all_logits,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="Qwen/Qwen3-0.6B", help="one of presets/models.toml")
    parser.add_argument("--length", type=int, default=1024, help="max length in tokens")
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    values = preset_configs()[options.model]
    print(f"{options.model}, {options.batch} x {options.length} tokens, MB that live for moments")
    print(f"{'method':<8}{'rows':<8}" + "".join(f"{name:>18}" for name in WAYS) + f"{'/ chunks':>12}{'/ all':>8}")
    for method, rows, shared in (("dpo", "apart", 0.0), ("dpo", "half", 0.5), ("kto", "apart", 0.0)):
        config = Case(method, options.length, options.batch, options.model, True).config()
        found = []
        for prepare in WAYS.values():
            with quiet():
                card = peak_of_step(values, config, method, shared=shared, prepare=prepare)
            found.append(card.peak - card.held)
        ours, chunks, everything = found
        print(
            f"{method:<8}{rows:<8}"
            + "".join(f"{size / 1e6:>18.0f}" for size in found)
            + f"{ours / chunks:>12.3f}{ours / everything:>8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
