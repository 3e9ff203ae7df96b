"""A row's tokens as HTML: every token is there once, with its kind, and text stays text."""

import re

from workbench.core.data.token_counts import TokenLane, TokenPiece, View
from workbench.ui.token_view import view_html


def lane(part, *pieces, prompt=2, trained=2, cut=0, stops=True):
    return TokenLane(part=part, pieces=pieces, prompt=prompt, trained=trained, cut=cut, stops=stops)


BEGIN = TokenPiece(text="<s>", kind="prompt", special=True)
ASKED = TokenPiece(text="Hello", kind="prompt")
SAID = TokenPiece(text=" you", kind="trained")
END = TokenPiece(text="</s>", kind="trained", special=True)
LOST = TokenPiece(text=" there", kind="cut")


def classes(html, text):
    """Of the element that holds exactly this text."""
    found = re.search(rf'<span class="([^"]*)"[^>]*>{re.escape(text)}</span>', html)
    assert found, html
    return found[1].split()


def test_prompt_trained_special_and_cut_are_told_apart():
    html = view_html(View(lanes=(lane("chosen", BEGIN, ASKED, SAID, LOST, cut=1, stops=False),), max_length=1024))
    assert classes(html, "&lt;s&gt;") == ["wb-token", "wb-token-prompt", "wb-token-special"]
    assert classes(html, "Hello") == ["wb-token", "wb-token-prompt"]
    assert classes(html, " you") == ["wb-token", "wb-token-trained"]
    assert classes(html, " there") == ["wb-token", "wb-token-cut"]


def test_the_title_counts_the_tokens():
    row = View(
        lanes=(lane("chosen", SAID, prompt=1212, trained=87), lane("rejected", SAID, prompt=1212, trained=9, cut=3)),
        max_length=1024,
    )
    assert "prompt 1,212 · chosen 87 trained</h4>" in view_html(row)
    assert "prompt 1,212 · rejected 9 trained · 3 cut</h4>" in view_html(row)
    alone = View(lanes=(lane("chosen", SAID),), max_length=1024)
    assert "prompt 2 · answer 2 trained</h4>" in view_html(alone)


def test_where_it_is_cut_is_said_once():
    html = view_html(View(lanes=(lane("chosen", SAID, LOST, LOST, cut=2, stops=False),), max_length=1024))
    assert html.count("cut at 1,024 tokens") == 1
    assert html.index(" you") < html.index("cut at 1,024 tokens") < html.index(" there")
    assert "The end of the answer is cut off" in html


def test_an_answer_without_an_end_token_is_said():
    html = view_html(View(lanes=(lane("chosen", SAID, stops=False),), max_length=1024))
    assert "does not end in a token that the model stops at" in html


def test_the_prompt_is_shown_once():
    gap = TokenPiece(text="", kind="skipped", tokens=800)
    later = TokenPiece(text="", kind="skipped", tokens=31)
    row = View(
        lanes=(
            lane("chosen", BEGIN, gap, ASKED, SAID, END, prompt=802),
            lane("rejected", BEGIN, gap, ASKED, SAID, later, END, prompt=802),
        ),
        max_length=1024,
    )
    html = view_html(row)
    assert html.count("Hello") == 1
    assert html.count("… 800 more tokens …") == 1
    assert html.count("… the same prompt, 802 tokens …") == 1
    assert html.count("… 31 more tokens …") == 1


def test_a_row_that_is_left_out_is_said_with_the_way_out():
    row = View(lanes=(lane("chosen", ASKED, LOST, trained=0, cut=5, stops=False),), max_length=16)
    html = view_html(row)
    assert "This row is left out of training" in html
    assert "Its prompt alone fills 16 tokens" in html
    assert "learn here" not in html


def test_hostile_text_is_shown_as_text():
    hostile = "<img src=x onerror=alert(1)>\"'\0\ud800"
    pieces = (TokenPiece(text=hostile, kind="trained"), TokenPiece(text=hostile, kind="cut", special=True))
    html = view_html(View(lanes=(lane("chosen", *pieces),), max_length=4))
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") == 2
    html.encode()


def test_line_breaks_can_be_seen_and_parts_of_a_character_are_told():
    html = view_html(
        View(lanes=(lane("chosen", TokenPiece(text="\n\n", kind="trained"), TokenPiece(text="😀", kind="trained", tokens=4)),), max_length=9)
    )  # fmt: skip
    assert "↵\n↵\n</span>" in html
    assert 'title="4 tokens make this up">😀' in html
