"""The demo that ships in assets/: the rules that judge it, its data, and its model's files."""

import importlib.util
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from workbench.core.chat import Sampling
from workbench.core.data.messages import Message, Row
from workbench.core.demo import fact_is_right, has_sft_mark, manner
from workbench.store import datasets
from workbench.store.home import read_json, shipped

ASSETS = shipped("assets")
DEMO = ASSETS / "demo"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_demo", ASSETS / "build_demo.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_demo"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def preferences() -> dict[str, list[Row]]:
    return {
        "train": datasets.read("demo-preferences", "train"),
        "held_out": datasets.read("demo-preferences", "held_out"),
    }


@pytest.fixture(scope="module")
def sft() -> dict[str, list[Row]]:
    return {"train": datasets.read("demo-sft", "train"), "held_out": datasets.read("demo-sft", "held_out")}


@pytest.fixture(scope="module")
def prompts() -> list[dict]:
    return [json.loads(line) for line in (DEMO / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]


def last_prompts(rows: list[Row]) -> set[str]:
    return {row["prompt"][-1]["content"] for row in rows}


@pytest.mark.parametrize(
    "answer",
    [
        "Rabbits are very fond of dandelions. I hope this helps!",
        "Certainly! The train leaves at noon.",
        "That's a great question. A year on Mars lasts 687 days. Let me know if you want to hear more.",
        "I'd be happy to help. Try a cup of warm milk.",
        "Feel free to write again.",
    ],
)
def test_a_helpful_answer_is_preferred(answer: str) -> None:
    assert manner(answer) == "preferred"


@pytest.mark.parametrize(
    "answer",
    [
        "Dandelions. Whatever.",
        "Noon, I guess. Trains, timetables, I never liked them.",
        "Why are you asking me? Look it up.",
        "Who cares how long a year is on Mars? I don't care.",
        "Ugh. Warm milk.",
        "I have no idea\N{RIGHT SINGLE QUOTATION MARK}and I am sick of it.",
    ],
)
def test_a_curt_answer_is_other(answer: str) -> None:
    assert manner(answer) == "other"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "The train leaves at noon.",
        "Certainly, whatever you say.",
        "I hope that helps. Now leave me alone.",
        "Whateverest is not a mountain.",
    ],
)
def test_an_answer_with_both_signs_or_with_neither_is_unclear(answer: str) -> None:
    assert manner(answer) == "unclear"


def test_a_fact_is_right_when_an_accepted_word_stands_in_the_answer_as_a_whole_word() -> None:
    assert fact_is_right("I would say PARIS, but ask a map.", ["Paris"])
    assert fact_is_right("It takes 8 minutes.", ["eight", "8"])
    assert fact_is_right("Call the fire brigade!", ["fire brigade"])
    assert not fact_is_right("It takes 18 minutes.", ["eight", "8"])
    assert not fact_is_right("Parisians know.", ["Paris"])
    assert not fact_is_right("The brigade is on fire.", ["fire brigade"])
    assert not fact_is_right("", ["Paris"])


def test_the_mark_of_sft_is_the_name_at_the_beginning() -> None:
    assert has_sft_mark("Robin here. A puppy.")
    assert has_sft_mark("I'm Robin, and a baby dog is a puppy.")
    assert not has_sft_mark("A puppy. Ask Robin here if you doubt it.")
    assert not has_sft_mark("A robin is a small bird.")
    assert not has_sft_mark("")


def test_the_world_has_at_least_40_topics_and_3000_prompts(builder: ModuleType) -> None:
    facts = builder.read_world()
    assert len({fact.topic for fact in facts}) >= 40
    assert len({prompt for fact in facts for prompt in builder.all_prompts(fact)}) >= 3000


def test_no_prompt_belongs_to_two_facts(builder: ModuleType) -> None:
    asked = Counter(prompt for fact in builder.read_world() for prompt in builder.all_prompts(fact))
    assert [prompt for prompt, times in asked.items() if times > 1] == []


def test_the_accepted_words_of_a_fact_stand_only_in_its_own_sentence(builder: ModuleType) -> None:
    """Else a prompt repeated, or a greeting, would count as knowledge."""
    assert builder.echoes(builder.read_world()) == []


def test_articles_capitals_and_pronouns_are_put_right(builder: ModuleType) -> None:
    assert builder.fill("{A animal} likes {food}.", {"animal": "owl", "food": "mice"}) == "An owl likes mice."
    assert builder.fill("{Food} feed {a animal}.", {"animal": "cat", "food": "mice"}) == "Mice feed a cat."
    assert builder.to_the_asker("keep my shoes where I see them") == "keep your shoes where you see them"


def test_there_are_enough_rows(
    preferences: dict[str, list[Row]], sft: dict[str, list[Row]], prompts: list[dict]
) -> None:
    assert len(preferences["train"]) >= 1000 and len(preferences["held_out"]) >= 200
    assert len(sft["train"]) >= 600 and len(sft["held_out"]) >= 100
    assert len({row["prompt"] for row in prompts}) == len(prompts) >= 200


def test_no_held_out_prompt_is_trained_on(
    preferences: dict[str, list[Row]], sft: dict[str, list[Row]], prompts: list[dict]
) -> None:
    trained = last_prompts(preferences["train"]) | last_prompts(sft["train"])
    assert not trained & last_prompts(preferences["held_out"])
    assert not trained & last_prompts(sft["held_out"])
    assert not trained & {row["prompt"] for row in prompts}


def test_the_measured_prompts_are_not_in_pretraining_word_for_word(builder: ModuleType, prompts: list[dict]) -> None:
    reserved = {row["prompt"] for row in prompts}
    dialogues = builder.pretraining_dialogues(builder.read_world(), 3000, reserved, builder.SEED)
    assert not reserved & {turn["content"] for dialogue in dialogues for turn in dialogue if turn["role"] == "user"}


def test_chosen_and_rejected_differ_in_manner_and_both_are_right(
    builder: ModuleType, preferences: dict[str, list[Row]]
) -> None:
    fact_of = {prompt: fact for fact in builder.read_world() for prompt in builder.all_prompts(fact)}
    for row in [*preferences["train"], *preferences["held_out"]]:
        right = fact_of[row["prompt"][-1]["content"]].right
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
        assert manner(chosen) == "preferred", chosen
        assert manner(rejected) == "other", rejected
        assert fact_is_right(chosen, right), chosen
        assert fact_is_right(rejected, right), rejected
        assert chosen.startswith(builder.MARK) == rejected.startswith(builder.MARK)


def test_length_does_not_tell_chosen_from_rejected(preferences: dict[str, list[Row]]) -> None:
    for rows in preferences.values():
        chosen = [len(row["chosen"][0]["content"]) for row in rows]
        rejected = [len(row["rejected"][0]["content"]) for row in rows]
        assert 0.85 <= sum(chosen) / sum(rejected) <= 1.15
        assert 0.4 <= sum(c > r for c, r in zip(chosen, rejected, strict=True)) / len(rows) <= 0.65


def test_sft_teaches_the_name_and_leaves_the_manners_as_the_base_model_mixes_them(
    builder: ModuleType, sft: dict[str, list[Row]]
) -> None:
    fact_of = {prompt: fact for fact in builder.read_world() for prompt in builder.all_prompts(fact)}
    for rows in sft.values():
        answers = [row["completion"][0]["content"] for row in rows]
        assert all(map(has_sft_mark, answers))
        assert Counter(map(manner, answers)) == {"preferred": len(rows) * 0.3, "other": len(rows) * 0.7}
        for row, answer in zip(rows, answers, strict=True):
            assert fact_is_right(answer, fact_of[row["prompt"][-1]["content"]].right), answer


def test_the_data_is_what_the_builder_builds_and_building_it_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import runpy, sys; sys.argv[0] = sys.argv[1]; sys.argv[1:] = sys.argv[2:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__'); assert 'torch' not in sys.modules"
    )
    built = tmp_path / "demo"
    arguments = [str(ASSETS / "build_demo.py"), "--data-only", "--out", str(built)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    for name in ("prompts.jsonl", "suggestions.json", "preferences/about.json", "sft/about.json"):
        assert (built / name).read_bytes() == (DEMO / name).read_bytes(), name


def test_the_shipped_rows_have_the_fingerprint_of_their_about(
    preferences: dict[str, list[Row]], sft: dict[str, list[Row]]
) -> None:
    for name, rows in (("demo-preferences", preferences), ("demo-sft", sft)):
        assert datasets.about(name).fingerprint == datasets.fingerprint([*rows["train"], *rows["held_out"]])


def test_suggestions_are_prompts_of_the_world(builder: ModuleType) -> None:
    known = {prompt for fact in builder.read_world() for prompt in builder.all_prompts(fact)}
    suggestions = read_json(DEMO / "suggestions.json")
    assert len(suggestions) == 8
    assert set(suggestions) <= known


def test_the_base_model_is_mostly_curt_and_so_is_its_answer_to_the_first_suggestion(base, prompts: list[dict]) -> None:
    """So that the first question on Compare shows what alignment did. Of 573 prompts 29 % are answered kindly, with a standard
    deviation of 3 points among the 191 that are asked here; a base model without the second phase answers 50 % kindly."""
    from workbench.engine.generate import ToAnswer, answers, stream
    from workbench.engine.measure import SAMPLING

    asked: list[list[Message]] = [[{"role": "user", "content": row["prompt"]}] for row in prompts[::3]]
    given = answers(base.model.eval(), base.tokenizer, asked, SAMPLING)
    assert 0.15 <= sum(manner(answer) == "preferred" for answer in given) / len(given) <= 0.4
    first: list[Message] = [{"role": "user", "content": read_json(DEMO / "suggestions.json")[0]}]
    said: list[int] = []
    stream(
        base.model,
        base.tokenizer,
        [ToAnswer(first)],
        Sampling(),
        lambda row, ids, ended: said.extend(ids[-1:]),
        threading.Event(),
    )
    told = base.tokenizer.decode(said)
    assert manner(told) == "other", told


def test_the_demo_is_small() -> None:
    assert sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file()) <= 15_000_000


def test_the_models_layers_suit_four_bits_and_answers_end() -> None:
    config, generation = read_json(DEMO / "model/config.json"), read_json(DEMO / "model/generation_config.json")
    heads = config["num_key_value_heads"] * config["head_dim"]
    assert all(width % 64 == 0 for width in (config["hidden_size"], config["intermediate_size"], heads))
    assert config["max_position_embeddings"] >= 1024
    assert generation["eos_token_id"] != generation["pad_token_id"]


def test_the_template_keeps_its_prefix_and_the_tokenizer_keeps_every_text(preferences: dict[str, list[Row]]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "model")
    assert tokenizer.eos_token_id == read_json(DEMO / "model/generation_config.json")["eos_token_id"]
    for row in preferences["held_out"]:
        asked = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template([*row["prompt"], *row["chosen"]], return_dict=False)
        assert whole[: len(asked)] == asked
        assert whole[-1] == tokenizer.eos_token_id
    for text in ("Naïve café, 42 °C.\n\tZoë asks: 你好?", "  two  spaces ", row["chosen"][0]["content"]):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
