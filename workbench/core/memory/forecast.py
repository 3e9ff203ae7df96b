"""GPU memory of a run, part by part, before anything is loaded.

What is stored for the whole run (weights, embeddings, adapter, gradients, optimizer) is exact to the byte. What lives for
moments (activations, logits, the reference's pass) is an upper estimate: the forecast may be too high, never too low.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from workbench.core.memory.architectures import Linear, Shape
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device, compute_dtype

Objective = Stage

# Part -> what it is called on a page, in the order in which a bar shows them.
PARTS = {
    "weights_4bit": "weights in 4 bits",
    "weights": "weights",
    "embeddings": "embeddings, output layer, norms",
    "reward": "reward model",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "logits": "logits",
    "answers": "answers being written",
    "reference": "reference pass",
    "context": "CUDA itself",
}
EXACT = ("weights_4bit", "weights", "embeddings", "adapter", "gradients", "optimizer")

PASSING = ("activations", "logits", "answers", "reference")

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_FP32 = 4

# NF4 with double quantisation as bitsandbytes 0.50 stores it (functional.py, quantize_4bit and QuantState).
_BLOCK = 64  # weights that share an absmax, itself stored in 8 bits
_NESTED_BLOCK = 256  # absmax values that share an fp32 one
_CODES = 16 * _FP32 + 256 * _FP32 + _FP32  # per matrix: the 4-bit code, the 8-bit code, the offset

# bitsandbytes 0.50: smaller tensors keep 32-bit states; the others have an fp32 absmax per 256 entries and moment.
_SMALLEST_8BIT = 4096
_OPTIMIZER_BLOCK = 256

# A process that uses CUDA takes .4 to 1.4 GB for itself (context, cuBLAS, loaded kernels), by card and driver.
CUDA_CONTEXT = 1_400_000_000
# What Python and the libraries take on a machine without a card, where a forecast does not count them.
LIBRARIES = 3 * 2**29  # bytes
_ALLOCATION = 512  # PyTorch rounds every tensor on the card up to a multiple of this

_SFT_CHUNK = 256  # tokens whose logits TRL 1.14 makes at once (sft_trainer, chunked_nll: its default)

# Logits that every other method makes at once (engine/answer_pass.py): 64 MiB in fp32.
LOGITS_AT_ONCE = 2**24

# Bytes per logit while a token is drawn (measured: 21): fp32, a copy that is changed, probabilities, noise.
_DRAWN = 24

# Conversations that a reward model reads at once, at most; no more than a training step has (engine/rewards.py).
REWARD_BATCH = 16

# Small tensors that are not counted one by one: ids, masks, positions, sums.
_SLACK = 1.04


@dataclass(frozen=True)
class Companions:
    """What a run holds beside the model that it trains."""

    from_adapter: bool = False  # the run starts from a trained adapter, of which the reference keeps a frozen copy
    # Of the adapter that scores answers on the same base model; 0: as large as the one that trains.
    reward_rank: int = 0
    reward_bytes: int = 0  # of a reward model of its own beside the base model

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Companions":
        """As a run has written them down, by a version that may have had other fields."""
        return cls(**{field.name: stored[field.name] for field in fields(cls) if field.name in stored})


@dataclass(frozen=True)
class Forecast:
    """Bytes of a stage at its worst moment, part by part. Parts that are 0 are left in."""

    objective: Stage
    parts: Mapping[str, int]
    moment: str  # when that is, in words

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def passing(self) -> int:
        """What lives for moments of a step only."""
        return sum(self.parts.get(part, 0) for part in PASSING)

    @property
    def exact(self) -> tuple[str, ...]:
        """The parts that are exact to the byte; the others are upper estimates."""
        return tuple(part for part in self.parts if part in EXACT)


def forecast(
    shape: Shape, config: RunConfig, objective: Stage, device: Device, companions: Companions | None = None
) -> Forecast:
    """The memory of one stage of a run."""
    companions = companions or Companions()
    moment, passing = _worst_moment(shape, config, objective, device, companions)
    parts = stored(shape, config, objective, device, companions) | passing
    return Forecast(objective, parts | {"context": _context(shape, device)}, moment)


def needed(forecast: Forecast, device: Device, peak: int | None = None) -> int:
    """Bytes that a run takes of its device in all, by its forecast; by a probe where one told its `peak`.

    peak: as engine/probe.py measures it: what passes on a card, the whole process without one.
    """
    if not device.is_cuda:
        return forecast.total + LIBRARIES if peak is None else peak
    # The probe's batch is the first that has gradients, so its peak holds them.
    return forecast.total if peak is None else forecast.total - forecast.passing - forecast.parts["gradients"] + peak


def stored(shape: Shape, config: RunConfig, objective: Stage, device: Device, companions: Companions) -> dict[str, int]:
    """What is there for the whole stage, exact to the byte."""
    method, width = METHODS[objective], _BYTES[_weight_dtype(config, device)]
    in_four_bits = config.precision in ("auto", "nf4")
    weights = sum(
        linear.count * (nf4_bytes(linear.weights) if in_four_bits else width * linear.weights)
        for linear in shape.linears
    )
    trained = adapter_weights(shape, config.adapter.rank)
    # One score in place of the output layer: as it was loaded, and the copy in fp32 that trains.
    head = shape.hidden if method.scores else 0
    unquantized = shape.body_weights + head if method.scores else shape.unquantized_weights
    copies = 2 if _has_reference_adapter(config, objective, companions) else 1
    return {
        "weights_4bit" if in_four_bits else "weights": weights,
        "embeddings": width * unquantized,
        **({"reward": _reward_model(shape, config, objective, companions)} if method.online else {}),
        "adapter": copies * _FP32 * trained + _FP32 * head,
        "gradients": _FP32 * (trained + head),
        "optimizer": optimizer_bytes(shape, config.adapter.rank, config.optimizer, head),
    }


def _reward_model(shape: Shape, config: RunConfig, objective: Stage, companions: Companions) -> int:
    """What scores the answers: an adapter with its head on the same base, a model of its own, or both."""
    own = config.own(objective).reward_run_name()
    rank = companions.reward_rank or config.adapter.rank
    return (_FP32 * (adapter_weights(shape, rank) + shape.hidden) if own else 0) + companions.reward_bytes


def nf4_bytes(weights: int) -> int:
    """A matrix of `weights` entries in NF4 with double quantisation: packed weights, two levels of absmax, codes."""
    blocks = -(-weights // _BLOCK)
    return -(-weights // 2) + blocks + _FP32 * -(-blocks // _NESTED_BLOCK) + _CODES


def adapter_weights(shape: Shape, rank: int) -> int:
    """Entries of a LoRA adapter on every linear layer: rank times (inputs + outputs) each (Hu et al. 2021)."""
    return sum(linear.count * sum(_adapter_tensors(linear, rank)) for linear in shape.linears)


def model_that_scores(shape: Shape, max_length: int, device: Device) -> int:
    """A reward model of its own, in the computing type, and its pass over one conversation (engine/hub_reward.py)."""
    width = _BYTES[compute_dtype(device)]
    layer = max_length * width * (4 * shape.intermediate + 4 * shape.hidden + 2 * shape.query)
    return width * (shape.linear_weights + shape.body_weights + shape.hidden) + layer


def optimizer_bytes(shape: Shape, rank: int, optimizer: str, head: int = 0) -> int:
    """Two moments of every trained weight. Paged states count in full: that is what they take while they fit.

    head: entries of a head that trains with the adapter.
    """
    in_8_bits = optimizer == "paged_adamw_8bit"
    total, is_quantized = 0, False
    tensors = [(linear.count, entries) for linear in shape.linears for entries in _adapter_tensors(linear, rank)]
    for count, entries in [*tensors, (1, head)] if head else tensors:
        if in_8_bits and entries >= _SMALLEST_8BIT:
            total += count * 2 * (entries + _FP32 * -(-entries // _OPTIMIZER_BLOCK))
            is_quantized = True
        else:
            # PyTorch's AdamW also keeps the number of the step, as a tensor of one entry.
            total += count * (2 * _FP32 * entries + (0 if optimizer.startswith("paged") else _FP32))
    return total + (2 * 256 * _FP32 if is_quantized else 0)


def _adapter_tensors(linear: Linear, rank: int) -> tuple[int, int]:
    """Entries of lora_A and lora_B on one linear layer."""
    return rank * linear.inputs, rank * linear.outputs


def _has_reference_adapter(config: RunConfig, objective: Stage, companions: Companions) -> bool:
    """Whether a frozen copy of the adapter is kept as the reference: where training starts from a trained one."""
    return METHODS[objective].has_reference and (companions.from_adapter or len(config.stages) > 1)


def _weight_dtype(config: RunConfig, device: Device) -> str:
    """The type of all weights that are not in 4 bits, as engine/load.py asks for it."""
    return {"bf16": "bfloat16", "fp32": "float32"}.get(config.precision, compute_dtype(device))


def _context(shape: Shape, device: Device) -> int:
    """CUDA itself, and what is lost by rounding every stored tensor up. 0 on a CPU."""
    if not device.is_cuda:
        return 0
    # Per linear layer: 6 tensors of NF4, a bias, and weight, gradient and two moments of lora_A and lora_B.
    modules = sum(linear.count for linear in shape.linears)
    return CUDA_CONTEXT + modules * 15 * _ALLOCATION


@dataclass(frozen=True)
class _Step:
    """One batch on its way through a model: what the sizes of its tensors follow from."""

    shape: Shape
    rows: int  # sequences that carry gradients at once
    length: int  # tokens of each, at most
    width: int  # bytes of an activation
    head_width: int  # bytes of a logit as the output layer makes it
    checkpointing: bool
    dropout: float
    rank: int
    dropout_mask: int  # bytes of dropout's mask per entry
    padded: bool  # whether rows may be shorter than the tensors that hold them
    answer: int  # tokens of an answer of the model's own, at most; 0 where it writes none

    @property
    def tokens(self) -> int:
        return self.rows * self.length

    @property
    def judged(self) -> int:
        """Tokens of which the output layer gives logits. Of answers of its own, those and the token before."""
        return self.rows * (self.answer + 1) if self.answer else self.tokens


def _worst_moment(
    shape: Shape, config: RunConfig, objective: Stage, device: Device, companions: Companions
) -> tuple[str, dict[str, int]]:
    """The moment of a step at which most is alive, and the parts that pass, as they are then."""
    step = _step(shape, config, objective, device)
    kept = _kept_activations(step) + _casts(shape, config, device)
    logits = _logits(step, objective)
    moments: dict[str, dict[str, int]] = {
        "in the backward pass": {"activations": kept + _layer_at_work(step)},
        "while the loss and its gradient are computed": {"activations": kept + _last_norm(step), "logits": logits},
        # PyTorch's AdamW makes a copy of a moment of all weights at once, when activations are gone.
        "in the optimizer step": {"activations": 2 * _FP32 * adapter_weights(shape, config.adapter.rank)},
    }
    if METHODS[objective].online:
        moments |= _moments_before_a_step(step, config, objective, device, companions)
    elif METHODS[objective].has_reference:
        # What is kept of a reference is asked for before the trained model begins (engine/reference.py).
        waiting = config.reference != "kept"
        moments["in the pass of the reference"] = {
            "activations": kept + _last_norm(step) + _slopes(step) // 2 if waiting else 0,
            "reference": max(_logits_at_once(step) + _slopes(step) // 2, _layer_without_gradients(step)),
        }
    worst = max(moments, key=lambda moment: sum(moments[moment].values()))
    parts = [part for part in PASSING if part != "answers" or METHODS[objective].online]
    return worst, {part: round(moments[worst].get(part, 0) * _SLACK) for part in parts}


def _moments_before_a_step(
    step: _Step, config: RunConfig, objective: Stage, device: Device, companions: Companions
) -> dict[str, dict[str, int]]:
    """What a method does that learns from answers of its own, before it trains on them: nothing of it keeps gradients."""
    shape, written, width = step.shape, step.rows * step.length, _BYTES[_weight_dtype(config, device)]
    # Outside of TRL's autocast, where the adapter computes in fp32 what the layers compute in half precision.
    plain = replace(step, width=step.width + (_FP32 if step.width < _FP32 else 0))
    cache = 2 * shape.layers * shape.key * width * written
    # A layer's keys and values are copied as each token is added, and repeated for every head.
    at_work = 2 * (shape.key + shape.query) * width * written
    prefill = _layer_without_gradients(replace(plain, length=step.length - step.answer))
    drawn = step.rows * shape.vocabulary * (_DRAWN + width)
    judging = replace(plain, rows=min(REWARD_BATCH, config.batch_size))
    read = max(_logits_at_once(step) + _slopes(step), _pass_of(step))
    moments = {
        "while answers are written": {"activations": max(at_work, prefill), "logits": drawn, "answers": cache},
        "while policy and reference read the answers": {
            "activations": _casts(shape, config, device),
            "reference": read,
        },
    }
    if config.own(objective).reward_run_name():
        moments["while the reward model reads the answers"] = {"activations": _pass_of(judging)}
    return moments


def _pass_of(step: _Step) -> int:
    """A pass without gradients through all layers: the one at work, and the mask."""
    return _layer_without_gradients(step) + _masks(step)


def _step(shape: Shape, config: RunConfig, objective: Stage, device: Device) -> _Step:
    computed = _BYTES[compute_dtype(device)]
    stored_as = _BYTES[_weight_dtype(config, device)]
    # Where the two differ, layers keep a value in both.
    width = computed if computed == stored_as else computed + stored_as
    return _Step(
        shape=shape,
        rows=METHODS[objective].trained_sequences * config.batch_size,
        length=config.max_length,
        width=width,
        head_width=computed,
        checkpointing=config.gradient_checkpointing != "off",
        # TRL switches dropout off where answers are compared.
        dropout=config.adapter.dropout if METHODS[objective].imitates else 0.0,
        rank=config.adapter.rank,
        dropout_mask=1 if device.is_cuda else _FP32,
        # A batch of answers of its own is cut from a larger one, and padded like it.
        padded=METHODS[objective].online or METHODS[objective].trained_sequences * config.batch_size > 1,
        answer=config.own(objective).longest_own_answer(),
    )


def _casts(shape: Shape, config: RunConfig, device: Device) -> int:
    """Copies of weights that autocast makes in the computing type and keeps for the way back."""
    if not device.is_cuda:
        return 0
    adapter = _BYTES[compute_dtype(device)] * adapter_weights(shape, config.adapter.rank)
    return adapter + (2 * shape.linear_weights if config.precision == "fp32" else 0)


def _kept_activations(step: _Step) -> int:
    """What the layers keep for the way back: their inputs with checkpointing, else all that is inside them."""
    shape = step.shape
    if step.checkpointing:
        return step.tokens * shape.layers * shape.hidden * step.width + _masks(step)
    return shape.layers * _inside_a_layer(step) + _masks(step)


def _last_norm(step: _Step) -> int:
    """What lies between the last layer and the output layer: gone when the layers flow back."""
    return step.tokens * step.shape.hidden * (_FP32 + step.width)


def _inside_a_layer(step: _Step) -> int:
    """What one layer keeps for its gradients. Frozen matrices keep nothing; their adapters keep their inputs."""
    shape, width = step.shape, step.width
    branches = 4 if shape.gated else 3  # gate, its activation, up, product; without a gate: up, activation, output
    # A norm keeps its input in fp32. Keys and values are repeated for every head where rows are padded.
    keys = shape.query if step.padded else shape.key
    inputs = 2 * shape.hidden + shape.query + shape.intermediate
    if step.dropout:
        masked = sum(linear.inputs * linear.count for linear in shape.linears) // shape.layers
        dropped = masked * (width + step.dropout_mask) - inputs * width
    else:
        dropped = 0
    per_token = (
        _FP32 * shape.normed
        + width * 2 * shape.hidden
        + width * 2 * (shape.query + keys)
        + width * branches * shape.intermediate
        + width * step.rank * _linears_per_layer(shape)
        + dropped
    )
    return step.tokens * per_token + _scores(step)


def _masks(step: _Step) -> int:
    """The causal mask of padded rows, as it is made and as it is kept.

    With `_scores` it is enough for packed rows: as long as an ordinary one, or half as many and at most 1.7 times as long
    where the prompt of a pair is read once, with one mask in the computing type for all layers (engine/packed_rows.py).
    """
    return step.rows * step.length**2 * 2 if step.padded else 0


def _scores(step: _Step) -> int:
    """What attention keeps per pair of tokens: with fused kernels no scores, only a mask in the computing type."""
    return step.rows * step.length**2 * step.width if step.padded else 0


def _layer_at_work(step: _Step) -> int:
    """One layer on the way back: what it keeps, if that is computed again, gradients, and its largest matrix."""
    shape = step.shape
    passing = step.tokens * (step.width * _gradients_in_the_middle(shape) + (_FP32 + step.width) * shape.hidden)
    largest = step.width * max(linear.weights for linear in shape.linears)
    return passing + largest + (_inside_a_layer(step) if step.checkpointing else 0)


def _gradients_in_the_middle(shape: Shape) -> int:
    """Features of the gradients that are alive at once in an MLP: two of its branches, three where they are one."""
    return max(2 * shape.intermediate, 3 * max(linear.outputs for linear in shape.linears) // 2)


def _layer_without_gradients(step: _Step) -> int:
    """One layer of the reference's forward pass: the branches of an MLP, its input and the residual."""
    shape = step.shape
    features = max(4 * shape.intermediate, 2 * max(linear.outputs for linear in shape.linears)) + 2 * shape.hidden
    largest = step.width * max(linear.weights for linear in shape.linears)
    return step.tokens * features * step.width + _scores(step) + largest


def _logits(step: _Step, objective: Stage) -> int:
    """Bytes of the loss of the trained model at their peak."""
    vocabulary, tokens, width = step.shape.vocabulary, step.judged, step.head_width
    hidden = tokens * step.shape.hidden
    if METHODS[objective].scores:
        return hidden * (_FP32 + width)  # of which the last token of each row is scored
    if METHODS[objective].tiles_loss:
        # The output layer's values, an fp32 copy of those in half precision, log-softmax, its product, the gradient.
        per_logit = (16 if width == _FP32 else 18) + (width if step.shape.capped else 0)
        return min(tokens, _SFT_CHUNK) * vocabulary * per_logit + hidden * 4 * width
    return _logits_at_once(step) + _slopes(step)


def _logits_at_once(step: _Step) -> int:
    """Of some tokens: logits in fp32, their probabilities or exponentials, and those once more in half precision."""
    tokens = min(step.judged, max(1, LOGITS_AT_ONCE // step.shape.vocabulary))
    per_logit = 2 * _FP32 + step.head_width % _FP32 + (_FP32 if step.shape.capped else 0)
    return tokens * step.shape.vocabulary * per_logit


def _slopes(step: _Step) -> int:
    """Hidden states of the tokens that are asked about, cut out of their rows, and the slopes of their log-probabilities."""
    return step.judged * step.shape.hidden * 4 * step.width


def _linears_per_layer(shape: Shape) -> int:
    return sum(linear.count for linear in shape.linears) // shape.layers
