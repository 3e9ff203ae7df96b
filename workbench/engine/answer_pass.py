"""Log-probabilities of tokens from hidden states, without ever holding the logits of a batch.

The output layer is frozen, so that the gradient of a log-probability with respect to its hidden state is known as soon as its
logits are: it is kept, as large as the hidden state, and the logits are not. Nothing is computed a second time on the way back,
unlike where logits are checkpointed.
"""

from dataclasses import dataclass
from typing import Any

import torch

from workbench.core.memory.forecast import LOGITS_AT_ONCE


@dataclass(frozen=True)
class OutputLayer:
    """What turns hidden states into logits. weight: (vocabulary, hidden), frozen; bias: (vocabulary,).

    scale: by which logits are multiplied before anything else (Granite, Cohere); cap: they end between -cap and cap
    (Gemma 2: cap * tanh(logits / cap)).
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float = 1.0
    cap: float | None = None


@dataclass(frozen=True)
class TokenReading:
    """Of each token: its log-probability in nats, the entropy of what could have stood there, whether it was the likeliest.

    Only log-probabilities carry gradients. All have the shape of the tokens that were asked about.
    """

    log_probs: torch.Tensor
    entropies: torch.Tensor
    likeliest: torch.Tensor


def computing_type(device: torch.device, otherwise: torch.dtype) -> torch.dtype:
    """What matrices are multiplied in: the type of autocast, where it is on."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else otherwise


def output_layer(model: Any) -> OutputLayer:
    """Of a causal language model of Transformers, its adapters unwrapped."""
    layer, config = model.get_output_embeddings(), model.config.get_text_config()
    # Granite divides by a number that other families multiply with.
    scale = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    factor = (1.0 if scale is None else float(scale)) / (float(divisor) if divisor else 1.0)
    return OutputLayer(layer.weight, layer.bias, factor, getattr(config, "final_logit_softcapping", None))


def read_tokens(
    hidden: torch.Tensor, wanted: torch.Tensor, layer: OutputLayer, temperature: float = 1.0
) -> TokenReading:
    """What a model says of tokens. hidden: (tokens, features), each of the place before its token; wanted: (tokens,), ids."""
    return TokenReading(*_ReadTokens.apply(hidden, wanted, layer, temperature))


def read_rows(
    hidden: torch.Tensor, ids: torch.Tensor, asked: torch.Tensor, layer: OutputLayer, temperature: float = 1.0
) -> TokenReading:
    """What a model says of some tokens of a batch, shape (rows, tokens - 1): the first token of a row follows nothing.

    hidden: (rows, tokens, features); ids: (rows, tokens); asked: (rows, tokens - 1), of which tokens but the first. The others
    get zeros.
    """
    asked = asked.bool()
    found = read_tokens(hidden[:, :-1][asked], ids[:, 1:][asked], layer, temperature)
    empty = found.log_probs.new_zeros(asked.shape)
    return TokenReading(
        empty.masked_scatter(asked, found.log_probs),
        empty.masked_scatter(asked, found.entropies),
        torch.zeros_like(asked).masked_scatter(asked, found.likeliest),
    )


class _ReadTokens(torch.autograd.Function):
    """d log p(y) / d logits = onehot(y) - p, so that d log p(y) / d hidden = (onehot(y) - p) W."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: torch.Tensor, wanted: torch.Tensor, layer: OutputLayer, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device = hidden.device.type
        computing = computing_type(hidden.device, hidden.dtype)
        count, learns = len(hidden), hidden.requires_grad
        log_probs = hidden.new_empty(count, dtype=torch.float32)
        entropies, likeliest = torch.empty_like(log_probs), torch.empty_like(log_probs, dtype=torch.bool)
        slopes = torch.empty_like(hidden) if learns else None
        size = max(1, LOGITS_AT_ONCE // len(layer.weight))
        with torch.autocast(device, enabled=False):
            weight = layer.weight.to(computing)
            bias = None if layer.bias is None else layer.bias.to(computing)
            for start in range(0, count, size):
                part = slice(start, start + size)
                found = _read(
                    torch.nn.functional.linear(hidden[part].to(computing), weight, bias).float(),
                    wanted[part].unsqueeze(1),
                    layer,
                    temperature,
                    learns,
                )
                log_probs[part], entropies[part], likeliest[part], slope = found
                if slopes is not None:
                    slopes[part] = slope.to(computing) @ weight
                del found, slope  # before the next ones are made
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(entropies, likeliest)
        return log_probs, entropies, likeliest

    @staticmethod
    def backward(ctx: Any, change: torch.Tensor, *_: Any) -> Any:  # type: ignore[override]
        (slopes,) = ctx.saved_tensors
        return slopes * change.unsqueeze(1).to(slopes.dtype), None, None, None


def _read(
    logits: torch.Tensor, wanted: torch.Tensor, layer: OutputLayer, temperature: float, learns: bool
) -> tuple[torch.Tensor, ...]:
    """Log-probabilities, entropies, whether likeliest, and slopes with respect to what `logits` was; it is used up."""
    if layer.scale != 1:
        logits *= layer.scale
    bend = None
    if layer.cap is not None:
        logits.div_(layer.cap).tanh_()
        bend = 1 - logits**2 if learns else None
        logits *= layer.cap
    if temperature != 1:
        logits /= temperature
    total = logits.logsumexp(-1, keepdim=True)
    log_probs = logits.gather(1, wanted) - total
    likeliest = logits.argmax(-1) == wanted.squeeze(1)
    chances = (logits - total).exp_()
    entropies = total.squeeze(1) - logits.mul_(chances).sum(-1)
    if learns:
        chances.neg_().scatter_add_(1, wanted, torch.ones_like(log_probs))
        if bend is not None:
            chances *= bend
        if layer.scale != temperature:
            chances *= layer.scale / temperature
    return log_probs.squeeze(1), entropies, likeliest, chances
