"""The secrets that this process knows, so that they can be kept out of all that it says."""

import os
import re
import time
from pathlib import Path

# Names of variables whose value is a secret, whoever gave it to us.
_NAME = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY)$")
_VALUE = re.compile(r"(?:[^=\n]*=\s*)?(\S+)\s*$", re.M)

# A page asks for every piece of its text, and neither the environment nor the login changes that often.
_FRESH = 1.0  # seconds

_read: tuple[float, tuple[str, ...]] | None = None


def known() -> tuple[str, ...]:
    """Tokens and passwords of the environment, and those of the Hugging Face login; a new login counts within a second."""
    global _read
    now = time.monotonic()
    if _read is None or now - _read[0] >= _FRESH:
        variables = [
            value for name, value in os.environ.items() if _NAME.search(name) and not value.startswith(("/", "~"))
        ]
        _read = now, (*variables, *[value for file in token_files() for value in _values_in(file)])
    return _read[1]


def hub_home() -> Path:
    """Where the Hub's libraries keep their login and what they download, by their own rules."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()


def token_files() -> tuple[Path, ...]:
    """The files of the login: the token in use, and those with names."""
    token = Path(os.environ.get("HF_TOKEN_PATH") or hub_home() / "token").expanduser()
    stored = os.environ.get("HF_STORED_TOKENS_PATH") or token.with_name("stored_tokens")
    return token, Path(stored).expanduser()


def _values_in(file: Path) -> list[str]:
    """A token alone, or lines of `hf_token = ...` under names in brackets."""
    try:
        text = file.read_text(encoding="utf-8")[:100_000]
    except (OSError, ValueError):
        return []
    return [value for value in _VALUE.findall(text) if not value.startswith("[")]
