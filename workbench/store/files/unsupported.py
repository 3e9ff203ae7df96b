"""Files that hold no rows, or not in a form that is read: each known by its first bytes and told by its name."""

import html
import re

from workbench.store.files.text import excerpt

_MAGIC = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a WebP picture or a sound"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "a document of a word processor"),
    (b"\x80\x02", "a Python pickle, which could run code and is never opened"),
    (b"\x80\x03", "a Python pickle, which could run code and is never opened"),
    (b"\x80\x04", "a Python pickle, which could run code and is never opened"),
    (b"\x80\x05", "a Python pickle, which could run code and is never opened"),
    (b"\x93NUMPY", "a NumPy array. Save the rows as JSONL or Parquet"),
    (b"\x89HDF", "an HDF5 file. Save the rows as JSONL or Parquet"),
    (b"BZh", "a bzip2 archive. Unpack it first"),
    (b"\xfd7zXZ", "an xz archive. Unpack it first"),
    (b"\x04\x22\x4d\x18", "an LZ4 archive. Unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive. Unpack it and choose the data file inside"),
    (b"Rar!", "a RAR archive. Unpack it and choose the data file inside"),
    (b"PARE", "an encrypted Parquet file. Save it without encryption"),
    (b"ORC", "an ORC file. Save it as Parquet"),
    (b"Obj\x01", "an Avro file. Save it as Parquet"),
    (b"FEA1", "a Feather file of the first version. Save it as Parquet"),
    (b"SQLite format 3", "an SQLite database. Export the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "a workbook or document of old Microsoft Office. Save the table as CSV UTF-8"),
    (b"\xff\xfe\0\0", "saved as UTF-32. Save it as UTF-8"),
    (b"\0\0\xfe\xff", "saved as UTF-32. Save it as UTF-8"),
    (b"\x1f\x8b", "packed with gzip twice. Unpack it once"),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard twice. Unpack it once"),
)
_POINTER_SIZE = re.compile(rb"^size (\d+)$", re.MULTILINE)
_SAID = re.compile(rb"<(h[1-3]|p)\b[^>]{0,200}>(.{1,400}?)</\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(rb"<[^<>]{0,200}>")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,80})", re.IGNORECASE)


def unsupported_type(head: bytes) -> str | None:
    """What a file is that begins so, and what to do with it; None for one that may well be read."""
    if head.startswith(b"PK"):
        return _zip(head)
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return "a tar archive. Unpack it and choose the data file inside"
    if head[8:12] == b"DUCK":
        return "a DuckDB database. Export the table as Parquet"
    return _page(head) or _pointer(head) or _binary(head)


def _zip(head: bytes) -> str | None:
    """By the name of the first file in it: Office documents and models are ZIP archives too."""
    if head.startswith(b"PK\x05\x06"):
        return "an empty ZIP archive. Get the file from its source again"
    if not head.startswith(b"PK\x03\x04"):
        return None
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if first.startswith((b"[Content_Types]", b"_rels/", b"xl/", b"docProps/")):
        return "a workbook or document of Microsoft Office. Save the table as CSV UTF-8"
    if first.startswith(b"mimetype"):
        return "a document of LibreOffice or an e-book. Save the table as CSV"
    if first.endswith(b"data.pkl"):
        return "a file of PyTorch with a pickle in it, which could run code and is never opened"
    if first.endswith(b".npy"):
        return "a NumPy archive. Save the rows as JSONL or Parquet"
    return "a ZIP archive. Unpack it and choose the data file inside"


def _page(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<!-- ")) or (b"<html" in start and start[:1] == b"<"):
        title = _TITLE.search(head)
        called = f', called "{_words(title.group(1))}"' if title else ""
        said = " ".join(words for _, text in _SAID.findall(head) if (words := _words(text)))
        telling = f". It says: {excerpt(said, 200)}" if said else ""
        return (
            f"a web page (HTML){called}, not the file behind it: often a page that asks to log in{telling}. Download the file "
            "itself"
        )
    return "XML. Save the rows as JSONL or CSV" if start.startswith(b"<?xml") else None


def _words(markup: bytes) -> str:
    """What a reader of a page sees of a piece of it."""
    return " ".join(html.unescape(_TAG.sub(b" ", markup).decode("utf-8", "replace")).split())


def _pointer(head: bytes) -> str | None:
    if not head.startswith(b"version https://git-lfs"):
        return None
    size = _POINTER_SIZE.search(head)
    told = f" (of {int(size.group(1)):,} bytes)" if size and len(size.group(1)) < 20 else ""
    return f"only the pointer of Git LFS to the file{told}. Run `git lfs pull`, or download the file itself"


def _binary(head: bytes) -> str | None:
    """Text has no NUL bytes, and UTF-16 without its mark has one beside nearly every letter."""
    if b"\0" not in head[:512] or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    even, odd = head[:512:2].count(0), head[1:512:2].count(0)
    if max(even, odd) > len(head[:512]) // 5 and min(even, odd) < max(even, odd) // 10:
        return "most likely saved as UTF-16, without the mark that says so. Save it as UTF-8"
    return None
