"""One step on the longest batch before the first one counts, of which nothing stays but what it told."""

import pytest
from configs import demo_config
from made_runs import SMALL, answering_settings, create_run, few_rows
from real_runs import weights

from workbench.core.memory.plan import in_gigabytes
from workbench.engine import load, train
from workbench.engine.probe import OwnAnswersProbe, ProbeCallback
from workbench.store import datasets
from workbench.store.home import shipped
from workbench.store.runs import Run
from workbench.ui.run_view import details_html, probe_summary

TWO_STEPS = {"learning_rate": 1e-3, "max_steps": 2}


def trained(name: str) -> Run:
    """SFT with dropout, which draws random numbers in each step, then DPO."""
    with_dropout = {"rank": 8, "alpha": 16, "dropout": 0.1}
    run = create_run(demo_config(name, **SMALL | few_rows(), adapter=with_dropout, sft=TWO_STEPS, dpo=TWO_STEPS))
    assert train.main(str(run.folder)) == 0, run.result()
    return run


def numbers(run: Run) -> list:
    """All that was logged but what the clock and the machine tell."""
    timed = ("time", "runtime", "per_second", "memory_in_use", "samples/share")
    return [
        {key: value for key, value in row.items() if not any(word in key for word in timed)}
        for row in run.metrics()
        if "stage" in row
    ]


def test_the_run_goes_on_as_if_the_probe_had_not_been(one_base, monkeypatch):
    probed = trained("probed")
    for stage in ("sft", "dpo"):
        found = probed.environment()["probes"][stage]
        assert found["rows"] == 4 and 60 < found["tokens"] <= 128 and found["seconds"] > 0
        assert found["forecast"] > 3 * 2**29, "the libraries are counted"
        assert in_gigabytes(found["needed"]) in probe_summary(stage, found)
    assert "Longest batch, tried first" in details_html(probed)

    monkeypatch.setattr(ProbeCallback, "on_train_begin", lambda *_args, **_named: None)
    assert numbers(trained("not-probed")) == numbers(probed)


@pytest.mark.slow
def test_a_run_that_answers_by_itself_goes_on_as_if_the_probe_had_not_been(judge, one_base, monkeypatch):
    """The longest prompt of all, with answers of all 16 tokens: generated, scored, read and trained on once."""
    tried = []

    def looked(self, rows, size):
        taken = take(self, rows, size)
        trainer = self._trainer
        tried.append(
            (trainer._metrics["train"]["completions/min_length"], len(rows), trainer.state.num_input_tokens_seen)
        )
        return taken

    take = OwnAnswersProbe._take
    monkeypatch.setattr(OwnAnswersProbe, "_take", looked)
    settings = answering_settings() | {"batch_size": 3, "accumulation": 2, "gradient_checkpointing": True}
    probed, plain = (create_run(demo_config(name, **settings)) for name in ("probed", "not-probed"))
    assert train.main(str(probed.folder)) == 0, probed.result()
    [(lengths, answers, seen)] = tried
    assert (lengths, answers) == ([16.0], 4), "two whole groups, of which three answers are trained on"
    found = probed.environment()["probes"]["rloo"]
    assert found["rows"] == 3 and found["seconds"] > 0 and found["needed"] > 0
    assert found["tokens"] - 16 == longest_prompt(probed) and 4 * 16 < seen <= 4 * found["tokens"]
    assert found["forecast"] > 3 * 2**29

    monkeypatch.setattr(ProbeCallback, "on_train_begin", lambda *_args, **_named: None)
    assert train.main(str(plain.folder)) == 0, plain.result()
    assert len(tried) == 1
    assert numbers(plain) == numbers(probed) and weights(plain) == weights(probed)


def longest_prompt(run: Run) -> int:
    tokenizer = load.load_tokenizer(shipped("assets") / "demo" / "model")
    prompts = datasets.read(run.config().preference_data, "train")
    return max(
        len(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False))
        for row in prompts
    )


def test_a_longest_batch_that_does_not_fit_is_known_before_the_first_step(one_base, monkeypatch):
    class Full:
        def __init__(self):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("workbench.engine.probe._Peak", Full)
    monkeypatch.setattr(train, "restart_worker", lambda folder: 7)
    run = create_run(demo_config(**SMALL | few_rows() | {"batch_size": 4}))
    assert train.main(str(run.folder)) == 7
    assert run.adjusted_config().batch_size == 2
    assert not any("loss" in row for row in run.metrics())


def test_what_was_not_measured_is_not_said():
    assert (
        probe_summary("dpo", {"rows": 1, "tokens": 1024, "seconds": 2.0, "peak": None})
        == "DPO: 1 × 1,024 tokens in 2.0 s."
    )


@pytest.mark.parametrize("reference", [{}, {"computed": 1200, "read": 0}])
def test_what_is_known_of_the_reference_is_said_where_there_is_one(reference):
    run = create_run(demo_config())
    run.write_environment({"reference": reference})
    assert ("1,200 log-probabilities computed" in details_html(run)) == bool(reference)
