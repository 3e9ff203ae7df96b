"""A model's files looked at before any library opens them: whole, of the kind that their names say, and of one model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.memory.weight_shapes import misfits
from workbench.core.training.file_signatures import FIRST_BYTES, disguise
from workbench.core.training.model_files import check_config, check_files
from workbench.store.weights import read_tensors

_AGAIN = "Delete it and download the model again."
_SHOWN = 3  # problems of one kind

LARGEST_CONFIG = 4_000_000  # bytes; no config.json of a model comes near it
LARGEST_JSON = 64_000_000  # bytes; the index of a model with a hundred thousand tensors has a tenth of it
LARGEST_TOKENIZER = 512_000_000  # bytes; one of 260,000 tokens has 33 million

LARGEST_TEMPLATE = 4_000_000  # characters; of more than that no more is read than shows that it is too long

_SETTINGS = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
_KINDS: dict[type, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json")
_TOKENIZER_ENDINGS = (".model", ".tiktoken")


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template as it stands in a model's files. tokens: the special tokens by name, as far as they stand there."""

    text: str
    file: str
    tokens: dict[str, str]


def check_model(folder: Path, title: str, with_weights: bool = True) -> None:
    """Raises WorkbenchError, with the file, what was found in it and what to do, where a model cannot be loaded.

    with_weights: without them, config and tokenizer alone are looked at.
    """
    names = [path.name for path in folder.iterdir()]
    if with_weights:
        check_files(names, title)
    config = read_config(folder, title)
    for name in _SETTINGS:
        if name in names:
            read_object(folder / name, title)
    _check_tokenizer(folder, title, names)
    if with_weights:
        _check_weights(folder, title, config)


def read_config(folder: Path, title: str) -> Mapping[str, Any]:
    """A model's config.json, checked. Raises WorkbenchError."""
    config = read_object(folder / "config.json", title, LARGEST_CONFIG)
    check_config(config, title)
    return config


def read_object(file: Path, title: str, largest: int = LARGEST_JSON) -> Mapping[str, Any]:
    """The JSON object in one of a model's files. Raises WorkbenchError, with what the file holds instead.

    largest: bytes that it may have.
    """
    try:
        with open(file, "rb") as opened:
            text = opened.read(largest + 1)
    except OSError as error:
        raise WorkbenchError(f"The {file.name} of {title} cannot be read: {error.strerror or error}.") from None
    if len(text) > largest:
        raise WorkbenchError(
            f"The {file.name} of {title} cannot be read: it has more than {largest // 1_000_000} MB, which no such file needs. {_AGAIN}"
        )
    _check_disguise(file.name, title, text[:FIRST_BYTES])
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(
            f"The {file.name} of {title} cannot be read as JSON ({_why(error)}): it is damaged. {_AGAIN}"
        ) from None
    if not isinstance(value, dict):
        raise WorkbenchError(
            f"The {file.name} of {title} cannot be read: it holds {_KINDS.get(type(value), 'a number')} and not a JSON object. {_AGAIN}"
        )
    return value


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno}, column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0][:100]


def _check_disguise(name: str, title: str, begin: bytes) -> None:
    known = disguise(begin)
    if known:
        raise WorkbenchError(f"The {name} of {title} {known[0]}. {known[1]}")


def _check_tokenizer(folder: Path, title: str, names: list[str]) -> None:
    if not any(name in _TOKENIZERS or name.endswith(_TOKENIZER_ENDINGS) for name in names):
        raise WorkbenchError(
            f"{title} has no tokenizer (no tokenizer.json, no tokenizer.model, no vocabulary), so no text can be given to it. "
            "Download the model again, with all of its files."
        )
    file = folder / "tokenizer.json"
    if "tokenizer.json" not in names:
        return
    # Read whole only where a library could not load it: of 33 MB, most of a second.
    size = file.stat().st_size
    with open(file, "rb") as opened:
        begin = opened.read(FIRST_BYTES)
        opened.seek(max(0, size - FIRST_BYTES))
        end = opened.read(FIRST_BYTES)
    _check_disguise(file.name, title, begin)
    if size > LARGEST_TOKENIZER or not begin.lstrip().startswith(b"{") or not end.rstrip().endswith(b"}"):
        read_object(file, title, LARGEST_TOKENIZER)  # says what is wrong


def chat_template(folder: Path, title: str) -> ChatTemplate | None:
    """The chat template that Transformers takes from a model's files; None where the model brings none.

    chat_template.jinja counts before the one in tokenizer_config.json, which may hold several by name.
    """
    config = (
        read_object(folder / "tokenizer_config.json", title) if (folder / "tokenizer_config.json").is_file() else {}
    )
    tokens = {key: _content(value) for key, value in config.items() if key.endswith("_token") and _content(value)}
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            with open(file, encoding="utf-8") as opened:
                return ChatTemplate(opened.read(LARGEST_TEMPLATE), file.name, tokens)
        except (OSError, UnicodeDecodeError) as error:
            raise WorkbenchError(
                f"The {file.name} of {title} cannot be read as text: {_why(error)}. {_AGAIN}"
            ) from None
    written = config.get("chat_template")
    if not written:
        return None
    if isinstance(written, list):
        written = {one.get("name"): one.get("template") for one in written if isinstance(one, dict)}
    text = written.get("default") if isinstance(written, dict) else written
    if not isinstance(text, str):
        raise WorkbenchError(
            f"The tokenizer_config.json of {title} has a chat_template that is no text, and none called default. {_AGAIN}"
        )
    return ChatTemplate(text, "tokenizer_config.json", tokens)


def _content(token: Any) -> str:
    """The text of a special token, which is written as text or as an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def tokenizer_problem(folder: Path, title: str) -> str:
    """What is wrong with a tokenizer that a library could not load, as far as its files say; otherwise ""."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return ""
    try:
        missing = [key for key in ("model", "added_tokens") if key not in read_object(file, title, LARGEST_TOKENIZER)]
    except WorkbenchError as error:
        return str(error)
    if missing:
        return f"The tokenizer.json of {title} has no {' and no '.join(missing)}, so it is not that of a tokenizer. {_AGAIN}"
    return ""


def _check_weights(folder: Path, title: str, config: Mapping[str, Any]) -> None:
    """Every file that the weights are loaded from: its header against its length, and the tensors against the config."""
    found: dict[str, tuple[int, ...]] = {}
    places = _places(folder, title)
    for file in sorted(places):
        tensors = read_tensors(folder / file, title)
        missing = [name for name in places[file] if name not in tensors]
        if missing:
            raise WorkbenchError(
                f"The {_INDEX} of {title} says that {missing[0]} is in {file}, and it is not ({len(missing):,} tensors are "
                "missing). The files are not of one model: download it again."
            )
        found |= {name: tensor.shape for name, tensor in tensors.items()}
    wrong = misfits(config, found)
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise WorkbenchError(
            f"The weights of {title} are not those that its config.json describes: {'; '.join(wrong[:_SHOWN])}{more}. The "
            "files are of two models, or config.json was changed: download the model again."
        )


def _places(folder: Path, title: str) -> dict[str, list[str]]:
    """File -> the tensors that the index places in it, of the files that Transformers loads a model from."""
    if (folder / "model.safetensors").is_file():
        return {"model.safetensors": []}
    if not (folder / _INDEX).is_file():
        there = ", ".join(sorted(path.name for path in folder.glob("*.safetensors"))[:4])
        raise WorkbenchError(
            f"{title} has neither model.safetensors nor {_INDEX}, which says what is in which file (found: {there}). "
            "Download the model again, with all of its files."
        )
    written = read_object(folder / _INDEX, title).get("weight_map")
    if not isinstance(written, dict) or not written or not all(isinstance(file, str) for file in written.values()):
        raise WorkbenchError(
            f"The {_INDEX} of {title} has no weight_map from tensors to files, so it is damaged. {_AGAIN}"
        )
    places: dict[str, list[str]] = {}
    for tensor, file in written.items():
        places.setdefault(file, []).append(tensor)
    strange = [
        file for file in places if not file.endswith(".safetensors") or set(file) & set("/\\:\0") or len(file) > 255
    ]
    if strange:
        raise WorkbenchError(
            f"The {_INDEX} of {title} names {strange[0][:80]!r}, which is no safetensors file beside it. It was not loaded, "
            "for safety."
        )
    missing = sorted(file for file in places if not (folder / file).is_file())
    if missing:
        raise WorkbenchError(
            f"{title} is not whole: {len(missing):,} of {len(places):,} files with weights are missing "
            f"({', '.join(missing[:_SHOWN])}). Download the model again."
        )
    return places
