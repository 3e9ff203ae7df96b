"""What the doctor finds of defects that were put into clean data, guise by guise.

    python tests/benchmarks/seeded_defects.py [--clean 300] [--copies 3] [--seeds 3]

`found` and `false` are rows that the check names, rightly and wrongly, among canonical rows. `imported` is the same data
brought as a file would be: left out by the conversion with a reason + named by the check + mended on the way. Nothing is
lost in silence where the three make up all that was seeded. The last lines are the false alarms on clean data alone.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from doctor_cases import CASES, Case, clean_lessons, clean_pairs, clean_thumbs, mixed, whole_cases

from workbench.core.data.doctor.checks import CHECKS
from workbench.core.data.doctor.report import Examination
from workbench.core.data.formats import convert, recognise
from workbench.core.data.messages import Kind, LeftOut, Row

CLEAN = {"preference": clean_pairs, "sft": clean_lessons, "unpaired": clean_thumbs}


def named(rows: Sequence[Row], kind: Kind) -> dict[str, set[int]]:
    """Check -> the rows that it names."""
    examination = Examination(kind)
    for row in rows:
        examination.add(row)
    return {finding.check: set(finding.rows) for finding in examination.report({}, len(rows)).findings}


def imported(rows: Sequence[Row], bad: Sequence[int], case: Case) -> tuple[int, int, int]:
    """Of the bad rows: left out by the conversion, named by the check afterwards, and neither, which is mended."""
    raw = [_as_columns(row) for row in rows]
    how = recognise(raw)
    kept: list[Row] = []
    sources = []
    for number, row in enumerate(raw):
        try:
            made = convert(row, how).rows
        except LeftOut:
            continue
        kept += made
        sources += [number] * len(made)
    found = {sources[place] for place in named(kept, how.kind).get(case.check, ())}
    left_out = set(bad) - set(sources)
    return len(left_out), len(found & set(bad)), len(set(bad) - left_out - found)


def _as_columns(row: Row) -> dict[str, Any]:
    """A row as a file would hold it: scores in columns of their own."""
    scores = row.get("scores") or {}
    columns = {part: value for part, value in row.items() if part not in ("scores", "source_row")}
    return columns | {f"score_{part}": value for part, value in scores.items()}


def table(clean: int, copies: int, seeds: int) -> None:
    """One line for each guise."""
    print(f"{'check':<16}{'guise':<46}{'seeded':>7}{'found':>7}{'false':>7}   imported: left out + found + mended")
    seeded = hit = false = 0
    for case in CASES:
        counts: Counter[str] = Counter()
        for seed in range(seeds):
            rows, bad = mixed(case, clean, copies, seed)
            found = named(rows, case.kind).get(case.check, set())
            counts.update(seeded=len(bad), found=len(found & set(bad)), false=len(found - set(bad)))
            left_out, after, mended = imported(rows, bad, case)
            counts.update(left_out=left_out, after=after, mended=mended)
        seeded, hit, false = seeded + counts["seeded"], hit + counts["found"], false + counts["false"]
        three = f"{counts['left_out']:>7} + {counts['after']} + {counts['mended']}"
        print(
            f"{case.check:<16}{case.guise:<46}{counts['seeded']:>7}{counts['found']:>7}{counts['false']:>7}   {three}"
        )
    print(f"\n{len(CASES)} guises: {hit} of {seeded} seeded rows found, {false} false alarms\n")


def whole_table() -> None:
    """One line for each guise of what only a whole dataset shows."""
    print(f"{'check':<16}{'guise':<46}{'seeded':>7}{'found':>7}{'false':>7}   (of a whole dataset)")
    for case in whole_cases():
        finding = next((one for one in case.report().findings if one.check == case.check), None)
        found = set(finding.rows) if finding else set()
        if case.bad is None:
            counts = "1", "1" if finding else "0", ""
        else:
            counts = str(len(case.bad)), str(len(found & set(case.bad))), str(len(found - set(case.bad)))
        print(f"{case.check:<16}{case.guise:<46}{counts[0]:>7}{counts[1]:>7}{counts[2]:>7}")
    print()


def clean_table(rows: int, seeds: int) -> None:
    """False alarms of each check on clean rows, all kinds together."""
    alarms: Counter[str] = Counter()
    total = 0
    for kind, made in CLEAN.items():
        for seed in range(seeds):
            total += rows
            alarms.update({check: len(found) for check, found in named(made(rows, seed), kind).items()})
    print(f"{'check':<16}{'false alarms':>12}  of {total:,} clean rows")
    for check in {case.check: None for case in CASES} | {"length": None, "balance": None}:
        print(f"{check:<16}{alarms[check]:>12}  {alarms[check] / total:.2%}  {CHECKS[check].title}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", type=int, default=300)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    table(chosen.clean, chosen.copies, chosen.seeds)
    whole_table()
    clean_table(1000, chosen.seeds)
