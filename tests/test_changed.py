"""What alignment changed of two answers: which are scored with which adapter, and how tokens and numbers are shown."""

import re

import pytest
from test_parts import HOSTILE, Reader

from workbench.core.chat import BASE, Answer, Answerer, Answers, Score, Talk, TokenScore, Turn
from workbench.ui import parts
from workbench.ui.compare.changed import NOTHING, pieces_of, reading_html, scored_html, to_score, without_its_thoughts
from workbench.ui.compare.talk import messages_of

KIND = Answerer("kind", 0.5)


def talk(left=BASE, right=KIND, left_answer="A puppy.", right_answer="It is a puppy."):
    answers = Answers(Answer(left_answer, 3, ended="end"), Answer(right_answer, 5, ended="stopped"))
    earlier = Turn("Hi?", Answers(Answer("Yes.", ended="end"), Answer("Hello.", ended="end")))
    return Talk((earlier, Turn("And a baby dog?", answers)), left, right, system="Be kind.")


def tokens(*pairs, base=-2.0):
    return [TokenScore(text, base + ratio, base) for text, ratio in pairs]


def test_each_answer_is_scored_with_its_own_adapter_and_that_of_a_base_lane_with_the_other_one():
    asked = to_score(talk())
    assert [asked[side].answerer for side in ("left", "right")] == [KIND, KIND]
    assert [(asked[side].answer, asked[side].ended) for side in asked] == [
        ("A puppy.", True),
        ("It is a puppy.", False),
    ]
    contents = [message["content"] for message in asked["left"].messages]
    assert contents == ["Be kind.", "Hi?", "Yes.", "And a baby dog?"]
    other = Answerer("blunt")
    assert [one.answerer for one in to_score(talk(other, KIND)).values()] == [other, KIND]
    off = to_score(talk(other, Answerer("kind", 0.0)))
    assert [one.answerer for one in off.values()] == [other, other], "at strength 0 an adapter changes nothing"


def test_nothing_is_scored_of_two_base_lanes_and_of_an_empty_answer():
    assert to_score(talk(BASE, BASE)) == {} == to_score(Talk(right=KIND))
    assert NOTHING in reading_html(talk(BASE, BASE)) and "wb-raised" in reading_html(talk())
    assert list(to_score(talk(left_answer=""))) == ["right"]
    assert messages_of(Talk(), "left", "x") == [{"role": "user", "content": "x"}]


def test_tokens_of_one_character_are_one_piece_with_the_sum_of_their_numbers():
    """A heart of three tokens: .5 - .25 + 1 = 1.25."""
    found = pieces_of(tokens((" I", 0.25), ("", 0.5), ("", -0.25), ("♥", 1.0), ("", 2.0)))
    assert [(one.text, one.ratio, one.tokens) for one in found] == [(" I", 0.25, 1), ("♥", 1.25, 3), ("\ufffd", 2.0, 1)]


def test_the_number_of_a_token_can_be_read_without_colour_and_words_of_one_answer_alone_are_marked():
    scores = {
        "left": Score(tokens(("A", -0.05), (" pup", 1.5), ("py.", 0.5)), 0.1),
        "right": Score([*tokens(("It", -1.0), (" is", -6.0), (" a", 0.0), (" pup", 1.5), ("py.", 0.5)), TokenScore("</s>", 0, 0, True)]),
    }  # fmt: skip
    left, right = (scored_html(talk(), scores)[side] for side in ("left", "right"))
    spans = re.findall(r'<span class="([^"]*)" style="--wb-depth:(\d+)%" title="([^"]*)">([^<]*)</span>', right)
    assert spans == [
        ("wb-scored wb-lowered wb-differs", "33", "−1.00 nats", "It"),
        ("wb-scored wb-lowered wb-differs", "100", "−6.00 nats", " is"),
        ("wb-scored wb-differs", "0", "+0.00 nats", " a"),
        ("wb-scored wb-raised", "50", "+1.50 nats", " pup"),
        ("wb-scored wb-raised", "17", "+0.50 nats", "py."),
        ("wb-scored wb-token-special", "0", "+0.00 nats", "&lt;/s&gt;"),
    ]
    assert "log ratio of the whole answer with kind × 0.5: +1.95 nats" in left
    assert "β · log ratio = 0.1 · +1.95 = +0.20" in left, "0.195, rounded"
    assert "implicit reward: not defined" in right and "“is” −6.00" in right


def spans_of(html):
    return re.findall(r'<span class="wb-scored[^"]*"[^>]*>([^<]*)</span>', html)


def test_thoughts_are_folded_and_no_number_but_the_reward_is_of_them():
    """Thoughts: -1 - 2 = -3; the answer with its end: 0.5 + 0.75 + 0.25 = 1.5; the reward of both: 0.1 * (1.5 - 3) = -0.15."""
    thought = tokens(("<think>", 0.0), ("Dogs?", -1.0), ("</think>", -2.0), ("\n\n", 0.0))
    score = Score([*thought, *tokens(("A", 0.5), (" pup.", 0.75)), TokenScore("</s>", -1.75, -2, True)], 0.1)
    plain = Score(tokens(("A", 0.5), (" pup.", 0.5)), 0.1)
    found = scored_html(talk(right=Answerer("kind")), {"left": score, "right": plain})
    fold, rest = found["left"].split("</details>")
    assert fold.startswith('<details class="wb-thoughts"><summary>Thoughts</summary>')
    assert spans_of(fold) == ["&lt;think&gt;", "Dogs?", "&lt;/think&gt;", "\n\n"]
    assert spans_of(rest) == ["A", " pup.", "&lt;/s&gt;"]
    assert "log ratio of the answer without its thoughts with kind: +1.50 nats" in rest
    assert "= 0.1 · −1.50 = −0.15, thoughts included" in rest
    assert "“pup.” +0.75" in rest and "Dogs" not in rest, "what changed most is of the answer"
    assert "wb-differs" not in found["left"] + found["right"], "the words of the answers are the same"
    assert "details" not in found["right"] and "whole answer" in found["right"]


def test_of_thoughts_without_an_end_nothing_is_shown_unless_they_are_opened():
    score = Score([*tokens(("<think>", 0.0), ("Dogs", -1.0)), TokenScore("</s>", 0, 0, True)], 0.1)
    found = scored_html(talk(right=Answerer("kind")), {"left": score})["left"]
    fold, rest = found.split("</details>")
    assert "unfinished: no answer follows" in fold and spans_of(fold) == ["&lt;think&gt;", "Dogs", "&lt;/s&gt;"]
    assert spans_of(rest) == [] and "no answer: its thoughts have no end" in rest and "changed most" not in rest


def test_a_piece_that_ends_the_thoughts_and_begins_the_answer_is_shown_with_the_answer():
    found = without_its_thoughts(pieces_of(tokens(("Dogs?</think", -1.0), (">A", 2.0), (" pup.", 0.5))))
    assert [one.text for one in found.thoughts] == ["Dogs?</think"]
    assert [(one.text, one.ratio) for one in found.answer] == [("A", 2.0), (" pup.", 0.5)]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_tokens_are_only_text(hostile):
    score = Score(
        [*tokens((hostile, 1.0), ("", float("nan")), (hostile, -float("inf"))), TokenScore(hostile, 0, 0, True)], 0.1
    )
    html = scored_html(talk(right=Answerer("kind"), left_answer=hostile), {"left": score, "right": score})["left"]
    whole = parts.conversation([{"role": "assistant", "content": hostile}], "base", hostile, hostile, scored=html)
    found = Reader(parts.join(whole, parts.scored_legend(hostile)))
    assert set(found.tags) <= {"div", "h4", "p", "section", "span"} and found.other == [] and found.open == []
    assert found.attributes <= {"class", "style", "title", "aria-hidden"}
    assert all(re.fullmatch(r"--wb-depth:\d{1,3}%", style) for style in found.styles)
