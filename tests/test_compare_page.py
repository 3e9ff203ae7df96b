"""What the Compare page does with a question before any model hears it."""

import sys

import gradio as gr
import pytest
from made_runs import finished
from test_chat import FAKE

from workbench.core.chat import Talk
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs.app_state import AppState
from workbench.jobs.chat import Chat
from workbench.jobs.lanes import SUGGESTED, suggested_questions
from workbench.store import choices, datasets
from workbench.ui.compare.chat_view import Suggestions
from workbench.ui.compare.compare_tab import CompareTab


@pytest.mark.parametrize(
    ("question", "system", "what"),
    [("Hi \ud83d", "", r"question .*\\ud83d"), ("Hi", "\ude00", r"system prompt .*\\ude00")],
)
def test_half_a_character_is_refused_in_words_before_a_model_is_loaded(question, system, what):
    app = AppState()
    with gr.Blocks():
        tab = CompareTab()
    with pytest.raises(WorkbenchError, match=f"The {what}"):
        next(tab.chat.converse(tab.who, app, Talk(system=system), question))
    assert app.chat.state == "closed"


def test_a_question_loads_the_model_and_both_lanes_show_their_answers():
    app = AppState()
    app.chat = Chat([sys.executable, "-c", FAKE])
    with gr.Blocks():
        tab = CompareTab()
    try:
        first, *_, last = tab.chat.converse(tab.who, app, Talk(sampling={"max_new_tokens": 2}), "hello")
    finally:
        app.close()
    assert not any(first[button]["interactive"] for button in tab.chat.votes.votes.values()), "on which answers?"
    for side, text in (("left", "hello0 hello0"), ("right", "hello1 hello1")):
        assert text in str(last[tab.chat.lanes.said[side]])
    assert last[tab.chat.talk].turns[0].answers.right.ended == "limit" and last[tab.chat.talk].verified


def test_questions_to_begin_with_suit_the_model_that_answers():
    """The demo model's are its own; for any other model they are held-out prompts of what the run learned."""
    other = ModelRef(source="hub", name="owner/other")
    finished("ours")
    finished("theirs", model=other)
    title, ours = suggested_questions("", "ours")
    assert "demo model" in title and "What is a baby dog called?" in ours
    title, theirs = suggested_questions("", "theirs")
    assert title == f"Held-out prompts of {datasets.about('demo-preferences').title}"
    held_out = {row["prompt"][-1]["content"] for row in datasets.read("demo-preferences", "held_out")}
    assert theirs and set(theirs) <= held_out and len(set(theirs)) == len(theirs)
    assert suggested_questions("ours", "theirs") == ("", []), "no question suits two base models"
    choices.update(model=other)
    assert suggested_questions("", "") == ("", [])


def test_no_questions_are_offered_where_none_suit():
    with gr.Blocks():
        view = Suggestions()
    shown = view.updates("", "")
    assert [one["visible"] for one in shown.values()] == [True] * (1 + SUGGESTED)
    choices.update(model=ModelRef(source="hub", name="owner/other"))
    assert not any(one["visible"] for one in view.updates("", "").values())
