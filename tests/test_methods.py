"""Every way into training, on the demo model: where it starts, and from whose weights."""

import itertools
import math
import shutil

import pytest
from configs import demo_config
from made_runs import SMALL, TWO_STEPS, create_run, few_rows, finished, store_thumbs
from run_cases import wrong_reference

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.metrics import FORKED
from workbench.core.training.config import RunConfig, reference_label
from workbench.core.training.forks import Fork, more_epochs
from workbench.core.training.methods import stage_title
from workbench.engine import adapters, load, train
from workbench.engine.journal import log_numbers
from workbench.jobs import training
from workbench.store import datasets, forks, votes
from workbench.store.datasets import Provenance
from workbench.store.runs import Run, runs_to_start_from, starting_run
from workbench.store.votes import Vote


def small_config(name: str = "a-run", **changes) -> RunConfig:
    return demo_config(name, **SMALL | few_rows() | changes)


def trained(**changes) -> Run:
    run = create_run(small_config(**changes))
    assert train.main(str(run.folder)) == 0, run.result()
    return run


def first_evaluation(run: Run, stage: str) -> dict:
    return next(row for row in run.metrics() if row.get("stage") == stage and "eval_loss" in row)


def rewards(row: dict) -> list[float]:
    return [row["eval_rewards/chosen"], row["eval_rewards/rejected"]]


@pytest.mark.parametrize(
    ("loss", "start"),
    [
        ({"loss": "sigmoid"}, math.log(2)),
        pytest.param({"loss": "sigmoid_norm", "beta": 5}, math.log(2), marks=pytest.mark.slow),
        ({"loss": "ipo", "beta": 0.1}, 25.0),
        pytest.param({"loss": "robust", "label_smoothing": 0.1}, math.log(2), marks=pytest.mark.slow),
        pytest.param({"loss": "apo_zero"}, 1.0, marks=pytest.mark.slow),
        ({"loss": "sigmoid", "sft_weight": 0.5}, None),
    ],
    ids=["sigmoid", "sigmoid_norm", "ipo", "robust", "apo_zero", "sft-term"],
)
def test_each_loss_starts_where_its_formula_says(one_base, loss, start):
    run = trained(method="dpo", sft_data=None, dpo=TWO_STEPS | loss)
    first = first_evaluation(run, "dpo")
    assert first["step"] == 0
    if start is None:
        assert first["eval_loss"] > math.log(2), "the SFT loss of the chosen answers comes on top"
    else:
        assert first["eval_loss"] == pytest.approx(start, rel=1e-4)
    assert rewards(first) == [0.0, 0.0]
    assert [row["step"] for row in run.metrics() if "loss" in row] == [1, 2]


def test_kto_learns_from_thumbs_with_an_fp32_adapter_and_the_base_model_as_its_reference(one_base):
    import torch
    from safetensors.torch import load_file

    store_thumbs()
    kto = TWO_STEPS | {"desirable_weight": 1.0, "undesirable_weight": 2.0}
    run = trained(method="kto", thumbs_data="thumbs", sft_data=None, preference_data=None, kto=kto)
    first = first_evaluation(run, "kto")
    liked = [row["label"] for row in datasets.read("thumbs", "held_out")]
    assert len(liked) <= 8, "all held-out answers are in the mean"
    mean_weight = sum(1.0 if up else 2.0 for up in liked) / len(liked)
    assert first["eval_loss"] == pytest.approx(0.5 * mean_weight, abs=1e-4)
    assert first["eval_kl"] == 0.0
    assert [abs(first.get(f"eval_rewards/{side}", 0.0)) for side in ("chosen", "rejected")] == [0.0, 0.0]
    weights = load_file(run.adapter / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(weight.abs().max() > 0 for name, weight in weights.items() if "lora_B" in name)
    card = (run.adapter / "README.md").read_text()
    assert "Kahneman-Tversky" in card and "| Reference | the base model |" in card


@pytest.mark.parametrize("method", ["orpo", "simpo"])
def test_without_a_reference_pairs_are_learned_with_an_fp32_adapter(one_base, method):
    """Where the loss begins says what the base model makes of the pairs: its rewards are beta times mean log-probabilities."""
    import torch
    from safetensors.torch import load_file

    own = {"learning_rate": 1e-3, "max_steps": 6} | ({"beta": 2.0, "margin_ratio": 0.5} if method == "simpo" else {})
    run = trained(method=method, sft_data=None, **{method: own})
    first, last = (
        [row for row in run.metrics() if row.get("stage") == method and "eval_loss" in row][place] for place in (0, -1)
    )
    beta = 2.0 if method == "simpo" else 0.1
    for side in ("chosen", "rejected"):
        assert first[f"eval_rewards/{side}"] == pytest.approx(beta * first[f"eval_logps/{side}"], rel=1e-4)
        assert -6 < first[f"eval_logps/{side}"] < 0, "nats per token, not of the whole answer"
    assert last["eval_loss"] < first["eval_loss"]
    assert last["eval_rewards/margins"] > first["eval_rewards/margins"]
    steps = [row for row in run.metrics() if "loss" in row]
    counted = [row["num_tokens"] for row in steps]
    assert 2 * 4 * 10 < counted[0] < 2 * 4 * 128, (
        "two answers to each of four prompts, and nothing of the probe before it"
    )
    assert all(2 * 4 * 10 < after - before < 2 * 4 * 128 for before, after in itertools.pairwise(counted))
    assert "tokens_per_second" not in steps[0] and all(row["tokens_per_second"] > 0 for row in steps[1:])
    weights = load_file(run.adapter / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    card = (run.adapter / "README.md").read_text()
    assert stage_title(method) in card and "Reference" not in card and "Reward accuracy" in card
    assert run.result().why.startswith("Finished. On held-out pairs it prefers the chosen answer")
    assert any("answers/ended" in row and row["answers/ended"] == 1.0 for row in run.metrics())


def test_a_run_without_a_reference_goes_on_from_its_checkpoint_to_the_same_weights(one_base):
    import torch
    from safetensors.torch import load_file

    own = {"method": "orpo", "checkpoint_steps": 1, "orpo": {"learning_rate": 1e-3, "max_steps": 3}}
    whole = trained(name="whole", **own)
    pieces = create_run(small_config("pieces", **own))
    pieces.stop_file.write_text("pause")
    assert train.main(str(pieces.folder)) == 0
    assert pieces.result().outcome == "paused"
    pieces.forget_end()
    assert train.main(str(pieces.folder)) == 0, pieces.result()
    weights = [load_file(run.adapter / "adapter_model.safetensors") for run in (whole, pieces)]
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())
    curves = [[row["loss"] for row in run.metrics() if "loss" in row] for run in (whole, pieces)]
    assert len(curves[0]) == 3 and curves[0] == curves[1]


def test_a_row_is_trained_on_as_the_same_tokens_with_and_without_a_reference(one_base):
    """DPO's tokens are those of the chat template, cut at the end; TRL's experimental trainers would make others."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer
    from trl.experimental.orpo import ORPOConfig

    from workbench.engine.experimental import OrpoInTokens

    loaded = load.load_base()
    rows = [
        {
            "prompt": [{"role": "user", "content": "Tell me about the sea. " * times}],
            "chosen": [{"role": "assistant", "content": "It is wide and salty. " * chosen}],
            "rejected": [{"role": "assistant", "content": "No."}],
        }
        for times, chosen in ((1, 1), (2, 40), (40, 1), (300, 1))
    ]
    most = 96
    made = {}
    for make, settings in ((DPOTrainer, DPOConfig), (OrpoInTokens, ORPOConfig)):
        model = load.add_adapter(loaded, demo_config().adapter, False, 1)
        arguments = settings(max_length=most, use_cpu=True, bf16=False, report_to="none", gradient_checkpointing=False)
        trainer = make(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(rows),
            processing_class=loaded.tokenizer,
        )
        made[make] = trainer.train_dataset
    dpo, orpo = made[DPOTrainer], made[OrpoInTokens]
    assert len(dpo) == len(orpo) < len(rows), "a prompt that fills max length leaves nothing to learn"
    for one, other in zip(dpo, orpo, strict=True):
        for side in ("chosen", "rejected"):
            assert other[f"{side}_input_ids"] == (one["prompt_ids"] + one[f"{side}_ids"])[:most]
            trained_on = [label for label in other[f"{side}_labels"] if label != -100]
            assert trained_on == one[f"{side}_ids"][: most - len(one["prompt_ids"])] != []


def test_a_run_goes_on_from_where_another_ended(one_base, first_run, monkeypatch):
    """Its adapter begins as the other's ended, and so does its reference: ln 2 and rewards of 0."""
    import torch
    from safetensors.torch import load_file

    ended = load_file(first_run.adapter / "adapter_model.safetensors")
    begun = {}
    restore = adapters.restore_fp32

    def look(model, before):
        restore(model, before)
        begun.update({name: weight.detach().clone() for name, weight in model.named_parameters() if name in before})

    monkeypatch.setattr(adapters, "restore_fp32", look)
    again = trained(name="again", method="dpo", sft_data=None, dpo=TWO_STEPS, start_from="first")
    start = first_evaluation(again, "dpo")
    assert abs(start["eval_loss"] - math.log(2)) < 0.002
    assert rewards(start) == [0.0, 0.0]
    assert len(ended) == len(begun)
    for name, weight in ended.items():
        assert torch.equal(begun[name.replace(".weight", ".default.weight")], weight), name
    assert start["eval_logps/chosen"] != first_evaluation(first_run, "dpo")["eval_logps/chosen"], (
        "it is not the base model"
    )
    assert reference_label(again.config()) == "run first as it ended"
    assert "| Reference | run first as it ended |" in (again.adapter / "README.md").read_text()
    assert (again.start_adapter / "adapter_model.safetensors").is_file(), "kept, whatever becomes of the other run"
    assert not list(again.folder.glob(".*.draft"))


def test_votes_on_the_answers_of_a_run_are_learned_from_where_it_ended(one_base):
    ended_run("first")
    for number in range(24):
        asked = [{"role": "user", "content": f"What is {number} and one?"}]
        votes.add(
            Vote(
                prompt=asked, left=f"It is {number + 1}.", right="No idea.", vote="left",
                left_model="first", right_model="", base="demo",
            )
        )  # fmt: skip
    datasets.add(votes.rows(), "votes", source=Provenance("votes from the Compare page"))
    run = trained(method="dpo", sft_data=None, preference_data="votes", dpo=TWO_STEPS, start_from="first")
    start = first_evaluation(run, "dpo")
    assert start["eval_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert rewards(start) == [0.0, 0.0]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "kto", "thumbs_data": "thumbs", "kto": TWO_STEPS},
        {"method": "dpo", "dpo": TWO_STEPS | {"sft_weight": 0.5}},
        {"method": "dpo", "dpo": TWO_STEPS, "start_from": "first"},
    ],
    ids=["kto", "sft-term", "continued"],
)
def test_a_planted_wrong_reference_is_refused_in_every_path(one_base, monkeypatch, changes):
    store_thumbs()
    ended_run("first")
    monkeypatch.setattr(adapters, "restore_fp32", adapters.restore_fp32)  # so that it is put back after the test
    wrong_reference()
    run = create_run(small_config(**changes))
    assert train.main(str(run.folder)) == 1
    assert "the reference is not the model that training starts from" in run.result().why
    assert not run.has_adapter


def ended_run(name: str) -> Run:
    """A finished run whose adapter says something, without the training."""
    import torch

    run = finished(name)
    config = run.config()
    model = load.add_adapter(load.load_base(), config.adapter, False, 5)
    for parameter, weight in model.named_parameters():
        if "lora_B" in parameter:
            weight.data += 0.02 * torch.randn(weight.shape)
    model.save_pretrained(run.adapter, safe_serialization=True)
    return run


@pytest.mark.parametrize("method", ["kto", "sft+dpo"])
def test_the_other_methods_go_on_from_another_run_too(one_base, method):
    store_thumbs()
    ended_run("first")
    run = trained(method=method, thumbs_data="thumbs", sft=TWO_STEPS, dpo=TWO_STEPS, kto=TWO_STEPS, start_from="first")
    start = first_evaluation(run, run.config().stages[-1])
    assert abs(start["eval_loss"] - (0.5 if method == "kto" else math.log(2))) < 0.002
    assert [start.get(f"eval_rewards/{side}", 0.0) for side in ("chosen", "rejected")] == [0.0, 0.0]
    assert reference_label(run.config()) == (
        "run first as it ended" if method == "kto" else "the SFT model of this run"
    )


def test_a_run_that_was_paused_keeps_the_reference_that_it_started_from(one_base, monkeypatch):
    """The run that it started from is gone meanwhile; its own copy is the reference."""
    import torch
    from safetensors.torch import load_file

    first = ended_run("first")
    ended = load_file(first.adapter / "adapter_model.safetensors")
    run = create_run(small_config(method="dpo", dpo=TWO_STEPS, start_from="first"))
    run.stop_file.write_text("pause")
    assert train.main(str(run.folder)) == 0
    assert run.result().outcome == "paused"
    run.forget_end()
    shutil.rmtree(first.folder)

    reference = {}
    restore = adapters.restore_fp32

    def look(model, before):
        restore(model, before)
        reference.update({name: w.detach().clone() for name, w in model.named_parameters() if ".ref." in name})

    monkeypatch.setattr(adapters, "restore_fp32", look)
    assert train.main(str(run.folder)) == 0, run.result()
    assert run.result().outcome == "finished"
    assert len(reference) == len(ended)
    for name, weight in ended.items():
        assert torch.equal(reference[name.replace(".weight", ".ref.weight")].float(), weight), name


def test_a_run_that_branches_off_goes_on_with_its_own_learning_rate_and_the_reference_of_the_first(
    one_base, monkeypatch
):
    """Half the rate from step 4 on, where the first run broke at step 7; nothing of it is needed afterwards.

    Its reference is the run that the first one started from. Step 5 has the same weights before it, the same pairs and the same reference: so the same loss and rewards, and half the
    rate. Step 6 is its own.
    """
    from workbench.engine import report

    known = report.ReportCallback.on_step_end

    def breaks(self, args, state, control, **_):
        known(self, args, state, control)
        if state.global_step == 7:
            raise RuntimeError("the power went")

    ended_run("zero")
    settings = {"method": "dpo", "start_from": "zero", "checkpoint_steps": 2}
    first = create_run(small_config("first", **settings, dpo={"learning_rate": 2e-4, "max_steps": 8}))
    monkeypatch.setattr(report.ReportCallback, "on_step_end", breaks)
    assert train.main(str(first.folder)) == 1
    monkeypatch.setattr(report.ReportCallback, "on_step_end", known)
    fork = forks.newest_before(first, "dpo", 5)
    assert fork == Fork("first", "dpo", 4)
    half = small_config("half", **settings, dpo={"learning_rate": 1e-4, "max_steps": 8})
    training.check(half, fork)
    branch = training.make_run(half, fork)
    before = {row["step"]: row for row in first.metrics() if "loss" in row}
    shutil.rmtree(first.folder)

    assert train.main(str(branch.folder)) == 0, branch.result()
    rows = branch.metrics()
    after = {row["step"]: row for row in rows if "loss" in row}
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row[FORKED] for row in rows if FORKED in row] == [{"run": "first", "stage": "dpo", "step": 4}]
    for step in (5, 6):
        assert after[step]["learning_rate"] == pytest.approx(before[step]["learning_rate"] / 2)
    for key in ("loss", "rewards/chosen", "rewards/rejected"):
        assert after[4][key] == before[4][key] and after[5][key] == before[5][key]
        assert after[6][key] != before[6][key]
    card = (branch.adapter / "README.md").read_text()
    assert "| Reference | run zero as it ended, as in run first |" in card
    assert "| Branched off at | step 4 of DPO of first |" in card


def test_two_more_epochs_start_from_the_finished_run_which_is_their_reference(one_base):
    """Of an SFT, then DPO run the DPO is done once more; it starts at ln 2, with the adapter that the run ended with."""
    first = ended_run("first")
    config = more_epochs(first.config(), "first-2")
    assert (config.method, config.dpo.epochs, config.dpo.max_steps, config.sft_data) == ("dpo", 2, 0, None)
    assert (config.dpo.learning_rate, config.start_from) == (first.config().dpo.learning_rate, "first")
    assert reference_label(config) == "run first as it ended"
    one_step = {"dpo": config.dpo.model_dump() | {"max_steps": 1}, "preference_data": few_rows()["preference_data"]}
    run = create_run(demo_config(**config.model_dump() | SMALL | one_step))
    # An earlier life of it was lost before its first checkpoint: it begins again, and those steps do not count.
    for step in range(3):
        log_numbers(run, "dpo", step, 3, {"loss": 9.0, "eval_loss": 9.0})
    assert train.main(str(run.folder)) == 0, run.result()
    assert [row["step"] for row in run.metrics() if "loss" in row] == [1]
    start = first_evaluation(run, "dpo")
    assert abs(start["eval_loss"] - math.log(2)) < 0.002
    assert rewards(start) == [0.0, 0.0]


def test_a_start_that_does_not_fit_is_refused_with_all_that_stands_against_it():
    finished("first")
    other = {"source": "hub", "name": "owner/other"}
    with pytest.raises(WorkbenchError) as refused:
        training.start(
            demo_config("second", model=other, adapter={"rank": 8, "alpha": 16}, start_from="first"), ["no-such-worker"]
        )
    assert refused.value.problems == (
        "first was trained on demo model, and the model is other. An adapter fits its own base model only: choose that one "
        "on the Model page, or another run.",
        "Rank is 8, and first was trained with 16. Set rank to 16.",
        "Alpha is 16, and first was trained with 32. Set alpha to 32.",
    )
    create_run(demo_config("unfinished"))
    with pytest.raises(WorkbenchError, match="unfinished has no adapter to start from"):
        starting_run(demo_config(start_from="unfinished"))
    with pytest.raises(WorkbenchError, match="There is no run called nowhere"):
        starting_run(demo_config(start_from="nowhere"))


def test_only_runs_of_the_same_model_that_left_an_adapter_can_be_started_from():
    finished("first")
    finished("elsewhere", model={"source": "hub", "name": "owner/other"})
    create_run(demo_config("unfinished"))
    assert [run.name for run in runs_to_start_from(demo_config().model)] == ["first"]


def test_data_of_another_kind_is_refused_before_anything_starts():
    store_thumbs()
    with pytest.raises(WorkbenchError, match="DPO cannot learn from thumbs: it holds answers with a thumb up or down"):
        training.start(demo_config(method="dpo", preference_data="thumbs"), ["no-such-worker"])
    with pytest.raises(WorkbenchError, match="KTO cannot learn from demo-preferences: it holds preference pairs"):
        training.start(demo_config(method="kto", thumbs_data="demo-preferences"), ["no-such-worker"])
    liked, disliked = datasets.thumbs("thumbs")
    assert liked == disliked
