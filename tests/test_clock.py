"""Where the time of a run goes: each second counts once, for one kind of work, through all lives of its worker."""

import json
import time

import pytest
from configs import demo_config
from made_runs import create_run, first_settings

from workbench.cli.printing import run_facts
from workbench.core.monitoring.time_spent import TITLES, seconds_label, spent_summary, time_spent
from workbench.engine import clock as clock_module
from workbench.engine import train
from workbench.engine.clock import BETWEEN_WRITINGS, RunClock
from workbench.engine.place import Place
from workbench.ui.run_view import details_html
from workbench.ui.time_bar import time_bar


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def run():
    return create_run(demo_config())


def test_each_second_counts_for_the_innermost_work_alone(run):
    """3 s loading, 1 s of data within it; a step of 2 s; an evaluation of 4 s, of which 1.5 are answers and .5 a saved adapter"""
    hands = Hands()
    clock = RunClock(run, clock=hands)
    hands.on(2)
    with clock.counting("data"):
        hands.on(1)
    hands.on(1)
    clock.begin("steps")
    hands.on(2)
    with clock.counting("evaluation"):
        hands.on(2)
        with clock.counting("samples"):
            hands.on(1.5)
        with clock.counting("checkpoints"):
            hands.on(0.5)
    clock.write()
    assert run.seconds() == {
        "loading": 3, "data": 1, "steps": 2, "evaluation": 2, "samples": 1.5, "checkpoints": 0.5,
    }  # fmt: skip


def test_work_that_fails_is_counted_and_ends(run):
    hands = Hands()
    clock = RunClock(run, clock=hands)

    def fails() -> None:
        hands.on(3)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        clock.counted("evaluation", fails)()
    hands.on(1)
    clock.write()
    assert (run.seconds()["evaluation"], run.seconds()["loading"]) == (3, 1)


def test_a_worker_goes_on_where_the_one_before_was_killed(run):
    """The first one is killed 2 s after it wrote: those are lost, and nothing else is."""
    hands = Hands()
    first = RunClock(run, clock=hands)
    hands.on(4)
    first.begin("steps")
    for _ in range(3):
        hands.on(BETWEEN_WRITINGS)
        first.note()
    hands.on(2)
    first.note()  # too early to be written
    hands.on(600)  # a night
    second = RunClock(run, clock=hands)
    hands.on(1)
    second.begin("steps")
    assert run.seconds() | {"steps": 0} == dict.fromkeys(TITLES, 0) | {"loading": 5}
    assert run.seconds()["steps"] == 3 * BETWEEN_WRITINGS


def test_what_cannot_be_written_ends_no_run_and_makes_no_folder_anew(run, monkeypatch):
    place = Place(run)
    clock = RunClock(run, place)
    monkeypatch.setattr(clock_module, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    clock.write()
    monkeypatch.undo()
    run.config_file.unlink()
    clock.write()
    assert not run.clock_file.exists(), "the folder is no run any more"


def test_a_damaged_file_reads_as_nothing_counted_and_is_named(run):
    for text in ("{", '{"steps": -1}', '{"steps": NaN}', '{"steps": 1e300}', "[]"):
        run.clock_file.write_text(text)
        assert run.seconds() == {} and "clock.json" in run.notes()[0]
    run.clock_file.write_text(json.dumps({"steps": 2, "dreams": 9}))
    assert run.seconds() == {"steps": 2}, "what another version counted is passed over"


def test_shares_are_of_all_that_was_counted():
    """60 + 30 + 10 = 100 s"""
    spent = time_spent({"steps": 60, "evaluation": 30, "samples": 10, "data": 0})
    assert [(one.work, one.share) for one in spent] == [("steps", 0.6), ("evaluation", 0.3), ("samples", 0.1)]
    assert spent_summary(spent) == (
        "1 min 40 s in all: 60% training steps, 30% held-out evaluations, 10% sample answers"
    )
    assert time_spent({}) == time_spent(dict.fromkeys(TITLES, 0.0)) == []
    assert [seconds_label(one) for one in (0.44, 9.97, 59.6, 155, 4350)] == [
        "0.4 s", "10 s", "1 min 0 s", "2 min 35 s", "1 h 12 min",
    ]  # fmt: skip


def test_the_bar_says_in_a_table_what_it_shows():
    shown = time_bar({"steps": 60, "evaluation": 40})
    assert 'role="img" aria-label="1 min 40 s in all: 60% training steps, 40% held-out evaluations"' in shown
    assert "width:60.000%" in shown and "<td>1 min 0 s</td><td>60%</td>" in shown
    assert time_bar({}) == ""


def test_a_run_that_is_paused_and_goes_on_has_the_time_of_both_its_lives(one_base, after_step):
    """What is counted is what passed, to a tenth: nothing is left out, and nothing counts twice."""
    config = demo_config(
        "timed", **first_settings() | {"evaluations": 2, "samples": 2, "dpo": {"learning_rate": 2e-4, "max_steps": 4}}
    )
    run = create_run(config)
    after_step(2, lambda _: run.stop_file.write_text("pause"))
    passed = []
    for outcome in ("paused", "finished"):
        began = time.monotonic()
        assert train.main(str(run.folder)) == 0 and run.result().outcome == outcome, run.result()
        passed.append(time.monotonic() - began)
        known = run.seconds()
        assert sum(passed) * 0.9 - 0.5 < sum(known.values()) <= sum(passed)
        assert all(known[work] > 0 for work in TITLES), known
        if outcome == "paused":
            before, _ = known, run.forget_end()
    assert all(known[work] >= before[work] for work in TITLES) and known["steps"] > before["steps"]
    assert "Where its time went" in details_html(run)


def test_a_run_of_an_earlier_version_has_no_bar(first_run):
    assert "Where its time went" in details_html(first_run)
    assert run_facts(first_run)["time_spent"] == first_run.seconds() != {}
    first_run.clock_file.unlink()
    assert "Where its time went" not in details_html(first_run)
