"""Thoughts that a reasoning model writes before its answer, in a block such as <think>...</think>."""

import re


def has_thoughts(text: str) -> bool:
    """Whether a text begins with a block of thoughts, whole or not.

    Some templates write the beginning of the block into the prompt: then the text only ends one.
    """
    if "<" not in text:
        return False
    if _OPEN.match(text):
        return True
    before, end, _ = _CODE.sub(" ", text).partition("</think>") if "</think>" in text else (text, "", "")
    return bool(end) and "<think>" not in before


def split_thoughts(text: str) -> tuple[str, str, bool]:
    """The thoughts of an answer without their marks, the rest of it, and whether the thoughts came to an end.

    ("", text, True) where there are none. Of thoughts that never end, nothing is left.
    """
    if not has_thoughts(text):
        return "", text, True
    begun = _OPEN.match(text)
    thoughts, end, rest = _parted(text[begun.end() :] if begun else text)
    return thoughts.strip(), rest.strip(), bool(end)


def answer_start(text: str) -> int | None:
    """Place in a text where the answer begins behind its thoughts: 0 where there are none, None where they never end."""
    _, answer, finished = split_thoughts(text)
    if answer == text:
        return 0
    return len(text.rstrip()) - len(answer) if finished else None


def is_open(text: str) -> bool:
    """Whether thoughts begin and never end, so that no answer follows."""
    begun = _OPEN.match(text)
    return bool(begun) and not _CLOSE.search(text)


def without_thoughts(text: str) -> str:
    """The answer behind the thoughts; of thoughts that never end, nothing."""
    return split_thoughts(text)[1]


def _parted(text: str) -> tuple[str, str, str]:
    """Text before the end of thoughts, that end, and what follows; as `str.partition`."""
    found = _CLOSE.search(text)
    return (text[: found.start()], found.group(), text[found.end() :]) if found else (text, "", "")


_NAMES = "think|thinking|thought|thoughts|reasoning"
_OPEN = re.compile(rf"\s*<(?:{_NAMES})>", re.I)
_CLOSE = re.compile(rf"</(?:{_NAMES})>", re.I)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.S)
