"""What may be loaded: checks on a model's files before any library touches them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.core.errors import WorkbenchError

# Strings that libraries turn into identifiers or code paths. Unsloth once executed a crafted one (CVE-2026-93348).
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REMOTE_CODE_KEYS = ("auto_map", "trust_remote_code")

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


def _walk(config: Any, path: str = "") -> Iterable[tuple[str, str, Any]]:
    """Every key at every depth, with its dotted path."""
    children = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in children:
        where = f"{path}.{key}" if path else str(key)
        yield where, str(key), value
        yield from _walk(value, where)
