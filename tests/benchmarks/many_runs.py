"""What a home with a thousand runs costs the window: one second of one browser tab, opening its pages, and the list of all runs.

    python tests/benchmarks/many_runs.py [--runs 1000] [--rounds 30]

Prints medians of CPU and wall milliseconds: of a second in which the tab is alone (and has the list of all runs open), of one
in which nine others asked just before, and of each page that is opened; once each, how long the list takes the first time
anybody asks, and for a new process. Beside them the same with one run. Each run has the log of a recorded one, some have votes,
tags and parents.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    columns = {count: _measured(count, options.rounds) for count in (1, options.runs)}
    print(f"{'median ms, CPU / wall':<38}" + "".join(f"{f'{count} runs':>20}" for count in columns))
    for what in columns[1]:
        print(f"{what:<38}" + "".join(f"{f'{one[what][0]:.1f} / {one[what][1]:.1f}':>20}" for one in columns.values()))


def _measured(count: int, rounds: int) -> dict[str, tuple[float, float]]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        from drawn import starts, table_tick, watch_page

        from workbench.core.monitoring import run_list
        from workbench.jobs.app_state import GOOD_FOR, AppState
        from workbench.store import run_notes
        from workbench.store.runs import open_run
        from workbench.ui import run_actions, train_tab, watch_tab
        from workbench.ui.compare import who_answers
        from workbench.ui.status import status_html

        _make(count)
        first, again = _listed(count), _listed(count)
        app = AppState()
        list_open = table_tick(app)
        state: dict[str, object] = {"signature": ()}

        def second() -> None:
            """What the ticks of one tab ask."""
            app.poll()
            status_html(app)
            run_actions.run_choices(app)
            train_tab.offer_now(app)
            list_open()
            now = watch_tab.signature(app, "run-000")
            if now != state["signature"]:
                watch_page("run-000", app, state["signature"])
                state["signature"] = now

        def change() -> None:
            run_notes.write_notes(open_run("run-000"), note=f"{time.monotonic()}")

        def sort_and_search() -> None:
            rows = app.run_rows.now(app.survey()).rows
            run_list.sorted_by(run_list.fitting(rows, "run demo", "finished"), "accuracy")

        try:
            return {
                "all runs are listed the first time": first,
                "all runs are listed by a new process": again,
                "the list is searched and sorted": _median(sort_and_search, rounds, 0.0),
                "a tick with the list, after a change": _median(list_open, rounds, GOOD_FOR + 0.1, change),
                "a second of one tab": _median(second, rounds, GOOD_FOR + 0.1),
                "the same for a tab beside others": _median(second, rounds, 0.0),
                "Watch is opened": _median(lambda: watch_page("run-000", app), rounds, 0.0),
                "Train is opened": _median(lambda: starts(""), rounds, 0.0),
                "Compare is opened": _median(who_answers.who_choices, rounds, 0.0),
            }
        finally:
            app.close()


_LIST = """
import time
from workbench.jobs.run_rows import RunRows
from workbench.jobs.survey import survey
began = time.process_time(), time.perf_counter()
rows = RunRows().now(survey()).rows
print(len(rows), 1e3 * (time.process_time() - began[0]), 1e3 * (time.perf_counter() - began[1]))
"""


def _listed(count: int) -> tuple[float, float]:
    """CPU and wall milliseconds of the list in a process of its own, once its libraries are imported."""
    done = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, check=True)
    rows, cpu, wall = done.stdout.split()
    assert int(rows) == count
    return float(cpu), float(wall)


def _make(count: int) -> None:
    from made_runs import finished

    from workbench.core.votes.vote import Vote
    from workbench.store import run_notes
    from workbench.store.votes import path

    recorded = (Path(__file__).parents[1] / "runs" / "healthy-demo.jsonl").read_bytes()
    given = []
    for number in range(count):
        from_first = {"start_from": "run-000", "method": "dpo", "sft_data": None} if number % 3 else {}
        run = finished(f"run-{number:03d}", **from_first)
        run.metrics_file.write_bytes(recorded)
        if number % 10 == 0:
            run_notes.write_notes(run, note="What it was for.", tags=[f"tag {number % 7}"])
            sides = {
                "left": "a",
                "right": "b",
                "left_model": run.name,
                "right_model": "",
                "base": run.config().model.name,
            }
            given += [
                Vote(prompt=[{"role": "user", "content": f"{vote}"}], vote="left", purpose="measure", match=vote, sitting=f"s{number}", **sides)
                for vote in range(20)
            ]  # fmt: skip
        run.write_chosen({"changes": {"optimizer": "adamw_torch"}, "paths": {}, "words": []})
        run.write_environment({"plan": {"sft": 4, "dpo": 4}})
        run.write_worker(2**22 + 1, 1.0)
        run.write_result("finished", "Finished.")
    path().write_text("".join(json.dumps(vote.model_dump(mode="json")) + "\n" for vote in given))


def _median(
    act: Callable[[], object], rounds: int, pause: float, before: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """CPU and wall milliseconds. pause: seconds between two rounds. before: what happens ahead of each, and is not measured."""
    cpu, wall = [], []
    for _ in range(rounds + 2):
        before()
        time.sleep(pause)
        began = time.process_time(), time.perf_counter()
        act()
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return 1e3 * statistics.median(cpu[2:]), 1e3 * statistics.median(wall[2:])


if __name__ == "__main__":
    main()
