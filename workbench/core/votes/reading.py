"""What a person's votes say of what they prefer: shorter or longer answers, lists, openings, words.

Each sentence rests on a count: of the votes that chose between an answer with something and one without it, how many chose
the one with it. Who votes at random does so at even odds whatever the something is, so that the evidence against even odds
has a known chance to mislead. All that is looked at shares one chance of 5 %, and the evidence may be looked at after each
vote (`log_evidence`).
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from workbench.core.data.thoughts import without_thoughts
from workbench.core.statistics import ALPHA, log_evidence, win_interval
from workbench.core.votes.vote import Vote

LEAST_VOTES = 30
MOST_SENTENCES = 2
# Half of the chance to mislead is for what every vote is asked, half for openings and words, of which the most frequent are.
_ALWAYS = ("length", "list", "side")
_OPENINGS, _WORDS = 5, 15
_LEVELS = {
    **dict.fromkeys(_ALWAYS, ALPHA / 2 / len(_ALWAYS)),
    **dict.fromkeys(("opening", "word"), ALPHA / 2 / (_OPENINGS + _WORDS)),
}
# What fewer votes decide could not reach its level.
_LEAST_DECIDED = 10
# Answers that are nearly as long as each other are not chosen for their length.
_LONGER = 1.1
_LIST = re.compile(r"^\s*(?:[-*•+]|\d+[.)])\s+\S", re.M)
_WORD = re.compile(r"[^\W\d_]{4,}")
_FIRST = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True)
class Preference:
    """What was chosen more often, or less often, than chance would have it. of: votes that could choose."""

    kind: str
    what: str
    chosen: int
    of: int
    low: float
    high: float

    @property
    def sentence(self) -> str:
        likes = 2 * self.chosen > self.of
        share = self.chosen if likes else self.of - self.chosen
        low, high = (self.low, self.high) if likes else (1 - self.high, 1 - self.low)
        what = {
            "length": f"the {'longer' if likes else 'shorter'} answer",
            "list": f"the answer {'with' if likes else 'without'} a list",
            "side": f"the answer on the {'left' if likes else 'right'}, which says nothing of the answers",
            "opening": f"the answer that {'begins' if likes else 'does not begin'} with “{self.what}”",
            "word": f"the answer {'with' if likes else 'without'} the word “{self.what}”",
        }[self.kind]
        return f"You chose {what}, in {share} of {self.of} votes ({share / self.of:.0%}, interval {low:.0%} to {high:.0%})."


def preferences(votes: Sequence[Vote]) -> list[Preference]:
    """What the votes say of the voter, the surest first; nothing before there are 30, and nothing that chance could say."""
    decided = [vote for vote in votes if vote.vote in ("left", "right")]
    if len(votes) < LEAST_VOTES:
        return []
    counts: dict[tuple[str, str], list[int]] = {}
    for vote in decided:
        chosen, other = (vote.left, vote.right) if vote.vote == "left" else (vote.right, vote.left)
        for key, won in _differences(chosen, other, vote.vote == "left"):
            count = counts.setdefault(key, [0, 0])
            count[0] += won
            count[1] += 1
    found: list[tuple[float, Preference]] = []
    for kind, what in _asked(counts):
        won, of = counts[kind, what]
        level = _LEVELS[kind]
        surprise = log_evidence(won, of - won) + math.log(level)
        if surprise >= 0:
            found.append((surprise, Preference(kind, what, won, of, *win_interval(won, of - won, level))))
    # An opening is made of words: what one of them says, the other does not say again.
    told: list[Preference] = []
    for _, one in sorted(found, key=lambda each: -each[0]):
        kinds = {"text" if before.kind in ("opening", "word") else before.kind for before in told}
        if ("text" if one.kind in ("opening", "word") else one.kind) not in kinds:
            told.append(one)
    return told[:MOST_SENTENCES]


def sentences(votes: Sequence[Vote]) -> list[str]:
    """The same for people: one or two sentences, or none."""
    return [one.sentence for one in preferences(votes)]


def _asked(counts: dict[tuple[str, str], list[int]]) -> Iterator[tuple[str, str]]:
    """What is looked at: chosen by how many votes it could decide, never by how they fell."""
    many = [key for key, (_, of) in counts.items() if of >= _LEAST_DECIDED]
    yield from (key for key in many if key[0] in _ALWAYS)
    for kind, most in (("opening", _OPENINGS), ("word", _WORDS)):
        of_kind = sorted((key for key in many if key[0] == kind), key=lambda key: (-counts[key][1], key))
        yield from of_kind[:most]


def _differences(chosen: str, other: str, was_left: bool) -> Iterator[tuple[tuple[str, str], int]]:
    """What one of two answers has and the other has not, and whether the chosen one has it."""
    one, two = _traits(chosen), _traits(other)
    yield ("side", ""), int(was_left)
    if max(one.length, two.length) > _LONGER * min(one.length, two.length):
        yield ("length", ""), int(one.length > two.length)
    if one.has_list != two.has_list:
        yield ("list", ""), int(one.has_list)
    if one.opening != two.opening:
        yield from ((("opening", text), won) for text, won in ((one.opening, 1), (two.opening, 0)) if text)
    yield from ((("word", word), int(word in one.words)) for word in one.words ^ two.words)


@dataclass(frozen=True)
class _Traits:
    length: int
    has_list: bool
    opening: str
    words: frozenset[str]


@lru_cache(maxsize=4096)
def _traits(text: str) -> _Traits:
    said = without_thoughts(text)
    first = _FIRST.search(said)
    words: Iterable[str] = _WORD.findall(said.casefold())
    return _Traits(len(said.split()), bool(_LIST.search(said)), first[0] if first else "", frozenset(words))
