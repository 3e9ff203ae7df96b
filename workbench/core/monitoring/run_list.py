"""All runs as a list: what is told of each, which of them fit what is looked for, in which order, and what came of what."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from workbench.core.training.run_state import State

Kind = Literal["continued", "branched", "scaled", "votes", "reward"]


class Relation(NamedTuple):
    """What a run has of another one. words: more of it, such as the step at which it branched off."""

    kind: Kind
    run: str
    words: str = ""


@dataclass(frozen=True)
class RunFacts:
    """What the files of a run say of it. None: it was not measured, or has none.

    results: headline numbers of its last stage, held out, by their names. seconds: that it worked. bytes: of its folder.
    """

    base: str = ""
    method: str = ""
    data: str = ""
    beta: float | None = None
    results: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    bytes: int = 0
    title: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    relations: tuple[Relation, ...] = ()


class WinRate(NamedTuple):
    """Against its base model, by blind votes of measuring sittings; all from 0 to 1 but the votes."""

    rate: float
    low: float
    high: float
    votes: int


@dataclass(frozen=True)
class RunRow:
    """A line of the list. made: seconds since the epoch."""

    name: str
    state: State
    made: float
    facts: RunFacts
    win_rate: WinRate | None = None

    @property
    def label(self) -> str:
        return run_label(self.name, self.facts.title)

    def as_json(self) -> dict[str, Any]:
        """What `workbench runs --json` says beside what it always said."""
        facts, won = self.facts, self.win_rate
        return {
            "title": facts.title, "note": facts.note, "tags": list(facts.tags), "data": facts.data, "beta": facts.beta,
            "win_rate": won._asdict() if won else None, "seconds": facts.seconds, "bytes": facts.bytes, "made": self.made,
            "from": [one._asdict() for one in facts.relations],
        }  # fmt: skip


def run_label(name: str, title: str) -> str:
    """What lists call a run. Its name is the last word, always."""
    return f"{title} · {name}" if title else name


def _result(name: str) -> Callable[[RunRow], float | None]:
    return lambda row: row.facts.results.get(name)


SORTS: dict[str, tuple[str, Callable[[RunRow], Any], bool]] = {
    "made": ("Newest first", lambda row: row.made, True),
    "accuracy": ("Held-out accuracy, best first", _result("accuracy"), True),
    "margin": ("Margin, largest first", _result("margin"), True),
    "win_rate": ("Win rate, best first", lambda row: row.win_rate and row.win_rate.rate, True),
    "loss": ("Held-out loss, lowest first", _result("loss"), False),
    "beta": ("Beta, smallest first", lambda row: row.facts.beta, False),
    "seconds": ("Longest first", lambda row: row.facts.seconds, True),
    "bytes": ("Most disk first", lambda row: row.facts.bytes, True),
    "name": ("Name", lambda row: row.label.casefold(), False),
}
"""Id of an order: its title, what it goes by, and whether the largest comes first. Whatever has no such number comes last."""


def sorted_by(rows: Sequence[RunRow], order: str) -> list[RunRow]:
    """In one of `SORTS`; those that are equal stay as they are."""
    _, key, largest_first = SORTS[order]
    have = [(value, row) for row in rows if (value := key(row)) is not None]
    have.sort(key=lambda one: one[0], reverse=largest_first)
    return [row for _, row in have] + [row for row in rows if key(row) is None]


def fitting(rows: Sequence[RunRow], words: str = "", state: str = "", tag: str = "") -> list[RunRow]:
    """The rows that hold every word somewhere, in this state and with this tag; "" lets all pass."""
    wanted = words.casefold().split()
    return [
        row
        for row in rows
        if (not state or row.state == state)
        and (not tag or tag in row.facts.tags)
        and (not wanted or all(word in _text_of(row) for word in wanted))
    ]


def _text_of(row: RunRow) -> str:
    facts = row.facts
    return "\n".join(
        (row.name, row.state, facts.title, facts.base, facts.method, facts.data, facts.note, *facts.tags)
    ).casefold()


def tags_of(rows: Sequence[RunRow]) -> list[str]:
    """Every tag that a run has, the commonest first."""
    counts: dict[str, int] = {}
    for row in rows:
        for tag in row.facts.tags:
            counts[tag] = counts.get(tag, 0) + 1
    return sorted(counts, key=lambda tag: (-counts[tag], tag.casefold()))


Branch = tuple[str, "list[Branch]"]
"""A line, and those below it."""

_RELATED: dict[Kind, str] = {
    "continued": "continued from {}",
    "branched": "branched off {}",
    "scaled": "made of {}",
    "votes": "trained on votes on answers of {}",
    "reward": "rewarded by {}",
}


MOST_NAMED, MOST_KIN = 3, 40


def family(rows: Sequence[RunRow], of: str, trash: Collection[str] = ()) -> list[Branch]:
    """The run called `of` among those that it came from and that came of it, each below what it has its weights of.

    Of more than `MOST_KIN`, the nearest. trash: names of runs that lie there. Empty where the run has no relations.
    """
    known = {row.name: row for row in rows}
    made = {row.name: row.made for row in rows}
    kin = _kin(rows, of, made)
    if len(kin) == 1:
        return []
    shown = sorted(kin[:MOST_KIN], key=lambda name: (made.get(name, 0.0), name))
    above = {name: up if (up := _above(known.get(name))) in shown else None for name in shown}
    below: dict[str | None, list[str]] = {}
    judged: dict[str, list[str]] = {}
    for name in shown:
        below.setdefault(above[name], []).append(name)
        for one in known[name].facts.relations if name in known else ():
            if one.kind == "reward":
                judged.setdefault(one.run, []).append(name)
    placed: set[str] = set()

    def branch(name: str) -> Branch:
        placed.add(name)
        words = _line(name, known, judged.get(name, ()), trash) + (" ← this run" if name == of else "")
        return words, [branch(one) for one in below.get(name, ()) if one not in placed]

    found = [branch(name) for name in below.get(None, ())]
    # What is left goes round in a circle, which only files changed by hand do.
    found += [branch(name) for name in shown if name not in placed]
    more = len(kin) - len(shown)
    return [*found, (f"and {more:,} more", [])] if more else found


def _kin(rows: Sequence[RunRow], of: str, made: Mapping[str, float]) -> list[str]:
    """A run and all that are related to it, the nearest first, and of equally near ones the newest."""
    near: dict[str, set[str]] = {}
    for row in rows:
        for one in row.facts.relations:
            near.setdefault(row.name, set()).add(one.run)
            near.setdefault(one.run, set()).add(row.name)
    kin, new = {of: None}, [of]
    while new:
        next_ones = set[str]().union(*[near.get(name, ()) for name in new]) - kin.keys()
        new = sorted(next_ones, key=lambda name: (-made.get(name, 0.0), name))
        kin.update(dict.fromkeys(new))
    return list(kin)


def _above(row: RunRow | None) -> str | None:
    """Where a run stands below: what it has its weights of, or else whose answers were voted on."""
    of_weights = [one for one in (row.facts.relations if row else ()) if one.kind != "reward"]
    return of_weights[0].run if of_weights else None


def _line(name: str, known: Mapping[str, RunRow], judged: Sequence[str], trash: Collection[str]) -> str:
    row = known.get(name)
    if row is None:
        return f"{name} (in the trash)" if name in trash else f"{name} (gone)"
    how = [_RELATED[one.kind].format(one.run) + (f", {one.words}" if one.words else "") for one in row.facts.relations]
    if judged:
        how.append(f"rewards {', '.join(judged[:MOST_NAMED])}{' and others' if len(judged) > MOST_NAMED else ''}")
    return ": ".join(filter(None, [row.label, "; ".join(filter(None, [row.facts.method, *how]))]))
