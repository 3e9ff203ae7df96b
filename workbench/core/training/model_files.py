"""What may be loaded: checks on a model's files before any library touches them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workbench.core.errors import WorkbenchError

# Strings that libraries turn into identifiers or code paths. Unsloth once executed a crafted one (CVE-2026-93348).
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REMOTE_CODE_KEYS = ("auto_map", "trust_remote_code")

# Sizes of a language model, and the largest that each may have: far beyond any model there is. Some are lists in a few
# architectures, one for each layer, which are left to the library.
_LARGEST = {
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "num_hidden_layers": 10_000,
    "num_attention_heads": 100_000,
    "num_key_value_heads": 100_000,
    "head_dim": 100_000,
    "vocab_size": 10_000_000,
    "max_position_embeddings": 1_000_000_000,
}

# For models that bring no chat template: plain roles, each turn ended by the model's own end token.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].capitalize() + ': ' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def check_files(names: Iterable[str], title: str) -> None:
    """Raises WorkbenchError unless a model's files hold a config and weights as safetensors."""
    files = sorted(names)
    if "config.json" not in files:
        seen = ", ".join(files[:6]) or "nothing"
        adapter = (
            " It holds an adapter, not a whole model: load its base model." if "adapter_config.json" in files else ""
        )
        raise WorkbenchError(f"{title} has no config.json, so it is not a Transformers model (found: {seen}).{adapter}")
    if not any(name.endswith(".safetensors") for name in files):
        weights = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5"))]
        found = f"found: {', '.join(weights[:4])}" if weights else "no weights were found"
        raise WorkbenchError(
            f"{title} has no weights as .safetensors ({found}). Other formats can run code when they are opened, or "
            "cannot be trained. Look for a version of the model with safetensors files."
        )


def check_config(config: Mapping[str, Any], title: str) -> None:
    """Raises WorkbenchError for a config.json that asks for remote code or hides text in an identifier."""
    for path, key, value in _walk(config):
        if key in _REMOTE_CODE_KEYS and value:
            raise WorkbenchError(
                f"{title} wants to run program code of its own ({path} in its config.json). The workbench does not run "
                "code that comes with a model. Choose a model that Transformers supports by itself."
            )
        if key == "model_type" and not (isinstance(value, str) and _IDENTIFIER.fullmatch(value)):
            raise WorkbenchError(
                f"{title} has an unusual {path} in its config.json ({str(value)[:60]!r}). It was not loaded, for safety."
            )
    if not isinstance(config.get("model_type"), str):
        raise WorkbenchError(f"{title} has a config.json without a model_type, so no library knows how to build it.")
    problems = [*_size_problems(config), *_size_problems(config.get("text_config"), "text_config.")]
    if problems:
        raise WorkbenchError(
            f"{title} has sizes in its config.json that no model can have: {'; '.join(problems)}. The file is damaged or was "
            "changed by hand: download the model again."
        )


def _size_problems(config: Any, where: str = "") -> Iterator[str]:
    """What is wrong with the sizes in a config, or in a part of it."""
    if not isinstance(config, Mapping):
        return
    wrong = 0
    for key, largest in _LARGEST.items():
        value = config.get(key)
        if value is None or isinstance(value, list):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
            wrong += 1
            yield f"{where}{key} is {_shortly(value)}, and must be a whole number from 1 to {largest:,}"
    if wrong:
        return
    hidden, heads, key_heads = (
        config.get(key) for key in ("hidden_size", "num_attention_heads", "num_key_value_heads")
    )
    # Architectures that say the size of a head need not share the hidden size among the heads.
    shared = not any("head_dim" in str(key) and value is not None for key, value in config.items())
    if isinstance(hidden, int) and isinstance(heads, int) and shared and hidden % heads:
        yield f"{where}hidden_size {hidden:,} cannot be shared equally by num_attention_heads {heads:,}"
    if isinstance(heads, int) and isinstance(key_heads, int) and heads % key_heads:
        yield f"{where}num_attention_heads {heads:,} cannot share num_key_value_heads {key_heads:,} equally"


def check_vocabulary(known: int, special: Mapping[int, str], config: Mapping[str, Any], title: str) -> None:
    """Raises WorkbenchError where a tokenizer gives ids that the model has no embedding for.

    known: tokens of the tokenizer, without those that were added. special: id -> a token that begins, ends or fills a text.
    config: of the model, checked. Nothing is said of one that does not give the size of the vocabulary.
    """
    of_text = config.get("text_config")
    rows = config.get("vocab_size") or (of_text.get("vocab_size") if isinstance(of_text, Mapping) else None)
    if not isinstance(rows, int):
        return
    if known > rows:
        raise WorkbenchError(
            f"The tokenizer of {title} knows {known:,} tokens, and the model has embeddings for {rows:,} (vocab_size in its "
            "config.json): it is the tokenizer of another model. Download the model again, with its own tokenizer files."
        )
    beyond = [f"{token} (id {number:,})" for number, token in sorted(special.items()) if number >= rows]
    if beyond:
        raise WorkbenchError(
            f"The tokenizer of {title} has special tokens that the model has no embedding for: {', '.join(beyond[:4])}, and "
            f"vocab_size in its config.json is {rows:,}. Download the model again, with its own tokenizer files, or choose "
            "another model."
        )


def _shortly(value: Any) -> str:
    """A value of a config as it is shown in a message."""
    if isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to write numbers of thousands of digits.
        return f"{value:,}" if abs(value) < 10**15 else "a number of more than 15 digits"
    return repr(value)[:40]


def _walk(config: Any, path: str = "") -> Iterable[tuple[str, str, Any]]:
    """Every key at every depth, with its dotted path."""
    children = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in children:
        where = f"{path}.{key}" if path else str(key)
        yield where, str(key), value
        yield from _walk(value, where)
