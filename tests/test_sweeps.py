"""Sweeps: which runs follow from what a person writes, what they share, what they come to, and what is said of that."""

import json
import sys
import time

import pytest
from configs import demo_config
from made_runs import SMALL, create_run, few_rows
from test_train_page import form_values

from workbench.cli import main
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.sweep_result import MARGIN_ERROR, Figure, Point, best, figures, reading
from workbench.core.training.config import value_of
from workbench.core.training.methods import ACCURACY, LOSS, MARGIN
from workbench.core.training.sweep import (
    MOST,
    Member,
    Sweep,
    parsed,
    run_names,
    shares_reference,
    suggested,
    value_label,
    varied,
)
from workbench.engine.spread import standard_error, with_margin_error
from workbench.jobs import queue, sweeps, training
from workbench.jobs.app_state import AppState
from workbench.store import sweeps as stored
from workbench.store.runs import all_runs, open_run
from workbench.ui import sweep_result_view, sweep_view

BETA = "dpo.beta"
NO_KEEPER = [sys.executable, "-c", "pass"]


def plain(**changes):
    return demo_config(**{"method": "dpo", "sft_data": None} | changes)


def planned(setting: str = BETA, text: str = "0.05, 0.1, 0.3", **changes) -> sweeps.Planned:
    return sweeps.plan(plain(**changes).model_dump(), setting, text, "kind")


def problems_of(act, *given, **named) -> list[str]:
    with pytest.raises(WorkbenchError) as raised:
        act(*given, **named)
    return list(raised.value.problems)


def measured(
    name: str, accuracy: float, margin: float = 0.5, error: float | None = 0.05, end: str = "finished", **changes
):
    """A run of DPO that measured 100 held-out pairs, without the training."""
    run = create_run(plain(name=name, held_out_limit=100, **changes))
    run.write_environment({"plan": {"dpo": 20}, "data": {"dpo": about()}})
    row = {"stage": "dpo", "step": 20, "steps": 20, "time": 1.0, "eval_loss": 0.6, "eval_rewards/accuracies": accuracy}
    row |= {"eval_rewards/margins": margin} | ({MARGIN_ERROR: error} if error else {})
    run.metrics_file.write_text(json.dumps(row) + "\n")
    if end:
        run.write_result(end, "Ended.")
    return run


def about():
    from workbench.store import datasets

    return datasets.about("demo-preferences").model_dump(mode="json")


def made_sweep(*accuracies: float, **changes) -> Sweep:
    """A sweep over beta whose runs have ended with these accuracies, the first of them at beta 0.1."""
    members = []
    for number, accuracy in enumerate(accuracies, 1):
        run = measured(f"kind-{number}", accuracy, dpo={"beta": number / 10}, **changes)
        members.append(Member(run=run.name, value=number / 10))
    return stored.save(Sweep(setting=BETA, members=members))


# What a person writes


@pytest.mark.parametrize(
    ("setting", "text", "values"),
    [
        (BETA, ".05,.1, 0.3", [0.05, 0.1, 0.3]),
        ("dpo.learning_rate", "5e-6; 2e-5;", [5e-6, 2e-5]),
        ("dpo.loss", "sigmoid, ipo", ["sigmoid", "ipo"]),
        ("adapter.rank", "8, 16", [8, 16]),
        ("group_by_length", "on, off", [True, False]),
    ],
)
def test_values_are_read_as_what_the_setting_holds(setting, text, values):
    assert parsed(setting, text, "dpo") == values


@pytest.mark.parametrize(
    ("setting", "text", "problems"),
    [
        (BETA, "0,05, 0,1", ["Beta has 0 twice"]),
        (BETA, "0.1, 0.10000000001", ["Beta has 0.1 twice"]),
        (BETA, "x, 1, y", ["Beta: 'x' is no number.", "Beta: 'y' is no number."]),
        (BETA, "0.1", ["A sweep needs at least 2 values of Beta; there is 1."]),
        (BETA, "  ", ["A sweep needs at least 2 values of Beta; there is none."]),
        ("adapter.rank", "8, 8.5", ["Rank: '8.5' is no whole number."]),
        ("dpo.loss", "sigmoid, sigmund", ["DPO loss: 'sigmund' is none of its values, which are sigmoid, "]),
        (BETA, ",".join(str(n / 10) for n in range(1, 10)), ["A sweep has at most 8 values, and these are 9."]),
        ("name", "a, b", ["name cannot be swept with this method."]),
        ("sft.epochs", "1, 2", ["sft.epochs cannot be swept with this method."]),
    ],
)
def test_what_is_wrong_with_values_is_said_together(setting, text, problems):
    found = problems_of(parsed, setting, text, "dpo")
    assert len(found) == len(problems)
    assert all(said.startswith(words) for said, words in zip(found, problems, strict=True)), found


@pytest.mark.parametrize(
    ("value", "label"),
    [(5e-6, "5e-6"), (2.5e-4, "2.5e-4"), (0.05, "0.05"), (1.0, "1"), (8, "8"), (True, "on"), ("ipo", "ipo")],
)
def test_values_are_written_as_papers_write_them(value, label):
    assert value_label(value) == label


def test_settings_that_make_another_run_or_only_look_at_it_otherwise_are_not_offered():
    offered = [name for _, name in varied("dpo")]
    assert {BETA, "dpo.learning_rate", "dpo.loss", "seed", "adapter.rank"} <= {*offered}
    assert not {"name", "model", "held_out_limit", "evaluations", "reference", "sft.epochs", "rloo.beta"} & {*offered}
    assert offered[0].startswith("dpo.")
    assert [name.split(".")[0] for _, name in varied("sft+dpo")][:1] == ["dpo"], "the last stage is what is measured"
    assert not [name for _, name in varied("reward") if name.startswith("rloo")]


def test_each_offered_setting_suggests_values_that_can_be_read():
    config = plain()
    for _, name in varied("dpo"):
        text = suggested(name, value_of(config, name))
        if text:
            assert 2 <= len(parsed(name, text, "dpo")) <= MOST, name
    assert suggested(BETA, 0.1) == "0.025, 0.05, 0.1, 0.2"


# The runs that follow


def test_runs_differ_in_the_one_setting_and_in_their_name():
    found = planned()
    assert [config.name for config in found.configs] == ["kind-beta-0.05", "kind-beta-0.1", "kind-beta-0.3"]
    assert [value_of(config, BETA) for config in found.configs] == [0.05, 0.1, 0.3]
    first, *others = [config.model_dump() for config in found.configs]
    for other in others:
        assert other | {"name": first["name"], "dpo": other["dpo"] | {"beta": 0.05}} == first


def test_names_are_free_and_those_of_a_sweep_whose_runs_are_gone_are_not_given_again():
    assert run_names("kind", BETA, [0.05, 1.0], {"kind-beta-1"}) == ["kind-2-beta-0.05", "kind-2-beta-1"]
    long = run_names("x" * 64, "dpo.loss", ["sigmoid_norm", "ipo"], ())
    assert max(map(len, long)) <= 64 and len({*long}) == 2
    stored.save(planned().sweep)
    assert [config.name for config in planned().configs][0] == "kind-2-beta-0.05"


def test_problems_of_all_runs_are_told_before_anything_is_queued(home):
    found = problems_of(planned, text="0.1, 20, 30, nan")
    assert found[:2] == [
        "With Beta 20: Beta is 20.0; it must be at most 10.",
        "With Beta 30: Beta is 30.0; it must be at most 10.",
    ]
    assert found[2].startswith("With Beta nan: Beta is nan")
    gone = {"preference_data": "nowhere"}
    [once] = problems_of(planned, **gone)
    assert once.startswith("There is no dataset called nowhere"), "what stands against each of them is said once"
    assert problems_of(planned, "dpo.loss", "sigmoid, robust, ipo", dpo={"label_smoothing": 0.1, "loss": "robust"}) == [
        f"With DPO loss {loss}: Label smoothing is 0.1, and the {loss} loss has none. Set it to 0, or choose the robust loss."
        for loss in ("sigmoid", "ipo")
    ]
    assert all_runs() == [] and stored.all_sweeps() == []


def test_a_start_that_fits_one_value_only_is_told_for_the_others():
    from made_runs import finished

    finished("start")
    found = problems_of(planned, "adapter.rank", "16, 8", start_from="start")
    assert found == ["With Rank 8: Rank is 8, and start was trained with 16. Set rank to 16."]


def test_all_runs_are_queued_or_none_and_the_record_goes_with_them(monkeypatch):
    queue.hold()
    found = planned()
    made = training.make_run

    def fails_at_the_last(config, *rest, **named):
        if config.name == "kind-beta-0.3":
            raise OSError("no room")
        return made(config, *rest, **named)

    monkeypatch.setattr(training, "make_run", fails_at_the_last)
    with pytest.raises(OSError, match="no room"):
        sweeps.add(found, keeper=NO_KEEPER)
    assert all_runs() == [] and stored.all_sweeps() == []
    monkeypatch.undo()


def test_a_queued_sweep_is_a_record_that_names_its_runs():
    queue.hold()
    sweep = sweeps.add(planned(), keeper=NO_KEEPER)
    assert [run.name for run in queue.waiting()] == ["kind-beta-0.05", "kind-beta-0.1", "kind-beta-0.3"]
    assert stored.all_sweeps() == [sweep] and stored.of_run("kind-beta-0.1") == sweep
    assert stored.of_run("another") is None
    assert [point.state for point in sweeps.points(sweep)] == ["queued"] * 3
    queue.remove("kind-beta-0.1")
    assert [point.state for point in sweeps.points(sweep)] == ["queued", "gone", "queued"]


# What came of them


def test_a_share_has_wilsons_interval_and_a_margin_its_standard_error():
    """80 of 100: Wilson gives .711 to .867. The margin is .5 with an error of .05: .5 - 1.96 * .05 = .402"""
    run = measured("one", 0.8)
    found = figures(run.log().rows, run.config(), 100)
    assert found[ACCURACY] == pytest.approx((0.8, 0.7111, 0.8666), abs=1e-4)
    assert found[MARGIN] == pytest.approx((0.5, 0.402, 0.598))
    assert found[LOSS] == (0.6, None, None)
    assert figures(run.log().rows, run.config(), 0)[ACCURACY] == (0.8, None, None), "nobody knows how many pairs"


def test_before_the_first_update_there_is_no_accuracy():
    run = measured("one", 0.0, margin=0.0)
    assert ACCURACY not in figures(run.log().rows, run.config(), 100)


def test_an_earlier_run_without_an_error_of_its_margin_has_a_margin_without_interval():
    run = measured("one", 0.8, error=None)
    assert figures(run.log().rows, run.config(), 100)[MARGIN] == (0.5, None, None)


def test_margins_of_several_betas_are_in_nats():
    """margins of .5 at beta .1 and at beta .2 are 5 and 2.5 nats"""
    sweep = made_sweep(0.7, 0.8)
    assert [one.figures[MARGIN].value for one in sweeps.points(sweep)] == pytest.approx([5, 2.5])
    assert sweeps.has_several_betas(sweep)


def test_points_stand_in_the_order_of_their_values_and_the_held_out_pairs_are_counted():
    low, high = measured("low", 0.7, dpo={"beta": 0.05}), measured("high", 0.8, dpo={"beta": 0.5})
    members = [Member(run=high.name, value=0.5), Member(run=low.name, value=0.05)]
    sweep = stored.save(Sweep(setting=BETA, members=members))
    assert [one.label for one in sweeps.points(sweep)] == ["0.05", "0.5"]
    assert sweeps.held_out_rows(low, low.config()) == 100


def test_a_run_of_another_value_under_the_same_name_is_not_taken_for_one_of_the_sweep():
    sweep = made_sweep(0.7, 0.8)
    run = open_run("kind-2")
    run.write_config(plain(name="kind-2", dpo={"beta": 5}))
    time.sleep(0.15)
    assert [one.state for one in sweeps.points(sweep)] == ["finished", "gone"]
    training.move_to_trash(open_run("kind-1"))
    assert [one.state for one in sweeps.points(sweep)] == ["gone", "gone"]


def test_damaged_records_are_passed_over(home):
    sweep = made_sweep(0.7, 0.8)
    (home / "sweeps" / "20260101-000000-abcdef.json").write_text('{"setting": 3}')
    (home / "sweeps" / "notes.json").write_text("[]")
    assert stored.all_sweeps() == [sweep]
    assert "cannot be read" in problems_of(stored.read, "20260101-000000-abcdef")[0]
    assert problems_of(stored.read, "../choices") == ["'../choices' is no name of a sweep."]


# What is said of it


def points(*shares: float, state: str = "finished", total: int = 100) -> list[Point]:
    from workbench.core.statistics import wilson

    return [
        Point(number / 10, f"kind-{number}", state, {ACCURACY: Figure(share, *wilson(share, total))})
        for number, share in enumerate(shares, 1)
    ]


SWEEP = Sweep(setting=BETA, members=[])


def test_a_clear_winner_is_said_to_be_clear():
    said = reading(points(0.55, 0.9, 0.6), SWEEP)
    assert said.startswith("Beta 0.2 has the best held-out accuracy: 90.0% [82.6, 94.5].")
    assert "Its interval lies clear of all others." in said and "beyond" not in said


def test_values_that_chance_may_have_ordered_are_not_said_to_differ():
    said = reading(points(0.78, 0.8, 0.79), SWEEP)
    assert "each other value overlaps with it (0.1 and 0.3)" in said and "do not separate" in said
    assert "clear" not in said and "worse" not in said


def test_values_that_came_out_equal_share_the_first_place():
    said = reading(points(0.9, 0.9, 0.9, 0.5), SWEEP)
    assert said.startswith("Beta 0.1, 0.2 and 0.3 share the best held-out accuracy: 90.0%") and "smallest" not in said
    assert reading(points(0.9, 0.9), SWEEP).endswith("accuracy: 90.0% [82.6, 94.5].")


def test_some_overlap_and_some_are_worse():
    said = reading(points(0.5, 0.8, 0.78), SWEEP)
    assert "Its interval overlaps with that of 0.3, so these are not separated; the others are worse." in said


def test_the_best_at_an_end_says_that_there_may_be_a_better_one_beyond():
    assert "It is the largest value tried" in reading(points(0.5, 0.7, 0.9), SWEEP)
    assert "It is the smallest value tried" in reading(points(0.9, 0.7, 0.5), SWEEP)
    assert "value tried" not in reading(points(0.80, 0.79, 0.78), SWEEP), "nothing there is worse for certain"


def test_nothing_is_ranked_before_two_runs_have_ended():
    one = [*points(0.9), *points(0.8, state="running")]
    assert best(one, BETA) is None
    said = reading(one, SWEEP)
    assert said == "Which value is best is known once two of the runs have ended. 1 of 2 runs is still to end."
    assert "2 runs are gone and leave a gap" in reading([Point(0.1, "a", "gone"), Point(0.2, "b", "gone")], SWEEP)


def test_losses_are_compared_only_where_they_mean_the_same():
    two = [Point(n / 10, f"kind-{n}", "finished", {LOSS: Figure(loss)}) for n, loss in enumerate((0.6, 0.4), 1)]
    assert best(two, BETA) is None, "another beta makes another loss of the same model"
    lead, top = best(two, "dpo.learning_rate")
    assert (lead, top.run) == (LOSS, "kind-2")
    said = reading(two, Sweep(setting="dpo.learning_rate", members=[]))
    assert "has the lowest held-out loss: 0.400." in said and "is not known of this figure" in said


# The error of a margin


def test_the_error_is_that_of_the_mean_of_batches():
    """1, 2, 3, 4: the standard deviation is 1.291, over the root of 4 it is .6455"""
    assert standard_error([1, 2, 3, 4]) == pytest.approx(0.6455, abs=1e-4)
    assert standard_error([1]) is None and standard_error([1, float("nan")]) is None


@pytest.mark.parametrize("kept_as", ["_metrics", "_stored_metrics"])
def test_the_error_is_logged_with_evaluations_alone(kept_as):
    class Trainer:
        def __init__(self):
            setattr(self, kept_as, {"train": {"rewards/margins": [1, 9]}, "eval": {"rewards/margins": [1, 2, 3, 4]}})
            self.logged = {}

        def log(self, logs, start_time=None):
            self.logged = logs

    trainer = with_margin_error(Trainer)()
    trainer.log({"loss": 0.1})
    assert trainer.logged == {"loss": 0.1}
    trainer.log({"eval_loss": 0.1})
    assert trainer.logged[MARGIN_ERROR] == pytest.approx(0.6455, abs=1e-4)


# The reference


def test_what_shares_a_reference_and_what_does_not():
    assert shares_reference(plain(), BETA) and shares_reference(plain(), "adapter.rank")
    assert not shares_reference(plain(), "max_length") and not shares_reference(plain(reference="beside"), BETA)
    assert not shares_reference(demo_config(), BETA), "each run trains the SFT model that is its reference"
    assert not shares_reference(plain(method="orpo"), "orpo.weight")


def with_reference(name: str, read: int, computed: int, milliseconds: int) -> None:
    open_run(name).add_to_environment({"reference": {"read": read, "computed": computed, "milliseconds": milliseconds}})


def test_what_sharing_saved_is_told_by_the_run_that_computed():
    """3,000 answers took 12 s, and two others read them: 24 s"""
    sweep = made_sweep(0.7, 0.8, 0.75)
    assert sweeps.shared_reference(sweep) is None
    with_reference("kind-1", 400, 3000, 12_000)
    assert sweeps.shared_reference(sweep) is None, "nobody has read it yet"
    with_reference("kind-2", 3400, 0, 0), with_reference("kind-3", 3400, 0, 0)
    assert sweeps.shared_reference(sweep) == sweeps.Saved(3000, 12.0, "kind-1", 2)
    html = sweep_result_view.sweep_html(sweep, sweeps.points(sweep))
    assert (
        "kind-1 asked it for 3,000 answers, which took 12.0 s; the other 2 read" in html
        and "24.0 s less in all" in html
    )


def test_what_it_will_save_is_told_at_the_pace_of_an_earlier_run():
    """20 steps of 8 pairs and 16 held-out ones are 352 answers; an earlier run took 2 ms for each: .7 s"""
    assert sweeps.expected_sharing(planned()) is None
    measured("earlier", 0.7)
    with_reference("earlier", 0, 1000, 2000)
    found = sweeps.expected_sharing(planned(dpo={"max_steps": 20}))
    assert found == (352, pytest.approx(0.704), "earlier", 0)
    assert sweeps.expected_sharing(planned("max_length", "128, 256")) is None


# The pages and the command line


def test_the_train_page_lists_the_runs_and_what_sharing_saves():
    said = sweep_view.plan_html(form_values(method="dpo", name="kind"), BETA, "0.05, 0.1, 0.3")
    assert "kind-beta-0.05" in said and "Beta 0.3" in said and "Expected time in all" in said
    assert "the next 2 read what it said" in said and "known once a first run was timed" in said
    chain = sweep_view.plan_html(form_values(name="kind"), BETA, "0.05, 0.1")
    assert "Not shared: with these settings" in chain
    assert "eference" not in sweep_view.plan_html(form_values(method="sft"), "sft.epochs", "1, 2")


def test_the_train_page_says_all_that_stands_against_a_sweep():
    said = sweep_view.plan_html(form_values(method="dpo"), BETA, "20, 30, <b>")
    assert "&#x27;&lt;b&gt;&#x27; is no number" in said and "<b>&" not in said
    said = sweep_view.plan_html(form_values(method="dpo"), BETA, "20, 30, 1")
    assert said.count("Fix this first") == 2


def test_the_watch_page_shows_the_sweep_of_its_run_with_gaps():
    sweep = made_sweep(0.6, 0.9, 0.7)
    training.move_to_trash(open_run("kind-3"))
    found = sweeps.points(sweep)
    html = sweep_result_view.sweep_html(sweep, found)
    assert html.count("<figure") == 2 and html.count("wb-sweep-range") == 4 and html.count("wb-sweep-best") == 1
    assert "no run" in html and "gone: deleted, or never made" in html
    assert "Held-out reward margin (nats: divided by beta)" in html
    assert "up to 100 held-out examples" in html
    assert 'aria-label="Held-out reward accuracy: 0.1 60.0% [50.2, 69.1]; 0.2 90.0% [82.6, 94.5]; 0.3 no run"' in html


def test_the_other_runs_of_a_sweep_can_be_drawn_beside_the_one_that_is_shown():
    made_sweep(*[0.6 + n / 100 for n in range(8)])
    training.move_to_trash(open_run("kind-3"))
    assert sweep_result_view.others_of("kind-2") == ["kind-1", "kind-4", "kind-5", "kind-6", "kind-7"]
    assert sweep_result_view.others_of("another") == sweep_result_view.others_of(None) == []


def test_a_sweep_without_any_figure_yet_has_a_table_alone():
    queue.hold()
    sweep = sweeps.add(planned(), keeper=NO_KEEPER)
    html = sweep_result_view.sweep_html(sweep, sweeps.points(sweep))
    assert "<figure" not in html and "waits in the queue" in html and "3 of 3 runs are still to end" in html


def test_a_tick_is_cheap_where_nothing_changed_and_sees_what_did():
    sweep, app = made_sweep(*[0.6 + n / 100 for n in range(8)]), AppState()
    app.survey()
    before = sweep_result_view.signature(app, sweep)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert stored.of_run("kind-3") == sweep and sweep_result_view.signature(app, sweep) == before
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.005
    with open(open_run("kind-3").metrics_file, "a") as file:
        file.write("{}\n")
    assert sweep_result_view.signature(app, sweep) != before


def test_the_command_line_queues_a_sweep_and_tells_what_came_of_it(tmp_path, capsys):
    file = tmp_path / "kind.json"
    file.write_text(json.dumps(plain(name="kind").model_dump(mode="json")))
    assert main(["queue", "hold"]) == 0
    assert main(["sweep", str(file), "--vary", "dpo.beta=20,x"]) == 1
    assert capsys.readouterr().err.splitlines() == ["Beta: 'x' is no number."]
    assert main(["sweep", str(file), "--vary", "dpo.beta=.05,.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in found["points"]] == ["kind-beta-0.05", "kind-beta-0.1"]
    assert main(["sweeps", found["id"]]) == 0
    said = capsys.readouterr().out
    assert "0.05           queued" in said and "2 of 2 runs are still to end" in said
    assert main(["sweeps", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [found["id"]]
    with pytest.raises(SystemExit):
        main(["sweep", str(file), "--vary", "dpo.beta"])


@pytest.mark.slow
def test_a_real_sweep_of_three_short_runs_shares_its_reference():
    """The real worker and the real keeper."""
    own = {"learning_rate": 1e-3, "max_steps": 4}
    config = demo_config(**SMALL | few_rows() | {"method": "dpo", "sft_data": None, "dpo": own})
    sweep = sweeps.add(sweeps.plan(config.model_dump(), BETA, "0.05, 0.1, 0.3", "kind"))
    until = time.monotonic() + 540
    while time.monotonic() < until and any(not one.is_settled for one in sweeps.points(sweep)):
        time.sleep(1)
    found = sweeps.points(sweep)
    assert [one.state for one in found] == ["finished"] * 3
    for one in found:
        accuracy, margin = one.figures[ACCURACY], one.figures[MARGIN]
        assert accuracy.low < accuracy.value < accuracy.high and margin.low < margin.value < margin.high
    saved = sweeps.shared_reference(sweep)
    assert (saved.run, saved.readers) == ("kind-beta-0.05", 2) and saved.seconds > 0
    html = sweep_result_view.sweep_html(sweep, found)
    assert html.count("wb-sweep-range") == 6 and "less in all" in html
