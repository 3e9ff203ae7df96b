"""The best step of a run: which one it is, by how much, that nothing loses it, and that it becomes the result by one click."""

import json
import os
import random
import statistics

import pytest
from configs import demo_config
from drawn import starts, watch_page
from made_runs import SMALL, create_run, few_rows, finished
from real_runs import weights

from workbench.cli import main
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.best import HeldOut, gain, gain_message, is_better, taken
from workbench.core.statistics import student_width
from workbench.core.training.forks import Fork
from workbench.core.votes.vote import Vote
from workbench.engine import train
from workbench.jobs import archives, processes, result_step, survey
from workbench.store import best, checkpoints, forks, votes
from workbench.store.adapter_files import WEIGHTS
from workbench.store.answerers import Answerer, adapter_folder, offered
from workbench.store.runs import all_runs, open_run
from workbench.ui import run_view

EIGHT = [4] * 8


def measured(step, losses, sizes=None, looks=1, stage="dpo"):
    sizes = sizes or [4] * len(losses)
    value = sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)
    return HeldOut(stage=stage, step=step, value=value, looks=looks, losses=losses, sizes=sizes)


def test_the_interval_is_that_of_the_differences_of_the_same_batches():
    """Differences .1 and .3 in turn: mean .2, standard deviation .1069, error .0378, and t of 7 degrees 2.365: .111 to .289"""
    before = [0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7, 0.8]
    after = [loss + more for loss, more in zip(before, [0.1, 0.3] * 4, strict=True)]
    found = gain(measured(80, before), measured(120, after))
    assert (round(found.better, 6), found.batches, found.is_clear) == (0.2, 8, True)
    assert (round(found.low, 3), round(found.high, 3)) == (0.111, 0.289)
    said = gain_message(measured(80, before), measured(120, after), found)
    assert said == (
        "Held-out loss 0.650 at step 80 against 0.850 at step 120: 0.200 lower "
        "(95 % interval 0.111 to 0.289, from 8 batches of held-out pairs)."
    )


def test_a_last_batch_that_is_smaller_counts_for_less():
    """7 batches of 4 that differ by .1 and one of 1 that differs by 3: (28 * .1 + 3) / 29 = .2"""
    best_one, last = measured(8, [0.5] * 8, [4] * 7 + [1]), measured(16, [0.6] * 7 + [3.5], [4] * 7 + [1])
    assert round(gain(best_one, last).better, 6) == 0.2


def test_the_best_of_many_evaluations_has_a_wider_interval():
    before, after = [0.5 + n / 20 for n in range(8)], [0.6 + n / 10 for n in range(8)]
    once = gain(measured(8, before), measured(16, after, looks=1))
    often = gain(measured(8, before), measured(16, after, looks=10))
    assert often.low < once.low < once.better == often.better < once.high < often.high


def test_the_interval_holds_what_it_promises_where_nothing_differs():
    """The best of eight evaluations that differ by chance alone, 2,000 times: the last one is hardly ever said to be worse."""
    seeded, wrong = random.Random(5), 0
    for _ in range(2000):
        looks = [measured(10 * n, [0.6 + seeded.gauss(0, 0.1) for _ in range(20)], looks=n) for n in range(1, 9)]
        found = gain(min(looks, key=lambda one: one.value), looks[-1])
        wrong += bool(found and found.is_clear)
    assert wrong / 2000 <= 0.05, wrong


def test_the_quantile_of_student_is_that_of_the_tables():
    normal = statistics.NormalDist().inv_cdf(0.975)
    assert [round(student_width(normal, count), 2) for count in (7, 10, 20, 60)] == [2.36, 2.23, 2.09, 2.00]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (measured(120, [0.5] * 8), measured(120, [0.5] * 8)),  # it is the last one
        (measured(80, [0.5] * 8), measured(120, [0.4] * 8)),  # the last one is better
        (measured(80, [0.5] * 8, stage="sft"), measured(120, [0.6] * 8)),  # of another stage
    ],
)
def test_there_is_no_gain_where_the_last_step_is_as_good(one, other):
    assert gain(one, other) is None


def test_where_the_batches_are_others_the_difference_is_told_without_an_interval():
    """Memory ran out between the two, and the batches are of half the size."""
    found = gain(measured(80, [0.5] * 8), measured(120, [0.6] * 16, [2] * 16))
    assert (round(found.better, 6), found.low, found.is_clear) == (0.1, None, False)
    said = gain_message(measured(80, [0.5] * 8), measured(120, [0.6] * 16), found)
    assert said.endswith(
        "0.100 lower. How much of that is chance cannot be said: the batches of held-out examples are too few, or others than before."
    )


def test_batches_count_only_where_their_mean_is_what_the_trainer_reports():
    assert taken("dpo", 40, 15, 0.5, [0.5] * 8, EIGHT).losses == [0.5] * 8
    assert taken("dpo", 40, 15, 0.6, [0.5] * 8, EIGHT).losses == []
    assert taken("dpo", 40, 15, 0.5, [0.5] * 7, [4] * 7).losses == [], "too few to say anything"
    assert taken("dpo", 40, 15, 0.5, [0.5] * 8, EIGHT).looks == 3


def test_of_rewards_the_highest_is_the_best():
    low, high = (HeldOut(stage="rloo", step=step, value=value) for step, value in ((10, 1.0), (20, 2.0)))
    assert is_better(high, low) and not is_better(low, high)
    worse = HeldOut(stage="rloo", step=30, value=0.5)
    assert "Held-out reward 2.000 at step 20 against 0.500 at step 30: 1.500 higher" in gain_message(
        high, worse, gain(high, worse)
    )


def kept(run, step, value, stage="dpo"):
    """A run keeps a step as the best one."""
    draft = best.draft_of(run)
    draft.mkdir()
    (draft / WEIGHTS).write_bytes((run.adapter / WEIGHTS).read_bytes()[:-4] + step.to_bytes(4, "little"))
    (draft / "adapter_config.json").write_bytes((run.adapter / "adapter_config.json").read_bytes())
    (draft / "README.md").write_text(f"step {step}")
    found = measured(step, [value] * 8, stage=stage)
    best.keep(run, draft, found)
    return found


def past_its_best(name="first", **changes):
    """A finished run of 120 steps whose best one is step 80."""
    run = finished(name, **changes)
    run.write_result("finished", "Finished.")
    shared = {"stage": "dpo", "steps": 120, "time": 1.0}
    rows = [
        shared | {"step": step, "eval_loss": loss} for step, loss in ((0, 0.69), (40, 0.6), (80, 0.52), (120, 0.57))
    ]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.write_environment({"plan": {"dpo": 120}})
    kept(run, 80, 0.52)
    best.note_last(run, measured(120, [0.57] * 8, looks=3))
    return run


def test_a_better_step_takes_the_place_of_the_one_before_and_a_torn_one_is_passed_over():
    run = finished("first")
    kept(run, 40, 0.6)
    kept(run, 80, 0.5)
    assert [folder.name for folder in run.best_folder.iterdir()] == ["dpo-0000080"]
    found, told = best.best_of(run, at_a_glance=False)
    assert (found.step, told.value) == (80, 0.5)
    (found.folder / WEIGHTS).write_bytes(b"torn")
    assert best.best_of(run) is None


def test_a_full_disk_keeps_the_best_step_that_was_there(monkeypatch):
    run = finished("first")
    kept(run, 40, 0.6)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_to_disk", full)
    with pytest.raises(OSError, match="No space left"):
        kept(run, 80, 0.5)
    assert best.best_of(run)[1].step == 40
    assert not (run.folder / ".best.draft").exists(), "what was half written has given its room back"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
@pytest.mark.parametrize("when", ["replace", "rmtree"])
def test_a_kill_while_the_best_step_is_kept_leaves_the_one_before_or_the_new_one(monkeypatch, when):
    """It dies before the new one has its place; or before the older one goes."""
    run = finished("first")
    kept(run, 40, 0.6)
    if (child := os.fork()) == 0:
        known = getattr(os, when) if when == "replace" else best.shutil.rmtree

        def die(place, *more, **named):
            if when == "replace" and ".best.draft" in str(place) and str(more[0]).endswith("0080"):
                os._exit(9)
            if when == "rmtree" and str(place).endswith("0040"):
                os._exit(9)
            return known(place, *more, **named)

        monkeypatch.setattr(*((os, "replace", die) if when == "replace" else (best.shutil, "rmtree", die)))
        kept(run, 80, 0.5)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert best.best_of(run)[1].step == (40 if when == "replace" else 80)
    kept(run, 100, 0.4)
    assert [folder.name for folder in run.best_folder.iterdir()] == ["dpo-0000100"]


def test_the_best_step_becomes_the_result_and_the_last_one_comes_back():
    run = past_its_best()
    last = weights(run)
    assert best.use_best(run).step == 80
    assert weights(run) != last and (run.adapter / "README.md").read_text() == "step 80"
    assert best.step_of_result(run) == Fork("first", "dpo", 80)
    assert [row["step"] for row in best.rows_of_result(run, run.metrics())] == [0, 40, 80]
    assert ("first, its best step, DPO step 80", "first") in [tuple(one) for one in starts("first").choices]
    with pytest.raises(WorkbenchError, match="The result of first is step 80 of DPO already"):
        best.use_best(run)
    best.use_last(run)
    assert weights(run) == last and best.step_of_result(run) is None and not run.last_adapter.exists()
    assert len(best.rows_of_result(run, run.metrics())) == 4
    with pytest.raises(WorkbenchError, match="its last step already"):
        best.use_last(run)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
@pytest.mark.parametrize("look", [lambda: open_run("first"), survey.survey, all_runs])
def test_a_kill_between_the_two_renames_leaves_a_run_with_the_result_that_it_had(monkeypatch, look):
    """Whoever looks next at the run puts it back, and the change can be made again."""
    run = past_its_best()
    last = weights(run)
    if (child := os.fork()) == 0:
        known = os.replace

        def die(place, target):
            if str(place).endswith(".adapter.draft"):
                os._exit(9)
            known(place, target)

        monkeypatch.setattr(os, "replace", die)
        best.use_best(run)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not run.adapter.exists()
    look()
    assert weights(run) == last and best.step_of_result(run) is None
    best.use_best(run)
    assert best.step_of_result(run) == Fork("first", "dpo", 80)
    left = [entry.name for entry in run.folder.iterdir() if entry.name.startswith(".")]
    assert left == []


def test_a_look_between_the_two_renames_of_a_change_that_goes_on_does_not_undo_it(monkeypatch):
    run, known, looked = past_its_best(), os.replace, []

    def look_first(place, target):
        if str(place).endswith(".adapter.draft") and not looked:
            looked.append(open_run("first").has_adapter)
        known(place, target)

    monkeypatch.setattr(os, "replace", look_first)
    best.use_best(run)
    assert looked == [True] and best.step_of_result(run) == Fork("first", "dpo", 80)


def test_of_a_reward_model_the_scale_of_the_best_step_counts_while_it_is_the_result():
    run = past_its_best("judge", method="reward", sft_data=None)
    run.reward_file.write_text(json.dumps({"mean": 0.0, "std": 1.0, "accuracy": 0.8, "pairs": 80}))
    draft = best.draft_of(run)
    best.shutil.copytree(run.best_folder / "dpo-0000080", draft)
    (draft / "reward.json").write_text(json.dumps({"mean": 2.0, "std": 3.0, "accuracy": 0.9, "pairs": 80}))
    (draft / "manifest.json").unlink()
    best.keep(run, draft, measured(80, [0.52] * 8))
    assert run.reward_facts().accuracy == 0.8
    best.use_best(run)
    assert (run.reward_facts().accuracy, run.reward_facts().std) == (0.9, 3.0)
    best.use_last(run)
    assert run.reward_facts().accuracy == 0.8


def test_the_best_step_can_answer_beside_the_run():
    run = past_its_best()
    assert [one.name for one in offered()] == ["first", "first@dpo-80"]
    assert adapter_folder(Answerer("first@dpo-80")) == run.best_folder / "dpo-0000080"
    assert "step 80 of DPO" in Answerer("first@dpo-80").label


def test_a_run_that_branches_off_after_the_best_step_takes_it_along():
    source = past_its_best()
    for step, names in ((60, []), (100, ["dpo-0000080"])):
        branch = create_run(demo_config(f"branch-{step}"))
        best.take(source, branch, Fork("first", "dpo", step))
        assert [folder.name for folder in branch.best_folder.glob("*")] == names
    assert forks.forks_of(source) == [], "it has no optimizer, so nothing goes on from it"


def test_a_stage_that_begins_forgets_the_best_step_of_another_one():
    run = past_its_best()
    best.forget_other_stages(run, "dpo")
    assert best.best_of(run) and best.last_of(run)
    best.forget_other_stages(run, "sft")
    assert best.best_of(run) is None and best.last_of(run) is None


def test_a_run_keeps_the_step_with_the_lowest_held_out_loss_until_after_its_end(one_base, after_step):
    """After step 4 the adapter is turned round, so that step 3 stays the best one; step 5 is lost and taken once more, by another
    life of the run. Each held-out pair is a batch."""

    def turn_round(model):
        for name, weight in model.named_parameters():
            if weight.requires_grad and "lora_B" in name:
                weight.data *= -1

    def ends(model):
        raise RuntimeError("somebody pulled the plug")

    after_step(5, ends)
    after_step(4, turn_round)
    own = {"batch_size": 1, "accumulation": 4, "evaluations": 6, "dpo": {"learning_rate": 1e-3, "max_steps": 6}}
    settings = SMALL | few_rows() | {"method": "dpo", "sft_data": None, "checkpoint_steps": 1} | own
    run = create_run(demo_config("long", **settings))
    assert train.main(str(run.folder)) == 1 and "pulled the plug" in run.result().why
    before = best.best_of(run, at_a_glance=False)
    assert before and before[0].step == 3
    run.forget_end()
    assert train.main(str(run.folder)) == 0, run.result()
    assert best.best_of(run, at_a_glance=False) == before, "the other life left it as it was"
    losses = {row["step"]: row["eval_loss"] for row in run.metrics() if "eval_loss" in row and row["step"]}
    assert list(losses) == [1, 2, 3, 4, 5, 6] and min(losses, key=losses.get) == 3, losses
    found, told = best.best_of(run, at_a_glance=False)
    assert (found.step, told.value, told.looks) == (3, losses[3], 3)
    assert len(told.losses) == len(told.sizes) >= 8 and abs(statistics.fmean(told.losses) - losses[3]) < 1e-4
    card = (found.folder / "README.md").read_text()
    assert "Taken from | step 3 of DPO" in card and f"Loss (DPO): {losses[3]:.4g}" in card
    assert not (run.folder / "checkpoints").exists()
    gained = best.compared(run)[2]
    assert round(gained.better, 5) == round(losses[6] - losses[3], 5) and gained.low < gained.better < gained.high
    last = weights(run)
    best.use_best(run)
    assert weights(run) != last


def test_a_run_whose_last_step_was_the_best_keeps_no_other(first_run):
    assert best.last_of(first_run).step == 2
    assert best.best_of(first_run) is None and best.compared(first_run) is None


def test_the_watch_page_offers_the_better_step_and_the_way_back():
    run = past_its_best()
    shown = watch_page(run.name)
    assert shown["wb-watch-best"]["value"] == "Use step 80 instead" and shown["wb-watch-best"]["visible"]
    assert not shown["wb-watch-last"]["visible"]
    head = shown["wb-watch-head"]
    assert "It was better at step 80 of DPO" in head
    assert "Held-out loss 0.520 at step 80 against 0.570 at step 120: 0.050 lower" in head and "0.570" in head
    said = result_step.use_best(run.name)
    assert "The result of first is step 80 of DPO now" in said
    shown = watch_page(run.name)
    assert not shown["wb-watch-best"]["visible"] and shown["wb-watch-last"]["visible"]
    assert "The result is step 80 of DPO" in shown["wb-watch-head"]
    assert '<td class="wb-number">0.520</td>' in shown["wb-watch-head"], "the numbers are those of the result"
    result_step.use_last(run.name)
    assert watch_page(run.name)["wb-watch-best"]["visible"]


def test_a_run_that_trains_says_which_step_is_the_best_so_far():
    run = past_its_best()
    assert run_view.best_line(run) == (
        "Best so far: step 80 of DPO, held-out loss 0.520. It is kept whatever comes after it."
    )
    run.forget_end()
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    assert "Best so far: step 80 of DPO" in watch_page(run.name)["wb-watch-head"]
    with pytest.raises(WorkbenchError, match="first is running, so its result cannot be another step"):
        result_step.use_best(run.name)


def test_a_result_that_was_voted_on_stays_what_it_was():
    run = past_its_best()
    prompt = [{"role": "user", "content": "Why?"}]
    votes.add(Vote(prompt=prompt, left="a", right="b", vote="left", left_model=run.name, right_model="", base="demo"))
    with pytest.raises(WorkbenchError, match="1 vote was given on answers of first"):
        result_step.use_best(run.name)
    assert best.step_of_result(run) is None


def test_the_command_line_makes_the_best_step_the_result_and_takes_it_back(capsys):
    run = past_its_best()
    assert main(["best", run.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == 0.52
    assert main(["best", run.name, "--last"]) == 0
    assert "its last step again" in capsys.readouterr().out
    assert main(["best", run.name, "--last"]) == 1
    assert "its last step already" in capsys.readouterr().err


def test_an_archive_takes_the_best_step_and_the_one_that_is_the_result_along(tmp_path):
    run = past_its_best()
    result_step.use_best(run.name)
    names = archives.pack(run.name, tmp_path / "first.zip")
    assert {"best/dpo-0000080/manifest.json", "adapter/step.json", "adapter-last/" + WEIGHTS, "held_out.json"} <= {
        *names
    }
    there = archives.unpack(tmp_path / "first.zip")
    assert best.step_of_result(there).step == 80 and best.best_of(there, at_a_glance=False)[1].value == 0.52
    assert weights(there) == weights(run)
    best.use_last(there)
    assert weights(there) != weights(run)
