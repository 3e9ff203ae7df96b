"""What is said of runs that go wrong in a known way, and of runs that are well.

    python tests/benchmarks/seeded_runs.py [--case NAME ...] [--keep FOLDER]   # train, keep, judge
    python tests/benchmarks/seeded_runs.py --judge FOLDER ... [--rows]         # judge what was kept, without training
    python tests/benchmarks/seeded_runs.py --judge FOLDER ... --pack FILE      # all of it in one small file, for the tests

Every case of tests/run_cases.py is a run of the real worker on the demo model, one after the other. A run with a fault
stops after the first fifth of its steps, as it must be found by then; --whole trains it to its end. What a worker logged
is kept as one JSON file for each case, so that rules can be judged again in a second. tests/runs/seeded.json.gz holds all
cases, some of them with a second seed; tests/test_health.py judges it. Each run is judged as it would be watched: after every
logged row anew. In the table, `found` is the first step at which a rule that names the fault had spoken.
"""

import argparse
import gzip
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from made_runs import store_thumbs  # noqa: E402
from run_cases import CASES, FIFTH, RunCase, judged  # noqa: E402

from workbench.core.training.config import RunConfig, read_config  # noqa: E402

CASE_OF = {case.name: case for case in CASES}


def worker(name: str, whole: bool, folder: str) -> int:
    """Train the run in `folder` with the fault of a case planted."""
    from datasets import Dataset

    from workbench.engine import report, train
    from workbench.engine import rows as stored

    case = CASE_OF[name]
    if case.plant:
        case.plant()
    if case.rows:
        read, change = stored.load_rows, case.rows

        def load_rows(config: RunConfig, stage: Any, described: Any = None) -> tuple[Any, Any]:
            parts = change(*[list(rows) for rows in read(config, stage, described)])
            return Dataset.from_list(parts[0]), Dataset.from_list(parts[1])

        stored.load_rows = load_rows
    ended_early(report.ReportCallback, until=1.0 if whole or not case.rules else FIFTH)
    return train.main(folder)


def ended_early(report: Any, until: float) -> None:
    """Stop after this share of the steps: what is to be found is to be found by then."""
    end_step = report.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        end_step(self, args, state, control, **more)
        if until < 1 and state.global_step >= math.ceil(until * state.max_steps):
            control.should_training_stop = True

    report.on_step_end = on_step_end


def train_case(case: RunCase, keep: Path, whole: bool, seed: int | None) -> None:
    """Run a case in a worker of its own and keep what it logged. seed: another one than the case has."""
    from workbench.jobs import training

    named = {"name": f"{case.name}-{time.time_ns()}"}
    config = read_config(case.settings() | named | ({} if seed is None else {"seed": seed}))
    command = [sys.executable, __file__, "--worker", case.name, *(["--whole"] if whole else [])]
    began = time.time()
    run = training.start(config, worker=command)
    while training.state_of(run) == "running":
        time.sleep(1)
    result = run.result()
    kept = {
        "case": case.name,
        "seconds": round(time.time() - began, 1),
        "outcome": result.outcome if result else "lost",
        "why": result.why if result else training.summary(run),
        "config": run.config().model_dump(mode="json"),
        "plan": run.environment().get("plan", {}),
        "rows": run.metrics(),
    }
    (keep / f"{case.name}.json").write_text(json.dumps(kept))


def kept_in(folder: Path) -> list[dict[str, Any]]:
    """What was kept of each case, in the order of the cases."""
    files = [folder / f"{case.name}.json" for case in CASES]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def pack(kept: list[dict[str, Any]], file: Path) -> None:
    """What the rules read, in six figures and in one file that is the same for the same numbers."""
    small = [
        {"case": one["case"], "plan": one["plan"], "rows": [_short(row) for row in one["rows"] if "stage" in row]}
        for one in kept
    ]
    text = json.dumps(small, separators=(",", ":")).encode()
    file.write_bytes(gzip.compress(text, mtime=0))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what no rule asks for."""
    unread = ("time", "entropy", "eval_entropy", "logits/", "eval_logits/", "logps/rejected", "eval_logps/", "train_")
    shown = {key: value for key, value in row.items() if not key.startswith(unread)}
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in shown.items()}


def table(kept_of_all: list[dict[str, Any]], show_rows: bool) -> None:
    """One line for each case that was kept."""
    bad = found = well = alarmed = 0
    print(f"{'case':<18}{'steps':>6}{'found':>7}  {'rule':<20}all that was said (rule@step)")
    for kept in kept_of_all:
        case = CASE_OF[kept["case"]]
        said = judged(case, kept["rows"], kept["plan"])
        hits = [one for one in said if one.finding.rule in case.rules]
        alarms = [one for one in said if one.is_alarm]
        if case.rules:
            bad, found = bad + 1, found + any(one.is_alarm and one.is_early for one in hits)
        else:
            well, alarmed = well + 1, alarmed + bool(alarms)
        step = f"{hits[0].step}" if hits else "-"
        rule = hits[0].finding.rule if hits else "MISSED" if case.rules else "ALARM" if alarms else "quiet"
        everything = " ".join(f"{one.finding.rule}{'' if one.is_alarm else '(info)'}@{one.step}" for one in said)
        print(f"{case.name:<18}{sum(kept['plan'].values()):>6}{step:>7}  {rule:<20}{everything}")
        if show_rows:
            for finding in [one.finding for one in said]:
                print(
                    f"      [{finding.weight}] {finding.title}: {finding.evidence} {finding.advice} {finding.changes}"
                )
    print(f"\nfound within the first fifth: {found} of {bad}; alarms on runs that are well: {alarmed} of {well}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=sorted(CASE_OF), metavar="NAME", help="only these")
    parser.add_argument("--keep", type=Path, help="folder for what was logged (default: a new one)")
    parser.add_argument("--judge", type=Path, nargs="+", metavar="FOLDER", help="judge what was kept, without training")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="with --judge: write what was kept to one small file")
    parser.add_argument("--rows", action="store_true", help="also print what was said")
    parser.add_argument("--whole", action="store_true", help="train runs with a fault to their end")
    parser.add_argument("--seed", type=int, help="another seed for all of them: other batches, other held-out examples")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.whole, options.folder)
    if options.judge:
        kept = [one for folder in options.judge for one in kept_in(folder)]
        table(kept, options.rows)
        if options.pack:
            pack(kept, options.pack)
        return 0
    os.environ["WORKBENCH_HOME"] = tempfile.mkdtemp()
    store_thumbs(pairs=600)
    keep = options.keep or Path(tempfile.mkdtemp(prefix="seeded-runs-"))
    keep.mkdir(parents=True, exist_ok=True)
    for case in [CASE_OF[name] for name in options.case] if options.case else CASES:
        train_case(case, keep, options.whole, options.seed)
        print(f"{case.name}: trained", file=sys.stderr, flush=True)
    print(f"What was logged is in {keep}.")
    table(kept_in(keep), options.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
