"""What a model is made of, read from its config.json alone: every linear layer, embedding and norm, with its size.

Counted are the modules that Transformers 5 builds for the architecture, so that bytes follow to the last one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import WorkbenchError

# Far beyond any model there is; a config.json comes from anywhere, and sums over it must stay numbers.
_LARGEST = 10_000_000


@dataclass(frozen=True)
class Linear:
    """Linear layers of one size. inputs, outputs: features; count: how many there are in the whole model."""

    name: str  # the module's own name, such as q_proj
    inputs: int
    outputs: int
    count: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Entries of one weight matrix, the bias left out."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Shape:
    """A model as its memory sees it. Sizes are in features, counts in entries."""

    architecture: str
    layers: int
    hidden: int
    query: int  # heads times the size of a head
    key: int  # heads of keys (as many of values) times the size of a head
    heads: int
    intermediate: int
    gated: bool  # two matrices lead into the middle of an MLP, not one
    vocabulary: int
    tied: bool  # the output layer is the embedding matrix itself
    norms: int  # weights and biases of all norms together
    normed: int  # features that the norms of one layer see of a token
    linears: tuple[Linear, ...]  # those in the layers: not the output layer
    capped: bool = False  # the logits go through tanh, which keeps a copy of them

    @property
    def linear_weights(self) -> int:
        """Entries of all weight matrices in the layers."""
        return sum(linear.weights * linear.count for linear in self.linears)

    @property
    def unquantized_weights(self) -> int:
        """Entries of what is never stored in 4 bits: embeddings, output layer, norms, biases."""
        return self.body_weights + (0 if self.tied else self.vocabulary * self.hidden)

    @property
    def body_weights(self) -> int:
        """The same without the output layer, which a model that scores does not have: embeddings, norms, biases."""
        biases = sum(linear.outputs * linear.count for linear in self.linears if linear.bias)
        return self.vocabulary * self.hidden + self.norms + biases

    @property
    def parameters(self) -> int:
        """Every weight once; a tied output layer is not counted again."""
        return self.linear_weights + self.unquantized_weights


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape of the model that a config.json describes.

    Raises WorkbenchError for an architecture that is not known here, and for sizes that are missing or no numbers.
    """
    architecture = config.get("model_type")
    build = _ARCHITECTURES.get(architecture) if isinstance(architecture, str) else None
    if build is None:
        raise WorkbenchError(
            f"The memory of a model of type {str(architecture)[:60]!r} cannot be forecast; a probe after loading will "
            f"tell. Known are {', '.join(sorted(_ARCHITECTURES))}."
        )
    if config.get("quantization_config"):
        raise WorkbenchError(
            "The weights of this model are stored quantised already, so its memory cannot be forecast; a probe after "
            "loading will tell. Choose the original of the model for a forecast."
        )
    return build(_Sizes(config, str(architecture)))


class _Sizes:
    """The sizes in a config.json, checked as they are read."""

    def __init__(self, config: Mapping[str, Any], architecture: str):
        self._config = config
        self.architecture = architecture
        self.hidden = self.number("hidden_size")
        self.layers = self.number("num_hidden_layers")
        self.heads = self.number("num_attention_heads")
        self.key_heads = self.number("num_key_value_heads", self.heads)
        self.vocabulary = self.number("vocab_size")

    def number(self, key: str, otherwise: int | None = None) -> int:
        """A size. otherwise: what it is where the config leaves it out; None where it must be there."""
        value = self._config.get(key)
        value = otherwise if value is None else value
        if value is None:
            raise WorkbenchError(f"The config.json has no {key}, so the model's memory cannot be forecast.")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
            raise WorkbenchError(
                f"{key} in the config.json is {str(value)[:40]!r}; it must be a whole number from 1 to {_LARGEST:,}."
            )
        return value

    def flag(self, key: str, otherwise: bool) -> bool:
        """A yes or no, and what it is where the config leaves it out."""
        value = self._config.get(key)
        return otherwise if value is None else bool(value)

    def value(self, key: str) -> Any:
        return self._config.get(key)

    def head(self, otherwise: int | None = None) -> int:
        """Size of a head. otherwise: where the config leaves it out; None for an even share of the hidden size."""
        return self.number("head_dim", otherwise or max(1, self.hidden // self.heads))


def _attention(sizes: _Sizes, head: int, qkv_bias: bool, out_bias: bool) -> tuple[Linear, ...]:
    query, key = sizes.heads * head, sizes.key_heads * head
    return (
        Linear("q_proj", sizes.hidden, query, sizes.layers, qkv_bias),
        Linear("k_proj", sizes.hidden, key, sizes.layers, qkv_bias),
        Linear("v_proj", sizes.hidden, key, sizes.layers, qkv_bias),
        Linear("o_proj", query, sizes.hidden, sizes.layers, out_bias),
    )


def _gated_mlp(sizes: _Sizes, intermediate: int, bias: bool) -> tuple[Linear, ...]:
    return (
        Linear("gate_proj", sizes.hidden, intermediate, sizes.layers, bias),
        Linear("up_proj", sizes.hidden, intermediate, sizes.layers, bias),
        Linear("down_proj", intermediate, sizes.hidden, sizes.layers, bias),
    )


def _shape(
    sizes: _Sizes,
    head: int,
    linears: tuple[Linear, ...],
    intermediate: int,
    *,
    tied: bool,
    layer_norms: int,
    normed: int,
    final_norm: int | None = None,
    gated: bool = True,
    capped: bool = False,
) -> Shape:
    """tied: where the config leaves it out; layer_norms: entries of the norms of one layer; normed: what they see."""
    return Shape(
        architecture=sizes.architecture,
        layers=sizes.layers,
        hidden=sizes.hidden,
        query=sizes.heads * head,
        key=sizes.key_heads * head,
        heads=sizes.heads,
        intermediate=intermediate,
        gated=gated,
        vocabulary=sizes.vocabulary,
        tied=sizes.flag("tie_word_embeddings", tied),
        norms=sizes.layers * layer_norms + (sizes.hidden if final_norm is None else final_norm),
        normed=normed,
        linears=linears,
        capped=capped,
    )


def _llama(sizes: _Sizes, tied: bool = False) -> Shape:
    bias = sizes.flag("attention_bias", False)
    head, intermediate = sizes.head(), sizes.number("intermediate_size")
    linears = _attention(sizes, head, bias, bias) + _gated_mlp(sizes, intermediate, sizes.flag("mlp_bias", False))
    norms = 2 * sizes.hidden
    return _shape(sizes, head, linears, intermediate, tied=tied, layer_norms=norms, normed=norms)


def _smollm3(sizes: _Sizes) -> Shape:
    return _llama(sizes, tied=True)


def _mistral(sizes: _Sizes) -> Shape:
    head, intermediate = sizes.head(), sizes.number("intermediate_size")
    linears = _attention(sizes, head, False, False) + _gated_mlp(sizes, intermediate, False)
    norms = 2 * sizes.hidden
    return _shape(sizes, head, linears, intermediate, tied=False, layer_norms=norms, normed=norms)


def _qwen2(sizes: _Sizes) -> Shape:
    # Like Transformers' Qwen2, this reads a head_dim where there is one, which published configs leave out.
    head, intermediate = sizes.head(), sizes.number("intermediate_size")
    linears = _attention(sizes, head, True, False) + _gated_mlp(sizes, intermediate, False)
    norms = 2 * sizes.hidden
    return _shape(sizes, head, linears, intermediate, tied=False, layer_norms=norms, normed=norms)


def _qwen3(sizes: _Sizes) -> Shape:
    bias = sizes.flag("attention_bias", False)
    head, intermediate = sizes.head(128), sizes.number("intermediate_size")
    linears = _attention(sizes, head, bias, bias) + _gated_mlp(sizes, intermediate, False)
    norms, heads = 2 * sizes.hidden, sizes.heads + sizes.key_heads
    # One norm for all heads, which sees each of them.
    return _shape(
        sizes, head, linears, intermediate, tied=False, layer_norms=norms + 2 * head, normed=norms + heads * head
    )


def _olmo2(sizes: _Sizes) -> Shape:
    bias = sizes.flag("attention_bias", False)
    head, intermediate = sizes.head(), sizes.number("intermediate_size")
    linears = _attention(sizes, head, bias, bias) + _gated_mlp(sizes, intermediate, False)
    norms = 2 * sizes.hidden + (sizes.heads + sizes.key_heads) * head
    return _shape(sizes, head, linears, intermediate, tied=False, layer_norms=norms, normed=norms)


def _gemma(sizes: _Sizes, norms: int = 2, head_norms: bool = False, capped: bool = False) -> Shape:
    bias = sizes.flag("attention_bias", False)
    head, intermediate = sizes.head(256), sizes.number("intermediate_size")
    linears = _attention(sizes, head, bias, bias) + _gated_mlp(sizes, intermediate, False)
    heads = sizes.heads + sizes.key_heads
    return _shape(
        sizes,
        head,
        linears,
        intermediate,
        tied=True,
        layer_norms=norms * sizes.hidden + (2 * head if head_norms else 0),
        normed=norms * sizes.hidden + (heads * head if head_norms else 0),
        capped=capped,
    )


def _gemma2(sizes: _Sizes) -> Shape:
    return _gemma(sizes, norms=4, capped=True)


def _gemma3(sizes: _Sizes) -> Shape:
    return _gemma(sizes, norms=4, head_norms=True, capped=sizes.value("final_logit_softcapping") is not None)


def _phi3(sizes: _Sizes) -> Shape:
    head, intermediate = sizes.head(), sizes.number("intermediate_size")
    query, key = sizes.heads * head, sizes.key_heads * head
    linears = (
        Linear("qkv_proj", sizes.hidden, query + 2 * key, sizes.layers),
        Linear("o_proj", query, sizes.hidden, sizes.layers),
        Linear("gate_up_proj", sizes.hidden, 2 * intermediate, sizes.layers),
        Linear("down_proj", intermediate, sizes.hidden, sizes.layers),
    )
    norms = 2 * sizes.hidden
    return _shape(sizes, head, linears, intermediate, tied=False, layer_norms=norms, normed=norms)


def _granite_hybrid(sizes: _Sizes) -> Shape:
    """The members of the family that are plain transformers: attention in every layer, no experts."""
    kinds = sizes.value("layer_types") or sizes.value("layers_block_type")
    attends = isinstance(kinds, list) and all(str(kind) in ("attention", "full_attention") for kind in kinds)
    if not attends or sizes.value("num_local_experts") != 0:
        raise WorkbenchError(
            "The memory of a Granite model with Mamba layers or experts cannot be forecast; a probe after loading will "
            "tell."
        )
    bias = sizes.flag("attention_bias", False)
    head, intermediate = max(1, sizes.hidden // sizes.heads), sizes.number("shared_intermediate_size")
    linears = (
        *_attention(sizes, head, bias, bias),
        Linear("input_linear", sizes.hidden, 2 * intermediate, sizes.layers),
        Linear("output_linear", intermediate, sizes.hidden, sizes.layers),
    )
    norms = 2 * sizes.hidden
    return _shape(sizes, head, linears, intermediate, tied=False, layer_norms=norms, normed=norms)


def _gpt_neox(sizes: _Sizes) -> Shape:
    bias = sizes.flag("attention_bias", True)
    intermediate = sizes.number("intermediate_size")
    linears = (
        Linear("query_key_value", sizes.hidden, 3 * sizes.hidden, sizes.layers, bias),
        Linear("dense", sizes.hidden, sizes.hidden, sizes.layers, bias),
        Linear("dense_h_to_4h", sizes.hidden, intermediate, sizes.layers, True),
        Linear("dense_4h_to_h", intermediate, sizes.hidden, sizes.layers, True),
    )
    return _shape(
        sizes,
        max(1, sizes.hidden // sizes.heads),
        linears,
        intermediate,
        tied=False,
        layer_norms=4 * sizes.hidden,
        normed=2 * sizes.hidden,
        final_norm=2 * sizes.hidden,
        gated=False,
    )


_ARCHITECTURES: dict[str, Callable[[_Sizes], Shape]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "olmo2": _olmo2,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi3": _phi3,
    "granite": _llama,
    "granitemoehybrid": _granite_hybrid,
    "smollm3": _smollm3,
    "gpt_neox": _gpt_neox,
}

KNOWN = tuple(_ARCHITECTURES)
