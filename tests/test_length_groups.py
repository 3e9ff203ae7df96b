"""The order of examples: batches of alike length, and nothing lost."""

import random

from workbench.core.training.length_groups import in_groups


def padding(order, lengths, batch):
    """Tokens that are padded where each batch is as long as its longest."""
    batches = [[lengths[index] for index in order[start : start + batch]] for start in range(0, len(order), batch)]
    return sum(max(one) * len(one) - sum(one) for one in batches)


def test_every_example_comes_once_and_the_last_batch_stays_the_short_one():
    order = in_groups([5, 9, 1, 7, 3, 8, 2, 6, 4, 5], batch_size=4, seed=1)
    assert sorted(order) == list(range(10))
    assert in_groups([], 4, 1) == []
    assert in_groups([3], 4, 1) == [0]


def test_the_same_seed_gives_the_same_order_and_another_one_another():
    lengths = [random.Random(index).randrange(10, 500) for index in range(400)]
    assert in_groups(lengths, 4, 7) == in_groups(lengths, 4, 7)
    assert in_groups(lengths, 4, 7) != in_groups(lengths, 4, 8)


def test_less_than_a_quarter_of_the_padding_of_a_plain_shuffle_is_left():
    lengths = [random.Random(index).randrange(10, 500) for index in range(2000)]
    shuffled = list(range(2000))
    random.Random(3).shuffle(shuffled)
    assert padding(in_groups(lengths, 8, 3), lengths, 8) < padding(shuffled, lengths, 8) / 4


def test_batches_do_not_grow_longer_on_the_way():
    """An order by length would let the loss drift for a reason that is not learning: halves must weigh the same."""
    lengths = list(range(1, 1601))
    order = in_groups(lengths, 4, 5)
    first, second = (sum(lengths[index] for index in half) for half in (order[:800], order[800:]))
    assert abs(first - second) < 0.1 * first


def test_which_examples_meet_differs_from_epoch_to_epoch():
    lengths = [100] * 64
    meeting = [{frozenset(in_groups(lengths, 4, seed)[i : i + 4]) for i in range(0, 64, 4)} for seed in (1, 2)]
    assert len(meeting[0] & meeting[1]) < 4
