"""Whether the tensors in a model's files are those that its config.json describes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.memory.architectures import Shape, shape_of

_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|embed_in)\.weight$")
_OF_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.(?:.*\.)?(\w+)\.weight$")

Sizes = Mapping[str, tuple[int, ...]]


def misfits(config: Mapping[str, Any], tensors: Sizes) -> list[str]:
    """What does not fit, in words: a tensor of another size, and layers without one. Empty where all is well.

    tensors: name -> shape. Nothing is said of architectures that are not known, and of weights that are quantised already.
    """
    try:
        shape = shape_of(config)
    except WorkbenchError:
        return []
    return [*_embedding_misfits(shape, tensors), *_layer_misfits(shape, tensors)]


def _embedding_misfits(shape: Shape, tensors: Sizes) -> Iterator[str]:
    tables = [name for name in tensors if _EMBEDDING.search(name)]
    if not tables:
        yield "there is no table of embeddings (embed_tokens.weight)"
    for name in tables:
        if tensors[name] != (shape.vocabulary, shape.hidden):
            yield (
                f"{name} is {_by(tensors[name])}, and vocab_size {shape.vocabulary:,} with hidden_size {shape.hidden:,} "
                f"wants {_by((shape.vocabulary, shape.hidden))}"
            )


def _layer_misfits(shape: Shape, tensors: Sizes) -> Iterator[str]:
    """One for each kind of linear layer at most: the others are wrong in the same way."""
    found: dict[str, dict[int, str]] = {}
    for name in tensors:
        if match := _OF_LAYER.search(name):
            found.setdefault(match[2], {})[int(match[1])] = name
    for linear in shape.linears:
        wanted = (linear.outputs, linear.inputs)
        there = found.get(linear.name, {})
        wrong = next((name for name in there.values() if tensors[name] != wanted), None)
        if wrong:
            yield f"{wrong} is {_by(tensors[wrong])}, and the sizes in config.json want {_by(wanted)}"
        missing = shape.layers - sum(layer < shape.layers for layer in there)
        if missing:
            yield f"{linear.name} is missing in {missing:,} of {shape.layers:,} layers"


def _by(shape: tuple[int, ...]) -> str:
    """(1536, 256) -> "1,536 x 256"."""
    return " x ".join(f"{size:,}" for size in shape) or "a single number"
