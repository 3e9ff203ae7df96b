"""Several runs in one set of charts, and their settings side by side."""

import json

import pytest
from configs import demo_config
from drawn import watch_page
from made_runs import create_run

from workbench.core.monitoring.charts import charts
from workbench.core.monitoring.overlay import POINTS, Drawn, overlaid
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.differences import side_by_side
from workbench.jobs.app_state import AppState
from workbench.ui import watch_tab
from workbench.ui.explained_view import explained_html


def drawn(name, plan, count=3, stage="dpo"):
    rows = [
        {"stage": stage, "step": step, "steps": count, "time": 1.0, "loss": 1 / step, "rewards/margins": 0.1 * step}
        for step in range(1, count + 1)
    ]
    return Drawn(name, charts(RunLog.of(rows), plan), plan)


def points(chart, run):
    return next(line["points"] for line in chart["lines"] if line["run"] == run)


def test_each_run_has_its_colour_in_every_chart_and_keeps_its_styles():
    found = overlaid([drawn("first", {"dpo": 3}), drawn("other", {"dpo": 3})])["dpo-loss"]
    assert [(line["run"], line["role"], line["style"]) for line in found["lines"]] == [
        ("first", "run1", "solid"),
        ("other", "run2", "solid"),
    ]
    assert found["reading"].startswith("first: ")
    assert found["x"] == "step"


def test_a_stage_that_begins_later_in_one_run_is_counted_from_its_own_start_in_all():
    """DPO begins at step 60 of the run that imitates first; a chart of the whole run counts on."""
    late, early = drawn("late", {"sft": 60, "dpo": 3}), drawn("early", {"dpo": 3})
    assert [x for x, _ in late.charts["dpo-loss"]["lines"][0]["points"]] == [61, 62, 63]
    found = overlaid([late, early])["dpo-loss"]
    assert [x for x, _ in points(found, "late")] == [x for x, _ in points(found, "early")] == [1, 2, 3]
    assert found["x"] == "step of DPO"


def test_what_measures_something_else_is_not_drawn_into_the_same_axes():
    found = overlaid([drawn("policy", {"dpo": 3}), drawn("judge", {"reward": 3}, stage="reward")])
    assert {line["run"] for line in found["margin"]["lines"]} == {"policy"}
    assert "judge measures another thing: margin of scores." in found["margin"]["reading"]
    assert {line["run"] for line in found["reward-loss"]["lines"]} == {"judge"}
    assert found["reward-loss"]["lines"][0]["role"] == "run2", "its colour is the same in every chart"


def test_a_long_run_is_thinned_out_and_keeps_its_highest_point():
    rows = [
        {"stage": "dpo", "step": n, "steps": 4000, "time": 1.0, "loss": 9.0 if n == 1717 else 0.5}
        for n in range(1, 4001)
    ]
    one = Drawn("long", charts(RunLog.of(rows), {"dpo": 4000}), {"dpo": 4000})
    found = points(overlaid([one, drawn("short", {"dpo": 3})])["dpo-loss"], "long")
    assert len(found) <= POINTS and [1717, 9.0] in found


def test_a_long_run_alone_sends_at_most_500_points_of_each_line():
    rows = (
        {
            "stage": "dpo",
            "step": n,
            "steps": 20_000,
            "time": 1.0,
            "loss": (n * 7919 % 1000) / 1000,
            "learning_rate": n / 1e9,
        }
        for n in range(1, 20_001)
    )
    found = charts(RunLog.of(rows), {"dpo": 20_000})
    counts = [len(line["points"]) for chart in found.values() for line in chart["lines"]]
    assert len(counts) >= 2 and 200 < max(counts) <= 500


def test_settings_stand_side_by_side_and_those_of_methods_that_no_run_has_are_left_out():
    one = demo_config("one", method="dpo", sft_data=None, dpo={"beta": 0.1})
    other = demo_config("other", method="dpo", sft_data=None, dpo={"beta": 0.05}, accumulation=2)
    found = side_by_side([one, other])
    differing = {setting.title: setting.values for setting in found if setting.differs}
    assert ("0.1", "0.05") in differing.values()
    assert differing["Gradient accumulation"] == (str(one.accumulation), "2")
    assert len(differing) == 2
    assert not [setting for setting in found if "KTO" in setting.title]
    both = side_by_side([one, demo_config("kto", method="sft")])
    assert ("0.1", "") in [setting.values for setting in both], "beta means nothing to a run that only imitates"


def made(name, **settings):
    run = create_run(demo_config(name, method="dpo", sft_data=None, **settings))
    run.write_environment({"plan": {"dpo": 3}})
    rows = [{"stage": "dpo", "step": n, "steps": 3, "time": float(n), "loss": 1 / n} for n in (1, 2, 3)]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.write_result("finished", "Finished.")
    return run


def test_the_watch_page_draws_more_runs_and_again_when_one_of_them_goes_on():
    run, other = made("shown"), made("other", seed=3)
    app = AppState()
    beside = [other.name, run.name, "gone", other.name]
    before = watch_tab.signature(app, run.name, beside)
    assert before == watch_tab.signature(app, run.name, beside), "nothing to draw, nothing to send"
    assert before != watch_tab.signature(app, run.name)
    shown = watch_page(run.name, app, (), beside)
    chart = json.loads(shown["wb-chart-dpo-loss"]["value"])
    assert {line["run"] for line in chart["lines"]} == {run.name, other.name}
    assert "Seed" in shown["wb-watch-settings"] and 'class="wb-other"' in shown["wb-watch-settings"]
    assert "wb-chart-dpo-loss" not in watch_page(run.name, app, before, beside), (
        "charts are sent only when they changed"
    )
    with open(other.metrics_file, "a") as file:
        file.write(json.dumps({"stage": "dpo", "step": 4, "steps": 4, "time": 4.0, "loss": 0.2}) + "\n")
    assert watch_tab.signature(app, run.name, beside) != before
    alone = watch_page(run.name, app)
    assert "run" not in json.loads(alone["wb-chart-dpo-loss"]["value"])["lines"][0]
    assert alone["wb-watch-settings"] == ""


@pytest.mark.parametrize("ident", ["dpo-loss", "margin"])
def test_an_explanation_gives_a_template_nothing_to_fill_in(ident):
    found = explained_html(ident)
    assert found and not set("{}$`") & set(found.replace("&#36;", "")) and "<svg" in found
    assert explained_html("no-such-chart") is None


def test_a_finding_is_a_mark_of_its_severity_in_the_charts_of_the_run_that_is_shown():
    run = made("shown")
    rows = [
        {"stage": "dpo", "step": n, "steps": 40, "time": 3.0 * n, "loss": 0.6, "grad_norm": 1.0} for n in range(1, 22)
    ]
    rows[-1] |= {"grad_norm": 100.0, "loss": 9.0}
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    marks = json.loads(watch_page(run.name)["wb-chart-dpo-loss"]["value"])["marks"]
    assert [(one["x"], one["severity"]) for one in marks if "exploded" in one["label"]] == [(21, "blocker")]
    beside = json.loads(watch_page(made("other").name, beside=[run.name])["wb-chart-dpo-loss"]["value"])["marks"]
    assert not [one for one in beside if "exploded" in one["label"]], "marks are those of the run that is shown"


def test_a_chart_without_numbers_is_hidden_once_nothing_comes_any_more():
    run = made("old")
    assert watch_page(run.name)["wb-chart-margin"]["visible"] == "hidden"
    assert watch_page(run.name)["wb-chart-dpo-loss"]["visible"] is True
    run.forget_end()
    assert watch_page(run.name)["wb-chart-margin"]["visible"] is True
