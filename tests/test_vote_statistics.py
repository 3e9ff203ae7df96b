"""Intervals that may be looked at after each vote, the logistic fit, and what is said of votes."""

import math
from functools import cache
from itertools import product

import pytest

from workbench.core.statistics import log_evidence, normal_width, win_interval
from workbench.core.votes.expectation import POWER, expectation
from workbench.core.votes.fit import logistic_fit
from workbench.core.votes.reading import preferences, sentences
from workbench.core.votes.result import (
    Rate,
    at_equal_length,
    result,
    standings,
    summary,
    votes_to_settle,
    win_rate,
)
from workbench.core.votes.vote import Answerer, Vote

BASE, ONE, TWO = Answerer(), Answerer("one"), Answerer("two", strength=0.5)
CONTENT = "Plain words stand here for an answer"


def vote(choice, left=BASE, right=ONE, left_text=CONTENT, right_text=CONTENT + ".", purpose="measure", number=0):
    return Vote(
        prompt=[{"role": "user", "content": f"Question {number}"}], left=left_text, right=right_text, vote=choice,
        left_model=left.run, right_model=right.run, base="m", left_by=left, right_by=right, purpose=purpose, sitting="s",
    )  # fmt: skip


@cache
def is_settled(wins, total):
    return win_rate(wins, 0, total - wins).verdict != "not settled"


def chance_of_a_verdict(rate, looks):
    """Exactly, over all orders of so many votes: that a verdict is given at any look."""
    states, hit = {0: 1.0}, 0.0
    for total in range(1, looks + 1):
        new: dict[int, float] = {}
        for wins, chance in states.items():
            new[wins + 1] = new.get(wins + 1, 0.0) + chance * rate
            new[wins] = new.get(wins, 0.0) + chance * (1 - rate)
        settled = [wins for wins in new if is_settled(wins, total)]
        hit += sum(new.pop(wins) for wins in settled)
        states = new
    return hit


def test_equal_models_are_told_apart_in_at_most_5_percent_with_a_look_after_each_vote():
    assert 0.005 < chance_of_a_verdict(0.5, 200) <= 0.05


def test_a_model_that_wins_65_percent_is_settled_within_150_votes_in_80_percent():
    assert chance_of_a_verdict(0.65, 150) >= 0.80


def test_the_evidence_against_the_true_rate_is_1_on_average():
    """Over all 2^9 orders of nine votes at a rate of .3."""
    mean = sum(
        math.comb(9, wins) * 0.3**wins * 0.7 ** (9 - wins) * math.exp(log_evidence(wins, 9 - wins, 0.3))
        for wins in range(10)
    )
    assert mean == pytest.approx(1)


def test_ties_as_halves_never_make_more_evidence_than_there_is():
    """Win .3, tie .4, loss .3, so the mean is a half: over all 3^6 orders of six votes."""
    chances = {1.0: 0.3, 0.5: 0.4, 0.0: 0.3}
    mean = sum(
        math.prod(chances[one] for one in seen) * math.exp(log_evidence(sum(seen), 6 - sum(seen)))
        for seen in product(chances, repeat=6)
    )
    assert 0.85 < mean <= 1


def test_an_interval_holds_what_the_evidence_does_not_speak_against():
    low, high = win_interval(30, 10)
    assert low < 0.75 < high
    for end in (low, high):
        assert log_evidence(30, 10, end) == pytest.approx(math.log(20), abs=1e-6)
    assert win_interval(0, 0) == (0, 1)
    assert win_interval(0, 5)[0] == 0 and win_interval(5, 0)[1] == 1
    assert win_interval(10, 30) == pytest.approx((1 - high, 1 - low))


def test_a_verdict_needs_more_than_55_percent_and_an_interval_beyond_a_half():
    assert Rate(0.56, 0.51, 0.60).verdict == "better"
    assert Rate(0.55, 0.51, 0.60).verdict == "not settled"
    assert Rate(0.70, 0.49, 0.80).verdict == "not settled"
    assert Rate(0.44, 0.40, 0.49).verdict == "worse"


def test_ties_count_half_and_many_ties_settle_nothing():
    rate = win_rate(10, 140, 0)
    assert rate.rate == pytest.approx(80 / 150)
    assert rate.verdict == "not settled"


def test_how_many_more_votes_would_settle_it():
    assert votes_to_settle(0, 0, 0) is None
    assert votes_to_settle(21, 0, 19) is None, "52.5 % is no difference to settle"
    assert votes_to_settle(90, 0, 10) is None, "it is settled"
    more = votes_to_settle(26, 0, 14)
    assert win_rate(26, 0, 14).verdict == "not settled"
    share = 26 / 40
    for votes, settled in ((40 + more, True), (40 + more - 1, False)):
        low, _ = win_interval(share * votes, (1 - share) * votes)
        assert (low > 0.5) is settled
    assert votes_to_settle(14, 0, 26) == more


def test_intervals_for_each_look_are_wider_than_for_one_and_narrowest_in_share_at_100_votes():
    assert normal_width(100) == pytest.approx(3.03, abs=0.01)
    assert all(normal_width(count) > 1.96 for count in (10, 100, 1000, 10**6))


def test_a_fit_of_one_rate_is_that_rate_with_the_error_of_a_share():
    """30 of 40, with a ridge of .3: at the solution 40 (.75 - p) = .3 logit(p), so p is .742. The curvature there is
    40 p (1 - p) + .3, and the squares of the residuals add up to 30 (1 - p)^2 + 10 p^2."""
    fit = logistic_fit([[1.0]] * 40, [1.0] * 30 + [0.0] * 10)
    p = fit.at([1.0])
    assert p == pytest.approx(0.742, abs=0.001)
    assert 40 * (0.75 - p) == pytest.approx(0.3 * math.log(p / (1 - p)))
    curvature = 40 * p * (1 - p) + 0.3
    assert fit.model[0][0] == pytest.approx(1 / curvature)
    assert fit.robust[0][0] == pytest.approx(40 / 39 * (30 * (1 - p) ** 2 + 10 * p**2) / curvature**2)


def test_ties_as_halves_have_a_smaller_sandwich_than_a_model_of_coins_has():
    fit = logistic_fit([[1.0]] * 40, [0.5] * 40)
    assert fit.at([1.0]) == pytest.approx(0.5)
    assert fit.robust[0][0] == pytest.approx(0, abs=1e-12)
    low, high = fit.interval([1.0])
    assert low < 0.4 and high > 0.6, "the wider one of both is shown"


def test_who_won_every_vote_has_a_finite_strength_and_an_interval():
    rate = at_equal_length([1.0] * 25, [0.0] * 25)
    assert 0.9 < rate.rate < 1 and rate.low > 0.5 and rate.high <= 1


def test_at_equal_length_a_model_that_wins_by_length_alone_wins_half():
    """Twice as long: wins 3 of 4, half as long: 1 of 4. It is twice as long in three of four."""
    log2 = math.log(2)
    scores = ([1.0] * 3 + [0.0]) * 30 + ([1.0] + [0.0] * 3) * 10
    ratios = [log2] * 120 + [-log2] * 40
    assert sum(scores) / len(scores) == pytest.approx(0.625)
    assert at_equal_length(scores, ratios).rate == pytest.approx(0.5, abs=0.005)


def test_only_votes_of_measuring_sittings_on_the_two_count():
    votes = [vote("right"), vote("right", left=ONE, right=BASE), vote("tie"), vote("both_bad")]
    others = [vote("right", purpose="teach"), vote("right", purpose=None), vote("right", right=TWO)]
    found = result([*votes, *others], ONE, BASE)
    assert (found.wins, found.ties, found.losses, found.both_bad) == (1, 2, 1, 1)
    assert found.raw.rate == 0.5 and found.at_equal_length is None
    turned = result(votes, BASE, ONE)
    assert (turned.wins, turned.losses) == (1, 1)
    assert "1 wins, 2 ties, 1 losses: 50%" in summary(found)
    assert summary(result(others[:2], ONE, BASE)) == "No votes of a measuring sitting yet."


def test_lengths_are_seen_from_the_first_answerer():
    long = " ".join(["word"] * 7)
    votes = [vote("right", left_text="one two three", right_text=long)] * 3 + [
        vote("left", left=ONE, right=BASE, left_text=long, right_text="one two three")
    ] * 3
    assert result(votes, ONE, BASE).longer == pytest.approx(2), "eight to four, one word more for each"


def test_thoughts_are_no_part_of_a_length():
    assert vote("left", left_text="<think>a b c d</think>Yes.").words("left") == 1


def games(winner, loser, won, lost):
    return [vote("left", winner, loser)] * won + [vote("left", loser, winner)] * lost


def test_bradley_terry_orders_several_answerers():
    """one beats base 3 : 1, two beats one 3 : 1, so that two beats base 9 : 1, as it does."""
    votes = games(ONE, BASE, 60, 20) + games(TWO, ONE, 60, 20) + games(TWO, BASE, 72, 8)
    found = standings(votes, BASE)
    assert [one.answerer for one in found] == [TWO, ONE, BASE]
    assert [one.raw.rate for one in found] == pytest.approx([0.9, 0.75, 0.5], abs=0.01)
    assert [one.votes for one in found] == [160, 160, 160]
    for one in found[:2]:
        assert 0.5 < one.raw.low < one.raw.rate < one.raw.high
        assert one.at_equal_length.low <= one.at_equal_length.rate <= one.at_equal_length.high


def test_who_is_not_connected_with_the_reference_has_no_standing():
    far = [Answerer("far"), Answerer("farther")]
    votes = games(ONE, BASE, 5, 3) + games(*far, 9, 1)
    assert {one.answerer for one in standings(votes, BASE)} == {ONE, BASE}
    assert standings([], BASE) == []


LISTED, PLAIN = "Buy these:\n- bread\n- milk\n- eggs", "Buy these: bread, milk, eggs"


def test_nothing_is_read_out_of_fewer_than_30_votes():
    assert sentences([vote("left", left_text=LISTED, right_text=PLAIN)] * 29) == []


def test_who_always_chooses_lists_reads_it_with_its_interval():
    votes = [
        vote("left", left_text=LISTED, right_text=PLAIN)
        if number % 2
        else vote("right", left_text=PLAIN, right_text=LISTED)
        for number in range(40)
    ]
    found = preferences(votes)
    assert found[0].kind in ("list", "length") and found[0].of == 40
    text = " ".join(sentences(votes))
    assert "with a list, in 40 of 40 votes (100%, interval " in text
    assert len(found) <= 2


def test_who_dislikes_an_opening_reads_it():
    """Both answers are as long and have the same words but the first."""
    sure, well = "Sure the sky is blue today", "Well the sky is blue today"
    votes = [
        vote("left", left_text=well, right_text=sure) if number % 2 else vote("right", left_text=sure, right_text=well)
        for number in range(40)
    ]
    (said,) = sentences(votes)
    assert "“Sure”" in said or "“Well”" in said


def test_who_votes_by_a_coin_reads_nothing():
    votes = [
        vote(
            "left" if (number // 2) % 2 else "right",
            left_text=(LISTED, PLAIN)[number % 2],
            right_text=(PLAIN, LISTED)[number % 2],
        )
        for number in range(60)
    ]
    assert sentences(votes) == []


def test_who_always_votes_left_is_told_that_this_says_nothing_of_the_answers():
    votes = [
        vote("left", left_text=(LISTED, PLAIN)[number % 2], right_text=(PLAIN, LISTED)[number % 2])
        for number in range(40)
    ]
    (said,) = sentences(votes)
    assert "on the left, which says nothing of the answers, in 40 of 40 votes" in said


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            1,
            "1 row from votes: too few to move a model on purpose; they show that the round works. To show that a round wins 75%",
        ),
        (
            50,
            "a small change of manner (tone, length, form), seldom of what the model knows. As many votes afterwards settle it",
        ),
        (140, "four times in five if the new round wins 65%."),
        (
            800,
            "a change that one sees. As many votes afterwards settle it four times in five if the new round wins 60%.",
        ),
    ],
)
def test_what_so_many_votes_can_move(rows, words):
    assert words in expectation(rows)


def test_the_power_table_is_that_of_the_verdict_and_of_a_two_sided_test():
    """At a single look (1.96 sqrt(.25) + .8416 sqrt(p q))^2 / (p - .5)^2."""
    for rate, each, single in POWER:
        exact = ((1.959964 * 0.5 + 0.841621 * math.sqrt(rate * (1 - rate))) / (rate - 0.5)) ** 2
        assert single == pytest.approx(exact, abs=1.01)
        if each < 200:
            assert chance_of_a_verdict(rate, each - 1) < 0.80 <= chance_of_a_verdict(rate, each)
