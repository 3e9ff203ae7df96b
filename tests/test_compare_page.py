"""What the Compare page does with a question before any model hears it."""

import pytest

from workbench.core.errors import WorkbenchError
from workbench.jobs.app_state import AppState
from workbench.ui.compare_tab import Talk, converse


@pytest.mark.parametrize(
    ("question", "system", "what"),
    [("Hi \ud83d", "", r"question .*\\ud83d"), ("Hi", "\ude00", r"system prompt .*\\ude00")],
)
def test_half_a_character_is_refused_in_words_before_a_model_is_loaded(question, system, what):
    app = AppState()
    with pytest.raises(WorkbenchError, match=f"The {what}"):
        next(converse(app, Talk(), question, "", "", system, {}))
    assert app.chat.state == "closed"
