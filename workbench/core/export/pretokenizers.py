"""How a tokenizer cuts text before its merges, as llama.cpp calls it.

llama.cpp's converter tells tokenizers by a hash of what one text becomes, so it knows only vocabularies that somebody listed.
What a model that is not on its list needs is the name of the rule, and that stands in tokenizer.json. The rules below are those
of src/llama-vocab.cpp that are, character for character, the ones of the tokenizers library.
"""

from collections.abc import Mapping
from typing import Any

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_GPT2 = _BYTES | {"use_regex": True}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


# Name -> the steps of the pre-tokenizer, and whether a word that is a token is taken before any merge.
_RULES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "gpt-2": ([_GPT2], False),
    "smollm": ([{"type": "Digits", "individual_digits": True}, _GPT2], False),
    "qwen2": ([_split(_WORDS + r"\p{N}" + _REST), _BYTES], False),
    "llama-bpe": ([_split(_WORDS + r"\p{N}{1,3}" + _REST), _BYTES], True),
}


def pretokenizer(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name of the rule in a tokenizer.json; "" where it is none of those above."""
    model = tokenizer.get("model") or {}
    # llama.cpp does not normalise; NFC changes nothing of text that is composed, as nearly all is.
    if model.get("type") != "BPE" or (tokenizer.get("normalizer") or {"type": "NFC"}) != {"type": "NFC"}:
        return ""
    rule = tokenizer.get("pre_tokenizer") or {}
    steps = rule.get("pretokenizers") if rule.get("type") == "Sequence" else [rule]
    # Of offsets alone, which nobody converts.
    steps = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps or []]
    merges = bool(model.get("ignore_merges"))
    return next((name for name, found in _RULES.items() if found == (steps, merges)), "")
