"""Two answers, and a choice or two scores that say which is better: SHP, summarise-from-feedback, arenas.

Words ("model_a", "left", the answer itself) are plain. A number can mean either answer, so what it means is decided over
all sampled rows; where nothing decides it, a person must, and until then no row is used.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.data.formats.column_names import (
    TWO_ANSWERS,
    Names,
    holds_messages,
    is_rank,
    is_text,
    listed,
    number,
    plain_name,
    with_more,
)
from workbench.core.data.formats.columns import Columns, Converted, Described, Format, Option, Recognised
from workbench.core.data.formats.prompts import beside
from workbench.core.data.formats.rows import pair
from workbench.core.data.messages import LeftOut, RawRow

CHOICES = (
    "vote", "winner", "choice", "preference", "overall_preference", "preference_strength", "preferred", "chosen", "better",
    "best", "better_response_id", "better_response", "better_answer", "preferred_response", "preferred_answer",
    "preferred_output", "human_preference", "label", "labels", "selected", "judgement", "judgment", "verdict",
)  # fmt: skip
# What stands beside a prompt and is no answer to it.
ABOUT = (
    "id", "source", "category", "topic", "language", "lang", "date", "timestamp", "url", "judge", "annotator",
    "system",
)  # fmt: skip
LISTS_OF_TWO = ("summaries", "answers", "responses", "completions", "outputs", "candidates", "generations")
TEXT_KEYS = ("text", "response", "answer", "content", "completion", "output", "generation", "summary")

_WORD = re.compile(
    r"\[*(?:(?:model|response|answer|assistant|output|option|completion|conversation|text|summary|candidate|reply|chat|"
    r"generation|message)_?)?(?:(?P<first>a|left|first)|(?P<second>b|right|second)|(?P<digit>[012]))\]*"
)
_OF_MODEL = re.compile(r"^(?:response|answer|output|completion|reply)_|_(?:response|answer|output|completion|reply)$")
_FIRST = ("a>b", "a>>b")
_SECOND = ("b>a", "b>>a")
_NEITHER = {
    "tie", "draw", "equal", "same", "both", "neither", "none", "both_bad", "bothbad", "both_good", "tie_(bothbad)",
    "tie_bothbad", "a=b", "no_preference",
}  # fmt: skip
_LEAST_AGREEING = 5
_AGREEMENT = 0.9


@dataclass(frozen=True)
class Reading:
    """What numbers of a choice mean: number -> 0 for the first answer, 1 for the second, None for neither."""

    id: str
    words: str
    places: Mapping[int, int | None]

    def fits(self, numbers: set[int]) -> bool:
        """Whether all numbers have a meaning here; numbers around 0 need one below it."""
        return numbers <= set(self.places) and (min(self.places) >= 0 or min(numbers) < 0)


_STEPS = range(1, 6)
READINGS = (
    Reading("index", "0 means that the first answer is better, 1 the second", {0: 0, 1: 1}),
    Reading("one-first", "1 means that the first answer is better, 0 the second", {1: 0, 0: 1}),
    Reading("ordinal", "1 means that the first answer is better, 2 the second", {1: 0, 2: 1}),
    Reading("ordinal-or-tie", "1 means that the first answer is better, 2 the second, 0 neither", {1: 0, 2: 1, 0: None}),
    Reading("index-or-tie", "0 means that the first answer is better, 1 the second, 2 neither", {0: 0, 1: 1, 2: None}),
    Reading(
        "negative-first", "a number below 0 means that the first answer is better, above 0 the second, 0 neither",
        {0: None, **{-n: 0 for n in _STEPS}, **{n: 1 for n in _STEPS}},
    ),
    Reading(
        "positive-first", "a number above 0 means that the first answer is better, below 0 the second, 0 neither",
        {0: None, **{n: 0 for n in _STEPS}, **{-n: 1 for n in _STEPS}},
    ),
)  # fmt: skip
_BY_ID = {reading.id: reading for reading in READINGS}


def two_answers(names: Names) -> tuple[str, str] | None:
    """Two columns that hold an answer each, without a word on which is better; not two of three or more."""
    for one, other, more in TWO_ANSWERS:
        found = next(names.pairs([(one, other)], lambda value: is_text(value) or holds_messages(value)), None)
        if found and not any(name in names for name in more):
            return found
    return None


def place_of_word(value: Any, row: RawRow, first: str, second: str) -> int | None:
    """0 or 1 for a word that names the first or the second answer or gives its text; None for anything else."""
    if not isinstance(value, str) or not value.strip() or number(value) is not None:
        return None
    by_name = _place_by_name(plain_name(value), plain_name(first), plain_name(second))
    by_text = next((at for at, column in enumerate((first, second)) if row.get(column) == value), None)
    # Where the answers, or the models, are called "B" and "A", the choice "B" could mean either.
    said = {by_name, by_text, _place_by_model(value, row, first, second)} - {None}
    return said.pop() if len(said) == 1 else None


def _place_by_model(value: str, row: RawRow, first: str, second: str) -> int | None:
    """The answer of the model that a choice names, where the names of both models stand beside the answers."""
    models = [plain_name(str(row[column])) for column in Names(row).models(first, second) if column]
    word = plain_name(value)
    return models.index(word) if models.count(word) == 1 and len(models) == 2 else None


def _models_chosen(rows: Sequence[RawRow], columns: Columns) -> tuple[str, ...]:
    """The columns with the names of both models, where a choice names one of those."""
    first, second = columns.first, columns.second
    for row in rows if first and second else ():
        choice = row.get(columns.choice or "")
        if isinstance(choice, str) and _place_by_model(choice, row, first or "", second or "") is not None:
            return tuple(column for column in Names(row).models(first or "", second or "") if column)
    return ()


def _place_by_name(word: str, first: str, second: str) -> int | None:
    named = _WORD.fullmatch(word)
    if word in (first, *_FIRST) or (named and named["first"]):
        return 0
    if word in (second, *_SECOND) or (named and named["second"]):
        return 1
    endings = [column.endswith(named["digit"]) for column in (first, second)] if named else []
    if True in endings:
        return endings.index(True)
    # Answers in columns that are called after their models: "gpt" for `gpt_response`.
    called = [word == _model_of(column) for column in (first, second)]
    return called.index(True) if called.count(True) == 1 else None


def _model_of(column: str) -> str:
    """`response_gpt_4` and `gpt_4_response` -> "gpt_4"."""
    return _OF_MODEL.sub("", column)


def place(row: RawRow, columns: Columns, reading: str) -> int:
    """Which of the two answers is better: 0 or 1. Raises LeftOut."""
    value = row.get(columns.choice) if columns.choice else None
    if columns.choice is None:
        return _place_by_scores(row, columns)
    if value is None or value == "":
        raise LeftOut("no choice between the two answers")
    named = place_of_word(value, row, columns.first or "", columns.second or "")
    if named is not None:
        return named
    whole = _whole(value)
    if whole is None:
        raise LeftOut("neither answer was preferred" if is_neither(value) else "a choice that names neither answer")
    if not reading:
        raise LeftOut("nobody has said which answer the numbers mean")
    places = _BY_ID[reading].places
    if whole not in places:
        raise LeftOut("a choice that names neither answer")
    if (better := places[whole]) is None:
        raise LeftOut("neither answer was preferred")
    return better


def _place_by_scores(row: RawRow, columns: Columns) -> int:
    first, second = _scores(row, columns)
    if first is None or second is None:
        raise LeftOut("fewer than two answers with a score")
    if first == second:
        raise LeftOut("both answers have the same score")
    return 0 if first > second else 1


def _scores(row: RawRow, columns: Columns) -> tuple[float | None, float | None]:
    """The higher the better: of a rank its negative."""
    one, other = number(row.get(columns.first_score or "")), number(row.get(columns.second_score or ""))
    if one is None or other is None or not is_rank(columns.first_score or ""):
        return one, other
    return -one, -other


def is_neither(value: Any) -> bool:
    """Whether a choice says that neither answer is better."""
    return isinstance(value, str) and plain_name(value) in _NEITHER


def _whole(value: Any) -> int | None:
    """A choice that is a number, also as true or false or as text."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        value = value.strip().lower() == "true"
    if isinstance(value, bool):
        return int(value)
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def _answers(row: RawRow, columns: Columns) -> tuple[Any, Any]:
    """The values of the two answers. Raises LeftOut where a list does not hold two."""
    if not columns.answers:
        return row.get(columns.first or ""), row.get(columns.second or "")
    found = listed(row.get(columns.answers))
    if found is None or len(found) != 2:
        raise LeftOut("not exactly two answers")
    one, other = (answer.get(columns.answer) if isinstance(answer, Mapping) else answer for answer in found)
    return one, other


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    columns = how.mapping
    answers, scores = _answers(row, columns), _scores(row, columns)
    better = place(row, columns, how.option)
    return pair(row, columns, answers[better], answers[1 - better], scores[better], scores[1 - better])


def _choice_pairs(row: RawRow) -> Columns | None:
    names = Names(row)
    prompt = names.prompt()
    two = two_answers(names) or _two_models(names, prompt)
    if two is None or not (prompt or all(holds_messages(row[column]) for column in two)):
        return _list_of_two(names, prompt)
    first, second = two
    scores = names.scores(first, second)
    scores = names.ranks(first, second) if scores == (None, None) else scores
    choice = names.first(CHOICES, lambda value: _can_choose(value, row, first, second))
    if choice is None and scores == (None, None):
        return None
    return Columns(
        prompt=prompt, first=first, second=second, choice=choice, first_score=scores[0], second_score=scores[1],
        **beside(names, prompt, two),
    )  # fmt: skip


def _two_models(names: Names, prompt: str | None) -> tuple[str, str] | None:
    """Two answers in columns that are called after their models, of which a choice names one."""
    choice = names.first(CHOICES, is_text)
    if not prompt or not choice:
        return None
    others = {prompt, choice, *beside(names, prompt).values()}
    columns = [column for column, value in names.row.items() if is_text(value) and column not in others]
    answers = [column for column in columns if _model_of(plain_name(column)) != plain_name(column)]
    # Without a word such as "response" in their names they are known only where nothing else is text.
    answers = answers or [column for column in columns if plain_name(column) not in ABOUT]
    called = [_model_of(plain_name(column)) == plain_name(names.row[choice]) for column in answers]
    return (answers[0], answers[1]) if len(answers) == 2 and called.count(True) == 1 else None


def _list_of_two(names: Names, prompt: str | None) -> Columns | None:
    """summarise-from-feedback: both answers in one list, and the number of the better one."""
    choice = names.first(CHOICES, lambda value: _whole(value) is not None)
    answers = names.first(LISTS_OF_TWO, lambda value: len(listed(value) or ()) == 2)
    if not (prompt and choice and answers):
        return None
    items = listed(names.row[answers]) or []
    if all(isinstance(item, str) for item in items):
        return Columns(prompt=prompt, answers=answers, choice=choice, **beside(names, prompt, [answers]))
    if not all(isinstance(item, Mapping) for item in items):
        return None
    key = next((key for key in TEXT_KEYS if all(isinstance(item.get(key), str) for item in items)), None)
    if not key:
        return None
    return Columns(prompt=prompt, answers=answers, answer=key, choice=choice, **beside(names, prompt, [answers]))


def _can_choose(value: Any, row: RawRow, first: str, second: str) -> bool:
    whole = _whole(value)
    is_step = whole is not None and abs(whole) <= max(_STEPS)
    return value is None or is_step or is_neither(value) or place_of_word(value, row, first, second) is not None


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described | None:
    where = (
        f"`{columns.answers}` holds two answers"
        if columns.answers
        else f"`{columns.first}` and `{columns.second}` are two answers"
    )
    where += f" to `{columns.prompt}`" if columns.prompt else ""
    if columns.choice is None:
        best = "lower rank" if is_rank(columns.first_score or "") else "higher score"
        by = f"the one with the {best} (`{columns.first_score}`, `{columns.second_score}`) is chosen"
        return Described(f"{where}; {by}{with_more(columns)}.")
    numbers = {whole for row in rows if (whole := _whole(row.get(columns.choice))) is not None}
    if not numbers:
        models = _models_chosen(rows, columns)
        by = f", by its model in {' or '.join(f'`{column}`' for column in models)}" if models else ""
        return Described(f"{where}, and `{columns.choice}` names the better one{by}{with_more(columns)}.", reads=models)
    # A number for a tie is only looked for where two numbers do not do.
    readings = [r for r in READINGS[:3] if r.fits(numbers)] or [r for r in READINGS[3:] if r.fits(numbers)]
    if not readings:
        return None
    taken, why = (option, "as you chose") if option else _decided(rows, columns, readings, numbers)
    seen = ", ".join(map(str, sorted(numbers)))
    if taken:
        words = f"{_BY_ID[taken].words} ({why})"
    else:
        words = "nothing in the rows says which answer a number means, so choose what it means"
    options = tuple(Option(reading.id, reading.words) for reading in readings)
    return Described(f"{where}; `{columns.choice}` holds {seen}: {words}{with_more(columns)}.", options, taken)


def _decided(
    rows: Sequence[RawRow], columns: Columns, readings: Sequence[Reading], numbers: set[int]
) -> tuple[str, str]:
    """The reading that the names of the columns and the scores agree on, and why; "" where they do not say."""
    by_name, why = _by_name(columns, numbers)
    by_scores = _by_scores(rows, columns, readings)
    if by_scores:
        agreed = by_name in ("", by_scores)
        return (by_scores, "that answer has the higher score") if agreed else ("", "")
    if by_name in {reading.id for reading in readings}:
        return by_name, why
    return (readings[0].id, "no other reading is possible") if len(readings) == 1 else ("", "")


def _by_name(columns: Columns, numbers: set[int]) -> tuple[str, str]:
    """The reading that the columns' names say, where they belong to a known set or count as the numbers do."""
    first, choice = plain_name(columns.first or ""), plain_name(columns.choice or "")
    if first == "human_ref_a" and choice == "labels":
        return "one-first", "as in SHP"
    # 1 alone could be the first of a list that somebody counted from 1.
    if columns.answers and 0 in numbers and numbers <= {0, 1}:
        return "index", "lists are counted from 0"
    if choice in ("overall_preference", "preference_strength") and min(numbers) < 0:
        return "negative-first", "as in HelpSteer"
    if first.endswith("0") and numbers <= {0, 1}:
        return "index", "as the answers are numbered"
    if first.endswith("1") and numbers <= {1, 2}:
        return "ordinal", "as the answers are numbered"
    return "", ""


def _by_scores(rows: Sequence[RawRow], columns: Columns, readings: Sequence[Reading]) -> str:
    """The one reading by which nearly always the answer with the higher score is chosen; "" where there is none."""
    if columns.first_score is None:
        return ""
    agreeing = []
    for reading in readings:
        hits = [agrees for row in rows if (agrees := _agrees(row, columns, reading)) is not None]
        if len(hits) >= _LEAST_AGREEING and sum(hits) >= _AGREEMENT * len(hits):
            agreeing.append(reading.id)
    return agreeing[0] if len(agreeing) == 1 else ""


def _agrees(row: RawRow, columns: Columns, reading: Reading) -> bool | None:
    whole, (first, second) = _whole(row.get(columns.choice or "")), _scores(row, columns)
    better = reading.places.get(whole) if whole is not None else None
    if better is None or first is None or second is None or first == second:
        return None
    return better == (0 if first > second else 1)


CHOICE_PAIRS = Format(
        "choice-pairs", "Two answers and a choice",
        "a prompt, two answers such as `response_a` and `response_b`, and a choice such as `winner`, or two scores",
        _choice_pairs, _describe, _convert,
)  # fmt: skip
