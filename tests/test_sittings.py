"""A blind sitting: its order, its sides, what may be shown, and that it goes on after a reload."""

import json

import pytest
from damage import JUNK, WRONG, every_place, replaced

from workbench.core.chat import Answerer
from workbench.core.errors import WorkbenchError
from workbench.core.votes.sitting import Question, Sitting, held_out_prompts, seated, shown, teaches, vote_on_match
from workbench.store import sittings, votes
from workbench.store.home import home
from workbench.store.ids import new_id

BASE, RUN = Answerer(), Answerer("kind", 0.5)


def asked(text):
    return [{"role": "user", "content": text}]


def question(number, left="It is so.", right="It is not, I am afraid."):
    return Question(
        prompt=asked(f"Question {number}?"), answers=[left, f"{right} {number}"], seeds=[number, number + 1]
    )


def sitting(count=40, purpose="measure", seed=3, **more):
    return Sitting(
        id="20261121-224513-abcdef", purpose=purpose, base="demo", answerers=[BASE, RUN],
        questions=[question(number) for number in range(count)], seed=seed, sampling={"temperature": 0.7}, **more,
    )  # fmt: skip


def test_held_out_prompts_are_a_fixed_random_list_without_repetitions():
    prompts = [asked(f"Question {number % 30}?") for number in range(60)]
    one = held_out_prompts(prompts, 16, seed=5)
    assert one == held_out_prompts(prompts, 16, seed=5) != held_out_prompts(prompts, 16, seed=6)
    assert len({json.dumps(prompt) for prompt in one}) == 16
    assert len(held_out_prompts(prompts, 100, seed=5)) == 30


def test_sides_are_even_in_every_four_and_differ_by_seed():
    for seed in range(20):
        sides = [match.swapped for match in seated(sitting(seed=seed)).matches]
        assert len(sides) == 40
        assert all(sum(sides[start : start + 4]) == 2 for start in range(0, 40, 4))
    orders = {tuple(match.swapped for match in seated(sitting(seed=seed)).matches) for seed in range(20)}
    assert len(orders) == 20


def test_the_order_of_a_measuring_sitting_is_random_and_the_same_for_a_seed():
    order = [match.question for match in seated(sitting()).matches]
    assert sorted(order) == list(range(40)) != order
    assert order == [match.question for match in seated(sitting()).matches]
    assert order != [match.question for match in seated(sitting(seed=4)).matches]


def test_identical_answers_are_skipped_whatever_their_white_space_and_thoughts():
    same = Question(prompt=asked("?"), answers=["It  is\nso.", "<think>hm</think>It is so. "])
    made = seated(sitting(2).model_copy(update={"questions": [question(0), same, question(1)]}))
    assert made.skipped == 1
    assert sorted(match.question for match in made.matches) == [0, 2]


def test_a_teaching_sitting_asks_first_where_the_answers_differ_most():
    far = Question(prompt=asked("far"), answers=["red green blue", "one two three"])
    near = Question(prompt=asked("near"), answers=["red green blue", "red green three"])
    made = seated(sitting(0, "teach").model_copy(update={"questions": [near, far]}))
    assert [match.question for match in made.matches] == [1, 0]
    assert teaches(far, (0, 1)) == 1
    assert teaches(near, (0, 1)) == pytest.approx(0.5), "of the words of both, 2 are shared and 2 are not"


def test_a_teaching_sitting_asks_first_where_the_rewards_are_least_sure():
    """At a margin of 4 the chance is .982: 4 * .982 * .018 = .071."""
    sure, unsure = (
        Question(prompt=asked("?"), answers=["red green", f"one two {name}"], rewards=[0.0, margin])
        for name, margin in (("a", 4.0), ("b", -0.1))
    )
    made = seated(sitting(0, "teach").model_copy(update={"questions": [sure, unsure]}))
    assert [match.question for match in made.matches] == [1, 0]
    assert teaches(sure, (0, 1)) == pytest.approx(0.0707, abs=1e-3)


def test_of_three_answerers_every_pair_comes_equally_often():
    three = [Question(prompt=asked(str(number)), answers=["one", "two", "three"]) for number in range(30)]
    many = sitting(0).model_copy(update={"questions": three, "answerers": [BASE, RUN, Answerer("other")]})
    pairs = [(match.first, match.second) for match in seated(many).matches]
    assert {pair: pairs.count(pair) for pair in pairs} == {(0, 1): 10, (0, 2): 10, (1, 2): 10}
    assert len(seated(many.model_copy(update={"every_pair": True})).matches) == 90


def test_names_are_shown_only_after_the_vote():
    made = seated(sitting())
    before, after = shown(made, 0, voted=set()), shown(made, 0, voted={0})
    assert before.names is None
    expected = ("kind × 0.5", "base") if made.matches[0].swapped else ("base", "kind × 0.5")
    assert after.names == expected
    assert (before.left, before.right) == (after.left, after.right)
    drafts = seated(sitting().model_copy(update={"answerers": [RUN, RUN]}))
    assert set(shown(drafts, 0, voted={0}).names) == {"kind × 0.5, answer 1", "kind × 0.5, answer 2"}


def test_a_vote_says_all_that_is_known_of_both_answers():
    made = seated(sitting())
    number = next(number for number, match in enumerate(made.matches) if match.swapped)
    sittings.save(sitting())
    given = sittings.give(made, number, "left", ideal=" My own. ")
    place = made.matches[number].question
    assert (given.left_model, given.right_model, given.first) == ("kind", "", "right")
    assert (given.left_by, given.right_by) == (RUN, BASE)
    assert (given.left_seed, given.right_seed) == (place + 1, place)
    assert (given.left_words, given.right_words) == (7, 3)
    assert (given.sitting, given.purpose, given.match) == (made.id, "measure", number)
    assert given.sampling == {"temperature": 0.7} and given.ideal == "My own." and given.id and given.time


def test_a_vote_names_the_base_model_of_either_side_whichever_way_they_stand():
    made = seated(sitting(bases=["demo", "owner/other"]))
    for number in range(len(made.matches)):
        given = vote_on_match(made, number, "tie")
        models = {given.answerer(side): given.base_of(side) for side in ("left", "right")}
        assert models == {BASE: "demo", RUN: "owner/other"}
    assert {match.swapped for match in made.matches} == {True, False}
    of_earlier_version = vote_on_match(seated(sitting()), 0, "tie")
    assert {of_earlier_version.base_of(side) for side in ("left", "right")} == {"demo"}


def test_a_reload_goes_on_where_one_left_off():
    made = sittings.save(sitting(5))
    for _ in range(2):
        sittings.give(made, sittings.now_at(made), "tie")
    again = sittings.read(made.id)
    assert again == made
    assert sittings.now_at(again) == 2
    votes.undo(sittings.voted(again)[1].id)
    assert sittings.now_at(again) == 1
    for number in (1, 2, 3, 4):
        sittings.give(again, number, "right")
    assert sittings.now_at(again) is None


def test_answers_that_come_later_join_behind_and_change_no_match():
    first = sitting(8)
    waiting = first.model_copy(
        update={
            "questions": [
                q if n < 4 else q.model_copy(update={"answers": [None, None]}) for n, q in enumerate(first.questions)
            ]
        }
    )
    begun = sittings.save(waiting)
    assert len(begun.matches) == 4
    whole = sittings.save(begun.model_copy(update={"questions": first.questions}))
    assert whole.matches[:4] == begun.matches and len(whole.matches) == 8
    assert sorted(match.question for match in whole.matches) == list(range(8))


def test_what_has_matches_is_not_changed_by_a_later_save():
    begun = sittings.save(sitting(4))
    other = [question(number, left="Changed.") for number in range(4)]
    assert sittings.save(begun.model_copy(update={"questions": other})) == begun


def test_the_same_vote_sent_twice_counts_once():
    made = sittings.save(sitting(3))
    for _ in range(2):
        sittings.give(made, 0, "left", id="sent-once")
    assert len(votes.path().read_bytes().splitlines()) == 1


def test_the_newest_sitting_comes_first_and_a_damaged_file_is_a_named_problem():
    sittings.save(sitting(2))
    newer = sitting(2).model_copy(update={"id": "20261122-000000-abcdef"})
    sittings.save(newer)
    (home() / "sittings" / "20261120-000000-abcdef.json").write_text('{"id": ')
    broken = json.loads((home() / "sittings" / f"{newer.id}.json").read_text()) | {"id": "20261119-000000-abcdef"}
    broken["matches"][0]["question"] = 7
    (home() / "sittings" / "20261119-000000-abcdef.json").write_text(json.dumps(broken))
    found, problems = sittings.all_sittings()
    assert [one.id for one in found] == [newer.id, "20261121-224513-abcdef"]
    assert len(problems) == 2
    assert "20261120-000000-abcdef cannot be read" in problems[0] and "not whole JSON" in problems[0]
    assert "names a question or an answerer that is not there" in problems[1]


@pytest.mark.parametrize("id", ["", "../votes", "20261121-224513-abcdef/..", "20261121-224513-ABCDEF", "x" * 900])
def test_an_id_from_a_browser_names_no_other_file(id):
    with pytest.raises(WorkbenchError, match="is no name of a sitting"):
        sittings.read(id)


def test_a_sitting_that_is_not_there_and_a_match_that_is_not_there_are_told():
    with pytest.raises(WorkbenchError, match="There is no sitting 20261121-224513-abcdef"):
        sittings.read("20261121-224513-abcdef")
    made = sittings.save(sitting(2))
    with pytest.raises(WorkbenchError, match="has 2 pairs of answers, and none with the number 2"):
        sittings.give(made, 2, "left")


def test_new_ids_are_names_of_sittings():
    one = sitting(1).model_copy(update={"id": new_id()})
    assert sittings.read(sittings.save(one).id).time.endswith("+00:00")


def test_whatever_a_file_of_a_sitting_holds_it_is_shown_whole_or_named_as_damaged():
    made = sittings.save(sitting(2))
    file = home() / "sittings" / f"{made.id}.json"
    stored = json.loads(file.read_text())
    wrong = [
        json.dumps(replaced(stored, path, one)).encode() for path in list(every_place(stored))[1:] for one in WRONG
    ]
    refused = 0
    for content in [*JUNK, *wrong]:
        file.write_bytes(content)
        try:
            found = sittings.read(made.id)
        except WorkbenchError as error:
            refused += 1
            assert made.id in str(error)
            continue
        for number in range(len(found.matches)):
            assert shown(found, number, {number}).prompt
        sittings.now_at(found)
    assert refused > 300
