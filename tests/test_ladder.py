"""What is tried when memory runs out, step by step, until there is nothing left to try."""

from configs import demo_config

from workbench.core.memory.oom_fallback import next_rung
from workbench.core.memory.savings import SHORTEST
from workbench.core.training.config import read_config


def rungs(config):
    taken = []
    while rung := next_rung(config):
        config = read_config(config.model_dump() | rung.changes)
        taken.append(rung.changes)
    return taken, config


def test_the_batch_is_halved_and_the_effective_batch_stays():
    """8 x 1 -> 4 x 2 -> 2 x 4 -> 1 x 8"""
    taken, _ = rungs(demo_config(batch_size=8, accumulation=1, gradient_checkpointing=True))
    assert taken[:3] == [
        {"batch_size": 4, "accumulation": 2},
        {"batch_size": 2, "accumulation": 4},
        {"batch_size": 1, "accumulation": 8},
    ]


def test_an_odd_batch_never_makes_the_effective_batch_smaller():
    """3 x 2 = 6 -> 2 x 3 = 6 -> 1 x 6"""
    taken, _ = rungs(demo_config(batch_size=3, accumulation=2, gradient_checkpointing=True))
    assert taken[:2] == [{"batch_size": 2, "accumulation": 3}, {"batch_size": 1, "accumulation": 6}]


def test_length_goes_last_and_stops_at_the_floor():
    """192 -> 144 -> 128"""
    taken, last = rungs(demo_config(batch_size=1, max_length=192))
    assert taken == [{"gradient_checkpointing": "on"}, {"max_length": 144}, {"max_length": SHORTEST}]
    assert next_rung(last) is None


def test_answers_of_its_own_are_shortened_last_and_prompts_keep_their_room():
    """A step holds one group of 4, whatever the batch: 4 x 1 -> 2 x 2 -> 1 x 4. 192 - 64 = 128 tokens stay for a prompt."""
    own = {"rules": "json", "group_size": 4, "answer_tokens": 64, "temperature": 0.8}
    first = demo_config(method="rloo", batch_size=4, accumulation=1, rloo=own, reference="beside")
    taken, last = rungs(first)
    assert taken[:3] == [
        {"batch_size": 2, "accumulation": 2},
        {"batch_size": 1, "accumulation": 4},
        {"gradient_checkpointing": "on"},
    ]
    assert [(one["max_length"], one["rloo"]["answer_tokens"]) for one in taken[3:]] == [(176, 48), (160, 32)]
    assert {one["rloo"]["temperature"] for one in taken[3:]} == {0.8} and last.max_length == 160


def test_a_reference_beside_the_model_is_asked_before_it_before_answers_are_cut():
    config = demo_config(batch_size=1, gradient_checkpointing=True, reference="beside", max_length=192)
    taken, _ = rungs(config)
    assert taken[0] == {"reference": "kept"}
    assert taken[1] == {"max_length": 144}
