"""The forecast of memory against real modules, against numbers worked by hand, and against real steps on the CPU."""

import gc
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from model_memory import SIZES, judge_for, passing_peak, tiny_config, tiny_model, trainer_for, with_adapter

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import KNOWN, shape_of
from workbench.core.memory.forecast import Companions, adapter_weights, forecast, nf4_bytes, optimizer_bytes, stored
from workbench.core.memory.plan import Smaller, fit_message, plan, remedies, verdict
from workbench.core.training.config import ModelRef, RunConfig, read_config
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device
from workbench.store import presets
from workbench.store.home import shipped
from workbench.store.model_configs import config_of, download_config, preset_configs, suggestions
from workbench.store.weights import count_parameters
from workbench.ui import theme
from workbench.ui.memory_bar import memory_bar

CPU = Device("cpu", "CPU", False)
CARD = Device("cuda", "a card", True, 12 * 2**30)
LLAMA_8B, QWEN_HALF_B = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"


def run(**changes) -> RunConfig:
    return read_config({"name": "a-run", "method": "dpo", "preference_data": "pairs"} | changes)


def shape(id: str):
    return shape_of(preset_configs()[id])


def bytes_of(tensors) -> int:
    """Of every storage once, however many tensors look at it."""
    return sum({tensor.untyped_storage().data_ptr(): tensor.nbytes for tensor in tensors}.values())


# Exact to the byte


@pytest.mark.parametrize("architecture", SIZES)
def test_what_is_stored_is_what_real_modules_hold(architecture):
    """NF4 weights, all other weights, adapter, gradients and moments of a random model, counted tensor by tensor."""
    import torch
    from bitsandbytes.nn import Linear4bit

    config = run(adapter={"rank": 4, "alpha": 8})
    model = with_adapter(tiny_model(tiny_config(architecture), "nf4"), config)
    quantized, packed = [], set()
    for module in model.modules():
        if isinstance(module, Linear4bit):
            state = module.weight.quant_state
            quantized += [module.weight, state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
            packed.add(id(module.weight))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    others = [weight for weight in model.parameters() if not weight.requires_grad and id(weight) not in packed]
    optimizer = torch.optim.AdamW(trained)
    model(input_ids=torch.arange(16)[None], labels=torch.arange(16)[None]).loss.backward()
    optimizer.step()

    expected = stored(shape_of(tiny_config(architecture)), config, "dpo", CPU, Companions())
    assert expected == {
        "weights_4bit": bytes_of(quantized),
        "embeddings": bytes_of(others),
        "adapter": bytes_of(trained),
        "gradients": bytes_of([weight.grad for weight in trained]),
        "optimizer": bytes_of(
            part for moments in optimizer.state.values() for part in moments.values() if torch.is_tensor(part)
        ),
    }


@pytest.mark.parametrize("architecture", sorted(set(SIZES) - {"granite", "granitemoehybrid"}))
def test_what_a_reward_model_stores_is_what_real_modules_hold(architecture):
    """No output layer, which only a tied one leaves behind as the embeddings; a head of hidden x 1, and its copy that trains."""
    import torch
    from bitsandbytes.nn import Linear4bit

    from workbench.engine.rewards import scored

    values, config = tiny_config(architecture), run(method="reward", adapter={"rank": 4, "alpha": 8})
    model = with_adapter(tiny_model(values, "nf4", scores=True), config)
    packed = {id(module.weight) for module in model.modules() if isinstance(module, Linear4bit)}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    others = [weight for weight in model.parameters() if not weight.requires_grad and id(weight) not in packed]
    ids = torch.arange(16)[None]
    optimizer = torch.optim.AdamW(trained)
    scored(model.get_base_model(), ids, torch.ones_like(ids)).sum().backward()
    optimizer.step()
    moments = [part for state in optimizer.state.values() for part in state.values() if torch.is_tensor(part)]

    found = stored(shape_of(values), config, "reward", CPU, Companions())
    held = {"embeddings": others, "adapter": trained, "gradients": [one.grad for one in trained], "optimizer": moments}
    assert {part: found[part] for part in held} == {part: bytes_of(tensors) for part, tensors in held.items()}
    as_policy = stored(shape_of(values), run(adapter={"rank": 4, "alpha": 8}), "dpo", CPU, Companions())
    assert found["weights_4bit"] == as_policy["weights_4bit"]
    output_layer = 0 if shape_of(values).tied else 4 * values["vocab_size"] * values["hidden_size"]
    assert as_policy["embeddings"] - found["embeddings"] == output_layer - 4 * values["hidden_size"]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_an_unquantized_model_is_as_large_as_its_parameters(precision):
    model = tiny_model(tiny_config("qwen2"), precision)
    parts = stored(shape_of(tiny_config("qwen2")), run(precision=precision), "dpo", CPU, Companions())
    assert parts["weights"] + parts["embeddings"] == bytes_of(model.parameters())
    assert "weights_4bit" not in parts


@pytest.mark.parametrize("optimizer, bits", [("paged_adamw_8bit", 8), ("paged_adamw_32bit", 32)])
def test_the_moments_of_bitsandbytes_are_counted_as_it_stores_them(optimizer, bits):
    """Rank 64 on 36 to 90 features: tensors under and over the 4,096 entries from which 8 bits are used."""
    import bitsandbytes
    import torch

    config = run(adapter={"rank": 64, "alpha": 8})
    model = with_adapter(tiny_model(tiny_config("llama"), "nf4"), config)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert {weight.numel() < 4096 for weight in trained} == {True, False}
    adam = bitsandbytes.optim.AdamW(trained, optim_bits=bits, is_paged=True)
    # The states are made without a step, which some CPUs have no kernel for.
    for place, weight in enumerate(trained):
        adam.init_state(adam.param_groups[0], weight, 0, place)
    made = [part for moments in adam.state.values() for part in moments.values() if torch.is_tensor(part)]
    assert optimizer_bytes(shape_of(tiny_config("llama")), 64, optimizer) == bytes_of(made)


def test_the_reference_of_dpo_after_sft_is_a_second_frozen_adapter():
    size = shape_of(tiny_config("llama"))
    alone, after = run(), run(method="sft+dpo")
    weights = adapter_weights(size, 16)
    assert stored(size, alone, "dpo", CPU, Companions())["adapter"] == 4 * weights
    assert stored(size, after, "sft", CPU, Companions())["adapter"] == 4 * weights
    assert stored(size, after, "dpo", CPU, Companions())["adapter"] == 8 * weights
    assert stored(size, after, "dpo", CPU, Companions())["gradients"] == 4 * weights
    assert stored(size, alone, "dpo", CPU, Companions(from_adapter=True))["adapter"] == 8 * weights


def test_a_real_dpo_after_sft_holds_that_second_adapter():
    import torch

    config = run(method="sft+dpo", adapter={"rank": 4, "alpha": 8})
    model = with_adapter(tiny_model(tiny_config("llama"), "nf4"), config)
    model.add_adapter("ref", model.peft_config["default"])
    held = [weight for name, weight in model.named_parameters() if "lora_" in name]
    assert {weight.dtype for weight in held} == {torch.float32}
    assert stored(shape_of(tiny_config("llama")), config, "dpo", CPU, Companions())["adapter"] == bytes_of(held)


ANSWERS = {"method": "rloo", "rloo": {"reward_run": "judge", "answer_tokens": 48, "group_size": 2}}


def test_policy_reference_and_reward_are_three_adapters_on_one_base():
    """The reward's adapter has the rank of its own run, and a head; a rule has neither, a model beside the base all its weights."""
    size, online = shape_of(tiny_config("llama")), run(**ANSWERS)
    one, head = 4 * adapter_weights(size, 16), 4 * size.hidden
    fresh = stored(size, online, "rloo", CPU, Companions())
    assert (fresh["adapter"], fresh["reward"], fresh["gradients"]) == (one, one + head, one)
    later = stored(size, online, "rloo", CPU, Companions(from_adapter=True, reward_rank=4, reward_bytes=1000))
    assert (later["adapter"], later["reward"]) == (2 * one, one // 4 + head + 1000)
    by_rule = run(method="rloo", rloo={"rules": "1 words: gladly"})
    assert stored(size, by_rule, "rloo", CPU, Companions())["reward"] == 0
    assert "reward" not in stored(size, run(), "dpo", CPU, Companions())


def test_a_real_policy_holds_those_three_adapters():
    from workbench.engine.load import load_tokenizer

    config = run(**ANSWERS, adapter={"rank": 4, "alpha": 8})
    values = tiny_config("llama") | {"vocab_size": 1536}
    model = with_adapter(tiny_model(values, "nf4"), config)
    model.add_adapter("ref", model.peft_config["default"])
    judge = judge_for(values, config, model, load_tokenizer(shipped("assets") / "demo" / "model"))
    found = stored(shape_of(values), config, "rloo", CPU, Companions(from_adapter=True))
    held = {name: weight for name, weight in model.named_parameters() if "lora_" in name}
    assert found["reward"] == bytes_of(judge.weights().values())
    assert found["adapter"] == bytes_of([weight for name, weight in held.items() if ".reward." not in name])


# Worked by hand


def test_one_matrix_in_nf4():
    """64 x 96 = 6,144 weights: 3,072 packed bytes, 96 absmax, 1 fp32 of them, codes of 64 + 1,024, an offset of 4."""
    assert nf4_bytes(6144) == 3072 + 96 + 4 + 64 + 1024 + 4
    # 127 weights: 64 bytes, two blocks, one fp32.
    assert nf4_bytes(127) == 64 + 2 + 4 + 1092


def test_nf4_of_a_large_matrix_is_4_127_bits_per_weight():
    assert 8 * nf4_bytes(4096 * 14336) / (4096 * 14336) == pytest.approx(4.127, abs=0.001)


def test_llama_3_1_8b_by_hand():
    """32 layers of 4096 x (4096 + 1024 + 1024 + 4096) + 3 x 4096 x 14336 = 218.1 M weights: 6.98 billion.

    Embeddings and head 2 x 128,256 x 4,096, norms 65 x 4,096, in bf16: 2.10 GB. The table's 5.70 GB is 3.60 + 2.10.
    Adapter: 16 x 32 x (8192 + 2 x 5120 + 8192 + 3 x 18432) = 41.9 M weights of 16 bytes: .67 GB.
    """
    size = shape(LLAMA_8B)
    assert size.linear_weights == 32 * (4096 * 10240 + 3 * 4096 * 14336) == 6_979_321_856
    parts = stored(size, run(), "dpo", CARD, Companions())
    assert parts["embeddings"] == 2 * (2 * 128_256 * 4096 + 65 * 4096)
    assert (parts["weights_4bit"] + parts["embeddings"]) / 1e9 == pytest.approx(5.70, abs=0.01)
    assert adapter_weights(size, 16) == 16 * 32 * (8192 + 2 * 5120 + 8192 + 3 * 18432)
    assert (parts["adapter"] + parts["gradients"] + parts["optimizer"]) / 1e9 == pytest.approx(0.67, abs=0.005)


def test_qwen_2_5_half_a_billion_by_hand():
    """24 layers of 896 x (896 + 128 + 128 + 896) + 3 x 896 x 4864: .358 billion. Tied embeddings of 151,936 x 896.

    Norms 49 x 896; biases 24 x (896 + 128 + 128). NF4 .185 GB, the rest in bf16 .272 GB: .46 GB together.
    """
    size = shape(QWEN_HALF_B)
    assert size.linear_weights == 24 * (896 * 2048 + 3 * 896 * 4864)
    assert size.unquantized_weights == 151_936 * 896 + 49 * 896 + 24 * 1152
    parts = stored(size, run(), "dpo", CARD, Companions())
    assert (parts["weights_4bit"] + parts["embeddings"]) / 1e9 == pytest.approx(0.46, abs=0.005)
    assert (parts["adapter"] + parts["gradients"] + parts["optimizer"]) / 1e9 == pytest.approx(0.14, abs=0.005)


def test_logits_are_made_of_a_few_tokens_at_a_time():
    """2**24 logits with their probabilities in fp32, and those in bf16: .17 GB, however long the pairs are; and what is cut out
    and kept of each token. From 2,048 tokens on a layer on its way back takes more."""
    found = forecast(shape(QWEN_HALF_B), run(batch_size=1, max_length=256), "dpo", CARD)
    assert found.moment == "while the loss and its gradient are computed"
    assert found.parts["logits"] == round(1.04 * (2**24 // 151_936 * 151_936 * 10 + 512 * 896 * 4 * 2))
    for length in (2048, 4096):
        longer = forecast(shape(QWEN_HALF_B), run(batch_size=1, max_length=length), "dpo", CARD)
        assert longer.moment == "in the backward pass" and longer.parts["logits"] == 0
    assert longer.total < 3.5e9, "with all logits at once it was 18 GB"


def test_the_plan_of_a_small_model_on_a_laptop():
    """Qwen2.5-0.5B at the defaults: with all logits at once it was 17.2 GB, of which 15.6 GB were logits."""
    assert forecast(shape(QWEN_HALF_B), run(), "dpo", CPU).total < 3e9


def test_sft_never_builds_all_logits():
    """256 tokens x 151,936 x 18 bytes = .70 GB, however long the example is."""
    found = forecast(shape(QWEN_HALF_B), run(batch_size=1, max_length=4096), "sft", CARD)
    assert found.parts["logits"] / 1e9 == pytest.approx(0.75, abs=0.05)


def test_checkpointing_keeps_the_inputs_of_the_layers():
    """Llama 3.1 8B, one pair of 1,024 tokens: 2 x 1,024 x 4,096 x 2 bytes x 32 layers = .537 GB for 32 more layers, their
    adapters once more in bf16, .084 GB, and 4 % for what is small. One layer at a time is at work, however many there are."""
    one = shape(LLAMA_8B)
    twice = replace(one, layers=64, linears=tuple(replace(linear, count=2 * linear.count) for linear in one.linears))
    parts = [forecast(size, run(batch_size=1, max_length=1024), "dpo", CARD).parts for size in (one, twice)]
    grown = parts[1]["activations"] - parts[0]["activations"]
    assert grown / 1e9 == pytest.approx(1.04 * (0.537 + 0.084), abs=0.002)


def test_both_answers_of_a_pair_count_and_the_mismatched_one_of_kto_does_not():
    """It passes without gradients, before the answer that is learned from."""
    size = shape(LLAMA_8B)
    pairs, answers = (forecast(size, run(batch_size=n), method, CARD).parts for n, method in ((2, "dpo"), (4, "kto")))
    assert pairs["activations"] == answers["activations"]


def test_what_a_run_of_an_earlier_version_holds_is_read_as_far_as_it_is_known():
    """It chose between ways to the logits too, of which there is one now."""
    stored = {"from_adapter": True, "fused_loss": False, "chunked_logits": True}
    assert Companions.of(stored) == Companions(from_adapter=True)


def test_the_context_is_cudas_and_a_cpu_has_none():
    assert forecast(shape(QWEN_HALF_B), run(), "dpo", CPU).parts["context"] == 0
    assert forecast(shape(QWEN_HALF_B), run(), "dpo", CARD).parts["context"] >= 1_400_000_000


def test_every_part_says_whether_it_is_exact():
    found = forecast(shape(LLAMA_8B), run(), "dpo", CARD)
    assert found.exact == ("weights_4bit", "embeddings", "adapter", "gradients", "optimizer")
    assert set(found.parts) - set(found.exact) == {"activations", "logits", "reference", "context"}
    assert found.total == sum(found.parts.values())


@pytest.mark.parametrize(
    "more",
    [
        {"max_length": 2048},
        {"batch_size": 8},
        {"adapter": {"rank": 64, "alpha": 64}},
        {"gradient_checkpointing": False},
        {"precision": "bf16"},
        {"precision": "fp32"},
        {"method": "sft+dpo"},
    ],
)
def test_what_costs_memory_costs_it_in_the_forecast(more):
    for id in preset_configs():
        assert forecast(shape(id), run(**more), "dpo", CARD).total > forecast(shape(id), run(), "dpo", CARD).total, id


# Never below the truth: real steps of TRL on the CPU


@pytest.mark.parametrize(
    "settings",
    [
        {"stage": "dpo"},
        {"stage": "dpo", "reference": "beside"},
        {"stage": "dpo", "checkpointing": False},
        {"stage": "dpo", "vocabulary": 6144},
        {"stage": "orpo", "vocabulary": 6144},
        {"stage": "simpo", "vocabulary": 6144},
        {"stage": "sft", "length": 256},
        {"stage": "sft", "checkpointing": False, "dropout": 0.1},
        {"stage": "reward"},
        {"stage": "reward", "checkpointing": False, "vocabulary": 6144},
        {"stage": "rloo", "answer": 16, "from_adapter": True},
        {"stage": "rloo", "answer": 24, "checkpointing": False},
        {"stage": "rloo", "answer": 48, "vocabulary": 6144, "length": 64},
        {"stage": "rloo", "answer": 24, "vocabulary": 6144, "length": 64, "batch": 1},
    ],
    ids=str,
)
def test_the_forecast_is_not_below_the_peak_of_a_real_step(settings):
    """Padded rows; what passes is measured from PyTorch's own record of allocations and added to what is stored."""
    stage, length = settings["stage"], settings.get("length", 128)
    values = tiny_config("llama") | {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4}
    values["vocab_size"] = settings.get("vocabulary", 1536)
    batch, from_adapter = settings.get("batch", 2), settings.get("from_adapter", False)
    config = run(
        method=stage,
        batch_size=batch,
        accumulation=4 // batch,
        max_length=length,
        rloo=ANSWERS["rloo"] | {"answer_tokens": settings.get("answer", 8)},
        gradient_checkpointing=settings.get("checkpointing", True),
        reference=settings.get("reference", "kept"),
        adapter={"rank": 8, "alpha": 16, "dropout": settings.get("dropout", 0.0)},
    )
    ways = Companions(from_adapter=from_adapter)
    found = forecast(shape_of(values), config, stage, CPU, ways)
    fixed = sum(stored(shape_of(values), config, stage, CPU, ways).values())
    measured = fixed + passing_peak(values, config, stage, from_adapter)
    gc.collect()
    assert 1.0 <= found.total / measured <= 1.2


# Architectures


def test_the_tiny_models_cover_every_architecture_that_is_known():
    assert set(SIZES) == set(KNOWN)
    assert len(KNOWN) >= 6


def test_the_models_of_presets_have_the_parameters_that_are_published():
    configs = preset_configs()
    assert {model.id for model in presets.models()} == set(configs) and configs
    for model in presets.models():
        assert configs[model.id]["model_type"] == model.architecture
        assert shape_of(configs[model.id]).parameters == model.parameters, model.id


@pytest.mark.parametrize("model_type", ["mixtral", "mamba", "llama4", None, 3, ["llama"]])
def test_an_unknown_architecture_is_left_to_a_probe(model_type):
    with pytest.raises(WorkbenchError, match="cannot be forecast; a probe after loading will tell"):
        shape_of(tiny_config("llama") | {"model_type": model_type})


@pytest.mark.parametrize("value", [0, -1, 10**12, "64", 64.0, True, [64]])
def test_a_size_that_is_no_number_of_features_is_refused(value):
    with pytest.raises(WorkbenchError, match="hidden_size in the config.json is .*whole number"):
        shape_of(tiny_config("llama") | {"hidden_size": value})


def test_a_missing_size_is_named():
    with pytest.raises(WorkbenchError, match="no intermediate_size"):
        shape_of({key: value for key, value in tiny_config("llama").items() if key != "intermediate_size"})


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_granite_without_experts_trains(stage):
    """TRL takes a config that could name experts for one that does, and fails over the balance of none."""
    values = tiny_config("granitemoehybrid") | {"vocab_size": 1536, "router_aux_loss_coef": 0.01}
    trainer = trainer_for(values, run(method=stage, max_length=32, batch_size=2, accumulation=1), stage)
    trainer.train()
    assert all(math.isfinite(row["loss"]) for row in trainer.state.log_history if "loss" in row)
    assert "aux_loss" not in trainer.state.log_history[0]


def test_a_granite_with_mamba_layers_and_a_model_that_is_quantised_already_are_left_to_a_probe():
    with pytest.raises(WorkbenchError, match="Mamba layers or experts"):
        shape_of(tiny_config("granitemoehybrid") | {"layer_types": ["mamba", "attention"]})
    with pytest.raises(WorkbenchError, match="quantised already"):
        shape_of(tiny_config("llama") | {"quantization_config": {"quant_method": "gptq"}})


# Verdict and remedies


def test_tight_begins_above_nine_tenths():
    assert [verdict(total, 1000) for total in (0, 900, 901, 1000, 1001)] == ["fits", "fits", "tight", "tight", "no"]
    assert "0.50 GB too much" in fit_message("no", 8_500_000_000, 8_000_000_000)


def test_a_run_that_fits_needs_no_remedy():
    found = plan(shape(QWEN_HALF_B), run(batch_size=1), CARD, 24 * 10**9)
    assert found.verdict == "fits" and found.remedies == ()


def test_the_cheapest_remedy_is_a_smaller_batch_with_the_same_effective_batch():
    """8 pairs of Qwen 2.5 0.5B need 4.2 GB. 5, which fit too, do not divide 32; 4 need 3.1 GB."""
    config = run(batch_size=8, accumulation=4)
    found = plan(shape(QWEN_HALF_B), config, CARD, 4 * 10**9)
    assert found.verdict == "no"
    first = found.remedies[0]
    assert first.enough and first.changes == {"batch_size": 4, "accumulation": 8}
    after = plan(shape(QWEN_HALF_B), config.model_copy(update=dict(first.changes)), CARD, 4 * 10**9)
    assert after.verdict == "fits"
    assert first.saves == found.total - after.total


def test_remedies_that_only_help_together_add_up():
    config = run(batch_size=2, accumulation=8, gradient_checkpointing=False)
    before = plan(shape(LLAMA_8B), config, CARD, 11 * 10**9)
    together = [one for one in before.remedies if not one.enough]
    assert [set(one.changes) for one in together] == [{"batch_size", "accumulation"}, {"gradient_checkpointing"}]
    changed = config.model_copy(update={key: value for one in together for key, value in one.changes.items()})
    after = plan(shape(LLAMA_8B), changed, CARD, 11 * 10**9)
    assert after.verdict == "fits"
    assert sum(one.saves for one in together) == before.total - after.total


def test_every_remedy_is_a_change_that_a_config_takes():
    for id in preset_configs():
        for free in (4, 6, 8, 12, 16, 24):
            for remedy in plan(shape(id), run(), CARD, free * 10**9, smaller=suggestions()).remedies:
                values = run().model_dump()
                for name, value in remedy.changes.items():
                    values[name] = values[name] | value if isinstance(value, dict) else value
                assert read_config(values) != run()
                assert remedy.saves > 0


def test_a_smaller_model_is_suggested_where_nothing_else_is_enough():
    found = plan(shape(LLAMA_8B), run(), CARD, 6 * 10**9, smaller=suggestions())
    assert {"model", "batch_size"} <= {key for one in found.remedies for key in one.changes}
    assert any("smaller model" in one.words for one in found.remedies)


def test_no_other_model_is_suggested_where_an_adapter_of_this_one_is_needed():
    for config in (run(**ANSWERS), run(start_from="first")):
        found = plan(shape(LLAMA_8B), config, CARD, 6 * 10**9, smaller=suggestions()).remedies
        assert found and not any("model" in one.changes for one in found)


def test_shorter_answers_are_a_remedy_of_a_method_that_writes_them():
    config = run(**ANSWERS, batch_size=1, accumulation=8, max_length=1024)
    config = config.model_copy(update={"rloo": config.rloo.model_copy(update={"answer_tokens": 512})})
    found = [one for one in remedies(shape(QWEN_HALF_B), config, CARD, 10**9) if "max_length" in one.changes]
    assert {(one.changes["max_length"], one.changes["rloo"]["answer_tokens"]) for one in found} == {(640, 128)}


def test_a_longer_answer_is_all_that_its_logits_cost():
    """Of a method that writes answers only theirs are judged; prompts of any length add nothing."""
    own = {"rloo": ANSWERS["rloo"] | {"answer_tokens": 32, "reward_run": "", "rules": "json"}, "method": "rloo"}
    found = [forecast(shape(QWEN_HALF_B), run(**own, max_length=length), "rloo", CARD) for length in (48, 64)]
    assert {one.moment for one in found} == {"while the loss and its gradient are computed"}
    assert found[0].parts["logits"] == found[1].parts["logits"]


def test_a_paged_optimizer_is_not_suggested_on_a_cpu():
    config = run(max_length=64, batch_size=1, adapter={"rank": 256, "alpha": 256})
    for device, offered in ((CPU, False), (CARD, True)):
        total = plan(shape(QWEN_HALF_B), config, device, 10**12).total
        found = remedies(shape(QWEN_HALF_B), config, device, total)
        assert any("optimizer" in one.changes for one in found) == offered


def test_where_nothing_is_enough_the_changes_that_save_most_are_named():
    found = plan(shape(LLAMA_8B), run(), CARD, 10**9)
    assert len(found.remedies) == 3
    assert not any(one.enough for one in found.remedies)


def test_a_larger_model_is_never_suggested():
    large = Smaller("a/large", "Large", shape(LLAMA_8B))
    assert not any("model" in one.changes for one in remedies(shape(QWEN_HALF_B), run(), CARD, 10**9, smaller=[large]))


def test_the_plan_as_json():
    found = plan(shape(QWEN_HALF_B), run(method="sft+dpo"), CARD, 3 * 10**9, smaller=suggestions())
    written = json.loads(json.dumps(found.as_json()))
    assert written["total"] == sum(written["bytes"].values())
    assert written["free"] == 3 * 10**9
    assert written["verdict"] in ("fits", "tight", "no")
    assert written["remedies"] and {"words", "saves", "changes"} <= written["remedies"][0].keys()
    assert written["stage"] == "dpo"


# Where a config comes from


def test_the_demo_and_the_presets_need_no_network():
    def refuse(name, revision):
        raise AssertionError("the network was asked")

    demo = shape_of(config_of(ModelRef(), refuse))
    assert demo.parameters == count_parameters(shipped("assets") / "demo" / "model")
    known = config_of(ModelRef(source="hub", name=LLAMA_8B), refuse)
    assert shape_of(known).parameters == 8_030_261_248


def test_a_folder_and_a_download_are_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("qwen3")))
    assert config_of(ModelRef(source="folder", name=str(tmp_path)))["model_type"] == "qwen3"
    asked = []

    def download(name: str, revision: str | None) -> Path:
        asked.append((name, revision))
        return tmp_path / "config.json"

    assert config_of(ModelRef(source="hub", name="made/up", revision="v1"), download)["model_type"] == "qwen3"
    assert asked == [("made/up", "v1")]


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '{"model_type": "a b; import os"}'])
def test_a_config_that_cannot_be_read_or_trusted_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WorkbenchError):
        config_of(ModelRef(source="folder", name=str(tmp_path)))


def test_a_folder_that_is_none_or_has_no_config_is_named(tmp_path):
    with pytest.raises(WorkbenchError, match="There is no folder"):
        config_of(ModelRef(source="folder", name=str(tmp_path / "gone")))
    with pytest.raises(WorkbenchError, match="has no config.json"):
        config_of(ModelRef(source="folder", name=str(tmp_path)))


def test_without_a_network_an_unknown_model_is_said_in_words_and_soon(monkeypatch):
    import huggingface_hub.constants

    address = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"  # nothing answers there
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    began = time.monotonic()
    with pytest.raises(WorkbenchError, match="the Hub cannot be reached"):
        download_config("made-up-owner/made-up-model", None)
    assert time.monotonic() - began < 10, "the Hub's library itself would try for half a minute"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WorkbenchError, match="HF_HUB_OFFLINE is set"):
        download_config("made-up-owner/made-up-model", None)


# The bar


def test_the_bar_shows_every_part_and_escapes_what_a_remedy_says():
    hostile = Smaller("a/b", "<script>", shape_of(tiny_config("llama")))
    found = plan(shape(LLAMA_8B), run(), CARD, 6 * 10**9, smaller=[hostile])
    html = memory_bar(found)
    assert "does not fit" in html.lower()
    assert "activations" in html and "weights in 4 bits" in html
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "6.00 GB" in html
    assert "wb-fit" in theme.css()


def test_the_bar_has_a_look_for_every_part_of_every_method():
    for id in METHODS:
        config = run(**ANSWERS | {"method": id}, batch_size=8, preference_data="pairs", sft_data="s", thumbs_data="t")
        html = memory_bar(plan(shape(QWEN_HALF_B), config, CARD, 12 * 10**9))
        assert ("reward model" in html) == METHODS[id].online, id


def test_the_bar_does_not_promise_what_the_changes_do_not_give():
    """10 GB hold a Llama 8B after several changes together; 1 GB holds it after none."""
    heading = {10: "Together these make it fit", 1: "These save most, and are not enough"}
    for free, words in heading.items():
        assert words in memory_bar(plan(shape(LLAMA_8B), run(), CARD, free * 10**9)), free
    assert "make it fit" not in memory_bar(plan(shape(LLAMA_8B), run(), CARD, 80 * 10**9))


def test_the_widths_of_the_bar_add_up_to_the_larger_of_need_and_memory():
    import re

    for free in (4 * 10**9, 60 * 10**9):
        found = plan(shape(QWEN_HALF_B), run(), CARD, free)
        widths = sum(float(width) for width in re.findall(r"width:([\d.]+)%", memory_bar(found)))
        assert widths == pytest.approx(100 * found.total / max(found.total, free), abs=0.5)
