"""How often and on how many examples a run measures itself, where its settings leave it open."""

import pytest
from configs import demo_config
from made_runs import create_run, few_rows

from workbench.core.training.evaluating import settle_evaluations
from workbench.core.training.recipe import Device, steps_between_evaluations
from workbench.engine import train
from workbench.jobs.sweeps import plan
from workbench.store import run_data


def settled(rows, **changes):
    changes = {"method": "dpo", "evaluations": 0, "held_out_limit": 200, "dpo": {"max_steps": 0}} | changes
    return settle_evaluations(demo_config(**changes), {"dpo": rows})


@pytest.mark.parametrize(
    ("rows", "often", "examples"),
    [
        # .06 / .94 of the rows, at .55 each: 11.6 % of them may be measured, in n evaluations and the first, which counts 1.6.
        (20_000, 8, 200),  # 2,321, and 9.6 x 200 are 1,920
        (10_000, 8, 120),  # 1,160 / 9.6
        (1_600, 4, 33),  # 185 are 32 in 4 + 1.6, but not in 5 + 1.6
        (1_120, 3, 28),  # 129 / 4.6
        (100, 3, 8),  # 11: the least that can be set
    ],
)
def test_a_short_run_is_measured_less_often_and_on_fewer_examples(rows, often, examples):
    changes, words = settled(rows)
    assert changes == {"evaluations": often, "held_out_limit": examples}
    assert bool(words) is (rows < 20_000)
    if words:
        assert f"measured {often} times" in words and f"at most {examples} held-out" in words
    spent = (often + 1.6) * examples * 0.55
    assert rows < 1000 or spent / (spent + rows) <= 0.06


def test_what_a_person_sets_is_done():
    assert settled(100, evaluations=8) == ({}, "")
    assert settled(20_000, held_out_limit=50)[0] == {"evaluations": 8, "held_out_limit": 50}


def test_the_shortest_stage_counts_and_a_method_that_answers_by_itself_measures_few():
    config = demo_config(evaluations=0, held_out_limit=200, sft={"max_steps": 20}, dpo={"max_steps": 0})
    both, _ = settle_evaluations(config, {"sft": 10_000, "dpo": 10_000})
    assert both == settled(160)[0]  # 20 steps of 8
    assert steps_between_evaluations(0, 80) == 10, "of a run of which nothing was settled"

    steps = {"max_steps": 30, "answer_tokens": 40, "rules": "1 words: gladly"}
    online = demo_config(
        method="rloo", evaluations=0, held_out_limit=32, batch_size=32, accumulation=1, rloo=steps, sft_data=None
    )
    settings, words = settle_evaluations(online, {"rloo": 1000})
    assert settings == {"evaluations": 1, "held_out_limit": 12}, (
        "960 answers, of which 6 % are 32 prompts in 1 + 1.6 times"
    )
    assert "measured at its end and before its first step, on at most 12 held-out" in words


def test_a_run_writes_down_what_was_settled_and_goes_on_with_it(one_base):
    settings = few_rows() | {"method": "dpo", "sft_data": None, "evaluations": 0, "dpo": {"max_steps": 4}}
    run = create_run(demo_config("open", **settings, held_out_limit=12))
    run_data.note(run, run.config())
    train.decide(run, Device("cpu", "CPU", False, 8 * 2**30))
    assert run.config().evaluations == 0
    adjusted = run.adjusted_config()
    assert (adjusted.evaluations, adjusted.held_out_limit) == (3, 8)
    assert any("measured 3 times" in words for words in run.chosen()["words"])
    assert train.main(str(run.folder)) == 0, run.result()
    measured = [row["step"] for row in run.metrics() if "eval_loss" in row]
    assert measured == [0, 2, 4], "every second step of four"


def test_runs_of_a_sweep_are_measured_alike():
    values = demo_config(evaluations=0, held_out_limit=200, method="dpo", dpo={"max_steps": 0}).model_dump()
    found = plan(values, "dpo.max_steps", "20, 100, 200", "sweep").configs
    assert {(one.evaluations, one.held_out_limit) for one in found} == {(3, 8)}
