"""Logged rows -> charts, progress and time left, with numbers worked by hand."""

import math

import pytest

from workbench.core.monitoring import charts as charts_module
from workbench.core.monitoring.charts import thin_out
from workbench.core.monitoring.metrics import latest
from workbench.core.monitoring.progress import next_checkpoint, progress, seconds_per_step
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.run_state import state, why_lost

PLAN = {"sft": 10, "dpo": 20}


def charts(rows, plan):
    return charts_module.charts(RunLog.of(rows), plan)


def sft_row(step, time, **numbers):
    return {"stage": "sft", "step": step, "steps": 10, "time": time, **numbers}


def dpo_row(step, time, **numbers):
    return {"stage": "dpo", "step": step, "steps": 20, "time": time, **numbers}


def test_steps_count_through_both_stages_on_one_axis():
    rows = [sft_row(1, 0, loss=3.0), dpo_row(1, 5, **{"loss": 0.69, "rewards/margins": 0.1})]
    drawn = charts(rows, PLAN)
    assert drawn["sft-loss"]["lines"][0]["points"] == [[1, 3.0]]
    assert drawn["margin"]["lines"][0]["points"] == [[11, 0.1]]
    assert drawn["dpo-loss"]["references"] == [{"y": math.log(2), "label": "ln 2: no preference yet"}]


def test_a_curve_of_two_runs_has_a_mark_where_they_part():
    """Branched off at step 1 of DPO, behind 10 SFT steps: at step 11."""
    branched = {"phase": "branched off", "forked": {"run": "first", "stage": "dpo", "step": 1}}
    drawn = charts([dpo_row(1, 5, loss=0.69), branched, dpo_row(2, 6, loss=0.6)], PLAN)
    assert drawn["dpo-loss"]["marks"] == [{"x": 11, "label": "branched off"}]
    assert [mark["label"] for mark in drawn["gradient-norm"]["marks"]] == ["DPO starts", "branched off"]


def test_held_out_numbers_are_lines_of_their_own():
    rows = [dpo_row(0, 0, eval_loss=0.6931), dpo_row(1, 1, loss=0.69), dpo_row(5, 5, eval_loss=0.6)]
    lines = {line["name"]: line for line in charts(rows, {"dpo": 20})["dpo-loss"]["lines"]}
    assert lines["held-out"]["points"] == [[0, 0.6931], [5, 0.6]]
    assert lines["held-out"]["style"] == "dotted"
    assert lines["training"]["points"] == [[1, 0.69]]


def test_a_stage_that_did_not_run_leaves_its_chart_empty():
    assert charts([sft_row(1, 0, loss=3.0)], {"sft": 10})["margin"]["lines"] == []


def test_an_accuracy_of_nothing_but_ties_is_not_drawn():
    """Before the first update every margin is 0, and TRL calls that an accuracy of 0: the chart would begin with a lie."""
    rows = [
        dpo_row(0, 0, **{"eval_rewards/accuracies": 0.0, "eval_rewards/margins": 0.0}),
        dpo_row(5, 5, **{"eval_rewards/accuracies": 0.8, "eval_rewards/margins": 0.2}),
    ]
    drawn = charts(rows, {"dpo": 20})
    assert drawn["accuracy"]["lines"][0]["points"] == [[5, 0.8]]
    assert drawn["margin"]["lines"][0]["points"] == [[0, 0.0], [5, 0.2]]


def test_a_loss_that_is_not_a_number_is_a_gap_and_not_an_error():
    rows = [dpo_row(1, 0, loss=0.6), dpo_row(2, 1, loss=None)]
    assert charts(rows, {"dpo": 20})["dpo-loss"]["lines"][0]["points"] == [[1, 0.6], [2, None]]
    assert latest(rows, "loss") is None


def test_the_time_left_counts_the_stage_to_come_twice():
    """4 of 10 SFT steps at 2 s each: 6 more are 12 s; 20 DPO steps at twice the pace are 80 s."""
    rows = [sft_row(step, 100 + 2 * step, loss=1.0) for step in range(1, 5)]
    now = progress([{"phase": "training SFT", "time": 99}, *rows], PLAN)
    assert (now.step, now.steps, now.stage, now.phase) == (4, 30, "sft", "training SFT")
    assert now.seconds_left == 12 + 80


def test_the_time_left_takes_what_an_earlier_run_measured_for_the_stage_to_come():
    """4 of 10 SFT steps at 2 s each: 6 more are 12 s; 20 DPO steps at 7 s, as they took another run, are 140 s."""
    rows = [sft_row(step, 100 + 2 * step, loss=1.0) for step in range(1, 5)]
    assert progress(rows, PLAN, {"dpo": 7.0}).seconds_left == 12 + 140


def test_evaluations_have_their_share_of_the_time_left():
    """Steps of 2 s, with an evaluation of 10 s after every fifth: 2 + 10 / 5 = 4 s a step, 10 steps left."""
    rows, now = [dpo_row(0, 0, eval_loss=0.69, eval_runtime=10)], 0
    for step in range(1, 11):
        now += 2
        rows.append(dpo_row(step, now, loss=0.6))
        if step % 5 == 0:
            now += 10
            rows.append(dpo_row(step, now, eval_loss=0.6, eval_runtime=10))
    assert seconds_per_step(rows, "dpo", 4) == 4
    assert progress(rows, {"dpo": 20}, evaluations=4).seconds_left == 40
    assert seconds_per_step(rows[:4], "dpo", 4) == 4, "the evaluation before the first step was timed already"


@pytest.mark.parametrize("jump", [5 * 3600, -5 * 3600], ids=["forth", "back"])
def test_a_clock_that_jumps_by_hours_leaves_the_time_left_as_it_was(jump):
    """Steps of 3 s; the clock was put while an evaluation of 6 s ran, one each 10 steps. So 3.6 s a step, or 3 s where the
    evaluation seems to have ended before it began."""
    rows = [dpo_row(step, 3 * step, loss=0.6) for step in range(1, 5)]
    rows += [dpo_row(0, 0, eval_loss=0.69, eval_runtime=6), dpo_row(4, 18 + jump, eval_loss=0.6, eval_runtime=6 + jump)]
    rows += [dpo_row(step, 6 + 3 * step + jump, loss=0.6) for step in range(5, 11)]
    assert seconds_per_step(rows, "dpo", 2) == pytest.approx(3.6 if jump > 0 else 3.0)
    assert 0 < progress(rows, {"dpo": 20}).seconds_left < 60


def test_the_next_checkpoint_comes_by_steps_or_by_ten_minutes_whichever_is_first():
    """Steps of 2 s: one each 50 steps. Steps of 20 s: 600 s are 30 steps after the last one, at step 60."""
    quick = [{"stage": "dpo", "step": n, "steps": 200, "time": 2 * n, "loss": 0.6} for n in range(1, 71)]
    found = next_checkpoint(quick, "dpo", 50, 50)
    assert (found.step, found.seconds) == (100, 60)
    slow = [{"stage": "dpo", "step": n, "steps": 200, "time": 20 * n, "loss": 0.6} for n in range(1, 34)]
    assert next_checkpoint(slow, "dpo", 50, 30).step == 50
    found = next_checkpoint(slow, "dpo", 100, 30)
    assert (found.step, found.seconds) == (60, 540)
    assert next_checkpoint(quick, "dpo", 500, 50) is None, "the stage ends before"
    assert next_checkpoint(quick[:1], "dpo", 50, None) is None, "no step was timed yet"


def test_the_time_left_of_the_last_stage_is_its_own():
    rows = [dpo_row(step, 3 * step, loss=0.6) for step in range(1, 11)]
    now = progress(rows, PLAN)
    assert (now.step, now.seconds_left) == (20, 30)


def test_there_is_no_time_left_before_two_steps_were_timed():
    assert progress([], PLAN).seconds_left is None
    assert progress([sft_row(1, 0, loss=1.0)], PLAN).seconds_left is None
    assert seconds_per_step([sft_row(1, 0, loss=1.0)], "sft") is None


def test_thinned_lines_keep_their_ends_and_their_peaks():
    points = [[x, 0.0] for x in range(10_000)]
    points[5_003][1] = 9.0
    points[7_001][1] = -9.0
    thin = thin_out(points)
    assert len(thin) <= 402
    assert thin[0] == points[0] and thin[-1] == points[-1]
    assert [5_003, 9.0] in thin and [7_001, -9.0] in thin
    assert thin == sorted(thin, key=lambda point: point[0])


def test_thinned_lines_keep_their_gaps():
    assert list({point[1] for point in thin_out([[x, None] for x in range(1000)])}) == [None]


def test_a_run_is_what_its_process_and_its_result_say():
    assert state(alive=True, outcome=None) == "running"
    assert state(alive=False, outcome=None) == "lost"
    assert state(alive=False, outcome="finished") == "finished"
    assert state(alive=True, outcome="failed") == "failed"


def test_a_lost_run_is_explained_by_how_its_worker_ended():
    assert "out of memory" in why_lost(-9, "")
    assert "switched off" in why_lost(None, "")
    assert "disk is full" in why_lost(1, "OSError: [Errno 28] No space left on device")
    assert all("Resume starts it from its first step" in why_lost(code, "") for code in (-9, -11, 1, None))
    assert "Resume continues from step 8 of DPO" in why_lost(-9, "", "step 8 of DPO")


def test_the_chart_of_a_loss_has_its_own_start_as_its_reference():
    """IPO at beta .1 starts at 25, KTO at one half; both as they were measured before the first step."""
    ipo = charts([dpo_row(0, 0, eval_loss=25.0), dpo_row(5, 5, eval_loss=20.0)], {"dpo": 20})["dpo-loss"]
    assert ipo["references"] == [{"y": 25.0, "label": "25: no preference yet"}]
    assert ipo["reading"] == "Held-out fell from 25 to 20 and still falls: as it should be."
    rows = [
        {"stage": "kto", "step": 0, "time": 0, "eval_loss": 0.5, "eval_rewards/margins": 0.0},
        {
            "stage": "kto",
            "step": 9,
            "time": 9,
            "eval_loss": 0.4,
            "eval_rewards/margins": 0.3,
            "eval_rewards/chosen": 0.1,
        },
    ]
    kto = charts(rows, {"kto": 20})
    assert kto["kto-loss"]["references"] == [{"y": 0.5, "label": "0.5: no preference yet"}]
    assert kto["margin"]["lines"][0]["points"] == [[0, 0.0], [9, 0.3]]
    assert kto["rewards"]["lines"][0]["points"] == [[9, 0.1]]
    assert kto["margin"]["reading"] == "The margin has grown and held-out follows, now 0.3: healthy."
    assert kto["dpo-loss"]["lines"] == []


@pytest.mark.parametrize(("stage", "title"), [("orpo", "ORPO loss (nats)"), ("simpo", "SimPO loss (nats)")])
def test_without_a_reference_the_charts_say_so_and_draw_none(stage, title):
    """Rewards are beta times log-probabilities: the margin starts where the base model has it, here at 0.2."""
    rows = [
        {"stage": stage, "step": step, "steps": 2, "time": float(step), "eval_loss": loss}
        | {"eval_rewards/margins": margin, "eval_rewards/accuracies": 0.6, "eval_rewards/chosen": -1.0}
        for step, loss, margin in ((0, 1.5, 0.2), (2, 1.25, 0.6))
    ]
    drawn = charts(rows, {stage: 2})
    assert drawn["dpo-loss"]["measure"] == title and drawn["dpo-loss"]["references"] == []
    assert drawn["dpo-loss"]["reading"].startswith("Held-out fell from 1.5 to 1.25")
    assert drawn["rewards"]["references"] == [] and drawn["rewards"]["measure"].endswith("per token")
    assert drawn["margin"]["reading"] == "The margin has grown and held-out follows, now 0.6: healthy."
    assert drawn["drift"]["lines"] == []
    assert drawn["accuracy"]["lines"][0]["points"] == [[0, 0.6], [2, 0.6]]
    assert drawn["kto-loss"]["lines"] == []
