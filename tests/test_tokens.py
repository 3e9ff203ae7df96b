"""Rows in tokens: counted as TRL counts, cut as TRL cuts, and a chat template that cannot harm the window."""

import json
import random
import shutil
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from workbench.core.data.formats import convert, gather, recognise
from workbench.core.data.messages import LeftOut, Row
from workbench.core.data.token_counts import (
    CHOSEN_STOPS,
    PROMPT_DIFFERS,
    REJECTED_STOPS,
    TokenCounts,
    common_prefix,
    count_row,
    kind_at,
    shown_ranges,
)
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.engine import tokens as engine
from workbench.engine.load import fetch, load_tokenizer
from workbench.jobs.tokens import Tokens
from workbench.store import datasets
from workbench.store.files import read_rows
from workbench.store.home import home as home_folder
from workbench.store.home import shipped
from workbench.store.token_counts import read_counts

DEMO = ModelRef()
END, BREAK = 2, 9  # the demo's end token, and a made-up token that is a line break

CHATML = (
    "{% for m in messages %}<|user|>{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# As Gemma 4 does: the prompt alone ends with an empty block of thought that prompt and answer do not have.
THINKS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>(no thoughts){% endif %}"
)
# As DeepSeek-R1 does: a thought is begun for the model, and taken out of every answer that is written down.
FORGETS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'].split('</think>')[-1] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
TWO_BEGINNINGS = "{{ bos_token }}{{ bos_token }}" + CHATML
NO_END = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HUGE = "{{ messages[0]['role'] * 1250000000 }}"


def of_the_row(template: str) -> str:
    """One that is well with every other conversation, and so when it is tried as the model is loaded."""
    return "{% if 'harbour' in messages[0]['content'] %}" + template + "{% endif %}" + CHATML


STRICT = "{{ raise_exception('Conversation roles must alternate') }}"

ROW: Row = {
    "prompt": [{"role": "user", "content": "Where is the harbour?"}],
    "chosen": [{"role": "assistant", "content": "Down the hill, left of the church."}],
    "rejected": [{"role": "assistant", "content": "Down the hill, and then you ask again."}],
}


def counted(*rows: tuple[list[int], list[int], list[int]]) -> TokenCounts:
    """Counts of rows of ids: the prompt, the prompt with the chosen, the prompt with the rejected answer."""
    counts = TokenCounts("preference")
    for prompt, chosen, rejected in rows:
        counts.add(count_row(prompt, chosen, rejected, lambda token: token == END, lambda token: token == BREAK))
    return counts


# The numbers of a row


def test_a_row_is_a_prompt_and_two_answers():
    """Prompt of 3; chosen 3 + 4, of which the last is a line break; rejected 3 + 2, without an end."""
    row = count_row([1, 5, 6], [1, 5, 6, 7, 8, 2, 9], [1, 5, 6, 7, 4], lambda t: t == END, lambda t: t == BREAK)
    assert (row.prompt, row.chosen, row.rejected) == (3, 4, 2)
    assert row.shared == 4
    assert (row.chosen_end, row.rejected_end) == (6, 5)
    assert row.flags == CHOSEN_STOPS


def test_what_the_prompt_does_not_share_with_the_answers_is_trained_on():
    """The prompt alone ends in 7 8; chosen goes on with 7, rejected with 4: two tokens are left of the prompt."""
    row = count_row([1, 5, 7, 8], [1, 5, 7, 6, 2], [1, 5, 4, 2], lambda t: t == END, lambda t: t == BREAK)
    assert (row.prompt, row.chosen, row.rejected) == (2, 3, 2)
    assert row.flags == CHOSEN_STOPS | REJECTED_STOPS | PROMPT_DIFFERS


def test_the_common_prefix_ends_with_the_shorter_sequence():
    assert common_prefix([1, 2], [1, 2, 3]) == 2
    assert common_prefix([1, 2, 4], [1, 3, 4]) == 1
    assert common_prefix([], [1]) == 0


# Truncation. Row 0: prompt 3, chosen ends at 7, rejected at 5, alike for 4. Row 1: prompt 6, both end at 8, alike for 7.
PAIRS = (
    ([1, 5, 6], [1, 5, 6, 7, 8, 8, 2], [1, 5, 6, 7, 2]),
    ([1, 5, 5, 5, 5, 6], [1, 5, 5, 5, 5, 6, 7, 2], [1, 5, 5, 5, 5, 6, 7, 4]),
)


@pytest.mark.parametrize(
    ("max_length", "left_out", "lose_end", "equal"),
    [(3, [0, 1], [], []), (4, [1], [0], [0]), (6, [1], [0], []), (7, [], [1], [1]), (8, [], [], [])],
)
def test_what_truncation_does_to_two_pairs(max_length, left_out, lose_end, equal):
    counts = counted(*PAIRS)
    assert counts.over_long_prompts(max_length) == left_out
    assert counts.loses_end(max_length) == lose_end
    assert counts.equal_after_truncation(max_length) == equal


def test_a_line_break_after_the_end_can_be_cut_without_harm():
    counts = counted(([1, 5], [1, 5, 7, 2, 9], [1, 5, 8, 2, 9]))
    assert counts.loses_end(4) == []
    assert counts.loses_end(3) == [0]


def test_two_sequences_that_are_the_same_are_so_at_every_length():
    counts = counted(([1, 5], [1, 5, 7, 2], [1, 5, 7, 2]))
    assert counts.equal_after_truncation(3) == counts.equal_after_truncation(1000) == [0]
    assert counts.equal_after_truncation(2) == []  # left out, not equal


def test_the_tallies_give_the_same_counts_at_every_length():
    draw = random.Random(3)
    rows = []
    for _ in range(200):
        prompt = [1, *draw.choices([5, 6], k=draw.randrange(0, 12))]
        rows.append((prompt, prompt + draw.choices([5, 6, 2, 9], k=5), prompt + draw.choices([5, 6, 2, 9], k=4)))
    counts = counted(*rows)
    tallies = counts.tallies()
    for most in range(1, 24):
        at_least = {
            name: sum(rows for value, rows in tally if value >= most + (name == "end"))
            for name, tally in tallies.items()
        }
        assert at_least["prompt"] == len(counts.over_long_prompts(most))
        assert at_least["end"] - at_least["prompt"] == len(counts.loses_end(most))
        assert at_least["alike"] - at_least["prompt"] == len(counts.equal_after_truncation(most))


def of_lengths(ends: list[int]) -> TokenCounts:
    """Pairs with a prompt of 10 whose chosen answer ends there, and whose rejected one has 1 token."""
    size = len(ends)
    columns = {
        "prompt": [10] * size,
        "chosen": [end - 10 for end in ends],
        "rejected": [1] * size,
        "shared": [10] * size,
        "chosen_end": ends,
        "rejected_end": [11] * size,
        "flags": [CHOSEN_STOPS | REJECTED_STOPS] * size,
    }
    return TokenCounts.from_columns("preference", columns)


@pytest.mark.parametrize(
    ("ends", "most", "suggestion"),
    [
        ([200] * 95 + [900] * 5, 4096, 256),  # exactly 95 % whole
        ([200] * 94 + [900] * 6, 4096, 1024),
        ([257] * 100, 4096, 512),
        ([9000] * 100, 4096, 4096),
        ([9000] * 100, 1200, 1024),
        ([200], 100, 100),
        ([], 4096, 256),
    ],
)
def test_the_suggestion_is_the_shortest_usual_length_that_keeps_95_percent(ends, most, suggestion):
    assert of_lengths(ends).suggestion(most) == suggestion


def test_cut_is_the_share_that_is_not_whole():
    counts = of_lengths([20, 30, 40, 50])
    assert counts.cut(30) == 0.5
    assert TokenCounts("sft").cut(30) == 0.0


def test_the_last_bin_of_a_histogram_takes_the_longer_ones():
    """Prompt + chosen of 12, 19, 20 and 95 in bins of 10: [10, 20) has two, [20, ...) has two."""
    counts = of_lengths([12, 19, 20, 95])
    assert counts.histogram("chosen", 10, 3) == [0, 2, 2]
    assert counts.histogram("prompt", 10, 3) == [0, 4, 0]


def test_columns_come_back_as_they_were():
    counts = counted(*PAIRS)
    assert TokenCounts.from_columns("preference", counts.as_columns()) == counts
    assert isinstance(counts.as_columns()["prompt"], array)


# What of a long row is shown


def test_a_short_row_is_shown_whole():
    assert shown_ranges(1500, 700, 1024) == [range(1500)]


def test_of_a_long_row_the_places_that_matter_are_shown():
    """Start, 200 before to 400 after the answer begins, 250 before to 150 after the cut, the last 150."""
    assert shown_ranges(9000, 1000, 4096) == [range(250), range(800, 1400), range(3846, 4246), range(8850, 9000)]


def test_places_that_touch_are_one():
    assert shown_ranges(2000, 300, 600) == [range(750), range(1850, 2000)]


def test_what_is_cut_is_neither_prompt_nor_trained():
    assert [kind_at(place, 2, 3) for place in range(4)] == ["prompt", "prompt", "trained", "cut"]


# The same ids as TRL


def encoder(template: str | None = None, stops: set[int] | None = None) -> engine.Encoder:
    """Of the demo model, with another template."""
    folder = shipped("assets") / "demo" / "model"
    tokenizer = load_tokenizer(folder)
    if template:
        tokenizer.chat_template = template
    return engine.Encoder(tokenizer, "demo model", stops or engine.stop_tokens(tokenizer, folder))


def trl_prepares(trainer: str, rows: list[Row], tokenizer: Any, max_length: int, folder: Path) -> list[dict[str, Any]]:
    """What TRL's own preparation makes of rows."""
    import trl
    from datasets import Dataset

    config = getattr(trl, f"{trainer}Config")(output_dir=str(folder), max_length=max_length, use_cpu=True)
    itself = SimpleNamespace(_tokenizer=tokenizer, chat_template=None, completion_only_loss=True)
    more = (False, None) if trainer == "SFT" else ()
    prepare = getattr(trl, f"{trainer}Trainer")._prepare_dataset
    return list(prepare(itself, Dataset.from_list(rows), tokenizer, config, *more, "train"))


@pytest.mark.parametrize("template", [None, CHATML, THINKS, TWO_BEGINNINGS], ids=["own", "chatml", "thinks", "two bos"])
def test_pairs_have_the_tokens_that_trl_trains_on(template, tmp_path):
    rows = [*datasets.read("demo-preferences", "train", 40), ROW]
    ours = encoder(template)
    theirs = trl_prepares("DPO", rows, ours.tokenizer, 10_000, tmp_path)
    for row, prepared in zip(rows, theirs, strict=True):
        found = ours.counted(ours.ids(ours.rendered(row, "it")))
        assert found.prompt == len(prepared["prompt_ids"])
        assert found.chosen == len(prepared["chosen_ids"])
        assert found.rejected == len(prepared["rejected_ids"])
        whole = [prepared["prompt_ids"] + prepared[f"{part}_ids"] for part in ("chosen", "rejected")]
        assert found.shared == common_prefix(*whole)


@pytest.mark.parametrize("max_length", [16, 20, 24, 48])
def test_pairs_are_left_out_and_made_equal_as_trl_does(max_length, tmp_path):
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    rows = datasets.read("demo-preferences", "train", 60)
    ours = encoder()
    counts = TokenCounts("preference")
    for row in rows:
        counts.add(ours.counted(ours.ids(ours.rendered(row, "it"))))
    theirs = trl_prepares("DPO", rows, ours.tokenizer, max_length, tmp_path)
    assert len(rows) - len(theirs) == len(counts.over_long_prompts(max_length))
    batch = DataCollatorForPreference(pad_token_id=0, max_length=max_length)(theirs)
    chosen, rejected = batch["input_ids"].chunk(2)
    assert int((chosen == rejected).all(dim=1).sum()) == len(counts.equal_after_truncation(max_length))
    kept = batch["input_ids"] * batch["completion_mask"]
    lost = ~(kept == END).any(dim=1)
    assert int((lost[: len(theirs)] | lost[len(theirs) :]).sum()) == len(counts.loses_end(max_length))


@pytest.mark.parametrize("template", [None, THINKS], ids=["own", "thinks"])
def test_examples_for_sft_have_the_tokens_that_trl_trains_on(template, tmp_path):
    rows = datasets.read("demo-sft", "train", 40)
    ours = encoder(template)
    theirs = trl_prepares("SFT", rows, ours.tokenizer, 10_000, tmp_path)
    for row, prepared in zip(rows, theirs, strict=True):
        found = ours.counted(ours.ids(ours.rendered(row, "it")))
        assert found.prompt == sum(label == -100 for label in prepared["labels"])
        assert found.prompt + found.chosen == len(prepared["input_ids"])
        assert (found.rejected, found.shared, found.rejected_end) == (0, 0, 0)


# The template


def test_the_template_of_the_demo_model_is_in_order():
    facts = engine.template(encoder(), datasets.read("demo-preferences", "train", 20))
    assert (facts.ends_with_eos, facts.last_token, facts.eos) == (True, "<|end|>", ("<|end|>",))
    assert (facts.double_bos, facts.prefix_mismatches, facts.checked) == (False, 0, 20)


def test_a_template_that_ends_in_no_end_token_is_found():
    facts = engine.template(encoder(NO_END), [ROW])
    assert not facts.ends_with_eos
    assert facts.last_token == "."


def test_a_line_break_after_the_end_token_is_in_order():
    assert engine.template(encoder(CHATML), [ROW]).ends_with_eos


def test_two_beginnings_are_found():
    assert engine.template(encoder(TWO_BEGINNINGS), [ROW]).double_bos


def test_a_prompt_that_is_rendered_otherwise_is_counted():
    assert engine.template(encoder(THINKS), [ROW, ROW]).prefix_mismatches == 2


def test_a_template_that_deletes_thoughts_is_found():
    facts = engine.template(encoder(FORGETS), [ROW])
    assert (facts.deletes_thoughts, facts.opening, facts.prefix_mismatches) == (True, "<think>", 1)


@pytest.mark.parametrize("template", [None, CHATML, NO_END, STRICT], ids=["own", "chatml", "no end", "refuses"])
def test_templates_that_leave_thoughts_alone_are_not_accused(template):
    """Nor one that writes nothing at all."""
    rows = [] if template == STRICT else [ROW]
    facts = engine.template(encoder(template), rows)
    assert (facts.deletes_thoughts, facts.opening) == (False, "")


NEW_FORMATS = (
    "swift.jsonl",
    "swift_query.jsonl",
    "answers_as_numbers.jsonl",
    "winner_by_model.jsonl",
    "pandas_columns.json",
)
NEW_LESSONS = ("gemini.jsonl", "human_and_assistant.jsonl", "webui.json", "sillytavern.jsonl", "chatgpt.json")


def converted(files: Sequence[str]) -> list[Row]:
    """All rows of files of the corpus, as they would be stored."""
    made: list[Row] = []
    for file in files:
        with closing(read_rows(Path(__file__).parent / "formats" / file)) as source:
            rows = list(source)
        how = recognise([row for _, row in rows])
        for _, row, _ in gather(rows, how):
            with suppress(LeftOut):
                made += convert(row, how).rows
    return [{part: value for part, value in row.items() if part != "scores"} for row in made]


@pytest.mark.parametrize(("trainer", "files"), [("DPO", NEW_FORMATS), ("SFT", NEW_LESSONS)])
def test_what_was_converted_has_the_tokens_that_trl_trains_on(trainer, files, tmp_path):
    """Five files of each kind, with 12 good rows each."""
    rows = converted(files)
    assert len(rows) == 60
    ours = encoder()
    theirs = trl_prepares(trainer, rows, ours.tokenizer, 10_000, tmp_path)
    assert len(theirs) == 60
    for row, prepared in zip(rows, theirs, strict=True):
        found = ours.counted(ours.ids(ours.rendered(row, "it")))
        if trainer == "DPO":
            lengths = [len(prepared[f"{part}_ids"]) for part in ("prompt", "chosen", "rejected")]
            assert [found.prompt, found.chosen, found.rejected] == lengths
        else:
            assert found.prompt == sum(label == -100 for label in prepared["labels"])
            assert found.prompt + found.chosen == len(prepared["input_ids"])


def test_the_end_tokens_of_generation_count_too(tmp_path):
    (tmp_path / "config.json").write_text('{"eos_token_id": 7}')
    tokenizer = SimpleNamespace(eos_token_id=2)
    assert engine.stop_tokens(tokenizer, tmp_path) == {2, 7}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 4]}')
    assert engine.stop_tokens(tokenizer, tmp_path) == {2, 3, 4}


def test_a_row_that_the_template_refuses_is_named():
    with pytest.raises(
        WorkbenchError, match=r"chat template of demo model cannot write row 1 of those tried: Conversation roles"
    ):
        engine.template(encoder(STRICT), [ROW])
    with pytest.raises(WorkbenchError, match="cannot write row 1 of those tried"):
        engine.template(encoder("{{ messages[0]['picture'].size }}"), [ROW])


def test_the_tokenizer_of_a_hub_model_is_fetched_without_its_weights(monkeypatch):
    model = shipped("assets") / "demo" / "model"
    asked: list[list[str]] = []

    def download(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        asked.append(allow_patterns)
        return str(model)

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(model / "config.json"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    ref = ModelRef(source="hub", name="owner/model")
    assert fetch(ref, print, with_weights=False) == fetch(ref, print) == model
    without, whole = asked
    assert set(whole) - set(without) == {"*.safetensors"}


def test_half_of_a_character_is_refused_in_words():
    row = {**ROW, "chosen": [{"role": "assistant", "content": "half \ud800 of it"}]}
    with pytest.raises(WorkbenchError, match="This row holds text that the tokenizer of demo model cannot read"):
        engine.view(encoder(), row, 1024)


# A row as the model gets it


def test_a_row_is_told_apart_into_prompt_trained_and_cut():
    """The demo's template: begin, user, question, end, assistant, answer, end. Cut in the answer."""
    view = engine.view(encoder(), ROW, 22)
    chosen, rejected = view.lanes
    assert [lane.part for lane in view.lanes] == ["chosen", "rejected"]
    assert chosen.prompt + chosen.trained == 22
    assert chosen.cut > 0 and not chosen.stops
    assert [piece.text for piece in chosen.pieces if piece.special] == [
        "<|begin|>", "<|user|>", "<|end|>", "<|assistant|>", "<|end|>"
    ]  # fmt: skip
    assert "".join(piece.text for piece in chosen.pieces if not piece.special) == (
        "Where is the harbour?Down the hill, left of the church."
    )
    assert sum(piece.tokens for piece in chosen.pieces) == chosen.prompt + chosen.trained + chosen.cut
    assert rejected.prompt == chosen.prompt


def test_tokens_that_make_up_one_character_are_one_piece():
    row = {**ROW, "prompt": [{"role": "user", "content": "é 😀😀"}]}
    pieces = engine.view(encoder(), row, 1024).lanes[0].pieces
    assert [(piece.text, piece.tokens) for piece in pieces[2:6]] == [("é", 2), (" ", 1), ("😀", 4), ("😀", 4)]


def test_the_space_before_a_word_is_part_of_its_token():
    """GPT-2's tokenizer leaves it out of what it says of where a token stands."""
    from tokenizers.processors import ByteLevel

    trimmed = encoder()
    trimmed.tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)
    row = {**ROW, "prompt": [{"role": "user", "content": "a  b\n c"}]}
    pieces = engine.view(trimmed, row, 1024).lanes[0].pieces
    assert [piece.text for piece in pieces[2:7]] == ["a", " ", " b", "\n", " c"]


def test_a_row_whose_prompt_fills_the_length_is_left_out():
    assert engine.view(encoder(), ROW, 8).left_out
    assert not engine.view(encoder(), ROW, 100).left_out


def test_a_long_row_says_how_many_tokens_are_not_shown():
    row = {**ROW, "chosen": [{"role": "assistant", "content": "again " * 4000}]}
    lane = engine.view(encoder(), row, 1024).lanes[0]
    assert sum(piece.tokens for piece in lane.pieces) == lane.prompt + lane.trained + lane.cut > 4000
    assert [piece.kind for piece in lane.pieces].count("skipped") == 2
    assert len(lane.pieces) < 1500


# Through the child process


@pytest.fixture
def tokens():
    with_demo = Tokens()
    yield with_demo
    with_demo.close()


@pytest.fixture
def folder(tmp_path: Path):
    """A function: the demo model with another chat template, as a folder."""

    def made(template: str) -> ModelRef:
        target = tmp_path / "model"
        shutil.copytree(shipped("assets") / "demo" / "model", target, ignore=shutil.ignore_patterns("*.safetensors"))
        (target / "model.safetensors").touch()  # the weights are not looked at
        (target / "chat_template.jinja").write_text(template)
        return ModelRef(source="folder", name=str(target))

    return made


def children() -> list[psutil.Process]:
    """Those with a tokenizer."""
    return [child for child in psutil.Process().children() if "workbench.engine.tokens" in child.cmdline()]


def test_a_dataset_is_counted_once_and_then_read_from_its_file(tokens):
    said: list[tuple[float, str]] = []
    file = tokens.counted(DEMO, "demo-preferences", lambda fraction, text: said.append((fraction, text)))
    about = datasets.about("demo-preferences")
    counts = read_counts(file, about.kind, about.kept)
    assert counts
    assert len(counts) == about.train_rows + about.held_out_rows
    assert said[-1] == (1.0, f"{len(counts):,} of {len(counts):,} rows counted")
    first_held_out = datasets.read("demo-preferences", "held_out", 1)[0]
    view = tokens.view(DEMO, first_held_out, 1024)
    assert counts.prompt[about.train_rows] == view.lanes[0].prompt
    assert counts.rejected[about.train_rows] == view.lanes[1].trained
    said.clear()
    assert tokens.counted(DEMO, "demo-preferences", lambda fraction, text: said.append((fraction, text))) == file
    assert said == []
    assert len(list((home_folder() / "cache").iterdir())) == 1


def test_a_damaged_file_of_counts_is_counted_again(tokens):
    file = tokens.counted(DEMO, "demo-sft")
    counted = file.read_bytes()
    at = len(counted) // 2
    for damaged in (b"PAR1 and nothing else", counted[:at] + bytes(64) + counted[at + 64 :]):
        file.write_bytes(damaged)
        assert tokens.counted(DEMO, "demo-sft") == file and file.read_bytes() == counted


def test_counting_can_be_cancelled_and_leaves_nothing(tokens):
    def cancel(fraction: float, text: str) -> None:
        if fraction > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokens.counted(DEMO, "demo-preferences", cancel)
    assert list((home_folder() / "cache").iterdir()) == []
    assert len(children()) == 1  # the one that shows rows


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (of_the_row(ENDLESS), "did not answer within 2 seconds"),
        (of_the_row(HUGE), "makes more than 50 million characters of this row"),
        (of_the_row("{{ messages[0]['role'] * 15000000 }}"), "makes more than 50 million characters of this row"),
        (of_the_row(STRICT), "cannot write this row: Conversation roles must alternate. Training would end here"),
        (STRICT, r"\(chat_template.jinja\) cannot write a question of three words: Conversation roles must alternate"),
    ],
    ids=["endless", "huge", "large", "strict", "strict at once"],
)
def test_a_hostile_template_ends_in_words(folder, template, words):
    tokens = Tokens(patience=2.0 if "2 seconds" in words else 15.0)
    started = time.monotonic()
    with pytest.raises(WorkbenchError, match=words):
        tokens.view(folder(template), ROW, 1024)
    assert time.monotonic() - started < 20
    assert tokens.view(DEMO, ROW, 1024).lanes[0].prompt > 0  # the window goes on
    tokens.close()


def test_a_template_that_refuses_a_row_names_it_while_counting(tokens, folder):
    template = "{% if 'Robin' in messages[-1]['content'] %}{{ raise_exception('No Robin here') }}{% endif %}hello"
    with pytest.raises(WorkbenchError, match=r"cannot write row \d+: No Robin here"):
        tokens.counted(folder(template), "demo-preferences")


def test_a_model_that_is_not_there_is_said_so(tokens):
    with pytest.raises(WorkbenchError, match="There is no folder /nowhere"):
        tokens.view(ModelRef(source="folder", name="/nowhere"), ROW, 1024)


def test_a_child_that_dies_is_told_in_words_and_replaced(tokens):
    tokens.view(DEMO, ROW, 1024)
    (child,) = children()
    child.kill()
    child.wait()
    assert tokens.view(DEMO, ROW, 1024)
    silent = Tokens((sys.executable, "-c", "pass"))
    with pytest.raises(WorkbenchError, match="ended unexpectedly"):
        silent.view(DEMO, ROW, 1024)


def test_the_child_is_closed_when_nobody_asks():
    tokens = Tokens(idle=0.3)
    tokens.view(DEMO, ROW, 1024)
    (child,) = children()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


def test_loading_can_be_cancelled(tokens):
    def cancel(fraction: float, text: str) -> None:
        assert (fraction, text) == (0.0, "loading the tokenizer")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokens.counted(DEMO, "demo-preferences", cancel)
    assert children() == []


def test_the_child_loads_no_torch_and_ends_with_the_window(folder):
    command = [sys.executable, "-m", "workbench.engine.tokens", folder(of_the_row(ENDLESS)).model_dump_json()]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert json.loads(child.stdout.readline())["event"] == "ready"
    if sys.platform == "linux":
        assert not [one.path for one in psutil.Process(child.pid).memory_maps() if "torch" in one.path]
    child.stdin.write(json.dumps({"do": "view", "row": ROW, "max_length": 64}) + "\n")
    child.stdin.close()
    assert child.wait(timeout=10) == 0
    child.stdout.close()
