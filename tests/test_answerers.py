"""Who can be chosen to answer, where its adapter lies, and in which way several answer."""

import json
import sys

import pytest
from made_runs import finished

from workbench.core.chat import Answerer, Answers, Ask, Sampling, Score, TokenScore, ToScore
from workbench.core.errors import WorkbenchError
from workbench.core.memory.answering import adapters_to_drop, chat_bytes, loaded_bytes, row_bytes, rows_at_once
from workbench.core.memory.architectures import shape_of
from workbench.core.training.config import ModelRef
from workbench.core.training.recipe import Device
from workbench.jobs import lanes, room
from workbench.jobs.app_state import AppState
from workbench.jobs.chat import Chat
from workbench.store import answerers, checkpoints, model_configs

CARD = Device("cuda", "a card", True, 24 * 10**9)

# Says who answered what in which process.
FAKE = """
import json, sys
def say(**event): print(json.dumps(event), flush=True)
model = json.loads(sys.argv[1])["model"]["name"]
say(event="ready", facts={"device": "CPU", "title": model, "parameters": 1, "precision": "nf4"})
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "ask":
        for n, lane in enumerate(request["lanes"]):
            text = f"{model} {lane['strength']} {'adapter' if lane['adapter'] else 'base'}"
            say(event="part", lane=n, text=text, tokens=3, first_token=0.1, per_second=1.0, asked=7, ended="stopped" if lane["messages"][0]["content"] == "stop" else "end", context=12)
    elif request["do"] == "ask_many":
        for p, prompt in enumerate(request["prompts"]):
            for a, who in enumerate(request["answerers"]):
                text = f"{model} {prompt[0]['content']} {request['seeds'][p]} {who['strength']}"
                say(event="part", answered=dict(prompt=p, answerer=a, text=text, tokens=3, ended="end", repetition=0.0, asked=4))
    elif request["do"] == "score":
        for n, one in enumerate(request["items"]):
            say(event="part", item=n, tokens=[[one["answer"], -1.0, -1.5, False], ["</s>", -0.25, -0.75, True]])
    say(event="done", result={"verified": True})
"""


@pytest.fixture
def app(monkeypatch):
    one = AppState()
    one.chat, one.beside = (Chat([sys.executable, "-c", FAKE], f"{name}.log") for name in ("chat", "beside"))
    monkeypatch.setattr(lanes, "fit_now", lambda *models: True)
    yield one
    one.close()


def with_checkpoint(name, step=3, **changes):
    run = finished(name, **changes)
    draft = run.folder / "draft"
    draft.mkdir()
    for file in run.adapter.iterdir():
        (draft / file.name).write_bytes(file.read_bytes())
    checkpoints.keep(run, run.config().stages[-1], step, draft)
    return run


def question(text="Why?"):
    return [{"role": "user", "content": text}]


def elsewhere(tmp_path, name="other"):
    """The demo model in a folder: another base model."""
    folder = tmp_path / name
    folder.mkdir()
    config = model_configs.config_of(ModelRef())
    (folder / "config.json").write_text(json.dumps(dict(config)))
    return ModelRef(source="folder", name=str(folder))


def test_an_answerer_says_who_it_is():
    at = Answerer("first@dpo-120", 0.5)
    assert (at.run, at.checkpoint.step, at.label) == ("first", 120, "first, step 120 of DPO × 0.5")
    assert (Answerer().label, Answerer("first").label, Answerer("first").checkpoint) == ("base", "first", None)
    assert Answerer().is_base and Answerer("first", 0).is_base and not Answerer("first").is_base
    with pytest.raises(ValueError, match="from 0 to 1.5"):
        Answerer("first", 1.6)


def test_the_reward_is_beta_times_the_log_ratio_of_all_tokens():
    """0.1 * ((-1 + 1.5) + (-0.25 + 0.75)) = 0.1"""
    tokens = [TokenScore("a", -1.0, -1.5), TokenScore("", -0.25, -0.75, is_end=True)]
    assert Score(tokens, 0.1).reward == pytest.approx(0.1)
    assert Score(tokens).reward is None and Score(tokens).ratio == 1.0


def test_runs_and_their_checkpoints_are_offered_and_found():
    run = with_checkpoint("first")
    finished("older")
    (run.adapter / "adapter_model.safetensors").unlink()  # it trains: a checkpoint and no result
    assert {one.name for one in answerers.offered()} == {"older", "first@dpo-3"}
    assert answerers.adapter_folder(Answerer("first@dpo-3")) == run.folder / "checkpoints" / "dpo-0000003"
    assert answerers.adapter_folder(Answerer()) is None
    with pytest.raises(WorkbenchError, match="has no adapter yet"):
        answerers.adapter_folder(Answerer("first"))
    with pytest.raises(WorkbenchError, match="step 9 of DPO of first is gone: a run keeps its 2 newest"):
        answerers.adapter_folder(Answerer("first@dpo-9"))
    assert answerers.beta_of(Answerer("first@dpo-3")) == run.config().dpo.beta
    assert answerers.beta_of(Answerer("older")) == run.config().dpo.beta
    assert answerers.beta_of(Answerer("first@sft-3")) is None


def test_both_lanes_of_one_base_model_are_one_batch(app):
    finished("first")
    left, right = Ask(question(), Answerer("first", 0.5)), Ask(question(), Answerer("first"))
    assert lanes.way_of(app, [left.answerer, right.answerer]).id == "batch"
    *_, last = lanes.ask(app, left, right, Sampling())
    assert (last.left.text, last.right.text) == ("demo 0.5 adapter", "demo 1.0 adapter")
    assert (last.left.used, last.left.left, last.verified) == (10, 2, True)
    assert not app.beside.is_open


@pytest.mark.parametrize("fit", [True, False])
def test_two_base_models_answer_one_after_the_other(app, tmp_path, monkeypatch, fit):
    monkeypatch.setattr(lanes, "fit_now", lambda *models: fit)
    other = elsewhere(tmp_path)
    finished("first")
    finished("second", model=other.model_dump())
    both = [Answerer("first"), Answerer("second")]
    way = lanes.way_of(app, both)
    assert way.id == ("two models" if fit else "model by model") and "demo model and other" in way.words
    *_, last = lanes.ask(app, *(Ask(question(), one) for one in both), Sampling())
    assert isinstance(last, Answers)
    assert (last.left.text, last.right.text) == ("demo 1.0 adapter", f"{other.name} 1.0 adapter")
    assert app.beside.is_open is fit
    found = [
        one for one in lanes.ask_many(app, [question("a"), question("b")], both, Sampling()) if not isinstance(one, str)
    ]
    assert sorted((one.prompt, one.answerer) for one in found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {one.text.split()[0] for one in found if one.answerer == 1} == {other.name}
    *_, again = lanes.ask(app, Ask(question()), Ask(question(), both[0]), Sampling())
    assert again.left.text == "demo 1.0 base"


def test_a_stop_of_the_first_base_model_leaves_the_second_one_unasked(app, tmp_path):
    finished("first")
    finished("second", model=elsewhere(tmp_path).model_dump())
    *_, last = lanes.ask(app, *(Ask(question("stop"), Answerer(name)) for name in ("second", "first")), Sampling())
    assert (last.left.ended, last.right.ended, last.right.text) == ("stopped", "stopped", "")
    assert app.chat.model.source == "folder" and not app.beside.is_open
    lanes.stop(app)


def test_many_prompts_have_a_seed_each_and_answers_are_scored_with_the_beta_of_their_run(app):
    run = finished("first")
    app.chat.start(ModelRef())
    app.chat.wait(10)
    found = list(app.chat.ask_many([question("a"), question("a")], [Answerer("first", 0.5)], Sampling(), seeds=[1, 2]))
    assert [one.text for one in found] == ["demo a 1 0.5", "demo a 2 0.5"]
    score = app.chat.score(question(), "It is.", Answerer("first"))
    assert [token.text for token in score.tokens] == ["It is.", "</s>"] and score.tokens[1].is_end
    assert score.reward == pytest.approx(run.config().dpo.beta * 1.0)
    items = [ToScore(question(), text, Answerer("first")) for text in ("x", "y")]
    assert [place for place, _ in app.chat.score_many(items)] == [0, 1]
    assert [one for one in lanes.score_many(app, items) if not isinstance(one, str)][1][0] == 1


def test_what_cannot_share_a_batch_is_said(app):
    run = finished("first")
    file = run.adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_dora": True}))
    way = lanes.way_of(app, [Answerer(), Answerer("first")])
    assert way.id == "turns" and way.words.startswith("They answer one after the other: first is a DoRA")
    assert lanes.way_of(app, [Answerer(), Answerer("first", 0)]).id == "batch"
    with pytest.raises(WorkbenchError, match="first is a DoRA, .* take strength 1"):
        lanes.way_of(app, [Answerer(), Answerer("first", 0.5)])


def test_beside_a_run_that_trains_only_what_fits_by_the_forecast_of_both(app, monkeypatch):
    """The demo fits twice on a card of 24 GB. Where it does not, the error says when there is room again."""
    run = finished("first")
    monkeypatch.setattr(room, "machine", lambda: (CARD, 0))
    assert room.fits_beside_run(run, ModelRef())
    monkeypatch.setattr(room, "machine", lambda: (Device("cuda", "a small card", True, 2 * 10**9), 0))
    assert not room.fits_beside_run(run, ModelRef())
    monkeypatch.setattr(lanes.training, "running", lambda: run)
    monkeypatch.setattr(app, "running", lambda: ("first", "DPO", 1, 9, 720.0))
    with pytest.raises(
        WorkbenchError, match="does not fit beside it. Compare is back in about 12 minutes, when it has"
    ):
        list(lanes.ensure_loaded(app, "first"))
    assert not app.chat.is_open
    monkeypatch.setattr(room, "machine", lambda: (Device("cpu", "CPU", False), 0))
    list(lanes.ensure_loaded(app, "first"))
    assert app.chat.state == "ready"


def test_memory_of_a_chat_by_hand():
    """The demo: 5 layers, 2 x 64 keys, hidden 256, middle 640, query 256, 1,536 tokens; bf16 is 2 bytes. A row of 100 tokens:
    cache 2 * 5 * 128 * 2 * 100, layer 100 * 2 * (4 * 640 + 4 * 256 + 2 * 256), mask 2 * 100^2, logits 1,536 * 36."""
    shape = shape_of(model_configs.config_of(ModelRef()))
    row = 256_000 + 819_200 + 20_000 + 55_296
    assert row_bytes(shape, 100, CARD) == row
    assert rows_at_once(shape, 100, CARD, 10 * row) == 9
    assert rows_at_once(shape, 100, CARD, 0) == 1 and rows_at_once(shape, 100, CARD, 10**12) == 64
    assert chat_bytes(shape, CARD, 100) - chat_bytes(shape, Device("cpu", "", False), 100) > 10**9
    assert chat_bytes(shape, CARD, 100) == 1_400_000_000 + loaded_bytes(shape, CARD) + 2 * row


def test_the_oldest_adapters_make_room_and_those_that_are_needed_stay():
    there = {"a": 4, "b": 4, "c": 4}
    assert adapters_to_drop(there, 4, 16, ()) == []
    assert adapters_to_drop(there, 4, 15, ()) == ["a"]
    assert adapters_to_drop(there, 4, 11, {"a"}) == ["b", "c"]
    assert adapters_to_drop(there, 4, 0, {"a", "b", "c"}) == []
