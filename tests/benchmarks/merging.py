"""A merged model beside base and adapter, per precision: where the tolerances of core/export/agreement.py come from.

    WORKBENCH_HOME=... python tests/benchmarks/merging.py [RUN ...]

Without runs, adapters nobody trained on models of random weights (Qwen3), of growing depth and width.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from workbench.core.export.agreement import TOLERANCES, Comparison
from workbench.engine import merge
from workbench.jobs.merging import fixed_prompts
from workbench.store.runs import Run, open_run

SIZES = ((2, 64, 1536), (8, 256, 1536), (28, 512, 1536))


def runs(folder: Path, names: list[str]) -> list[tuple[str, Run]]:
    if names:
        return [(name, open_run(name)) for name in names]
    from random_models import random_qwen3, random_run

    os.environ["WORKBENCH_HOME"] = str(folder / "home")
    found = []
    for layers, hidden, vocabulary in SIZES:
        title = f"{layers} layers, {hidden} wide"
        model = random_qwen3(folder / f"model-{layers}-{hidden}", layers=layers, hidden=hidden, vocabulary=vocabulary)
        found.append((title, random_run(f"random-{layers}-{hidden}", model)))
    return found


def figures(one: Comparison) -> str:
    return f"{one.logits:9.2g} {one.kl:9.2g} {one.same:>4} of {len(one.answers)}"


def main(names: list[str]) -> None:
    head = f"{'logits':>9} {'KL':>9} {'same':>10}"
    print(f"{'run':<24} {'type':<5} {'changed':>8} | merged {head} | trained {head} | largest gap, seconds")
    with tempfile.TemporaryDirectory() as place:
        for title, run in runs(Path(place), names):
            for precision in TOLERANCES:
                out = Path(place) / f"{run.name}-{precision}"
                out.mkdir()
                wanted = merge.Wanted(
                    run=run.folder, out=out, precision=precision, strength=1, prompts=fixed_prompts(run)
                )
                began = time.perf_counter()
                found = merge.merge(wanted, lambda fraction, words: None)
                gap = max((pair.gap or 0 for pair in found.whole.answers), default=0)
                trained = figures(found.trained) if found.trained else ""
                print(
                    f"{title:<24} {precision:<5} {found.changed:8.2g} |        {figures(found.whole)} |         {trained} | "
                    f"{gap:.2g}, {time.perf_counter() - began:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
