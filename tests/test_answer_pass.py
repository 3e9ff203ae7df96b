"""Log-probabilities without logits: the same numbers and gradients as from all logits at once."""

import pytest
import torch

from workbench.engine import answer_pass
from workbench.engine.answer_pass import OutputLayer, output_layer, read_rows, read_tokens

TOKENS, FEATURES, VOCABULARY = 23, 16, 61


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    """So that the tokens are read in four parts, the last of them shorter."""
    monkeypatch.setattr(answer_pass, "LOGITS_AT_ONCE", 7 * VOCABULARY)


def layer(**more):
    torch.manual_seed(3)
    return OutputLayer(torch.randn(VOCABULARY, FEATURES) / 2, **more)


def from_all_logits(hidden, wanted, layer, temperature):
    logits = torch.nn.functional.linear(hidden, layer.weight, layer.bias) * layer.scale
    if layer.cap:
        logits = layer.cap * torch.tanh(logits / layer.cap)
    told = (logits / temperature).log_softmax(-1)
    return told.gather(1, wanted.unsqueeze(1)).squeeze(1), -(told.exp() * told).sum(-1), logits.argmax(-1) == wanted


WAYS = {
    "plain": ({}, 1.0),
    "with a bias": ({"bias": torch.linspace(-1, 1, VOCABULARY)}, 1.0),
    "capped": ({"cap": 1.5}, 1.0),
    "scaled": ({"scale": 0.25}, 1.0),
    "at a temperature": ({}, 0.7),
    "all of them": ({"bias": torch.linspace(-1, 1, VOCABULARY), "cap": 2.0, "scale": 3.0}, 1.3),
}


@pytest.mark.parametrize("way", WAYS)
def test_values_and_gradients_are_those_of_all_logits(way):
    more, temperature = WAYS[way]
    output, wanted = layer(**more), torch.randint(VOCABULARY, (TOKENS,))
    weights = torch.randn(TOKENS)
    found = []
    for read in (read_tokens, from_all_logits):
        torch.manual_seed(5)
        hidden = torch.randn(TOKENS, FEATURES, requires_grad=True)
        told = read(hidden, wanted, output, temperature)
        log_probs, entropies, likeliest = (
            (told.log_probs, told.entropies, told.likeliest) if read is read_tokens else told
        )
        (log_probs * weights).sum().backward()
        found.append((log_probs.detach(), entropies.detach(), hidden.grad))
        assert likeliest.dtype == torch.bool
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_likeliest_tokens_are_told():
    output = layer()
    hidden = torch.randn(TOKENS, FEATURES)
    best = (hidden @ output.weight.T).argmax(-1)
    assert read_tokens(hidden, best, output).likeliest.all()
    assert not read_tokens(hidden, (best + 1) % VOCABULARY, output).likeliest.any()


def test_half_precision_keeps_the_sums_in_full():
    """The layer multiplies in bf16, as under autocast; everything after it is fp32, so that a probability is not rounded twice."""
    output, wanted = layer(), torch.randint(VOCABULARY, (TOKENS,))
    hidden = torch.randn(TOKENS, FEATURES, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        told = read_tokens(hidden, wanted, output)
    logits = (hidden.bfloat16() @ output.weight.bfloat16().T).float()
    expected = logits.log_softmax(-1).gather(1, wanted.unsqueeze(1)).squeeze(1)
    assert told.log_probs.dtype == torch.float32
    torch.testing.assert_close(told.log_probs, expected, atol=1e-5, rtol=1e-5)
    told.log_probs.sum().backward()
    assert hidden.grad.dtype == torch.float32 and hidden.grad.isfinite().all()


def test_rows_get_zeros_where_nothing_was_asked():
    output, ids = layer(), torch.randint(VOCABULARY, (3, 9))
    asked = torch.zeros(3, 8, dtype=torch.long)
    asked[0, 4:], asked[2, 1:3] = 1, 1
    told = read_rows(torch.randn(3, 9, FEATURES), ids, asked, output)
    assert told.log_probs.shape == told.entropies.shape == told.likeliest.shape == (3, 8)
    assert (told.log_probs[asked == 0] == 0).all() and (told.log_probs[asked == 1] < 0).all()
    nothing = read_rows(torch.randn(3, 9, FEATURES, requires_grad=True), ids, torch.zeros(3, 8), output)
    nothing.log_probs.sum().backward()
    assert (nothing.log_probs == 0).all()


def test_no_more_logits_exist_at_once_than_are_meant_to(monkeypatch):
    """Most bytes alive in forward and backward pass of 2,000 tokens: far less than their 2,000 x 5,000 logits of 40 MB."""
    from model_memory import highest
    from torch.profiler import ProfilerActivity, profile

    monkeypatch.setattr(answer_pass, "LOGITS_AT_ONCE", 50 * 5000)
    output = OutputLayer(torch.randn(5000, 32))
    hidden, wanted = torch.randn(2000, 32, requires_grad=True), torch.randint(5000, (2000,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        read_tokens(hidden, wanted, output).log_probs.sum().backward()
    assert 1e6 < highest(record) < 6e6


def test_the_output_layer_of_a_granite_divides():
    """Transformers: logits / logits_scaling."""
    from model_memory import tiny_config, tiny_model

    model = tiny_model(tiny_config("granite") | {"logits_scaling": 8.0}, "fp32")
    assert output_layer(model).scale == 1 / 8
    assert output_layer(tiny_model(tiny_config("gemma2"), "fp32")).cap == 30.0
