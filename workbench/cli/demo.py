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
from workbench.core.monitoring.metrics import latest, results
from workbench.core.training.config import read_config
from workbench.core.training.methods import ACCURACY, KL, stage_title
from workbench.jobs import training
from workbench.jobs.environment import child_environment
from workbench.store import presets
from workbench.store.home import home
from workbench.store.runs import Run, free_name


def demo(options: argparse.Namespace) -> int:
    """The whole loop on the demo model: train, measure on held-out prompts, print."""
    say = to_stderr if options.json else print
    if options.rlhf:
        return _rlhf(options, say)
    run = _trained("demo", {"seed": options.seed}, say)
    say("Measuring the answers to held-out prompts ...")
    shares = _measure([run])["shares"]
    report = demo_report(run, shares)
    return answer(options, report, lambda: print_demo(report, shares, run))


def _rlhf(options: argparse.Namespace, say: Any) -> int:
    """DPO and RLHF from the same SFT model on the same preferences, side by side."""
    seed = {"seed": options.seed}
    start = _trained("demo-sft", seed, say)
    preferred = _trained("demo-dpo", {**seed, "start_from": start.name}, say)
    judge = _trained("demo-reward", seed, say)
    online = presets.recipe("demo-rloo").settings["method"]
    against = {**seed, "start_from": start.name, online: {"reward_run": judge.name}}
    reinforced = _trained("demo-rloo", against, say)
    say("Measuring the answers to held-out prompts ...")
    measured = _measure([start, preferred, reinforced], judge)
    report = rlhf_report(start, preferred, judge, reinforced, measured)
    return answer(options, report, lambda: print_demo(report, measured["shares"], reinforced))


def _trained(recipe: str, values: dict[str, Any], say: Any) -> Run:
    """A run of a recipe, followed to its end. Raises WorkbenchError where that is not the end it was to come to."""
    given = {"name": free_name(recipe), "model": {"source": "demo"}, **DEMO_DATA, **values}
    run = follow(read_config(presets.recipe(recipe).apply(given)), say)
    if (result := run.result()) is None or result.outcome != "finished":
        raise WorkbenchError(training.summary(run))
    return run


def rlhf_report(start: Run, preferred: Run, judge: Run, reinforced: Run, measured: dict[str, Any]) -> dict[str, Any]:
    """What `workbench demo --rlhf --json` prints: the keys of `demo_report`, and those of reward model and online training."""
    report = demo_report(preferred, measured["shares"])
    rows = reinforced.metrics()
    report["seconds"] = {}
    for run in (start, preferred, judge, reinforced):
        report["seconds"] |= seconds_of(run)
    report["reward"] = {"accuracy": latest(judge.metrics(), ACCURACY.key), **measured["reward"]}
    report["kl"] = {
        "first": next(row["kl"] for row in rows if row.get("kl") is not None),
        "last": latest(rows, KL.key),
    }
    report["frozen_unchanged"] = reinforced.environment()["frozen"]["unchanged"]
    return report


def seconds_of(run: Run) -> dict[str, float]:
    """Seconds of each stage, from its first line to its last."""
    rows = run.metrics()
    timed = {stage: [row["time"] for row in rows if row.get("stage") == stage] for stage in run.environment()["plan"]}
    started = {row["phase"]: row["time"] for row in rows if "phase" in row}
    return {stage: round(times[-1] - started[f"training {stage_title(stage)}"], 1) for stage, times in timed.items()}


def demo_report(run: Run, shares: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What `workbench demo --json` prints."""
    rows = run.metrics()
    environment = run.environment()
    last = run.config().stages[-1]
    return {
        "seconds": seconds_of(run),
        "step0_loss": next(row["eval_loss"] for row in rows if row.get("stage") == last and "eval_loss" in row),
        "held_out": {one.result.name: one.value for one in results(rows, run.config()) if one.stage == last},
        "manner": {model: share["manner"] for model, share in shares.items()},
        "facts": {model: share["facts"] for model, share in shares.items()},
        "backend": environment["backend"],
        "precision": environment["precision"],
    }


def _measure(runs: list[Run], judge: Run | None = None) -> dict[str, Any]:
    """Shares of preferred manner and right facts, measured in a process of its own."""
    command = [sys.executable, "-m", "workbench.engine.measure", *[str(run.folder) for run in runs]]
    command += ["--reward", str(judge.folder)] if judge else []
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=home(), env=child_environment()
    )
    if done.returncode:
        raise WorkbenchError(f"Measuring the answers failed: {done.stderr.strip().splitlines()[-1][:300]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
