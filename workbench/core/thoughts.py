"""Thoughts that a reasoning model writes before its answer, in a block such as <think>...</think>."""

import re


def has_thoughts(text: str) -> bool:
    """Whether a text begins with a block of thoughts, whole or not, or ends one: some templates write its beginning."""
    return "<" in text and bool(_OPEN.match(text) or _CLOSE.search(_CODE.sub(" ", text)))


def is_open(text: str) -> bool:
    """Whether thoughts begin and never end, so that no answer follows."""
    begun = _OPEN.match(text)
    return bool(begun) and not _CLOSE.search(text)


def without_thoughts(text: str) -> str:
    """The answer behind the thoughts; of thoughts that never end, nothing."""
    if not has_thoughts(text):
        return text
    return "" if is_open(text) else _CLOSE.split(text, maxsplit=1)[-1].strip()


_NAMES = "think|thinking|thought|thoughts|reasoning"
_OPEN = re.compile(rf"\s*<(?:{_NAMES})>", re.I)
_CLOSE = re.compile(rf"</(?:{_NAMES})>", re.I)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.S)
