"""Trainers that never hold a batch's logits train as TRL's own do."""

import random

import pytest
import torch
from configs import demo_config
from datasets import Dataset
from model_memory import CPU, tiny_config, tiny_model, with_adapter

from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import trainer_arguments
from workbench.engine import packed_rows, reading
from workbench.engine.adapters import restore_fp32
from workbench.engine.load import load_tokenizer
from workbench.engine.stage import trainer_class
from workbench.store.home import shipped

WORDS = ["sun", "rain", "river", "stone", "bread", "green", "seven", "under", "quick", "silent", "north", "paper"]
STEPS = 50


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(shipped("assets") / "demo" / "model")


def rows(stage, count=48):
    """Prompts and answers of many lengths, some answers beginning alike."""
    dice = random.Random(4)

    def text(most):
        return " ".join(dice.choices(WORDS, k=dice.randint(1, most)))

    found = []
    for _ in range(count):
        prompt, chosen = text(20) + ".", " " + text(8)
        rejected = chosen[: dice.randint(0, len(chosen))] + " " + text(8)
        found.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    if stage == "kto":
        return [
            {"prompt": row["prompt"], "completion": row[which], "label": which == "chosen"}
            for row, which in zip(found, ["chosen", "rejected"] * (count // 2), strict=True)
        ]
    return found


def trainer(stage, tokenizer, folder, own, architecture="llama", steps=STEPS, **settings):
    """The workbench's trainer of a method, or TRL's (those of experimental methods: ours in tokens, reading as TRL does)."""
    config = demo_config(
        "read",
        method=stage,
        adapter={"rank": 4, "alpha": 8},
        batch_size=4,
        accumulation=1,
        max_length=64,
        gradient_checkpointing=False,
        group_by_length=False,
        reference="beside",
        thumbs_data="demo-thumbs",
        precision="fp32",
        **settings,
    )
    method = METHODS[stage]
    vocabulary = {"vocab_size": len(tokenizer)}
    model = with_adapter(tiny_model(tiny_config(architecture) | vocabulary, "fp32"), config)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    make, arguments = trainer_class(config, stage, None)
    if not own and not method.experimental:
        make = next(one for one in make.__mro__ if one.__module__.startswith("trl."))
    plain = trainer_arguments(config, stage, CPU, steps, str(folder))
    found = make(
        model=model,
        args=arguments(**plain | {"eval_strategy": "no", "eval_on_start": False, "learning_rate": 1e-3}),
        train_dataset=Dataset.from_list(rows(stage)),
        processing_class=tokenizer,
    )
    if not own and method.experimental:
        found.reader = None
    restore_fp32(model, before)
    return found


@pytest.mark.parametrize(
    "stage", ["dpo", *(pytest.param(one, marks=pytest.mark.slow) for one in ("kto", "orpo", "simpo"))]
)
def test_fifty_steps_have_the_losses_of_trl(stage, tokenizer, tmp_path, monkeypatch):
    """Within 1e-4 of it, relatively, though weights move on with each step; every batch is read in packed rows."""
    monkeypatch.setattr(packed_rows, "WORTH", 100)
    curves = []
    for own in (True, False):
        torch.manual_seed(1)
        one = trainer(stage, tokenizer, tmp_path, own)
        one.train()
        curves.append([row for row in one.state.log_history if "loss" in row])
        if own:
            assert one.reader.facts()["packed"] == one.reader.facts()["batches"] >= STEPS
    ours, theirs = curves
    assert len(ours) == len(theirs) == STEPS
    for mine, its in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(its["loss"], rel=1e-4)
        assert mine["grad_norm"] == pytest.approx(its["grad_norm"], rel=1e-3)
    assert ours[-1]["loss"] < 0.99 * ours[0]["loss"] or stage == "kto"
    same = {"rewards/margins", "rewards/accuracies", "logps/chosen", "entropy", "mean_token_accuracy", "nll_loss"}
    for name in same & theirs[-1].keys():
        assert ours[-1][name] == pytest.approx(theirs[-1][name], rel=1e-3, abs=1e-4), name
    assert "logits/chosen" not in ours[-1]


def test_a_model_that_does_more_to_its_logits_keeps_trls_path(tokenizer, tmp_path):
    """Of a family that nobody looked at: its logits are not what the output layer says."""
    one = trainer("dpo", tokenizer, tmp_path, own=True, steps=2)
    base = one.model.get_base_model()
    assert reading.knows_output_layer(one.model) and one.use_liger_kernel
    forward = base.forward

    def stranger(*arguments, **named):
        found = forward(*arguments, **named)
        found.logits = found.logits * torch.linspace(0, 20, found.logits.shape[-1])
        return found

    base.forward = stranger
    assert not reading.knows_output_layer(one.model)

    def refuses(*arguments, **named):
        raise TypeError("unknown argument use_cache")

    base.forward = refuses
    assert not reading.knows_output_layer(one.model)


def test_rewards_of_pairs_read_once_are_those_of_two_rows(tokenizer, tmp_path, monkeypatch):
    from workbench.engine.rewards import scored

    config = demo_config("reward", method="reward", adapter={"rank": 4, "alpha": 8}, precision="fp32")
    model = with_adapter(tiny_model(tiny_config("qwen2"), "fp32", scores=True), config)
    ids = torch.randint(5, 200, (4, 12))
    ids[2:, :7] = ids[:2, :7]
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    base = model.get_base_model()
    monkeypatch.setattr(packed_rows, "WORTH", 100)
    reader = reading.Reader(model, 64, pairs=True)
    once, twice = scored(base, ids, mask, read=reader.read), scored(base, ids, mask)
    torch.testing.assert_close(once, twice, atol=1e-5, rtol=1e-4)
    assert (reader.facts()["packed"], reader.facts()["pairs"]) == (1, True)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_answers_of_its_own_are_read_as_trl_reads_them(algorithm, tokenizer, tmp_path):
    """At a temperature, with prompts padded on the left and answers on the right."""
    from workbench.engine.rloo import GrpoOnOneBase, RlooOnOneBase

    made = {"rloo": RlooOnOneBase, "grpo": GrpoOnOneBase}[algorithm]
    model = with_adapter(tiny_model(tiny_config("qwen3"), "fp32"), demo_config("own", adapter={"rank": 4, "alpha": 8}))
    one = made.__new__(made)
    one.args = type("Args", (), {"per_device_train_batch_size": 2})()
    alone = {"autocast": torch.no_grad, "unwrap_model": lambda self, model: model, "is_main_process": True}
    one.accelerator = type("Accelerator", (), alone)()
    one.model, one.temperature, one.model_kwarg_keys, one.use_liger_kernel = model, 0.8, {"logits_to_keep"}, False
    one._entropy_bonus_enabled = False
    one.reader = reading.Reader(model, None, pairs=False)
    ids, mask = torch.randint(5, 200, (4, 14)), torch.ones(4, 14, dtype=torch.long)
    mask[0, :3], mask[2, 12:] = 0, 0
    with torch.no_grad():
        ours = one._get_per_token_logps_and_entropies(model, ids, mask, 6, compute_entropy=True)
        one.reader = None
        theirs = one._get_per_token_logps_and_entropies(model, ids, mask, 6, compute_entropy=True)
    there = mask[:, -6:].bool()
    for mine, its in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine[there], its[there], atol=1e-4, rtol=0)


def test_the_details_of_a_run_say_how_its_batches_were_read():
    from workbench.ui.run_view import reading_summary

    counted = {"batches": 1200, "packed": 1100, "pairs": True, "tokens": 380, "padded_tokens": 1000}
    words = reading_summary("dpo", counted)
    assert words.startswith("DPO: 1,100 of 1,200 batches with the prompt of a pair read once for both answers")
    assert words.endswith("; 38% of their tokens in all")
    assert "several examples in a row" in reading_summary("kto", counted | {"pairs": False})
    words = reading_summary("dpo", {"batches": 8, "packed": 0, "why_not": "Unsloth's own attention knows no such mask"})
    assert words == "DPO: all 8 batches in padded rows, since Unsloth's own attention knows no such mask"


def test_what_an_earlier_version_wrote_of_its_batches_is_still_told():
    from workbench.store.run_files import Environment
    from workbench.ui.run_view import reading_summary

    stored = Environment.model_validate({"reading": {"dpo": {"batches": 9, "prompts_once": 7}}})
    words = reading_summary("dpo", stored.model_dump(exclude_unset=True)["reading"]["dpo"])
    assert words.startswith("DPO: 7 of 9 batches") and words.endswith("than padded rows")
