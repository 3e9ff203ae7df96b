"""Forecast, choices, ladder and probe of a CUDA card, on a card that is only counted: real trainers in the sizes of real models."""

from types import SimpleNamespace

import pytest
import torch
from model_memory import highest
from pretended_card import CARD, Card, peak_of_step, trainer_on

from workbench.core.memory.architectures import shape_of
from workbench.core.memory.auto_settings import SHARE_OF_A_CARD, choose
from workbench.core.memory.forecast import Companions, forecast, needed, stored
from workbench.core.memory.oom_fallback import next_rung
from workbench.core.training.config import RunConfig, overlay, read_config
from workbench.core.training.recipe import Device
from workbench.engine import probe
from workbench.engine.trouble import is_out_of_memory
from workbench.store.model_configs import preset_configs

MIB = 2**20
SMALL, LARGE = "Qwen/Qwen3-0.6B", "meta-llama/Llama-3.1-8B-Instruct"
ANSWERS = {"reward_run": "judge", "group_size": 2, "answer_tokens": 128}


def run(**changes) -> RunConfig:
    return read_config({"name": "a-run", "method": "dpo", "preference_data": "pairs", "rloo": ANSWERS} | changes)


def cut(model: str, layers: int) -> dict:
    """A model of presets/ with fewer layers, each as large as they are."""
    return preset_configs()[model] | {"num_hidden_layers": layers}


def without_context(values, config) -> int:
    """What is forecast of a run, but for CUDA itself, which is not counted."""
    found = forecast(shape_of(values), config, config.stages[-1], CARD)
    return found.total - found.parts["context"]


# The counting


def test_what_lives_is_counted_and_what_is_kept_for_the_way_back_lives():
    """4 MiB each: a, then a and b, then b and c: 8 at most. exp keeps its result, so that four live until the gradient is there."""
    with Card() as card:
        a = torch.empty(1024, 1024)
        b = a + 1
        del a
        c = b * 2
        assert (card.alive, card.peak) == (8 * MIB, 8 * MIB)
        del b, c
        assert card.alive == 0
        weight = torch.empty(1024, 1024, requires_grad=True)
        loss = weight.exp().exp().sum()
        assert card.alive == 12 * MIB + 512
        loss.backward()
        assert card.alive == 8 * MIB + 512


def test_a_view_takes_nothing_and_a_mask_takes_what_it_leaves():
    """Of 6 rows of 1,000 numbers the mask leaves 2: 8,000 bytes, 8,192 as a card gives them."""
    with Card() as card:
        rows = torch.empty(6, 1000)
        mask = torch.tensor([True, False, False, True, False, False])
        before = card.alive
        assert rows[1:].view(-1).shape == (5000,) and card.alive == before
        assert rows[mask].shape == (2, 1000)
        assert card.peak - before >= 8192
        assert mask.sum().item() == 2 and mask.nonzero().tolist() == [[0], [3]]


def test_a_card_that_is_full_says_so_as_pytorch_does():
    with Card(memory=10 * MIB) as card:
        a = torch.empty(1024, 1024)
        b = torch.empty(1024, 1024)
        with pytest.raises(torch.OutOfMemoryError) as raised:
            a + b
        assert is_out_of_memory(raised.value)
        del raised, a
        assert (b + 1).shape == (1024, 1024) and card.peak == 8 * MIB


def test_a_step_takes_what_a_profiler_measures_of_a_real_one():
    """Layers, norms, a checkpoint and an optimizer, on the CPU both times."""
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.checkpoint import checkpoint

    def steps():
        torch.manual_seed(1)
        first, second = (
            torch.nn.Sequential(
                torch.nn.Linear(256, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 256), torch.nn.LayerNorm(256)
            )
            for _ in range(2)
        )
        optimizer = torch.optim.AdamW([*first.parameters(), *second.parameters()], foreach=True)
        while True:
            hidden = checkpoint(first, torch.ones(512, 256), use_reentrant=False)
            second(hidden).pow(2).mean().backward()
            del hidden
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            yield

    real = steps()
    next(real)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        next(real)
    with Card() as card:
        pretended = steps()
        next(pretended)
        before = card.peak = card.alive
        next(pretended)
        assert card.peak - before == pytest.approx(highest(record), rel=0.02)
        assert card.alive == before


# The forecast


@pytest.mark.parametrize("method", ["dpo", "sft", "reward", "rloo"])
def test_a_step_is_forecast_within_its_limits(method):
    """What lives for moments is never under what is counted, and all that lives is at most 15 % over it."""
    values, config = (
        cut(SMALL, 2),
        run(method=method, batch_size=2, accumulation=1, max_length=512, sft_data="examples"),
    )
    counted = peak_of_step(values, config, method).peak
    held = sum(stored(shape_of(values), config, method, CARD, Companions()).values())
    said = without_context(values, config)
    assert said - held >= counted - held
    assert 1.0 <= said / counted <= 1.15


@pytest.mark.parametrize(
    "layers, gigabytes", [(4, 6), pytest.param(32, 12, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_what_is_chosen_for_8b_fits_on_its_card(layers, gigabytes):
    """Llama 3.1 8B, or 4 of its 32 layers: what the workbench decides of a pair of 1,024 tokens runs in what the card leaves."""
    values, device = cut(LARGE, layers), Device("cuda", "a card", True, gigabytes * 10**9)
    left_open = run(batch_size=1, accumulation=16, max_length=1024, gradient_checkpointing="auto", optimizer="auto")
    config = choose(shape_of(values), left_open, device).config(left_open)
    assert config.gradient_checkpointing == "on"
    context = forecast(shape_of(values), config, "dpo", CARD).parts["context"]
    card = peak_of_step(values, config, "dpo", memory=int(SHARE_OF_A_CARD * device.memory) - context)
    assert 1.0 <= without_context(values, config) / card.peak <= 1.15


# The ladder and the probe


def test_the_ladder_goes_down_until_a_step_fits_and_no_rung_was_promised_in_vain():
    """4 pairs at once on a card for which one was forecast to fit: 2, and then 1 if need be, at the same effective batch."""
    values, config = cut(SMALL, 2), run(batch_size=4, accumulation=2, max_length=512, gradient_checkpointing=False)
    memory = without_context(values, config.model_copy(update={"batch_size": 1}))
    tried = []
    while True:
        try:
            peak_of_step(values, config, "dpo", memory)
            break
        except torch.OutOfMemoryError as error:
            assert is_out_of_memory(error)
            assert without_context(values, config) > memory, "it was said to fit"
            rung = next_rung(config)
            assert rung, "nothing was left to try"
            tried.append(dict(rung.changes))
            config = RunConfig.model_validate(overlay(config.model_dump(), rung.changes))
    assert tried[0] == {"batch_size": 2, "accumulation": 4}
    assert config.effective_batch == 8


def test_the_probe_of_a_card_finds_no_more_than_was_forecast(monkeypatch):
    values, config = cut(SMALL, 2), run(batch_size=2, accumulation=1, max_length=512)
    card, told = Card(), {}
    trainer = trainer_on(card, values, config, "dpo")

    class Torch:
        cuda = SimpleNamespace(
            is_available=lambda: True,
            synchronize=lambda: None,
            reset_peak_memory_stats=lambda: setattr(card, "peak", card.alive),
            memory_allocated=lambda: card.alive,
            max_memory_allocated=lambda: card.peak,
            get_rng_state_all=list,
            set_rng_state_all=lambda states: None,
        )

        def __getattr__(self, name):
            return getattr(torch, name)

    monkeypatch.setattr(probe, "torch", Torch())
    with card:
        before = card.alive
        callback = probe.ProbeCallback(trainer, None, config.max_length, told.update)
        callback.on_train_begin(trainer.args, trainer.state, trainer.control)
        assert card.alive - before < MIB // 16, "nothing of its size stays"
    expected = forecast(shape_of(values), config, "dpo", CARD)
    assert (told["rows"], told["tokens"]) == (2, 512)
    assert 0.8 * expected.total <= needed(expected, CARD, told["peak"]) <= expected.total
