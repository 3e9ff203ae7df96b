"""Pairs with their prompt read once: the same hidden states, whatever the lengths, on every architecture that is known."""

import pytest
import torch
from configs import demo_config
from model_memory import SIZES, tiny_config, tiny_model, with_adapter

from workbench.core.memory.architectures import shape_of
from workbench.engine import shared_prefix
from workbench.engine.answer_pass import read_rows
from workbench.engine.reading import Reader, knows_output_layer
from workbench.engine.shared_prefix import Lengths, is_worth, lengths_of, pack, shape_if_shared

CONFIG = demo_config("shared", method="dpo", adapter={"rank": 4, "alpha": 8})
# Prompt, chosen and rejected answer of each pair, in tokens; the second pair's answers begin alike.
PAIRS = [
    ([11, 12, 13, 14, 15, 16, 17, 18, 19], [20, 21, 22, 23, 24], [30, 31, 32, 33, 34, 35, 36]),
    ([41, 42, 43, 44], [50, 51, 52, 53, 54, 55, 56, 57], [50, 51]),
    ([61, 62, 63, 64, 65, 66], [70, 71, 72], [70, 71, 80, 81, 82, 83]),
    ([90, 91], [92, 93, 94], [92, 93, 94]),
    ([95, 96, 97], [], [98]),
]


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Whatever it costs: these rows are too short for it to be worth anything."""
    monkeypatch.setattr(shared_prefix, "WORTH", 100)


def batch(pairs):
    """ids, mask and the mask of answers, each (2 x pairs, length), as TRL's collator makes them."""
    rows = [(prompt, answer) for which in (1, 2) for prompt, answer in ((one[0], one[which]) for one in pairs)]
    length = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids, mask, answers = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(3))
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        mask[row, :end] = 1
        answers[row, len(prompt) : end] = 1
    return ids, mask, answers


def adapted(values):
    """A random model with an adapter that changes what it says."""
    model = with_adapter(tiny_model(values, "fp32"), CONFIG)
    torch.manual_seed(2)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.1)
    return model


def read(model, pairs, packed):
    """Log-probabilities of the answers, the gradients of a loss on them, and how the batch was read."""
    ids, mask, answers = batch(pairs)
    reader = Reader(model, 64, pairs=packed)
    model.zero_grad()
    told = read_rows(reader.hidden(ids, mask), ids, answers[:, 1:], reader.layer).log_probs
    told.sum(1).square().sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return told.detach(), {name: grad.clone() for name, grad in gradients.items()}, reader.facts()


@pytest.mark.parametrize("architecture", SIZES)
def test_the_numbers_and_gradients_of_every_architecture_are_those_of_two_rows(architecture):
    model = adapted(tiny_config(architecture))
    assert knows_output_layer(model)
    apart, slopes, facts = read(model, PAIRS, packed=False)
    together, same_slopes, how = read(model, PAIRS, packed=True)
    assert (facts["prompts_once"], how["prompts_once"]) == (0, 1)
    ids, mask, answers = batch(PAIRS)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
    own = logits.gather(2, ids[:, 1:, None]).squeeze(2) * answers[:, 1:]
    torch.testing.assert_close(apart, own, atol=1e-4, rtol=0)
    torch.testing.assert_close(together, own, atol=1e-4, rtol=0)
    assert slopes.keys() == same_slopes.keys() and slopes
    for name, slope in slopes.items():
        torch.testing.assert_close(same_slopes[name], slope, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_ways_to_compute_attention_take_the_mask(attention):
    model = adapted(tiny_config("llama"))
    model.get_base_model().set_attn_implementation(attention)
    assert shape_if_shared(model.get_base_model(), 64)[0]
    torch.testing.assert_close(read(model, PAIRS, True)[0], read(model, PAIRS, False)[0], atol=1e-4, rtol=0)


def test_a_row_holds_the_prompt_once_and_each_answer_sees_its_own():
    ids, mask, _ = batch([([1, 2, 3], [4, 5], [6, 7, 8])])
    lengths, shared = lengths_of(ids, mask)
    assert lengths == Lengths(pairs=1, plain=6, packed=8, padded=True) and shared.tolist() == [3]
    packed = pack(ids, mask, shared, lengths.packed, torch.float32)
    assert packed.ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 3, 4, 5]]
    assert (packed.mask[0, 0, 6] == 0).nonzero().flatten().tolist() == [0, 1, 2, 5, 6]
    assert (packed.mask[0, 0, 4] == 0).nonzero().flatten().tolist() == [0, 1, 2, 3, 4]
    assert packed.places.tolist() == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 5, 6, 7]]


def test_what_answers_begin_with_is_shared_as_well():
    ids, mask, _ = batch([([1, 2], [3, 4, 5], [3, 4, 6, 7])])
    lengths, shared = lengths_of(ids, mask)
    assert shared.tolist() == [4] and lengths.packed == 8, "seven tokens, and one so that rows are aligned"


def test_it_is_worth_it_where_prompts_are_long(monkeypatch):
    """The lengths of hh-rlhf, of UltraFeedback, and of answers to hardly a prompt at all."""
    monkeypatch.setattr(shared_prefix, "WORTH", 0.85)
    shape = shape_of(tiny_config("llama"))

    def pairs(prompt, answer, padded=True):
        return is_worth(Lengths(4, prompt + answer, prompt + 2 * answer, padded), shape)

    assert pairs(180, 60) and pairs(120, 60)
    assert not pairs(4, 250) and not pairs(0, 100)
    # Attention alone: without padding it computes half of the pairs of tokens, and a mask of who sees whom all of them.
    long = shape_of(tiny_config("llama") | {"hidden_size": 8, "intermediate_size": 8})
    assert is_worth(Lengths(4, 1200, 1400, True), long) and not is_worth(Lengths(4, 1200, 1400, False), long)


def test_where_a_model_cannot_the_reason_is_told(monkeypatch):
    windowed = adapted(tiny_config("mistral") | {"sliding_window": 16})
    assert Reader(windowed, 16, True).why_not == ""
    assert "reaches back 16 tokens only, and examples have up to 64" in Reader(windowed, 64, True).why_not
    _, _, how = read(windowed, PAIRS, True)
    assert how["prompts_once"] == 0 and "16 tokens" in how["why_not"]

    model = adapted(tiny_config("llama"))
    base = model.get_base_model()
    base.config._attn_implementation = "flash_attention_2"
    assert "computed by flash_attention_2" in Reader(model, 64, True).why_not
    base.config._attn_implementation = "sdpa"
    monkeypatch.setattr(type(base.config), "model_type", "of-tomorrow")
    assert "was not tried with such a mask" in Reader(model, 64, True).why_not


def test_under_unsloth_pairs_are_read_in_two_rows():
    class Patched:
        def forward(self): ...

    Patched.forward.__module__ = "unsloth.models.llama"
    model = adapted(tiny_config("llama")).get_base_model()
    plain = type("Wrapped", (), {"config": model.config, "base_model": Patched()})()
    assert shape_if_shared(plain, 64) == (None, "Unsloth's own attention knows no such mask")


def test_a_model_in_4_bits_may_share_prompts_as_any_other(base):
    """So is every model loaded by default; its config then tells of the packing."""
    assert base.precision == "nf4"
    shape, why_not = shape_if_shared(base.model, 512)
    assert (shape and shape.hidden, why_not) == (256, "")


def test_a_window_that_is_long_enough_changes_nothing():
    model = adapted(tiny_config("gemma3_text") | {"sliding_window": 20})
    torch.testing.assert_close(read(model, PAIRS[:1], False)[0], read_within(model, 20), atol=1e-4, rtol=0)


def read_within(model, window):
    reader = Reader(model, window, pairs=True)
    assert not reader.why_not
    ids, mask, answers = batch(PAIRS[:1])
    return read_rows(reader.hidden(ids, mask), ids, answers[:, 1:], reader.layer).log_probs.detach()
