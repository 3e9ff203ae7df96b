"""Models that think: the switch in their chat templates, and that training, counting, samples and chat all read the same text.

The templates behave like those of two families: one drops the thoughts of earlier turns and closes a thought where it is not
to think; the other has a word for it in the system message too.
"""

import copy
import subprocess
from contextlib import closing
from dataclasses import replace

import pytest
from configs import demo_config
from made_runs import create_run, finished, first_settings
from test_tokens import encoder, trl_prepares

from workbench.core.chat import Answerer
from workbench.core.data.token_counts import TokenLane, View
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef, stored_config
from workbench.core.training.model_card import model_card
from workbench.core.training.thinking import may_switch, switched, with_default
from workbench.engine import load, render, samples, stage, train
from workbench.engine import tokens as engine
from workbench.engine.chat import Grid, Lanes
from workbench.engine.generate import asking, encode
from workbench.engine.loaded_adapters import Lane
from workbench.engine.scoring import written
from workbench.engine.templates import check_template
from workbench.jobs import chat as chat_jobs
from workbench.jobs import thinking, training
from workbench.jobs.tokens import Tokens
from workbench.store import datasets
from workbench.ui import train_summary
from workbench.ui.token_view import view_html

DROPS_EARLIER = (
    "{%- set last = namespace(asked=-1) %}"
    "{%- for m in messages %}{% if m['role'] == 'user' %}{% set last.asked = loop.index0 %}{% endif %}{% endfor %}"
    "{%- for m in messages %}<|{{ m['role'] }}|>"
    "{%- if m['role'] == 'assistant' %}{% set parts = m['content'].split('</think>') %}"
    "{%- if loop.index0 > last.asked %}"
    "{% set thought = parts[0].split('<think>')[-1].strip() if parts | length > 1 else '' %}"
    "{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}{% endif %}{{- parts[-1].lstrip('\\n') }}"
    "{%- else %}{{- m['content'] }}{% endif %}{{- eos_token }}{% endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
SYSTEM_WORD = (
    "{%- if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
    "{%- set mode = '/think' if enable_thinking else '/no_think' %}"
    "{%- set said = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{%- if '/no_think' in said %}{% set mode = '/no_think' %}{% elif '/think' in said %}{% set mode = '/think' %}{% endif %}"
    "{{- '<|system|>Mode: ' + mode + '\\n' + said.replace('/no_think', '').replace('/think', '') + eos_token }}"
    "{%- set begin = '<|assistant|>' + ('<think>\\n\\n</think>\\n' if mode == '/no_think' else '') %}"
    "{%- for m in messages %}{% if m['role'] == 'user' %}{{- '<|user|>' + m['content'] + eos_token }}"
    "{%- elif m['role'] == 'assistant' %}{{- begin + m['content'].lstrip('\\n') + eos_token }}{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}{{- begin }}{% endif %}"
)
OTHER_NAME = "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if thinking %}<think>{% endif %}"
NAMED_ONLY = "{# enable_thinking #}{% for m in messages %}{{ m['content'] }}{% endfor %}"
ALWAYS_NEW = NAMED_ONLY + "{{ range(90000) | random }}"

FAMILIES = pytest.mark.parametrize("template", [DROPS_EARLIER, SYSTEM_WORD], ids=["drops earlier", "system word"])
EITHER = pytest.mark.parametrize("on", [False, True], ids=["off", "on"])


def user(words):
    return {"role": "user", "content": words}


def answer(words):
    return {"role": "assistant", "content": words}


THOUGHT = "<think>\nA clock.\n</think>\n\nNoon."
ROW = {
    "prompt": [user("When?"), answer("<think>\nIt was light.\n</think>\n\nBy day."), user("Which hour?")],
    "chosen": [answer(THOUGHT)],
    "rejected": [answer("Midnight.")],
}
ASKED = [user("When is it noon?")]


# The switch


@pytest.mark.parametrize(
    ("template", "has_it"),
    [(DROPS_EARLIER, True), (SYSTEM_WORD, True), (OTHER_NAME, True), (NAMED_ONLY, False), (ALWAYS_NEW, False)],
    ids=["drops earlier", "system word", "other name", "named only", "changes by itself"],
)
def test_the_template_itself_is_asked_whether_it_has_a_switch(template, has_it, monkeypatch):
    assert check_template(template, "chat_template.jinja", "a model", {}) is has_it
    monkeypatch.setattr(subprocess, "Popen", None)  # what was found is read, not tried again
    assert check_template(template, "chat_template.jinja", "a model", {}) is has_it


def test_what_is_forbidden_with_the_switch_on_is_refused():
    with pytest.raises(WorkbenchError, match="uses what no chat template may use"):
        check_template("{% if enable_thinking %}{{ ''.__class__.mro() }}{% endif %}x", "it", "a model", {})


@FAMILIES
@EITHER
def test_a_template_with_a_default_writes_what_it_writes_when_it_is_told(template, on):
    made = render.environment()
    for messages in (ASKED, [*ROW["prompt"], *ROW["chosen"]], [{"role": "system", "content": "Be kind."}, *ASKED]):
        for begins in (True, False):
            given = {"messages": messages, "add_generation_prompt": begins, "eos_token": "</s>"}
            told = made.from_string(template).render(**given, **switched(on))
            assert made.from_string(with_default(template, on)).render(**given) == told
            other = with_default(with_default(template, not on), on)
            assert made.from_string(other).render(**given) == told, "the last default counts"
            assert made.from_string(with_default(template, not on)).render(**given, **switched(on)) == told


def test_a_default_adds_no_character():
    for template in ("x", "\nx", "  {% if true %}x{% endif %}\ny\n", "{%- if true %}\n x{% endif %}"):
        made = render.environment()
        assert made.from_string(with_default(template, True)).render() == made.from_string(template).render()


# The same text everywhere


@FAMILIES
@EITHER
def test_tokens_are_counted_as_trl_trains_on_them(template, on, tmp_path):
    ours = encoder(template)
    ours.thinking = on
    trained = copy.deepcopy(ours.tokenizer)
    trained.chat_template = with_default(template, on)
    rows = [*datasets.read("demo-preferences", "train", 8), ROW]
    for row, prepared in zip(rows, trl_prepares("DPO", rows, trained, 10_000, tmp_path), strict=True):
        prompt, chosen, rejected = ids = ours.ids(ours.rendered(row, "it"))
        begin = ours.counted(ids).prompt
        assert prompt[:begin] == prepared["prompt_ids"]
        assert [chosen[begin:], rejected[begin:]] == [prepared["chosen_ids"], prepared["rejected_ids"]]


@pytest.mark.parametrize(("template", "on"), [(DROPS_EARLIER, False), (SYSTEM_WORD, True)], ids=["off", "on"])
def test_training_samples_and_chat_read_the_same_text(template, on, one_base, base, monkeypatch):
    """A real run of two steps: what the trainer holds, what the samples were asked, and what the chat would ask."""
    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.chat_template = template
    taken_off, make, trainers, asked = load.load_base, stage.make_trainer, [], []

    def load_base(*arguments, **named):
        loaded = replace(taken_off(), tokenizer=copy.deepcopy(tokenizer))
        return replace(loaded, facts=base.facts | {"thinking_switch": load.has_switch(tokenizer, "it")})

    def make_trainer(*arguments):
        trainers.append(make(*arguments))
        return trainers[-1]

    def asked_of(*arguments):
        asked.append((arguments[1], encode(*arguments)))
        return asked[-1][1]

    monkeypatch.setattr(load, "load_base", load_base)
    monkeypatch.setattr(stage, "make_trainer", make_trainer)
    monkeypatch.setattr(samples, "encode", asked_of)
    settings = first_settings()
    run = create_run(demo_config("thinks", **settings | {"samples": 2, "thinking": on}))
    assert train.main(str(run.folder)) == 0, run.result()

    rows = datasets.read(settings["preference_data"], "train", 200)
    prepared = {tuple(one["prompt_ids"]) for one in trainers[0].train_dataset}
    in_chat = [encode(tokenizer, [row["prompt"]], "cpu", [on])["input_ids"][0].tolist() for row in rows]
    assert prepared == set(map(tuple, in_chat))
    other = [encode(tokenizer, [row["prompt"]], "cpu", [not on])["input_ids"][0].tolist() for row in rows]
    assert not prepared & set(map(tuple, other))

    prompts, batch = asked[0]
    same = encode(tokenizer, prompts, "cpu", [on] * len(prompts))
    assert batch["input_ids"].tolist() == same["input_ids"].tolist()
    words = (run.adapter / "README.md").read_text(encoding="utf-8")
    assert f"| Thinking | {'on' if on else 'off'} (chat template: enable_thinking={on}) |" in words


def test_a_model_without_a_switch_is_not_trained_with_thinking_on(one_base):
    run = create_run(demo_config("no-switch", **first_settings() | {"thinking": True}))
    assert train.main(str(run.folder)) == 1
    assert "the chat template of demo model has no switch" in run.result().why
    with pytest.raises(WorkbenchError, match="Turn Thinking off on the Train page"):
        training.check(run.config())


def test_each_lane_is_asked_with_its_own_switch(base, monkeypatch):
    from workbench.engine import generate
    from workbench.engine.kept_reading import NOTHING

    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.chat_template = DROPS_EARLIER
    lanes, texts = Lanes(replace(base, tokenizer=tokenizer)), []

    def note(model, tokenizer, questions, *more):
        texts.append([asking(tokenizer, one.messages, one.thinking) for one in questions])
        return [NOTHING] * len(questions)

    monkeypatch.setattr(generate, "stream", note)
    off, on = {"messages": ASKED, "adapter": None}, {"messages": ASKED, "adapter": None, "thinking": True}
    said = [asking(tokenizer, ASKED, think) for think in (False, True)]
    lanes.ask([off, on], None, None, None)
    sampling = chat_jobs.Sampling(max_new_tokens=2)
    lanes.ask_many(Grid([ASKED], [1], [Lane(None), Lane(None, thinking=True)]), sampling, None, closed_event())
    assert texts == [said, said] and said[0] != said[1]
    assert said[0].endswith("</think>\n\n") and said[1].endswith("<|assistant|>")
    for think in (False, True):
        ids = written(tokenizer, ASKED, "Noon.", True, {2}, think).prompt
        assert list(ids) == tokenizer(said[think], add_special_tokens=False)["input_ids"]


def closed_event():
    import threading

    return threading.Event()


def test_a_run_answers_as_it_was_trained_and_the_base_model_does_not_think():
    finished("thinks", thinking=True)
    finished("does-not")
    assert [chat_jobs._who(Answerer(name))["thinking"] for name in ("thinks", "does-not", "")] == [True, False, False]


def test_a_run_of_an_earlier_version_does_not_think():
    values = demo_config().model_dump()
    del values["thinking"]
    config, unknown = stored_config(values)
    assert (config.thinking, unknown) == (False, ())


def test_counted_tokens_are_kept_for_either_switch():
    with closing(Tokens()) as tokens:
        assert tokens.counted(ModelRef(), "demo-sft") != tokens.counted(ModelRef(), "demo-sft", thinking=True)


# What is said of it


def test_the_summary_says_it_only_where_the_template_has_a_switch(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text("{}")
    model = ModelRef(source="folder", name=str(folder))
    assert thinking.has_switch(model) is False
    (folder / "chat_template.jinja").write_text(DROPS_EARLIER)
    assert thinking.has_switch(model) is True
    (folder / "chat_template.jinja").write_text("{% if enable_thinking")
    assert thinking.has_switch(model) is None
    assert thinking.has_switch(ModelRef(source="hub", name="owner/was-never-here")) is None
    assert thinking.has_switch(ModelRef()) is False

    values = {"method": "dpo", "preference_data": "demo-preferences"}
    assert "Thinking" not in train_summary.summary_html(values)
    monkeypatch.setattr(train_summary, "has_switch", lambda model: True)
    assert "<dt>Thinking</dt><dd>off: answers begin at once" in train_summary.summary_html(values)


def test_the_card_is_silent_where_there_is_no_switch():
    assert "Thinking" not in model_card(demo_config(), {"model": {"thinking_switch": False}}, [])


# What becomes of thoughts in rows


def fates(template, on, row=ROW):
    ours = encoder(template)
    ours.thinking = on
    view = engine.view(ours, row, 512)
    return view, [lane.thoughts for lane in view.lanes]


def test_the_token_view_says_what_the_template_does_to_thoughts():
    view, found = fates(DROPS_EARLIER, True)
    assert view.forgets and found == ["kept", "an empty one added"]
    view, found = fates(DROPS_EARLIER, False)
    assert found == ["after a closed one", "none"], "off, the empty thought is a part of the prompt"
    view, found = fates(SYSTEM_WORD, True)
    assert not view.forgets and found == ["kept", "none"]
    assert fates(SYSTEM_WORD, False)[1] == ["after a closed one", "none"]
    deletes = "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{{ eos_token }}{% endfor %}"
    assert fates(deletes, True)[1] == ["deleted", "none"]
    word = {**ROW, "prompt": [{"role": "system", "content": "/no_think"}, *ROW["prompt"]]}
    assert fates(SYSTEM_WORD, True, word)[1] == ["after a closed one", "none"], "the row's own word counts"


def test_the_page_of_a_row_says_it():
    lane = TokenLane(part="chosen", pieces=(), prompt=1, trained=1, cut=0, stops=True, thoughts="deleted")
    shown = view_html(View(lanes=(lane,), max_length=64, forgets=True))
    assert "deletes the thoughts of this answer" in shown and "leaves the thoughts of earlier answers out" in shown


@FAMILIES
def test_the_facts_of_a_template_name_its_switch(template):
    facts = engine.template(encoder(template), [ROW])
    assert (facts.switch, facts.opening, facts.deletes_thoughts) == (True, "<think>\n\n</think>", False)
    assert facts.adds_empty
    assert not engine.template(encoder(), [datasets.read("demo-preferences", "train", 1)[0]]).switch
    assert may_switch(template)
