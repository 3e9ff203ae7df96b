"""torch.cuda answers as on a machine with one card, while each tensor stays on the CPU.

Unsloth asks for a card as it is imported, and for CUDA wherever it makes a tensor. Nothing that computes is replaced here:
its Triton kernels run in Triton's own interpreter (interpreter.py, replaced_kernels.py).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENVIRONMENT = {
    "TRITON_INTERPRET": "1",  # kernels are Python on arrays
    "TORCHDYNAMO_DISABLE": "1",  # torch.compile gives back the function itself
    "TORCH_COMPILE_DISABLE": "1",
    "UNSLOTH_COMPILE_DISABLE": "1",
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "UNSLOTH_SKIP_TORCHVISION_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
}

MEMORY = 16 * 1024**3  # bytes

# Kernels of a card that Unsloth looks up as it is imported. With its Triton kernels none of them is ever called.
LOOKED_UP = (
    "cdequantize_blockwise_fp32",
    "cdequantize_blockwise_fp16_nf4",
    "cdequantize_blockwise_bf16_nf4",
    "cdequantize_blockwise_fp32_nf4",
    "cgemm_4bit_inference_naive_fp16",
    "cgemm_4bit_inference_naive_bf16",
)

DO_NOTHING = [
    "_lazy_init",
    "set_device",
    "synchronize",
    "empty_cache",
    "manual_seed",
    "manual_seed_all",
    "set_rng_state",
    "set_rng_state_all",
    "reset_peak_memory_stats",
    "reset_max_memory_allocated",
    "ipc_collect",
]
NO_BYTES = ["memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"]
NOT_SO = ["_is_in_bad_fork", "is_current_stream_capturing"]


class Properties:
    """Of a card of 2020 or later."""

    has_bf16 = True  # asked anew for each trainer, so that it may change
    name = "a pretended card"
    major, minor = 8, 0
    total_memory = MEMORY
    multi_processor_count = 8
    max_threads_per_multi_processor = 2048
    regs_per_multiprocessor = 65536
    shared_memory_per_block = 48 * 1024
    shared_memory_per_block_optin = 163 * 1024
    shared_memory_per_multiprocessor = 164 * 1024
    L2_cache_size = 4 * 1024**2
    warp_size = 32
    is_integrated = is_multi_gpu_board = False
    gcnArchName, uuid = "", "0"


class Nothing:
    """A stream, an event or the choice of a card: it can be entered and asked for everything, and does nothing."""

    cuda_stream = stream_id = device_index = idx = 0

    def __init__(self, *_: object, **__: object) -> None: ...
    def __enter__(self) -> "Nothing":
        return self

    def __exit__(self, *_: object) -> None: ...
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def pretend() -> None:
    """Comes before anything of Triton, Transformers or Unsloth is imported, and holds to the end of the process."""
    os.environ.update(ENVIRONMENT)
    import torch

    # bitsandbytes takes its kernels for the CPU as long as torch says that there is no card.
    from bitsandbytes import functional, nn

    _answer_for_the_card(torch)
    _compute_on_the_cpu(torch)
    for name in LOOKED_UP:
        setattr(functional.lib, name, _kernel_of_a_card(name))
    made = nn.Linear4bit.__init__

    def as_on_a_card(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        self.support_avx512bf16_for_cpu = False  # see keep_four_bit_weights_as_they_are in engine/load.py

    nn.Linear4bit.__init__ = as_on_a_card
    # Where libcuda is missing, importing Unsloth would run ldconfig.
    import triton.backends.nvidia.driver as driver

    driver.libcuda_dirs = lambda: []


@contextmanager
def that_has_bf16() -> Iterator[None]:
    """Unsloth asks as it is imported, and then has torch say the same for good: afterwards it is asked anew each time."""
    import torch

    known, Properties.has_bf16 = Properties.has_bf16, True
    yield
    Properties.has_bf16 = known
    torch.cuda.is_bf16_supported = _has_bf16


def _has_bf16(*_: object, **__: object) -> bool:
    return Properties.has_bf16


def _answer_for_the_card(torch: Any) -> None:
    def always(value: Any) -> Any:
        return lambda *_, **__: value

    answers = {name: always(None) for name in DO_NOTHING}
    answers |= {name: always(0) for name in NO_BYTES} | {name: always(False) for name in NOT_SO}
    answers |= {
        "is_available": always(True),
        "is_initialized": always(True),
        "is_bf16_supported": _has_bf16,
        "device_count": always(1),
        "current_device": always(0),
        "get_device_name": always(Properties.name),
        "get_device_properties": always(Properties()),
        "get_device_capability": always((Properties.major, Properties.minor)),
        "mem_get_info": always((MEMORY, MEMORY)),
        "memory_stats": always({}),
        "get_rng_state": always(torch.ByteTensor(0)),
        "get_rng_state_all": always([]),
        "current_stream": always(Nothing()),
        "default_stream": always(Nothing()),
    }
    answers |= {name: Nothing for name in ("device", "device_of", "stream", "Stream", "Event")}
    for module in (torch.cuda, torch.cuda.memory, torch.cuda.random, torch.cuda.streams):
        for name, answer in answers.items():
            if module is torch.cuda or hasattr(module, name):
                setattr(module, name, answer)
    torch._C._cuda_getCurrentRawStream = always(0)


def _compute_on_the_cpu(torch: Any) -> None:
    """What is asked to be on the card is on the CPU; autocast of the card is autocast of the CPU."""
    from torch.overrides import TorchFunctionMode

    def is_card(place: Any) -> bool:
        if isinstance(place, torch.device):
            return bool(place.type == "cuda")
        return isinstance(place, str) and place.partition(":")[0] == "cuda"

    def here(place: Any) -> Any:
        return "cpu" if is_card(place) else place

    def of_the_cpu(known: Any) -> Any:
        return lambda place="cpu", *arguments: known(here(place), *arguments)

    begin = torch.amp.autocast_mode.autocast.__init__

    def init(self: Any, device_type: str, *arguments: Any, **named: Any) -> None:
        begin(self, here(device_type), *arguments, **named)

    torch.amp.autocast_mode.autocast.__init__ = init
    for name in ("is_autocast_enabled", "get_autocast_dtype", "set_autocast_enabled", "set_autocast_dtype"):
        setattr(torch, name, of_the_cpu(getattr(torch, name)))
    torch.get_autocast_gpu_dtype = torch.get_autocast_cpu_dtype

    class OnTheCpu(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = dict(kwargs or {})
            if function in (torch.Tensor.cuda, torch.Tensor.pin_memory):
                return args[0]
            if function is torch.device:  # of a number alone: a card's, as there is one
                return function(*(("cuda", *args) if args and type(args[0]) is int else args), **named)
            if function is torch.Tensor.to:
                moved = args[1:2] and (is_card(args[1]) or type(args[1]) is int)
                args = (args[0], "cpu", *args[2:]) if moved else args
            if is_card(named.get("device")) or type(named.get("device")) is int:
                named["device"] = "cpu"
            if named.get("pin_memory"):
                named["pin_memory"] = False
            return function(*args, **named)

    OnTheCpu().__enter__()


def _kernel_of_a_card(name: str) -> Any:
    def absent(*_: object) -> None:
        raise AssertionError(f"{name} is a kernel of a card, and there is none")

    absent.restype = None  # type: ignore[attr-defined]  # by which Unsloth sees that the library has it
    return absent
