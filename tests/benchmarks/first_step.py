"""How long a person waits: from the click on Start training to the first logged step, from loading the chat to its first word.

python tests/benchmarks/first_step.py [--rounds 5] [--trees OTHER ...]

The demo model and its data. Times are medians, of the run with the moments on the way there. --trees: folders with other
checkouts, measured in turn with this one, so that a machine that is busy with other things is busy for all of them. Where a
checkout keeps a worker warm, it is measured without and with one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 300.0  # seconds


def run_times() -> dict[str, float]:
    """Seconds from the click to each phase that the worker logs, and to the first row with a loss."""
    from workbench.core.training.config import read_config
    from workbench.jobs import training

    config = read_config(
        {
            "name": "first-step",
            "method": "dpo",
            "preference_data": "demo-preferences",
            "batch_size": 4,
            "max_length": 192,
            "samples": 0,
            "held_out_limit": 8,
            "dpo": {"max_steps": 2},
        }
    )
    clicked = time.time()
    run = training.start(config)
    told = {"click is done": time.time() - clicked}
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and training.state_of(run) == "running":
        for row in run.metrics():
            name = "first step" if "loss" in row else str(row.get("phase") or "")
            if name:
                told.setdefault(name, row["time"] - clicked)
        if "first step" in told:
            break
        time.sleep(0.05)
    training.end(run)
    if "first step" not in told:
        raise RuntimeError(f"no step: {training.in_words(run)}\n{run.log_tail()}")
    return told


def chat_times() -> dict[str, float]:
    """Seconds from loading the demo to when it is ready, and to the first piece of its answer to a question asked then."""
    from workbench.core.chat import Ask, Sampling
    from workbench.core.training.config import ModelRef
    from workbench.jobs.chat import Chat

    chat = Chat()
    began = time.monotonic()
    try:
        chat.start(ModelRef())
        chat.wait(PATIENCE)
        told = {"chat is ready": time.monotonic() - began}
        asked = Ask([{"role": "user", "content": "Where is the harbour?"}])
        for answers in chat.ask(asked, asked, Sampling(max_new_tokens=4)):
            if answers.left.tokens:
                told.setdefault("chat's first word", time.monotonic() - began)
        return told
    finally:
        chat.close()


def measure(what: str, is_warm: bool) -> None:
    """One measurement in this process, which stands for the window: JSON on standard output."""
    if is_warm:
        from workbench.jobs import warm

        time.sleep(warm.SETTLING)
        warm.keep()
        if not warm.wait(PATIENCE):
            raise RuntimeError("no worker is kept warm on this machine, or with these settings")
    print(json.dumps(run_times() if what == "run" else chat_times()))


def measured(tree: Path, what: str, is_warm: bool) -> dict[str, float]:
    environment = os.environ | {"WORKBENCH_HOME": tempfile.mkdtemp(), "PYTHONPATH": str(tree)}
    command = [sys.executable, __file__, "--measure", what, *(["--warm"] if is_warm else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trees", type=Path, nargs="*", default=[])
    parser.add_argument("--measure", choices=("run", "chat"), help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure, options.warm)
    ways = [(tree.resolve(), is_warm) for tree in [*options.trees, ROOT] for is_warm in (False, True)]
    ways = [(tree, is_warm) for tree, is_warm in ways if not is_warm or (tree / "workbench/jobs/warm.py").is_file()]
    found: dict[tuple[Path, bool], list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for tree, is_warm in ways if number % 2 == 0 else ways[::-1]:
            told = measured(tree, "run", is_warm) | measured(tree, "chat", is_warm)
            found[tree, is_warm].append(told)
            print(f"{number + 1}  {tree.name}{' warm' if is_warm else ''}  {_words(told)}", flush=True)
    _print_table(found)


def _print_table(found: dict[tuple[Path, bool], list[dict[str, float]]]) -> None:
    first: dict[str, float] | None = None
    names = list(dict.fromkeys(name for rounds in found.values() for told in rounds for name in told))
    for (tree, is_warm), rounds in found.items():
        print(f"\n{tree.name}{', with a warm worker' if is_warm else ''}, median of {len(rounds)}")
        medians = {
            name: statistics.median(got) for name in names if (got := [one[name] for one in rounds if name in one])
        }
        first = first or medians
        for name, seconds in medians.items():
            ratio = f"{seconds / first[name]:>7.2f} x" if name in first else ""
            print(f"  {name:<44}{seconds:>7.2f} s{ratio}")


def _words(told: dict[str, Any]) -> str:
    return ", ".join(f"{name} {told[name]:.2f} s" for name in ("first step", "chat is ready", "chat's first word"))


if __name__ == "__main__":
    main()
