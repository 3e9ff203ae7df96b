"""What is read under a chart, its numbers, and how often a reading is wrong."""

import math
import random
from collections import Counter

import pytest
from configs import demo_config
from made_curves import made_curves
from made_runs import create_run
from recorded_readings import recorded, wrong_of

from workbench.core.monitoring.charts import CHART_IDS, charts, readings
from workbench.core.monitoring.explained import EXPLAINED
from workbench.core.monitoring.health import examine
from workbench.core.monitoring.readings import Series, every_stage, losses, preference
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.methods import METHODS
from workbench.engine.meter import Meter
from workbench.jobs.proposals import when_first_said

PLAN = {"dpo": 20}
# What the settings of a method must name besides.
FORM: dict[str, dict[str, object]] = {
    "kto": {"thumbs_data": "demo-thumbs"},
    "rloo": {"batch_size": 32, "accumulation": 1, "rloo": {"answer_tokens": 40, "rules": "1 words: gladly"}},
}
AT_START = {"answers/chosen": 20.0, "answers/rejected": 40.0, "answers/examples": 100.0}


def row(step, **numbers):
    return {"stage": "dpo", "step": step, "steps": 20, "time": float(step)} | numbers


def measured(step, chosen, rejected, **more):
    values = {"chosen": chosen, "rejected": rejected, "margins": chosen - rejected}
    speed = {"eval_runtime": 4.0, "eval_samples_per_second": 25.0, "eval_loss": 0.69}
    return row(step, **speed, **{f"eval_rewards/{key}": value for key, value in values.items()}, **more)


def drawn(*rows, **about):
    return charts(RunLog.of([row(0, **AT_START), *rows]), PLAN, demo_config(method="dpo", dpo={"beta": 0.1}), **about)


def test_every_chart_is_explained_with_sketches_that_can_be_drawn():
    assert set(EXPLAINED) == set(CHART_IDS)
    for ident, one in EXPLAINED.items():
        for sketch in (one.sketch_good, one.sketch_bad):
            assert len(sketch) > 2 and [x for x, _ in sketch] == sorted({x for x, _ in sketch}), ident
            assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in sketch), ident
        assert one.what.endswith(".") and one.good.endswith(".") and one.bad.endswith("."), ident


def test_margin_and_drift_in_nats_are_rewards_over_beta_and_tokens():
    """Beta 0.1: a margin of 0.6 is 6 nats; chosen +0.2 is 2 nats in 20 tokens, 0.1 each; rejected -0.4 is -4 in 40, -0.1."""
    found = drawn(measured(0, 0.0, 0.0), measured(10, 0.2, -0.4))
    assert found["margin-nats"]["lines"][0]["points"] == [[0, 0.0], [10, pytest.approx(6.0)]]
    chosen, rejected = (line["points"] for line in found["drift"]["lines"])
    assert chosen[1] == [10, pytest.approx(0.1)] and rejected[1] == [10, pytest.approx(-0.1)]
    assert found["margin-nats"]["reading"] == "The margin has grown and held-out follows, now 6 nats: healthy."
    assert "chosen +2 nats, rejected −4 nats" in found["rewards"]["reading"]


def test_a_log_probability_is_told_per_token_and_as_a_chance():
    """20 tokens at -20 nats: one nat each, a chance of 37 %; at -10: half a nat, 61 %."""
    logps = [
        {"eval_logps/chosen": -20.0, "eval_logps/rejected": -40.0},
        {"eval_logps/chosen": -10.0, "eval_logps/rejected": -80.0},
    ]
    found = drawn(measured(0, 0.0, 0.0, **logps[0]), measured(10, 1.0, -4.0, **logps[1]))["log-probabilities"]
    assert found["lines"][0]["points"] == [[0, -1.0], [10, -0.5]] and found["lines"][1]["points"] == [
        [0, -1.0],
        [10, -2.0],
    ]
    assert "A typical chosen token went from 37% to 61%, a rejected one from 37% to 14%" in found["reading"]


def test_the_held_out_accuracy_has_its_interval():
    """100 held-out pairs, 4 seconds at 25: 80 of them right are 71 to 87 % by Wilson."""
    accuracy = {"eval_rewards/accuracies": 0.8}
    found = drawn(measured(0, 0.0, 0.0), measured(10, 0.2, -0.4, **accuracy))["accuracy"]
    (line,) = found["lines"]
    ((step, low, high),) = line["band"]
    assert (step, round(low, 2), round(high, 2)) == (10, 0.71, 0.87)
    assert "On 100 held-out pairs the chosen answer wins in 80% of cases, 95% interval 71% to 87%" in found["reading"]


def test_an_accuracy_of_margins_that_are_next_to_nothing_is_not_praised():
    """31 % of pairs by a margin of a thousandth of a nat says nothing of the labels."""
    held_out = Series((0, 10), (0.5, 0.31))
    assert preference.accuracy(Series(), held_out, 112).claim == "below"
    assert preference.accuracy(Series(), held_out, 112, hardly_moved=True).claim == "too small"


def test_findings_are_marks_at_their_step_of_the_whole_run():
    config = demo_config(method="sft+dpo")
    rows = [row(step, loss=0.69, grad_norm=0.0, learning_rate=1e-4) for step in range(1, 8)]
    plan = {"sft": 30, "dpo": 20}
    findings = examine(rows, config, plan)
    assert [one.rule for one in findings] == ["nothing_moves"]
    marks = charts(RunLog.of(rows), plan, config, findings)["margin"]["marks"]
    assert marks == [{"x": 37, "label": findings[0].title, "severity": findings[0].severity}]


def test_memory_is_drawn_against_its_forecast_and_read_so():
    rows = [row(step, loss=0.6, memory_in_use=2.5e9, tokens_per_second=1000.0) for step in range(1, 9)]
    found = drawn(*rows, forecasts={"dpo": 2_000_000_000})
    assert found["memory"]["references"] == [{"y": 2.0, "label": "forecast"}]
    assert found["memory"]["lines"][0]["points"][0] == [1, 2.5]
    assert found["memory"]["reading"] == "2.5 GB now, 2.5 GB at most: more than the 2 GB that were forecast."
    assert found["speed"]["reading"].startswith("1,000 tokens per second, about as fast")


def test_what_has_no_beta_or_no_tokens_leaves_its_charts_empty():
    found = charts(RunLog.of([measured(0, 0.0, 0.0), measured(9, 0.1, 0.0)]), PLAN)
    assert all(found[ident]["lines"] == [] for ident in ("margin-nats", "drift", "log-probabilities", "memory"))
    assert found["margin"]["lines"]


def test_sentences_that_a_newcomer_asks_for():
    falling = Series(tuple(range(0, 60, 10)), (0.0, -1.0, -2.0, -3.0, -4.0, -5.0))
    deeper = Series(falling.steps, tuple(3 * value for value in falling.values))
    told = preference.sides(falling, deeper, 0.5, 0.01, 200.0)
    assert (
        told.text == "Chosen is falling, normal at beta 0.01; rejected falls faster: chosen −5 nats, rejected −15 nats."
    )
    rises = Series(tuple(range(0, 90, 10)), (0, 0, 0, 0, 0, 3, 5, 7, 9))
    assert (
        preference.margin(Series(), rises, 0.5).text
        == "The margin has grown since step 40 and held-out follows, now 9: healthy."
    )
    best = losses.loss(Series(), Series((0, 10, 20, 30, 40), (0.7, 0.6, 0.52, 0.55, 0.57)))
    assert best.text == "Held-out was lowest at step 20, 0.52, and is 0.57 now: past its best, it overfits."


def test_a_curve_without_a_number_is_said_and_never_an_error():
    for told in (
        losses.loss(Series(), Series()),
        losses.loss(Series.of([(1, None)]), Series()),
        preference.margin(Series.of([(1, None), (2, None)]), Series(), 0.5),
        preference.sides(Series(), Series(), 0.5),
        preference.drift(Series(), Series()),
        every_stage.gradient(Series()),
        every_stage.memory(Series(), None),
        every_stage.learning_rate(Series()),
    ):
        assert told.text and told.claim in ("early", "broken")


def test_a_long_curve_is_read_by_the_means_of_neighbours():
    """10,000 points of a line from 0 to 1 with noise of 1: the end is told apart, and so is the last step."""
    noisy = Series.of([(step, step / 10_000 + math.sin(step * 12.9898) * 1.4) for step in range(10_000)])
    assert len(noisy) <= 120 and noisy.steps[-1] == 9_999 and noisy.moved(0.1) == 1


def test_at_most_one_reading_in_twenty_is_wrong_on_curves_made_up_from_other_seeds():
    """The seeds were not used while the readings were written."""
    made = [one for seed in range(5000, 5025) for one in made_curves(seed)]
    wrong = Counter(one.family for one in made if not one.is_right)
    print(f"{wrong.total()} of {len(made)} readings wrong: {wrong}")
    assert len(made) > 1000 and wrong.total() <= 0.05 * len(made), wrong


def test_at_most_one_reading_in_twenty_is_wrong_on_the_recorded_runs():
    runs = list(recorded())
    judged = sum(len(run.known) for run in runs)
    wrong = [(run.name, *one) for run in runs for one in wrong_of(run)]
    print(f"{len(wrong)} of {judged} readings wrong: {wrong}")
    assert judged > 300 and len(wrong) <= 0.05 * judged, wrong


def test_no_reading_of_a_healthy_run_is_an_alarm():
    alarms = {
        (run.name, ident): one.text
        for run in recorded()
        if run.name.startswith("well")
        for ident, one in run.readings.items()
        if one.tone == "trouble"
    }
    assert not alarms


def test_readings_go_by_the_same_numbers_as_the_charts():
    log = RunLog.of([row(0, **AT_START), measured(0, 0.0, 0.0), measured(10, 0.2, -0.4)])
    config = demo_config(method="dpo")
    every, told = charts(log, PLAN, config), readings(log, PLAN, config)
    assert set(told) == {ident for ident, one in every.items() if one["lines"]} and "margin" in told
    assert all(every[ident]["reading"] == one.text for ident, one in told.items())


def test_the_speed_of_a_row_counts_from_the_beginning_of_its_step(monkeypatch):
    """Steps of 2 s with an evaluation of 100 s between them: 300 tokens in 2 s are 150 a second."""
    now = [0.0]
    monkeypatch.setattr("workbench.engine.meter.time.perf_counter", lambda: now[0])
    meter = Meter()
    meter.begin()
    now[0] = 2.0
    first = meter.measure(500.0)
    now[0] = 102.0
    meter.begin()
    now[0] = 103.0
    meter.begin()  # of two steps between two rows the first one counts
    now[0] = 104.0
    second = meter.measure(800.0)
    assert "tokens_per_second" not in first and first["memory_in_use"] > 1e6
    assert second["tokens_per_second"] == 150.0
    assert "tokens_per_second" not in meter.measure(None)


def test_a_finding_is_marked_where_it_was_first_said():
    """The rule looks at row 7 now; the worker said it at step 4, and a torn line behind that is not read."""
    run = create_run(demo_config(method="dpo"))
    rows = [row(step, loss=0.69, grad_norm=0.0, learning_rate=1e-4) for step in range(1, 8)]
    (found,) = examine(rows, run.config(), PLAN)
    assert when_first_said(run, [found]) == [found] and found.step == 7
    for step in (4, 6):
        run.note_finding(found.model_copy(update={"step": step}).model_dump(mode="json"))
    with open(run.folder / "findings.jsonl", "ab") as torn:
        torn.write(b'["no finding"]\n{"rule": "nothing_moves", "step": 1, "sta')
    assert [one.step for one in when_first_said(run, [found])] == [4]


# What trainers log, each in training and held out; the values are those that arithmetic stumbles over.
LOGGED = (
    "loss", "learning_rate", "grad_norm", "entropy", "memory_in_use", "tokens_per_second", "mean_token_accuracy", "num_tokens",
    "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/margins_error", "rewards/accuracies", "logps/chosen",
    "logps/rejected", "reward", "reward_std", "kl", "frac_reward_zero_std", "completions/mean_length", "completions/clipped_ratio",
    "generating_time", "step_time", "reward/pairs", "reward/spread", "reward/calibration_error", "reward/shorter_pairs",
    "reward/shorter_accuracy", "nll_loss", "log_odds_ratio", "log_odds_chosen", "runtime", "samples_per_second",
)  # fmt: skip
AT_THE_START = ("answers/chosen", "answers/rejected", "answers/examples", "answers/commonest", "answers/ended")
AWKWARD = (0.0, 0.0, -0.0, 1e-12, 1e-300, 1.0, -1.0, 0.5, 3e38, -3e38, None)


@pytest.mark.parametrize("stage", METHODS)
def test_whatever_a_run_has_logged_its_charts_are_drawn_and_its_rules_looked_at(stage):
    """A run that was paused at its first step, whose rate was 0, once took its page with it."""
    config = demo_config(method=stage, **FORM.get(stage, {}))
    for seed in range(120):
        dice = random.Random(f"{stage} {seed}")
        pool = dice.choice([(0.0,), (0.0, None), AWKWARD, AWKWARD])
        names = dice.sample(LOGGED, dice.randint(1, len(LOGGED)))
        rows = [
            {"stage": stage, "step": 0, "steps": 20, "time": 0.0} | {name: dice.choice(pool) for name in AT_THE_START}
        ]
        for step in range(dice.choice([0, 1, 1, 2, 3, 12, 20]) + 1):
            where = {"stage": stage, "step": step, "steps": 20, "time": float(dice.choice([step, 0]))}
            rows += [where | {name: dice.choice(pool) for name in names}] if step else []
            rows += [where | {f"eval_{name}": dice.choice(pool) for name in names}] if step % 3 == 0 else []
        log = RunLog.of(rows)
        found = examine(log.rows, config, {stage: 20})
        assert charts(log, {stage: 20}, config, forecasts={stage: dice.choice([0, 10**9])}).keys() == set(CHART_IDS), (
            found
        )
