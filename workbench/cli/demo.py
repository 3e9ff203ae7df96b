"""The whole loop on the demo model: train, measure, print."""

import argparse
import json
import subprocess
import sys
from typing import Any

from workbench.cli.printing import answer, print_demo, to_stderr
from workbench.cli.runs import follow
from workbench.cli.wanted import DEMO_DATA
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import results
from workbench.core.training.config import read_config
from workbench.core.training.methods import stage_title
from workbench.jobs import training
from workbench.jobs.environment import child_environment
from workbench.store import presets
from workbench.store.home import home
from workbench.store.runs import Run, free_name


def demo(options: argparse.Namespace) -> int:
    """The whole loop on the demo model: train, measure on held-out prompts, print."""
    say = to_stderr if options.json else print
    recipe = presets.recipe("demo")
    config = read_config(recipe.apply({"name": free_name("demo"), "model": {"source": "demo"}, **DEMO_DATA}))
    run = follow(config, say)
    if (result := run.result()) is None or result.outcome != "finished":
        raise WorkbenchError(training.summary(run))
    say("Measuring the answers to held-out prompts ...")
    shares = _measure(run)
    report = demo_report(run, shares)
    return answer(options, report, lambda: print_demo(report, shares, run))


def demo_report(run: Run, shares: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What `workbench demo --json` prints. Seconds are of each stage, from its first line to its last."""
    rows = run.metrics()
    environment = run.environment()
    timed = {stage: [row["time"] for row in rows if row.get("stage") == stage] for stage in environment["plan"]}
    started = {row["phase"]: row["time"] for row in rows if "phase" in row}
    last = run.config().stages[-1]
    return {
        "seconds": {
            stage: round(times[-1] - started[f"training {stage_title(stage)}"], 1) for stage, times in timed.items()
        },
        "step0_loss": next(row["eval_loss"] for row in rows if row.get("stage") == last and "eval_loss" in row),
        "held_out": {one.result.name: one.value for one in results(rows, run.config()) if one.stage == last},
        "manner": {model: share["manner"] for model, share in shares.items()},
        "facts": {model: share["facts"] for model, share in shares.items()},
        "backend": environment["backend"],
        "precision": environment["precision"],
    }


def _measure(run: Run) -> dict[str, dict[str, float]]:
    """Shares of preferred manner and right facts, measured in a process of its own."""
    command = [sys.executable, "-m", "workbench.engine.measure", str(run.folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=home(), env=child_environment()
    )
    if done.returncode:
        raise WorkbenchError(f"Measuring the answers failed: {done.stderr.strip().splitlines()[-1][:300]}")
    shares: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return shares
