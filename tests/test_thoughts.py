"""What stands beside the texts of a source: thoughts, tools, pictures, marks; told wherever a person looks."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from data_files import add_file

from workbench.core.data.doctor.checks import CHECKS
from workbench.core.data.doctor.report import Examination
from workbench.core.data.formats import convert, recognise
from workbench.core.data.messages import NOTED, LeftOut
from workbench.core.data.thoughts import has_thoughts, is_open, split_thoughts, without_thoughts
from workbench.core.data.token_counts import TemplateFacts
from workbench.core.errors import WorkbenchError
from workbench.store import datasets
from workbench.store.files import json_rows, read_rows

FORMATS = Path(__file__).parent / "formats"


def pair(chosen, rejected="It is late."):
    parts = {
        "prompt": ("user", "What time is it?"),
        "chosen": ("assistant", chosen),
        "rejected": ("assistant", rejected),
    }
    return {part: [{"role": role, "content": text}] for part, (role, text) in parts.items()}


def report(rows, **more):
    examination = Examination("preference")
    for row in rows:
        examination.add(row)
    return {one.check: one for one in examination.report({}, len(rows), **more).findings}


@pytest.mark.parametrize(
    ("text", "thinks", "never_ends", "answer"),
    [
        ("<think>\nA clock.\n</think>\n\nNoon.", True, False, "Noon."),
        ("A clock.\n</think>\n\nNoon.", True, False, "Noon."),
        ("<think>\nA clock, or a watch", True, True, ""),
        ("<Reasoning>A clock.</Reasoning> Noon.", True, False, "Noon."),
        ("Noon.", False, False, "Noon."),
        ("Write `</think>` behind it.", False, False, "Write `</think>` behind it."),
        ("Between <think> and </think> it may think.", False, False, "Between <think> and </think> it may think."),
        ("I think 3 < 4.", False, False, "I think 3 < 4."),
    ],
)
def test_thoughts_are_told_from_talk_about_them(text, thinks, never_ends, answer):
    assert (has_thoughts(text), is_open(text), without_thoughts(text)) == (thinks, never_ends, answer)


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("<think>\nA clock.\n</think>\n\nNoon.", ("A clock.", "Noon.", True)),
        ("A clock.\n</think>\n\nNoon.", ("A clock.", "Noon.", True)),
        ("<think>\nA clock, or", ("A clock, or", "", False)),
        ("<think>\n\n</think>\n\nNoon.", ("", "Noon.", True)),
        (" Noon. ", ("", " Noon. ", True)),
        ("<think>One.</think>Two, </think> is a mark.", ("One.", "Two, </think> is a mark.", True)),
    ],
)
def test_an_answer_is_split_into_thoughts_and_the_rest(text, parted):
    assert split_thoughts(text) == parted


def test_where_most_rows_think_those_without_thoughts_are_named():
    """Three of five think: the other two, rows 1 and 3, are the ones to drop."""
    thinking = pair("<think>A clock.</think>Noon.")
    found = report([thinking, pair("Noon."), thinking, pair("One."), thinking])["thoughts_mixed"]
    assert found.rows == found.remedy.rows == (1, 3)
    assert "3 of 5 rows have thoughts" in found.evidence
    assert "thoughts_mixed" not in report([thinking] * 5)


def test_a_pair_that_differs_in_its_thoughts_alone_is_not_called_nearly_identical_too():
    words = " ".join(f"word{n}" for n in range(60))
    found = report([pair(f"<think>One.</think>{words}", f"<think>Two.</think>{words}")])
    assert "only_thoughts" in found and "near_identical" not in found


def test_the_template_is_named_as_the_cause_where_it_deletes_thoughts():
    facts = TemplateFacts(
        ends_with_eos=True, last_token="</s>", eos=("</s>",), double_bos=False, prefix_mismatches=2, checked=2, template="0",
        deletes_thoughts=True, opening="<think>",
    )  # fmt: skip
    found = report([pair("<think>A clock.</think>Noon."), pair("One.")], template=facts)
    assert found["thoughts_deleted"].rows == (0,)
    assert "The cause is the chat template" in found["prompt_mismatch"].evidence
    assert "deletes the thoughts of answers" in found["prompt_mismatch"].evidence
    assert "thoughts_deleted" not in report([pair("One.")], template=facts)


@pytest.mark.parametrize(
    ("file", "check", "words"),
    [
        ("tools.jsonl", "tools", "12 x the separate list of tools is not in the prompt"),
        ("tools.jsonl", "tools", "2 × a tool call, or what a tool answered"),
        ("reasoning_content.jsonl", "thoughts_unused", "11 x thoughts in a column of their own were not used"),
        ("pictures.jsonl", "media", "12 x a picture, sound or video was not used"),
        ("ultrafeedback_tens.jsonl", "score_conflict", "12 x an answer was skipped: overall_score 10"),
    ],
)
def test_what_was_passed_over_is_a_finding_of_the_stored_dataset(file, check, words, tmp_path, monkeypatch):
    """Also after a change to it: a version with a row less says so too."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    add_file(FORMATS / file, "mine")
    datasets.delete_rows("mine", [0])
    found = {one.check: one for one in datasets.examine("mine").findings}
    assert words in found[check].evidence
    assert set(NOTED.values()) <= set(CHECKS)


@pytest.mark.parametrize(
    ("mark", "out"),
    [
        ({"loss": False}, True), ({"train": "false"}, True), ({"weight": 0}, True), ({"weight": "0.0"}, True),
        ({"loss": 0.0}, False), ({"weight": 1}, False), ({"weight": None}, False), ({"weight": False}, False),
    ],
)  # fmt: skip
def test_only_a_plain_mark_keeps_a_row_out(mark, out):
    """A loss of 0.0 is a measurement, and a missing weight is none."""
    row = {"prompt": "What time is it?", "completion": "Noon.", **mark}
    how = recognise([row])
    if out:
        with pytest.raises(LeftOut, match="not to be trained on"):
            convert(row, how)
    else:
        assert len(convert(row, how).rows) == 1


def test_a_score_that_is_no_thumb_makes_none():
    """Scores of 0 and 1 may be anything; 1 and -1 are a thumb, whose middle is neither."""
    rows = [{"prompt": f"Question {n}?", "response": "Noon.", "score": n % 2} for n in range(4)]
    assert recognise(rows).kind == "sft"
    rows = [{**row, "score": 2 * row["score"] - 1} for row in rows]
    assert recognise(rows).option == "thumbs-signed"


@pytest.mark.parametrize(
    "beside",
    [
        {"answer": "Noon.", "correct": "B", "incorrect": "A, C"}, {"answer": "Noon.", "positive": 0.3, "negative": 0.7},
        {"response": "Noon.", "toxicity": 0.1}, {"response": "Noon.", "toxic": False}, {"response": "Noon.", "likes": 3},
        {"response": "Noon.", "rejected_response": None}, {"response": "Noon.", "target": 1},
    ],
)  # fmt: skip
def test_measures_and_classes_make_no_pairs_and_no_thumbs(beside):
    """What they are beside: one answer, to be imitated. Two measures alone are no answers either."""
    rows = [{"question": f"Question {n}?", **beside} for n in range(4)]
    assert recognise(rows).kind == "sft"
    assert recognise([{"question": f"Question {n}?", "positive": 0.3, "negative": 0.7} for n in range(4)]) is None


def test_numbers_that_may_count_answers_of_a_list_are_no_answers():
    row = {"prompt": "What time is it?", "responses": ["Noon.", "Late.", "Soon."], "chosen": 0, "rejected": 2}
    assert recognise([row]) is None


@pytest.mark.parametrize(
    ("asked", "marked"),
    [
        ("<image>\nWhat is it?", True), ("What is it?\n<image>", True), ("<|image_1|> What is it?", True),
        ("How does the HTML tag <video>", False), ("Is <image> a word?", False), ("<audio> has no closing tag in HTML?", False),
    ],
)  # fmt: skip
def test_the_mark_of_a_picture_is_told_from_a_tag_that_is_talked_about(asked, marked):
    row = pair("Noon.") | {"prompt": [{"role": "user", "content": asked}]}
    assert ("media" in report([row])) is marked


# Tables of pandas


def rows_of(tmp_path, text):
    file = tmp_path / "table.json"
    file.write_text(text, encoding="utf-8")
    with closing(read_rows(file)) as rows:
        return list(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": {"0": "x"},\n"a": {"0": "y"}}', "the column 'a' is there twice"),
        ('{"a": {"0": "x", "1": "y"}, "b": {"0": "x"}}', "does not have the same rows as the first one"),
        ('{"a": {"0": "x"}, "b": {"0": ', "which is not valid JSON"),
        ('{"a":\n{"0": "x"}} {"b": 1}', "goes on at line 2 behind the end"),
        ('{"0": {"a": "x"}, "1": 3}', "each row must be an object"),
        ('{"columns": ["a", "b"], "data": [["x"]]}', "is a list; each row must be an object"),
    ],
)
def test_a_broken_table_is_refused_in_words(text, words, tmp_path):
    with pytest.raises(WorkbenchError, match=words):
        rows_of(tmp_path, text)


def test_a_table_by_columns_is_not_turned_round_beyond_what_memory_is_for(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "_MOST_TURNED", 50)
    table = {column: {"0": "x" * 30} for column in ("prompt", "chosen", "rejected")}
    with pytest.raises(WorkbenchError, match="by rows; in pandas"):
        rows_of(tmp_path, json.dumps(table))
    monkeypatch.setattr(json_rows, "_MOST_TURNED", 500)
    assert rows_of(tmp_path, json.dumps(table)) == [(1, {column: "x" * 30 for column in table})]
