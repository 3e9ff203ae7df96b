"""Two lanes in one batch against two separate runs: time, memory, the same tokens; and what the dial does to the demo.

python tests/benchmarks/compare_lanes.py --run demo      (a finished demo run of WORKBENCH_HOME; `workbench demo` trains one)
                                         [--prompts 32] [--rounds 7] [--json]

Prints a table. Exit status 1 where a limit does not hold: the peak of both lanes at most 1.05 of one model's, the same tokens
in full precision, and a share of kind answers that rises from strength 0 over .5 to 1. On a card all is measured there.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from workbench.core.chat import Sampling
from workbench.core.demo import manner
from workbench.core.training.config import Precision
from workbench.engine.chat import Grid, Lanes
from workbench.engine.loaded_adapters import Lane
from workbench.store.home import shipped
from workbench.store.runs import Run, open_run

MEMORY_LIMIT = 1.05
STRENGTHS = (0.0, 0.5, 1.0)
SAMPLING = Sampling(max_new_tokens=64, seed=5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="demo")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run = open_run(options.run)
    texts = [json.loads(line)["prompt"] for line in _prompts().read_text("utf-8").splitlines()]
    prompts = [[{"role": "user", "content": text}] for text in texts[:: max(1, len(texts) // options.prompts)]]
    prompts = prompts[: options.prompts]
    found: dict[str, float] = {}
    for precision in ("nf4", "fp32"):
        found |= measure(run, precision, prompts, options.rounds)
    limits = {
        "memory of both lanes / of one model": found["memory ratio, nf4"] <= MEMORY_LIMIT,
        "the same tokens in full precision": found["same answers, fp32"] == 1,
        "kind answers rise with the dial": found["kind at 0"] < found["kind at 0.5"] < found["kind at 1"],
    }
    print(json.dumps({"found": found, "limits": limits}) if options.json else table(found, limits))
    return 0 if all(limits.values()) else 1


def measure(run: Run, precision: Precision, prompts: Sequence[Any], rounds: int) -> dict[str, float]:
    """The figures of one precision; the dial only with the one that the chat loads."""
    from workbench.engine.device import this_device
    from workbench.engine.load import load_base

    lanes = Lanes(load_base(run.config().model, precision, this_device(), lambda words: None))
    base, aligned = Lane(None), Lane(str(run.adapter))
    if precision == "nf4":
        ask(lanes, prompts[0], [base])
        begin_peak()
        ask(lanes, prompts[0], [base])
        one_model = peak()
    ask(lanes, prompts[0], [base, aligned])
    found = {}
    if precision == "nf4":
        begin_peak()
        ask(lanes, prompts[0], [base, aligned])
        found["memory ratio, nf4"] = peak() / one_model
    batch, separate = [], []
    for turn in range(rounds):  # interleaved, so that what else the machine does meets both
        prompt = prompts[turn % len(prompts)]
        batch.append(ask(lanes, prompt, [base, aligned]))
        separate.append(ask(lanes, prompt, [base]) + ask(lanes, prompt, [aligned]))
    found[f"time ratio, {precision}"] = statistics.median(batch) / statistics.median(separate)
    who = [base, aligned, Lane(aligned.folder, 0.5)]
    together = grid(lanes, prompts, who)
    alone = {(prompt, answerer): grid(lanes, [prompts[prompt]], [who[answerer]])[0, 0] for prompt, answerer in together}
    found[f"same answers, {precision}"] = statistics.fmean(together[cell] == alone[cell] for cell in together)
    if precision == "nf4":
        dialled = grid(lanes, prompts, [Lane(aligned.folder, strength) for strength in STRENGTHS])
        for place, strength in enumerate(STRENGTHS):
            kind = [manner(text) == "preferred" for (_, answerer), text in dialled.items() if answerer == place]
            found[f"kind at {strength:g}"] = statistics.fmean(kind)
    return found


def ask(lanes: Lanes, prompt: Any, who: Sequence[Lane]) -> float:
    """Seconds in which all of them have answered."""
    asks = [{"messages": prompt, "adapter": lane.folder, "strength": lane.strength} for lane in who]
    began = time.perf_counter()
    lanes.ask(asks, SAMPLING, lambda event: None, threading.Event())
    return time.perf_counter() - began


def grid(lanes: Lanes, prompts: Sequence[Any], who: Sequence[Lane]) -> dict[tuple[int, int], str]:
    said: list[dict[str, Any]] = []
    lanes.ask_many(Grid(prompts, [SAMPLING.seed] * len(prompts), who), SAMPLING, said.append, threading.Event())
    return {(one["answered"]["prompt"], one["answered"]["answerer"]): one["answered"]["text"] for one in said}


def begin_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Bytes at their highest since then: of the card, or of the whole process without one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


def table(found: dict[str, float], limits: dict[str, bool]) -> str:
    lines = [f"{name:<40} {value:8.3f}" for name, value in found.items()]
    return "\n".join(
        [*lines, "", *[f"{name:<40} {'holds' if holds else 'DOES NOT HOLD'}" for name, holds in limits.items()]]
    )


def _prompts() -> Path:
    return shipped("assets") / "demo" / "prompts.jsonl"


if __name__ == "__main__":
    sys.exit(main())
