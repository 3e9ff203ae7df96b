"""What the doctor says of data, as the command line gives it: of a file without storing it, and of a stored dataset."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from workbench.core.data.doctor.findings import Report
from workbench.core.data.doctor.report import Examination
from workbench.core.data.formats import AS_RECOGNISED, ReadOptions, SeenColumn
from workbench.core.data.messages import RawRow, Row, check_of
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.abouts import About
from workbench.store.datasets.folders import draft
from workbench.store.datasets.reading import left_out_examples, numbered
from workbench.store.datasets.source import Account, Conversion, Progress, none_usable, open_rows, shortened
from workbench.store.datasets.staging import Staged, stage
from workbench.store.datasets.tables import rows_at
from workbench.store.home import writing

EXAMPLES_PER_FINDING = 5

_EXAMPLE_CHARACTERS = 200
_READING = 0.95


class Checked(Account):
    """What the doctor says of data, stored or not. Rows of a held-out file are counted with the others.

    kept: rows that were examined. asked: columns that an import would ask about. examples: for each check of the report, some of the rows that it found:
    {"row": number, part: text, ...}; the number is of the row in its file, or in the stored dataset, from 1.
    """

    kept: int
    asked: tuple[str, ...] = ()
    report: Report
    examples: dict[str, list[dict[str, Any]]] = {}

    def as_json(self) -> dict[str, Any]:
        """As `workbench check --json` prints it."""
        findings = [
            {**finding.model_dump(include=_SAID), "examples": self.examples.get(finding.check, [])}
            for finding in self.report.findings
        ]
        report = self.report.model_dump(mode="json", include={"passed", "not_checked", "summary", "verdict"})
        account = self.model_dump(mode="json", exclude={"made", "report", "examples"})
        return {**account, "findings": findings, **report}


_SAID = {"check", "title", "severity", "count", "share", "evidence", "effect", "advice"}

_Numbered = Iterable[tuple[int, Row]]


def check(
    rows: Iterable[tuple[int, RawRow]],
    options: ReadOptions = AS_RECOGNISED,
    *,
    held_out: Iterable[tuple[int, RawRow]] | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Convert and examine rows, with the rows to measure on where there are some, and store nothing."""
    files = [rows] if held_out is None else [rows, held_out]
    share = _READING / len(files)
    opened = [open_rows(file, options, is_asking=False) for file in files]
    how, other = opened[0][1], opened[-1][1]
    if other.kind != how.kind:
        raise WorkbenchError(f"The held-out rows are {other.format}, and the others {how.format}. {other.evidence}")
    examination = Examination(how.kind)
    with writing("What was read"), draft() as folder:
        parts = []
        for place, (source, recognised) in enumerate(opened):
            conversion = Conversion(
                source, recognised, progress=progress, begun=place * share, share=share, is_asking=False
            )
            parts.append(stage(conversion, folder / f"{place}.parquet", examination))
        account = _together(parts)
        if not account.made:
            raise none_usable(parts[0].conversion)
        if progress:
            progress(_READING, f"checking {account.made:,} rows")
        examination.reorder(range(account.made), len(parts[0].digests))
        report = examination.report(account.left_out, account.rows, notes=account.notes, late=account.late)
        left_out = [example for part in parts for example in part.conversion.examples]
        examples = _examples(report, lambda numbers: _staged_rows(parts, numbers), left_out)
    return Checked(**account.model_dump(), kept=account.made, asked=how.asked, report=report, examples=examples)


def checked(described: About, report: Report) -> Checked:
    """What was said of a stored dataset."""
    name = described.name
    examples = _examples(
        report,
        lambda numbers: ((number + 1, row) for number, row in numbered(name, numbers, extras=True)),
        left_out_examples(name),
    )
    account = described.model_dump(include=set(Account.model_fields))
    return Checked(**account, kept=described.kept, report=report, examples=examples)


def _together(parts: Sequence[Staged]) -> Account:
    """One account of two files. What they are is said of the first."""
    accounts = [part.conversion.account() for part in parts]
    counts = {field: sum(getattr(one, field) for one in accounts) for field in ("rows", "used", "made")}
    left_out, notes = Counter[str](), Counter[str]()
    for one in accounts:
        left_out.update(one.left_out)
        notes.update(one.notes)
    columns = {part: _columns_of([getattr(one, part) for one in accounts]) for part in ("unused", "late")}
    return accounts[0].model_copy(update={**counts, **columns, "left_out": dict(left_out), "notes": dict(notes)})


def _columns_of(files: Sequence[Sequence[SeenColumn]]) -> tuple[SeenColumn, ...]:
    """The columns of two files together: what they are is said by the first that has them."""
    found: dict[str, SeenColumn] = {}
    for column in (column for file in files for column in file):
        before = found.get(column.column)
        found[column.column] = before.model_copy(update={"rows": before.rows + column.rows}) if before else column
    return tuple(found.values())


def _examples(
    report: Report, rows_at: Callable[[Sequence[int]], _Numbered], left_out: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """For each check the first rows that it found, in the dataset or among those that were left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in report.findings:
        here = [_in_short(number, row) for number, row in rows_at(sorted(finding.rows)[:EXAMPLES_PER_FINDING])]
        out = [example for example in left_out if check_of(example["reason"]) == finding.check][:EXAMPLES_PER_FINDING]
        found[finding.check] = here or [shortened(example, _EXAMPLE_CHARACTERS) for example in out]
    return found


def _staged_rows(parts: Sequence[Staged], numbers: Sequence[int]) -> Iterator[tuple[int, Row]]:
    """Rows by their place in both files, with their numbers in their source."""
    start = 0
    for part in parts:
        end = start + len(part.digests)
        for row in rows_at(part.file, [number - start for number in numbers if start <= number < end]):
            yield row["source_row"], row
        start = end


def _in_short(number: int, row: Row) -> dict[str, Any]:
    """A row as its number, the beginning of its last question, and of its answers."""
    texts = {
        part: shortened(value[-1]["content"], _EXAMPLE_CHARACTERS)
        for part, value in row.items()
        if isinstance(value, list)
    }
    return {"row": number, **texts, **{part: row[part] for part in ("label", "scores") if part in row}}
