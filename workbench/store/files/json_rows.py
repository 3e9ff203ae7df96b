"""JSON, as it is found: one object per line, a list, an object that holds the list in `data`, or objects in a row."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.store.files.limits import MB, too_long
from workbench.store.files.rows import Numbered
from workbench.store.files.text import BOM, excerpt, text_lines, text_pieces
from workbench.store.files.unpack import Unpacked

# Characters of a number: Python refuses longer integers, and no dataset needs them.
MAX_DIGITS = 300

_STARTS_AS_JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{\]]|[\[{]\s*$)')
_NOT_SPACE = re.compile(r"[^ \t\r\n]")


def starts_as_json(head: bytes) -> bool:
    """Whether a file that begins with these bytes is JSON whatever its name: no header of a table begins so."""
    return _STARTS_AS_JSON.match(head.removeprefix(BOM.encode())) is not None


def json_rows(stream: Unpacked, by_line: bool) -> Numbered:
    """by_line: whether the file's name says that each line is a row, as far as its content leaves that open."""
    first, second = _first_line(stream), _first_line(stream)
    stream.rewind()
    if first.startswith(b"["):
        return _list_rows(_LongJson(stream))
    if first.startswith(b"{") and _is_spread(first, is_alone=not second, by_line=by_line, most=stream.limits.row_bytes):
        return _object_rows(_LongJson(stream))
    return _line_rows(stream)


def _first_line(stream: Unpacked) -> bytes:
    """The next line that is not empty, without the white space around it."""
    while line := stream.line():
        if line := line.removeprefix(BOM.encode()).strip():
            return line
    return b""


def _is_spread(line: bytes, is_alone: bool, by_line: bool, most: int) -> bool:
    """Whether the object that begins in the first line is more than a row: all there is, or spread over many lines."""
    if by_line and is_alone:
        return False
    if len(line) > most:
        return not by_line
    text = line.decode("utf-8", "replace")
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    except (ValueError, RecursionError):
        return False
    return is_alone


def _line_rows(stream: Unpacked) -> Numbered:
    for number, text in text_lines(stream):
        if not text.strip():
            continue
        try:
            value = _DECODER.decode(text)
            _refuse_surrogates(value, text)
        except (ValueError, RecursionError) as error:
            raise _broken_line(f"Line {number} of {stream.name}", text, error) from None
        if not isinstance(value, dict):
            raise _no_object(f"Line {number} of {stream.name}", value)
        yield number, value, stream.fraction


def _list_rows(text: "_LongJson") -> Numbered:
    text.take("[")
    yield from _items(text)
    _refuse_more(text)


def _object_rows(text: "_LongJson") -> Numbered:
    """The rows in the list under `data` of one object, or objects that follow each other, as `jq` writes them.

    Or a table as pandas writes it: by columns, {"prompt": {"0": ...}}, by rows, {"0": {"prompt": ...}}, or split into the
    names of its columns and the cells of its rows.
    """
    first: dict[str, Any] = {}
    with _as_workbench_error(text, 1):
        text.take("{")
        names = _names(text)
        for key in names:
            if key == "data" and text.take("["):
                yield from _items(text, _names_of_columns(first))
                for _ in names:  # a file that was cut short behind the list is not taken for whole
                    text.value()
                _refuse_more(text)
                return
            if key in first:
                raise ValueError(_twice(key))
            if not first and text.take("{"):
                inside = _names(text)
                label = next(inside, None)
                inner = chain([] if label is None else [label], inside)
                if label is not None and _is_label(label) != _is_label(key):
                    yield from (
                        _by_columns(text, key, names, inner) if _is_label(label) else _by_rows(text, names, inner)
                    )
                    return
                first[key] = _object_of(text, inner)
            else:
                first[key] = _value(text, [*first, key])
        if not text.next() and not first.keys() >= _CHAT:
            raise _one_object(text.name, list(first))
        yield 1, first, text.fraction
        number = 1
        while text.next():
            number += 1
            yield number, _item(text, number, f"Object {number} of {text.name}"), text.fraction


# What text-generation-webui saves of a chat is one object, and a row like any other.
_CHAT = {"internal", "visible"}
# Characters. A table by columns is turned round in memory, where every other form passes through it.
_MOST_TURNED = 100 * MB


def _value(text: "_LongJson", keys: list[str]) -> Any:
    try:
        return text.value()
    except _TooLong:
        raise _one_object(text.name, keys) from None


def _names(text: "_LongJson") -> Iterator[str]:
    """The names in an object behind its opening bracket. The value of each is to be taken before the next is asked for."""
    while not text.take("}"):
        name = text.value()
        if not isinstance(name, str) or not text.take(":"):
            raise text.unexpected('a name in quotes and ":" were expected')
        yield name
        text.separator("}")


def _object_of(text: "_LongJson", names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        if name in found:
            raise ValueError(_twice(name))
        found[name] = _value(text, [name])
    return found


def _is_label(key: str) -> bool:
    """Whether a name is one that pandas gives to a row: its number."""
    return key.isdecimal()


def _by_columns(text: "_LongJson", column: str, others: Iterable[str], labels_in_first: Iterable[str]) -> Numbered:
    start = text.characters
    table = {column: _object_of(text, labels_in_first)}
    labels = list(table[column])
    for column in others:
        if column in table or not text.take("{"):
            raise ValueError(f"the column {excerpt(column)} is there twice, or is no object as the first one is")
        table[column] = _object_of(text, _names(text))
        if list(table[column]) != labels:
            raise ValueError(f"the column {excerpt(column)} does not have the same rows as the first one")
        if text.characters - start > _MOST_TURNED:
            raise WorkbenchError(
                f"{text.name} is a table by columns with more than {_MOST_TURNED // MB} million characters, which would have "
                'to be in memory as a whole. Save it by rows; in pandas: df.to_json(path, orient="records", lines=True).'
            )
    _refuse_more(text)
    for number, label in enumerate(labels, 1):
        yield number, {name: cells[label] for name, cells in table.items()}, text.fraction


def _by_rows(text: "_LongJson", others: Iterable[str], columns_of_first: Iterable[str]) -> Numbered:
    yield 1, _object_of(text, columns_of_first), text.fraction
    for number, label in enumerate(others, 2):
        yield number, _item(text, number, f"The row {excerpt(label)} of {text.name}"), text.fraction
    _refuse_more(text)


def _names_of_columns(before: dict[str, Any]) -> list[str] | None:
    """The names of the columns in a table that is split into names and cells."""
    names = before.get("columns")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return names if len(set(names)) == len(names) else None


def _as_row(value: Any, names: list[str] | None) -> Any:
    """The cells of a row with the names of their columns. Without names they are counted, to be mapped by hand."""
    if not isinstance(value, list) or (names and len(names) != len(value)):
        return value
    if not names and (len(value) < 2 or not any(isinstance(cell, str) for cell in value)):
        return value
    return dict(zip(names or [f"column {at}" for at in range(1, len(value) + 1)], value, strict=True))


def _items(text: "_LongJson", names: list[str] | None = None) -> Numbered:
    """names: of the columns, where each item is a list of cells."""
    number = 0
    while text.next() not in ("]", ""):
        number += 1
        yield number, _item(text, number, f"Item {number} of the list in {text.name}", names), text.fraction
        with _as_workbench_error(text, number):
            text.separator("]")
    if not text.take("]"):
        raise WorkbenchError(
            f"{text.name} ends in the middle of its list, after {number:,} items. It was cut short: copy or download "
            "it again."
        )


def _item(text: "_LongJson", number: int, what: str, names: list[str] | None = None) -> dict[str, Any]:
    with _as_workbench_error(text, number):
        try:
            value = _as_row(text.value(), names)
        except _TooLong:
            raise too_long(f"Row {number}", text.name, text.limits) from None
    if not isinstance(value, dict):
        raise _no_object(what, value)
    return value


def _refuse_more(text: "_LongJson") -> None:
    if text.next():
        raise WorkbenchError(
            f"{text.name} goes on at line {text.line()} behind the end of its list. Found: {text.found()}. Keep one list, "
            "or save it as JSONL, one object per line."
        )


class _TooLong(Exception):
    """A value takes more characters than a row may have."""


class _LongJson:
    """A JSON text of which only the part that is being read is in memory."""

    def __init__(self, stream: Unpacked):
        self.name = stream.name
        self.limits = stream.limits
        self._stream = stream
        self._pieces = text_pieces(stream)
        self._text = ""
        self._at = 0
        self._characters_before = 0
        self._lines_before = 0

    @property
    def fraction(self) -> float:
        return (
            self._stream.fraction * (self._characters_before + self._at) / (self._characters_before + len(self._text))
        )

    @property
    def characters(self) -> int:
        """How many are read."""
        return self._characters_before + self._at

    def line(self, at: int | None = None) -> int:
        """Number of the line, from 1, that a place is in: the one that is read now, or a place in the part in memory."""
        return self._lines_before + self._text.count("\n", 0, self._at if at is None else at) + 1

    def found(self, at: int | None = None) -> str:
        start = self._at if at is None else at
        return excerpt(self._text[start : start + 1000])

    def next(self) -> str:
        """The next character that is no white space, or "" at the end."""
        while not (found := _NOT_SPACE.search(self._text, self._at)):
            self._at = len(self._text)
            if not self._more():
                return ""
        self._at = found.start()
        return found.group()

    def take(self, wanted: str) -> bool:
        """Go on behind the next character, if it is this one."""
        is_there = self.next() == wanted
        self._at += is_there
        return is_there

    def separator(self, end: str) -> None:
        """Go on behind a comma, or to the end of a list or object."""
        if not self.take(",") and self.next() not in (end, ""):
            raise self.unexpected(f"',' or '{end}' was expected")

    def value(self) -> Any:
        """The next value, whole. Raises ValueError where it is broken, and _TooLong."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            # A number may go on in the next part.
            if end == len(self._text) and self._more():
                continue
            _refuse_surrogates(value, self._text[self._at : end])
            self._at = end
            return value

    def unexpected(self, words: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(words, self._text, self._at)

    def _more(self) -> bool:
        """Read on; what lies behind is let go. False at the end of the file."""
        if len(self._text) - self._at > self.limits.row_bytes:
            raise _TooLong
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._lines_before += self._text.count("\n", 0, self._at)
        self._characters_before += self._at
        self._text, self._at = self._text[self._at :] + piece, 0
        return True


@contextmanager
def _as_workbench_error(text: _LongJson, number: int) -> Iterator[None]:
    """What is broken in an item, as a WorkbenchError."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        at = error.pos if isinstance(error, json.JSONDecodeError) else None
        why, advice = _why(error, "Correct it there.")
        raise WorkbenchError(
            f"{text.name} breaks at line {text.line(at)}, in item {number}, which is not valid JSON ({why}). "
            f"Found: {text.found(at)}. {advice}"
        ) from None


def _broken_line(where: str, text: str, error: Exception) -> WorkbenchError:
    why, advice = _why(error, "Correct or remove this line.")
    found = text
    if isinstance(error, json.JSONDecodeError):
        why += f", at character {error.pos + 1}"
        found = text[max(0, error.pos - 40) :]
    if where.startswith("Line 1 ") and text.lstrip()[:1] not in ("{", '"'):
        advice = (
            "If the file is a table, give it the ending .csv or .tsv; otherwise save it as JSONL, one object per line."
        )
    return WorkbenchError(f"{where} is not valid JSON ({why}). Found: {excerpt(found)}. {advice}")


def _why(error: Exception, advice: str) -> tuple[str, str]:
    """What is wrong with a JSON text and what to do, from the error of the decoder and the place that it points to."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply", advice
    if not isinstance(error, json.JSONDecodeError):
        return str(error), advice
    here, before = error.doc[error.pos : error.pos + 9], error.doc[: error.pos].rstrip()[-1:]
    if here.startswith("'"):
        return (
            "single quotes, where JSON has double ones",
            "A file that Python printed is no JSON: write it with json.dumps.",
        )
    if here.startswith(("True", "False", "None", "nan")):
        return (
            f"Python's {here.split(',')[0].strip('}] ')}",
            "A file that Python printed is no JSON: write it with json.dumps.",
        )
    if here.startswith(("//", "/*", "#")):
        return "a comment, which JSON does not know", "Remove the comments."
    if "trailing comma" in error.msg or (before == "," and here[:1] in ("}", "]")):
        return "a comma before the closing bracket", "Remove that comma."
    if here.startswith(("“", "”", "‘", "’")):
        return "typographic quotes, where JSON has straight ones", "Replace them with straight quotes."
    if here.startswith("\0"):
        return "NUL bytes, as a crash or a full disk leaves them behind", "Copy or download the file again."
    if error.msg == "Extra data":
        return "something follows the first object of the line", "Put each object in a line of its own."
    if error.msg.startswith("Invalid control character"):
        return "a bare line break or tab inside a text", "Inside a text a line break is written \\n and a tab \\t."
    if error.msg.startswith("Unterminated string"):
        return "a text whose closing quote is missing", advice
    if not here.strip():
        return "it ends in the middle of an object", "The file was probably cut short: copy or download it again."
    return error.msg[0].lower() + error.msg[1:], advice


def _one_object(name: str, keys: list[str]) -> WorkbenchError:
    seen = ", ".join(key[:40] for key in keys[:8])
    return WorkbenchError(
        f"{name} is one JSON object ({seen or 'empty'}), and rows were expected. Save a list of objects, "
        '{"data": [...]}, or one object per line; in pandas: df.to_json(path, orient="records", lines=True).'
    )


def _no_object(where: str, value: Any) -> WorkbenchError:
    kinds = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    found = kinds.get(type(value), "null")
    return WorkbenchError(f'{where} is {found}; each row must be an object such as {{"prompt": "..."}}.')


def _refuse_surrogates(value: Any, text: str) -> None:
    """Half a character, written as an escape, is valid JSON and yet no text that can be stored."""
    if "\\ud" not in text and "\\uD" not in text:
        return
    # Written out again, what pairs of escapes make up is whole, and what stood alone cannot be encoded.
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"it holds half a character, \\u{ord(error.object[error.start]):04x}") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which JSON does not know")


def _float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a name stand twice, and most readers keep the last in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(_twice(key))
            seen.add(key)
    return found


def _twice(key: str) -> str:
    return f"it holds {excerpt(key)} twice"


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_object)
