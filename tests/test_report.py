"""What a report says of numbers that are worked by hand, of two that are the same, and of a reward that is over-optimised."""

import json
import math
import random
from dataclasses import replace

import pytest

from workbench.core.chat import BASE, Answerer
from workbench.core.data.messages import message
from workbench.core.report.card import card_of, summary_lines
from workbench.core.report.comparison import compare
from workbench.core.report.estimates import ratio, ratio_difference, share, share_difference, width
from workbench.core.report.findings import blindness, findings
from workbench.core.report.judging import judge_question, preferred, verdict_in
from workbench.core.report.material import (
    BlindVotes,
    Judge,
    Judged,
    Material,
    RewardModel,
    Said,
    Subject,
    problems,
)
from workbench.core.report.measures import KL, MEASURES
from workbench.core.report.verdict import judge_words, verdict
from workbench.core.training.model_card import with_report
from workbench.core.votes.result import Result, win_rate

RUN, OTHER = Answerer("first"), Answerer("second")
BY_ID = {one.id: one for one in MEASURES}


def said(text="It is blue.", tokens=10, ended="end", repetition=0.0, reward=None):
    return Said(text=text, tokens=tokens, ended=ended, repetition=repetition, reward=reward)


def material(*answers, facts=(), who=(BASE, RUN, OTHER), **changes):
    """Subjects with these lists of answers."""
    count = len(answers[0])
    subjects = [Subject(answerer=one, said=list(given)) for one, given in zip(who, answers, strict=False)]
    prompts = [[{"role": "user", "content": f"Question {place}?"}] for place in range(count)]
    return Material(prompts=prompts, subjects=subjects, facts=list(facts), **changes)


def of_votes(wins, ties, losses):
    found = Result(wins, ties, losses, 0, win_rate(wins, ties, losses), None, 1.0, None)
    return [BlindVotes(first=0, second=1, result=found)]


def judged(made, first=0, second=1):
    return verdict(made, compare(made, first, second))


def drawn(dice, shift=0.0, right=0.9, longer=1.0, count=64):
    """Answers as one model would give them: rewards, lengths, facts, kindness and repetition at random."""
    return [
        said(
            f"{'Blue' if dice.random() < right else 'Red'}. {'Of course' if dice.random() < 0.5 else 'Whatever'}."
            + " word" * dice.randrange(12),
            round(longer * (5 + dice.expovariate(1 / 20))),
            "end" if dice.random() < 0.95 else "limit",
            dice.random() ** 4,
            dice.gauss(shift, 1),
        )
        for _ in range(count)
    ]


FACTS = [["blue"]] * 64


def test_a_bootstrap_interval_is_the_same_each_time_and_about_as_wide_as_theory_says():
    """The mean of 400 numbers with a standard deviation of 1 has a standard error of .05: 95 % is 3.92 of them, .196 wide.

    Student's quantile of 49 degrees is 2.0096."""
    dice = random.Random(3)
    parts = [(dice.gauss(2, 1), 1.0) for _ in range(400)]
    found = ratio(parts)
    assert found == ratio(parts) and found.low < found.value < found.high
    assert found.value == pytest.approx(sum(value for value, _ in parts) / 400)
    assert found.high - found.low == pytest.approx(0.196, rel=0.15)
    assert width(0.05, 49) == pytest.approx(2.0096, abs=1e-3)
    assert ratio(parts[:7]) is None, "seven prompts make no interval"
    strict = ratio_difference(parts, 0.005)
    assert strict.strict_low < strict.estimate.low and strict.strict_high > strict.estimate.high and strict.is_real


def test_a_difference_of_shares_is_agresti_and_mins():
    """100 pairs, 12 gained and 2 lost: (12 - 2) / 100 = .1; centre 10 / 102, error sqrt(15 - 100 / 102) / 102 = .03671."""
    pairs = [(False, True)] * 12 + [(True, False)] * 2 + [(True, True)] * 80 + [(False, False)] * 6
    found = share_difference(pairs, 0.05)
    assert found.estimate.value == pytest.approx(0.1)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.0261, 0.1700), abs=2e-4)
    same = share_difference([(True, True)] * 20, 0.05)
    assert same.estimate.low < 0 < same.estimate.high and not same.is_real, (
        "20 equal pairs do not show that nothing differs"
    )
    assert share(3, 0) is None


def test_kl_and_perplexity_by_hand():
    """A token that the run makes twice as likely: r = 1/2, r - 1 - ln r = .1931. A token of probability 1/4: perplexity 4."""
    run = Subject(answerer=RUN, log_ratios=[[math.log(2)] * 3] * 10, neutral=[-math.log(4)] * 160)
    base = Subject(neutral=[-math.log(2)] * 160)
    made = Material(subjects=[base, run])
    assert KL.estimate(made, run).value == pytest.approx(0.5 - 1 + math.log(2))
    assert KL.estimate(made, Subject(log_ratios=[[0.0] * 5] * 10)).value == 0
    neutral = BY_ID["neutral"]
    assert neutral.estimate(made, run).value == pytest.approx(4)
    growth = neutral.difference(made, base, run)
    assert (
        growth.estimate.value == pytest.approx(1.0)
        and neutral.words(growth) == "perplexity of a neutral text 100% higher"
    )


def test_better_by_votes_with_length_and_facts_beside_it():
    """100 of 140 votes are 71 %; 54 tokens against 50 are 8 % longer, by the same on every prompt; no fact is lost."""
    base = [said(tokens=50) for _ in range(200)]
    run = [said(tokens=54) for _ in range(200)]
    found = judged(material(base, run, facts=[["blue"]] * 200, votes=of_votes(100, 0, 40)))
    assert found.outcome == "better"
    assert (
        found.headline.startswith("Better at what you asked: 71% [58, 83]") and "of 140 blind votes" in found.headline
    )
    assert "answers 8% longer" in found.headline and "facts unchanged" in found.headline
    assert not any("blind votes on these two" in words for words in found.cannot)
    worse = judged(material(base, base, votes=of_votes(40, 0, 100)))
    assert worse.outcome == "worse" and worse.headline.startswith("Worse at what you asked: 29%")


def test_a_few_votes_are_no_verdict_and_the_report_says_how_many_it_takes():
    found = judged(material(*[[said()] * 20] * 2, votes=of_votes(12, 0, 0)))
    assert found.outcome == "no difference"
    assert any("12 blind votes on these two, and it takes 20" in words for words in found.cannot)


def test_two_that_are_the_same_differ_in_nothing_in_95_of_100_repetitions():
    outcomes, told = [], 0
    for seed in range(100):
        dice = random.Random(seed)
        made = material(drawn(dice), drawn(dice), facts=FACTS, is_demo=True)
        found = judged(made)
        outcomes.append(found.outcome)
        told += bool(found.findings)
    assert outcomes.count("no difference") >= 95 and told <= 5, (outcomes, told)


def test_what_differs_is_found_in_as_many():
    """The same with a reward 1.2 standard deviations higher, facts of .9 against .5, and answers 80 % longer."""
    for seed in range(10):
        dice = random.Random(seed)
        made = material(drawn(dice), drawn(dice, 1.2, 0.5, 1.8), facts=FACTS, is_demo=True)
        found = judged(made)
        assert found.outcome == "better" and "facts fall by" in found.headline, found
        assert [one.id for one in found.findings][0] == "facts fall"


def test_a_reward_that_rises_while_facts_fall_is_over_optimised():
    base = [said("It is blue.", reward=0.0 + place / 100) for place in range(100)]
    run = [said("It is blue." if place % 3 else "It is red.", reward=1.0 + place / 100) for place in range(100)]
    made = material(base, run, facts=[["blue"]] * 100, reward=RewardModel(name="judge-of-manner"))
    (found,) = judged(made).findings
    assert found.title == "Reward rises, facts fall" and "−34 points" in found.evidence and "+1.00" in found.evidence
    assert findings(made, compare(made, 1, 0)) == [], "a reward that falls is not over-optimised"


def test_a_reward_that_rises_while_votes_do_not_follow():
    base, run = [said(reward=0.0)] * 100, [said(reward=1.0)] * 100
    made = material(base, run, votes=of_votes(28, 0, 32))
    assert [one.id for one in judged(made).findings] == ["votes do not follow"]
    assert judged(material(base, run, votes=of_votes(14, 0, 16))).findings == (), "30 votes show nothing yet"


def test_a_reward_that_is_length_is_told():
    """The reward is the number of words: whichever answer is longer wins, and the run's are mostly longer."""
    dice = random.Random(1)
    base, run = ([said("word " * dice.randrange(low, low + 30)) for _ in range(200)] for low in (10, 20))
    base, run = (
        [one.model_copy(update={"reward": len(one.text.split()) / 10}) for one in side] for side in (base, run)
    )
    found = judged(material(base, run))
    assert "by length" in [one.id for one in found.findings]


def test_a_reward_that_does_not_see_facts_is_told_and_one_that_does_too():
    """.42 and .36 differ by .06, far less than a right fact should be worth."""
    dice = random.Random(0)

    def sides(gap):
        one = [
            said("It is blue." if place % 2 else "It is red.", reward=dice.gauss(gap * (place % 2), 0.3))
            for place in range(80)
        ]
        return material(one, one, facts=[["blue"]] * 80)

    blind, sees = blindness(sides(0.06)), blindness(sides(1.0))
    assert blind.is_blind and "hardly sees whether a fact is right" in blind.words
    assert not sees.is_blind and "prefers right facts" in sees.words
    better = sides(0.06)
    risen = [
        one.model_copy(update={"reward": one.reward + 5, "text": "It is blue."}) for one in better.subjects[1].said
    ]
    assert blindness(material(better.subjects[0].said, risen, facts=better.facts)).is_blind, (
        "its facts are right, and its reward is of something else"
    )
    assert blindness(material([said(reward=1.0)] * 80, [said(reward=1.0)] * 80)) is None


def test_a_judge_counts_only_where_both_orders_agree_and_where_it_agrees_with_you():
    assert preferred("A", "B") == 0 and preferred("B", "A") == 1
    assert preferred("A", "A") is None and preferred("A", None) is None
    replies = {"B": "B", " **A**": "A", "Answer B.": "B", "The better answer is A": "A", "A is better": "A", "b": "B"}
    assert {reply: verdict_in(reply) for reply in replies} == replies
    assert [verdict_in(one) for one in ("A good answer is B", "Both", "", "Neither A nor B", "Bees")] == [None] * 5
    question = judge_question([message("user", "Why?")], "<b>one</b>", "two " * 4000)
    assert "<b>one</b>" in question and len(question) < 4000 and question.endswith("A or B.")
    pairs = [Judged(first=0, second=1, scores=[1.0] * 50 + [None] * 10 + [0.0] * 4)]
    both = [[said()] * 64] * 2
    good, chance = (
        Judge(title="judge", voted=60, decided=50, agreed=40),
        Judge(title="judge", voted=60, decided=50, agreed=27),
    )
    found = judged(material(*both, judge=good.model_copy(update={"pairs": pairs})))
    assert found.outcome == "better" and "Preferred by the judge judge: 93% [82, 97] of 54" in found.headline
    found = judged(material(*both, judge=chance.model_copy(update={"pairs": pairs})))
    assert found.outcome == "no difference" and any("not known to agree with you" in words for words in found.cannot)
    assert "80% [67%, 89%] of these as you did" in judge_words(good) and "may be chance" in judge_words(chance)
    assert "there are none" in judge_words(Judge(title="judge"))


def test_a_run_of_which_only_the_training_distribution_was_measured_says_so():
    made = material(*[[said()] * 20] * 2, data="pairs")
    made.subjects[1] = made.subjects[1].model_copy(update={"data": ["pairs"]})
    assert any("Nothing but the training distribution was measured" in words for words in judged(made).cannot)
    made.subjects[1] = made.subjects[1].model_copy(update={"neutral": [-1.0] * 200})
    assert any("only a neutral text was read" in words for words in judged(made).cannot)
    nothing = card_of(Material(subjects=[Subject(), Subject(answerer=RUN, results={"accuracy": 0.9}, held_out=100)]))
    assert "only the run's own held-out numbers" in nothing.notes[0] and nothing.sides[1].accuracy.count == 100
    assert nothing.judgements[0].verdict.outcome == "not measured"


def test_what_a_reward_learned_from_the_same_data_cannot_say_is_said():
    made = material([said(reward=0.0)] * 20, [said(reward=1.0)] * 20, reward=RewardModel(name="scorer", data=["pairs"]))
    made.subjects[1] = made.subjects[1].model_copy(update={"data": ["pairs"]})
    assert any("shares its mistakes" in words for words in judged(made).cannot)
    made.subjects[1] = made.subjects[1].model_copy(update={"rewarded_by": "scorer"})
    assert any("first was trained to please it" in words for words in judged(made).cannot)


def test_the_frontier_has_a_point_for_each_and_reward_per_kl():
    """Reward rises by 1 at a KL of .1931 nats per token: 5.18 for each nat."""
    made = material([said(reward=0.0)] * 20, [said(reward=1.0)] * 20, [said(reward=0.5)] * 20)
    subjects = [
        made.subjects[0],
        *(one.model_copy(update={"log_ratios": [[math.log(2)]] * 20}) for one in made.subjects[1:]),
    ]
    card = card_of(made.model_copy(update={"subjects": subjects}))
    assert [(point.label, round(point.kl.value, 4), point.reward.value) for point in card.frontier] == [
        ("base", 0, 0), ("first", 0.1931, 1), ("second", 0.1931, 0.5)
    ]  # fmt: skip
    assert card.sides[1].reward_per_kl == pytest.approx(1 / 0.19315, rel=1e-3)
    assert [(one.first, one.second) for one in card.judgements] == [
        ("base", "first"),
        ("base", "second"),
        ("first", "second"),
    ]
    assert card_of(made).frontier == (), "without KL there is no chart"


def test_the_model_card_tells_it_and_a_later_report_takes_its_place():
    made = material([said(reward=0.0)] * 20, [said(reward=1.0)] * 20, reward=RewardModel(name="scorer"))
    lines = summary_lines(card_of(made), 1)
    card = with_report("# first\n\nMy own words.\n\n## Limits\n\nSome.\n", "2026-01-02", lines)
    assert card.index("My own words") < card.index("Report card of 2026-01-02") < card.index("## Limits")
    assert "Scores higher with the reward model scorer: 100%" in card
    later = with_report(card, "2026-03-04", ["<b>Other</b>\nwords"])
    assert "2026-01-02" not in later and later.count("<!-- report -->") == 1 and "&lt;b>Other&lt;/b> words" in later
    assert with_report(later, "2026-01-02", lines) == card


def test_parts_that_do_not_fit_are_told():
    made = material(*[[said()] * 20] * 2)
    assert problems(made) == []
    assert problems(made.model_copy(update={"prompts": made.prompts[:3]}))
    assert problems(made.model_copy(update={"facts": [["blue"]]}))
    assert problems(Material())
    votes = of_votes(1, 0, 0)[0]
    assert problems(made.model_copy(update={"votes": [votes.model_copy(update={"second": 9})]}))
    wrong = replace(votes.result, raw=replace(votes.result.raw, rate=math.nan))
    assert problems(made.model_copy(update={"votes": [votes.model_copy(update={"result": wrong})]}))
    assert json.loads(made.model_dump_json())["version"] == 1
