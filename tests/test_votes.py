"""Votes are lines that stay, and become rows that the format "votes" reads."""

from pathlib import Path

import pytest

from workbench.core.errors import WorkbenchError
from workbench.store import votes
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
    assert [row for _, row in votes.rows()] == rows
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
