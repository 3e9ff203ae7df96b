"""What rows show only beside one another: repeats, contradictions, leaks, and what lengths and scores give away."""

import math
import random
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.core.data.doctor.languages import CODES, NAMES
from workbench.core.data.doctor.row_facts import IDENTICAL, RowFacts, row_facts
from workbench.core.data.messages import Kind, Row
from workbench.core.statistics import auc, wilson

# Scores count as close when they lie nearer to each other than this share of the range of all scores.
CLOSE_SCORES = 0.05
# The range leaves out this share at either end: votes of a forum have a few giants.
_TAIL = 0.05
# After balancing, the longer answer is the better one in at most this share of pairs.
BALANCED = 0.6


@dataclass
class RowTable:
    """Facts of many rows as columns over row numbers, about 60 bytes a row: see RowFacts.

    language, other_language: places in CODES. label: 1 for a thumb up. chosen_score, rejected_score: NaN where there
    are none.
    """

    kind: Kind
    faults: "array[int]" = field(default_factory=lambda: array("I"))
    prompt: "array[int]" = field(default_factory=lambda: array("q"))
    content: "array[int]" = field(default_factory=lambda: array("q"))
    turned: "array[int]" = field(default_factory=lambda: array("q"))
    chosen: "array[int]" = field(default_factory=lambda: array("I"))
    rejected: "array[int]" = field(default_factory=lambda: array("I"))
    language: "array[int]" = field(default_factory=lambda: array("B"))
    other_language: "array[int]" = field(default_factory=lambda: array("B"))
    label: "array[int]" = field(default_factory=lambda: array("B"))
    chosen_score: "array[float]" = field(default_factory=lambda: array("d"))
    rejected_score: "array[float]" = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.faults)

    def add(self, row: Row) -> None:
        """The next row."""
        facts: RowFacts = row_facts(row, self.kind)
        self.faults.append(facts.faults)
        self.prompt.append(facts.prompt)
        self.content.append(facts.content)
        self.turned.append(facts.turned)
        self.chosen.append(facts.chosen)
        self.rejected.append(facts.rejected)
        self.language.append(_PLACES[facts.languages[0]])
        self.other_language.append(_PLACES[facts.languages[-1]])
        self.label.append(bool(row.get("label")))
        scores = row.get("scores") or {}
        self.chosen_score.append(_score(scores.get("chosen")))
        self.rejected_score.append(_score(scores.get("rejected")))

    def reorder(self, order: Sequence[int]) -> None:
        """Make the row that is now order[i] row i. Rows that are not in `order` are gone."""
        for name, column in vars(self).items():
            if isinstance(column, array):
                setattr(self, name, array(column.typecode, (column[place] for place in order)))


_PLACES = {code: place for place, code in enumerate(CODES)}


def _score(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def with_fault(table: RowTable, bits: int) -> list[int]:
    """Rows with any of some faults."""
    return [row for row, faults in enumerate(table.faults) if faults & bits]


def duplicates(table: RowTable) -> list[int]:
    """Rows that an earlier row says already: same prompt, same answers, but for case and space."""
    seen: set[int] = set()
    found = []
    for row, content in enumerate(table.content):
        if content in seen:
            found.append(row)
        seen.add(content)
    return found


def contradictions(table: RowTable) -> list[int]:
    """Rows of which another row says the opposite; both sides."""
    said = set(table.content)
    return [
        row
        for row, (turned, faults) in enumerate(zip(table.turned, table.faults, strict=True))
        if turned in said and not faults & IDENTICAL
    ]


def leaked(table: RowTable, train_rows: int) -> list[int]:
    """Held-out rows whose prompt is a training row's too."""
    seen = set(table.prompt[:train_rows])
    return [row for row in range(train_rows, len(table)) if table.prompt[row] in seen]


def has_scores(table: RowTable) -> bool:
    return any(score == score for score in table.chosen_score)


def score_range(table: RowTable) -> float:
    """From the 5th to the 95th hundredth of all scores."""
    scores = sorted(
        score for column in (table.chosen_score, table.rejected_score) for score in column if score == score
    )
    if not scores:
        return 0.0
    return scores[math.ceil((len(scores) - 1) * (1 - _TAIL))] - scores[math.floor((len(scores) - 1) * _TAIL)]


def close_scores(table: RowTable) -> list[int]:
    """Pairs whose chosen answer is hardly better than the rejected one by their scores, or worse."""
    least = CLOSE_SCORES * score_range(table)
    gaps = enumerate(zip(table.chosen_score, table.rejected_score, strict=True))
    return [row for row, (chosen, rejected) in gaps if chosen - rejected < least or chosen <= rejected]


def language_shares(table: RowTable) -> dict[str, float]:
    """Share of each language among all answers, by name, the commonest first."""
    counts = Counter(table.language)
    if table.kind == "preference":
        counts.update(table.other_language)
    total = sum(counts.values())
    return {NAMES[CODES[place]]: count / total for place, count in counts.most_common()}


@dataclass(frozen=True)
class LengthFacts:
    """What the lengths of answers, in characters, say about the label.

    longer: share of pairs whose chosen answer is longer, equal ones counted half. low, high: its 95 % interval
    (Wilson). ratio: all characters of chosen answers / all of rejected ones. auc: chance that a chosen answer is longer
    than a rejected one, each drawn from all pairs (Mann-Whitney).
    """

    longer: float
    low: float
    high: float
    ratio: float
    auc: float

    @property
    def is_significant(self) -> bool:
        return self.low > 0.5 or self.high < 0.5


def length_facts(table: RowTable) -> LengthFacts:
    """For a table with at least one pair."""
    pairs = list(zip(table.chosen, table.rejected, strict=True))
    longer = sum((chosen > rejected) + (chosen == rejected) / 2 for chosen, rejected in pairs) / len(pairs)
    ratio = sum(table.chosen) / max(1, sum(table.rejected))
    return LengthFacts(longer, *wilson(longer, len(pairs)), ratio, auc(table.chosen, table.rejected))


def to_balance(table: RowTable) -> list[int]:
    """Pairs to drop, by a fixed draw, so that the longer answer wins in at most 60 % of pairs (or loses, as it may be).

    With w winners, t ties and n pairs, dropping k winners leaves (w + t/2 - k) / (n - k) = .6.
    """
    pairs = list(zip(table.chosen, table.rejected, strict=True))
    ties = sum(chosen == rejected for chosen, rejected in pairs) / 2
    for sign in (1, -1):
        winners = [row for row, (chosen, rejected) in enumerate(pairs) if sign * (chosen - rejected) > 0]
        spare = (len(winners) + ties - BALANCED * len(pairs)) / (1 - BALANCED)
        if spare > 0:
            return sorted(random.Random(0).sample(winners, min(len(winners), math.ceil(spare - 1e-9))))
    return []
