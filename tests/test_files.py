"""Data files of every kind become the same rows; what cannot be read is refused in words, and nothing is read too far."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_files import arrow, as_utf16, zstd

from workbench.core.errors import WorkbenchError
from workbench.store import sources
from workbench.store.files import ENDINGS, Limits, read_rows
from workbench.store.sources import FileSource, HubSource, RowsSource, file_at


def pair(i):
    return {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"}


PAIRS = [pair(i) for i in range(40)]
LINES = "".join(json.dumps(row) + "\n" for row in PAIRS).encode()
TABLE = pa.Table.from_pylist(PAIRS)


def as_csv(rows, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def file_of(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    return file


def rows_of(tmp_path, name, content, limits=None):
    return [row for _, row in read_rows(file_of(tmp_path, name, content), limits=limits)]


def refusal(read):
    with pytest.raises(WorkbenchError) as refused:
        list(read())
    return str(refused.value)


GUISES = {
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "no line end at the end.jsonl": LINES.rstrip(),
    "CRLF, BOM and empty lines.jsonl": b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n\r\n"),
    "utf-16.jsonl": as_utf16(LINES),
    "utf-16 big end first.jsonl": b"\xfe\xff" + LINES.decode().encode("utf-16-be"),
    "A.JSONL": LINES,
    "lines.txt": LINES,
    "lines by another name.csv": LINES,
    "lines by another name.parquet": LINES,
    "no ending": LINES,
    "list.json": json.dumps(PAIRS, indent=1).encode(),
    "list with BOM.json": b"\xef\xbb\xbf" + json.dumps(PAIRS).encode(),
    "list.jsonl": json.dumps(PAIRS).encode(),
    "list with a last comma.json": json.dumps(PAIRS).encode()[:-1] + b",\n]\n",
    "data.json": json.dumps({"version": 1, "about": {"data": []}, "data": PAIRS, "more": 2}).encode(),
    "data over lines.json": json.dumps({"version": 1, "data": PAIRS}, indent=2).encode(),
    "lines.json": LINES,
    "objects over lines.jsonl": "\n".join(json.dumps(row, indent=2) for row in PAIRS).encode(),
    "objects over lines.json": "".join(json.dumps(row, indent=2) for row in PAIRS).encode(),
    "a.csv": as_csv(PAIRS),
    "semicolons.csv": as_csv(PAIRS, ";"),
    "tabs.csv": as_csv(PAIRS, "\t"),
    "a.tsv": as_csv(PAIRS, "\t"),
    "utf-16.csv": as_utf16(as_csv(PAIRS, "\t")),
    "a.parquet": as_parquet(PAIRS),
    "parquet by another name.jsonl": as_parquet(PAIRS),
    "stream.arrow": arrow(TABLE),
    "file.arrow": arrow(TABLE, stream=False),
    "packed stream.arrow": arrow(TABLE, compression="lz4"),
    "stream by another name.parquet": arrow(TABLE),
}


@pytest.mark.parametrize("pack", [None, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", GUISES)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name, pack):
    content = pack(GUISES[name]) if pack else GUISES[name]
    rows = read_rows(file_of(tmp_path, f"{name}.gz" if pack else name, content))
    assert [row for _, row in rows] == PAIRS
    assert rows.fraction == 1.0


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_parts_that_follow_each_other_are_one_file(tmp_path, pack):
    assert rows_of(tmp_path, "a.jsonl.gz", pack(LINES[:700]) + pack(LINES[700:])) == PAIRS


def test_gzip_is_known_by_its_first_bytes_and_the_format_by_the_name_its_owner_gave(tmp_path):
    file = file_of(tmp_path, "upload-7f3a.bin", gzip.compress(as_csv(PAIRS)))
    assert [number for number, _ in read_rows(file, "pairs.csv")] == list(range(2, 42))


def test_rows_carry_the_line_they_start_at(tmp_path):
    lines = b'q,a\n"two\nlines",1\n\nx,2\n'
    assert [n for n, _ in read_rows(file_of(tmp_path, "a.csv", lines))] == [2, 5]
    assert [n for n, _ in read_rows(file_of(tmp_path, "a.jsonl", b'\n{"a":1}\n\n{"a":2}'))] == [2, 4]


def test_the_index_that_pandas_writes_is_a_column_like_any_other(tmp_path):
    assert rows_of(tmp_path, "a.csv", b",q,a\n0,x,y\n") == [{"index": "0", "q": "x", "a": "y"}]


@pytest.mark.parametrize(("first", "mark"), [(b"sep=;", ";"), (b'"sep=,"\r', ","), (b"\xef\xbb\xbfSEP=|", "|")])
def test_the_line_in_which_excel_names_the_mark_between_cells_is_no_header(tmp_path, first, mark):
    """The header is then line 2, and the first row line 3."""
    rows = read_rows(file_of(tmp_path, "a.csv", first + b"\n" + as_csv(PAIRS, mark)))
    numbered = list(rows)
    assert [row for _, row in numbered] == PAIRS and numbered[0][0] == 3


def test_a_long_list_is_read_piece_by_piece(tmp_path):
    """4,000 items of about 1,100 characters: the pieces of 1 MB end in the middle of an item."""
    items = [{"i": i, "text": chr(0x4E00 + i) * 1000, "number": -1.5e-7} for i in range(4000)]
    rows = read_rows(file_of(tmp_path, "long.json", json.dumps(items, ensure_ascii=False, indent=1).encode()))
    fractions = []
    for (number, row), item in zip(rows, items, strict=True):
        assert row == item and number == item["i"] + 1
        fractions.append(rows.fraction)
    assert fractions == sorted(fractions)
    assert 0.45 < fractions[2000] < 0.55


def test_a_place_in_a_long_list_is_told_by_its_line(tmp_path):
    items = ["[", *('{"text": "' + "x" * 1000 + '"},' for _ in range(3000)), '{"text": oops}', "]"]
    said = refusal(lambda: read_rows(file_of(tmp_path, "long.json", "\n".join(items).encode())))
    assert (
        "long.json breaks at line 3002, in item 3001, which is not valid JSON (expecting value). Found: 'oops}" in said
    )


def test_in_a_table_a_number_that_is_none_is_empty(tmp_path):
    """pandas marks a missing number with NaN."""
    rows = [{"q": "x", "score": 1.5, "all": [float("nan"), 2.0]}, {"q": "y", "score": float("nan"), "all": None}]
    assert rows_of(tmp_path, "a.parquet", as_parquet(rows)) == [
        {"q": "x", "score": 1.5, "all": [None, 2.0]},
        {"q": "y", "score": None, "all": None},
    ]


def test_pictures_beside_the_text_do_not_hide_it(tmp_path):
    rows = [{**pair(0), "image": {"bytes": b"\x89PNG", "path": "a.png"}}]
    assert rows_of(tmp_path, "a.parquet", as_parquet(rows)) == rows


def test_pairs_of_escapes_are_whole_characters_and_half_of_one_is_refused(tmp_path):
    assert rows_of(tmp_path, "a.jsonl", b'{"a": "\\ud83d\\ude00 \\\\ud83d"}') == [{"a": "\U0001f600 \\ud83d"}]
    said = refusal(lambda: read_rows(file_of(tmp_path, "b.json", b'[{"a": "x"}, {"a": ["\\uDc00"]}]')))
    assert "in item 2, which is not valid JSON (it holds half a character, \\udc00)" in said


SMALL = Limits(file_bytes=10_000, unpacked_bytes=20_000, rows=10, row_characters=1_000)
OVER = {
    "large.jsonl": (b" " * 10_001, "files of up to 0 MB are read"),
    "bomb.jsonl.gz": (gzip.compress(b'{"a": 1}\n' + b"\n" * 100_000), "unpacks to more than 0 MB"),
    "bomb.parquet.gz": (gzip.compress(b"PAR1" + b"\0" * 100_000), "unpacks to more than 0 MB"),
    "bomb.parquet": (as_parquet([{"a": "x" * 900}] * 200), "unpacks to more than 0 MB"),
    "list.json": (b"[" + b'{"a": 1},' * 800 + b"{}]", "has more than 10 rows"),
    "rows.jsonl": (b'{"a": 1}\n' * 11, "has more than 10 rows"),
    "row.jsonl": (json.dumps({"a": [{"b": "x" * 600}, "y" * 600]}).encode(), "Row 1 of row.jsonl has more than 1,000 characters"),
    "line.jsonl": (b'{"a": "' + b"x" * 7_000 + b'"}', "Line 1 of line.jsonl has more than 1,000 characters"),
    "item.json": (b'[{"a": "' + b"x" * 7_000 + b'"}]', "Row 1 of item.json has more than 1,000 characters"),
    "columns.jsonl": (json.dumps(dict.fromkeys(map(str, range(501)), 1)).encode(), "has 501 columns; at most 500 are read"),
}  # fmt: skip


@pytest.mark.parametrize("name", OVER)
def test_no_file_is_read_beyond_its_limits(tmp_path, name):
    content, words = OVER[name]
    assert words in refusal(lambda: read_rows(file_of(tmp_path, name, content), limits=SMALL))


def test_a_packed_list_of_pairs_is_no_bomb(tmp_path):
    """The same 40 pairs again and again pack far more than texts do, and are read all the same while they are few."""
    assert len(rows_of(tmp_path, "a.jsonl.gz", gzip.compress(LINES * 100))) == 4000


def test_every_ending_that_can_be_chosen_is_one_that_is_read(tmp_path):
    for ending in ENDINGS:
        assert len(rows_of(tmp_path, f"x{ending}", LINES)) == 40


def test_a_source_says_where_it_is_and_gives_its_rows(tmp_path):
    file = file_of(tmp_path, "7f3a.bin", as_csv(PAIRS))
    uploaded = FileSource(path=str(file), original_name="mine.csv")
    assert uploaded.words == "upload: mine.csv"
    assert [row for _, row in uploaded.open()] == PAIRS
    given = RowsSource(words="written by hand", rows=PAIRS[:2])
    assert list(given.open()) == [(1, pair(0)), (2, pair(1))]
    hub = HubSource(id="org/name", config="small", split="train", revision="v1")
    assert hub.words == "hub: org/name (small, split train, v1)"
    assert HubSource(id="org/name", split="test").words == "hub: org/name (split test)"


def test_a_typed_path_is_taken_as_it_was_copied(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    file = tmp_path / "my pairs.jsonl"
    for typed in (str(file), f'  "{file}" ', file.as_uri(), "~/my pairs.jsonl"):
        source = file_at(typed)
        assert (source.path, source.uploaded) == (str(file), False)
    assert file_at(str(file)).words == f"file: {file}"
    for typed in ("pairs.jsonl", "", "../pairs.jsonl"):
        with pytest.raises(WorkbenchError, match="is not a whole path. Give it from the root on"):
            file_at(typed)


def test_more_rows_than_can_be_given_at_once_are_refused(monkeypatch):
    assert sources.MAX_GIVEN_ROWS == 100_000
    with pytest.raises(ValueError, match="at most 100000 items"):
        RowsSource(words="too many", rows=[{}] * 100_001)
