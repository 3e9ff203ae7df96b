"""The chat's child process, pretended: loading, both streams, stop, a model that is gone."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_child import PREAMBLE

from workbench.core.chat import Ask, Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs.chat import Chat

# Loads at once; answers a question word by word in both lanes, until it is asked to stop.
FAKE = (
    PREAMBLE
    + """
say(event="progress", fraction=0, text="loading")
if json.loads(sys.argv[1])["model"]["name"] == "broken":
    say(event="error", problems=["There is no such model."]); sys.exit(1)
say(event="ready", facts={"device": "CPU", "title": "fake", "parameters": 1, "precision": "nf4"})
while (request := asked.get()) is not None:
    stop.clear()
    words = request["lanes"][0]["messages"][-1]["content"].split()
    if words == ["crash"]: sys.exit(9)
    if words == ["trouble"]: say(event="error", problems=["Out of memory."]); continue
    n = 0
    while n < request["sampling"]["max_new_tokens"] and not stop.is_set():
        n += 1
        for lane in (0, 1):
            say(event="part", lane=lane, text=f"{words[0]}{lane} ", tokens=n, first_token=0.1, per_second=10.0, ended="")
        time.sleep(0.01)
    for lane in (0, 1):
        say(event="part", lane=lane, text="", tokens=n, first_token=0.1, per_second=10.0, ended="stopped" if stop.is_set() else "limit")
    say(event="done", result={"verified": True})
"""
)


@pytest.fixture
def chat():
    one = Chat([sys.executable, "-c", FAKE])
    yield one
    one.close()


def question(text):
    return Ask([{"role": "user", "content": text}])


def ask(chat, text, tokens=3):
    return chat.ask(question(text), question(text), Sampling(max_new_tokens=tokens))


def test_both_lanes_stream_and_end(chat):
    chat.start(ModelRef())
    chat.wait(10)
    *_, last = ask(chat, "hi")
    assert (last.left.text, last.right.text) == ("hi0 hi0 hi0 ", "hi1 hi1 hi1 ")
    assert (last.left.tokens, last.left.ended, last.verified) == (3, "limit", True)


def test_a_stop_keeps_what_was_said_and_the_next_question_is_answered(chat):
    chat.start(ModelRef())
    chat.wait(10)
    answers = ask(chat, "long", 4000)
    next(answers)
    chat.stop()
    *_, last = answers
    assert last.left.ended == "stopped" and 0 < last.left.tokens < 4000
    *_, after = ask(chat, "next", 1)
    assert after.left.text == "next0 "


def test_a_closed_tab_leaves_nothing_on_the_line(chat):
    chat.start(ModelRef())
    chat.wait(10)
    left_alone = ask(chat, "old", 4000)
    next(left_alone)
    left_alone.close()
    *_, last = ask(chat, "new", 1)
    assert last.left.text == "new0 "


def test_a_second_question_at_the_same_time_is_told_to_wait(chat):
    chat.start(ModelRef())
    chat.wait(10)
    first = ask(chat, "one", 4000)
    next(first)
    with pytest.raises(WorkbenchError, match="Another question is being answered"):
        next(ask(chat, "two"))
    first.close()


def test_of_twenty_questions_from_three_tabs_each_is_answered_with_its_own_answer_or_told_to_wait(chat):
    """The tabs ask at once and again until they are answered: 7, 7 and 6 questions, of which no word lands in another's."""
    chat.start(ModelRef())
    chat.wait(10)
    answered, told = [], []

    def tab(questions):
        for number in questions:
            while True:
                try:
                    *_, last = ask(chat, f"q{number}", 2)
                except WorkbenchError as error:
                    told.append(str(error))
                    time.sleep(0.005)
                    continue
                answered.append((number, last.left.text, last.right.text, last.verified))
                break

    tabs = [threading.Thread(target=tab, args=(range(first, 20, 3),)) for first in range(3)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join(30)
    assert sorted(answered) == [(n, f"q{n}0 q{n}0 ", f"q{n}1 q{n}1 ", True) for n in range(20)]
    assert told and set(told) == {"Another question is being answered. Wait for it, or stop it."}


def test_a_model_that_cannot_be_loaded_says_why(chat):
    chat.start(ModelRef(source="folder", name="broken"))
    with pytest.raises(WorkbenchError, match="There is no such model"):
        chat.wait(10)
    assert chat.state == "failed"
    with pytest.raises(WorkbenchError, match="There is no such model"):
        next(ask(chat, "hi"))


def test_trouble_with_one_question_leaves_the_model_loaded(chat):
    chat.start(ModelRef())
    chat.wait(10)
    with pytest.raises(WorkbenchError, match="Out of memory"):
        list(ask(chat, "trouble"))
    *_, last = ask(chat, "again", 1)
    assert last.left.text == "again0 "


def test_a_child_that_dies_is_said_in_words(chat):
    chat.start(ModelRef())
    chat.wait(10)
    with pytest.raises(WorkbenchError, match="process ended unexpectedly"):
        list(ask(chat, "crash"))
    assert chat.state == "failed"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems choose by themselves which process to end")
def test_a_loaded_model_is_ended_before_the_window_where_memory_runs_out(chat):
    chat.start(ModelRef())
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (chat.pid, os.getpid())]
    assert scores[0] == 500 > scores[1]


def test_nothing_is_asked_of_a_chat_that_was_closed_to_make_room(chat):
    chat.start(ModelRef())
    chat.wait(10)
    chat.close("The model was closed to make room: a-run trains on the card.")
    with pytest.raises(WorkbenchError, match="closed to make room"):
        next(ask(chat, "hi"))


def test_a_question_in_flight_learns_that_the_model_was_closed(chat):
    chat.start(ModelRef())
    chat.wait(10)
    answers = ask(chat, "long", 4000)
    next(answers)
    chat.close("The model was closed to make room: a-run trains on the card.")
    with pytest.raises(WorkbenchError, match="closed to make room"):
        list(answers)
