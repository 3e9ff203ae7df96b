"""Lists of numbers beside lists of answers: the rank of each answer, or the answers named from the best to the worst.

[3, 1, 2] says as ranks that the second answer is the best, and as an order that the third one is. Lists that are their own
reverse, as all of two numbers are, say the same either way.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.data.formats.column_names import number, plain_name
from workbench.core.data.formats.columns import Option

ORDERS = ("order", "ordering", "ranked_order", "preference_order")

_EITHER = ("ranking", "rankings")
# Of four judgements from 1 to 5. Means of up to 2 beside an overall score of 10 are a "1" that was misread as "10".
_POOR = 2


def ranks_of(order: Sequence[Any]) -> list[Any]:
    """The rank of each answer, 0 being the best, from their numbers in order; nothing where it is no order."""
    places = _places(order)
    return [places.index(place) for place in range(len(places))] if places else []


def readings_of(name: str, lists: Sequence[Sequence[Any]], plain: Sequence[Option]) -> tuple[Option, ...]:
    """The options of a format, each for either reading of the numbers where names and values leave it open."""
    orders = [_places(one) for one in lists]
    if plain_name(name) not in _EITHER or not all(orders) or not any(map(_is_ambiguous, orders)):
        return tuple(plain)
    meant = {
        "by-rank": "the numbers are ranks, 1 or 0 the best",
        "by-order": "the numbers name the answers, best first",
    }
    return tuple(Option(f"{one.id}-{id}", f"{words}: {one.words}") for id, words in meant.items() for one in plain)


def doubtful_ten(answer: Any) -> bool:
    """Whether an answer of UltraFeedback has an overall score of 10 and poor marks in all else: a fault known of the set."""
    if not isinstance(answer, Mapping) or (number(answer.get("overall_score")) or 0) < 10:
        return False
    fine = number(answer.get("fine-grained_score"))
    marks = answer.get("annotations")
    if fine is None and isinstance(marks, Mapping):
        rated = [number(one.get("Rating")) for one in marks.values() if isinstance(one, Mapping)]
        known = [one for one in rated if one is not None]
        fine = sum(known) / len(known) if known else None
    return fine is not None and fine <= _POOR


def _places(order: Sequence[Any]) -> list[int]:
    """The numbers counted from 0, where each of them stands once in the list; [] for any other list."""
    found = [number(one) for one in order]
    whole = [int(one) for one in found if one is not None and one == int(one)]
    lowest = min(whole, default=0)
    places = [one - lowest for one in whole]
    return places if len(whole) == len(order) and lowest in (0, 1) and sorted(places) == list(range(len(order))) else []


def _is_ambiguous(places: Sequence[int]) -> bool:
    return any(places[place] != at for at, place in enumerate(places))
