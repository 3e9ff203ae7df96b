"""Data that is deleted, changed or replaced while a run waits, trains or is lost: told, and never trained on in silence."""

import pytest
from configs import demo_config
from test_checkpoints import drafted

from workbench.core.errors import WorkbenchError
from workbench.engine import rows
from workbench.jobs import processes, queue, training
from workbench.jobs.app_state import AppState
from workbench.store import checkpoints, datasets, run_data
from workbench.store.datasets import Provenance
from workbench.store.datasets.folders import version_folder
from workbench.ui import watch_tab

KEPT_WAITING = ["false"]  # a keeper that does nothing


def stored(name="mine", pairs=40, word="a"):
    """A dataset of pairs: of 40 distinct prompts 36 train and 4 are held out, by the usual tenth."""
    made = [{"prompt": f"q {n}", "chosen": f"{word} {n}", "rejected": f"b {n}"} for n in range(pairs)]
    return datasets.add(enumerate(made, 1), name, source=Provenance("a test"))


def added(**changes):
    stored()
    queue.add(demo_config("waits", method="dpo", sft_data=None, preference_data="mine", **changes), keeper=KEPT_WAITING)
    return training.open_run("waits")


def settled(run):
    return run_data.settle(run, run.config(), checkpoints.newest(run))


def lost_after_four_steps():
    """A run whose worker is gone, with a checkpoint at step 4 of DPO."""
    run = added()
    training.queue.unmark(run)
    run.write_worker(99_999_999, 1.0)
    run.write_environment({"data": run_data.as_noted(settled(run)[0])})
    drafted(run, "dpo", 4)
    assert training.state_of(run) == "lost"
    return run


def test_a_run_that_waits_learns_from_the_noted_rows_where_nothing_has_changed():
    run = added()
    (about,), words = settled(run)[0].values(), settled(run)[1]
    assert (about.train_rows + about.held_out_rows, words) == (40, [])


def test_rows_that_were_replaced_while_a_run_waited_are_told_with_both_fingerprints():
    run = added()
    before = datasets.about("mine")
    datasets.delete("mine")
    now = stored(pairs=30, word="other")
    found, words = settled(run)
    assert found == {"dpo": now}
    assert words == [
        f"mine is not what it was when waits was made: {before.train_rows} + {before.held_out_rows} rows, fingerprint "
        f"{before.fingerprint[:12]} then, {now.train_rows} + {now.held_out_rows} rows, fingerprint {now.fingerprint[:12]} "
        "now. DPO learns from the rows as they are now."
    ]
    run_data.note_change(run, found, words)
    assert run.environment()["data"]["dpo"]["fingerprint"] == now.fingerprint
    run.write_worker(1, processes.started(1))
    training.queue.unmark(run)
    assert "mine is not what it was when waits was made" in watch_tab.head_html(AppState(), run)
    assert "Data that had changed" in watch_tab.details_html(run)
    assert settled(run) == (found, []), "told once: now these are the noted ones"


def test_data_of_another_kind_under_the_same_name_is_refused_and_so_is_data_that_is_gone():
    run = added()
    datasets.delete("mine")
    with pytest.raises(
        WorkbenchError, match="no dataset called mine.*waits needs it for DPO: bring it back, then resume"
    ):
        settled(run)
    made = [{"prompt": f"q {n}", "completion": f"a {n}"} for n in range(40)]
    datasets.add(enumerate(made, 1), "mine", source=Provenance("a test"))
    with pytest.raises(WorkbenchError, match="another kind since waits was made: sft now, preference then"):
        settled(run)


def test_a_lost_run_goes_on_with_the_very_version_that_it_began_with_though_another_one_is_in_use():
    run = lost_after_four_steps()
    datasets.delete_rows("mine", [0, 1])
    assert datasets.about("mine").version == 2
    found, words = settled(run)
    assert (found["dpo"].version, words) == (1, [])
    training.check_rows(run)
    training_rows, held_out = rows.load_rows(run.config(), "dpo", found["dpo"])
    assert len(training_rows) == found["dpo"].train_rows and len(held_out) == found["dpo"].held_out_rows


def test_a_lost_run_does_not_go_on_among_other_rows(monkeypatch):
    """Neither by hand nor in its worker; nothing is started, and the run can still go on when the rows are back."""
    run = lost_after_four_steps()
    datasets.delete("mine")
    stored(word="other")
    with pytest.raises(
        WorkbenchError, match="mine has changed since waits began.*The checkpoint knows its place in those rows"
    ):
        training.resume(run, ["false"])
    with pytest.raises(WorkbenchError, match="mine has changed since waits began"):
        run_data.rows_of(run, run.config(), "dpo", has_steps=True)
    assert training.state_of(run) == "lost" and not run.log_file.exists()
    datasets.delete("mine")
    stored()
    training.check_rows(run)


def test_a_stage_that_is_over_does_not_need_its_data_any_more():
    stored("answers")
    stored("pairs")
    config = demo_config("two", sft_data="answers", preference_data="pairs")
    run = training.make_run(config)
    run.stage_adapter("sft").mkdir()
    datasets.delete("answers")
    found, words = settled(run)
    assert (list(found), found["sft"].name, words) == (["sft", "dpo"], "answers", [])
    training.check_rows(run)


def test_data_deleted_while_its_stage_trains_is_in_memory_already():
    config = added().config()
    training_rows, _ = rows.load_rows(config, "dpo")
    folder = version_folder("mine")
    datasets.delete("mine")
    assert not folder.exists()
    assert sum(len(row["chosen"]) for row in training_rows) == len(training_rows), "each is one message"
