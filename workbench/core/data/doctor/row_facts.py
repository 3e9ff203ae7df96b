"""What one row shows by itself: its faults, what it is compared with other rows by, its lengths and languages."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from workbench.core.data.doctor.languages import OTHER, asks_in, language, may_mean_another
from workbench.core.data.doctor.markup import find_markup, has_media_mark
from workbench.core.data.messages import ROLES, Kind, Row, plain, prompt_key
from workbench.core.data.thoughts import has_thoughts, is_open, without_thoughts

# Faults, as bits of RowFacts.faults.
IDENTICAL = 1 << 0
SAME_LETTERS = 1 << 1
SAME_WORDS = 1 << 2
EMPTY_PROMPT = 1 << 3
EMPTY_CHOSEN = 1 << 4
EMPTY_REJECTED = 1 << 5
ROLE_TWICE = 1 << 6
ROLE_UNKNOWN = 1 << 7
SYSTEM_EMPTY = 1 << 8
SYSTEM_LATE = 1 << 9
PROMPT_END = 1 << 10
ANSWER_ROLE = 1 << 11
CHOSEN_REPEATS = 1 << 12
REJECTED_REPEATS = 1 << 13
TEMPLATE_MARKUP = 1 << 14
HTML_MARKUP = 1 << 15
TURN_MARKUP = 1 << 16
OTHER_THAN_PROMPT = 1 << 17
ANSWERS_DIFFER = 1 << 18
THINKS = 1 << 19
THOUGHT_OPEN = 1 << 20
ONLY_THOUGHTS = 1 << 21
MEDIA_MARK = 1 << 22
ONE_THINKS = 1 << 23

FAULTS: dict[str, dict[int, str]] = {
    "identical": {IDENTICAL: "with two answers that are the same but for case and space"},
    "near_identical": {
        SAME_LETTERS: "with answers that differ only in case, space or punctuation",
        SAME_WORDS: "with answers that share more than 95 % of their words",
    },
    "empty": {
        EMPTY_PROMPT: "with an empty message in the prompt",
        EMPTY_CHOSEN: "with an empty {chosen}",
        EMPTY_REJECTED: "with an empty rejected answer",
    },
    "roles": {
        ROLE_TWICE: "with two messages in a row from the same role",
        ROLE_UNKNOWN: "with a role other than system, user and assistant",
        SYSTEM_EMPTY: "with an empty system message",
        SYSTEM_LATE: "with a system message that is not the first",
        PROMPT_END: "with a prompt that does not end with a user message",
        ANSWER_ROLE: "with an answer that is not one message from the assistant",
    },
    "repeats_prompt": {
        CHOSEN_REPEATS: "where the {chosen} repeats the last user message",
        REJECTED_REPEATS: "where the rejected answer repeats the last user message",
    },
    "markup": {
        TEMPLATE_MARKUP: "with tokens of a chat template",
        HTML_MARKUP: "with HTML",
        TURN_MARKUP: "with another turn (Human: or Assistant:) inside an answer",
    },
    "thoughts_open": {THOUGHT_OPEN: "with an answer that begins to think and never ends to (no </think>)"},
    "thoughts_one_sided": {ONE_THINKS: "with thoughts in one answer and none in the other"},
    "only_thoughts": {ONLY_THOUGHTS: "with two answers that say the same once their thoughts are taken away"},
    "media": {MEDIA_MARK: "with the mark of a picture, sound or video in the text"},
    "language": {
        OTHER_THAN_PROMPT: "with an answer in another language than the prompt",
        ANSWERS_DIFFER: "with two answers in different languages",
    },
}
"""Check -> its faults -> how a row with this fault is spoken of. {chosen}: what the first answer is called."""


class RowFacts(NamedTuple):
    """A row without its text.

    faults: bits. prompt, content, turned: hashes, good within this process, of the prompt as `prompt_key` sees it, of
    the whole row, and of the row that says the opposite (the answers swapped, the thumb turned round).
    chosen, rejected: lengths of the answers in characters; rejected is 0 where there is only one.
    languages: of the chosen and the rejected answer, or of the one answer.
    """

    faults: int
    prompt: int
    content: int
    turned: int
    chosen: int
    rejected: int
    languages: tuple[str, ...]


def row_facts(row: Row, kind: Kind) -> RowFacts:
    """What a canonical row shows. It may break every rule but the shape of its parts."""
    messages: Sequence[dict[str, Any]] = [{**one, "content": _text(one)} for one in row["prompt"] or ()]
    parts = ("chosen", "rejected") if kind == "preference" else ("completion",)
    answers = [_answer(row[part]) for part in parts]
    plains = [plain(text) for text in answers]
    key = prompt_key(messages)  # type: ignore[arg-type]
    question = messages[-1]["content"] if messages else ""
    plain_question = key.rpartition("\n")[2].partition(": ")[2]

    faults = _role_faults(messages) | _empty_faults(messages, plains)
    faults |= _answer_role_fault([row[part] for part in parts])
    faults |= _repeat_faults(plain_question, plains)
    faults |= _markup_faults(messages, question, answers)
    faults |= _thought_faults(answers)
    faults |= MEDIA_MARK if any(has_media_mark(one["content"]) for one in messages) else 0
    if kind == "preference":
        faults |= _likeness_fault(*plains)
        faults &= ~_SAID_OTHERWISE if faults & ONLY_THOUGHTS else ~0
    languages = tuple(language(text) for text in answers)
    faults |= _language_faults(question, [one["content"] for one in messages[:-1]], languages)
    content, turned = _hashes(row, kind, messages, key, plains)
    lengths = [len(text.strip()) for text in answers]
    return RowFacts(faults, hash(key), content, turned, lengths[0], lengths[-1] if len(lengths) > 1 else 0, languages)


def _text(one: Any) -> str:
    content = one.get("content")
    return content if isinstance(content, str) else ""


def _answer(messages: Any) -> str:
    return "\n".join(_text(one) for one in messages or ())


def _role_faults(prompt: Sequence[dict[str, Any]]) -> int:
    faults = 0
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return faults
    roles = [one["role"] for one in prompt]
    if any(role not in ROLES for role in roles):
        faults |= ROLE_UNKNOWN
    if any(first == second for first, second in pairwise(roles)):
        faults |= ROLE_TWICE
    if "system" in roles[1:]:
        faults |= SYSTEM_LATE
    if roles[:1] == ["system"] and not visible(prompt[0]["content"]):
        faults |= SYSTEM_EMPTY
    if roles[-1:] != ["user"] and roles:
        faults |= PROMPT_END
    return faults


def _answer_role_fault(answers: Sequence[Any]) -> int:
    right = all(not answer or (len(answer) == 1 and answer[0].get("role") == "assistant") for answer in answers)
    return 0 if right else ANSWER_ROLE


def _empty_faults(prompt: Sequence[dict[str, Any]], plains: Sequence[str]) -> int:
    faults = 0
    said = [one["content"] for one in prompt if one["role"] != "system"]
    if not said or not all(visible(text) for text in said):
        faults |= EMPTY_PROMPT
    for text, bit in zip(plains, (EMPTY_CHOSEN, EMPTY_REJECTED), strict=False):
        if not visible(text) or text in _NOTHING:
            faults |= bit
    return faults


def visible(text: str) -> bool:
    """Whether a text shows anything: more than white space and characters without width."""
    return bool(text) and not _INVISIBLE.fullmatch(text)


def _likeness_fault(chosen: str, rejected: str) -> int:
    """How alike two normalised answers are. Where their numbers or formulas differ, that is the point of the pair."""
    if chosen == rejected:
        return IDENTICAL
    if max(len(chosen), len(rejected)) > _UNLIKE * min(len(chosen), len(rejected)) + _SLACK:
        return 0
    first, second = _WORD.findall(chosen), _WORD.findall(rejected)
    if first and "".join(first) == "".join(second):
        likeness = SAME_LETTERS
    elif _share_words(first, second):
        likeness = SAME_WORDS
    else:
        return 0
    return likeness if _FIGURE.findall(chosen) == _FIGURE.findall(rejected) else 0


def _thought_faults(answers: Sequence[str]) -> int:
    thinking = sum(map(has_thoughts, answers))
    if not thinking:
        return 0
    faults = THINKS | (THOUGHT_OPEN if any(map(is_open, answers)) else 0)
    faults |= ONE_THINKS if thinking < len(answers) else 0
    said = [plain(without_thoughts(text)) for text in answers]
    same = len(said) == 2 and said[0] == said[1] and said[0] and plain(answers[0]) != plain(answers[1])
    return faults | (ONLY_THOUGHTS if same else 0)


def _share_words(first: list[str], second: list[str]) -> bool:
    """Whether two texts have more than 95 % of their words in common, in whatever order."""
    fewer, more = sorted((len(first), len(second)))
    return fewer >= _FEWEST_WORDS and fewer > _LIKE * more and _jaccard(first, second) > _LIKE


def _jaccard(first: list[str], second: list[str]) -> float:
    """Of all words of two texts, each as often as it is said, the share that both have, 0 to 1."""
    counts = Counter(first)
    counts.subtract(second)
    apart = sum(map(abs, counts.values()))
    total = len(first) + len(second)
    return (total - apart) / (total + apart)


def _repeat_faults(question: str, answers: Sequence[str]) -> int:
    if len(question) < _SHORT_REPEAT or (question.count(" ") < 4 and not _WITHOUT_SPACES.search(question)):
        return 0
    long = len(question) >= _LONG_REPEAT or _WITHOUT_SPACES.search(question)
    faults = 0
    for answer, bit in zip(answers, (CHOSEN_REPEATS, REJECTED_REPEATS), strict=False):
        if answer.startswith(question) or (long and question in answer):
            faults |= bit
    return faults


def _markup_faults(prompt: Sequence[dict[str, Any]], question: str, answers: Sequence[str]) -> int:
    found = set()
    for one in prompt:
        found |= find_markup(one["content"], one["role"] == "assistant", question)
    for text in answers:
        found |= find_markup(text, True, question)
    if not found:
        return 0
    bits = {"template": TEMPLATE_MARKUP, "html": HTML_MARKUP, "turn": TURN_MARKUP}
    return sum(bits[kind] for kind in found)


def _language_faults(question: str, before: Sequence[str], answers: Sequence[str]) -> int:
    """before: the messages before the question. Who spoke a language there, or asked for it, may be answered in it."""
    known = [code for code in answers if code != OTHER]
    if not known:
        return 0
    asked = language(question)
    odd = [code for code in known if asked not in (OTHER, code)]
    differ = len(set(known)) > 1
    if not (odd or differ) or any(map(may_mean_another, (question, *before))):
        return 0
    faults = ANSWERS_DIFFER if differ else 0
    if any(not any(asks_in(text, code) or language(text) == code for text in (question, *before)) for code in odd):
        faults |= OTHER_THAN_PROMPT
    return faults


def _hashes(
    row: Row, kind: Kind, prompt: Sequence[dict[str, Any]], key: str, answers: Sequence[str]
) -> tuple[int, int]:
    """Hashes of the row and of its opposite. Under another system message it is another row, though the same prompt."""
    system = tuple(plain(one["content"]) for one in prompt if one["role"] == "system")
    if kind == "preference":
        chosen, rejected = answers
        return hash((system, key, chosen, rejected)), hash((system, key, rejected, chosen))
    label = row.get("label")
    content = hash((system, key, answers[0], label))
    return content, hash((system, key, answers[0], not label)) if kind == "unpaired" else content


# The likeness of two answers of which only the thoughts differ is told by that name.
_SAID_OTHERWISE = SAME_LETTERS | SAME_WORDS

_INVISIBLE = re.compile(r"[\s\u200b-\u200d\u2060\ufeff\u00ad]*")
# What programs write for a missing text. Answers are looked at in small letters.
_NOTHING = {"none", "null", "nan", "<na>", "[deleted]", "[removed]", "[empty]"}

# Chinese and Japanese have no spaces between words: there every sign counts as one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")
_FIGURE = re.compile(r"[-+]?\d+(?:[.,]\d+)*|[=<>/%^+]")
_LIKE = 0.95
# Answers that are so much longer or shorter, in characters, are not looked at: that saves half of the time.
_UNLIKE = 1.6
_SLACK = 60
# Below so many words, a single one more or less takes two answers under 95 %; the same ones in another order say
# something else there.
_FEWEST_WORDS = 20

# Characters. Shorter questions are found in answers by chance.
_SHORT_REPEAT = 12
_LONG_REPEAT = 25
_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]{6}")
