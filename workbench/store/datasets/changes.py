"""Changes to a dataset: each makes a new version beside the others, and undo goes back."""

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.core.data.doctor.findings import Report
from workbench.core.data.doctor.pair_rewards import PairRewards
from workbench.core.data.doctor.remedies import apply
from workbench.core.data.doctor.report import Examination
from workbench.core.data.formats import Columns, by_hand
from workbench.core.data.messages import PARTS, Row
from workbench.core.data.row_validation import check_row
from workbench.core.data.split import is_held_out, prompt_digest, sides
from workbench.core.data.token_counts import TemplateFacts, TokenCounts
from workbench.core.errors import WorkbenchError
from workbench.store.datasets.abouts import About, Step, about, write_about
from workbench.store.datasets.folders import (
    check_free,
    current_version,
    draft,
    last_version,
    own,
    path,
    remove_versions,
    report_file,
    rewards_file,
    settle,
    settling,
    use_version,
    version_numbers,
)
from workbench.store.datasets.importing import Provenance, Take, fingerprint_of, now, store, write_report
from workbench.store.datasets.reading import left_out_examples, report, stream_all
from workbench.store.datasets.source import Conversion, Progress
from workbench.store.datasets.tables import SPLITS, RowWriter, Split, extras_in, schema_of
from workbench.store.home import write_text, writing

MAX_VERSIONS = 20  # besides the first
# So many rows are examined in about a second, while a person waits.
EXAMINED_AT_ONCE = 5000

_ROWS_PER_PROGRESS = 200


def change(
    name: str,
    new_rows: Iterable[tuple[Split, Row]],
    action: str,
    words: str,
    *,
    before: About | None = None,
    examine: bool = True,
    progress: Progress | None = None,
    **facts: Any,
) -> About:
    """Make the rows the next version of a dataset. Everything that changes a dataset comes here.

    new_rows: in the order in which each side has them. action, words: of the step in the history. before: the version
    that the rows come from, where that is not sure to be still the one in use. facts: other fields of About that change.
    examine: ask the doctor at once; without, the new version has no report yet.
    Raises WorkbenchError for a dataset that comes with the program, where nothing would be left to train on, and where
    somebody else changed it meanwhile.
    """
    own(name)
    before = before or about(name)
    with writing(f"The dataset {name}"), draft() as growing:
        kept, train_rows = _write_version(growing, before, new_rows, progress or _silent, examine)
        if not train_rows:
            raise WorkbenchError(
                f"Nothing would be left in {name} to train on, so it stays as it is. Delete the dataset if you do not "
                "want it any more."
            )
        step = Step(when=now(), action=action, words=words, rows_before=before.kept, rows_after=kept)
        after = before.model_copy(
            update={
                "parent": before.version, "steps": [*before.steps, step],
                "kept": kept, "train_rows": train_rows, "held_out_rows": kept - train_rows,
                "fingerprint": fingerprint_of(growing), "created": step.when, **facts,
            }
        )  # fmt: skip
        return _put_in_use(name, growing, before, after)


def apply_remedy(name: str, check: str, progress: Progress | None = None, *, other: bool = False) -> About:
    """Do what the report offers to do about one of its findings. other: its second remedy."""
    own(name)
    described = about(name)
    known = report(name)
    found = next((one for one in known.findings if one.check == check), None) if known else None
    remedy = (found.other if other else found.remedy) if found else None
    if remedy is None:
        raise WorkbenchError(f"There is nothing to fix about {check} in {name}. Check it again to see how it is now.")
    if remedy.action == "split":
        return split_again(name, described.held_out_share, described.seed, progress, words=remedy.words)
    splits = (split for split, _ in stream_all(described))
    mended = apply((row for _, row in stream_all(described)), remedy)
    rows = ((split, row) for split, row in zip(splits, mended, strict=True) if row is not None)
    return change(name, rows, remedy.action, remedy.words, before=described, progress=progress)


def edit_row(name: str, number: int, row: Row, progress: Progress | None = None) -> About:
    """Put another row in the place of one. Scores belong to the answers that had them, so they go with these."""
    described = _with_rows(name, [number])
    check_row(row, described.kind)

    def rows() -> Iterator[tuple[Split, Row]]:
        for at, (split, old) in enumerate(stream_all(described)):
            yield split, _edited(old, row, PARTS[described.kind]) if at == number else old

    words = f"Row {number + 1:,} edited"
    return change(name, rows(), "edit", words, before=described, examine=_small(described), progress=progress)


def delete_rows(name: str, numbers: Sequence[int], progress: Progress | None = None) -> About:
    """Take rows out."""
    described = _with_rows(name, numbers)
    gone = set(numbers)
    words = f"Row {numbers[0] + 1:,} taken out" if len(gone) == 1 else f"{len(gone):,} rows taken out"
    rows = (row for number, row in enumerate(stream_all(described)) if number not in gone)
    return change(name, rows, "delete", words, before=described, examine=_small(described), progress=progress)


def add_row(name: str, row: Row, progress: Progress | None = None) -> About:
    """Add a row that was written by hand, at the end of its side.

    It joins the rows with the same prompt; a new prompt falls to a side by its hash. Where nothing is held out so far,
    as in a dataset that was begun by hand, the split is made anew as soon as there are two prompts.
    """
    own(name)
    described = about(name)
    check_row(row, described.kind)
    row = {part: row[part] for part in PARTS[described.kind]}
    where = prompt_digest(row["prompt"], described.seed)
    splits, digests = zip(
        *((split, prompt_digest(old["prompt"], described.seed)) for split, old in stream_all(described)), strict=True
    )
    if described.held_out_rows:
        falls: Split = "held_out" if is_held_out(where, described.held_out_share) else "train"
        side = dict(zip(digests, splits, strict=True)).get(where, falls)
        rows = chain(stream_all(described), [(side, row)])
    else:
        parted = sides([*digests, where], described.held_out_share)
        rows = chain(_parted((old for _, old in stream_all(described)), parted[:-1]), _parted([row], parted[-1:]))
    words = "A row written by hand added"
    return change(name, rows, "add", words, before=described, examine=_small(described), progress=progress)


def create_by_hand(name: str, rows: Sequence[Row]) -> About:
    """A new dataset of pairs that a person wrote. One is enough to begin with; then nothing is held out yet."""
    check_free(name)
    if not rows:
        raise WorkbenchError("There is no pair yet. Write a prompt, a better and a worse answer.")
    for row in rows:
        check_row(row, "preference")
    columns = Columns(prompt="prompt", chosen="chosen", rejected="rejected")
    how = replace(by_hand(columns), evidence="Pairs written by hand.")
    conversion = Conversion(list(enumerate(rows, start=1)), how)
    return store(conversion, name, Provenance("written by hand"), take=Take(), one_prompt_will_do=True)


def split_again(
    name: str, share: float, seed: int, progress: Progress | None = None, words: str | None = None
) -> About:
    """Split all rows anew into training and held-out ones, by prompt. share: of the held-out ones, above 0, below 1."""
    own(name)
    if not 0 < share < 1:
        raise WorkbenchError(f"The share of held-out rows is {share:g}; it must be above 0 and below 1, such as 0.1.")
    described = about(name)
    held_out = sides([prompt_digest(row["prompt"], seed) for _, row in stream_all(described)], share)
    if not any(held_out):
        raise WorkbenchError(f"All rows of {name} have the same prompt, so none can be held out. Add other prompts.")
    words = words or f"Split again by prompt: {sum(held_out):,} rows held out, seed {seed}"
    rows = _parted((row for _, row in stream_all(described)), held_out)
    return change(name, rows, "split", words, before=described, progress=progress, seed=seed, held_out_share=share)


def undo(name: str) -> About:
    """Go back to the version before the one in use. Raises WorkbenchError where there is none."""
    own(name)
    with settling(name):
        before = _before(about(name))
        if before is None:
            raise WorkbenchError(f"There is nothing to undo: {name} is as it was made.")
        return _use(name, before)


def redo(name: str) -> About:
    """Take back the last undo. Raises WorkbenchError where nothing was undone, or where it was changed since."""
    own(name)
    with settling(name):
        current = current_version(name)
        after = [one.version for one in versions(name) if one.version > current and _before(one) == current]
        if not after:
            raise WorkbenchError(f"There is nothing to redo in {name}.")
        return _use(name, after[-1])


def versions(name: str) -> list[About]:
    """All versions that there are, the first one first. Those after the one in use were undone."""
    return [about(name, number) for number in version_numbers(name)]


def copy(name: str, new_name: str, progress: Progress | None = None) -> About:
    """A dataset of one's own that begins as another one is now."""
    source = about(name)
    check_free(new_name)
    with writing(f"The dataset {new_name}"), draft() as growing:
        folder = growing / new_name
        folder.mkdir()
        _write_version(folder, source, stream_all(source), progress or _silent)
        lines = "".join(json.dumps(example) + "\n" for example in left_out_examples(name))
        write_text(folder / "left_out.jsonl", lines)
        step = Step(
            when=now(), action="copy", words=f"Copied from {name}", rows_before=source.kept, rows_after=source.kept
        )
        after = source.model_copy(
            update={
                "name": new_name, "title": new_name, "version": 1, "parent": None, "created": step.when,
                "steps": [*source.steps, step],
            }
        )  # fmt: skip
        write_about(folder, after)
        settle(folder, new_name)
    return after


def examine(
    name: str,
    progress: Progress | None = None,
    *,
    tokens: TokenCounts | None = None,
    template: TemplateFacts | None = None,
    max_length: int | None = None,
    model: str | None = None,
) -> Report:
    """Ask the doctor about the version in use, and keep what it says of it.

    tokens, template, max_length, model: what the tokenizer of a model makes of the rows, and where training cuts.
    """
    described = about(name)
    examination = Examination(described.kind)
    for number, (_, row) in enumerate(stream_all(described)):
        examination.add(row)
        if progress and number % _ROWS_PER_PROGRESS == 0:
            progress(number / described.kept, f"{number:,} of {described.kept:,} rows checked")
    examination.reorder(range(described.kept), described.train_rows)
    said: Report = examination.report(
        described.left_out, described.rows, tokens, max_length, model, template, described.notes, described.late,
        _rewards_of(described),
    )  # fmt: skip
    if described not in versions(name):
        raise _changed(name)
    file = report_file(name, described.version, described.fingerprint)
    with writing(f"The report on {name}"):
        file.parent.mkdir(exist_ok=True)
        write_report(file, said)
    return said


def keep_rewards(name: str, rewards: PairRewards, of: About) -> None:
    """Keep what a reward model said of the training pairs of a version; the next examination of it tells.

    Raises WorkbenchError where the dataset was changed meanwhile.
    """
    if about(name) != of or len(rewards.chosen) != of.train_rows:
        raise _changed(name)
    file = rewards_file(name, of.version, of.fingerprint)
    with writing(f"The rewards of {name}"):
        file.parent.mkdir(exist_ok=True)
        write_text(file, rewards.model_dump_json() + "\n")


def _rewards_of(described: About) -> PairRewards | None:
    """What was kept of a version; None where nothing was, or nothing that can be read and is whole."""
    try:
        found = PairRewards.model_validate_json(
            rewards_file(described.name, described.version, described.fingerprint).read_bytes()
        )
    except (OSError, ValidationError):
        return None
    return found if len(found.chosen) == len(found.rejected) == described.train_rows else None


def _write_version(
    folder: Path, described: About, rows: Iterable[tuple[Split, Row]], progress: Progress, examine: bool = True
) -> tuple[int, int]:
    """Write rows as train.parquet and held_out.parquet, and what the doctor says of them. Gives how many rows there are, and
    how many of them are to train on."""
    schema = schema_of(described.kind, extras_in(path(described.name, "train", described.version)))
    examination = Examination(described.kind)
    order: dict[Split, array[int]] = {split: array("q") for split in SPLITS}
    with RowWriter(folder / "train.parquet", schema) as train, RowWriter(folder / "held_out.parquet", schema) as held:
        writers: dict[Split, RowWriter] = {"train": train, "held_out": held}
        for number, (split, row) in enumerate(rows):
            writers[split].add(row)
            order[split].append(number)
            if examine:
                examination.add(row)
            if number % _ROWS_PER_PROGRESS == 0:
                progress(min(1.0, number / max(described.kept, 1)), f"{number:,} of {described.kept:,} rows")
    if examine:
        examination.reorder(order["train"] + order["held_out"], train.count)
        said = examination.report(described.left_out, described.rows, notes=described.notes, late=described.late)
        write_report(folder / "report.json", said)
    return train.count + held.count, train.count


def _put_in_use(name: str, growing: Path, before: About, after: About) -> About:
    """Give a finished version its number and its place.

    Versions that were undone before it go, and the oldest where there are many.
    """
    with settling(name):
        if about(name) != before:
            raise _changed(name)
        undone = [number for number in version_numbers(name) if number > before.version]
        after = after.model_copy(update={"version": last_version(name) + 1})
        write_about(growing, after)
        target = own(name) / "versions" / str(after.version)
        target.parent.mkdir(exist_ok=True)
        os.rename(growing, target)
        try:
            use_version(name, after.version)
        except OSError:
            remove_versions(name, [after.version])
            raise
        remove_versions(name, undone)
        remove_versions(name, version_numbers(name)[1:-MAX_VERSIONS])
    return after


def _changed(name: str) -> WorkbenchError:
    return WorkbenchError(f"{name} was changed in the meantime. Look at it as it is now, and try again.")


def _before(described: About) -> int | None:
    """The version that undo goes back to: the one that was changed, or what is left of those before it."""
    before = [number for number in version_numbers(described.name) if number <= (described.parent or 0)]
    return before[-1] if before else None


def _use(name: str, number: int) -> About:
    described = about(name, number)
    use_version(name, number)
    return described


def _parted(rows: Iterable[Row], held_out: Sequence[bool]) -> Iterator[tuple[Split, Row]]:
    for row, held in zip(rows, held_out, strict=True):
        yield ("held_out" if held else "train"), row


def _edited(old: Row, row: Row, parts: Sequence[str]) -> Row:
    new = {part: row[part] for part in parts}
    return new | ({"source_row": old["source_row"]} if "source_row" in old else {})


def _with_rows(name: str, numbers: Sequence[int]) -> About:
    """Of a dataset that can be changed and has these rows."""
    own(name)
    described = about(name)
    wrong = [number + 1 for number in numbers if not 0 <= number < described.kept]
    if wrong or not numbers:
        raise WorkbenchError(f"{name} has no row {wrong[0] if wrong else 0:,}; its rows are 1 to {described.kept:,}.")
    return described


def _small(described: About) -> bool:
    return described.kept <= EXAMINED_AT_ONCE


def _silent(fraction: float, text: str) -> None:
    pass
