"""Ratings of other programs whose parts are missing or are something else: left out in words, never a crash."""

import copy
import json
from pathlib import Path

import pytest
from damage import WRONG, every_place, replaced

from workbench.core.data.formats import ReadOptions, convert, gather, recognise
from workbench.core.data.messages import LeftOut

FOLDER = Path(__file__).parent / "formats"
RATED = json.loads((FOLDER / "open_webui_feedback.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("option", ["thumbs", "pairs", "liked"])
def test_a_rating_with_anything_in_any_place_is_read_or_left_out(option):
    how = recognise(RATED, ReadOptions(option=option))
    assert how.format == "open-webui-feedback"
    tried = 0
    for path in list(every_place(RATED[0]))[1:]:
        for wrong in WRONG:
            tried += 1
            for _, row, count in gather([(1, replaced(RATED[0], path, wrong))], how):
                assert count == 1
                try:
                    made = convert(row, how)
                except LeftOut:
                    continue
                assert made.rows and all(message["content"] for row in made.rows for message in row["prompt"])
    assert tried > 500


def test_a_chat_whose_messages_are_each_others_parents_ends():
    row = copy.deepcopy(RATED[0])
    said = row["snapshot"]["chat"]["chat"]["history"]["messages"]
    said["m0"]["parentId"] = "a0"
    how = recognise(RATED, ReadOptions(option="thumbs"))
    assert convert(row, how).rows[0]["prompt"][-1]["content"] == said["m0"]["content"]
