"""Which columns are used, and which of the others a person is asked about: text that may belong to the prompt."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.core.data.formats.cells import holds, is_filled
from workbench.core.data.formats.column_names import (
    ANSWER_PAIRS,
    COMPLETIONS,
    PROMPTS,
    QUESTIONS,
    SYSTEMS,
    number,
    plain_name,
)
from workbench.core.data.formats.columns import ADDED, Columns, Recognised
from workbench.core.data.formats.marks import note_on
from workbench.core.data.formats.pairs import REJECTED
from workbench.core.data.formats.prompts import CONTEXTS, HISTORIES, below
from workbench.core.data.messages import RawRow
from workbench.core.errors import WorkbenchError

# A row with one of these says something of its answers that single answers to imitate do not have.
MEANINGFUL = frozenset((*(name for pair in ANSWER_PAIRS for name in pair), *REJECTED))
# Texts of these names belong to the question, whatever they say.
_OF_THE_PROMPT = {
    *PROMPTS, *SYSTEMS, *CONTEXTS, *QUESTIONS, *HISTORIES, "hint", "hints", "documents", "passages", "contexts", "background",
    "persona", "knowledge", "article", "paragraph", "story", "scenario", "profile", "premise", "evidence", "facts",
    "choices", "options",
}  # fmt: skip
# Texts that say something of the row or of how its answers were judged, and that no model reads before it answers.
_OF_THE_ROW = {
    "id", "uid", "uuid", "prompt_id", "question_id", "source", "dataset", "data_source", "url", "link", "title", "date",
    "created", "timestamp", "model", "models", "generator", "author", "annotator", "worker", "license", "licence", "language",
    "lang", "category", "categories", "domain", "topic", "tags", "tag", "type", "subset", "split", "meta", "metadata", "comment",
    "comments", "note", "notes", "explanation", "reason", "rationale", "critique", "justification", "annotation", "annotations",
    "feedback", "principle", "judgement", "judgment", "overall_preference", "individual_preference",
}  # fmt: skip
_OF_THE_ANSWERS = {*COMPLETIONS, "chosen", "rejected", "responses", "completions", "outputs", "winner", "loser"}
_ENDINGS = ("_id", "_model", "_source", "_url", "_rationale", "_reason", "_type", "_name")
_WORDS = 3
_DISTINCT = 0.5


def used_columns(how: Recognised) -> set[str]:
    """The columns of a row that are read."""
    named = how.mapping.named()
    if how.mapping.answers:
        named = {part: column for part, column in named.items() if part not in ("answer", "score")}
    return {*named.values(), *how.reads}


def without(row: RawRow, ignored: Sequence[str]) -> RawRow:
    """A row as if some columns were not there."""
    return {column: row[column] for column in row if column not in ignored} if ignored else row


def with_added(how: Recognised, added: Columns) -> Recognised:
    """What was recognised, with columns that a person said belong to the prompt. Raises WorkbenchError for one in use."""
    named, mapping = added.named(), how.mapping.named()
    for part, column in named.items():
        taken = next((other for other, one in mapping.items() if one == column and other not in ADDED), None)
        if taken:
            raise WorkbenchError(
                f"The column {column!r} is the {taken} already, so it cannot be the {part} too. Name another one."
            )
    kept = {part: column for part, column in mapping.items() if part not in ADDED or column not in named.values()}
    said = ", ".join(f"{part} from `{column}`" for part, column in named.items())
    evidence = f"{how.evidence} By hand: {said}."
    return replace(how, mapping=Columns(**{**kept, **named}), evidence=evidence)


def asked_about(rows: Sequence[RawRow], how: Recognised) -> tuple[str, ...]:
    """The columns that are not used and hold text which a model would have to read before it answers."""
    used = used_columns(how)
    rows = [row for row in rows if _is_answered(row, how.mapping)]
    columns = dict.fromkeys(column for row in rows for column in row if column not in used)
    return tuple(column for column in columns if column not in how.ignored and _is_asked_about(rows, column, how))


def _is_answered(row: RawRow, mapping: Columns) -> bool:
    parts = ("chosen", "completion", "messages", "first", "answers", "answer", "tree")
    return any(is_filled(row.get(column)) for part, column in mapping.named().items() if part in parts)


def _is_asked_about(rows: Sequence[RawRow], column: str, how: Recognised) -> bool:
    name = plain_name(str(column))
    filled = [row for row in rows if is_filled(row.get(column))]
    if not filled:
        return False
    if how.kind == "sft" and name in MEANINGFUL:
        return True
    if note_on(column):  # Thoughts, tools and media are told as what they are.
        return False
    if name in _OF_THE_ROW or _OF_THE_ANSWERS & {name, *name.split("_")} or name.endswith(_ENDINGS):
        return False
    texts = [row for row in filled if holds(row[column]) in ("text", "a list of texts")]
    new = [row for row in texts if not _is_said(row, column, used_columns(how))]
    if 2 * len(new) < len(filled):
        return False
    return name in _OF_THE_PROMPT or (bool(how.mapping.prompt) and _is_prose([below(row[column]) or "" for row in new]))


def _is_said(row: RawRow, column: str, used: set[str]) -> bool:
    """Whether the text of a cell is in a column that is used, or holds what such a column says."""
    text = below(row[column]) or ""
    others = [other.strip() for one in used for other in _texts(row.get(one))]
    return any(text in other or (len(other.split()) >= _WORDS and other in text) for other in others)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a cell. What is nested deeper than messages are is passed over."""
    layer = [value]
    for _ in range(5):
        yield from (one for one in layer if isinstance(one, str))
        below: list[Any] = []
        for one in layer:
            if isinstance(one, Mapping):
                below += one.values()
            elif isinstance(one, list | tuple):
                below += one
        layer = below


def _is_prose(texts: Sequence[Any]) -> bool:
    """Whether texts are sentences and mostly different: a label or the name of a model is no text to read."""
    words = sum(len(text.split()) for text in texts) / len(texts)
    is_label = any(number(text) is not None or text.startswith(("http://", "https://")) for text in texts[:1])
    return words >= _WORDS and not is_label and len(set(texts)) > _DISTINCT * len(texts)
