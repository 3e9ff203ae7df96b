"""Answers through several adapters at once: strengths, batches, what alignment changed, and what does not go together."""

import json
import shutil
import threading
import time
from contextlib import contextmanager

import pytest
import torch
from configs import demo_config
from safetensors.torch import load_file, save_file

from workbench.core.chat import Answerer, Ask, Sampling
from workbench.core.errors import WorkbenchError
from workbench.engine import chat as engine_chat
from workbench.engine import load
from workbench.engine.chat import Grid, Lanes
from workbench.engine.generate import encode
from workbench.engine.loaded_adapters import Lane
from workbench.store.runs import open_run
from workbench.store.scaled import save_scaled

PROMPTS = [
    "Where is the harbour?",
    "What do bees make?",
    "Tell me about the old mill by the river, and who lived there.",
    "How many days has a week?",
]
SAMPLING = Sampling(max_new_tokens=8)


@pytest.fixture(scope="module")
def fp32():
    """The demo model in full precision."""
    return load.load_base(demo_config().model, "fp32", load.Device("cpu", "CPU", False), lambda words: None)


@pytest.fixture
def lanes(fp32):
    one = Lanes(fp32)
    yield one
    if one.adapters.are_there:
        one.adapters.model.unload()


@pytest.fixture
def adapter(first_run):
    return loud(first_run, 1)


def loud(run, seed):
    """Another adapter in the place of a run's: random, and strong enough for other answers than the base model's."""
    file = run.adapter / "adapter_model.safetensors"
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(weight.shape, generator=generator) * 0.06 if "lora_B" in name else weight
        for name, weight in load_file(file).items()
    }
    save_file(weights, file)
    return str(run.adapter)


def another(run, seed):
    copied = shutil.copytree(run.folder, run.folder.with_name(f"other-{seed}"))
    return loud(type(run)(copied), seed)


def message(text):
    return [{"role": "user", "content": text}]


def logits(lanes, *who):
    """Of the token after the first prompt, a row for each of them in one batch."""
    lanes._load(who)
    batch = encode(lanes.tokenizer, [message(PROMPTS[0])] * len(who), "cpu")
    with torch.inference_mode(), lanes.adapters.through(who):
        return lanes.adapters.model(**batch).logits[:, -1]


def grid(lanes, prompts, who, sampling=SAMPLING, stop=None):
    """(prompt, answerer) -> what is said of the answer."""
    said = []
    asked = Grid([message(one) for one in prompts], [sampling.seed] * len(prompts), who)
    lanes.ask_many(asked, sampling, said.append, stop or threading.Event())
    found = {(one["answered"]["prompt"], one["answered"]["answerer"]): one["answered"] for one in said}
    assert len(found) == len(said)
    return found


def alone(lanes, prompt, who, sampling=SAMPLING):
    """The answer of one lane that is asked by itself."""
    said = []
    ask = {"messages": message(prompt), "adapter": who.folder, "strength": who.strength}
    lanes.ask([ask], sampling, said.append, threading.Event())
    return "".join(one["text"] for one in said), said[-1]


def test_strength_0_is_the_base_model_1_the_run_and_between_them_neither(lanes, adapter):
    base = logits(lanes, Lane(None))[0]
    weak, none, half, whole = logits(lanes, Lane(adapter, 1e-9), Lane(adapter, 0), Lane(adapter, 0.5), Lane(adapter))
    assert (none - base).abs().max() <= 1e-5 and (weak - base).abs().max() <= 1e-5
    lanes.adapters.model.set_adapter(lanes.adapters._of(Lane(adapter)).name)
    with torch.inference_mode():
        trained = lanes.adapters.model(**encode(lanes.tokenizer, [message(PROMPTS[0])], "cpu")).logits[0, -1]
    assert (whole - trained).abs().max() <= 1e-5 < 0.1 < (whole - base).abs().max()
    assert (half - base).abs().max() > 0.01 < (half - whole).abs().max()
    assert lanes.verified


@pytest.mark.parametrize("strength", [0.5, 0.3, 1.5])
def test_a_run_that_was_saved_with_a_strength_is_the_dial_at_that_strength(lanes, adapter, strength):
    saved = save_scaled(Answerer("first", strength))
    dial, run = logits(lanes, Lane(adapter, strength), Lane(str(saved.adapter)))
    assert (dial - run).abs().max() <= 1e-5


def test_answers_of_a_batch_are_those_of_separate_runs_token_for_token(lanes, adapter, first_run):
    """Base, two adapters and one of them at two strengths; the prompts have different lengths."""
    who = [Lane(None), Lane(adapter), Lane(another(first_run, 2)), Lane(adapter, 0.5), Lane(adapter, 1.3)]
    together = grid(lanes, PROMPTS, who)
    assert len(together) == len(PROMPTS) * len(who)
    for (prompt, answerer), answer in together.items():
        text, last = alone(lanes, PROMPTS[prompt], who[answerer])
        assert (answer["text"], answer["tokens"], answer["ended"]) == (text, last["tokens"], last["ended"])
    assert len({together[0, answerer]["text"] for answerer in range(len(who))}) >= 3


def test_an_answer_does_not_depend_on_what_else_is_asked(lanes, adapter, monkeypatch):
    who = [Lane(None), Lane(adapter)]
    together = grid(lanes, PROMPTS, who)
    monkeypatch.setattr(engine_chat, "rows_at_once", lambda *_: 1)
    by_themselves = grid(lanes, PROMPTS[::-1], who[::-1])
    for (prompt, answerer), answer in together.items():
        assert by_themselves[3 - prompt, 1 - answerer]["text"] == answer["text"]


def test_one_prompt_with_two_seeds_has_two_answers(lanes):
    said = []
    asked = Grid([message(PROMPTS[2])] * 2, [1, 2], [Lane(None)])
    lanes.ask_many(asked, SAMPLING, said.append, threading.Event())
    assert said[0]["answered"]["text"] != said[1]["answered"]["text"]


def test_a_stop_ends_a_batch_within_half_a_second_and_keeps_what_is_there(lanes, adapter, monkeypatch):
    from workbench.engine.generate import RowStreamer

    stop, stopped, put = threading.Event(), [], RowStreamer.put

    def asked_to_stop(streamer, value):
        if len(streamer.tokens[0]) == 4 and not stopped:
            stopped.append(time.monotonic())
            stop.set()
        put(streamer, value)

    monkeypatch.setattr(RowStreamer, "put", asked_to_stop)
    who = [Lane(None), Lane(adapter)]
    found = grid(lanes, [f"{PROMPTS[2]} {n}" for n in range(8)], who, Sampling(max_new_tokens=900), stop)
    assert time.monotonic() - stopped[0] < 0.5
    assert any(answer["ended"] == "stopped" and answer["tokens"] for answer in found.values())
    assert not any(layer._forward_pre_hooks for layer in lanes.adapters.model.modules())


def test_a_stop_ends_a_long_prompt_before_its_first_token(lanes):
    stop = threading.Event()
    stop.set()
    assert grid(lanes, PROMPTS, [Lane(None)], SAMPLING, stop) == {}


def test_where_memory_runs_out_a_batch_is_given_in_halves_and_nothing_twice(lanes, monkeypatch):
    """Four rows do not fit, and of two the second runs out of memory when the first is there."""
    from workbench.engine import generate

    whole, sizes = generate.stream, []

    def tight(model, tokenizer, questions, *more):
        sizes.append(len(questions))
        if len(questions) > 2:
            raise MemoryError
        whole(model, tokenizer, questions[:1], *more)
        if len(questions) == 2:
            raise MemoryError

    monkeypatch.setattr(generate, "stream", tight)
    short = Sampling(max_new_tokens=2)
    found = grid(lanes, PROMPTS, [Lane(None)], short)
    assert sorted(found) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert sizes == [4, 2, 1, 2, 1]


def test_how_likely_an_answer_is_with_the_adapter_and_without(lanes, adapter, monkeypatch):
    """Against the whole table of logits at once, of each model by itself. Read in pieces of three places."""
    from workbench.engine import scoring

    monkeypatch.setattr(scoring, "PLACES", 6)
    answer = "It is by the sea, of course. Naïve café 你好!"
    items = [
        {
            "messages": message(PROMPTS[n]),
            "answer": answer[n:],
            "ended": n != 1,
            "adapter": adapter,
            "strength": 1 - n / 4,
        }
        for n in range(3)
    ]
    said = []
    lanes.score(items, said.append, threading.Event())
    assert sorted(one["item"] for one in said) == [0, 1, 2]
    for one in said:
        item = items[one["item"]]
        texts, aligned, base, is_end = zip(*one["tokens"], strict=True)
        assert "".join(text for text, end in zip(texts, is_end, strict=True) if not end) == item["answer"]
        assert is_end[-1] is item["ended"] and not any(is_end[:-1])
        for values, who in ((aligned, Lane(adapter, item["strength"])), (base, Lane(None))):
            assert values == pytest.approx(at_once(lanes, item, who), abs=1e-4)
    assert sum(said[0]["tokens"][n][1] - said[0]["tokens"][n][2] for n in range(len(said[0]["tokens"]))) != 0


def at_once(lanes, item, who):
    before = lanes.tokenizer.apply_chat_template(item["messages"], add_generation_prompt=True, tokenize=False)
    prompt = lanes.tokenizer(before, add_special_tokens=False)["input_ids"]
    ids = lanes.tokenizer(before + item["answer"], add_special_tokens=False)["input_ids"]
    ids += [lanes.tokenizer.eos_token_id] if item["ended"] else []
    with torch.inference_mode(), lanes.adapters.through([who]):
        table = lanes.adapters.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return [table[place - 1, ids[place]].item() for place in range(len(prompt), len(ids))]


def test_adapters_beyond_the_room_are_dropped_the_oldest_first(lanes, adapter, first_run, monkeypatch):
    others = [another(first_run, seed) for seed in (2, 3)]
    lanes.adapters.load([Lane(adapter)])
    lanes.adapters.load([Lane(others[0])])
    lanes.adapters.load([Lane(adapter)])  # used again
    monkeypatch.setattr(lanes.adapters, "_room", lambda: 1)
    lanes.adapters.load([Lane(others[1]), Lane(adapter)])
    assert [key.split()[0] for key in lanes.adapters._loaded] == [others[1], adapter]
    monkeypatch.setattr(lanes.adapters, "_room", lambda: -1)  # less than there was
    lanes._load([Lane(others[0])])
    assert [key.split()[0] for key in lanes.adapters._loaded] == [others[0]]
    assert len(lanes.adapters.model.peft_config) == 1
    text, _ = alone(lanes, PROMPTS[0], Lane(adapter))
    assert text and lanes.verified


def test_an_adapter_that_was_trained_on_is_loaded_anew(lanes, adapter, first_run):
    before = logits(lanes, Lane(adapter))[0]
    loud(first_run, 9)
    assert (logits(lanes, Lane(adapter))[0] - before).abs().max() > 0.01


def test_a_dora_answers_after_the_others_and_keeps_its_strength(lanes, adapter, first_run):
    from peft import LoraConfig, get_peft_model

    folder = first_run.folder.with_name("dora") / "adapter"
    made = get_peft_model(
        lanes.adapters.model, LoraConfig(r=4, use_dora=True, target_modules=["q_proj"], init_lora_weights=False)
    )
    made.save_pretrained(folder)
    lanes.adapters.model = made.unload()
    who = [Lane(None), Lane(str(folder)), Lane(adapter)]
    together = grid(lanes, PROMPTS[:2], who)
    assert len(together) == 6
    assert (logits(lanes, who[1]) - logits(lanes, who[0])).abs().max() > 1e-3
    assert together[0, 1]["text"] == alone(lanes, PROMPTS[0], who[1])[0]
    assert together[0, 0]["text"] == alone(lanes, PROMPTS[0], who[0])[0]
    with pytest.raises(WorkbenchError, match="is a DoRA, .* so its strength cannot be changed"):
        grid(lanes, PROMPTS[:1], [Lane(str(folder), 0.5)])


def test_context_used_comes_with_each_answer_and_what_no_longer_fits_is_refused(lanes):
    _, last = alone(lanes, PROMPTS[0], Lane(None))
    assert last["context"] == 1024 and 5 < last["asked"] < 40
    nearly = "bees " * 500
    text, last = alone(lanes, nearly, Lane(None), Sampling(max_new_tokens=200))
    assert last["asked"] + last["tokens"] <= 1024 and last["ended"] in ("full", "end")
    with pytest.raises(WorkbenchError, match=r"no longer fits: it has .* tokens .* the model can read 1,024"):
        alone(lanes, "bees " * 1100, Lane(None))
    found = grid(lanes, ["bees " * 1100, PROMPTS[0]], [Lane(None)])
    assert found[0, 0]["ended"] == "full" and found[0, 0]["tokens"] == 0 and found[1, 0]["text"]


def test_an_adapter_of_another_model_is_refused_in_words(lanes, first_run):
    file = first_run.adapter / "adapter_model.safetensors"
    weights = {
        name: torch.zeros(weight.shape[0] + 64 * ("lora_B" in name), weight.shape[1])
        for name, weight in load_file(file).items()
    }
    save_file(weights, file)
    with pytest.raises(WorkbenchError, match="The adapter of first does not fit this base model"):
        lanes.adapters.load([Lane(str(first_run.adapter))])
    assert alone(lanes, PROMPTS[0], Lane(None))[0]


def test_a_scaled_run_is_read_as_any_other(first_run):
    saved = save_scaled(Answerer("first", 0.5))
    assert saved.name == "first-x0.5" and saved.problems() == [] and saved.notes() == []
    assert saved.result().outcome == "finished" and "first × 0.5" in saved.result().why
    assert saved.environment()["scaled"] == {"name": "first", "strength": 0.5}
    assert saved.config().adapter == first_run.config().adapter
    card = (saved.adapter / "README.md").read_text()
    assert "Made of | first at strength 0.5" in card and "Not measured at this strength." in card
    assert open_run(saved.name).has_adapter and save_scaled(Answerer("first", 0.5)).name != saved.name


@pytest.mark.parametrize(
    ("change", "words"), [({"use_dora": True}, "is a DoRA"), ({"modules_to_save": ["lm_head"]}, "whole modules")]
)
def test_what_cannot_be_scaled_is_no_run_of_another_strength(first_run, change, words):
    file = first_run.adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(WorkbenchError, match=words):
        save_scaled(Answerer("first", 0.5))
    with pytest.raises(WorkbenchError, match="base model itself"):
        save_scaled(Answerer("first", 0))
    assert [path.name for path in first_run.folder.parent.iterdir()] == ["first"]


# What was read is kept over turns, rows that are done leave their batch, and 4-bit weights are unpacked once


@contextmanager
def read_by(lanes):
    """Rows and columns of each pass through the model."""
    passes = []
    hook = lanes.loaded.model.get_input_embeddings().register_forward_pre_hook(
        lambda module, arguments: passes.append(tuple(arguments[0].shape))
    )
    try:
        yield passes
    finally:
        hook.remove()


def turn(lanes, talks, who, sampling=SAMPLING):
    """What all lanes say, and the shape of the pass that read the conversations."""
    said = [""] * len(who)

    def say(event):
        said[event["lane"]] += event["text"]

    asks = [
        {"messages": talk, "adapter": one.folder, "strength": one.strength, "thinking": one.thinking}
        for talk, one in zip(talks, who, strict=True)
    ]
    lanes._load(who)  # which reads a short question to see that "adapter off" is the base model
    with read_by(lanes) as passes:
        lanes.ask(asks, sampling, say, threading.Event())
    return said, passes[0]


def longer(talks, said, question):
    return [
        [*talk, {"role": "assistant", "content": one}, *message(question)]
        for talk, one in zip(talks, said, strict=True)
    ]


def tokens_of(lanes, talk):
    return encode(lanes.tokenizer, [talk], "cpu")["input_ids"].shape[1]


def test_a_second_turn_reads_only_what_is_new_and_says_the_same(lanes, adapter, fp32):
    """Three turns of two lanes whose answers differ in length, beside lanes that forget after each turn."""
    who, talks = [Lane(None), Lane(adapter)], [message(PROMPTS[2])] * 2
    forgetful, first = Sampling(max_new_tokens=8, temperature=0), True
    for question in PROMPTS[:3]:
        said, (rows, columns) = turn(lanes, talks, who, forgetful)
        lengths = [tokens_of(lanes, talk) for talk in talks]
        assert rows == 2 and (columns == max(lengths)) is first
        known = lanes._read
        lanes._read = []
        assert turn(lanes, talks, who, forgetful)[0] == said
        # Each row is read from its first new token on, or from where the one with more that is new begins.
        if not first:
            assert columns <= max(lengths) - 20 and columns < 40
        lanes._read, first = known, False
        talks = longer(talks, said, question)


def test_what_was_read_counts_for_the_same_weights_and_the_same_beginning_alone(lanes, adapter, first_run):
    """Another adapter, strength, history: all is read. The same adapter trained on: too."""
    talk = message(PROMPTS[2])
    who = Lane(adapter)
    said, (_, whole) = turn(lanes, [talk], [who])
    after = longer([talk], said, PROMPTS[0])
    kept = lanes._read
    full = tokens_of(lanes, after[0])
    for other in (Lane(None), Lane(adapter, 0.5), Lane(another(first_run, 2))):
        lanes._read = kept
        assert turn(lanes, after, [other])[1] == (1, full)
    lanes._read = kept
    changed = [{"role": "system", "content": "Be kind."}, *after[0]]
    read = turn(lanes, [changed], [who])[1][1]
    assert tokens_of(lanes, changed) - read <= 3, "the first tokens of the template at most"
    lanes._read = kept
    assert turn(lanes, after, [who])[1][1] < full - whole + 8
    lanes._read = kept
    loud(first_run, 9)
    assert turn(lanes, after, [who])[1] == (1, full)
    many = {"do": "ask_many", "prompts": [], "seeds": [], "answerers": [], "sampling": {}}
    lanes.answer(many, lambda event: None, threading.Event())
    assert lanes._read == []


def test_a_conversation_that_was_stopped_goes_on_as_if_it_was_read_anew(lanes, adapter):
    """Stopped while its third layer reads: the first ones have read more than the others."""
    stop, who, talk = threading.Event(), [Lane(adapter), Lane(None)], message(PROMPTS[2])
    layers = lanes.loaded.model.model.layers
    passes = []
    hook = layers[2].register_forward_pre_hook(
        lambda *_: passes.append(1) or (stop.set() if len(passes) == 4 else None)
    )
    said = ["", ""]

    def say(event):
        said[event["lane"]] += event["text"]

    asks = [{"messages": talk, "adapter": one.folder} for one in who]
    lanes.ask(asks, SAMPLING, say, stop)
    hook.remove()
    assert lanes._read[0][1].ids
    talks = longer([talk, talk], said, PROMPTS[0])
    known = turn(lanes, talks, who)
    lanes._read = []
    assert known[0] == turn(lanes, talks, who)[0]


def test_rows_that_have_their_answer_leave_the_batch(lanes, adapter):
    """Eight rows; for six the context is full after 2, 4 and 6 tokens. Two go on, and say what they say by themselves."""
    who = [Lane(None), Lane(adapter)]
    full = ["bees " * count for count in (508, 507, 506)]
    assert [1024 - tokens_of(lanes, message(one)) for one in full] == [2, 4, 6]
    lanes._load(who)
    with read_by(lanes) as passes:
        found = grid(lanes, [PROMPTS[2], *full], who)
    rows = [rows for rows, _ in passes]
    assert len(found) == 8 and (rows[0], rows[-1]) == (8, 2) and rows == sorted(rows, reverse=True)
    for answerer in range(2):
        assert found[0, answerer]["text"] == alone(lanes, PROMPTS[2], who[answerer])[0]
        assert all(found[prompt, answerer]["ended"] in ("full", "end") for prompt in (1, 2, 3))


def test_a_model_that_forgets_is_asked_as_before(tmp_path):
    """Layers with a sliding window hold no more than its width, so nothing is kept, and no row leaves."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from workbench.engine.generate import ToAnswer, stream
    from workbench.engine.kept_reading import new_cache

    base = load.load_base(demo_config().model, "fp32", load.Device("cpu", "CPU", False), lambda words: None)
    torch.manual_seed(3)
    config = Gemma3TextConfig(
        vocab_size=1536, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=16, sliding_window=8, layer_types=["sliding_attention", "full_attention"], eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval()
    assert new_cache(model) is None
    said = {}
    questions = [ToAnswer(message(PROMPTS[place]), known=()) for place in (2, 0)]
    kept = stream(
        model,
        base.tokenizer,
        questions,
        SAMPLING,
        lambda row, tokens, ended: said.update({row: ended}),
        threading.Event(),
    )
    assert set(said) == {0, 1} and all(said.values()) and not any(reading.ids for reading in kept)


def test_weights_that_are_unpacked_once_give_the_same_bits(base, first_run):
    """In NF4, with an adapter; and where they would take too much, nothing is unpacked."""
    from bitsandbytes.nn import Linear4bit

    from workbench.engine.unpacked import unpacked

    layers = [layer for layer in base.model.modules() if isinstance(layer, Linear4bit)]
    batch = encode(base.tokenizer, [message(PROMPTS[2])], "cpu")
    bytes_of_all = 4 * sum(layer.in_features * layer.out_features for layer in layers)
    with torch.inference_mode():
        before = base.model(**batch).logits
        with unpacked(base.model, bytes_of_all - 1):
            assert not any("forward" in vars(layer) for layer in layers)
        with unpacked(base.model, bytes_of_all):
            assert len(layers) == 35 and all("forward" in vars(layer) for layer in layers)
            assert torch.equal(base.model(**batch).logits, before)
    assert not any("forward" in vars(layer) for layer in layers)
    lanes = Lanes(base)
    assert all("forward" in vars(layer) for layer in layers)
    answered = grid(lanes, PROMPTS[:2], [Lane(None), Lane(str(first_run.adapter))])
    lanes._unpacked.close()
    assert grid(lanes, PROMPTS[:2], [Lane(None), Lane(str(first_run.adapter))]) == answered
    lanes.adapters.model.unload()


def test_the_child_process_answers_many_is_stopped_in_time_and_scores(first_run):
    """The same by the lines of the real process, in NF4 as the window loads it."""
    from workbench.jobs.chat import Chat

    chat, who = Chat(), [Answerer(), Answerer("first", 0.5), Answerer("first")]
    try:
        chat.start(first_run.config().model)
        chat.wait(180)
        found = list(chat.ask_many([message(one) for one in PROMPTS], who, SAMPLING))
        assert sorted((one.prompt, one.answerer) for one in found) == [(p, a) for p in range(4) for a in range(3)]
        first = next(one for one in found if (one.prompt, one.answerer) == (0, 2))
        score = chat.score(message(PROMPTS[0]), first.text, who[2], first.ended == "end")
        assert len(score.tokens) >= first.tokens and score.reward == pytest.approx(score.ratio * score.beta)

        long = chat.ask_many([message(f"{PROMPTS[2]} {n}") for n in range(200)], who, Sampling(max_new_tokens=400))
        kept = [next(long)]
        chat.stop()
        asked = time.monotonic()
        kept += list(long)
        assert time.monotonic() - asked < 2 and 0 < len(kept) < 600  # half a second, on a machine that is at leisure
        *_, last = chat.ask(Ask(message(PROMPTS[0])), Ask(message(PROMPTS[0]), who[2]), SAMPLING)
        assert last.left.tokens and last.right.ended and last.verified and last.left.left > 900
    finally:
        chat.close()
