"""Runs whose workers are killed at random moments: what is found of them after each kill, and how they end.

    python tests/benchmarks/kill_runs.py [--kills 50] [--seed 1] [--keep FOLDER]

Runs of SFT and DPO on the demo model, one after the other, started and resumed as a window does it. SIGKILL comes while
the worker loads, between two steps, inside a checkpoint, inside the saving of an adapter, or twice, the second time
before the new life has taken a step. After each kill every file of the run is read; after at most KILLS_OF_A_RUN of them
the run is let go to its end, and is compared with one that nobody killed: the same curve, the same bytes of adapter.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from configs import demo_config  # noqa: E402
from real_runs import curve, weights  # noqa: E402

from workbench.jobs import training  # noqa: E402
from workbench.store import checkpoints  # noqa: E402
from workbench.store.runs import Run  # noqa: E402

SETTINGS = {
    "batch_size": 4,
    "max_length": 128,
    "held_out_limit": 8,
    "checkpoint_steps": 1,
    "sft": {"learning_rate": 1e-3, "max_steps": 8},
    "dpo": {"learning_rate": 2e-4, "max_steps": 12},
}
KILLS_OF_A_RUN = 7
LOADING = 8.0  # seconds; a worker has its model and its trainer by then
EARLY = 3.0  # seconds; a worker is importing
TOO_LONG = 120.0  # seconds without the moment that is waited for

AGAIN = "again at once"

Moment = Callable[[Run, random.Random], bool]


def run_out(run: Run, until: Callable[[], bool]) -> bool:
    """Wait for a moment; False where the run ended before it came."""
    begun = time.monotonic()
    while not until():
        if training.state_of(run) != "running":
            return False
        if time.monotonic() - begun > TOO_LONG:
            raise TimeoutError(f"{run.name} neither ends nor goes on:\n{run.log_tail()}")
        time.sleep(0.001)
    return True


def while_loading(run: Run, dice: random.Random) -> bool:
    moment = time.monotonic() + dice.uniform(0, LOADING)
    return run_out(run, lambda: time.monotonic() >= moment)


def early(run: Run, dice: random.Random) -> bool:
    moment = time.monotonic() + dice.uniform(0, EARLY)
    return run_out(run, lambda: time.monotonic() >= moment)


def while_training(run: Run, dice: random.Random) -> bool:
    """Some logged lines on from here, at any part of a step."""
    seen = _lines_of(run)
    lines = dice.randint(4, 12)

    def come() -> bool:
        return _lines_of(run) - seen >= lines

    if not run_out(run, come):
        return False
    time.sleep(dice.uniform(0, 0.3))
    return True


def _lines_of(run: Run) -> int:
    return run.metrics_file.read_bytes().count(b"\n") if run.metrics_file.exists() else 0


def in_a_checkpoint(run: Run, dice: random.Random) -> bool:
    """Some checkpoints on from here, while its draft is there."""
    scratch = run.folder / "scratch"
    for _ in range(dice.randint(1, 4)):
        if not run_out(run, lambda: not any(scratch.glob("checkpoint-*"))):
            return False
        if not run_out(run, lambda: any(scratch.glob("checkpoint-*"))):
            return False
    time.sleep(dice.uniform(0, 0.05))
    return True


def in_an_adapter(run: Run, dice: random.Random) -> bool:
    """While the adapter of a stage, or of the run, is saved beside its place."""
    if not run_out(run, lambda: any(run.folder.glob(".adapter*.draft"))):
        return False
    time.sleep(dice.uniform(0, 0.02))
    return True


MOMENTS: dict[str, Moment] = {
    "while it loads": while_loading,
    "while it trains": while_training,
    "inside a checkpoint": in_a_checkpoint,
    "inside an adapter": in_an_adapter,
    AGAIN: early,
}


def kill(run: Run) -> bool:
    """SIGKILL the worker and wait until it is gone; False where it had ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(run.worker()["pid"], signal.SIGKILL)
    while training.state_of(run) == "running":
        time.sleep(0.005)
    return training.state_of(run) == "lost"


def torn(run: Run) -> list[str]:
    """Every file that a reader would trip over, and how."""
    found = []
    for file in run.folder.glob("*.json"):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            found.append(f"{file.name}: {error}")
    for file in run.folder.glob("*.jsonl"):
        # The last line has no end yet where it was cut; the next writer ends it, and no reader takes it.
        for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
            try:
                json.loads(line)
            except ValueError as error:
                found.append(f"{file.name}, line {number}: {error}")
    there = [folder for folder in (run.folder / "checkpoints").glob("*") if folder.is_dir()]
    whole = {one.folder for one in checkpoints.whole(run)}
    found += [f"checkpoint {folder.name} is not as its manifest says" for folder in there if folder not in whole]
    for folder in run.folder.glob("adapter*"):
        if folder.is_dir() and (problem := adapter_problem(folder)):
            found.append(f"{folder.name}: {problem}")
    return found


def adapter_problem(folder: Path) -> str:
    """Why an adapter cannot be loaded; "" where it can."""
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / "adapter_model.safetensors")
        json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except Exception as error:  # whatever a damaged file raises
        return f"{type(error).__name__}: {error}"
    return (
        "" if weights and all(weight.isfinite().all() for weight in weights.values()) else "weights that are no numbers"
    )


def litter(run: Run) -> list[str]:
    """What an ended run has no use for."""
    return sorted(file.name for file in run.folder.iterdir() if file.name.startswith(".") or file.name == "scratch")


@dataclass
class Tally:
    """What was done and what was found."""

    kills: Counter[str] = field(default_factory=Counter)  # by moment
    problems: list[str] = field(default_factory=list)


def killed_run(name: str, most: int, dice: random.Random, tally: Tally) -> Run:
    """A run that is killed and resumed up to so many times, then let go to its end."""
    run = training.start(demo_config(name, **SETTINGS))
    last = AGAIN
    for _ in range(most):
        # Again at once only makes sense after another kill; of the others the rarest, so that each has its share.
        rest = [one for one in MOMENTS if one != AGAIN or last != AGAIN]
        fewest = min(tally.kills[one] for one in rest)
        moment = dice.choice([one for one in rest if tally.kills[one] <= fewest + 1])
        if not (MOMENTS[moment](run, dice) and kill(run)):
            break  # it ended before the moment came
        tally.kills[moment] += 1
        last = moment
        tally.problems += [f"{name}, killed {moment}: {words}" for words in torn(run)]
        print(f"{name:<8}{moment:<22}{training.checkpoint_label(run) or 'no checkpoint yet'}", flush=True)
        training.resume(run)
    run_out(run, lambda: False)
    return run


def judge(run: Run, untouched: Run) -> list[str]:
    """What is wrong with an ended run; nothing where the kills left no trace in it."""
    if training.state_of(run) != "finished":
        return [f"{run.name} is {training.state_of(run)}: {training.summary(run)}"]
    found = [f"{run.name}: {words}" for words in torn(run)]
    found += [f"{run.name} still has {name}" for name in litter(run)]
    if curve(run) != curve(untouched):
        found.append(f"{run.name} has another curve than the run that nobody killed")
    if weights(run) != weights(untouched):
        found.append(f"{run.name} has another adapter than the run that nobody killed")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--keep", type=Path, help="folder for the runs (default: a new one)")
    options = parser.parse_args()
    os.environ["WORKBENCH_HOME"] = str(options.keep or tempfile.mkdtemp(prefix="kill-runs-"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # so that the untouched run computes as the others do
    print(f"The runs are in {os.environ['WORKBENCH_HOME']}.")
    begun = time.monotonic()
    untouched = training.start(demo_config("untouched", **SETTINGS))
    run_out(untouched, lambda: False)

    dice, tally, runs = random.Random(options.seed), Tally(), 0
    while (left := options.kills - tally.kills.total()) > 0:
        runs += 1
        run = killed_run(f"run-{runs}", min(left, KILLS_OF_A_RUN), dice, tally)
        tally.problems += judge(run, untouched)

    print(f"\n{'moment':<22}{'kills':>6}")
    for moment in MOMENTS:
        print(f"{moment:<22}{tally.kills[moment]:>6}")
    print(f"{'together':<22}{tally.kills.total():>6}   in {runs} runs, {time.monotonic() - begun:.0f} s")
    print(
        "\n".join(tally.problems)
        or "Every run finished with the curve and the adapter of the untouched one; no file was torn."
    )
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
