"""Every column is used, listed or asked about, wherever it first appears."""

import json
import os

import pytest

from workbench.cli import main
from workbench.core.data.formats import Columns, ReadOptions, by_hand, convert, gather, recognise
from workbench.core.data.messages import REASONS, LeftOut
from workbench.core.errors import WorkbenchError
from workbench.engine import prepare
from workbench.jobs import preparing
from workbench.store import datasets
from workbench.store.datasets import Provenance


def pair(i, **more):
    return {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}", **more}


def refusal(action, *args, **more):
    with pytest.raises(WorkbenchError) as refused:
        action(*args, **more)
    return refused.value


def add(rows, name="mine", **how):
    return datasets.add(enumerate(rows, 1), name, source=Provenance("a test"), options=ReadOptions(**how))


def stored(name="mine"):
    rows = datasets.read(name, "train", extras=True) + datasets.read(name, "held_out", extras=True)
    return sorted(rows, key=lambda row: row["source_row"])


HINTED = [pair(i, hint=f"think of the sea, {i}", id=i, source=None if i < 3 else "ours") for i in range(20)]


def test_columns_that_are_not_used_are_listed_with_what_they_hold():
    """20 rows: a number in each, and a source in all but the first three."""
    rows = [{column: row[column] for column in row if column != "hint"} for row in HINTED]
    seen = [("id", "a number", 20, "0", (1, 2, 3, 4, 5)), ("source", "text", 17, "ours", (4, 5, 6, 7, 8))]
    for listed in (
        datasets.preview(enumerate(rows, 1)).account.unused, datasets.check(enumerate(rows, 1)).unused, add(rows).unused,
        datasets.about("mine").unused,
    ):  # fmt: skip
        assert [(one.column, one.holds, one.rows, one.example, one.first_rows) for one in listed] == seen


def test_text_beside_a_prompt_is_asked_about_and_not_dropped():
    asked = refusal(add, HINTED)
    assert asked.problems[0] == (
        "The column `hint` is not used, and may belong to the prompt: it holds text in 20 of the first 20 rows, such as "
        "'think of the sea, 0'."
    )
    assert "mine" not in datasets.names()
    assert datasets.preview(enumerate(HINTED, 1)).recognised.asked == ("hint",)
    assert datasets.check(enumerate(HINTED, 1)).as_json()["asked"] == ["hint"]


def test_a_person_says_what_such_a_column_is():
    about = add(HINTED, "below", mapping=Columns(input="hint"))
    assert about.format == "text-pairs" and about.evidence.endswith("By hand: input from `hint`.")
    assert stored("below")[0]["prompt"] == [{"role": "user", "content": "question 0\n\nthink of the sea, 0"}]
    add(HINTED, "system", mapping=Columns(system="hint"))
    assert stored("system")[0]["prompt"][0] == {"role": "system", "content": "think of the sea, 0"}
    without = add(HINTED, "without", ignore=("hint",))
    assert [one.column for one in without.unused] == ["hint", "id", "source"]
    assert "is the chosen already" in str(refusal(add, HINTED, mapping=Columns(input="chosen")))
    assert "There is no column 'hints'" in str(refusal(add, HINTED, ignore=("hints",)))


@pytest.mark.parametrize(
    "column",
    [
        {"explanation": "The first one names a cause."},
        {"chosen_model": "a model of ours"},
        {"question_text": "question 1"},
        {"category": "open questions and answers"},
        {"title": "About the sky above"},
        {"url": "https://example.org/a page of it"},
        {"labels": "Good in most ways"},
    ],
)
def test_what_says_nothing_that_a_model_must_read_is_listed_without_a_question(column):
    found = recognise([pair(1, **column)] * 4)
    assert found.asked == ()


def test_a_late_part_of_the_prompt_joins_and_is_told():
    """Rows 251 to 300 have a system message, rows 281 to 300 pictures as well."""
    rows = [pair(i) for i in range(300)]
    rows[250:] = [{**row, "system": "Be brief."} for row in rows[250:]]
    rows[280:] = [{**row, "images": ["a.png"]} for row in rows[280:]]
    about = add(rows)
    assert sum(row["prompt"][0]["role"] == "system" for row in stored()) == 50
    system, images = about.late
    assert (system.column, system.part, system.rows, system.first_rows) == (
        "system",
        "system",
        50,
        (251, 252, 253, 254, 255),
    )
    assert (images.column, images.part, images.rows, images.first_rows[0]) == ("images", "", 20, 281)
    assert [one.column for one in about.unused] == ["images"]
    found = next(one for one in datasets.report("mine").findings if one.check == "late_column")
    assert (found.severity, found.count) == ("warning", 50)
    assert "`system` holds text in 50 rows, such as 'Be brief.', first in row 251, 252" in found.evidence
    assert "used as the system message. `images` holds" in found.evidence
    datasets.delete_rows("mine", [0])
    assert "late_column" in {one.check for one in datasets.report("mine").findings}


def test_a_column_that_is_empty_in_the_first_rows_counts_as_late():
    """A table has all columns in all rows: here 300 histories, the first 250 of them empty."""
    rows = [pair(i, history=None if i < 250 else [["Hi", "Hello"]], note=None if i < 260 else "x") for i in range(300)]
    about = add(rows)
    assert [(one.column, one.part, one.first_rows[0]) for one in about.late] == [
        ("history", "history", 251),
        ("note", "", 261),
    ]
    assert [len(row["prompt"]) for row in stored()] == [1] * 250 + [3] * 50


def test_a_late_rejected_answer_is_asked_about_before_anything_is_stored(home):
    lessons = [{"prompt": f"question {i}", "completion": f"good {i}"} for i in range(300)]
    lessons[270] |= {"rejected": "bad"}
    asked = refusal(add, lessons)
    assert "In row 271 the column `rejected` appears for the first time (text: 'bad')" in str(asked)
    assert asked.asks == ("format", "prompt")
    assert list((home / "datasets").iterdir()) == []
    about = add(lessons, format="prompt-completion")
    assert (about.kept, [one.column for one in about.late]) == (300, ["rejected"])


def test_rows_that_turn_into_another_kind_are_asked_about():
    """The first 250 are answers to imitate, the others pairs."""
    rows = [
        {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": "a"}]} for i in range(250)
    ]
    rows += [pair(i, messages=rows[0]["messages"]) for i in range(20)]
    assert "In row 251 the column `chosen` appears for the first time" in str(refusal(add, rows))


LESSON = {
    "messages": [{"role": "user", "content": "Why is it blue?"}, {"role": "assistant", "content": "It scatters."}]
}


def test_a_rejected_answer_is_claimed_by_its_format_and_asked_about_where_few_rows_have_one():
    """ms-swift: 20 pairs; then 15 rows to imitate before 5 pairs, in which nothing else says what is meant."""
    pairs = [{**LESSON, "rejected_response": f"no {i}"} for i in range(20)]
    claimed = recognise(pairs)
    assert (claimed.format, claimed.asked) == ("rejected-beside", ())
    asked = recognise([LESSON] * 15 + pairs[:5])
    assert (asked.format, asked.asked) == ("messages", ("rejected_response",))
    late = refusal(add, [LESSON] * 250 + pairs)
    assert "In row 251 the column `rejected_response` appears for the first time" in str(late)


@pytest.mark.parametrize("column", ["reasoning", "thinking", "chain_of_thought"])
def test_thoughts_beside_an_answer_are_told_as_thoughts_and_not_asked_about(column):
    rows = [{"question": f"q {i}", column: f"I think of the sea, {i}", "answer": f"a {i}"} for i in range(5)]
    about = add(rows, column)
    assert about.notes == {"thoughts in a column of their own were not used": 5}
    assert [one.column for one in about.unused] == [column]


def test_text_below_the_prompt_is_no_third_answer_beside_two_that_are_called_after_models():
    rows = [
        {"prompt": f"q {i}", "document": f"The sky, {i}.", "gpt": f"good {i}", "llama": f"bad {i}", "winner": "gpt"}
        for i in range(5)
    ]
    how = recognise(rows)
    assert (how.format, how.asked) == ("choice-pairs", ())
    made = convert(rows[0], how).rows[0]
    assert made["prompt"][0]["content"] == "q 0\n\nThe sky, 0." and made["chosen"][0]["content"] == "good 0"


def test_models_that_a_choice_names_are_used_and_others_are_not():
    answers = {
        "prompt": "Why?",
        "response_a": "It scatters.",
        "response_b": "No idea.",
        "model_a": "m-1",
        "model_b": "m-2",
    }
    named = add([{**answers, "prompt": f"q {i}", "winner": "m-1"} for i in range(5)], "named")
    assert named.unused == () and "by its model in `model_a` or `model_b`" in named.evidence
    lettered = add([{**answers, "prompt": f"q {i}", "winner": "a"} for i in range(5)], "lettered")
    assert [one.column for one in lettered.unused] == ["model_a", "model_b"]


def test_a_question_with_its_answer_in_columns_has_what_stands_beside_in_its_prompt():
    row = {"human": "And at night?", "assistant": "It is dark.", "context": "The sky.", "history": [["Hi", "Hello"]]}
    how = recognise([row])
    assert (how.format, how.asked) == ("exchanges", ())
    prompt = convert(row, how).rows[0]["prompt"]
    assert [message["content"] for message in prompt] == ["Hi", "Hello", "And at night?\n\nThe sky."]


def test_passages_to_be_found_are_asked_about_also_behind_an_instruction():
    """What embeddings are trained on often says the task in each row."""
    row = {
        "instruction": "Find a passage.",
        "query": "Why is it blue?",
        "positive": "It scatters.",
        "negative": "A sea.",
    }
    how = recognise([row])
    assert ([one.id for one in how.options], how.option) == (["answers"], "")


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"role": "tool", "content": "3"}, "a tool call, or what a tool answered"),
        (
            {"role": "user", "content": [{"type": "image", "url": "a.png"}]},
            "a picture, sound or video inside a message",
        ),
    ],
)
def test_rows_are_left_out_and_not_trained_on_without_earlier_turns_that_hold_more_than_text(turn, reason):
    rows = [pair(i, history=[{"role": "user", "content": "Look."}, turn]) for i in range(5)]
    how = recognise(rows)
    assert how.mapping.history == "history"
    with pytest.raises(LeftOut, match=reason):
        convert(rows[0], how)


def test_a_row_that_is_not_to_be_learned_is_still_gone_on_from():
    """The first row has the weight 0: it is left out, and the second one has its turns in the prompt."""
    rows = [
        {"id": 1, "parent_id": None, "prompt": "Why is it blue?", "completion": "It scatters.", "weight": 0},
        {"id": 2, "parent_id": 1, "prompt": "And at night?", "completion": "It is dark.", "weight": 1},
    ]
    how = recognise(rows)
    (_, first, _), (_, second, _) = gather(enumerate(rows, 1), how)
    with pytest.raises(LeftOut, match="not to be trained on"):
        convert(first, how)
    said = [message["content"] for message in convert(second, how).rows[0]["prompt"]]
    assert said == ["Why is it blue?", "It scatters.", "And at night?"]


def test_a_late_system_message_joins_thumbs_but_for_pairs_which_are_gathered():
    """ "liked" takes a row at a time, "pairs" waits for all rows of a prompt; what a label of harm means was said."""
    rows = [
        {"prompt": f"q {i // 2}", "completion": f"answer {i}", "is_harmful": i % 2} | ({"system": "Be brief."} if i > 280 else {})
        for i in range(300)
    ]  # fmt: skip
    assert "In row 282 the column `system` appears" in str(refusal(add, rows, option="pairs-inverted"))
    about = add(rows, option="liked-inverted")
    assert (about.kept, about.late[0].part) == (150, "system")


THREAD = [
    {"id": "b", "parent_id": "a", "prompt": "And at night?", "completion": "It is dark.", "label": True},
    {"id": "a", "parent_id": None, "prompt": "Why is it blue?", "completion": "It scatters.", "label": True},
    {"id": "c", "parent_id": "b", "prompt": "Always?", "completion": "No.", "label": False},
    {"id": "d", "parent_id": "gone", "prompt": "And now?", "completion": "Hm.", "label": False},
]


@pytest.mark.parametrize("answer", ["thumb", "pair", "score", "choice"])
def test_rows_that_name_the_row_before_have_its_turns_in_their_prompt(answer):
    """Four rows: a, b behind a, c behind b, and one behind a row that is not there; b comes before a."""
    parts = {
        "thumb": lambda row: row,
        "pair": lambda row: {**row, "chosen": row["completion"], "rejected": "?"},
        "score": lambda row: {**row, "responses": ["?", row["completion"]], "scores": [1, 2]},
        "choice": lambda row: {**row, "response_a": row["completion"], "response_b": "?", "winner": "a"},
    }
    drop = () if answer == "thumb" else ("completion", "label")
    rows = [{key: value for key, value in parts[answer](row).items() if key not in drop} for row in THREAD]
    how = recognise(rows)
    assert "`parent_id` names the row (by its `id`) whose turns come before" in how.evidence
    made, lost = {}, {}
    for number, row, _ in gather(enumerate(rows, 1), how):
        try:
            made[number] = [message["content"] for message in convert(row, how).rows[0]["prompt"]]
        except LeftOut as out:
            lost[number] = out.reason
    assert made == {
        1: ["Why is it blue?", "It scatters.", "And at night?"],
        2: ["Why is it blue?"],
        3: ["Why is it blue?", "It scatters.", "And at night?", "It is dark.", "Always?"],
    }
    assert lost == {4: "a message whose parent is missing"}


def test_rows_before_that_are_not_in_the_file_are_asked_about():
    rows = [pair(i, id=i, parent_id=f"post-{i}") for i in range(9)]
    asked = refusal(add, rows)
    assert "The column `parent_id` says which row comes before, such as 'post-0', and none of these is among" in str(
        asked
    )
    assert add(rows, ignore=("parent_id",)).kept == 9


def test_where_rows_are_gathered_a_late_system_message_is_asked_about():
    """Two scored answers to each of 150 questions; the last ones have a system message."""
    rows = [{"prompt": f"question {i // 2}", "response": f"answer {i}", "score": i % 2} for i in range(300)]
    rows[280:] = [{**row, "system": "Be brief."} for row in rows[280:]]
    assert "In row 281 the column `system` appears" in str(refusal(add, rows))
    about = add([{"system": "", **row} for row in rows])
    assert (about.kept, about.late[0].part) == (150, "system")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (7, "`chosen` holds a number"),
        (True, "`chosen` holds true or false"),
        ({"a": 1}, "`chosen` holds an object"),
        ([1, 2], "`chosen` holds a list of numbers"),
        (b"x", "`chosen` holds binary data"),
        ([{"role": "assistant", "content": 3}], "`chosen` holds messages, one of them with a number as its content"),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
            "`chosen` holds messages, one of them with a part that is no text",
        ),
    ],
)
def test_what_is_not_text_is_told_with_its_column(cell, words):
    how = by_hand(Columns(prompt="prompt", chosen="chosen", rejected="rejected"))
    with pytest.raises(LeftOut) as out:
        convert(pair(1) | {"chosen": cell}, how)
    assert out.value.reason == f"not text ({words})"


def test_reasons_hold_no_brackets_which_are_for_what_was_found():
    assert [reason for reason in REASONS if "(" in reason] == []


def test_the_column_to_blame_is_named_and_not_a_number_that_is_an_answer():
    how = by_hand(Columns(prompt="question", completion="answer"))
    assert convert({"question": "How many?", "answer": 7}, how).rows[0]["completion"][0]["content"] == "7"
    with pytest.raises(LeftOut) as out:
        convert({"answer": 7, "question": b"x"}, how)
    assert out.value.reason == "not text (`question` holds binary data)"


def test_reasons_with_what_was_found_belong_to_their_check():
    about = add([*[pair(i) for i in range(9)], pair(9) | {"rejected": 5}])
    assert about.left_out == {"not text (`rejected` holds a number)": 1}
    found = next(one for one in datasets.report("mine").findings if one.check == "unusable")
    assert "1 × not text (`rejected` holds a number)" in found.evidence


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            ["Why is the sky blue?", "Air scatters light.", "It mirrors the sea."],
            "the first line of the table is a row",
        ),
        (["a", "b"], "no format that is known (columns: a, b)"),
    ],
)
def test_a_table_without_a_header_is_told_as_that(columns, words):
    assert words in str(refusal(add, [dict.fromkeys(columns, "x")] * 3))


def test_an_error_that_came_in_the_place_of_rows_is_shown():
    assert "'Access to it is restricted.'" in str(refusal(add, [{"error": "Access to it is restricted."}]))


def file_of(folder, rows):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def in_this_process(request, progress=None):
    """What the child would answer, without the third of a second that it takes to start."""
    return prepare.work(json.loads(json.dumps(request)), lambda event: None)


def test_the_command_line_names_its_flags_and_takes_them(tmp_path, capsys, monkeypatch):
    """Text beside the prompt, columns by other names, and a number that may mean either answer. The first goes through the
    real child, which hands on what is asked."""
    hinted = file_of(tmp_path, HINTED)
    assert main(["import", hinted]) == 1
    assert "--map input=COLUMN (below the prompt)" in capsys.readouterr().err
    monkeypatch.setattr(preparing, "run", in_this_process)
    assert main(["check", hinted]) == 0
    said = capsys.readouterr().out
    assert "not used: `id` holds a number in 20 rows, such as '0'" in said
    assert "an import asks: --map input=hint, --map system=hint or --ignore hint" in said
    assert main(["import", hinted, "--map", "input=hint", "--ignore", "source", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mapping"]["input"] == "hint"
    frage = file_of(tmp_path, [{"frage": f"q {i}", "gut": f"g {i}", "schlecht": "b"} for i in range(5)])
    out = str(tmp_path / "out.jsonl")
    assert main(["convert", frage, out]) == 1
    assert "--map prompt=question --map chosen=good --map rejected=bad" in capsys.readouterr().err
    mapped = ["--map", "prompt=frage", "--map", "chosen=gut", "--map", "rejected=schlecht"]
    assert main(["convert", frage, out, *mapped]) == 0
    unclear = file_of(
        tmp_path, [{"prompt": f"q {i}", "response_a": f"a {i}", "response_b": f"b {i}", "label": 1} for i in range(5)]
    )
    assert main(["convert", unclear, out, "--replace"]) == 1
    said = capsys.readouterr().err
    assert "one-first: 1 means that the first answer is better" in said and "--option ID" in said
    assert main(["convert", unclear, out, "--replace", "--option", "one-first"]) == 0
    assert main(["convert", frage, out, *mapped, "--map", "prompt=gut"]) == 1
    assert "--map names two columns for the prompt: 'frage' and 'gut'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["check", frage, "--map", "answer=gut"])
    assert "'answer=gut' is not PART=COLUMN. The parts are prompt, chosen," in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows makes links for administrators only")
def test_a_link_to_itself_is_told_in_words(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(preparing, "run", in_this_process)
    loop = tmp_path / "loop.jsonl"
    loop.symlink_to(loop)
    for command in (["check", str(loop)], ["import", str(loop)], ["convert", str(loop), str(tmp_path / "out.jsonl")]):
        assert main(command) == 1
        assert "loop.jsonl cannot be opened" in capsys.readouterr().err
