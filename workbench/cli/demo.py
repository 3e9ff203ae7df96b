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
    whole = presets.recipe("demo").apply({})
    sft = _trained("demo", {**seed, "method": "sft"}, say, "demo-sft")
    dpo = _trained("demo", {**seed, "method": "dpo", "start_from": sft.name, "dpo": whole["dpo"]}, say, "demo-dpo")
    judge = _trained("demo-reward", seed, say)
    online = {**presets.recipe("demo-rloo").apply({})["rloo"], "reward_run": judge.name}
    rloo = _trained("demo-rloo", {**seed, "start_from": sft.name, "rloo": online}, say)
    say("Measuring the answers to held-out prompts ...")
    measured = _measure([sft, dpo, rloo], judge)
    report = rlhf_report(sft, dpo, judge, rloo, measured)
    return answer(options, report, lambda: print_demo(report, measured["shares"], rloo))


def _trained(recipe: str, changes: dict[str, Any], say: Any, name: str = "") -> Run:
    """A run of a recipe, followed to its end. Raises WorkbenchError where that is not the end it was to come to."""
    given = {"name": free_name(name or recipe), "model": {"source": "demo"}, **DEMO_DATA, **changes}
    run = follow(read_config({**presets.recipe(recipe).apply(given), **changes}), say)
    if (result := run.result()) is None or result.outcome != "finished":
        raise WorkbenchError(training.summary(run))
    return run


def rlhf_report(sft: Run, dpo: Run, judge: Run, rloo: Run, measured: dict[str, Any]) -> dict[str, Any]:
    """What `workbench demo --rlhf --json` prints: the keys of `demo_report`, and those of reward model and online training."""
    report = demo_report(dpo, measured["shares"])
    rows = rloo.metrics()
    report["seconds"] = {name: value for run in (sft, dpo, judge, rloo) for name, value in seconds_of(run).items()}
    report["reward"] = {"accuracy": latest(judge.metrics(), ACCURACY.key), **measured["reward"]}
    report["kl"] = {
        "first": next(row["kl"] for row in rows if row.get("kl") is not None),
        "last": latest(rows, KL.key),
    }
    report["frozen_unchanged"] = rloo.environment()["frozen"]["unchanged"]
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
