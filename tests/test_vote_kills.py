"""A process that votes is killed again and again: each vote that was acknowledged is there, and there once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from workbench.store import votes

VOTER = """
import sys
from workbench.store import votes
from workbench.store.votes import Vote
who, number = sys.argv[1], int(sys.argv[2])
for number in range(number, number + int(sys.argv[3])):
    id = f"{who}-{number}"
    answer = "An answer of some length. " * 400
    votes.add(Vote(prompt=[{"role": "user", "content": id}], left=answer, right="b", vote="left", left_model="",
                   right_model="a", base="m", id=id, sitting="s", purpose="teach", match=number))
    print(number, flush=True)
"""


def voter(who: str, first: int, many: int = 10**6) -> subprocess.Popen:
    command = [sys.executable, "-c", VOTER, who, str(first), str(many)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})


def acknowledged(process: subprocess.Popen) -> list[int]:
    # What a kill broke off is no acknowledgement.
    return [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]


def kill_and_go_on(kills: int) -> None:
    """The vote that was on its way is sent again, as a page does that got no answer."""
    dice, known = random.Random(7), []
    for _ in range(kills):
        process = voter("a", len(known))
        first = process.stdout.readline()
        time.sleep(dice.random() * 0.05)
        os.kill(process.pid, signal.SIGKILL)
        known += [int(first), *acknowledged(process)]
        process.wait()
        process.stdout.close()
    assert known == list(range(len(known))) and len(known) >= kills
    stored = Counter(vote.id for vote in votes.all_votes())
    assert all(stored[f"a-{number}"] == 1 for number in known)
    assert set(stored) - {f"a-{number}" for number in known} <= {f"a-{len(known)}"}, (
        "one more may be there, unacknowledged"
    )
    whole = Counter()
    for line in votes.path().read_bytes().splitlines():
        try:
            whole[json.loads(line)["id"]] += 1
        except ValueError:
            continue  # broken off by a kill
    assert set(whole.values()) == {1}


def test_six_kills_while_voting_lose_and_double_nothing():
    kill_and_go_on(6)


@pytest.mark.slow
def test_sixty_kills_while_voting_lose_and_double_nothing():
    kill_and_go_on(60)


def test_several_processes_vote_at_once():
    processes = [voter(who, 0, 20) for who in "abc"]
    for process in processes:
        assert acknowledged(process) == list(range(20))
        process.wait()
        process.stdout.close()
    assert Counter(vote.id for vote in votes.all_votes()) == Counter(
        f"{who}-{number}" for who in "abc" for number in range(20)
    )
    assert votes.unreadable() == 0
