"""Rewards by rule: written as one line each, as "0.5 words: gladly, of course", and worth their weight where they hold."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from workbench.core.errors import WorkbenchError

LONGEST_PATTERN = 200  # characters
LOOKED_AT = 4000  # characters of an answer that a pattern reads: a bad one takes long on more

_LINE = re.compile(r"^(?:(?P<weight>[+-]?\d*\.?\d+)\s+)?(?P<kind>[a-z]+)\s*(?::\s*(?P<argument>.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """kind: a key of KINDS. argument: what stands behind the colon."""

    weight: float
    kind: str
    argument: str

    @property
    def name(self) -> str:
        """As in the names of metrics, where a slash would begin a new part."""
        return f"{self.kind} {self.argument}".strip().replace("/", "|")[:60]

    def score(self, answer: str) -> float:
        """From 0, where it does not hold at all, to 1; without the weight."""
        return KINDS[self.kind].score(self.argument, answer)


def _length(argument: str, answer: str) -> float:
    most, words = int(argument), len(answer.split())
    return min(1.0, max(0.0, 2.0 - words / most))


def _words(argument: str, answer: str) -> float:
    wanted = [re.escape(word.strip()) for word in argument.split(",") if word.strip()]
    return float(bool(re.search(rf"(?<!\w)(?:{'|'.join(wanted)})(?!\w)", answer, re.IGNORECASE)))


def _pattern(argument: str, answer: str) -> float:
    return float(bool(re.search(argument, answer[:LOOKED_AT])))


def _json(argument: str, answer: str) -> float:
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0


def _check_length(argument: str) -> str:
    return "" if argument.isdecimal() and int(argument) > 0 else "a whole number of words, as in length: 40"


def _check_words(argument: str) -> str:
    return (
        ""
        if any(word.strip() for word in argument.split(","))
        else "words with commas between, as in words: gladly, sure"
    )


def _check_pattern(argument: str) -> str:
    if not argument or len(argument) > LONGEST_PATTERN:
        return f"a regular expression of at most {LONGEST_PATTERN} characters, as in pattern: ^Sure"
    try:
        re.compile(argument)
    except re.error as error:
        return f"a regular expression, and this one is wrong: {error}"
    return ""


def _check_json(argument: str) -> str:
    return "nothing behind it" if argument else ""


@dataclass(frozen=True)
class Kind:
    """wants: what stands behind the colon, where that is wrong; "" where it is right."""

    help: str
    wants: Callable[[str], str]
    score: Callable[[str, str], float]


KINDS = {
    "words": Kind("1 where one of the words is in the answer", _check_words, _words),
    "length": Kind("1 up to so many words, 0 at twice as many", _check_length, _length),
    "pattern": Kind("1 where the regular expression is found in the answer", _check_pattern, _pattern),
    "json": Kind("1 where the answer is valid JSON", _check_json, _json),
}

HELP = "; ".join(f"{name}: {kind.help}" for name, kind in KINDS.items())


def parse_rules(text: str) -> list[Rule]:
    """One rule per line. Raises WorkbenchError that lists what is wrong with each line."""
    found, wrong = [], []
    for number, line in enumerate(filter(None, (line.strip() for line in text.splitlines())), start=1):
        match = _LINE.fullmatch(line)
        kind = KINDS.get(match["kind"]) if match else None
        if match is None or kind is None:
            wrong.append(
                f"Rule {number} is {line[:60]!r}. Write a weight and one of {', '.join(KINDS)}, as in 0.5 words: gladly, sure."
            )
            continue
        argument = (match["argument"] or "").strip()
        if wants := kind.wants(argument):
            wrong.append(f"Rule {number} ({match['kind']}) takes {wants}; found {argument[:60]!r}.")
            continue
        found.append(Rule(float(match["weight"] or 1), match["kind"], argument))
    if wrong:
        raise WorkbenchError(*wrong)
    return found
