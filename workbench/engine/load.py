"""The base model in 4 bits, through Unsloth or through Transformers and bitsandbytes; a fresh adapter on top."""

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import AdapterSettings, ModelRef, Precision
from workbench.core.training.model_files import PLAIN_TEMPLATE, check_files, check_vocabulary
from workbench.core.training.recipe import (
    SAMPLE_TOKENS,
    Device,
    adapter_arguments,
    compute_dtype,
    quantization_arguments,
    unsloth_adapter_arguments,
    unsloth_load_arguments,
)
from workbench.core.training.thinking import may_switch
from workbench.engine.templates import check_template
from workbench.engine.trouble import is_out_of_memory, is_out_of_room, without_paths
from workbench.store.home import home, shipped
from workbench.store.hub_errors import hub_errors
from workbench.store.model_configs import download_config
from workbench.store.model_files import chat_template, check_model, read_config, tokenizer_problem

Say = Callable[[str], None]

# What a model is made of. "consolidated" and "original" are the same weights once more, in the maker's own layout.
WANTED_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md"]
UNWANTED_FILES = ["consolidated*", "original/*", "onnx/*", "*/*"]
TOKENIZER_FILES = [kind for kind in WANTED_FILES if kind != "*.safetensors"]

# Set by the worker when it starts itself again without Unsloth; holds the reason.
WITHOUT_UNSLOTH = "WORKBENCH_WITHOUT_UNSLOTH"


@dataclass(frozen=True)
class Loaded:
    """A base model that is ready, and how it was loaded."""

    model: Any
    tokenizer: Any
    device: Device
    backend: str  # "unsloth" or "transformers"
    precision: str  # "nf4", "bf16", "fp16" or "fp32"
    why: str  # why this backend and precision
    facts: dict[str, Any]  # what the Model page shows
    folder: Path  # with its files


class UnslothRefused(Exception):
    """Unsloth cannot take this model; the worker starts itself again without it."""


@contextmanager
def unsloth_may_refuse(backend: str, still: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Whatever Unsloth raises inside becomes UnslothRefused: it signals what it does not support by many types.

    A memory or a disk that is full is no refusal: without Unsloth it would be no emptier. still: whether it may refuse;
    once a run has taken steps, an error is the run's own.
    """
    try:
        yield
    except (WorkbenchError, UnslothRefused):
        raise
    except Exception as error:
        if backend != "unsloth" or not still() or is_out_of_memory(error) or is_out_of_room(error):
            raise
        # Its words end up in environment.json, which is meant to be shared.
        raise UnslothRefused(without_paths(_first_sentence(error)).removeprefix("Unsloth: ").rstrip(".!")) from error


def find_unsloth(device: Device, precision: Precision = "auto") -> tuple[bool, str]:
    """Whether Unsloth is to be used, and why or why not. Imports nothing."""
    refused = os.environ.get(WITHOUT_UNSLOTH)
    if refused:
        return False, f"Unsloth could not take this model ({refused})"
    if not device.is_cuda:
        return False, "Unsloth needs a CUDA card, and this machine has none"
    if precision == "fp32":
        return False, "Unsloth has no kernels for full precision"
    if precision == "bf16" and not device.bf16:
        return False, "Unsloth computes in 16 bits, and this card has no bf16"
    if importlib.util.find_spec("unsloth") is None:
        return False, "Unsloth is not installed"
    return True, f"Unsloth {importlib.metadata.version('unsloth')} is installed"


def fetch(ref: ModelRef, say: Say, with_weights: bool = True) -> Path:
    """The folder with a model's files, checked; downloads a Hub model that is not in the cache yet.

    with_weights: without them it is a small download, and enough for the tokenizer.
    Raises WorkbenchError in plain words for a model that is missing, gated, offline or unsafe.
    """
    if ref.source == "demo":
        return _demo()
    if ref.source == "folder":
        folder = Path(ref.name).expanduser()
        if not folder.is_dir():
            raise WorkbenchError(
                f"There is no folder {ref.name}. Check the path; it must be on the machine that runs the workbench."
            )
        check_files([path.name for path in folder.iterdir()], ref.name)
        return _checked(ref, folder, with_weights)
    return _fetch_from_hub(ref, say, with_weights)


def _demo() -> Path:
    """The demo model, which came with the program and is trusted as it is."""
    return shipped("assets") / "demo" / "model"


def _checked(ref: ModelRef, folder: Path, with_weights: bool) -> Path:
    """The folder itself, where its files are whole and its chat template does no harm. Raises WorkbenchError otherwise."""
    check_model(folder, ref.title, with_weights)
    written = chat_template(folder, ref.title)
    if written:
        check_template(written.text, written.file, ref.title, written.tokens)
    return folder


def load_tokenizer(folder: Path, title: str = "") -> Any:
    """A model's tokenizer as training uses it. Needs no torch.

    title: of the model; its folder's name where left out. Raises WorkbenchError where its files are damaged, or are those of
    another model.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers library is no Exception
        known = tokenizer_problem(folder, title or folder.name)
        raise WorkbenchError(
            known
            or f"The tokenizer of {title or folder.name} could not be loaded: {_first_sentence(error)} Either one of "
            "its tokenizer files is damaged: then download the model again. Or it is of a kind that the installed Transformers "
            "does not know: then choose another model."
        ) from error
    return _complete(tokenizer, folder, title or folder.name)


def has_switch(tokenizer: Any, title: str) -> bool:
    """Whether the chat template of a loaded tokenizer has a switch for thoughts."""
    written = tokenizer.get_chat_template()
    return may_switch(written) and check_template(written, "as it was loaded", title, tokenizer.special_tokens_map)


def load_base(
    ref: ModelRef,
    precision: Precision,
    device: Device,
    say: Say,
    max_length: int = 2048,
    with_unsloth: bool = False,
    scores: bool = False,
) -> Loaded:
    """Load the base model onto the device, in 4 bits unless told otherwise.

    scores: with a head that gives one score in place of the one that gives the next token; not through Unsloth. Raises WorkbenchError in plain words; UnslothRefused where Unsloth was asked for and cannot take the model.
    """
    folder = fetch(ref, say)
    say("loading the base model")
    if with_unsloth:
        return _load_with_unsloth(ref, folder, precision, device, max_length)
    return _load_with_transformers(ref, folder, precision, device, scores)


def add_adapter(loaded: Loaded, adapter: AdapterSettings, gradient_checkpointing: bool, seed: int) -> Any:
    """A fresh adapter on the base model: a PeftModel whose only trainable weights are the adapter's, in fp32."""
    import torch

    torch.manual_seed(seed)  # The adapter starts at random; the same seed must give the same run.
    if loaded.backend == "unsloth":
        from unsloth import FastLanguageModel

        arguments = unsloth_adapter_arguments(adapter, gradient_checkpointing, seed)
        with unsloth_may_refuse(loaded.backend):
            model = FastLanguageModel.get_peft_model(loaded.model, **arguments)
    else:
        from peft import LoraConfig, get_peft_model

        scores = hasattr(loaded.model, "score")
        if scores:  # made at random while the model was loaded: the same seed must give the same one
            loaded.model.score.weight.data.normal_(std=loaded.model.config.get_text_config().initializer_range)
        model = get_peft_model(loaded.model, LoraConfig(**adapter_arguments(adapter, scores)))
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    # Left to itself, PEFT (0.21) asks the Hub for the base model's config at each save, to see whether the vocabulary grew.
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    return model


def keep_four_bit_weights_as_they_are(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights for CPUs with AVX512-BF16.

    In 0.50.2 the first forward pass in eval mode repacks them for good, for a kernel that has no gradient: after an
    evaluation, training goes on without the gradients that flow through the frozen layers, and nothing says so. Taking
    a state dict then packs them back with rounding, so that the base model changes as well.
    """
    from bitsandbytes.nn import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False


def _load_with_transformers(
    ref: ModelRef, folder: Path, precision: Precision, device: Device, scores: bool = False
) -> Loaded:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig

    dtype = {"bf16": "bfloat16", "fp32": "float32"}.get(precision, compute_dtype(device))
    four_bit = precision in ("auto", "nf4")
    arguments: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "device_map": {"": 0 if device.is_cuda else "cpu"},
        "use_safetensors": True,
        "trust_remote_code": False,
        "local_files_only": True,
    }
    if scores:
        arguments["num_labels"] = 1
    if four_bit:
        arguments["quantization_config"] = BitsAndBytesConfig(**quantization_arguments(device))
    try:
        tokenizer = load_tokenizer(folder, ref.title)  # first: what is wrong with it is known in a second
        model = (AutoModelForSequenceClassification if scores else AutoModelForCausalLM).from_pretrained(
            folder, **arguments
        )
    except WorkbenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or is_out_of_room(error) or "CUDA" in str(error):
            raise
        raise WorkbenchError(
            f"Transformers could not load {ref.title}: {_first_sentence(error)} Its files fit one another as far as they were "
            "looked at. If its architecture is newer than the installed Transformers, choose another model."
        ) from error
    if four_bit and not device.is_cuda:
        keep_four_bit_weights_as_they_are(model)
    used = "nf4" if four_bit else {"bfloat16": "bf16", "float16": "fp16"}.get(dtype, "fp32")
    why = (
        f"Transformers with bitsandbytes, because {find_unsloth(device)[1]}."
        if four_bit
        else "Full precision, as chosen."
    )
    return _ready(Loaded(model, tokenizer, device, "transformers", used, why[0].upper() + why[1:], {}, folder), ref)


def _load_with_unsloth(ref: ModelRef, folder: Path, precision: Precision, device: Device, max_length: int) -> Loaded:
    import torch

    four_bit = precision in ("auto", "nf4")
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    os.environ["UNSLOTH_COMPILE_LOCATION"] = str(home() / "unsloth-cache")
    # It cuts what is longer, and a sample answer comes on top of its prompt. Asked for more tokens than a model has places for,
    # Unsloth stretches them: another model than the chat would load.
    most = max_length + SAMPLE_TOKENS
    places = read_config(folder, ref.title).get("max_position_embeddings") or most
    arguments = unsloth_load_arguments(str(folder), min(most, places), four_bit, device)
    arguments["dtype"] = getattr(torch, arguments["dtype"])
    with unsloth_may_refuse("unsloth"):
        # It patches Transformers, PEFT and TRL as it is imported, so nothing of theirs may be imported before it.
        from unsloth import FastLanguageModel

        model, tokenizer = FastLanguageModel.from_pretrained(**arguments)
    used = "nf4" if four_bit else ("bf16" if device.bf16 else "fp16")
    return _ready(Loaded(model, tokenizer, device, "unsloth", used, f"{find_unsloth(device)[1]}.", {}, folder), ref)


def _ready(loaded: Loaded, ref: ModelRef) -> Loaded:
    """A loaded model whose tokenizer is complete, with the facts that pages and cards show of it."""
    model, folder, device = loaded.model, loaded.folder, loaded.device
    own_template = _complete(loaded.tokenizer, folder, ref.title).chat_template != PLAIN_TEMPLATE
    config = model.config
    facts = {
        "name": ref.name,
        "title": ref.title,
        "commit": folder.name if ref.source == "hub" and re.fullmatch(r"[0-9a-f]{40}", folder.name) else None,
        "architecture": (config.architectures or [config.model_type])[0],
        "parameters": model.num_parameters(),
        "precision": loaded.precision,
        "device": device.name if device.is_cuda else "CPU",
        "memory": model.get_memory_footprint(),
        "licence": _licence(ref, folder),
        "chat_template": "its own" if own_template else "none of its own; a plain one is used",
        "thinking_switch": has_switch(loaded.tokenizer, ref.title),
        "context": getattr(config, "max_position_embeddings", None),
        "backend": loaded.backend,
        "why": loaded.why,
    }
    return replace(loaded, facts=facts)


def _complete(tokenizer: Any, folder: Path, title: str) -> Any:
    """The tokenizer itself, with a chat template and a padding token where it brought none.

    Raises WorkbenchError for a chat template that was not tried (a library may have changed it) and fails, and for tokens
    that the model does not know.
    """
    if not getattr(tokenizer, "chat_template", None):
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if folder == _demo():
        return tokenizer
    if tokenizer.chat_template != PLAIN_TEMPLATE:
        check_template(tokenizer.get_chat_template(), "as it was loaded", title, tokenizer.special_tokens_map)
    # No others: Gemma 3 1B names a token for images, of which its larger sisters alone have an embedding.
    used = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    special = {number: tokenizer.convert_ids_to_tokens(number) for number in used if number is not None}
    check_vocabulary(tokenizer.vocab_size, special, read_config(folder, title), title)
    return tokenizer


def _fetch_from_hub(ref: ModelRef, say: Say, with_weights: bool) -> Path:
    say(f"looking for {ref.name}")
    with hub_errors("model", ref.name, ref.revision):
        # The small config first: what would be refused is refused before gigabytes were downloaded.
        read_config(download_config(ref.name, ref.revision).parent, ref.name)
        say(f"downloading {ref.name}, unless it is here already")
        folder = huggingface_hub.snapshot_download(
            ref.name,
            revision=ref.revision,
            allow_patterns=WANTED_FILES if with_weights else TOKENIZER_FILES,
            ignore_patterns=UNWANTED_FILES,
        )
    return _checked(ref, Path(folder), with_weights)


def _licence(ref: ModelRef, folder: Path) -> str:
    if ref.source == "demo":
        return "Apache-2.0"
    readme = folder / "README.md"
    data = huggingface_hub.metadata_load(readme) if readme.is_file() else None
    licence = (data or {}).get("license_name") or (data or {}).get("license")
    return str(licence) if licence else "not stated"


def _first_sentence(error: BaseException) -> str:
    """The first line of an error, short enough for a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return text if text.endswith(".") else f"{text}."
