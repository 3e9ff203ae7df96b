"""OASST: trees of messages, in which the answers to one question are ranked, 0 being the best.

A tree is one row, or one row per message. Those are gathered into a row per tree; then each message that is in no pair
is left out for a reason of its own, so that the rows read are the rows used and those left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.data.formats.column_names import number
from workbench.core.data.formats.columns import (
    Columns,
    Converted,
    Described,
    Format,
    Gathered,
    Numbered,
    Option,
    Recognised,
)
from workbench.core.data.formats.rows import pair
from workbench.core.data.formats.scored_answers import Scored, pairs_of
from workbench.core.data.messages import LeftOut, Message, RawRow, Row, message

OPTIONS = (
    Option("best-worst", "the answer with the best rank against the one with the worst"),
    Option("adjacent", "each answer against the next one below it"),
    Option("all", "every two answers to the same question"),
)
MOST_TURNS = 100
_FIELDS = ("message_id", "parent_id", "text", "role", "rank", "deleted")
_ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}
_NODE = Columns(prompt="prompt", chosen="chosen", rejected="rejected")


@dataclass(frozen=True)
class _Place:
    """A message of a tree, with the messages before it."""

    node: Mapping[str, Any]
    path: tuple[Mapping[str, Any], ...]


def _places(root: Mapping[str, Any]) -> Iterator[_Place]:
    """Every message of a tree, from the root down; not by recursion, as a tree may be deep."""
    waiting = [_Place(root, ())]
    while waiting:
        here = waiting.pop()
        yield here
        if len(here.path) < MOST_TURNS:
            waiting += [_Place(reply, (*here.path, here.node)) for reply in reversed(_replies(here.node))]


def _replies(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    replies = node.get("replies")
    return [reply for reply in replies if isinstance(reply, Mapping)] if isinstance(replies, list) else []


def _is_deleted(node: Mapping[str, Any]) -> bool:
    """A CSV file holds the answer as text."""
    return str(node.get("deleted")).lower() in ("true", "1")


def _ranked(node: Mapping[str, Any]) -> list[Scored]:
    """The answers to a message that have a text and a rank."""
    return [
        Scored(reply, -rank)
        for reply in _replies(node)
        if reply.get("role") == "assistant"
        and not _is_deleted(reply)
        and isinstance(reply.get("text"), str)
        and (rank := number(reply.get("rank"))) is not None
    ]


def _chosen(ranked: Sequence[Scored], option: str) -> list[tuple[Scored, Scored]]:
    if len(ranked) < 2:
        return []
    if option == "adjacent":
        falling = sorted(ranked, key=lambda one: -one.score)
        return [(one, other) for one, other in zip(falling, falling[1:], strict=False) if one.score > other.score]
    return pairs_of(ranked, option, "")


def _convert(row: RawRow, how: Recognised, seed: int) -> Converted:
    """The pairs of every message whose answers have ranks. A prompt is the path from the root to that message."""
    root = row["prompt"] if isinstance(row, Gathered) else row.get(how.mapping.tree or "")
    if not isinstance(root, Mapping):
        raise LeftOut("not text")
    places = list(_places(root))
    rows, used, broken = _pairs(places, how.option)
    if isinstance(row, Gathered):
        idle = [here for here in places if id(here.node) not in used]
        return Converted(rows, left_out=tuple(broken.get(id(here.node)) or _why_not(here) for here in idle))
    if not rows:
        raise LeftOut(next(iter(broken.values()), "no two answers to the same question that have ranks"))
    return Converted(rows)


def _pairs(places: Sequence[_Place], option: str) -> tuple[list[Row], set[int], dict[int, str]]:
    """The rows of a tree; id() of the messages that are in them; id() of the answers that cannot be -> the reason."""
    rows: list[Row] = []
    used: set[int] = set()
    broken: dict[int, str] = {}
    for here in places:
        ranked = _ranked(here.node)
        try:
            chosen = _chosen(ranked, option)
        except LeftOut as out:
            broken.update((id(one.answer), out.reason) for one in ranked)
            continue
        path = (*here.path, here.node)
        for better, worse in chosen:
            try:
                rows += _row(path, better, worse)
            except LeftOut as out:
                broken[id(better.answer)] = broken[id(worse.answer)] = out.reason
                continue
            used.update(id(node) for node in (*path, better.answer, worse.answer))
    return rows, used, broken


def _row(path: Sequence[Mapping[str, Any]], better: Scored, worse: Scored) -> list[Row]:
    prompt = [_message(node) for node in path]
    raw = {"prompt": prompt, "chosen": better.answer["text"], "rejected": worse.answer["text"]}
    return pair(raw, _NODE, raw["chosen"], raw["rejected"], better.score, worse.score).rows


def _message(node: Mapping[str, Any]) -> Message:
    if _is_deleted(node):
        raise LeftOut("a deleted message")
    role, text = _ROLES.get(str(node.get("role"))), node.get("text")
    if role is None:
        raise LeftOut("a role other than system, user and assistant")
    if not isinstance(text, str):
        raise LeftOut("not text")
    return message(role, text.strip())


def _why_not(here: _Place) -> str:
    node = here.node
    if _is_deleted(node):
        return "a deleted message"
    if node.get("role") != "assistant" or not here.path:
        return "a question without two ranked answers"
    if len(_replies(here.path[-1])) == 1:
        return "the only answer to its prompt"
    return "an answer without a rank" if number(node.get("rank")) is None else "an answer that is in none of the pairs"


def _tree(row: RawRow) -> Columns | None:
    """One tree per row: the question, with its replies inside."""
    column = next((name for name in ("prompt", "tree", "root") if _is_node(row.get(name))), None)
    return Columns(tree=column) if column else None


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("replies"), list) and "text" in value and "role" in value


def _messages(row: RawRow) -> Columns | None:
    """One message per row, which names the message that it answers."""
    return Columns(tree="parent_id") if set(_FIELDS[:5]) <= set(row) and str(row["role"]) in _ROLES else None


def _gather(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    """A row per tree, as in the other form of the format; and one for each message that hangs on no tree."""
    nodes: dict[Any, dict[str, Any]] = {}
    for position, row in rows:
        node = {field: row.get(field) for field in _FIELDS}
        node.update(number=position, replies=[])
        key = node["message_id"] if isinstance(node["message_id"], str | int) else ("row", position)
        if key in nodes:
            yield position, Gathered(orphan="a message with an id that another one has", message=node), 1
        else:
            nodes[key] = node
    children: dict[Any, list[Any]] = defaultdict(list)
    for key, node in nodes.items():
        if isinstance(node["parent_id"], str | int) and node["parent_id"] != "":
            children[node["parent_id"]].append(key)
    lost = dict.fromkeys(nodes, "a message whose parent is missing")
    for key, node in nodes.items():
        if node["parent_id"] in (None, ""):
            tree, beyond = _grown(key, nodes, children)
            lost.update(dict.fromkeys(beyond, "a message more than 100 turns deep"))
            for found in tree:
                del lost[found]
            yield node["number"], Gathered(prompt=node), len(tree)
    for key, reason in lost.items():
        yield nodes[key]["number"], Gathered(orphan=reason, message={**nodes[key], "replies": []}), 1


def _grown(
    root: Any, nodes: Mapping[Any, dict[str, Any]], children: Mapping[Any, list[Any]]
) -> tuple[list[Any], list[Any]]:
    """Puts the replies into the messages of a tree. Returns (ids of its messages, ids of those that are too deep)."""
    tree: list[Any] = []
    level = [root]
    for depth in range(MOST_TURNS):
        tree += level
        if depth < MOST_TURNS - 1:
            for key in level:
                nodes[key]["replies"] = [nodes[child] for child in children.get(key, ())]
        level = [child for key in level for child in children.get(key, ())]
    beyond = list(level)
    for key in beyond:  # It grows while it is walked, by the messages below.
        beyond += children.get(key, ())
    return tree, beyond


def _describe(rows: Sequence[RawRow], columns: Columns, option: str | None) -> Described:
    what = f"`{columns.tree}` is a tree of messages with `replies` (OASST), ranked"
    if columns.tree == "parent_id":
        what = "Each row is one message, and `parent_id` names the one that it answers (OASST); answers are ranked"
    return Described.taking(f"{what} from 0, the best", OPTIONS, option)


TREES = (
    Format(
        "oasst-trees", "Message trees with ranks, one per row (OASST)",
        "a message with `text`, `role` and `replies`, which have ranks",
        _tree, _describe, _convert,
    ),
    Format(
        "oasst-messages", "Message trees with ranks, one message per row (OASST)",
        "`message_id`, `parent_id`, `text`, `role` and `rank`",
        _messages, _describe, _convert, _gather, _FIELDS,
    ),
)  # fmt: skip
