"""What a stage's examples are like, counted from the tokens that TRL made of them."""

from datasets import Dataset

from workbench.engine import answers
from workbench.engine.answers import stage_facts

END = 9


def test_answers_are_cut_where_training_cuts_them():
    """Length 4: the prompt of 2 leaves 2 tokens, so the second answer loses its end."""
    rows = Dataset.from_list(
        [
            {"prompt_ids": [1, 2], "chosen_ids": [3, END], "rejected_ids": [4]},
            {"prompt_ids": [1, 5], "chosen_ids": [3, 3, END], "rejected_ids": [4, 4, 4]},
        ]
    )
    facts = stage_facts(rows, 4, {END})
    assert facts["answers/ended"] == 0.5
    assert (facts["answers/chosen"], facts["answers/rejected"]) == (2, 1.5)
    assert facts["answers/chosen_longer"] == 0.5
    assert facts["answers/examples"] == 2


def test_of_a_large_dataset_some_rows_speak_for_all(monkeypatch):
    """Every second of 8 rows: 4 distinct ones stand for 8."""
    monkeypatch.setattr(answers, "MOST_ROWS", 4)
    rows = Dataset.from_list([{"prompt_ids": [n], "chosen_ids": [n, END], "rejected_ids": [END]} for n in range(8)])
    assert stage_facts(rows, 16, {END})["answers/examples"] == 8


def test_sft_examples_have_no_rejected_answer():
    rows = Dataset.from_list([{"input_ids": [1, 2, 3, END], "labels": [-100, -100, 3, END]}])
    facts = stage_facts(rows, 16, {END})
    assert (facts["answers/chosen"], facts["answers/ended"]) == (2, 1)
    assert "answers/rejected" not in facts


def test_answers_with_a_thumb_are_counted_as_single_ones():
    rows = Dataset.from_list([{"prompt_ids": [1], "completion_ids": [3, 4, END], "label": True}])
    facts = stage_facts(rows, 16, {END})
    assert (facts["answers/chosen"], facts["answers/ended"]) == (3, 1)
    assert "answers/rejected" not in facts


def test_an_answer_may_go_on_with_a_line_break_after_its_end():
    """As ChatML writes it: the model stops at the end token, so the break behind it does no harm."""
    rows = Dataset.from_list([{"prompt_ids": [1], "chosen_ids": [3, END, 7], "rejected_ids": [4, 7]}])
    assert stage_facts(rows, 16, {END})["answers/ended"] == 1
