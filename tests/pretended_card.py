"""A CUDA card that is only counted: steps of the real trainers on PyTorch's fake tensors, at the real sizes of real models.

Nothing is computed and nothing is stored; every tensor that an operation makes has a size, is counted while it lives, and the
most that lived at once is the step's peak. Small tables of whole numbers (ids, masks) are computed beside it, as much depends on
their values. The tensors say that they are on the CPU, as PyTorch's autograd takes no others where it was built without CUDA, so
what a card does otherwise is put in its place: its fused kernels of attention, what autocast computes in fp32 there, and the
memory that some kernels take inside. What PyTorch's allocator loses between blocks is not seen.
"""

import math
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from model_memory import steps_of, trainer_for
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

from workbench.core.training.config import RunConfig
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device, adapter_arguments, compute_dtype
from workbench.engine.rewards import NAME, RewardAdapter

CARD = Device("cuda", "a pretended card with bf16", True)

_ROUNDED = 512  # PyTorch rounds every tensor on a card up to a multiple of so many bytes
_SMALL = 1 << 21  # entries of a table of whole numbers that is computed
_FEW = 4096  # numbers with a point that are
_WHOLE = (torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool)

# What autocast computes in fp32 on a card and not on a CPU, of what models and losses call.
_IN_FP32 = {
    "exp", "log", "log1p", "log2", "expm1", "pow", "reciprocal", "rsqrt", "softplus", "layer_norm", "nll_loss", "logsumexp",
    "kl_div", "cosine_similarity", "binary_cross_entropy_with_logits", "mse_loss", "norm", "cumsum", "cumprod", "sum", "prod",
    "softmax", "log_softmax",
}  # fmt: skip
_INTO_FP32 = {"cumsum", "cumprod", "sum", "prod", "softmax", "log_softmax"}  # of which no copy of the input is made

aten = torch.ops.aten

# What the way back does in place, except where PyTorch sees a tensor of another class, such as a fake one.
_IN_PLACE = {
    aten.scatter_add.default: aten.scatter_add_.default,
    aten.index_put.default: aten.index_put_.default,
    aten.scatter.src: aten.scatter_.src,
}


class Card(TorchDispatchMode):
    """Counts what lives. memory: bytes that there are, None for as many as are asked for.

    alive, peak: bytes. Raises torch.OutOfMemoryError, as PyTorch does, where more would live than there is.
    """

    def __init__(self, memory: int | None = None):
        super().__init__()
        self.memory, self.alive, self.peak = memory, 0, 0
        self.held = 0  # what lived before the step that was counted
        self.watched: int | None = None  # a peak that is known, at which `found` is to be filled
        self.found: Counter[str] = Counter()  # what lived then: words -> bytes
        self._sizes: dict[int, tuple[int, str, Any]] = {}
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._entered: list[ExitStack] = []

    def __enter__(self) -> "Card":
        stack = ExitStack()
        # Asked without a device it means a card, and the autocast that is on here is that of the CPU.
        is_on = torch.is_autocast_enabled
        stack.enter_context(patch("torch.is_autocast_enabled", lambda kind="cpu": is_on(kind)))
        # Transformers takes a fake tensor for a program that is only traced, and leaves shortcuts of a real one out.
        stack.enter_context(patch("transformers.utils.import_utils.is_fake_tensor", lambda _: False))
        # Where a layer is moved or cast, PyTorch exchanges its fake tensors, of which there may be no second reference.
        stack.enter_context(patch("torch.nn.Module._apply", _apply))
        stack.enter_context(_AsOnACard())
        self._entered.append(stack)
        super().__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        self._entered.pop().close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default:
            return self._number(args[0])
        if func is aten.index.Tensor:
            args = (args[0], [place for index in args[1] for place in self._places(index)])
        if func in _IN_PLACE and torch._C._current_graph_task_id() != -1:
            func = _IN_PLACE[func]
        self._count(_inside(func, args), "")
        try:
            found = self._pretend(func, args, kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            real = _with_values(args, kwargs)
            if real is None:
                raise
            return tree_map_only(torch.Tensor, self.put, func(*real[0], **real[1]))
        self._keep_values(func, args, kwargs, found)
        for one in tree_leaves(found):
            if isinstance(one, FakeTensor):
                self._track(one, func)
        return found

    def _pretend(self, func: Any, args: Any, kwargs: Any) -> Any:
        if any(isinstance(one, FakeTensor) for one in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        with self._fake:
            return func(*args, **kwargs)

    def put(self, real: torch.Tensor) -> torch.Tensor:
        """A tensor of values on the card."""
        with self._fake:
            found = torch.empty_like(real)
        found.values_here = real
        self._track(found, "put")
        return found

    def _number(self, tensor: torch.Tensor) -> Any:
        values = values_of(tensor)
        if values is not None:
            return values.item()
        # Yes, where a loop asks whether it is over, and a check whether all is well.
        return True if tensor.dtype == torch.bool else 1 if tensor.dtype in _WHOLE else 1.0

    def _places(self, index: Any) -> list[Any]:
        """A mask as the places at which it is true, as a card finds them out first; all where its values are not known."""
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            return [index]
        values = values_of(index)
        values = torch.ones(index.shape, dtype=torch.bool) if values is None else values
        return [self.put(one) for one in values.nonzero(as_tuple=True)]

    def _track(self, tensor: torch.Tensor, func: Any) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        size = -(-storage.nbytes() // _ROUNDED) * _ROUNDED
        words = f"{func} {tuple(tensor.shape)} {str(tensor.dtype)[6:]}"
        self._count(size, words)
        self.alive += size
        self._sizes[key] = size, words, weakref.ref(storage, lambda _: self._gone(key))

    def _gone(self, key: int) -> None:
        size, _, _ = self._sizes.pop(key)
        self.alive -= size

    def _count(self, more: int, words: str) -> None:
        if self.memory is not None and self.alive + more > self.memory:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {more / 2**30:.2f} GiB")
        self.peak = max(self.peak, self.alive + more)
        if self.watched and self.alive + more >= self.watched and not self.found:
            self.found.update({words: more})
            for size, name, _ in self._sizes.values():
                self.found[name] += size

    def _keep_values(self, func: Any, args: Any, kwargs: Any, found: Any) -> None:
        """Compute small tables beside what is pretended, and forget those that change in a way that is not known."""
        outputs = [one for one in tree_leaves(found) if isinstance(one, FakeTensor)]
        real = _with_values(args, kwargs) if outputs and all(map(_is_worth_it, outputs)) else None
        if real is None:
            if func._schema.is_mutable:
                for one in tree_leaves((args[0], found)):
                    if isinstance(one, FakeTensor):
                        one.values_here = None
            return
        for fake, value in zip(outputs, tree_leaves(func(*real[0], **real[1])), strict=True):
            fake.values_here = value


def _apply(module: torch.nn.Module, change: Callable[[Any], Any], recurse: bool = True) -> torch.nn.Module:
    """As PyTorch does it to real tensors: a parameter stays the same one, with other data."""
    for child in module.children() if recurse else ():
        child._apply(change)
    for weight in module._parameters.values():
        if weight is not None:
            with torch.no_grad():
                weight.data = change(weight)
    for name, buffer in module._buffers.items():
        module._buffers[name] = None if buffer is None else change(buffer)
    return module


def values_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """What is in a tensor, where that is known."""
    return getattr(tensor, "values_here", None) if isinstance(tensor, FakeTensor) else tensor


def _is_worth_it(tensor: torch.Tensor) -> bool:
    return tensor.numel() <= (_SMALL if tensor.dtype in _WHOLE else _FEW)


def _with_values(args: Any, kwargs: Any) -> tuple[Any, Any] | None:
    """The arguments with the values of all tensors among them; None where those of one are not known."""
    flat, how = tree_flatten((args, kwargs))
    values = [values_of(one) if isinstance(one, torch.Tensor) else one for one in flat]
    if any(value is None and isinstance(one, torch.Tensor) for one, value in zip(flat, values, strict=True)):
        return None
    found: tuple[Any, Any] = tree_unflatten(values, how)
    return found


def _inside(func: Any, args: Any) -> int:
    """Bytes that a kernel of a card takes for itself while it runs."""
    name = func.name()
    if func is aten.logsumexp.default:  # exponentials of all of them
        return args[0].nbytes
    if name == "bitsandbytes::gemm_4bit":  # the matrix in 16 bits and its scales in fp32, before the two are multiplied
        weights = math.prod(args[2])
        return weights * args[0].dtype.itemsize + 4 * weights // args[4]
    if name.endswith(
        "attention_backward"
    ):  # gradients are added up in fp32; of repeated heads they are summed afterwards
        query, key = args[1], args[2]
        repeated = 4 * query.numel() if query.shape[1] != key.shape[1] else 0
        return 4 * query.numel() + repeated + (8 * key.numel() if "efficient" in name else 0)
    return 0


class _AsOnACard(TorchFunctionMode):
    """Functions that take another way on a card than on a CPU, and those that ask for values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if kwargs.get("device") == "cuda":
            kwargs = kwargs | {"device": "cpu"}
        if name == "scaled_dot_product_attention":
            return _attention(*args, **kwargs)
        if name in ("tolist", "numpy") and isinstance(args[0], FakeTensor):
            values = values_of(args[0])
            if values is None:
                values = torch.ones(args[0].shape, dtype=args[0].dtype)
            return getattr(values, name)()
        if name == "__deepcopy__" and isinstance(args[0], FakeTensor):
            copied = args[0].detach().clone().requires_grad_(args[0].requires_grad)
            return (
                torch.nn.Parameter(copied, copied.requires_grad) if isinstance(args[0], torch.nn.Parameter) else copied
            )
        if (
            name == "backward"
        ):  # in which layers are computed again: as on a card too, where this is off while it is asked
            with _AsOnACard():
                return _engine_run_backward(
                    (args[0],),
                    (torch.ones_like(args[0]),),
                    False,
                    False,
                    (),
                    allow_unreachable=True,
                    accumulate_grad=True,
                )
        if name in _IN_FP32 and torch.is_autocast_enabled("cpu"):
            args, kwargs = _in_fp32(name, args, kwargs)
        return func(*args, **kwargs)


def _in_fp32(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    halves = [one for one in args if isinstance(one, torch.Tensor) and one.dtype in (torch.bfloat16, torch.float16)]
    if not halves:
        return args, kwargs
    if name in _INTO_FP32:
        return args, kwargs if kwargs.get("dtype") else kwargs | {"dtype": torch.float32}
    return tree_map_only(torch.Tensor, lambda one: one.float() if one.is_floating_point() else one, args), kwargs


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """As CUDA chooses: FlashAttention in half precision without a mask, else the memory-efficient kernel."""
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (one.to(torch.get_autocast_dtype("cpu")) for one in (query, key, value))
    if attn_mask is None and query.dtype != torch.float32 and query.shape[-1] <= 256:
        return aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    if enable_gqa:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(~attn_mask, -math.inf)
        if missing := -attn_mask.shape[-1] % 8:
            attn_mask = torch.nn.functional.pad(attn_mask, (0, missing))[..., :-missing]
        attn_mask = attn_mask.expand(*query.shape[:3], key.shape[2])
    keeps = torch.is_grad_enabled() and any(one.requires_grad for one in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, keeps, dropout_p, is_causal, scale=scale
    )[0]


def model_on(card: Card, values: Mapping[str, Any], scores: bool = False) -> Any:
    """A model of a config.json in NF4, as Transformers and bitsandbytes load one onto a card. Entered or not, it is on it."""
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    dtype = getattr(torch, compute_dtype(CARD))
    config = AutoConfig.for_model(**values, **({"num_labels": 1} if scores else {}))
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(config, dtype=dtype)
        for name, module in list(model.named_modules()):
            if isinstance(module, torch.nn.Linear) and name not in ("lm_head", "embed_out", "score"):
                small = Linear4bit(module.in_features, module.out_features, module.bias is not None, dtype, True, "nf4")
                model.set_submodule(name, small)
                if small.bias is not None:
                    small.bias.data = small.bias.data.to(dtype)
    with card:
        for module in model.modules():
            if isinstance(module, Linear4bit):
                module.weight = _in_four_bits(module.weight)
                module.support_avx512bf16_for_cpu = False
            for name, weight in list(module.named_parameters(recurse=False)):
                if weight.is_meta:
                    empty = torch.empty(weight.shape, dtype=weight.dtype)
                    setattr(module, name, torch.nn.Parameter(empty, requires_grad=False))
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype), persistent=False)
        model.tie_weights()
    model.is_quantized = model.is_loaded_in_4bit = True
    model.hf_quantizer = SimpleNamespace(
        is_trainable=True, quantization_config=SimpleNamespace(quant_method="bitsandbytes")
    )
    return model


def _in_four_bits(weight: torch.Tensor) -> torch.nn.Parameter:
    """A matrix as bitsandbytes stores it: two entries in a byte, absmax of 64 entries in 8 bits, an fp32 one of 256 of those."""
    from bitsandbytes.functional import QuantState

    blocks = -(-weight.numel() // 64)
    outer = QuantState(torch.empty(-(-blocks // 256)), code=torch.empty(256), blocksize=256, dtype=torch.float32)
    found = torch.nn.Parameter(torch.empty((weight.numel() + 1) // 2, 1, dtype=torch.uint8), requires_grad=False)
    found.quant_state = QuantState(
        torch.empty(blocks, dtype=torch.uint8), weight.shape, torch.empty(16), 64, "nf4", torch.bfloat16,
        torch.empty(()), outer,
    )  # fmt: skip
    found.compress_statistics, found.quant_type, found.bnb_quantized = True, "nf4", True
    return found


class _Judge(RewardAdapter):
    """A reward model on the same base, whose weights no file holds."""

    def __init__(self, model: Any, tokenizer: Any, config: RunConfig):
        from peft import LoraConfig

        self.tokenizer, self.max_length, self.name, self.title = tokenizer, config.max_length, NAME, "the judge"
        self.batch, self.mean, self.std, self.model = config.batch_size, 0.0, 1.0, model
        trains = {name for name, weight in model.named_parameters() if weight.requires_grad}
        model.add_adapter(NAME, LoraConfig(**adapter_arguments(config.adapter)))
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in trains)
            if f".{NAME}." in name:
                weight.data = weight.data.float()
        hidden = model.get_base_model().config.get_text_config().hidden_size
        self.head = torch.nn.Linear(hidden, 1, bias=False).requires_grad_(False)


def trainer_on(card: Card, values: Mapping[str, Any], config: RunConfig, stage: str, shared: float = 0.0) -> Any:
    """The trainer of a run on such a card, with autocast as the trainer of a card has it. shared: see trainer_for."""
    method = METHODS[stage]  # type: ignore[index]
    base = model_on(card, values, method.scores)
    with card:
        trainer = trainer_for(
            values, config, stage, CARD, base, shared=shared,
            judge=lambda model, tokenizer: _Judge(model, tokenizer, config),
            changes={"use_cpu": True, "dataloader_pin_memory": False},
        )  # fmt: skip
        trainer.model_wrapped = trainer.accelerator.prepare_model(trainer.model)
        if method.online:
            trainer.model.generate = _generate(trainer.model, trainer.max_completion_length)
    return trainer


def _generate(model: Any, longest: int) -> Callable[..., torch.Tensor]:
    """Answers of the longest length, of which only the first token and the last one are written: the two that take most."""
    from transformers import DynamicCache

    real = model.generate

    def generate(*_: Any, input_ids: Any, attention_mask: Any, generation_config: Any, **more: Any) -> torch.Tensor:
        written = {"max_new_tokens": 1, "min_new_tokens": 1, "return_dict_in_generate": True}
        first = real(
            input_ids=input_ids, attention_mask=attention_mask, generation_config=generation_config, **more | written
        )
        rows, tokens = input_ids.shape[0], input_ids.shape[1] + longest - 1
        kinds = [(layer.keys.shape, layer.values.shape, layer.keys.dtype) for layer in first.past_key_values.layers]
        del first
        cache = DynamicCache()
        for place, (*shapes, dtype) in enumerate(kinds):
            cache.update(*(torch.empty(*one[:2], tokens - 1, one[3], dtype=dtype) for one in shapes), place)
        ids, mask = (
            torch.cat([one, torch.ones(rows, longest - 1, dtype=one.dtype)], 1) for one in (input_ids, attention_mask)
        )
        last = real(
            input_ids=ids,
            attention_mask=mask,
            generation_config=generation_config,
            past_key_values=cache,
            **more | written,
        )
        del last, cache
        return torch.cat([input_ids, torch.full((rows, longest), 7)], 1)

    return generate


def peak_of_step(
    values: Mapping[str, Any],
    config: RunConfig,
    stage: str,
    memory: int | None = None,
    shared: float = 0.0,
    watched: int | None = None,
    prepare: Callable[[Any], None] | None = None,
) -> Card:
    """A step of a run on a pretended card, whose `peak` is then what PyTorch would have allocated at most.

    prepare: changes the trainer before its step.
    """
    card = Card(memory)
    trainer = trainer_on(card, values, config, stage, shared)
    if prepare:
        prepare(trainer)
    with card:
        step, _ = steps_of(trainer)
        for group in trainer.optimizer.param_groups:
            group["foreach"] = True  # as PyTorch chooses on a card
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        trainer.optimizer.step()  # makes the moments
        card.held = card.peak = card.alive
        card.watched = watched
        step()
    return card
