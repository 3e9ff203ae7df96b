"""A corpus of files in every format and many guises (tests/formats, made by make.py there): recognised, converted, and
every row accounted for."""

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from data_files import add_file

from workbench.core.data.formats import FORMATS, ReadOptions, convert, gather, recognise
from workbench.core.data.messages import PARTS, REASONS, LeftOut
from workbench.core.errors import WorkbenchError
from workbench.store.files import read_rows

FOLDER = Path(__file__).parent / "formats"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
KNOWN = [file for file, expected in EXPECTED.items() if not expected["unknown"]]
UNKNOWN = [file for file in EXPECTED if file not in KNOWN]


def rows_of(file):
    with closing(read_rows(FOLDER / file)) as rows:
        return list(rows)


def recognised(file):
    return recognise([row for _, row in rows_of(file)], ReadOptions(option=EXPECTED[file]["ask"]))


@pytest.mark.parametrize("file", KNOWN)
def test_a_file_is_recognised_with_its_evidence(file):
    expected, found = EXPECTED[file], recognised(file)
    assert (found.format, found.kind) == (expected["format"], expected["kind"])
    assert [option.id for option in found.options] == expected["options"]
    assert found.option == (expected["ask"] or expected["option"])
    assert [words for words in expected["says"] if words not in found.evidence] == [], found.evidence
    assert found.evidence.endswith(".")


@pytest.mark.parametrize("file", KNOWN)
def test_every_row_is_used_or_left_out_for_a_reason(file):
    expected, how = EXPECTED[file], recognised(file)
    made, left_out, notes, read = [], Counter(), Counter(), 0
    for _, row, count in gather(rows_of(file), how):
        read += count
        try:
            converted = convert(row, how)
        except LeftOut as out:
            left_out[out.reason] += count
            continue
        made += converted.rows
        left_out.update(converted.left_out)
        notes.update(converted.notes)
    assert read == expected["read"] == expected["used"] + left_out.total()
    # What was found stands in brackets behind a reason, and is tried elsewhere.
    reasons = Counter()
    for reason, count in left_out.items():
        reasons[reason.partition(" (")[0]] += count
    assert dict(reasons) == expected["left_out"]
    assert set(reasons) <= set(REASONS)
    assert dict(notes) == expected["notes"]
    assert len(made) == expected["kept"]
    assert next(iter(made), None) == expected["first"]
    assert all({*PARTS[how.kind]} <= set(row) <= {*PARTS[how.kind], "scores"} for row in made)


@pytest.mark.parametrize("file", UNKNOWN)
def test_what_is_no_such_data_is_not_guessed_at(file):
    assert recognised(file) is None


@pytest.mark.parametrize("file", UNKNOWN)
def test_what_is_not_known_is_refused_with_its_columns_and_what_to_do(file, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    with pytest.raises(WorkbenchError) as refused:
        add_file(FOLDER / file, "mine")
    assert all(column in str(refused.value) for column in rows_of(file)[0][1])
    assert "Name by hand" in str(refused.value)


@pytest.mark.parametrize("file", [file for file in KNOWN if not EXPECTED[file]["kept"]])
def test_what_is_known_and_of_no_use_is_refused_with_the_reason(file, tmp_path, monkeypatch):
    """Lists that NumPy wrote; numbers that could mean either answer; texts without a question."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    with pytest.raises(WorkbenchError, match="save them as JSON|Say which|without a question"):
        add_file(FOLDER / file, "mine")


@pytest.mark.parametrize("file", KNOWN)
def test_an_answer_that_is_better_in_the_file_is_never_rejected(file):
    """In the corpus every question has one good and one bad answer, whatever the format."""
    how = recognised(file)
    questions = {}
    for _, row, _ in gather(rows_of(file), how):
        try:
            made = convert(row, how).rows
        except LeftOut:
            continue
        for pair in made if how.kind == "preference" else []:
            questions.setdefault(pair["chosen"][0]["content"], set()).add(pair["rejected"][0]["content"])
    for chosen, rejected in questions.items():
        assert not any(chosen in questions.get(text, ()) for text in rejected)
    assert "It mirrors the sea." not in questions


def test_the_corpus_is_what_it_says():
    """At least 50 files, every format among them, in every kind of file that needs no other program."""
    files = {file.name for file in FOLDER.iterdir() if file.suffix not in (".py", "") and file.name != "expected.json"}
    assert files == set(EXPECTED)
    assert len(KNOWN) >= 50 and len(files) - len(KNOWN) >= 8
    assert {EXPECTED[file]["format"] for file in KNOWN} == {format.id for format in FORMATS}
    endings = {Path(file).suffix for file in files}
    assert endings == {".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".gz", ".zst"}
