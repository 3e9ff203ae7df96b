"""Rows of a source become a stored dataset: converted, chosen, split, examined, whole or not at all."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from workbench.core.data.doctor.findings import Report
from workbench.core.data.doctor.report import Examination
from workbench.core.data.formats import AS_RECOGNISED, ReadOptions, Recognised
from workbench.core.data.messages import RawRow
from workbench.core.data.split import HELD_OUT_SHARE, sides
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.abouts import About, Step, about, write_about
from workbench.store.datasets.folders import check_free, draft, settle
from workbench.store.datasets.reading import stream, stream_all
from workbench.store.datasets.source import Conversion, Progress, none_usable, open_rows, reasons
from workbench.store.datasets.staging import HELD_OUT, NOT_TAKEN, TRAIN, Staged, order_of, stage, write_sides
from workbench.store.datasets.tables import SPLITS, fingerprint, stored_rows
from workbench.store.home import write_text, writing
from workbench.store.votes import mixed_source

# How much of the work is done when all rows are read.
_READING = 0.9


@dataclass(frozen=True)
class Take:
    """Which usable rows to keep: all (n is None), the first n, or n at random. The seed also decides the split."""

    how: Literal["first", "random"] = "first"
    n: int | None = None
    seed: int = 17

    def chosen(self, made: int) -> Sequence[int]:
        """Which of so many rows, in their order."""
        if self.n is None or made <= self.n:
            return range(made)
        return range(self.n) if self.how == "first" else sorted(random.Random(self.seed).sample(range(made), self.n))

    def words(self, made: int) -> str:
        if self.n is None or made < self.n or (self.how == "random" and made == self.n):
            return "all"
        return f"first {self.n:,}" if self.how == "first" else f"random {self.n:,} of {made:,}, seed {self.seed}"


@dataclass(frozen=True)
class Provenance:
    """Where rows came from and what may be done with them, for about.json. See About.

    source: for people: "upload: my.jsonl" or "hub: org/name (split train)".
    """

    source: str
    licence: str | None = None
    revision: str | None = None


def add(
    rows: Iterable[tuple[int, RawRow]],
    name: str,
    *,
    source: Provenance,
    options: ReadOptions = AS_RECOGNISED,
    take: Take | None = None,
    progress: Progress | None = None,
) -> About:
    """Convert, choose, split, examine and store rows as a new dataset, whole or not at all.

    rows: (number in the source, raw row).
    Memory stays bounded however long the source is: about 200 bytes a row.
    Raises WorkbenchError for a name in use, an unknown format, and rows of which none or too few can be used.
    """
    check_free(name)
    take = take or Take()
    if take.n is not None and take.n < 2:
        raise WorkbenchError(f"The number of rows to take is {take.n}; it must be at least 2, one of them held out.")
    numbered, how = open_rows(rows, options)
    most = take.n if take.how == "first" else None
    conversion = Conversion(numbered, how, take.seed, progress, until=most, share=_READING)
    return store(conversion, name, source, take=take)


def mix(name: str, first: str, second: str, progress: Progress | None = None) -> About:
    """Store all rows of one dataset with the training rows of another as a new one, split anew by prompt.

    Raises WorkbenchError where they hold different kinds of rows.
    """
    ours, other = about(first), about(second)
    if ours.kind != other.kind:
        raise WorkbenchError(f"{ours.title} and {other.title} hold different kinds of rows, so they cannot be mixed.")
    rows = chain((row for _, row in stream_all(ours, extras=False)), stream(second, "train"))
    source = Provenance(mixed_source(ours.source, other.title, other.source))
    return add(enumerate(map(dict, rows), start=1), name, source=source, progress=progress)


def store(
    conversion: Conversion, name: str, provenance: Provenance, *, take: Take, one_prompt_will_do: bool = False
) -> About:
    """Make a dataset of the rows of a conversion. one_prompt_will_do: nothing may be held out."""
    progress = conversion.progress or (lambda fraction, text: None)
    with writing(f"The dataset {name}"), draft() as growing:
        folder = growing / name
        folder.mkdir()
        examination = Examination(conversion.how.kind)
        staged = stage(conversion, growing / "staged.parquet", examination, conversion.until)
        parted = _sides(staged, take, one_prompt_will_do)
        order, train_rows = order_of(parted)
        progress(_READING, f"storing {len(order):,} rows")
        write_sides(staged, parted, folder)
        examination.reorder(order, train_rows)
        progress(0.5 * (1 + _READING), f"checking {len(order):,} rows")
        report = examination.report(
            conversion.left_out, conversion.rows, notes=conversion.notes, late=conversion.watch.late()
        )
        write_report(folder / "report.json", report)
        lines = "".join(json.dumps(example) + "\n" for example in conversion.examples)
        write_text(folder / "left_out.jsonl", lines)
        made = len(staged.digests)
        facts: dict[str, Any] = {
            "kept": len(order), "not_taken": conversion.made - len(order), "train_rows": train_rows,
            "held_out_rows": len(order) - train_rows, "seed": take.seed, "held_out_share": HELD_OUT_SHARE,
            "part": take.words(made), "fingerprint": fingerprint_of(folder),
        }  # fmt: skip
        described = _described(name, conversion, provenance, facts)
        write_about(folder, described)
        progress(1.0, f"{len(order):,} rows stored")
        settle(folder, name)
    return described


def fingerprint_of(folder: Path) -> str:
    """Of the rows in a folder, the training rows first."""
    return fingerprint(chain.from_iterable(stored_rows(folder / f"{split}.parquet", extras=False) for split in SPLITS))


def write_report(file: Path, report: Report) -> None:
    write_text(file, report.model_dump_json() + "\n")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sides(staged: Staged, take: Take, one_prompt_will_do: bool) -> bytearray:
    """Of each staged row TRAIN, HELD_OUT or NOT_TAKEN."""
    made = len(staged.digests)
    left_out = staged.conversion.left_out
    if not made:
        raise none_usable(staged.conversion)
    chosen = take.chosen(made)
    held_out = sides([staged.digests[index] for index in chosen], HELD_OUT_SHARE)
    if not any(held_out) and not one_prompt_will_do:
        also = f" Left out: {reasons(left_out)}." if left_out else ""
        raise WorkbenchError(
            f"All usable rows ({len(chosen):,}) have the same prompt. At least 2 different prompts are needed: one to "
            f"train on and one held out to measure with.{also}"
        )
    parted = bytearray([NOT_TAKEN]) * made
    for index, held in zip(chosen, held_out, strict=True):
        parted[index] = HELD_OUT if held else TRAIN
    return parted


def _described(name: str, conversion: Conversion, provenance: Provenance, facts: dict[str, Any]) -> About:
    how: Recognised = conversion.how
    created = now()
    step = Step(
        when=created, action="import", words=f"Imported from {provenance.source}", rows_before=conversion.rows,
        rows_after=facts["kept"],
    )  # fmt: skip
    return About(
        name=name,
        title=name,
        source=provenance.source,
        licence=provenance.licence,
        revision=provenance.revision,
        mapping=how.mapping.named(),
        created=created,
        steps=[step],
        **conversion.account().model_dump(),
        **facts,
    )
