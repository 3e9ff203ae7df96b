"""What a home with hundreds of runs costs the window: one second of one browser tab, and opening its pages.

    python tests/benchmarks/many_runs.py [--runs 300] [--rounds 30]

Prints medians of CPU and wall milliseconds: of a second in which the tab is alone, of one in which nine others asked just
before, and of each page that is opened. Beside them the same with one run.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    columns = {count: _measured(count, options.rounds) for count in (1, options.runs)}
    print(f"{'median ms, CPU / wall':<38}" + "".join(f"{f'{count} runs':>20}" for count in columns))
    for what in columns[1]:
        print(f"{what:<38}" + "".join(f"{f'{one[what][0]:.1f} / {one[what][1]:.1f}':>20}" for one in columns.values()))


def _measured(count: int, rounds: int) -> dict[str, tuple[float, float]]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        from drawn import starts, watch_page

        from workbench.jobs.app_state import GOOD_FOR, AppState
        from workbench.ui import run_actions, train_tab, watch_tab
        from workbench.ui.compare import who_answers
        from workbench.ui.status import status_html

        _make(count)
        app = AppState()
        state: dict[str, object] = {"signature": ()}

        def second() -> None:
            """What the ticks of one tab ask."""
            app.poll()
            status_html(app)
            run_actions.run_choices(app)
            train_tab.offer_now(app)
            now = watch_tab.signature(app, "run-000")
            if now != state["signature"]:
                watch_page("run-000", app, state["signature"])
                state["signature"] = now

        try:
            return {
                "a second of one tab": _median(second, rounds, GOOD_FOR + 0.1),
                "the same for a tab beside others": _median(second, rounds, 0.0),
                "Watch is opened": _median(lambda: watch_page("run-000", app), rounds, 0.0),
                "Train is opened": _median(lambda: starts(""), rounds, 0.0),
                "Compare is opened": _median(who_answers.who_choices, rounds, 0.0),
            }
        finally:
            app.close()


def _make(count: int) -> None:
    from made_runs import finished

    for number in range(count):
        run = finished(f"run-{number:03d}")
        run.write_chosen({"changes": {"optimizer": "adamw_torch"}, "paths": {}, "words": []})
        run.write_environment({"plan": {"sft": 4, "dpo": 4}})
        run.write_worker(2**22 + 1, 1.0)
        run.write_result("finished", "Finished.")


def _median(act: Callable[[], object], rounds: int, pause: float) -> tuple[float, float]:
    """CPU and wall milliseconds. pause: seconds between two rounds."""
    cpu, wall = [], []
    for _ in range(rounds + 2):
        time.sleep(pause)
        began = time.process_time(), time.perf_counter()
        act()
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return 1e3 * statistics.median(cpu[2:]), 1e3 * statistics.median(wall[2:])


if __name__ == "__main__":
    main()
