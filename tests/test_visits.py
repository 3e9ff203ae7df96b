"""The demo for visitors of a Space: few questions, short answers, nothing stored."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fake_child import PREAMBLE

from workbench.core.allowance import Allowance
from workbench.core.errors import WorkbenchError
from workbench.jobs import visits as visits_module
from workbench.jobs.app_state import AppState
from workbench.jobs.chat import Chat
from workbench.jobs.visits import LONGEST_QUESTION, Visits

ECHO = (
    PREAMBLE
    + """
say(event="ready", facts={"device": "CPU", "title": "demo", "parameters": 1, "precision": "nf4"})
while (request := asked.get()) is not None:
    for lane, one in enumerate(request["lanes"]):
        words = f"{one['messages'][-1]['content']} {request['sampling']['max_new_tokens']} {one['adapter'] is not None}"
        say(event="part", lane=lane, text=words, tokens=1, first_token=0.1, per_second=1.0, ended="end")
    say(event="done", result={"verified": True})
"""
)


@pytest.fixture
def visits() -> Iterator[Visits]:
    one = Visits(Chat([sys.executable, "-c", ECHO]))
    yield one
    one.close()


def last(visits: Visits, session: str, question: str) -> Any:
    *_, answers = visits.ask(session, question)
    return answers


def test_a_visitor_asks_the_demo_model_for_short_answers_and_nothing_is_stored(visits, home):
    base, trained = last(visits, "a", " What is rain? ")
    assert base.text == "What is rain? 64 False" and trained is None
    assert not any((home / name).exists() for name in ("conversations", "choices.json", "votes.jsonl"))


def test_questions_are_limited_in_number_length_and_time(visits, monkeypatch):
    for _ in range(5):
        last(visits, "a", "hi")
    with pytest.raises(
        WorkbenchError, match="Visitors ask 5 questions a minute, and 30 all together. Ask again in (5|6)\\d"
    ):
        last(visits, "a", "hi")
    assert last(visits, "b", "hi")[0].text.startswith("hi")
    for question, words in (
        ("", "no question"),
        ("x" * (LONGEST_QUESTION + 1), "at most 300"),
        ("a\ud800", "half a character"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            last(visits, "c", question)
    first = visits.ask("c", "hi")
    next(first)
    with pytest.raises(WorkbenchError, match="Another visitor's question"):
        last(visits, "d", "hi")
    first.close()
    assert last(visits, "d", "hi")
    stopped = []
    monkeypatch.setattr(visits_module, "LONGEST_WAIT", -1.0)
    monkeypatch.setattr(visits.chat, "stop", lambda: stopped.append(True))
    assert last(visits, "e", "hi") and stopped


def test_who_makes_up_sessions_meets_the_allowance_of_all():
    """Two each, three in all, in 60 seconds: a asks at 0 and 1, then has to wait until 60; b asks at 2; c until 60."""
    allowance = Allowance(each=2, all=3)
    assert [allowance.take(who, at) for who, at in (("a", 0.0), ("a", 1.0), ("a", 2.0), ("b", 2.0), ("c", 3.0))] == [
        0,
        0,
        58,
        0,
        57,
    ]
    assert allowance.take("c", 60.0) == 0


def test_the_visitors_model_leaves_the_card_and_the_owners_chat_alone():
    app = AppState()
    assert app.visits.chat is not app.chat
    assert app.visits.chat._environment == {"CUDA_VISIBLE_DEVICES": ""}
