"""Reward models: what is measured of them, how they are trained and kept, and their scores on a base that others use too."""

import hashlib
import json
import re
import shutil

import pytest
import torch
from configs import demo_config
from made_runs import create_run, judge_settings
from real_runs import weights

from workbench.core.data.messages import message
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import examine
from workbench.core.monitoring.reward_quality import ScoredPair, quality
from workbench.engine import load, train
from workbench.engine.device import this_device
from workbench.engine.rewards import ABOUT, RewardAdapter
from workbench.jobs import lanes
from workbench.store import datasets
from workbench.store.answerers import offered
from workbench.store.runs import reward_runs, starting_run


def test_quality_of_scores_that_are_sure_and_half_right():
    pairs = [ScoredPair(2.0, 0.0, 5, 9), ScoredPair(0.0, 2.0, 9, 5)] * 20
    found = quality(pairs)
    assert (found.pairs, found.mean, found.std, found.margin) == (40, 1.0, 1.0, 0.0)
    assert found.accuracy == 0.5 and found.low < 0.5 < found.high
    assert (found.shorter_pairs, found.shorter_accuracy) == (20, 1.0)
    [sure] = found.calibration
    assert sure.predicted == pytest.approx(0.8808, abs=1e-4) and sure.actual == 0.5
    assert found.calibration_error == pytest.approx(0.3808, abs=1e-4)
    assert quality([]) is None


def test_scores_whose_certainty_holds_are_calibrated():
    right = [ScoredPair(1.0986, 0.0, 5, 5)] * 75  # sigmoid(ln 3) = .75
    found = quality(right + [ScoredPair(0.0, 1.0986, 5, 5)] * 25)
    assert found.calibration_error < 0.001 and found.shorter_accuracy is None


def measured(accuracy=0.9, margin=2.0, pairs=100, shorter_pairs=50, shorter=0.9):
    return [
        {"stage": "reward", "step": 0, "steps": 20, "time": 0.0, "eval_loss": 0.7},
        {
            "stage": "reward", "step": 20, "steps": 20, "time": 9.0, "eval_loss": 0.4, "eval_rewards/accuracies": accuracy,
            "eval_rewards/margins": margin, "eval_reward/pairs": pairs, "eval_reward/shorter_pairs": shorter_pairs,
            "eval_reward/shorter_accuracy": shorter,
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"accuracy": 0.52}, "reward_at_chance"),
        ({"accuracy": 0.52, "pairs": 10}, None),
        ({"accuracy": 0.7, "shorter": 0.2}, "reward_is_length"),
        ({"accuracy": 0.7, "shorter": 0.2, "shorter_pairs": 5}, None),
        ({"margin": 14.0}, "reward_saturated"),
    ],
)
def test_rules_of_a_reward_model(changes, rule):
    config = demo_config(method="reward")
    found = [finding.rule for finding in examine(measured(**changes), config, {"reward": 20})]
    assert found == ([rule] if rule else [])


def conversations(split="held_out", count=8):
    rows = list(datasets.read("demo-preferences", split, count))
    return [[message(turn["role"], turn["content"]) for turn in [*row["prompt"], *row["chosen"]]] for row in rows]


def digest(model):
    found = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        found.update(name.encode() + weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def test_a_reward_model_is_a_run_and_scores_the_same_beside_another_adapter(judge, base):
    assert judge.is_reward and [run.name for run in reward_runs()] == ["judge"]
    assert offered() == [] and judge.result().outcome == "finished"
    about = json.loads((judge.adapter / ABOUT).read_text())
    assert about["pairs"] == 8 and about["std"] > 0
    # As it was trained: through the model with the head, pair after pair.
    alone = load.load_base(judge.config().model, "nf4", this_device(), lambda words: None, scores=True)
    from peft import PeftModel

    from workbench.engine.rewards import scored

    trained = PeftModel.from_pretrained(alone.model, str(judge.adapter)).eval()
    asked = conversations()
    raw = []
    for one in asked:
        ids = torch.tensor([alone.tokenizer.apply_chat_template(one, tokenize=True, return_dict=False)])
        with torch.no_grad():
            raw += scored(trained.get_base_model(), ids, torch.ones_like(ids)).tolist()
    wanted = [(value - about["mean"]) / about["std"] for value in raw]

    policy = load.add_adapter(base, demo_config().adapter, False, 3)
    try:
        before, trains = digest(policy), [name for name, weight in policy.named_parameters() if weight.requires_grad]
        policy.train()
        beside = RewardAdapter(policy, base.tokenizer, judge.adapter, 192)
        assert beside.scores(asked) == pytest.approx(wanted, abs=1e-4)
        assert beside.model is policy and policy.training and policy.active_adapter == "default"
        assert [name for name, weight in policy.named_parameters() if weight.requires_grad] == trains
        policy.delete_adapter("reward")
        assert digest(policy) == before
    finally:
        policy.unload()


def test_a_score_that_is_no_number_and_an_adapter_that_scores_nothing_are_told(judge, base, first_run):
    policy = load.add_adapter(base, demo_config().adapter, False, 3)
    try:
        beside = RewardAdapter(policy, base.tokenizer, judge.adapter, 192)
        beside.head.weight.data.fill_(float("nan"))
        with pytest.raises(WorkbenchError, match="8 of 8 answers a score that is no number"):
            beside.scores(conversations())
        with pytest.raises(WorkbenchError, match="has no reward.json"):
            RewardAdapter(policy, base.tokenizer, first_run.adapter, 192)
        shutil.copy(judge.adapter / ABOUT, first_run.adapter / ABOUT)
        with pytest.raises(WorkbenchError, match="no head that scores"):
            RewardAdapter(policy, base.tokenizer, first_run.adapter, 192, "other")
    finally:
        policy.unload()


def test_nothing_that_answers_starts_from_a_reward_model_and_none_is_asked(judge):
    with pytest.raises(WorkbenchError, match="scores answers and writes none"):
        starting_run(demo_config("later", method="dpo", start_from="judge"))
    assert starting_run(demo_config("later", method="reward", start_from="judge")).name == "judge"
    with pytest.raises(WorkbenchError, match="scores answers and writes none"):
        lanes.adapter_folder(lanes.Answerer("judge"))


def test_a_reward_model_starts_from_a_run_that_answers(judge, first_run):
    steps = {"learning_rate": 5e-4, "max_steps": 1}
    run = create_run(demo_config("later", **judge_settings() | {"start_from": "first", "reward": steps}))
    assert train.main(str(run.folder)) == 0, run.result()
    assert run.is_reward and run.start_adapter.is_dir()


def test_answers_that_are_too_long_are_counted(judge):
    run = create_run(demo_config("short", **judge_settings() | {"max_length": 48}))
    train.main(str(run.folder))
    told = " ".join(row.get("phase", "") for row in run.metrics())
    assert re.search(r"\d+ of 112 examples were left out: an answer with its prompt is longer than max length", told), (
        told
    )


def test_a_paused_reward_model_goes_on_to_the_weights_of_one_that_was_not(judge, after_step):
    run = create_run(demo_config("again", **judge_settings()))
    after_step(4, lambda _: run.stop_file.write_text("pause"))
    assert train.main(str(run.folder)) == 0
    assert run.result().outcome == "paused"
    run.stop_file.unlink()
    assert train.main(str(run.folder)) == 0
    assert run.result().outcome == "finished"
    assert weights(run) == weights(judge)
