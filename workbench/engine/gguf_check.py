"""A GGUF read back and held against the files that it was made of."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.core.export.exported import Check

FILE_TYPES = {"f16": 1, "bf16": 32, "q8_0": 7, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}
"""Numbers of llama.cpp's enum llama_ftype."""

_MOST_NAMED = 3

_STEP = {"Q8_0": 0.57}
"""Half a step of rounding, and what the step itself loses as a half-precision number: 127 / 2048 of it."""

_OFF = {"Q4_K": 0.11, "Q5_K": 0.06, "Q6_K": 0.03, "Q5_0": 0.08, "Q5_1": 0.08, "Q4_0": 0.16}
"""What the error of a quantised tensor may be, root mean square, of the tensor's own. Of normal weights it is about two thirds."""


def model_checks(file: Path, model: Path, kind: str, adds_bos: bool) -> list[Check]:
    """Tensors, tokens, chat template and settings of a GGUF against those of the model in a folder.

    adds_bos: whether it has to say that an engine puts the token for the beginning before a text.
    """
    import gguf

    reader = gguf.GGUFReader(str(file))
    fields = _Fields(reader)
    return [
        *_tensor_checks(gguf, reader, fields, model, kind),
        *_token_checks(fields, model, adds_bos),
        _settings_check(fields, json.loads((model / "config.json").read_text(encoding="utf-8"))),
    ]


def lora_checks(file: Path, adapter: Path, base: Path) -> list[Check]:
    """Both matrices of every layer and alpha against those of the adapter in a folder. base: the folder of its model."""
    import gguf
    from safetensors.torch import load_file

    reader = gguf.GGUFReader(str(file))
    fields, named, heads = _Fields(reader), {}, _heads(base)
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = {one.name: one for one in reader.tensors}
    name_of, off, missing = _names(gguf, fields, reader), [], []
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        side = "lora_a" if ".lora_A." in name else "lora_b"
        base = name.removeprefix("base_model.model.").replace(".lora_A.", ".").replace(".lora_B.", ".")
        wanted = f"{name_of(base)}.{side}"
        if wanted not in tensors:
            missing.append(base)
            continue
        named[wanted] = tensor.float().numpy()
        if not _same(gguf, heads, tensors[wanted], named[wanted])[0]:
            off.append(wanted)
    extra = set(tensors) - set(named)
    alpha = fields["adapter.lora.alpha"]
    return [
        Check("Matrices", _counted(len(named) - len(off), len(tensors), missing + off + sorted(extra)),
              not (missing or off or extra) and bool(named)),
        Check("Alpha", f"{alpha:g}, in training {settings['lora_alpha']:g}", alpha == float(settings["lora_alpha"])),
        Check("Kind", f"{fields['general.type']}, {fields['adapter.type']}", fields["adapter.type"] == "lora"),
    ]  # fmt: skip


class _Fields:
    """What a GGUF says by name; None where it does not."""

    def __init__(self, reader: Any):
        self._fields = reader.fields

    def __getitem__(self, name: str) -> Any:
        field = self._fields.get(name)
        return None if field is None else field.contents()

    def of_model(self, name: str) -> Any:
        return self[f"{self['general.architecture']}.{name}"]


def _names(gguf: Any, fields: _Fields, reader: Any) -> Callable[[str], str | None]:
    """Gives the name in the GGUF of a tensor of Hugging Face's."""
    architectures = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    blocks = fields.of_model("block_count")
    if blocks is None:  # an adapter does not say
        places = [int(one.name.split(".")[1]) for one in reader.tensors if one.name.startswith("blk.")]
        blocks = 1 + max(places, default=0)
    known = gguf.get_tensor_name_map(architectures[fields["general.architecture"]], blocks)
    return lambda name: known.get_name(name, try_suffixes=(".weight", ".bias"))


def _tensor_checks(gguf: Any, reader: Any, fields: _Fields, model: Path, kind: str) -> list[Check]:
    tensors, heads = {one.name: one for one in reader.tensors}, _heads(model)
    name_of = _names(gguf, fields, reader)
    missing, shapes, off, seen, worst, kinds = [], [], [], set(), 0.0, set()
    for name, tensor in _weights(model):
        wanted = name_of(name)
        if wanted not in tensors:
            missing.append(name)
            continue
        seen.add(wanted)
        found = tensors[wanted]
        kinds.add(found.tensor_type.name)
        if [int(side) for side in reversed(found.shape)] != list(tensor.shape):
            shapes.append(name)
            continue
        same, error = _same(gguf, heads, found, tensor)
        worst = max(worst, error)
        if not same:
            off.append(name)
    extra = sorted(set(tensors) - seen - {"rope_freqs.weight"})  # Llama 3 has it in its config
    limits = {"f16": "rounded to half precision", "bf16": "rounded to bf16", "q8_0": "within a step of 8 bits"}
    # How far the quantised ones are off is worth a figure; of the others, every weight is what rounding makes of it.
    how_far = f", at most {worst:.2%} off (root mean square)" if worst else ""
    return [
        Check("Tensors", _counted(len(seen) - len(shapes), len(tensors), missing + shapes + extra) + " by name and shape",
              bool(seen) and not (missing or shapes or extra)),
        Check("Weights", f"{len(seen) - len(shapes) - len(off)} of {len(seen)} are the merged model's, "
              f"{limits.get(kind, 'within the error of ' + kind)}{how_far} ({', '.join(sorted(kinds))})" + _such_as(off),
              bool(seen) and not off),
        Check("Kind", "of another kind than it should be" if fields["general.file_type"] != FILE_TYPES[kind] else kind,
              fields["general.file_type"] == FILE_TYPES[kind]),
    ]  # fmt: skip


def _weights(model: Path) -> Iterator[tuple[str, Any]]:
    """Name and values, in fp32, of each tensor in a folder's safetensors, one at a time."""
    from safetensors import safe_open

    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dictionary
                yield name, opened.get_tensor(name).float().numpy()


def _heads(model: Path) -> dict[str, int]:
    """Heads of the queries and of the keys, by what llama.cpp calls their weights."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    queries = config.get("num_attention_heads") or 1
    return {"attn_q": queries, "attn_k": config.get("num_key_value_heads") or queries}


def _same(gguf: Any, heads: dict[str, int], found: Any, wanted: Any) -> tuple[bool, float]:
    """Whether a tensor of a GGUF holds the values of one of Hugging Face's, as far as its type can, and its relative error.

    llama.cpp turns the rows of Llama's queries and keys round within each head, and adds the 1 to Gemma's norms.
    """
    values = gguf.quants.dequantize(found.data, found.tensor_type).reshape(wanted.shape)
    forms = [wanted]
    count = next((number for name, number in heads.items() if f".{name}." in found.name), 0)
    if count and wanted.shape[0] % (2 * count) == 0:
        turned = wanted.reshape(count, 2, wanted.shape[0] // count // 2, *wanted.shape[1:])
        forms.append(turned.swapaxes(1, 2).reshape(wanted.shape))
    if "norm" in found.name:
        forms.append(wanted + 1)
    tried = [_close(gguf, found.tensor_type, values, form) for form in forms]
    return max(tried, key=lambda one: (one[0], -one[1]))


def _close(gguf: Any, kind: Any, values: Any, wanted: Any) -> tuple[bool, float]:
    """Whether values are what is left of others in a type of GGUF, and how far a quantised one is off."""
    import torch

    rounded = {
        "F32": lambda: wanted,
        "F16": lambda: wanted.astype("float16").astype("float32"),
        "BF16": lambda: torch.from_numpy(wanted).bfloat16().float().numpy(),
    }
    if kind.name in rounded:
        return bool((values == rounded[kind.name]()).all()), 0.0
    error = abs(values - wanted)
    off = math.sqrt(float((error * error).mean()) / (float((wanted * wanted).mean()) or 1.0))
    if kind.name in _STEP:
        block = gguf.GGML_QUANT_SIZES[kind][0]
        step = abs(wanted.reshape(-1, block)).max(axis=1, keepdims=True) / 127
        return bool((error.reshape(-1, block) <= _STEP[kind.name] * step + 1e-9).all()), off
    return off <= _OFF.get(kind.name, 0.0), off


def _token_checks(fields: _Fields, model: Path, adds_bos: bool) -> list[Check]:
    """The vocabulary, the tokens that mean something, and the chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    written = fields["tokenizer.ggml.tokens"] or []
    vocabulary = tokenizer.get_vocab()
    wrong = [token for token, number in vocabulary.items() if number >= len(written) or written[number] != token]
    special = {
        "beginning": (fields["tokenizer.ggml.bos_token_id"], tokenizer.bos_token_id),
        "end": (fields["tokenizer.ggml.eos_token_id"], tokenizer.eos_token_id),
        "padding": (fields["tokenizer.ggml.padding_token_id"], tokenizer.pad_token_id),
    }
    differ = [
        f"{name} {found} for {wanted}"
        for name, (found, wanted) in special.items()
        if wanted is not None and found != wanted
    ]
    added = {"bos": bool(fields["tokenizer.ggml.add_bos_token"]), "eos": bool(fields["tokenizer.ggml.add_eos_token"])}
    if added != {"bos": adds_bos, "eos": False}:
        differ.append(
            f"an engine adds {', '.join(name for name, adds in added.items() if adds) or 'nothing'} to a text"
        )
    template = fields["tokenizer.chat_template"]
    merges = _merges(model)
    checks = [
        Check("Tokens", _counted(len(vocabulary) - len(wrong), len(vocabulary), wrong), not wrong),
        Check("Special tokens", "; ".join(differ) or ", ".join(f"{name} {found}" for name, (found, _) in special.items()
              if found is not None), not differ),
        Check("Chat template", "the very one of training" if template == tokenizer.get_chat_template() else "another one",
              template == tokenizer.get_chat_template()),
    ]  # fmt: skip
    if merges is not None:
        found = fields["tokenizer.ggml.merges"] or []
        checks.insert(1, Check("Merges", f"{len(found):,} of {len(merges):,}, in their order", found == merges))
    return checks


def _merges(model: Path) -> list[str] | None:
    """The merges of a tokenizer of bytes, as a GGUF writes them; None for another kind."""
    file = model / "tokenizer.json"
    kind = json.loads(file.read_text(encoding="utf-8"))["model"] if file.is_file() else {}
    if kind.get("type") != "BPE" or kind.get("byte_fallback"):
        return None
    return [one if isinstance(one, str) else " ".join(part.replace(" ", "Ġ") for part in one) for one in kind["merges"]]


def _settings_check(fields: _Fields, config: dict[str, Any]) -> Check:
    """The numbers without which the same weights are another model."""
    rope = config.get("rope_parameters") or {}
    wanted = {
        "block_count": config.get("num_hidden_layers"),
        "embedding_length": config.get("hidden_size"),
        "feed_forward_length": config.get("intermediate_size"),
        "attention.head_count": config.get("num_attention_heads"),
        "attention.head_count_kv": config.get("num_key_value_heads"),
        "attention.layer_norm_rms_epsilon": config.get("rms_norm_eps"),
        "rope.freq_base": rope.get("rope_theta", config.get("rope_theta")),
        "context_length": config.get("max_position_embeddings"),
    }
    known = {name: value for name, value in wanted.items() if value is not None}
    found = {name: fields.of_model(name) for name in known}
    differ = [
        f"{name} {found[name]} for {value}"
        for name, value in known.items()
        if not isinstance(found[name], int | float) or not math.isclose(found[name], value, rel_tol=1e-6)
    ]
    return Check("Settings", "; ".join(differ) or f"{len(known)} numbers of config.json as they are there", not differ)


def _counted(right: int, of: int, wrong: list[str]) -> str:
    return f"{right:,} of {of:,}" + _such_as(wrong)


def _such_as(wrong: list[str]) -> str:
    more = f" and {len(wrong) - _MOST_NAMED:,} more" if len(wrong) > _MOST_NAMED else ""
    return f"; not so: {', '.join(wrong[:_MOST_NAMED])}{more}" if wrong else ""
