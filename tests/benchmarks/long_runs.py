"""What long runs cost the window: opening them, a tick with a new row, and one without. Prints a table of medians.

python tests/benchmarks/long_runs.py [--rows 1000 50000 1000000]
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from configs import demo_config
from drawn import watch_page
from made_runs import create_run

from workbench.core.monitoring.charts import charts
from workbench.jobs.app_state import AppState
from workbench.jobs.proposals import findings_of
from workbench.store.runs import Run
from workbench.ui.chart import packed

TICKS = 11


def rows_of(count: int, first: int = 1) -> Iterator[dict[str, object]]:
    """DPO as TRL logs it, with twenty evaluations."""
    dice = random.Random(first)
    for step in range(first, count + 1):
        margin, chosen = dice.gauss(step / count, 0.1), dice.gauss(0, 0.1)
        shared = {"stage": "dpo", "step": step, "steps": count, "time": 1.79e9 + 0.5 * step}
        yield shared | {
            "loss": round(0.69 - 0.3 * step / count + dice.gauss(0, 0.05), 6),
            "grad_norm": round(abs(dice.gauss(0.5, 0.1)), 6),
            "learning_rate": 2e-4 * (1 - step / count),
            "entropy": round(dice.random(), 6),
            "num_tokens": 800.0 * step,
            "mean_token_accuracy": round(dice.random(), 6),
            "rewards/chosen": chosen,
            "rewards/rejected": chosen - margin,
            "rewards/accuracies": dice.choice((0.5, 0.75, 1.0)),
            "rewards/margins": margin,
            "logps/chosen": round(dice.gauss(-100, 9), 4),
            "logps/rejected": round(dice.gauss(-100, 9), 4),
            "epoch": round(3 * step / count, 6),
        }
        if step % max(1, count // 20) == 0:
            yield shared | {"eval_loss": 0.6, "eval_rewards/margins": 0.2, "eval_rewards/accuracies": 0.7}


def made(count: int) -> Run:
    run = create_run(demo_config(f"rows-{count}", method="dpo"))
    run.write_environment({"plan": {"dpo": count}})
    with open(run.metrics_file, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows_of(count))
    return run


def seconds_of(act: Callable[[], object]) -> float:
    """CPU time, which other programs disturb less than the time of a clock."""
    began = time.process_time()
    act()
    return time.process_time() - began


def look_at(app: AppState, run: Run) -> None:
    """What of a redrawn page depends on the rows: curves, health, progress."""
    log = app.read(run).log
    for chart in charts(log, {"dpo": log.rows[-1]["steps"]}).values():
        packed(chart)
    findings_of(app, run)
    app.progress(run)


def measured(count: int) -> list[str]:
    run = made(count)
    app = AppState()
    opened = seconds_of(lambda: watch_page(run.name, app))
    share = app.read(run).share
    began = time.process_time()
    while not app.read(run).is_whole:
        time.sleep(0.05)
    rest = time.process_time() - began
    drawn, told, looked, idle = [], [], [], []
    for extra in range(TICKS):
        with open(run.metrics_file, "a") as file:
            file.write(json.dumps(next(rows_of(count + extra + 1, count + extra + 1))) + "\n")
        looked.append(seconds_of(lambda: app.read(run)))
        drawn.append(seconds_of(lambda: watch_page(run.name, app)))
        told.append(seconds_of(lambda: look_at(app, run)))
        idle.append(seconds_of(lambda: app.read(run)))
    return [
        f"{count:,}", f"{run.metrics_file.stat().st_size / 2**20:.0f} MB", f"{opened:.2f} s", f"{share:.0%}", f"{rest:.1f} s",
        *(f"{1000 * statistics.median(times):.2f} ms" for times in (looked, told, drawn, idle)),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 50_000, 1_000_000])
    counts = parser.parse_args().rows
    titles = [
        "rows",
        "file",
        "open page",
        "read then",
        "the rest",
        "new row read",
        "curves etc.",
        "page drawn",
        "nothing new",
    ]
    print("".join(f"{title:>14}" for title in titles))
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["WORKBENCH_HOME"] = folder
            print("".join(f"{cell:>14}" for cell in measured(count)), flush=True)


if __name__ == "__main__":
    main()
