"""Long runs: what is kept of them, what a tick costs, and that short ones are drawn as ever."""

import hashlib
import itertools
import json
import random
import threading
from pathlib import Path

import pytest
from configs import demo_config
from drawn import watch_page
from made_runs import create_run

from workbench.core.monitoring import run_log
from workbench.core.monitoring.charts import charts
from workbench.core.monitoring.health import examine
from workbench.core.monitoring.metrics import as_trained, latest
from workbench.core.monitoring.progress import progress
from workbench.core.monitoring.run_log import KEPT_WHOLE, LATEST, POINTS_PER_LINE, Digest, RunLog
from workbench.jobs import logs
from workbench.jobs.app_state import AppState
from workbench.jobs.logs import Logs
from workbench.jobs.proposals import findings_of
from workbench.store.metrics_file import glance
from workbench.ui import run_view


def steps_of(count, first=1, **numbers):
    for step in range(first, count + 1):
        yield {
            "stage": "dpo",
            "step": step,
            "steps": count,
            "time": 2.0 * step,
            "loss": 0.6,
            "grad_norm": 1.0,
            **numbers,
        }


def write(run, rows, how="w"):
    with open(run.metrics_file, how) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def middling():
    """1,500 random steps, with gaps and an evaluation at each 150th."""
    dice = random.Random(9)
    for step in range(1501):
        shared = {"stage": "dpo", "step": step, "steps": 1500, "time": 2.0 * step}
        if step:
            yield shared | {
                "loss": dice.random() if step % 97 else None,
                "grad_norm": dice.random(),
                "learning_rate": 1e-4,
                "rewards/margins": dice.gauss(0, 1),
                **{f"rewards/{name}": dice.random() for name in ("accuracies", "chosen", "rejected")},
            }
        if step % 150 == 0:
            yield shared | {
                "eval_loss": dice.random(),
                "eval_rewards/margins": dice.random() * (step > 0),
                **{f"eval_rewards/{name}": dice.random() for name in ("accuracies", "chosen", "rejected")},
            }


@pytest.mark.parametrize(
    ("rows", "steps", "drawn"), [("healthy", 50, "f7239a75b672d7ff"), ("middling", 1500, "430119c87ecb2da4")]
)
def test_the_charts_of_a_run_of_ordinary_size_are_what_they_were_when_all_rows_were_kept(rows, steps, drawn):
    """The fingerprints were taken of the lines that version 0.1 drew of the same rows."""
    lines = (Path(__file__).parent / "runs" / "healthy-demo.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines] if rows == "healthy" else list(middling())
    former = ("accuracy", "dpo-loss", "gradient-norm", "learning-rate", "margin", "rewards")
    every = charts(RunLog.of(logged), {"dpo": steps})
    found = {ident: every[ident]["lines"] for ident in former}
    for line in found["accuracy"]:
        line.pop("band", None)
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16] == drawn


def test_a_short_run_keeps_every_row_in_its_order():
    rows = [
        {"phase": "starting"},
        *steps_of(50),
        {"phase": "resumed", "stage": "dpo", "resumed": 20},
        *steps_of(30, 21),
    ]
    assert RunLog.of(rows).rows == as_trained(rows)
    assert [row.get("step") for row in as_trained(rows)] == [None, *range(1, 21), None, *range(21, 31)]


def test_a_long_run_keeps_little_and_what_stands_out():
    """20,000 steps with an evaluation after each 1,000; one gradient of 50, one loss of -3 and one gap."""
    rows = []
    for row in steps_of(20_000):
        rows.append(
            row | {7_003: {"grad_norm": 50.0}, 9_001: {"loss": -3.0}, 11_111: {"loss": None}}.get(row["step"], {})
        )
        if row["step"] % 1000 == 0:
            rows.append(
                {name: row[name] for name in ("stage", "step", "steps", "time")} | {"eval_loss": 1 / row["step"]}
            )
    log = RunLog.of(rows)
    assert len(log.rows) <= KEPT_WHOLE + 20
    assert log.rows[:20] == rows[:20] and log.rows[-LATEST:] == rows[-LATEST:]
    assert [row["step"] for row in log.rows if "eval_loss" in row] == list(range(1000, 20_001, 1000))
    assert {7_003, 7_004, 7_005, 11_111} <= {row["step"] for row in log.rows}
    for key, peak in (("grad_norm", (7_003, 50.0)), ("loss", (9_001, -3.0))):
        points = log.points("dpo", key)
        assert len(points) <= POINTS_PER_LINE and points == sorted(points)
        assert peak in points and (points[0][0], points[-1][0]) == (1, 20_000)


def test_points_are_the_same_however_the_rows_come_in():
    """One by one with a look after each 700, or all at once."""
    dice = random.Random(3)
    rows = [row | {"loss": dice.random() if dice.random() > 0.01 else None} for row in steps_of(6_000)]
    slowly = Digest()
    for place, row in enumerate(rows):
        slowly.add(row)
        if place % 700 == 0:
            slowly.log()
    assert slowly.log() == RunLog.of(rows)


def test_the_lowest_and_the_highest_point_of_each_bucket_are_kept():
    """4,000 steps are more than 2,000; in buckets of 32 steps they are 126, in buckets of 16 more than 199."""
    dice = random.Random(4)
    values = {step: dice.random() for step in range(1, 4001)}
    points = RunLog.of(row | {"loss": values[row["step"]]} for row in steps_of(4000)).points("dpo", "loss")
    wanted = {1, 4000}
    for _, steps in itertools.groupby(values, key=lambda step: step // 32):
        steps = list(steps)
        wanted |= {min(steps, key=values.__getitem__), max(steps, key=values.__getitem__)}
    assert points == [(step, values[step]) for step in sorted(wanted)]


def test_a_long_run_that_goes_back_forgets_what_came_after():
    again = [{"phase": "resumed", "stage": "dpo", "resumed": 6_000}, *steps_of(6_010, 6_001, loss=0.1)]
    log = RunLog.of([*steps_of(9_000), *again])
    assert max(step for step, _ in log.points("dpo", "loss")) == 6_010
    assert [row["step"] for row in log.rows if row.get("loss") == 0.1] == list(range(6_001, 6_011))
    assert log.rows[-1]["step"] == 6_010 and all(row.get("step", 0) <= 6_010 for row in log.rows)


def test_an_evaluation_at_each_step_and_no_end_of_phases_stay_bounded():
    rows = ({"stage": "sft", "step": n, "steps": n, "time": 1.0, "eval_loss": 2.0 - (n == 5_000)} for n in range(9_000))
    log = RunLog.of(rows)
    assert len(log.rows) <= KEPT_WHOLE and min(row["eval_loss"] for row in log.rows) == 1.0
    assert len(RunLog.of({"phase": str(n)} for n in range(9_000)).rows) <= run_log.EVENTS


def test_time_left_and_health_of_a_long_run_are_those_of_all_its_rows():
    """Steps of 2 s: 1,000 of 6,000 are left, 2,000 s. A gradient of 50 that did no harm is forgotten; no rule speaks."""
    shared = {"rewards/margins": 0.3, "rewards/accuracies": 0.8, "rewards/chosen": 0.1, "rewards/rejected": -0.2}
    dice = random.Random(5)
    rows = [row | {"loss": 0.5 + dice.random() / 10, "grad_norm": 50.0 if row["step"] == 3_000 else 1.0, "steps": 6_000,
                   "learning_rate": 2e-4, "logps/chosen": -100.0 - dice.random() * 9}
            for row in steps_of(5_000, **shared)]  # fmt: skip
    config, plan, kept = demo_config(method="dpo", dpo={"learning_rate": 2e-4}), {"dpo": 6_000}, RunLog.of(rows).rows
    assert progress(kept, plan) == progress(rows, plan) and progress(kept, plan).seconds_left == 2_000
    assert examine(kept, config, plan) == examine(rows, config, plan) == []
    rows[-1] |= {"loss": None}
    (finding,) = examine(RunLog.of(rows).rows, config, plan)
    assert (finding.rule, finding.step) == ("exploding", 5_000)


def test_only_what_is_new_is_read_and_what_was_given_out_stays_as_it_is():
    app, run = AppState(), create_run(demo_config())
    write(run, steps_of(1))
    first = app.read(run)
    assert [row["step"] for row in first.log.rows] == [1]
    assert app.read(run) is first, "nothing new: the same, so that nothing is drawn again"
    write(run, steps_of(2, 2), "a")
    assert [row["step"] for row in app.read(run).log.rows] == [1, 2]
    assert len(first.log.rows) == 1 and app.read(run).version != first.version


def test_no_look_waits_for_another_one(monkeypatch):
    """While a tab reads a run, a second one gets what is known of it, and a look at another run is not held up."""
    known, run, other = Logs(), create_run(demo_config("long")), create_run(demo_config("other"))
    write(run, steps_of(3))
    write(other, steps_of(4))
    begun, may_end = threading.Event(), threading.Event()
    read = logs.MetricsFile.read

    def slowly(self, seconds):
        if self.lines.path == run.metrics_file:
            begun.set()
            assert may_end.wait(20)
        return read(self, seconds)

    monkeypatch.setattr(logs.MetricsFile, "read", slowly)
    first = threading.Thread(target=known.read, args=[run])
    first.start()
    assert begun.wait(20)
    assert known.read(run).log.rows == () and len(known.read(other).log.rows) == 4
    may_end.set()
    first.join()
    assert len(known.read(run).log.rows) == 3


def test_a_file_that_takes_long_is_shown_at_a_glance_until_it_is_read(monkeypatch):
    """8,000 rows are some 1 MB; a turn reads one slice of 200 kB of them."""
    monkeypatch.setattr("workbench.store.json_lines.SLICE", 200_000)
    monkeypatch.setattr(logs, "TURN", 1.5)
    monkeypatch.setattr(logs, "REST", 0.0)
    app, run = AppState(), create_run(demo_config("long", method="dpo"))
    run.write_environment({"plan": {"dpo": 8000}})
    write(run, steps_of(8000))
    monkeypatch.setattr("workbench.store.json_lines.time", Clock())
    reading = app.read(run)
    assert 0.1 < reading.share < 0.3 and not reading.is_whole
    assert reading.log.rows[-1]["step"] == 8000, "the glance sees the end as well"
    assert len(reading.log.points("dpo", "loss")) > 100
    assert "of metrics.jsonl is read so far" in run_view.reading_html(reading)[0]
    assert findings_of(app, run) == [], "half of a run is not judged"
    for _ in range(12):
        reading = app.read(run)
    assert reading.is_whole and run_view.reading_html(reading) == []
    assert reading.log == RunLog.of(steps_of(8000))


class Clock:
    """A second goes by between any two looks at it."""

    def __init__(self):
        self.monotonic = itertools.count().__next__


def test_a_glance_at_a_short_file_is_all_of_it():
    run = create_run(demo_config())
    write(run, steps_of(300))
    assert glance(run.metrics_file) == RunLog.of(steps_of(300))
    run.metrics_file.unlink()
    assert glance(run.metrics_file) == RunLog.of([])


def test_the_watch_page_says_what_cannot_be_read_and_shows_the_rest():
    run = create_run(demo_config("torn", method="dpo"))
    run.write_environment({"plan": {"dpo": 20}})
    write(run, [*steps_of(20), {"loss": 0.5}, {"loss": 0.4}])
    with open(run.metrics_file, "a") as file:
        file.write("no JSON\n")
    run.samples_file.write_text("{}\n")
    run.write_result("stopped", "Stopped as asked.")
    app = AppState()
    head = watch_page("torn", app)["wb-watch-head"]
    assert "3 lines of metrics.jsonl cannot be read: 2 have no step, 1 is not readable JSON." in head
    assert "1 line of samples.jsonl cannot be read: 1 is not a whole sample answer." in head
    assert latest(app.read(run).log.rows, "loss", "dpo") == 0.6
