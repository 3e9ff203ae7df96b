"""What a person sees of reward models and online training: the form, the trial of a reward, both ways at once, Watch, the card."""

import json
from dataclasses import replace

import pytest
from configs import demo_config
from drawn import train, watch_page
from made_runs import create_run, finished, reward_run, store_thumbs
from test_queue import KEEPER, all_over, states, wait_for
from test_scoring import app as app  # noqa: PLC0414 - a fixture
from test_train_page import form_values

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.charts import charts
from workbench.core.monitoring.run_log import PARTS, RunLog
from workbench.core.reward_trial import Group, Judged, verdict
from workbench.core.training.config import ModelRef
from workbench.core.training.methods import BOTH_WAYS, METHODS
from workbench.core.training.model_card import model_card
from workbench.jobs import preparing, proposals, queue, reward_trial, training
from workbench.jobs.app_state import AppState
from workbench.store import choices, datasets, presets
from workbench.store.choices import Choices
from workbench.store.runs import all_runs, needed_runs, open_run
from workbench.ui import train_fields, train_form
from workbench.ui.reward_view import online_html, quality_html
from workbench.ui.train_both_ways import plan_html
from workbench.ui.train_summary import summary_html
from workbench.ui.train_trial import tried_html

ONLINE = {"method": "rloo", "batch_size": 32, "rloo.answer_tokens": 40}
QUALITY = {
    "mean": -0.5, "std": 2.0, "pairs": 200, "accuracy": 0.91, "low": 0.86, "high": 0.94, "margin": 3.0,
    "calibration": [[0.8, 0.79, 60], [0.95, 0.97, 140]], "calibration_error": 0.02, "shorter_pairs": 90, "shorter_accuracy": 0.88,
}  # fmt: skip


def rloo(name="policy", **changes):
    own = {"reward_run": "judge", "answer_tokens": 40, "max_steps": 5} | changes.pop("rloo", {})
    return demo_config(name, **{"method": "rloo", "sft_data": None, "rloo": own} | changes)


def online_run(rows, **environment):
    run = create_run(rloo())
    run.write_environment({"plan": {"rloo": 5}} | environment)
    run.metrics_file.write_text(
        "".join(json.dumps({"stage": "rloo", "steps": 5, "time": 0.0} | row) + "\n" for row in rows)
    )
    return run


def measured(step, reward, kl, **parts):
    return {
        "step": step, "eval_loss": 0.0, "eval_reward": reward, "eval_kl": kl,
        **{f"eval_rewards/{name}/mean": value for name, value in parts.items()},
    }  # fmt: skip


def test_settings_that_a_method_does_not_use_are_hidden():
    for setting, with_it, without in (
        ("samples", "rloo", "reward"),
        ("group_by_length", "reward", "rloo"),
        ("reference", "dpo", "rloo"),
        ("rloo.rules", "rloo", "reward"),
    ):
        stages = train_fields.stages_with(setting)
        assert train_fields.visible(stages, with_it) is True, setting
        assert train_fields.visible(stages, without) == "hidden", setting
    assert train_fields.stages_with("batch_size") == ()
    assert train().fields.named["rloo.rules"].lines == 3


def test_without_a_reward_model_the_form_says_how_to_get_one():
    fields = train().fields
    shown = fields.reward_updates("gone")[fields.reward]
    assert shown.value == "" and [name for _, name in shown.choices] == [""]
    assert "No reward model of the demo model has finished yet. Train one first" in shown.info
    judge = reward_run()
    judge.reward_file.write_text(json.dumps(QUALITY))
    shown = fields.reward_updates("judge")[fields.reward]
    assert shown.value == "judge" and ("judge · right in 91% of 200 held-out pairs", "judge") in [
        *map(tuple, shown.choices)
    ]
    choices.update(model=ModelRef(source="hub", name="owner/other"))
    assert len(fields.reward_updates("judge")[fields.reward].choices) == 1, "it scores on its own base model only"


def test_prompts_are_lent_by_data_of_every_kind_to_what_answers_by_itself():
    store_thumbs()
    fields = train().fields
    offered = {
        method: {
            name: title
            for title, name in fields.data_updates(Choices(), method)[fields.named["preference_data"]].choices
        }
        for method in ("dpo", "rloo")
    }
    assert set(offered["dpo"]) == {"demo-preferences"}
    assert set(offered["rloo"]) == {"demo-preferences", "demo-sft", "thumbs"}
    assert offered["rloo"]["thumbs"].endswith(": its prompts")


def test_the_summary_says_what_trains_what_judges_and_how_many_answers_a_step_compares():
    reward_run()
    said = summary_html(form_values(**ONLINE, **{"rloo.reward_run": "judge", "rloo.rules": "0.5 words: gladly"}))
    for words in (
        "the policy&#x27;s adapter alone",
        "reward model judge + 0.5 × (words gladly)",
        "32 (32 at once × 1): 8 prompts, each with a group of 4 answers of at most 40 tokens",
        "PPO itself left TRL in 1.13 for lack of use; RLOO has the same KL-regularised objective without the critic.",
        "up to 256,000 tokens of its own answers",
    ):
        assert words in said
    said = summary_html(form_values(method="reward"))
    assert "it judges answers and writes none" in said and "Reference" not in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "RLOO needs a reward, and none is chosen."),
        ({"rloo.rules": "0.5 wrds: sure"}, "Write a weight and one of words, length, pattern, json"),
        ({"rloo.reward_run": "gone"}, "There is no run called gone"),
    ],
)
def test_a_missing_reward_and_a_wrong_rule_are_said_before_the_click(changes, words):
    assert words in summary_html(form_values(**ONLINE, **changes))


def last_group(work):
    return [one for one in work if not isinstance(one, str)][-1]


def test_a_reward_is_tried_on_real_answers_by_model_and_by_rule(app):
    """The pretended model says its prompt and seed, and is scored by minus the seed."""
    reward_run()
    values = form_values(**ONLINE, seed=3, **{"rloo.reward_run": "judge", "rloo.rules": "5 pattern: seed 4$"})
    groups = last_group(reward_trial.try_reward(app, train_form.config_from(values)))
    assert len(groups) == 2 and all(len(one.answers) == 4 for one in groups)
    assert [reward for reward, _ in groups[0].ranked] == [1.0, -3.0, -5.0, -6.0], (
        "seeds 3 to 6; seed 4 has 5 more by its rule"
    )
    assert groups[0].ranked[0][1].parts == {"reward model": -4.0, "pattern seed 4$": 1.0}
    assert [reward for reward, _ in groups[1].ranked] == [-7.0, -8.0, -9.0, -10.0]
    assert groups[0].prompt != groups[1].prompt
    said = tried_html(groups)
    assert "These four answers get +1.00, −3.00, −5.00, −6.00." in said and "there is something to learn" in said
    assert "= −4.00 (reward model) + 5 × +1.00 (pattern seed 4$)" in said


def test_a_rule_needs_no_reward_model_and_one_that_says_the_same_of_all_teaches_nothing(app):
    values = form_values(**ONLINE, **{"rloo.rules": "json"})
    groups = last_group(reward_trial.try_reward(app, train_form.config_from(values)))
    said = tried_html(groups)
    assert "wb-warning" in said and "nothing could be learned from them" in said
    assert "These four answers get +0.00, +0.00, +0.00, +0.00." in said


def test_what_cannot_be_tried_is_said(app):
    config = train_form.config_from(form_values(**ONLINE, **{"rloo.reward_model": "owner/judge"}))
    with pytest.raises(WorkbenchError, match="a reward model of the Hub is loaded when the run begins"):
        list(reward_trial.try_reward(app, config))


def test_one_group_of_two_without_spread_is_no_reason_to_stop():
    flat, steep = (
        Group("Why?", [Judged("a", False, {"r": 0.0}), Judged("b", False, {"r": value})], {"r": 2.0})
        for value in (0.0, 0.5)
    )
    assert (
        verdict([flat, steep]) == (True, verdict([flat, steep])[1]) and "In 1 of 2 groups" in verdict([flat, steep])[1]
    )
    assert verdict([flat])[0] is False and verdict([steep])[0] is True


def test_dpo_against_rlhf_is_four_runs_that_follow_from_each_other():
    found = train_form.both_ways_from(form_values(name="try"))
    assert [one.method for one in found] == list(BOTH_WAYS)
    sft, dpo, judge, policy = found
    assert [one.name for one in found] == ["try-sft", "try-dpo", "try-reward", "try-rloo"]
    assert (sft.start_from, dpo.start_from, judge.start_from, policy.start_from) == (None, "try-sft", None, "try-sft")
    assert policy.rloo.reward_run == "try-reward" and needed_runs(policy) == {"try-sft", "try-reward"}
    assert (sft.sft.learning_rate, sft.sft.max_steps) == (5e-4, 60)
    assert (dpo.dpo.learning_rate, dpo.dpo.max_steps) == (2e-4, 70)
    assert (judge.reward.learning_rate, judge.reward.max_steps, judge.batch_size) == (5e-4, 30, 16)
    measured = presets.recipe("demo-rloo").settings["rloo"]
    assert measured and policy.rloo.model_dump(include=set(measured)) == measured
    assert (policy.rloo.max_steps, policy.batch_size) == (30, 32)
    assert (policy.rloo.group_size, policy.rloo.answer_tokens) == (4, 40)
    assert len({one.adapter.rank for one in found}) == 1
    finished("start")
    later = train_form.both_ways_from(form_values(start_from="start"))
    assert [one.method for one in later] == list(BOTH_WAYS[1:]) and later[-1].start_from == "start"


def test_another_model_takes_the_settings_of_the_form_with_whole_groups_and_room_for_a_prompt():
    choices.update(model=ModelRef(source="hub", name="owner/other"))
    values = form_values(batch_size=2, accumulation=3, max_length=192, **{"dpo.learning_rate": 7e-6})
    *_, dpo, _, policy = train_form.both_ways_from(values)
    assert dpo.dpo.learning_rate == 7e-6
    assert (policy.batch_size, policy.accumulation, policy.rloo.answer_tokens) == (2, 4, 96)


def test_both_ways_are_put_into_the_queue_whole_or_not_at_all():
    queue.hold()
    found = train_form.both_ways_from(form_values(name="try"))
    finished("try-reward")  # somebody took that name in between
    with pytest.raises(WorkbenchError, match="There is a run called try-reward already"):
        queue.add_all(found)
    assert [run.name for run in all_runs()] == ["try-reward"]
    said = plan_html(form_values(name="try"))
    assert (
        "RLOO, 30 steps, from try-sft, judged by reward model try-reward-2" in said and "Expected time in all" in said
    )
    runs = queue.add_all(train_form.both_ways_from(form_values(name="try")))
    assert queue.waiting() == runs and [run.name for run in runs] == ["try-sft", "try-dpo", "try-reward-2", "try-rloo"]


def test_a_run_in_front_of_its_own_reward_model_waits_for_it():
    queue.hold()
    runs = queue.add_all(train_form.both_ways_from(form_values(name="try")))
    queue.to_front("try-rloo")
    assert [run.name for run in queue.waiting()][0] == "try-rloo"
    assert queue._next_of(queue.waiting()) == runs[0]
    assert queue._next_of([runs[3], runs[2]]) == runs[2]
    assert queue._next_of([runs[3]]) == runs[3], "what it needs is over"


def test_a_run_whose_start_came_to_nothing_fails_in_words_when_its_turn_comes():
    queue.add_all(train_form.both_ways_from(form_values(name="bad")), keeper=KEEPER)
    wait_for(all_over)
    assert set(states().values()) == {"failed"}
    assert "bad-sft has no adapter to start from" in training.summary(open_run("bad-dpo"))


def test_nothing_is_put_into_the_queue_that_needs_a_run_which_will_never_end():
    create_run(demo_config("lost-one", method="sft", preference_data=None))
    with pytest.raises(WorkbenchError, match="lost-one has no adapter to start from"):
        queue.add(demo_config("later", method="dpo", sft_data=None, start_from="lost-one"))


def test_a_reward_model_leads_to_a_run_against_it_from_the_newest_sft():
    finished("taught", method="sft", preference_data=None)
    finished("aligned", method="dpo", sft_data=None)
    judge = reward_run()
    found = proposals.proposal_for(AppState(), "against", "judge")
    assert (found.config.method, found.config.rloo.reward_run, found.start_from) == ("rloo", "judge", "taught")
    assert found.config.name == "judge-rloo" and found.config.preference_data == "demo-preferences"
    judge.write_result("finished", "Finished.")
    shown = watch_page("judge")
    assert shown["wb-watch-against"]["visible"] is True
    for hidden in ("wb-watch-compare", "wb-watch-more"):
        assert shown[hidden]["visible"] is False
    assert "A reward model writes no answers" in shown["wb-watch-samples"]
    assert watch_page("aligned")["wb-watch-against"]["visible"] is False


def test_the_page_of_a_reward_run_says_how_good_it_is():
    judge = reward_run()
    judge.reward_file.write_text(json.dumps(QUALITY))
    said = watch_page("judge")["wb-watch-reward"]
    for words in (
        "Right on 200 held-out pairs: 91%, interval 86% to 94%",
        "chosen answers score 3.00 higher than rejected ones, 1.5 standard deviations",
        "right in 88% of 90 pairs",
        "80% sure", "right in 79%",
    ):  # fmt: skip
        assert words in said
    assert quality_html(judge.reward_facts()) == said
    judge.reward_file.write_text('{"mean": 1.0, "std": 0}')
    assert watch_page("judge")["wb-watch-reward"] == "" and any("reward.json" in one for one in judge.notes())


def test_the_page_of_an_online_run_shows_parts_divergence_and_what_stayed_as_it_was():
    same = {"base": "a", "reference": "b", "reward": "c"}
    rows = [measured(0, -0.1, 0.0, judge=-0.2, words=0.1), measured(5, 0.8, 0.08, judge=0.5, words=0.3)]
    run = online_run(rows, frozen={"before": same, "after": same, "unchanged": True})
    said = watch_page("policy")["wb-watch-reward"]
    for words in ("reward model judge", "−0.10", "+0.80", "+0.90", "0.080 nats per token", "words"):
        assert words in said
    assert "base model, reference and reward model are the same, byte for byte, as before the first step" in said
    run.write_environment(
        run.environment() | {"frozen": {"before": same, "after": same | {"base": "x"}, "unchanged": False}}
    )
    said = online_html(run, run.config(), "rloo", run.log())
    assert "What must stay as it is has changed" in said and "are the same" not in said
    run.write_environment(run.environment() | {"frozen": {"before": same}})
    assert "compared byte by byte when the run ends" in online_html(run, run.config(), "rloo", run.log())


def test_the_curves_of_an_online_run_are_drawn_with_the_parts_of_its_reward():
    trained = {
        "reward": 0.5,
        "kl": 0.01,
        "entropy": 1.0,
        "reward_std": 0.4,
        "frac_reward_zero_std": 0.1,
        "completions/mean_length": 20,
        "completions/clipped_ratio": 0.25,
    }
    parts = {"rewards/judge/mean": 0.2, "rewards/words/mean": 0.3, "rewards/judge/std": 0.1}
    rows = [{"stage": "rloo", "step": step, "loss": 0.0} | trained | parts for step in (1, 2, 3)]
    drawn = charts(RunLog.of(rows), {"rloo": 3})
    for ident in METHODS["rloo"].charts:
        assert drawn[ident]["lines"], ident
    assert drawn["ending"]["lines"][0]["points"] == [[1, 0.75], [2, 0.75], [3, 0.75]]
    names = {line["name"]: line["points"] for line in drawn["reward"]["lines"]}
    assert names["judge"] == [[1, 0.2], [2, 0.2], [3, 0.2]] and names["words"][0] == [1, 0.3]
    many = RunLog.of({"stage": "rloo", "step": 1} | {f"rewards/{part}/mean": 1.0} for part in range(3 * PARTS))
    assert len(many.curves) == PARTS


def test_sample_answers_show_their_reward_at_the_start_and_now():
    run = online_run([measured(0, -0.1, 0.0), measured(5, 0.8, 0.08)])
    one = {
        "stage": "rloo",
        "prompt": [{"role": "user", "content": "Why?"}],
        "tokens": 3,
        "hit_limit": False,
        "repetition": 0.0,
    }
    lines = [
        one | {"step": 0, "answer": "whatever", "reward": -0.9},
        one | {"step": 5, "answer": "gladly", "reward": 1.25},
    ]
    run.samples_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = watch_page("policy")["wb-watch-samples"]
    assert "reward −0.90, 3 tokens" in said and "reward +1.25, 3 tokens" in said


def test_the_model_card_of_a_reward_model_says_how_to_score_with_it():
    card = model_card(demo_config("judge", method="reward", sft_data=None), {}, [])
    assert "pipeline_tag: text-classification" in card and "AutoModelForSequenceClassification" in card
    assert '(score - scale["mean"]) / scale["std"]' in card and "AutoModelForCausalLM" not in card
    compile(card.split("```python\n")[1].split("```")[0], "the card", "exec")
    other = model_card(demo_config(), {}, [])
    assert "pipeline_tag: text-generation" in other and "AutoModelForCausalLM" in other and "reward" not in other


def test_prompts_of_the_trial_are_held_out():
    config = train_form.config_from(form_values(**ONLINE, **{"rloo.rules": "json"}))
    held_out = [row["prompt"] for row in datasets.read("demo-preferences", "held_out", 500)]
    assert all(prompt in held_out for prompt in reward_trial._prompts(config, "rloo"))


def test_a_pattern_that_takes_forever_is_ended_with_advice(monkeypatch):
    """In a process of its own: a window that tried it by itself would stand still."""
    monkeypatch.setattr(preparing, "LOOK", replace(preparing.LOOK, seconds=2))
    with pytest.raises(WorkbenchError, match="Write a simpler pattern"):
        preparing.run({"do": "rules", "text": "pattern: (a+)+$", "answers": ["a" * 60 + "!"]})
    assert preparing.run({"do": "rules", "text": "json\n2 words: sure", "answers": ["1", "Sure."]}) == [[1, 0], [0, 1]]
