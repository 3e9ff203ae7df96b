"""Online reinforcement learning: rewards by rule, one base for policy, reference and reward, and a run like any other."""

import json
import os
import random
import time

import pytest
import torch
from configs import demo_config
from made_runs import SMALL, create_run, few_rows
from real_runs import ended, weights

from workbench.core.data.messages import message
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import examine
from workbench.core.training.config import ModelRef
from workbench.core.training.reward_rules import parse_rules
from workbench.engine import load, rewards, train
from workbench.engine.device import this_device
from workbench.engine.hub_reward import HubReward
from workbench.engine.rloo import Reward, rule_part
from workbench.jobs import processes, training
from workbench.store.home import shipped
from workbench.store.runs import check_reward

ONLINE = {"learning_rate": 1e-3, "max_steps": 2, "group_size": 2, "answer_tokens": 8}


def online_config(name="online", *, rloo=None, **changes):
    settings = SMALL | few_rows() | {"method": "rloo", "sft_data": None, "held_out_limit": 8, "checkpoint_steps": 1}
    return demo_config(
        name, **settings | changes, rloo={**ONLINE, **({"reward_run": "judge"} if rloo is None else rloo)}
    )


@pytest.mark.parametrize(
    ("text", "answer", "worth"),
    [
        ("words: gladly, of course", "Of course. It is Bern.", 1.0),
        ("0.5 words: sure", "I assure you.", 0.0),
        ("length: 4", "one two three four", 1.0),
        ("length: 4", "one two three four five six", 0.5),
        ("length: 4", " ".join("word" for _ in range(20)), 0.0),
        (r"2 pattern: ^\d+$", "42", 1.0),
        ("json", '{"a": 1}', 1.0),
        ("-1 json", "a: 1", 0.0),
    ],
)
def test_what_a_rule_is_worth(text, answer, worth):
    [rule] = parse_rules(text)
    assert rule.score(answer) == worth


def test_rules_are_added_with_their_weights():
    rules = parse_rules("0.5 words: sure\n\n-2 json")
    reward = Reward({rule.name: rule_part(rule) for rule in rules}, [rule.weight for rule in rules])
    sums, parts = reward.of([[message("assistant", "Sure.")], [message("assistant", "1")]])
    assert sums == [0.5, -2.0] and parts == {"words sure": [1.0, 0.0], "json": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "Rule 1 is 'nonsense'. Write a weight and one of words, length, pattern, json"),
        ("1 words:", "takes words with commas between"),
        ("length: soon", "takes a whole number of words"),
        ("pattern: (", "this one is wrong"),
        ("json: yes", "takes nothing behind it"),
        ("x words: a", "Rule 1 is"),
    ],
)
def test_a_wrong_rule_is_told(text, told):
    with pytest.raises(WorkbenchError) as error:
        parse_rules(text)
    assert told in str(error.value)


def test_settings_that_cannot_be_run_are_told(home):
    with pytest.raises(WorkbenchError, match="needs a reward, and none is chosen"):
        online_config(rloo={})
    with pytest.raises(WorkbenchError, match="no whole number of groups of 3"):
        online_config(rloo={"group_size": 3, "rules": "json"})
    with pytest.raises(WorkbenchError, match="no room is left for a prompt"):
        online_config(rloo={"answer_tokens": 128, "rules": "json"})


def test_the_reward_must_be_a_finished_reward_model_of_this_base(judge, first_run):
    check_reward(online_config())
    with pytest.raises(WorkbenchError, match="first is no reward model"):
        check_reward(online_config(rloo={"reward_run": "first"}))
    with pytest.raises(WorkbenchError, match="was trained on demo model"):
        check_reward(online_config(model=ModelRef(source="hub", name="org/name").model_dump()))


def measured(**last):
    rows = []
    for step in range(1, 13):
        now = last if step > 7 else {}
        numbers = {"kl": 0.01, "frac_reward_zero_std": 0.1, "completions/mean_length": 30.0, "entropy": 1.0} | now
        rows.append({"stage": "rloo", "step": step, "steps": 12, "time": step, "loss": 0.0, "grad_norm": 1.0} | numbers)
    return rows


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, []),
        ({"kl": 0.3}, ["divergence_too_large"]),
        ({"frac_reward_zero_std": 0.9}, ["no_spread"]),
        ({"completions/mean_length": 80.0}, ["length_explodes"]),
        ({"entropy": 0.05}, ["entropy_collapses"]),
    ],
)
def test_rules_of_health(changes, rule, home):
    config = online_config(rloo={"rules": "json"})
    assert [found.rule for found in examine(measured(**changes), config, {"rloo": 12})] == rule


@pytest.fixture
def uninterrupted(judge, first_run, one_base):
    """Two steps against a reward model, from a run that was trained before."""
    run = create_run(online_config("whole", start_from="first"))
    assert train.main(str(run.folder)) == 0, run.result()
    return run


def test_only_the_policy_changes_and_a_paused_run_ends_as_one_that_was_not(uninterrupted, after_step):
    rows = uninterrupted.metrics()
    assert next(row["kl"] for row in rows if "kl" in row) == 0, "at the first step the policy is its own reference"
    assert next(row["eval_kl"] for row in rows if "eval_kl" in row) == 0
    logged = {key for row in rows for key in row}
    assert {"reward", "rewards/reward model/mean", "entropy", "completions/mean_length"} <= logged
    stepped = [row for row in rows if "step_time" in row]
    assert stepped and all(0 < row["generating_time"] < row["step_time"] for row in stepped)
    frozen = uninterrupted.environment()["frozen"]
    assert frozen["unchanged"] and frozen["before"].keys() == {"base", "reference", "reward"}
    assert weights(uninterrupted) != weights_of(uninterrupted.start_adapter)

    again = create_run(online_config("again", start_from="first"))
    after_step(1, lambda _: again.stop_file.write_text("pause"))
    assert train.main(str(again.folder)) == 0 and again.result().outcome == "paused"
    again.stop_file.unlink()
    assert train.main(str(again.folder)) == 0 and again.result().outcome == "finished"
    assert weights(again) == weights(uninterrupted)


def weights_of(folder):
    import hashlib

    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_grpo_and_rules_train_too_and_samples_tell_their_reward(one_base):
    rloo = {"rules": "1 length: 5\n0.5 words: the", "algorithm": "grpo"}
    run = create_run(online_config("rules", rloo=rloo, samples=2))
    assert train.main(str(run.folder)) == 0, run.result()
    keys = {key for row in run.metrics() for key in row}
    assert {"rewards/length 5/mean", "rewards/words the/mean", "eval_reward"} <= keys
    assert all("reward" in one for one in run.samples())


def test_a_reward_that_is_no_number_ends_the_run_with_words(judge, one_base, monkeypatch):
    monkeypatch.setattr(rewards, "scored", lambda base, ids, mask, head=None: torch.full((len(ids),), float("nan")))
    run = create_run(online_config("nan"))
    assert train.main(str(run.folder)) == 1
    assert "a score that is no number" in run.result().why


def test_a_base_that_changed_is_told(judge, one_base, after_step):
    """As a library might, behind everybody's back."""

    def spoil(model):
        next(weight for name, weight in model.named_parameters() if ".reward." in name).data.add_(1)

    run = create_run(online_config("spoilt"))
    after_step(2, spoil)
    assert train.main(str(run.folder)) == 1
    assert "what must stay as it is has changed: reward" in run.result().why
    assert not run.environment()["frozen"]["unchanged"]


@pytest.fixture
def classifier(tmp_path):
    """A made-up reward model of the Hub: two layers of random weights, with the demo's tokenizer."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    demo = shipped("assets") / "demo" / "model"
    size = json.loads((demo / "config.json").read_text())["vocab_size"]
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_labels=1,
        pad_token_id=0,
    )  # fmt: skip
    folder = tmp_path / "classifier"
    LlamaForSequenceClassification(config).save_pretrained(folder)
    load.load_tokenizer(demo).save_pretrained(folder)
    return folder


def test_a_reward_model_of_its_own_scores_beside_the_base(classifier, one_base, tmp_path):
    run = create_run(online_config("beside", rloo={"reward_model": str(classifier)}))
    assert train.main(str(run.folder)) == 0, run.result()
    scale = json.loads(run.reward_file.read_text())
    assert scale["std"] > 0 and scale["pairs"] == 16
    again = HubReward(str(classifier), this_device(), 128, lambda text: None)
    again.set_scale(run.reward_file, [])
    asked = [[message("user", "Hello?"), message("assistant", "Yes.")]]
    assert again.scores(asked) == pytest.approx([(again._raw(asked)[0] - scale["mean"]) / scale["std"]])


def test_a_model_that_does_not_score_is_told(home):
    with pytest.raises(WorkbenchError, match="gives 2 numbers|sequence classifier|could not be loaded"):
        HubReward(str(shipped("assets") / "demo" / "model"), this_device(), 128, lambda text: None)


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(judge, first_run):
    """Real workers: while they load, answer, are judged, learn, save. WORKBENCH_KILLS=10 for more of them."""
    steps = {"max_steps": 6, "reward_run": "judge"}
    config = online_config("whole", start_from="first", rloo=steps)
    whole = training.start(config)
    assert ended(whole) == "finished", training.summary(whole)
    begun = time.monotonic()
    pieces = training.start(config.model_copy(update={"name": "pieces"}))
    moments = random.Random(11)
    for _ in range(int(os.environ.get("WORKBENCH_KILLS", "3"))):
        until = time.monotonic() + moments.uniform(1, 14)
        while time.monotonic() < until and training.state_of(pieces) == "running":
            time.sleep(0.05)
        if training.state_of(pieces) != "running":
            break
        worker = pieces.worker()
        processes.end_tree(worker["pid"], worker["created"])
        assert ended(pieces) in ("lost", "finished")
        if training.state_of(pieces) == "lost":
            training.resume(pieces)
    assert ended(pieces) == "finished", (training.summary(pieces), time.monotonic() - begun)
    assert weights(pieces) == weights(whole)
    assert pieces.environment()["frozen"]["unchanged"]
