"""Votes are lines that stay, and become rows that the format "votes" reads."""

import json
import shutil
from pathlib import Path

import pytest
from old_home import OLD_HOME

from workbench.core.chat import Answerer
from workbench.core.data.formats import ReadOptions, convert, recognise
from workbench.core.data.messages import LeftOut
from workbench.core.errors import WorkbenchError
from workbench.store import datasets, votes
from workbench.store.votes import Vote

ASKED = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))


def vote(choice, left="It scatters light.", right="No idea."):
    return Vote(prompt=ASKED, left=left, right=right, vote=choice, left_model="", right_model="demo", base="demo")


def test_without_a_vote_there_are_no_rows():
    assert list(votes.rows()) == []


def test_a_vote_is_written_down_and_read_as_a_row():
    assert votes.add(vote("left")) == 1
    assert votes.add(vote("tie", right="It is blue.")) == 2
    rows = [
        {"prompt": ASKED, "left": "It scatters light.", "right": "No idea.", "vote": "left"},
        {"prompt": ASKED, "left": "It scatters light.", "right": "It is blue.", "vote": "tie"},
    ]
    stored = [dict(row) for _, row in votes.rows()]
    assert all(row.pop("provenance")["right"]["name"] == "demo" for row in stored)
    assert stored == rows
    assert votes.all_votes()[0].time.endswith("+00:00")


def test_a_disk_that_is_full_is_told_and_the_next_vote_is_whole(tmp_path, monkeypatch):
    """Half of the line is on the disk."""
    votes.add(vote("left"))
    with open(votes.path(), "ab") as file:
        file.write(b'{"prompt": [{"role": "us')
    with monkeypatch.context() as full:
        full.setattr("workbench.store.votes.path", lambda: Path("/dev/full"))
        with pytest.raises(WorkbenchError, match="The vote could not be stored .* The disk is full: make room on it."):
            votes.add(vote("right"))
    assert votes.add(vote("tie", right="It is blue.")) == 2


def test_of_two_votes_on_the_same_answers_the_later_one_holds():
    votes.add(vote("left"))
    assert votes.add(vote("right")) == 1
    assert [one.vote for one in votes.all_votes()] == ["right"]


def test_a_half_written_line_loses_no_other_vote():
    votes.add(vote("left"))
    with open(votes.path(), "a", encoding="utf-8") as file:
        file.write('{"prompt": [{"ro')
    votes.add(vote("both_bad", right="Hm."))
    assert [one.vote for one in votes.all_votes()] == ["left", "both_bad"]


@pytest.mark.parametrize(
    "odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\0", "\r", "\ufeff", "\u202e", "\U0001f600"]
)
def test_a_vote_on_answers_with_odd_characters_is_kept(odd):
    """Some of them end a line of text, and none of them a line of the file."""
    assert votes.add(vote("left", left=f"It{odd}scatters.", right=f"No{odd}idea.")) == 1
    assert [(one.left, one.right) for one in votes.all_votes()] == [(f"It{odd}scatters.", f"No{odd}idea.")]


def test_bytes_that_are_no_text_lose_no_other_vote():
    votes.add(vote("left"))
    with open(votes.path(), "ab") as file:
        file.write(b'{"prompt": "\xff\xfe"}\n')
    assert votes.add(vote("tie", right="It is blue.")) == 2


def test_a_vote_that_is_taken_back_is_a_line_more_and_what_it_replaced_holds_again():
    votes.add(vote("left"))
    votes.add(vote("right"))
    before = votes.path().read_bytes()
    votes.undo(votes.all_votes()[0].id)
    assert [one.vote for one in votes.all_votes()] == ["left"]
    assert votes.path().read_bytes().startswith(before) and len(votes.path().read_bytes().splitlines()) == 3
    assert votes.unreadable() == 0
    votes.undo(votes.all_votes()[0].id)
    assert votes.all_votes() == []
    with pytest.raises(WorkbenchError, match="no such vote to take back"):
        votes.undo("never given")


def test_a_vote_that_is_sent_again_counts_once_also_after_it_was_taken_back():
    given = vote("left").model_copy(update={"id": "a"})
    assert (votes.add(given), votes.add(given)) == (1, 1)
    votes.undo("a")
    assert votes.add(given) == 0


def test_votes_of_earlier_versions_are_read_and_become_rows():
    shutil.copy(OLD_HOME / "votes.jsonl", votes.path())
    with open(votes.path(), "a", encoding="utf-8") as file:
        # Before 0.1.0 a vote had neither sampling nor time.
        row = {"prompt": ASKED, "left": "a", "right": "b", "vote": "both_bad"}
        file.write(json.dumps(row | {"left_model": "", "right_model": "first", "base": "demo"}) + "\n")
    old, older = votes.all_votes()
    assert votes.unreadable() == 0
    assert (old.answerer("left"), old.answerer("right")) == (Answerer("first"), Answerer())
    assert (old.words("left"), old.words("right"), old.purpose, older.time) == (1, 4, None, "")
    assert [row["vote"] for _, row in votes.rows()] == ["left", "both_bad"]
    assert all("provenance" not in row for _, row in votes.rows())


def in_sitting(choice, purpose="teach", sitting="s", **more):
    return vote(choice, **more).model_copy(update={"sitting": sitting, "purpose": purpose, "match": 0})


def test_each_sitting_asks_anew_and_a_dataset_takes_the_last_vote_on_the_same_answers():
    votes.add(in_sitting("left", sitting="one"))
    votes.add(in_sitting("right", sitting="two"))
    swapped = in_sitting("tie", sitting="three", left="No idea.", right="It scatters light.")
    votes.add(swapped)
    assert [one.vote for one in votes.all_votes()] == ["left", "right", "tie"]
    assert [one.vote for one in votes.of_sitting("two")] == ["right"]
    assert [row["vote"] for _, row in votes.rows()] == ["tie"]
    assert [row["vote"] for _, row in votes.rows(sitting="one")] == ["left"]


def test_what_is_measured_with_is_not_trained_on_unless_asked_for():
    votes.add(in_sitting("left", "measure"))
    assert list(votes.rows()) == []
    assert len(list(votes.rows(measured=True))) == 1


def test_thoughts_are_no_part_of_a_row():
    votes.add(vote("left", left="<think>Blue?</think>It scatters light."))
    assert [row["left"] for _, row in votes.rows()] == ["It scatters light."]


LIGHT, NONE, OWN = "It scatters light.", "No idea.", "Air scatters blue light most."


def rows_of(given, option):
    """(chosen, rejected) or (answer, label) of every canonical row; the reason where there is none."""
    votes.add(given)
    raw = [row for _, row in votes.rows()]
    try:
        made = convert(raw[0], recognise(raw, ReadOptions(option=option))).rows
    except LeftOut as out:
        return out.reason
    if option == "pairs":
        return [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in made]
    return [(row["completion"][0]["content"], row["label"]) for row in made]


@pytest.mark.parametrize(
    ("choice", "ideal", "pairs", "thumbs"),
    [
        ("left", "", [(LIGHT, NONE)], [(LIGHT, True), (NONE, False)]),
        ("right", "", [(NONE, LIGHT)], [(LIGHT, False), (NONE, True)]),
        ("tie", "", "neither answer was preferred", "neither answer was preferred"),
        ("both_bad", "", "neither answer was preferred", [(LIGHT, False), (NONE, False)]),
        ("left", OWN, [(OWN, LIGHT), (OWN, NONE), (LIGHT, NONE)], [(OWN, True), (LIGHT, True), (NONE, False)]),
        ("tie", OWN, [(OWN, LIGHT), (OWN, NONE)], [(OWN, True)]),
        ("both_bad", OWN, [(OWN, LIGHT), (OWN, NONE)], [(OWN, True), (LIGHT, False), (NONE, False)]),
        ("both_bad", NONE, [(NONE, LIGHT)], [(NONE, True), (LIGHT, False), (NONE, False)]),
    ],
)
def test_what_rows_a_vote_becomes(choice, ideal, pairs, thumbs):
    given = vote(choice).model_copy(update={"ideal": ideal})
    assert rows_of(given, "pairs") == pairs
    assert rows_of(given, "thumbs") == thumbs


def a_few_votes():
    """Pairs and thumbs of every kind, from a sitting."""
    for number, choice in enumerate(("left", "right", "both_bad", "left", "tie", "right")):
        given = in_sitting(choice).model_copy(
            update={
                "prompt": [{"role": "user", "content": f"Question {number}?"}],
                "left_by": Answerer("one@dpo-3"), "right_by": Answerer(), "left_model": "one",
                "right_model": "", "left_seed": number, "right_seed": 90, "right_base": "other/model", "sampling": {"temperature": 0.7}, "match": number,
                "ideal": OWN if number == 3 else "",
            }
        )  # fmt: skip
        votes.add(given)


def test_every_row_of_a_dataset_says_where_it_is_from():
    a_few_votes()
    datasets.add(votes.rows(), "round-2", source=datasets.Provenance("votes"))
    rows = [*datasets.read("round-2", "train", extras=True), *datasets.read("round-2", "held_out", extras=True)]
    told = [json.loads(row["provenance"]) for row in rows]
    assert len(told) == 6 and all(one["sitting"] == "s" and one["time"] and one["id"] for one in told)
    assert sorted(one["side"] for one in told) == ["ideal", "ideal", "left", "left", "right", "right"]
    for row, one in zip(rows, told, strict=True):
        seed = int(row["prompt"][0]["content"].split()[1].rstrip("?"))
        mine = {"name": "one@dpo-3", "strength": 1.0, "base": "demo", "seed": seed}
        other = {**mine, "name": "", "base": "other/model", "seed": 90}
        assert one["sampling"] == {"temperature": 0.7}
        assert one["chosen"] == {"left": mine, "right": other, "ideal": "the voter"}[one["side"]]
        assert one["rejected"] == (mine if row["rejected"][0]["content"] == LIGHT else other)
    assert "provenance" not in datasets.read("round-2", "train")[0]
    datasets.copy("round-2", "again")
    kept = datasets.read("again", "train", extras=True)
    assert kept == datasets.read("round-2", "train", extras=True)


@pytest.mark.parametrize(
    ("option", "columns"), [("pairs", {"prompt", "chosen", "rejected"}), ("thumbs", {"prompt", "completion", "label"})]
)
def test_rows_of_votes_load_in_trl(option, columns):
    """As TRL's trainers read them: conversational, with every text in the rendered form."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl.data_utils import apply_chat_template, is_conversational

    a_few_votes()
    datasets.add(votes.rows(), "round-2", source=datasets.Provenance("votes"), options=ReadOptions(option=option))
    rows = Dataset.from_list([*datasets.read("round-2", "train"), *datasets.read("round-2", "held_out")])
    assert set(rows.column_names) == columns and len(rows) == {"pairs": 6, "thumbs": 11}[option]
    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parent.parent / "assets" / "demo" / "model")
    for row in rows:
        assert is_conversational(row)
        rendered = apply_chat_template(row, tokenizer)
        for part in columns - {"label"}:
            assert row[part][-1]["content"] in rendered[part]
