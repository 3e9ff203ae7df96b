"""Files that no import may swallow: each made on the spot, with words that its message must hold."""

import gzip
import io
import json
import os
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MB = 1024**2


@dataclass(frozen=True)
class Bad:
    """make: the content, or a function that puts something at a path. late: the first 1,000 rows look well."""

    make: bytes | Callable[[Path], Any]
    words: str
    late: bool = False

    def put(self, path: Path) -> Path:
        if isinstance(self.make, bytes):
            path.write_bytes(self.make)
        else:
            self.make(path)
        return path


def pair(i: int) -> dict[str, str]:
    return {
        "prompt": f"How do I keep bread fresh, day {i}?",
        "chosen": f"In a cloth bag, {i}.",
        "rejected": "Ask a baker.",
    }


def lines(count: int) -> bytes:
    return "".join(json.dumps(pair(i)) + "\n" for i in range(count)).encode()


def then(line: bytes | str) -> bytes:
    """Forty pairs, and one more line."""
    return LINES + (line.encode() if isinstance(line, str) else line) + b"\n"


def chosen(value: str) -> bytes:
    """Forty pairs, and one whose chosen answer is this JSON."""
    return then(f'{{"prompt": "q", "chosen": {value}, "rejected": "b"}}')


def zipped(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return sink.getvalue()


def tarred() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        member = tarfile.TarInfo("pairs.jsonl")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return sink.getvalue()


def as_utf16(content: bytes) -> bytes:
    """With the mark that says so, as Windows programs save it."""
    return content.decode().encode("utf-16")


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(content)
    return sink.getvalue().to_pybytes()


def parquet(table: pa.Table, **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **how)
    return sink.getvalue()


def arrow(table: pa.Table, stream: bool = True, **options: Any) -> bytes:
    sink = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=10)
    return sink.getvalue()


def one_huge_cell() -> bytes:
    return parquet(pa.table({**_columns(1), "chosen": ["a" * (200 * MB)]}), compression="zstd", use_dictionary=False)


def the_same_cell_everywhere() -> bytes:
    """A dictionary with one text of 900,000 characters, and 20,000 rows that point to it: 18 GB in some kilobytes."""
    one = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), ["a" * 900_000])
    return parquet(pa.table({**_columns(20_000), "chosen": one}), compression="zstd")


def nested(levels: int) -> pa.Table:
    values: pa.Array = pa.array(["deep"])
    for _ in range(levels):
        values = pa.StructArray.from_arrays([values], ["in"])
    return pa.table({"prompt": ["q"], "chosen": values, "rejected": ["b"]})


def not_really_text() -> pa.Table:
    """A column that is marked as text and holds bytes that are none."""
    offsets, bytes_ = pa.py_buffer(struct.pack("<2i", 0, 4)), pa.py_buffer(b"\xff\xfe\xfd\xfc")
    return pa.table({**_columns(1), "chosen": pa.StringArray.from_buffers(1, offsets, bytes_)})


def middle_damaged(content: bytes, count: int = 200) -> bytes:
    at = len(content) // 3
    return content[:at] + bytes(byte ^ 0x5A for byte in content[at : at + count]) + content[at + count :]


def _columns(count: int) -> dict[str, list[str]]:
    return {name: [pair(i)[name] for i in range(count)] for name in ("prompt", "chosen", "rejected")}


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 600 * MB)


def _database(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("create table pairs (prompt text)")
    base.close()


LINES = lines(40)
MANY = lines(3000)
CSV = b"prompt,chosen,rejected\n" + b"".join(f"question {i},good {i},bad {i}\n".encode() for i in range(40))
TABLE = pa.Table.from_pylist([pair(i) for i in range(40)])
PARQUET = parquet(TABLE)
UMLAUTS = "prompt,chosen,rejected\nWarum heißt es so?,Darum – größer,Wer weiß\n"

BAD = {
    # JSON
    "empty.jsonl": Bad(b"", "empty.jsonl is empty (0 bytes)."),
    "only line ends.jsonl": Bad(b"\n\r\n\n", "only line ends.jsonl holds no rows."),
    "only a mark.jsonl": Bad(b"\xef\xbb\xbf", "only a mark.jsonl holds no rows."),
    "broken line.jsonl": Bad(then('{"prompt": oops}'), "Line 41 of broken line.jsonl is not valid JSON (expecting value, at character 12)."),
    "breaks late.jsonl": Bad(MANY + b'{"prompt": \n', "Line 3001 of breaks late.jsonl is not valid JSON (it ends in the middle", late=True),
    "nan.jsonl": Bad(chosen("NaN"), "Line 41 of nan.jsonl is not valid JSON (it holds NaN, which JSON does not know)"),
    "infinity.jsonl": Bad(chosen("[-Infinity]"), "it holds -Infinity, which JSON does not know"),
    "too large.jsonl": Bad(chosen("1e999"), "the number 1e999 is too large"),
    "two million digits.jsonl": Bad(chosen("7" * 2_000_000), "Line 41 of two million digits.jsonl is not valid JSON (it holds a number of 2,000,000 digits)"),
    "a long fraction.jsonl": Bad(chosen("0." + "3" * 2_000_000), "it holds a number of 2,000,002 digits"),
    "200,000 brackets.jsonl": Bad(then('{"prompt": ' + "[" * 200_000), "is not valid JSON (it is nested too deeply)"),
    "200,000 brackets.json": Bad(b"[" * 200_000, "is not valid JSON (it is nested too deeply)"),
    "400 levels.jsonl": Bad(chosen("[" * 400 + "]" * 400), "Row 41 of 400 levels.jsonl is nested more than 100 levels deep."),
    "key twice.jsonl": Bad(then('{"prompt": "q", "chosen": "a", "chosen": "b", "rejected": "c"}'), "Line 41 of key twice.jsonl is not valid JSON (it holds 'chosen' twice)"),
    "key twice inside.json": Bad(b'[{"prompt": [{"role": "user", "role": "system"}]}]', "in item 1, which is not valid JSON (it holds 'role' twice)"),
    "half a character.jsonl": Bad(chosen('"\\ud83d"'), "it holds half a character, \\ud83d"),
    "line of 10 MB.jsonl": Bad(chosen(json.dumps("x" * (10 * MB))), "Line 41 of line of 10 MB.jsonl has more than 1,000,000 characters"),
    "line of 2 MB.jsonl": Bad(chosen(json.dumps("x" * (2 * MB))), "Row 41 of line of 2 MB.jsonl has more than 1,000,000 characters"),
    "item of 10 MB.json": Bad(json.dumps([pair(1), {"prompt": "x" * (10 * MB)}]).encode(), "Row 2 of item of 10 MB.json has more than 1,000,000 characters"),
    "a number among rows.jsonl": Bad(then("3"), "Line 41 of a number among rows.jsonl is a number; each row must be an object"),
    "a list among rows.jsonl": Bad(then('["q", "a", "b"]'), "Line 41 of a list among rows.jsonl is a list"),
    "null among rows.json": Bad(b"[null]", "Item 1 of the list in null among rows.json is null"),
    "printed by python.jsonl": Bad(str(pair(1)).encode(), "single quotes, where JSON has double ones"),
    "python's none.jsonl": Bad(chosen("None"), "Python's None"),
    "comments.json": Bad(b'[\n// the first pair\n{"prompt": "q"}]', "comments.json breaks at line 2, in item 1, which is not valid JSON (a comment, which JSON does not know)"),
    "trailing comma.jsonl": Bad(then('{"prompt": "q", "chosen": "a", "rejected": "b",}'), "a comma before the closing bracket"),
    "curly quotes.jsonl": Bad(then("{“prompt”: “q”}"), "typographic quotes"),
    "two on a line.jsonl": Bad(then(json.dumps(pair(1)) * 2), "something follows the first object of the line"),
    "bare tab.jsonl": Bad(chosen('"a\tb"'), "a bare line break or tab inside a text"),
    "after a crash.jsonl": Bad(LINES + b"\0" * 4096, "Line 41 of after a crash.jsonl is not valid JSON (NUL bytes"),
    "cut list.json": Bad(json.dumps([pair(i) for i in range(9)])[:-1].encode(), "cut list.json ends in the middle of its list, after 9 items"),
    "cut item.json": Bad(json.dumps([pair(i) for i in range(9)])[:-20].encode(), "cut item.json breaks at line 1, in item 9"),
    "two lists.json": Bad(json.dumps([pair(1)]).encode() + b"\n" + json.dumps([pair(2)]).encode(), "two lists.json goes on at line 2 behind the end of its list"),
    "cut behind data.json": Bad(json.dumps({"data": [pair(1), pair(2)], "version": 1})[:-1].encode(), "which is not valid JSON (it ends in the middle"),
    "one object.json": Bad(b'{"name": "pairs", "rows": 3}', "is one JSON object (name, rows), and rows were expected"),
    "by columns.json": Bad(json.dumps({"prompt": {"0": "q"}, "chosen": {"1": "a"}}, indent=1).encode(), "does not have the same rows as the first one"),
    "501 columns.jsonl": Bad(json.dumps({f"c{i}": i for i in range(501)}).encode(), "has 501 columns; at most 500 are read"),
    "a table.jsonl": Bad(CSV, "If the file is a table, give it the ending .csv or .tsv"),
    # CSV
    "only a header.csv": Bad(b"prompt,chosen,rejected\n", "only a header.csv holds no rows."),
    "no header.csv": Bad(b",,\n" + CSV, "The first line of no header.csv must name the columns"),
    "same header.tsv": Bad(b"prompt\tanswer\tanswer\nq\ta\tb\n", "must name the columns, each once"),
    "cells.csv": Bad(CSV + b"q,a,b,c\n", "Line 42 of cells.csv has 4 cells and the header 3."),
    "open quote.csv": Bad(CSV + b'"q,a,b\n' + CSV * 4000, "Line 42 of open quote.csv cannot be read as CSV"),
    "open quote at the end.csv": Bad(CSV + b'q,a,"b\n', "Line 42 of open quote at the end.csv cannot be read as CSV"),
    "nul.csv": Bad(CSV + b"q,a\0,b\n", "Line 42 of nul.csv holds NUL bytes"),
    "old macintosh.csv": Bad(CSV.replace(b"\n", b"\r"), "has the line ends of old Macintosh programs"),
    # Encodings
    "windows.csv": Bad(UMLAUTS.encode("cp1252"), "windows.csv is not UTF-8: byte 32 is 0xdf"),
    "dashes.csv": Bad(UMLAUTS.encode("cp1252"), "It is most likely Windows-1252."),
    "latin.jsonl": Bad(then('{"prompt": "Warum heißt es so?"}'.encode("latin-1")), "It is most likely Windows-1252 or Latin-1."),
    "cyrillic.csv": Bad("prompt,chosen,rejected\nпочему,потому,никто\n".encode("cp1251"), "an older encoding of another alphabet"),
    "japanese.csv": Bad("prompt,chosen,rejected\nどうしてですか,それは,さあ\n".encode("shift-jis"), "such as GBK, Shift-JIS"),
    "utf-16 unmarked.jsonl": Bad(LINES.decode().encode("utf-16-le"), "is most likely saved as UTF-16, without the mark that says so"),
    "utf-16 cut.jsonl": Bad(LINES.decode().encode("utf-16")[:-1], "is saved as UTF-16, and it is damaged or cut short"),
    "utf-32.csv": Bad(CSV.decode().encode("utf-32"), "is saved as UTF-32"),
    "cut character.jsonl": Bad(then("ü")[:-2], "ends in the middle of a character: it was cut short"),
    # Packed
    "cut.jsonl.gz": Bad(gzip.compress(MANY)[:-200], "is packed with gzip, and the archive is damaged or cut short", late=True),
    "damaged.jsonl.gz": Bad(middle_damaged(gzip.compress(LINES)), "is packed with gzip, and the archive is damaged or cut short"),
    "empty.jsonl.gz": Bad(gzip.compress(b""), "empty.jsonl.gz unpacks to nothing."),
    "twice.jsonl.gz": Bad(gzip.compress(gzip.compress(LINES)), "is packed with gzip twice"),
    "bomb.jsonl.gz": Bad(gzip.compress(b'{"prompt": "q"}' + (b" " * 5000 + b"\n") * 20_000, 1), "unpacks to more than 150 times its"),
    "empty lines.jsonl.gz": Bad(gzip.compress(b'{"prompt": "q"}' + b"\n" * (10 * MB), 1), "has more than 100,000 empty lines in a row"),
    "cut.jsonl.zst": Bad(zstd(MANY)[:-50], "is packed with Zstandard, and the archive is damaged or cut short"),
    "damaged.jsonl.zst": Bad(middle_damaged(zstd(LINES)), "is packed with Zstandard, and the archive is damaged or cut short"),
    "bomb.csv.zst": Bad(zstd(b"prompt,chosen,rejected\n" + (b"q" * 12_000 + b",a,b\n") * 6_000), "unpacks to more than 150 times its", late=True),
    "folder.jsonl.gz": Bad(tarred(), "is a tar archive. Unpack it"),
    # Tables
    "cut.parquet": Bad(PARQUET[:-50], "cut.parquet cannot be read as Parquet"),
    "damaged.parquet": Bad(middle_damaged(PARQUET), "damaged.parquet cannot be read as Parquet"),
    "not text.parquet": Bad(parquet(not_really_text()), "not text.parquet cannot be read as Parquet after row 0"),
    "no parquet.parquet": Bad(CSV, "no parquet.parquet is not a Parquet file: it begins with 'prompt,chosen,rejected"),
    "huge cell.parquet": Bad(lambda path: path.write_bytes(one_huge_cell()), "unpacks to more than 150 times its"),
    "bomb.parquet": Bad(lambda path: path.write_bytes(the_same_cell_everywhere()), "unpacks to more than 150 times its"),
    "bomb named.jsonl": Bad(lambda path: path.write_bytes(the_same_cell_everywhere()), "unpacks to more than 150 times its"),
    "2,000 columns.parquet": Bad(parquet(pa.table({f"c{i}": ["x"] for i in range(2000)})), "has 2,000 columns; at most 500 are read"),
    "120 levels.parquet": Bad(parquet(nested(120)), "A column of 120 levels.parquet is nested more levels deep than a table is read."),
    "encrypted.parquet": Bad(b"PARE" + PARQUET[4:-4] + b"PARE", "is an encrypted Parquet file"),
    "pictures.parquet": Bad(parquet(pa.table({"image": [b"\x89PNG", b"\xff\xd8"]})), "holds binary data (pictures, sounds, or text that is not marked as such) in 'image', and no text"),
    "same name.parquet": Bad(parquet(pa.Table.from_arrays([pa.array(["q"])] * 2, ["prompt", "prompt"])), "has two columns called 'prompt'"),
    "cut.arrow": Bad(arrow(TABLE)[:-300], "cut.arrow cannot be read as Arrow"),
    "cut between records.arrow": Bad(arrow(TABLE)[:-8], "cannot be read as Arrow after row 0 ('its last record is missing')"),
    "points outside.arrow": Bad(arrow(TABLE).replace(struct.pack("<3i", 0, 12, 24), struct.pack("<3i", 0, 2**31 - 1, 24)), "points outside.arrow cannot be read as Arrow after row 0"),
    "cut file.arrow": Bad(arrow(TABLE, stream=False)[:-300], "cut file.arrow cannot be read as Arrow"),
    "bomb.arrow": Bad(lambda path: path.write_bytes(arrow(pa.table({**_columns(1), "chosen": ["a" * (200 * MB)]}), compression="zstd")), "unpacks to more than 150 times its"),
    # What is no data file
    "page.jsonl": Bad(b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body></body></html>", 'is a web page (HTML), called "Sign in", not the file behind it'),
    "pointer.jsonl": Bad(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 73400320\n", "is only the pointer of Git LFS to the file (of 73,400,320 bytes). Run `git lfs pull`"),
    "error of a hub.parquet": Bad(b"<!DOCTYPE html>\n<html><body><h1>401</h1><p>Invalid <b>username</b> or password &amp; more.</p></body></html>", "It says: '401 Invalid username or password & more.'. Download the file itself"),
    "feed.csv": Bad(b'<?xml version="1.0"?><rows/>', "is XML. Save the rows as JSONL or CSV"),
    "archive.jsonl": Bad(zipped(pairs_jsonl=LINES), "archive.jsonl is a ZIP archive. Unpack it and choose the data file inside."),
    "nothing inside.jsonl": Bad(zipped(), "is an empty ZIP archive"),
    "workbook.csv": Bad(zipped(xl__workbook_xml=b"<workbook/>"), "is a workbook or document of Microsoft Office. Save the table as CSV UTF-8"),
    "old workbook.csv": Bad(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is a workbook or document of old Microsoft Office"),
    "model.jsonl": Bad(zipped(archive__data_pkl=b"\x80\x02"), "is a file of PyTorch with a pickle in it, which could run code and is never opened"),
    "pickle.jsonl": Bad(b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix", "is a Python pickle, which could run code and is never opened"),
    "array.json": Bad(b"\x93NUMPY\x01\0v\0{'descr': '|O'}", "is a NumPy array"),
    "arrays.json": Bad(zipped(prompt_npy=b"\x93NUMPY"), "is a NumPy archive"),
    "base.csv": Bad(_database, "is an SQLite database. Export the table as CSV"),
    "picture.jsonl": Bad(b"\x89PNG\r\n\x1a\n", "is a PNG picture. Files that can be read: .jsonl, .json, .csv, .parquet"),
    "paper.json": Bad(b"%PDF-1.7\n", "is a PDF document"),
    "notes.txt": Bad(b"A few notes on bread.\n", "notes.txt ends in .txt, which says nothing of its rows, and it is not JSON: it begins with 'A few notes"),
    "600 MB.jsonl": Bad(_sparse, "600 MB.jsonl has 600 MB; files of up to 500 MB are read"),
    "folder.parquet": Bad(Path.mkdir, "folder.parquet is a folder. Choose one data file in it."),
    "pipe.jsonl": Bad(os.mkfifo, "pipe.jsonl is no file but a device or a pipe."),
    "zeros.jsonl": Bad(lambda path: path.symlink_to("/dev/zero"), "zeros.jsonl is no file but a device or a pipe."),
    "loop.jsonl": Bad(_loop, "loop.jsonl cannot be opened"),
    "missing.jsonl": Bad(lambda path: None, "missing.jsonl cannot be opened: there is no such file."),
}  # fmt: skip
