"""Ways in which a file on disk may be wrong: torn, foreign, of another version, edited by hand, or not a file at all."""

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**18, -(10**400), 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "text", "1", "ß" * 300,
    "../../etc", [], [None], [1, 2], [{}], {}, {"a": 1}, {"outcome": "exploded"}, [[[[]]]],
)  # fmt: skip
"""Values that may stand where another one belongs."""

JUNK = (
    b"", b" \n", b"\x00" * 64, b"\xff\xfe\xfa", b"null", b"[]", b"{}", b'"text"', b"NaN", b"[" * 50_000, b'{"a":' * 20_000,
    b'{"step": ' + b"9" * 5_000 + b"}", b"<html><title>404</title></html>", b"version https://git-lfs.github.com/spec/v1\n",
)  # fmt: skip
"""What may stand in a file in place of all of it."""

Damage = Callable[[Path], None]
"""Changes what lies at a path."""


def damages() -> st.SearchStrategy[Damage]:
    """One damage, of any kind. Each says what it is by its name."""
    seeds = st.integers(0, 10**6)
    return st.one_of(
        st.sampled_from(JUNK).map(_replaced),
        st.builds(_one_value, st.sampled_from(WRONG), seeds),
        st.builds(_one_value, st.sampled_from(WRONG), seeds),
        seeds.map(_key_lost),
        seeds.map(_key_more),
        seeds.map(_torn),
        seeds.map(_flipped),
        st.just(_folder),
        st.just(_gone),
        st.just(_unreadable),
    )


def every_place(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a value, and to itself."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from every_place(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    """A copy with another value at the end of a way."""
    if not path:
        return wrong
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], wrong)
    return changed


def put_back(path: Path, content: bytes) -> None:
    """Undo any damage."""
    _remove(path)
    path.write_bytes(content)


def _replaced(content: bytes) -> Damage:
    def replaced(path: Path) -> None:
        path.write_bytes(content)

    return replaced


def _one_value(value: Any, seed: int) -> Damage:
    """A value in the file, at any depth, becomes another."""

    def one_value(path: Path) -> None:
        _edit(path, seed, lambda where, key: where.__setitem__(key, value))

    return one_value


def _key_lost(seed: int) -> Damage:
    def key_lost(path: Path) -> None:
        _edit(path, seed, lambda where, key: where.pop(key))

    return key_lost


def _key_more(seed: int) -> Damage:
    """What a newer version may have written."""

    def key_more(path: Path) -> None:
        _edit(path, seed, lambda where, key: where.update(future_setting=1) if isinstance(where, dict) else None)

    return key_more


def _torn(seed: int) -> Damage:
    def torn(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: seed % (len(content) + 1)])

    return torn


def _flipped(seed: int) -> Damage:
    def flipped(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[seed % len(content)] ^= 1 << seed % 8
            path.write_bytes(content)

    return flipped


def _folder(path: Path) -> None:
    _remove(path)
    path.mkdir()


def _gone(path: Path) -> None:
    _remove(path)


def _unreadable(path: Path) -> None:
    """A link that leads to itself: unlike a file without permissions, root cannot read it either."""
    _remove(path)
    path.symlink_to(path.name)


def _edit(path: Path, seed: int, change: Callable[[Any, Any], Any]) -> None:
    """Change a place in a JSON file, or in one line of a file of JSON lines."""
    content = path.read_text(encoding="utf-8", errors="replace")
    lines = content.splitlines() if path.suffix == ".jsonl" else [content]
    if not lines:
        return
    draw = random.Random(seed)
    number = draw.randrange(len(lines))
    try:
        value = [json.loads(lines[number])]
    except ValueError:
        return  # no JSON, such as a log
    where, key = draw.choice(list(_places(value)))
    change(where, key)
    lines[number] = json.dumps(value[0] if value else None)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _places(value: Any) -> Any:
    """Every place in a value: what holds it, and its key or number there."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
