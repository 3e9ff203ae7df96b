"""Several scored or ranked answers to a prompt, as in UltraFeedback and Nectar: which two become the pair is an option.

They stand in one row, or each in a row of its own (HelpSteer2).
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from workbench.core.data.formats.choices import LISTS_OF_TWO, TEXT_KEYS, two_answers
from workbench.core.data.formats.column_names import (
    COMPLETIONS,
    Names,
    is_rank,
    is_text,
    listed,
    number,
    plain_name,
    with_more,
)
from workbench.core.data.formats.columns import (
    Columns,
    Converted,
    Described,
    Format,
    Gathered,
    Numbered,
    Option,
    Recognised,
    one_by_one,
)
from workbench.core.data.formats.orders import ORDERS, doubtful_ten, ranks_of, readings_of
from workbench.core.data.formats.prompts import beside
from workbench.core.data.formats.readings import thumb
from workbench.core.data.formats.rows import several_pairs
from workbench.core.data.formats.thumbs import LABELS
from workbench.core.data.messages import DOUBTFUL_TEN, LeftOut, RawRow

LISTS = (
    *LISTS_OF_TWO, "replies", "choices", "samples", "ranked_answers", "ranked_responses", "response", "completion", "output",
    "answer",
)  # fmt: skip
SCORE_KEYS = (
    "overall_score", "score", "rank", "rating", "reward", "ranking", "fine-grained_score", "points", "votes", "upvotes",
)  # fmt: skip
SCORE_LISTS = (
    "scores", "ratings", "ranks", "rewards", "score", "rating", "rank", "ranking", "rankings", "reward", *ORDERS,
)  # fmt: skip
# Of a row with one answer. Of the five judgements in HelpSteer2, helpfulness is the one on the answer as a whole.
ROW_SCORES = ("overall_score", "score", "rating", "reward", "quality", "grade", "stars", "rank", "helpfulness")
OPTIONS = (
    Option("best-worst", "the best answer against the worst"),
    Option("best-second", "the best answer against the next one below it"),
    Option("best-random", "the best answer against one of the others below it, at random"),
    Option("all", "every two answers with different scores: several pairs for each prompt"),
)
# "all" makes up to 1,225 pairs of as many answers; a row of a million characters could hold billions.
MOST_FOR_ALL = 50
PASSED_OVER = "an answer without a text or a score was skipped"


@dataclass(frozen=True)
class Scored:
    """An answer and its score, the higher the better: of a rank its negative."""

    answer: Any
    score: float


def pairs_of(scored: Sequence[Scored], option: str, draw: str) -> list[tuple[Scored, Scored]]:
    """(better, worse) for an option; never two of the same score. draw: text that the random choice follows from.

    Raises LeftOut for too many answers to pair all of them.
    """
    falling = sorted(scored, key=lambda one: -one.score)
    below = [one for one in falling if one.score < falling[0].score]
    if not below:
        return []
    if option == "all":
        if len(falling) > MOST_FOR_ALL:
            raise LeftOut("more than 50 answers, too many to pair all of them")
        return [(one, other) for one, other in combinations(falling, 2) if one.score > other.score]
    if option == "best-second":
        return [(falling[0], below[0])]
    if option == "best-random":
        return [(falling[0], random.Random(draw).choice(below))]
    return [(falling[0], below[-1])]


def _scored_answers(row: RawRow) -> Columns | None:
    names = Names(row)
    prompt = names.prompt()
    for name in LISTS if prompt else ():
        column = names.column(name)
        items = listed(row[column]) if column else None
        if not column or not items:
            continue
        parts = _keys(items) or _beside(names, column, items)
        if parts:
            return Columns(prompt=prompt, answers=column, **beside(names, prompt, [column]), **parts)
    return _scored_answer(names, prompt)


def _scored_answer(names: Names, prompt: str | None) -> Columns | None:
    """One answer with its score in a row. Where a thumb stands beside it, the thumb says what the answer is good for."""
    answer = names.first(COMPLETIONS, is_text)
    score = names.first(ROW_SCORES, lambda value: number(value) is not None)
    if not (prompt and answer and score) or prompt == answer or two_answers(names):
        return None
    labels = (names.column(name) for name in LABELS)
    if any(label not in (None, score) and thumb(names.row[label]) is not None for label in labels):
        return None
    return Columns(prompt=prompt, answer=answer, score=score, **beside(names, prompt, [answer]))


def _keys(items: Sequence[Any]) -> dict[str, str] | None:
    """The keys of text and score in a list of objects."""
    if not all(isinstance(item, Mapping) and "role" not in item and "from" not in item for item in items):
        return None
    text = next((key for key in TEXT_KEYS if any(isinstance(item.get(key), str) for item in items)), None)
    # After the known names any other kind of score, such as pm_score.
    others = sorted({key for item in items for key in item if key.endswith("_score")})
    score = next(
        (key for key in (*SCORE_KEYS, *others) if any(number(item.get(key)) is not None for item in items)), None
    )
    return {"answer": text, "score": score} if text and score else None


def _beside(names: Names, column: str, items: Sequence[Any]) -> dict[str, str] | None:
    """The column with a score for each of a list of texts."""
    if not all(isinstance(item, str) for item in items):
        return None
    scores = names.first(SCORE_LISTS, lambda value: _are_scores(value, len(items)))
    return {"scores": scores} if scores and scores != column else None


def _are_scores(value: Any, count: int) -> bool:
    scores = listed(value)
    return scores is not None and len(scores) == count and any(number(score) is not None for score in scores)


def _scored(row: RawRow, columns: Columns, as_order: bool) -> tuple[list[Scored], int]:
    """The answers that have a text and a score, and how many have not. as_order: a list says them from the best on."""
    items = listed(row.get(columns.answers or "")) or []
    if columns.scores:
        scores = listed(row.get(columns.scores)) or []
        scores = ranks_of(scores) if as_order else scores
        both = list(zip(items, scores, strict=True)) if len(items) == len(scores) else []
    else:
        objects = [item for item in items if isinstance(item, Mapping)]
        both = [(item.get(columns.answer or ""), item.get(columns.score or "")) for item in objects]
    sign = -1 if as_order or is_rank(columns.scores or columns.score or "") else 1
    found = [
        Scored(text, sign * value)
        for text, score in both
        if isinstance(text, str) and text.strip() and (value := number(score)) is not None
    ]
    return found, len(items) - len(found)


def _question(row: RawRow, columns: Columns) -> str:
    """What the rows of one question have in common."""
    return json.dumps([row.get(column) for column in _asked_in(columns)], default=str)


def _asked_in(columns: Columns) -> list[str]:
    """The columns that make up the prompt."""
    parts = (columns.system, columns.prompt, columns.context, columns.input, columns.history)
    return [column for column in parts if column]


def _gather(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    """Rows with one answer each: a row for each question, with all of its answers under the key `answers`."""
    columns = how.mapping
    if columns.answers:
        yield from one_by_one(rows, how)
        return
    asked: dict[str, tuple[int, Gathered]] = {}
    for position, row in rows:
        if isinstance(row, Gathered):  # It cannot be used, and says why.
            yield position, row, 1
            continue
        alone = {column: row.get(column) for column in _asked_in(columns)}
        _, found = asked.setdefault(_question(row, columns), (position, Gathered({**alone, _GATHERED: []})))
        found[_GATHERED].append({part: row.get(part) for part in (columns.answer, columns.score) if part})
    for position, found in asked.values():
        yield position, found, len(found[_GATHERED])


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    if not isinstance(row, Gathered):
        return _converted(row, how.mapping, how.option, seed)
    several = how.mapping.model_copy(update={"answers": _GATHERED})
    if len(row[_GATHERED]) == 1:
        raise LeftOut("the only answer to its prompt")
    made = _converted(row, several, how.option, seed)
    paired = {part[0]["content"] for one in made.rows for part in (one["chosen"], one["rejected"])}
    texts = (one[several.answer] for one in row[_GATHERED])
    unused = sum(not isinstance(text, str) or text.strip() not in paired for text in texts)
    return Converted(made.rows, made.notes, ("an answer that is in none of the pairs",) * unused)


def _converted(row: RawRow, columns: Columns, option: str, seed: int) -> Converted:
    if not option:
        raise LeftOut("nobody has said which answer the numbers mean")
    option, reading = option.removesuffix("-by-order"), option.endswith("-by-order")
    as_order = reading or plain_name(columns.scores or "") in ORDERS
    row, doubtful = _without_doubtful(row, columns)
    scored, passed_over = _scored(row, columns, as_order)
    if len(scored) < 2:
        raise LeftOut("fewer than two answers with a score")
    chosen = pairs_of(scored, option.removesuffix("-by-rank"), f"{seed}:{row.get(columns.prompt or '')}")
    if not chosen:
        raise LeftOut("both answers have the same score")
    pairs = [(better.answer, worse.answer, better.score, worse.score) for better, worse in chosen]
    made = several_pairs(row, columns, pairs)
    return Converted(made.rows, (*made.notes, *[PASSED_OVER] * passed_over, *[DOUBTFUL_TEN] * doubtful))


def _without_doubtful(row: RawRow, columns: Columns) -> tuple[RawRow, int]:
    """The row without answers whose overall score contradicts its parts, and how many those were."""
    items = listed(row.get(columns.answers or "")) if columns.score == "overall_score" else None
    kept = [item for item in items or () if not doubtful_ten(item)]
    if items is None or len(kept) == len(items):
        return row, 0
    return {**row, columns.answers or "": kept}, len(items) - len(kept)


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
    if not columns.answers:
        return _describe_gathered(rows, columns, option)
    name = columns.score or columns.scores or ""
    counts = [len(listed(row[columns.answers or ""]) or []) for row in rows]
    low, high = min(counts), max(counts)
    many = f"{low}" if low == high else f"{low} to {high}"
    where = f"each with its `{name}`" if columns.score else f"with their scores in `{name}`"
    said = f"`{columns.answers}` holds {many} answers to `{columns.prompt}` {where}"
    offered = readings_of(
        name, [listed(row.get(columns.scores)) or [] for row in rows] if columns.scores else [], OPTIONS
    )
    taken = option or ("" if len(offered) > len(OPTIONS) else offered[0].id)
    if not taken:
        doubt = "these may be the rank of each answer, or the answers from the best to the worst, so say which"
        return Described(f"{said}; {doubt}{with_more(columns)}.", offered)
    best = "the lowest is the best" if is_rank(name) else "the highest is the best"
    best = "from the best to the worst" if taken.endswith("-by-order") or plain_name(name) in ORDERS else best
    return Described.taking(f"{said} ({best})", offered, taken, with_more(columns))


def _describe_gathered(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
    """None unless most rows have a rival: single answers with a score make no pairs."""
    name = columns.score or ""
    scores = {number(row.get(name)) for row in rows}
    counts = Counter(_question(row, columns) for row in rows)
    several = [count for count in counts.values() if count > 1]
    if 2 * sum(several) < len(rows) or (plain_name(name) == "rating" and scores <= {-1, 0, 1}):
        return None
    best = "the lowest is the best" if is_rank(name) else "the highest is the best"
    said = (
        f"`{columns.answer}` is one answer to `{columns.prompt}` with its `{name}` ({best}), and {len(several)} prompts of "
        f"the first {len(rows)} rows have several"
    )
    return Described.taking(said, OPTIONS, option, with_more(columns))


# The key of the list that gathered answers stand in.
_GATHERED = "answers"

SCORED_ANSWERS = Format(
    "scored-answers", "Several scored or ranked answers (UltraFeedback, Nectar)",
    "a prompt, and a list of answers with a score, rating or rank each, or several rows with a scored answer to it",
    _scored_answers, _describe, _convert, _gather,
)  # fmt: skip
