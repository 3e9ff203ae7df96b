"""A reward model beside the adapters that answer, on one base model: it scores, and nobody answers otherwise for it."""

import json
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.core.chat import Answerer, Sampling
from workbench.core.data.messages import message
from workbench.core.errors import WorkbenchError
from workbench.engine.chat import Grid, Lanes
from workbench.engine.loaded_adapters import Lane
from workbench.engine.rewards import RewardAdapter
from workbench.jobs import lanes as asking
from workbench.jobs.app_state import AppState
from workbench.store import datasets

SHORT = Sampling(max_new_tokens=4)


@pytest.fixture
def lanes(base):
    one = Lanes(base)
    yield one
    if one.adapters.are_there:
        one.adapters.model.unload()


def conversations(count=20):
    rows = datasets.read("demo-preferences", "held_out", count // 2)
    return [[*row["prompt"], *row[part]] for row in rows for part in ("chosen", "rejected")]


def rewards(lanes, folder, asked, stop=None):
    said = []
    request = {"adapter": str(folder), "max_length": 192, "conversations": asked}
    lanes.reward(request, said.append, stop or threading.Event())
    return {one["item"]: one["reward"] for one in said}


def answer(lanes, *who):
    said = []
    asked = Grid([[message("user", "Where is the harbour?")]], [17], who)
    lanes.ask_many(asked, SHORT, said.append, threading.Event())
    return [one["answered"]["text"] for one in sorted(said, key=lambda one: one["answered"]["answerer"])]


def test_rewards_are_those_of_the_reward_model_alone_whatever_else_is_loaded(lanes, base, judge, first_run):
    asked, who = conversations(), [Lane(None), Lane(str(first_run.adapter))]
    alone = RewardAdapter(base.model, base.tokenizer, judge.adapter, 192)
    wanted = dict(enumerate(alone.scores(asked)))
    alone.model.unload()
    plain = answer(lanes, Lane(None))
    first = rewards(lanes, judge.adapter, asked)
    assert first == pytest.approx(wanted, abs=1e-4) and not lanes.adapters.model.training
    assert answer(lanes, Lane(None)) == plain, "the base model answers, not the reward model"
    before = answer(lanes, *who)
    assert before[0] == plain[0] and lanes.verified
    assert rewards(lanes, judge.adapter, asked) == pytest.approx(wanted, abs=1e-4)
    assert answer(lanes, *who) == before
    assert not any(layer._forward_pre_hooks for layer in lanes.adapters.model.modules())


def test_a_reward_model_takes_the_place_of_another_and_of_adapters_where_room_is_short(
    lanes, judge, first_run, monkeypatch
):
    other = shutil.copytree(judge.folder, judge.folder.with_name("other")) / "adapter"
    file = other / "adapter_model.safetensors"
    head = {name: -weight if name.endswith("score.weight") else weight for name, weight in load_file(file).items()}
    save_file(head, file)
    (other / "reward.json").write_text(json.dumps({"mean": 0.0, "std": 1.0}))
    (judge.adapter / "reward.json").write_text(json.dumps({"mean": 0.0, "std": 1.0}))
    asked = conversations(4)
    answer(lanes, Lane(str(first_run.adapter)))
    found = [rewards(lanes, folder, asked) for folder in (judge.adapter, other, judge.adapter)]
    assert found[1] == pytest.approx({place: -value for place, value in found[0].items()}, abs=1e-4)
    assert found[2] == pytest.approx(found[0], abs=1e-5)
    assert sorted(lanes.adapters.model.peft_config) == ["adapter0", "reward"]
    monkeypatch.setattr(lanes.adapters, "_room", lambda: -1)
    answer(lanes, Lane(str(first_run.adapter)))  # is there already, so nothing is dropped
    rewards(lanes, other, asked)
    assert list(lanes.adapters.model.peft_config) == ["reward"]
    assert answer(lanes, Lane(None)) and answer(lanes, Lane(str(first_run.adapter)))
    assert list(lanes.adapters.model.peft_config) == ["adapter1"] and lanes.adapters._reward is None
    assert rewards(lanes, judge.adapter, asked) == pytest.approx(found[0], abs=1e-4)


def test_a_stop_ends_scoring_and_leaves_everything_as_it_was(lanes, judge, first_run, monkeypatch):
    stop, asked = threading.Event(), conversations(40)
    before, scores = answer(lanes, Lane(str(first_run.adapter))), RewardAdapter.scores

    def stopped(self, some):
        found = scores(self, some)
        stop.set()
        return found

    monkeypatch.setattr(RewardAdapter, "scores", stopped)
    assert len(rewards(lanes, judge.adapter, asked, stop)) == 16
    assert rewards(lanes, judge.adapter, asked, stop) == {}
    assert answer(lanes, Lane(str(first_run.adapter))) == before


def test_where_memory_runs_out_a_batch_is_scored_in_halves(lanes, judge, monkeypatch):
    asked, scores = conversations(), RewardAdapter.scores
    whole = rewards(lanes, judge.adapter, asked)

    def tight(self, some):
        if len(some) > 4:
            raise MemoryError
        return scores(self, some)

    monkeypatch.setattr(RewardAdapter, "scores", tight)
    assert rewards(lanes, judge.adapter, asked) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("beside", [False, True])
def test_a_reward_model_that_does_not_fit_is_told_and_the_lanes_answer_on(lanes, judge, first_run, beside):
    who = [Lane(None), Lane(str(first_run.adapter))] if beside else [Lane(None)]
    before = answer(lanes, *who)
    file = judge.adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file(
        {
            name: torch.cat([one, one], dim=-1) if name.endswith("score.weight") else one
            for name, one in weights.items()
        },
        file,
    )
    for _ in range(2):
        with pytest.raises(WorkbenchError, match="does not fit this base model"):
            rewards(lanes, judge.adapter, conversations(2))
        assert answer(lanes, *who) == before
    save_file(weights, file)
    assert len(rewards(lanes, judge.adapter, conversations(2))) == 2


def test_the_child_process_answers_and_scores_in_one_go(judge, first_run):
    """By the lines of the real process: one base model for what answers and what scores."""
    app, asked = AppState(), [[message("user", "Where is the harbour?")]]
    try:
        found = [
            one
            for one in asking.ask_many(app, asked, [Answerer(), Answerer("first")], SHORT)
            if not isinstance(one, str)
        ]
        said = [[*asked[0], message("assistant", one.text or "None.")] for one in found] + conversations(4)
        given = dict(one for one in asking.reward_many(app, "judge", said) if not isinstance(one, str))
        assert sorted(given) == list(range(6)) and not app.beside.is_open
        # Ten steps are enough to tell the demo's two manners apart on average.
        assert given[2] + given[4] > given[3] + given[5]
        again = [
            one
            for one in asking.ask_many(app, asked, [Answerer(), Answerer("first")], SHORT)
            if not isinstance(one, str)
        ]
        assert sorted(again, key=str) == sorted(found, key=str)
    finally:
        app.close()
