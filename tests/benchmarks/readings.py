"""How often what is read under a chart is wrong.

    python tests/benchmarks/readings.py [--seeds 1000 1200] [--wrong] [--runs FOLDER ...]

Made-up curves (tests/made_curves.py) from seeds that were not used while the readings were written, by family; and what is said of
the recorded runs (tests/runs), whose faults are known: see `wrong_of` in tests/recorded_readings.py. --runs: print the readings of
other runs, to be judged by a person. --wrong: print each reading that is wrong.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from made_curves import made_curves  # noqa: E402
from recorded_readings import recorded, wrong_of  # noqa: E402

from workbench.core.monitoring.charts import charts  # noqa: E402
from workbench.store.runs import Run  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1200), metavar=("FIRST", "END"))
    parser.add_argument("--wrong", action="store_true", help="print each reading that is wrong")
    parser.add_argument("--runs", type=Path, nargs="+", default=(), metavar="FOLDER", help="read these runs too")
    options = parser.parse_args()
    every, wrong = Counter[str](), Counter[str]()
    for seed in range(*options.seeds):
        for one in made_curves(seed):
            every[one.family] += 1
            wrong[one.family] += not one.is_right
            if options.wrong and not one.is_right:
                print(f"seed {seed}, {one.family}: {one.reading.claim}: {one.reading.text}")
    for family, count in every.items():
        print(f"{family:<28}{wrong[family]:>5} of {count}")
    print(f"made-up curves: {wrong.total()} of {every.total()} wrong, {wrong.total() / every.total():.1%}\n")
    begun, said, false = time.perf_counter(), 0, 0
    for run in recorded():
        said += len(run.known)
        for ident, reading in wrong_of(run):
            false += 1
            if options.wrong:
                print(f"{run.name}, {ident}: {reading}")
    seconds = time.perf_counter() - begun
    print(f"recorded runs: {false} of {said} readings wrong, {false / said:.1%}, in {seconds:.1f} s")
    for run in map(Run, options.runs):
        print(f"\n{run.name}")
        for ident, chart in charts(run.log(), run.environment().get("plan", {}), run.adjusted_config()).items():
            if chart["lines"]:
                print(f"  {ident:<18}{chart['reading']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
