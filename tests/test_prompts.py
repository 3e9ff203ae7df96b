"""Prompts to ask several answerers: pasted ones, those of a file."""

import json

import pytest

from workbench.core.errors import WorkbenchError
from workbench.jobs.prompts import pasted_prompts, uploaded_prompts


def ask(*questions):
    return [[{"role": "user", "content": question}] for question in questions]


def test_a_pasted_list_is_one_prompt_per_line_each_once():
    assert pasted_prompts("  Why? \n\nHow?\r\nWhy?\n") == ask("Why?", "How?")
    with pytest.raises(WorkbenchError, match="There is no prompt yet"):
        pasted_prompts(" \n ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", "Why?\n\nHow?\nWhy?\nWhen?\n"),
        ("rows.jsonl", "\n".join(json.dumps({"Prompt": one}) for one in ("Why?", "How?", "When?"))),
        ("rows.csv", "id,question\n1,Why?\n2,How?\n3,When?\n"),
        ("talk.jsonl", "\n".join(json.dumps({"messages": [*ask(one)[0], {"role": "assistant", "content": "So."}]}) for one in ("Why?", "How?"))),
    ],
)  # fmt: skip
def test_the_first_prompts_of_a_file_are_read_from_text_and_rows(tmp_path, name, content):
    file = tmp_path / "upload"
    file.write_text(content, encoding="utf-8")
    assert uploaded_prompts(str(file), name, 2) == ask("Why?", "How?")


def test_a_file_without_prompts_says_what_it_found(tmp_path):
    file = tmp_path / "numbers.csv"
    file.write_text("height,weight\n1,2\n", encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"numbers.csv holds no prompt .*height, weight"):
        uploaded_prompts(str(file), "numbers.csv", 8)
