"""Batches in packed rows: the same hidden states, whatever the lengths, on every architecture that is known."""

import itertools
import random

import pytest
import torch
from configs import demo_config
from model_memory import SIZES, tiny_config, tiny_model, with_adapter

from workbench.core.memory.architectures import shape_of
from workbench.engine import packed_rows
from workbench.engine.answer_pass import read_rows
from workbench.engine.packed_rows import Batch, Layout, arrange, batch_of, is_worth, pack, shape_if_packed
from workbench.engine.reading import Reader, knows_output_layer

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
    monkeypatch.setattr(packed_rows, "WORTH", 100)


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


def read(model, pairs, how):
    """Log-probabilities of the answers, the gradients of a loss on them, and how the batch was read.

    how: "padded" rows, packed "rows" that stand alone, or packed "pairs".
    """
    ids, mask, answers = batch(pairs)
    reader = Reader(model, 64, pairs=how == "pairs")
    model.zero_grad()
    with pytest.MonkeyPatch.context() as never:
        if how == "padded":
            never.setattr(packed_rows, "WORTH", 0)
        told = read_rows(reader.hidden(ids, mask), ids, answers[:, 1:], reader.layer).log_probs
    told.sum(1).square().sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return told.detach(), {name: grad.clone() for name, grad in gradients.items()}, reader.facts()


@pytest.mark.parametrize("architecture", SIZES)
def test_the_numbers_and_gradients_of_every_architecture_are_those_of_ordinary_rows(architecture):
    model = adapted(tiny_config(architecture))
    assert knows_output_layer(model)
    padded, slopes, facts = read(model, PAIRS, "padded")
    assert facts["packed"] == 0 and facts["tokens"] == facts["padded_tokens"]
    ids, mask, answers = batch(PAIRS)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
    own = logits.gather(2, ids[:, 1:, None]).squeeze(2) * answers[:, 1:]
    torch.testing.assert_close(padded, own, atol=1e-4, rtol=0)
    assert slopes
    for how in ("rows", "pairs"):
        together, same_slopes, facts = read(model, PAIRS, how)
        assert facts["packed"] == 1 and facts["tokens"] < facts["padded_tokens"]
        torch.testing.assert_close(together, own, atol=1e-4, rtol=0)
        assert slopes.keys() == same_slopes.keys()
        for name, slope in slopes.items():
            torch.testing.assert_close(same_slopes[name], slope, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_ways_to_compute_attention_take_the_mask(attention):
    model = adapted(tiny_config("llama"))
    model.get_base_model().set_attn_implementation(attention)
    assert shape_if_packed(model.get_base_model(), 64)[0]
    torch.testing.assert_close(read(model, PAIRS, "pairs")[0], read(model, PAIRS, "padded")[0], atol=1e-4, rtol=0)


def test_a_row_holds_the_prompt_once_and_each_answer_sees_its_own():
    ids, mask, _ = batch([([1, 2, 3], [4, 5], [6, 7, 8])])
    found = batch_of(ids, mask, pairs=True)
    assert found == Batch(counts=(5, 6), shared=(3,), length=6) and found.sizes() == [8]
    packed = pack(ids, found, arrange(found.sizes()), torch.float32)
    assert packed.ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 3, 4, 5]]
    assert seen(packed, 0, 6) == [0, 1, 2, 5, 6]
    assert seen(packed, 0, 4) == [0, 1, 2, 3, 4]
    assert packed.places[0, :5].tolist() == [0, 1, 2, 3, 4] and packed.places[1].tolist() == [0, 1, 2, 5, 6, 7]


def seen(packed, row, token):
    """Which tokens of its row a token sees."""
    return (packed.mask[row, 0, token] == 0).nonzero().flatten().tolist()


def test_what_answers_begin_with_is_shared_as_well():
    found = batch_of(*batch([([1, 2], [3, 4, 5], [3, 4, 6, 7])])[:2], pairs=True)
    assert found.shared == (4,) and found.sizes() == [7]
    assert arrange([7]).tokens == 8, "one more, so that rows are aligned"


def test_several_pairs_share_a_row_and_see_nothing_of_each_other():
    ids, mask, _ = batch([([1], [2, 3, 4], [5, 6, 7, 8]), ([11, 12], [13], [14]), ([21], [22], [23, 24])])
    found = batch_of(ids, mask, pairs=True)
    layout = arrange(found.sizes())
    assert layout == Layout(rows=2, tokens=8, starts=((0, 0), (1, 0), (1, 4)))
    packed = pack(ids, found, layout, torch.float32)
    assert packed.ids[1].tolist() == [11, 12, 13, 14, 21, 22, 23, 24]
    assert packed.positions[1].tolist() == [0, 1, 2, 2, 0, 1, 1, 2]
    assert [seen(packed, 1, token) for token in (2, 3, 4, 5, 7)] == [[0, 1, 2], [0, 1, 3], [4], [4, 5], [4, 6, 7]]


def test_rows_are_as_long_as_the_longest_and_as_few_as_fit():
    """Whatever the sizes: nothing overlaps, nothing is left out, and the rows are hardly more than must be."""
    for seed in range(50):
        dice = random.Random(seed)
        sizes = [dice.randint(1, 500) for _ in range(dice.randint(1, 40))]
        layout = arrange(sizes)
        assert max(sizes) <= layout.tokens < max(sizes) + 8
        taken = sorted((*start, size) for start, size in zip(layout.starts, sizes, strict=True))
        assert {row for row, *_ in taken} == set(range(layout.rows))
        for (row, start, size), (following, beginning, _) in zip(taken, taken[1:], strict=False):
            assert row != following or start + size <= beginning
        assert all(start + size <= layout.tokens for _, start, size in taken)
        filled = [sum(size for row, _, size in taken if row == one) for one in range(layout.rows)]
        assert all(one + other > layout.tokens for one, other in itertools.combinations(filled, 2)), "two rows in one"


def test_it_is_worth_it_where_prompts_are_long_or_lengths_differ(monkeypatch):
    """The lengths of hh-rlhf, of UltraFeedback, and of answers to hardly a prompt at all."""
    monkeypatch.setattr(packed_rows, "WORTH", 0.85)
    shape = shape_of(tiny_config("llama"))

    def packs(counts, shared=(), length=0, shape=shape):
        found = Batch(tuple(counts), tuple(shared) or (0,) * len(counts), length or max(counts))
        return is_worth(found, arrange(found.sizes()), shape)

    def pairs(prompt, answer):
        return packs([prompt + answer] * 8, [prompt] * 4, prompt + answer + 1)

    assert pairs(180, 60) and pairs(120, 60)
    assert not pairs(4, 250) and not pairs(0, 100)
    assert packs([500, 100, 100, 100, 90]) and not packs([500, 480, 490])
    # Attention alone: without padding it computes half of the pairs of tokens, and a mask of who sees whom all of them.
    long = shape_of(tiny_config("llama") | {"hidden_size": 8, "intermediate_size": 8})
    assert packs([1200] * 8, [1000] * 4, 1201, long) and not packs([1200] * 8, [1000] * 4, 1200, long)


def test_rows_that_are_padded_on_the_left_stay_as_they_are():
    """Those of online methods, whose prompts end where answers begin."""
    ids, mask, _ = batch(PAIRS)
    assert batch_of(ids.flip(1), mask.flip(1), pairs=False) is None
    model = adapted(tiny_config("llama"))
    reader = Reader(model, 64, pairs=False)
    reader.hidden(ids.flip(1), mask.flip(1))
    assert reader.facts()["packed"] == 0


def test_where_a_model_cannot_the_reason_is_told(monkeypatch):
    windowed = adapted(tiny_config("mistral") | {"sliding_window": 16})
    assert Reader(windowed, 16, True).why_not == ""
    assert "reaches back 16 tokens only, and examples have up to 64" in Reader(windowed, 64, True).why_not
    _, _, how = read(windowed, PAIRS, "pairs")
    assert how["packed"] == 0 and "16 tokens" in how["why_not"]

    model = adapted(tiny_config("llama"))
    base = model.get_base_model()
    base.config._attn_implementation = "flash_attention_2"
    assert "computed by flash_attention_2" in Reader(model, 64, True).why_not
    base.config._attn_implementation = "sdpa"
    monkeypatch.setattr(type(base.config), "model_type", "of-tomorrow")
    assert "was not tried with such a mask" in Reader(model, 64, True).why_not


def test_under_unsloth_rows_are_not_packed():
    class Patched:
        def forward(self): ...

    Patched.forward.__module__ = "unsloth.models.llama"
    model = adapted(tiny_config("llama")).get_base_model()
    plain = type("Wrapped", (), {"config": model.config, "base_model": Patched()})()
    assert shape_if_packed(plain, 64) == (None, "Unsloth's own attention knows no such mask")


def test_a_model_in_4_bits_may_be_packed_as_any_other(base):
    """So is every model loaded by default; its config then tells of the packing."""
    assert base.precision == "nf4"
    shape, why_not = shape_if_packed(base.model, 512)
    assert (shape and shape.hidden, why_not) == (256, "")


def test_a_window_that_is_long_enough_changes_nothing():
    model = adapted(tiny_config("gemma3_text") | {"sliding_window": 20})
    torch.testing.assert_close(read(model, PAIRS[:1], "padded")[0], read_within(model, 20), atol=1e-4, rtol=0)


def read_within(model, window):
    reader = Reader(model, window, pairs=True)
    assert not reader.why_not
    ids, mask, answers = batch(PAIRS[:1])
    return read_rows(reader.hidden(ids, mask), ids, answers[:, 1:], reader.layer).log_probs.detach()
