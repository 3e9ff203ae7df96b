"""The table of formats, and what is done by it: rows are recognised, gathered and converted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from workbench.core.data.formats.asking import asked_about, with_added, without
from workbench.core.data.formats.cells import not_text
from workbench.core.data.formats.choices import CHOICE_PAIRS
from workbench.core.data.formats.column_names import bare_text
from workbench.core.data.formats.columns import (
    AS_RECOGNISED,
    Columns,
    Converted,
    Format,
    Gathered,
    Numbered,
    ReadOptions,
    Recognised,
    one_by_one,
)
from workbench.core.data.formats.exports import EXPORTS
from workbench.core.data.formats.feedback import FEEDBACK
from workbench.core.data.formats.marks import passed_over
from workbench.core.data.formats.pairs import PAIRS
from workbench.core.data.formats.readings import parted
from workbench.core.data.formats.rows import labelled_pair, sft_row
from workbench.core.data.formats.scored_answers import SCORED_ANSWERS
from workbench.core.data.formats.sft import LESSONS
from workbench.core.data.formats.threads import parent_column, threaded, with_threads
from workbench.core.data.formats.thumbs import THUMBS, with_thumb
from workbench.core.data.formats.trees import TREES
from workbench.core.data.formats.votes import VOTES
from workbench.core.data.messages import LeftOut, RawRow
from workbench.core.errors import WorkbenchError

SAMPLE_ROWS = 200

# The more specific before the more general: of two formats that fit, the first is taken.
FORMATS: tuple[Format, ...] = (
    VOTES,
    *FEEDBACK,
    *TREES,
    *PAIRS,
    SCORED_ANSWERS,
    CHOICE_PAIRS,
    THUMBS,
    *LESSONS,
    *EXPORTS,
)
IN_SOME_ROWS = {
    "prompt", "system", "context", "input", "history", "chosen_score", "rejected_score", "first_score", "second_score",
}  # fmt: skip
_BY_ID = {format.id: format for format in FORMATS}


def recognise(rows: Sequence[RawRow], options: ReadOptions = AS_RECOGNISED) -> Recognised | None:
    """The first format that at least half of the sampled rows have; None where there is none.

    Some rows may be broken (an answer missing): they are counted at conversion and do not hide the format.
    Raises WorkbenchError where the rows do not fit the options.
    """
    if options.by_hand:
        return replace(by_hand(options.by_hand), ignored=options.ignore)
    sample = [without(row, options.ignore) for row in rows[:SAMPLE_ROWS]]
    format, option = options.format, options.option
    found = _found(sample, option) if format is None else _as_chosen(sample, format, option)
    if found is None:
        return None
    found = replace(found, ignored=options.ignore, is_said=format is not None)
    if options.mapping and options.mapping.named():
        found = with_added(found, options.mapping)
    found = with_threads(sample, found)
    parent = parent_column(sample, found)
    asked = asked_about(sample, found)
    return replace(found, asked=(*asked, *([parent] if parent and found.mapping.prompt else [])))


def columns_in(row: RawRow, format: str) -> Columns | None:
    """The columns of a format in one row."""
    return _BY_ID[format].find(row)


def gathers(how: Recognised) -> bool:
    """Whether rows are gathered before they are converted, so that the mapping must be known before the first one."""
    format = _BY_ID.get(how.format)
    is_one_by_one = format is None or format.gather is one_by_one
    if format is THUMBS:
        return parted(how.option)[0] == "pairs"
    return not is_one_by_one and not how.mapping.answers


def convert(row: RawRow, how: Recognised, seed: int = 17) -> Converted:
    """The canonical rows of a raw row. Raises LeftOut with the reason for one that cannot be trained on.

    seed: decides where an option draws at random.
    """
    format = _BY_ID.get(how.format)
    if isinstance(row, Gathered) and "orphan" in row:
        raise LeftOut(row["orphan"])
    try:
        made = format.convert(row, how, seed) if format else _by_columns(row, how)
    except LeftOut as out:
        if out.reason == "not text" and (found := _no_text_in(row, how)):
            raise LeftOut("not text", found) from None
        raise
    notes = passed_over(row, how.mapping)
    return replace(made, notes=(*made.notes, *notes)) if notes else made


def _no_text_in(row: RawRow, how: Recognised) -> str:
    """The first column that holds no text, and what it holds; "" where none is found.

    A number or a list of one text is read as an answer, so such a column is named only where no other is to blame.
    """
    columns = [column for column in how.mapping.named().values() if column in row]
    for column in sorted(columns, key=lambda column: bare_text(row[column]) is not None):
        if what := not_text(row[column]):
            return f"`{column}` holds {what}"
    return ""


def gather(rows: Iterable[tuple[int, RawRow]], how: Recognised) -> Numbered:
    """(number, raw row to convert, how many rows of the source it stands for).

    Formats with a row per message, or that pair answers of several rows, gather all rows before they yield; all others
    pass theirs on. Of the n rows that a gathered row stands for, `Converted.left_out` names those that gave nothing; where
    `convert` raises LeftOut, all n gave nothing.
    """
    format = _BY_ID.get(how.format)
    if how.mapping.parent:
        rows = threaded(rows, how, convert)
    return format.gather(rows, how) if format else one_by_one(rows, how)


def by_hand(mapping: Columns) -> Recognised:
    """Columns that a person named."""
    parts = ", ".join(f"{part} from `{column}`" for part, column in mapping.named().items())
    return Recognised("columns", mapping.kind, f"Columns named by hand: {parts}.", mapping, is_said=True)


def _found(sample: Sequence[RawRow], option: str | None) -> Recognised | None:
    for one in FORMATS:
        columns, fitting = _columns(sample, one)
        if columns and 2 * len(fitting) >= len(sample) and (found := _recognised(one, columns, fitting, option)):
            return found
    return None


def check_columns(mapping: Columns, available: Sequence[str]) -> None:
    """Raises WorkbenchError with every reason why a mapping made by hand cannot work on these columns."""
    found = [
        f"There is no column {column!r} for the {part}. The file has: {', '.join(available)}."
        for part, column in mapping.named().items()
        if column not in available
    ]
    if bool(mapping.chosen) != bool(mapping.rejected):
        missing = "rejected" if mapping.chosen else "chosen"
        found.append(f"No column is named for the {missing} answer. A preference needs both, chosen and rejected.")
    elif mapping.chosen and mapping.chosen == mapping.rejected:
        found.append(f"Chosen and rejected are both {mapping.chosen!r}. Name two different columns.")
    elif not mapping.chosen and not mapping.completion and not mapping.messages:
        found.append(
            "No column is named for the answers. Name chosen and rejected for preferences, or a completion for SFT."
        )
    elif mapping.completion and not mapping.prompt:
        found.append("No column is named for the prompt. SFT needs the question that each completion answers.")
    if found:
        raise WorkbenchError(*found, asks=("columns",))


def _by_columns(row: RawRow, how: Recognised) -> Converted:
    """By a mapping made by hand."""
    if how.kind == "preference":
        return labelled_pair(row, how.mapping)
    return with_thumb(row, how.mapping) if how.kind == "unpaired" else sft_row(row, how.mapping)


def _columns(sample: Sequence[RawRow], format: Format) -> tuple[Columns | None, list[RawRow]]:
    """The columns that most rows have, and the rows that agree with them.

    A part that only some rows have, such as a system message, is added: without it those rows would lose theirs.
    """
    found = [(row, columns) for row in sample if (columns := format.find(row))]
    if not found:
        return None, []
    ordered = Counter(columns for _, columns in found).most_common()
    together = ordered[0][0].named()
    agreed = set()
    for columns, _ in ordered:
        named = columns.named()
        missing = (set(named) ^ set(together)) - IN_SOME_ROWS
        if not missing and all(together.get(part, column) == column for part, column in named.items()):
            together |= named
            agreed.add(columns)
    return Columns(**together), [row for row, columns in found if columns in agreed]


def _recognised(format: Format, columns: Columns, fitting: Sequence[RawRow], option: str | None) -> Recognised | None:
    """Raises WorkbenchError for an option that the format does not have."""
    described = format.describe(fitting, columns, None)
    if described is None:
        return None
    options = {one.id: one for one in described.options}
    if option and option not in options:
        there = f"It has: {', '.join(options)}." if options else "It has none: leave it out."
        raise WorkbenchError(f"The format {format.id} has no option {option!r}. {there}")
    if option:
        described = format.describe(fitting, columns, option) or described
    taken = options.get(described.option)
    kind = (taken.kind if taken else None) or columns.kind
    reads = (*format.reads, *described.reads)
    return Recognised(format.id, kind, described.evidence, columns, described.options, described.option, reads=reads)


def _as_chosen(sample: Sequence[RawRow], id: str, option: str | None) -> Recognised:
    format = _BY_ID.get(id)
    if format is None:
        raise WorkbenchError(f"There is no format {id!r}. Formats: {', '.join(_BY_ID)}.")
    columns, fitting = _columns(sample, format)
    found = _recognised(format, columns, fitting, option) if columns else None
    if found is None:
        there = ", ".join(dict.fromkeys(str(column) for row in sample for column in row)) or "none"
        raise WorkbenchError(
            f"The rows are not {format.title} ({format.id}): it needs {format.needs}. The columns are: {there}. Choose "
            "another format, or name the columns by hand.",
            asks=("format", "columns"),
        )
    return found
