"""What a source says beside its texts: rows that it does not want trained on, and parts that a text model never sees."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from workbench.core.data.formats.column_names import MEDIA, number, plain_name
from workbench.core.data.formats.columns import Columns
from workbench.core.data.messages import (
    MEDIA_DROPPED,
    THOUGHTS_DROPPED,
    TOOLS_DROPPED,
    LeftOut,
    RawRow,
    written_messages,
)

NOT_TRAINED = "marked in the source as not to be trained on: loss false or weight 0"

# ms-swift writes `loss`, Axolotl `train` or `training`, OpenAI `weight` 0 or 1.
_SWITCHES = ("loss", "train", "training")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts", "chain_of_thought")
_TOOLS = ("tools", "functions")


def check_marks(row: RawRow, answer: Any = None) -> None:
    """Raises LeftOut for a row, or an answer (the last of its messages), that its source keeps out of the loss."""
    if _is_off(row) or _is_off(_last(answer)):
        raise LeftOut(NOT_TRAINED)


def unmarked(row: RawRow) -> RawRow:
    """The row without a word on whether it is trained on: what others go on from is said all the same."""
    return row if _MARKS.isdisjoint(row) else {name: value for name, value in row.items() if name not in _MARKS}


def passed_over(row: RawRow, columns: Columns) -> tuple[str, ...]:
    """Notes on what stands in a row and is not in the canonical one: tools, thoughts, pictures and sounds."""
    named = [(name, note) for name in row if (note := note_on(name)) and _says(row[name])]
    thinking = [name for name, value in row.items() if any(map(_thinks, _messages(value)))]
    if not named and not thinking:
        return ()
    # Only now, as this is asked of every row: which columns are used.
    used = set(columns.named().values())
    found = [note for name, note in named if name not in used]
    found += [THOUGHTS_DROPPED for name in thinking if name in used]
    return tuple(dict.fromkeys(found))


def _is_off(said: Mapping[str, Any]) -> bool:
    if _MARKS.isdisjoint(said):
        return False
    if any(_is_false(said.get(name)) for name in _SWITCHES):
        return True
    return "weight" in said and not isinstance(said["weight"], bool) and number(said["weight"]) == 0


def _is_false(value: Any) -> bool:
    """Only false itself, or the word: a loss of 0.0 is a measurement."""
    return value is False or (isinstance(value, str) and value.strip().lower() == "false")


def _last(answer: Any) -> Mapping[str, Any]:
    messages = _messages(answer)
    return messages[-1] if messages else {}


def _messages(value: Any) -> Sequence[Mapping[str, Any]]:
    """The messages in a cell with all that they hold; none where it holds something else."""
    if isinstance(value, str):
        if not value.startswith(_STARTS) and value[:1].strip():
            return ()
        try:
            value = written_messages(value)
        except LeftOut:
            return ()
    if isinstance(value, Mapping):
        value = value.get("messages", [value])
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else ()


def _thinks(message: Mapping[str, Any]) -> bool:
    if not _THINKING.isdisjoint(message) and any(_says(message.get(name)) for name in _THOUGHTS):
        return True
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(part, Mapping) and "thinking" in part for part in content)


def _says(value: Any) -> bool:
    """Whether a cell holds anything: lists and objects may be written as JSON."""
    return value is not None and value not in ("", "[]", "{}", "null", False) and value != [] and value != {}


_KINDS = {
    **dict.fromkeys(_TOOLS, TOOLS_DROPPED),
    **dict.fromkeys(_THOUGHTS, THOUGHTS_DROPPED),
    **dict.fromkeys((*MEDIA, "audios", "sound", "sounds", "attachments"), MEDIA_DROPPED),
}


_MARKS = frozenset((*_SWITCHES, "weight"))
_THINKING = frozenset(_THOUGHTS)
_STARTS = ("[", "{")


@lru_cache(maxsize=1000)
def note_on(name: Any) -> str | None:
    """What is to be said of a column of this name, if anything."""
    return _KINDS.get(plain_name(str(name)))
