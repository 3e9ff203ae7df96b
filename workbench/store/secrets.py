"""The secrets that this process knows, so that they can be kept out of all that it says."""

import os
import re
import time
from pathlib import Path

# Names of variables whose value is a secret, whoever gave it to us.
_NAME = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY)$")
_VALUE = re.compile(r"(?:[^=\n]*=\s*)?(\S+)\s*$", re.M)

_FRESH = 1.0  # seconds for which the files are not looked at again

_read: tuple[float, str, tuple[str, ...]] = (0.0, "", ())


def known() -> tuple[str, ...]:
    """Tokens and passwords of the environment, and those of the Hugging Face login."""
    variables = tuple(
        value for name, value in os.environ.items() if _NAME.search(name) and not value.startswith(("/", "~"))
    )
    return (*variables, *_logged_in())


def hub_home() -> Path:
    """Where the Hub's libraries keep their login and what they download, by their own rules."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()


def token_files() -> tuple[Path, ...]:
    """The files of the login: the token in use, and those with names."""
    token = Path(os.environ.get("HF_TOKEN_PATH") or hub_home() / "token").expanduser()
    stored = os.environ.get("HF_STORED_TOKENS_PATH") or token.with_name("stored_tokens")
    return token, Path(stored).expanduser()


def _logged_in() -> tuple[str, ...]:
    """The values in the files of the login. A login while the window is open counts within a second."""
    global _read
    then, where, values = _read
    files = token_files()
    if where != str(files) or not 0 <= time.monotonic() - then < _FRESH:
        values = tuple(value for file in files for value in _values_in(file))
        _read = (time.monotonic(), str(files), values)
    return values


def _values_in(file: Path) -> list[str]:
    """A token alone, or lines of `hf_token = ...` under names in brackets."""
    try:
        text = file.read_text(encoding="utf-8")[:100_000]
    except (OSError, ValueError):
        return []
    return [value for value in _VALUE.findall(text) if not value.startswith("[")]
