"""The forecast of memory beside a card that is only counted: real trainers, models in their real shapes, no card.

    python tests/benchmarks/fake_card.py [--quick] [--model Qwen/Qwen3-4B-Instruct-2507] [--method dpo] [--explain]
    python tests/benchmarks/fake_card.py --presets    # each preset for a card, with the model of its list that needs most
    python tests/benchmarks/fake_card.py --cards      # what fits on which card; the forecast alone

Every tensor that a step makes is counted while it lives (tests/pretended_card.py). The ratios are forecast over counted: of all
that is on the card but CUDA itself, and of what lives for moments only (activations, logits, the reference's pass). Both must be
1.00 at least, the first 1.15 at most; ends with 1 where one is not. --explain names what lived at the peak, largest first.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from memory_parts import CARD  # noqa: E402
from memory_parts import Case as Point  # noqa: E402
from memory_parts import _quiet as quiet  # noqa: E402
from test_presets import DESKTOP, run_of  # noqa: E402

from workbench.core.memory.architectures import shape_of  # noqa: E402
from workbench.core.memory.forecast import Companions, forecast, stored  # noqa: E402
from workbench.core.memory.plan import plan  # noqa: E402
from workbench.core.training.config import RunConfig, Stage, read_config  # noqa: E402
from workbench.store import presets  # noqa: E402
from workbench.store.model_configs import preset_configs  # noqa: E402

MODELS = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B-Instruct-2507", "meta-llama/Llama-3.1-8B-Instruct")
STAGES: tuple[Stage, ...] = ("dpo", "sft", "reward", "rloo")
SIZES = ((512, 1), (512, 4), (1024, 2), (2048, 1))  # tokens, batch
QUICK = ((MODELS[0], "dpo", 512, 2), (MODELS[3], "dpo", 1024, 1))
LEAST, MOST = 1.0, 1.15


@dataclass(frozen=True)
class Case:
    """A step of a run on a model of presets/."""

    model: str
    stage: Stage
    config: RunConfig

    @property
    def values(self) -> Mapping[str, Any]:
        values = preset_configs()[self.model]
        # Told once for all layers in presets/configs.toml.
        each = {"layer_types": values["layer_types"] * values["num_hidden_layers"]} if "layer_types" in values else {}
        return {**values, **each}


@dataclass(frozen=True)
class Compared:
    """A case, what was said of it and what was counted, in bytes. stored: what is there for the whole stage."""

    case: Case
    said: int
    counted: int
    stored: int
    moment: str
    seconds: float
    found: Counter[str]

    @property
    def ratio(self) -> float:
        return self.said / self.counted

    @property
    def ratio_of_passing(self) -> float:
        return (self.said - self.stored) / (self.counted - self.stored)

    @property
    def is_right(self) -> bool:
        return LEAST <= self.ratio <= MOST and self.ratio_of_passing >= LEAST


def compare(case: Case, explain: bool = False) -> Compared:
    from pretended_card import peak_of_step  # imports all of PyTorch and TRL, which --cards needs not

    began = time.perf_counter()
    expected = forecast(shape_of(case.values), case.config, case.stage, CARD)
    held = sum(stored(shape_of(case.values), case.config, case.stage, CARD, Companions()).values())
    with quiet():
        card = peak_of_step(case.values, case.config, case.stage)
        if explain:
            card = peak_of_step(case.values, case.config, case.stage, watched=card.peak)
    said = expected.total - expected.parts["context"]
    return Compared(case, said, card.peak, held, expected.moment, time.perf_counter() - began, card.found)


def point(model: str, stage: Stage, length: int, batch: int, checkpointing: bool = True) -> Case:
    return Case(model, stage, Point(stage, length, batch, model, checkpointing).config())


def grid(models: tuple[str, ...], stages: tuple[Stage, ...]) -> Iterator[Case]:
    """Without checkpointing only what somebody would try."""
    for model, stage, (length, batch) in product(models, stages, SIZES):
        yield point(model, stage, length, batch)
        if length * batch <= 512:
            yield point(model, stage, length, batch, checkpointing=False)


def of_presets() -> Iterator[Case]:
    """Each preset for a card with the model that needs most. The optimizer is PyTorch's, as those of bitsandbytes need a card."""
    for recipe in presets.recipes():
        if recipe.memory_gb:
            config = read_config(run_of(recipe) | {"optimizer": "adamw_torch"})
            stage = config.stages[-1]
            shapes = {model: shape_of(preset_configs()[model]) for model in recipe.models}
            most = max(shapes, key=lambda model: forecast(shapes[model], config, stage, CARD).total)
            yield Case(most, stage, config)


def line(one: Compared) -> str:
    case, config = one.case, one.case.config
    return (
        f"{case.stage:<7}{config.max_length:>6}{config.batch_size:>6}  {case.model.rpartition('/')[2]:<26}"
        f"{'no' if config.gradient_checkpointing == 'off' else 'yes':<5}{one.said / 1e9:>9.3f}{one.counted / 1e9:>9.3f}"
        f"{one.ratio:>7.3f}{(one.said - one.stored) / 1e9:>10.3f}{(one.counted - one.stored) / 1e9:>9.3f}"
        f"{one.ratio_of_passing:>7.3f}  {'' if one.is_right else '!! '}{one.moment} ({one.seconds:.0f} s)"
    )


HEAD = (
    f"{'method':<7}{'tokens':>6}{'batch':>6}  {'model':<26}{'ckpt':<5}{'forecast':>9}{'counted':>9}{'ratio':>7}"
    f"{'  passing':>10}{'counted':>9}{'ratio':>7}  worst moment, in GB"
)


def cards() -> None:
    """What fits of DPO with checkpointing: the longest pair at a time, and the most pairs of 1,024 tokens at once."""
    sizes = [card.memory_gb for card in presets.cards() if card.memory_gb]
    print(f"{'longest pair / pairs of 1,024 tokens':<40}" + "".join(f"{size:>6} GB    " for size in sizes))
    for model, values in preset_configs().items():
        row = []
        for size in sizes:
            free, shape = size * 2**30 - DESKTOP, shape_of(values)

            def fits(length: int, batch: int, shape: Any = shape, free: int = free, model: str = model) -> bool:
                return plan(shape, point(model, "dpo", length, batch).config, CARD, free).verdict == "fits"

            length = max((tokens for tokens in range(128, 8193, 128) if fits(tokens, 1)), default=0)
            batch = max((pairs for pairs in (1, 2, 4, 8, 16, 32) if fits(1024, pairs)), default=0)
            row.append(f"{length or '-':>6} /{batch or '-':>3}  ")
        print(f"{model:<40}" + "".join(row), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cases, as the tests have them")
    parser.add_argument("--model", choices=sorted(preset_configs()), help="this model alone")
    parser.add_argument("--method", choices=(*STAGES, "kto", "orpo", "simpo"), help="this method alone")
    parser.add_argument("--explain", action="store_true", help="name what lived at the peak")
    parser.add_argument("--presets", action="store_true", help="the presets in place of the grid")
    parser.add_argument("--cards", action="store_true", help="what fits on which card; counts nothing")
    options = parser.parse_args()
    if options.cards:
        cards()
        return 0
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp(prefix="fake-card-")  # for what is kept of references
    models = (options.model,) if options.model else MODELS
    cases = of_presets() if options.presets else grid(models, (options.method,) if options.method else STAGES)
    if options.quick:
        cases = (point(*one) for one in QUICK)
    print(HEAD)
    found = []
    for case in cases:
        one = compare(case, options.explain)
        found.append(one)
        print(line(one), flush=True)
        for words, size in one.found.most_common(20):
            print(f"{size / 1e6:>12.1f} MB  {words}")
    ratios, passing = (
        sorted(values) for values in zip(*((one.ratio, one.ratio_of_passing) for one in found), strict=True)
    )
    print(f"{len(found)} cases: {ratios[0]:.3f} to {ratios[-1]:.3f}; passing {passing[0]:.3f} to {passing[-1]:.3f}")
    return 0 if all(one.is_right for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
