"""What must not be read by anybody: access tokens and passwords, taken out of all that is said, shown and logged.

Two ways to know one: by its shape, and by its value where this process knows it. The data of a person is another matter: rows
are stored, exported and edited as they are, and only what a page shows of them goes through here.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

HIDDEN = "(hidden)"

# A shorter one is no secret, and would be found inside of common words.
SHORTEST = 8

_QUERY = (
    "x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential|signature|policy|key-pair-id|sig|"
    "token|access_token|auth_token|id_token|refresh_token|api_?key|secret|client_secret|password|__sign"
)

# What a text must hold for a shape to be looked for; the shape; what stands in its place.
_SHAPES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    # The end of a quoted excerpt may cut a token short, so a few characters are enough where they are no word.
    (
        "hf_",
        re.compile(r"hf_(?:(?:oauth|jwt)_[\w.-]{12,}|[A-Za-z0-9]{20,}|(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,})"),
        f"hf_{HIDDEN}",
    ),
    ("api_org_", re.compile(r"api_org_[A-Za-z0-9]{8,}"), f"api_org_{HIDDEN}"),
    ("gh", re.compile(r"\b(gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}"), rf"\1{HIDDEN}"),
    ("sk-", re.compile(r"\bsk-(?=[\w-]*\d)[A-Za-z0-9_-]{20,}"), f"sk-{HIDDEN}"),
    ("AKIA", re.compile(r"\bAKIA[A-Z0-9]{16}\b"), f"AKIA{HIDDEN}"),
    ("eyJ", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), HIDDEN),
    ("PRIVATE KEY", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END[A-Z ]*-----)?"), HIDDEN),
    ("earer", re.compile(r"\b(bearer\s+)(?=\S*\d)[A-Za-z0-9._~+/=-]{16,}", re.I), rf"\1{HIDDEN}"),
    ("uthorization", re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|token|bearer)\s+)[^\s'\",;]+", re.I), rf"\1{HIDDEN}"),
    ("TOKEN", re.compile(r"\b((?:HF|HUGGING_?FACE)\w*_TOKEN['\"]?\s*[=:]\s*['\"]?)[^\s'\",;]{8,}"), rf"\1{HIDDEN}"),
    ("=", re.compile(rf"([?&;](?:{_QUERY})=)[^&;\s'\"<>]+", re.I), rf"\1{HIDDEN}"),
    ("://", re.compile(r"(://)[^\s/@:'\"<>]*:[^\s/@'\"<>]+@"), rf"\1{HIDDEN}@"),
)  # fmt: skip

Values = Callable[[], Iterable[str]]

_known: list[Values] = []


def know(values: Values) -> None:
    """Take out these values too, whatever they look like. values: asked each time, because a person may log in meanwhile."""
    if values not in _known:
        _known.append(values)


def masked(text: str) -> str:
    """A text with every secret in it hidden."""
    values = {value for source in _known for value in source() if len(value) >= SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for sign, shape, instead in _SHAPES:
        if sign in text:
            text = shape.sub(instead, text)
    return text


def masked_values(value: Any) -> Any:
    """A value of JSON with every secret in its texts hidden."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_values(one) for key, one in value.items()}
    return [masked_values(one) for one in value] if isinstance(value, list | tuple) else value


class Masked:
    """A stream of text that hides secrets in what is written to it. One that is written in two pieces is not found."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
