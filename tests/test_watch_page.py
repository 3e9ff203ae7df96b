"""What the Watch page offers for a run: the queue, the next checkpoint, and the ways to go on from it."""

import json

from configs import demo_config
from drawn import starts, watch_page
from made_runs import create_run, finished
from test_checkpoints import drafted

from workbench.jobs import processes, proposals, queue, training
from workbench.jobs.app_state import AppState
from workbench.store import queue as stored
from workbench.ui import form, run_view, train_form, train_summary, train_tab


def offered(shown) -> set[str]:
    """The buttons that can be seen."""
    seen = {ident for ident, one in shown.items() if isinstance(one, dict) and one.get("visible") is True}
    return {ident for ident in seen if ident != "wb-watch-queue" and not ident.startswith("wb-chart")}


def write_rows(run, rows):
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_runs_that_wait_are_listed_in_their_order_with_what_can_be_done():
    first, second = (training.make_run(demo_config(name)) for name in ("night-one", "night-two"))
    shown = watch_page(second.name)
    assert offered(shown) == {"wb-watch-front", "wb-watch-remove", "wb-watch-hold"}
    assert "1 run comes before it" in shown["wb-watch-head"]
    listed = shown["wb-watch-queue"]["value"]
    assert listed.index("1. night-one") < listed.index("2. night-two")
    assert "night-one starts in a moment" in listed
    assert "wb-watch-front" not in offered(watch_page(first.name)), "it is in front already"
    queue.hold()
    shown = watch_page(first.name)
    assert "The queue is on hold, so it waits until you resume it" in shown["wb-watch-head"]
    assert "You put it on hold." in shown["wb-watch-queue"]["value"]
    assert {"wb-watch-go-on", "wb-watch-hold"} & offered(shown) == {"wb-watch-go-on"}


def test_without_a_queue_there_is_no_card_of_it():
    shown = watch_page(finished("done").name)
    assert shown["wb-watch-queue"]["visible"] == "hidden"
    assert not {"wb-watch-go-on", "wb-watch-hold"} & offered(shown)


def test_two_more_epochs_are_offered_of_a_finished_run():
    run = finished("done")
    run.write_result("finished", "Finished.")
    assert "wb-watch-more" in offered(watch_page(run.name))
    run.write_result("stopped", "Stopped as asked.")
    assert "wb-watch-more" not in offered(watch_page(run.name))


def exploded(**changes):
    """A run whose gradient was 100 times the usual one at step 21, with checkpoints at steps 10 and 20."""
    run = create_run(demo_config("wild", method="dpo", sft_data=None, dpo={"learning_rate": 2e-4, "max_steps": 40}))
    run.write_environment({"plan": {"dpo": 40}})
    shared = {"stage": "dpo", "steps": 40, "loss": 0.6, "rewards/margins": 0.3, "rewards/accuracies": 0.8}
    rows = [shared | {"step": n, "time": 3.0 * n, "grad_norm": 1.0} for n in range(1, 21)]
    write_rows(run, [*rows, shared | {"step": 21, "time": 63.0, "grad_norm": 100.0, "loss": 9.0}])
    for step in (10, 20):
        drafted(run, "dpo", step)
    run.write_result("failed", "A step exploded.")
    return run


def test_the_suggested_change_can_start_from_the_beginning_and_from_before_the_trouble():
    """Halved, the rate is 1e-4; the last good step is 20, and there is a checkpoint at it."""
    run = exploded()
    shown = watch_page(run.name)
    assert {"wb-watch-better", "wb-watch-better-from", "wb-watch-branch", "wb-watch-resume"} <= offered(shown)
    assert shown["wb-watch-better"]["value"] == "A new run: DPO learning rate from 0.0002 to 0.0001"
    assert shown["wb-watch-resume"]["variant"] == "secondary"
    assert shown["wb-watch-better-from"]["value"] == "The suggested change, from step 20"
    assert shown["wb-watch-branch"]["value"] == "New run from step 20 of DPO"
    config = proposals.better_config(AppState(), run)
    assert (config.name, config.dpo.learning_rate) == ("wild-2", 1e-4)


def test_a_run_that_a_rule_ended_says_once_what_to_do_and_its_way_on_is_the_suggested_change():
    run = exploded()
    (found,) = proposals.findings_of(AppState(), run)
    run.write_result("failed", f"{found.title}: {found.evidence} {found.meaning} {found.advice} Step 20 is kept.")
    shown = watch_page(run.name)
    assert f"{found.evidence} Step 20 is kept. What it means, and what to do, stands below." in shown["wb-watch-head"]
    assert found.advice not in shown["wb-watch-head"] and found.advice in shown["wb-watch-health"]
    assert shown["wb-watch-better"]["variant"] == "primary" and shown["wb-watch-compare"]["variant"] == "secondary"
    run.write_result("finished", "Finished. On held-out pairs it prefers the chosen answer in 97% of cases.")
    head = watch_page(run.name)["wb-watch-head"]
    assert "wild is finished, with a problem" in head and "in 97% of cases" in head and "Good" not in head
    well = finished("well")
    well.write_result("finished", "Finished.")
    shown = watch_page(well.name)
    assert "Good" in shown["wb-watch-head"] and shown["wb-watch-compare"]["variant"] == "primary"


def test_a_checkpoint_after_the_trouble_is_not_offered():
    run = exploded()
    drafted(run, "dpo", 30)
    drafted(run, "dpo", 40)
    shown = watch_page(run.name)
    assert "wb-watch-better" in offered(shown) and "wb-watch-better-from" not in offered(shown)


def test_a_run_that_trains_says_when_it_saves_itself_next():
    """Steps of 3 s; four checkpoints in 40 steps, the last at step 20: the next at step 30, 9 steps or 27 s away."""
    run = exploded()
    run.forget_end()
    run.write_config(run.config().model_copy(update={"checkpoint_steps": 10}))
    assert run_view.checkpoint_line(AppState(), run).endswith("Next checkpoint at step 30 of DPO, in about 25 seconds.")


def test_the_train_page_offers_start_or_the_queue(monkeypatch):
    assert train_tab.offer_now(AppState()) == train_tab.FREE
    run = create_run(demo_config("busy"))
    run.write_worker(1, processes.started(1))
    assert training.running() == run
    assert train_tab.offer_now(AppState()) == ("busy", 0)
    waits = create_run(demo_config("waits"))
    stored.mark(waits)
    assert train_tab.offer_now(AppState()) == ("busy", 1)
    said = "".join(train_summary._turn_notices())
    assert "busy is training" in said and "1 run waits before it" in said
    run.write_result("finished", "Finished.")
    assert "Start takes the device at once" in "".join(train_summary._turn_notices())


def test_the_form_of_a_fork_says_where_it_starts_and_whose_reference_it_keeps():
    run = exploded()
    names = [name for name in form.fields() if not name.startswith("model.")]
    values = form.from_config(run.config(), names) | {"name": "half", "start_from": "wild@dpo-20"}
    assert train_form.fork_from(values).words == "step 20 of DPO of wild"
    assert train_form.config_from(values).start_from is None
    said = train_summary.summary_html(values)
    assert "of which 20 are done" in said
    assert "step 20 of DPO of wild: its adapter, optimizer and curve until then" in said
    assert "the base model, as in run wild, verified when wild began" in said
    said = train_summary.summary_html(values | {"adapter.rank": 8})
    assert "Rank is 8, and it was 16 in wild: the weights of the checkpoint would not fit" in said
    run.write_environment({"plan": {"dpo": 40}, "data": {"dpo": {"version": 7}}})
    said = train_summary.summary_html(values)
    assert "demo-preferences is at version 1, and wild was trained on version 7: the checkpoint knows its place" in said
    choices = starts("wild@dpo-20")
    assert choices.value == "wild@dpo-20"
    assert ("wild, at DPO step 10", "wild@dpo-10") in [tuple(one) for one in choices.choices]
