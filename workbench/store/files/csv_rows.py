"""CSV and TSV with a header line; commas, semicolons or tabs between the cells."""

import csv
import re
from collections.abc import Iterator
from itertools import chain

from workbench.core.errors import WorkbenchError
from workbench.store.files.rows import Numbered
from workbench.store.files.text import excerpt, text_lines
from workbench.store.files.unpack import Unpacked

# Excel writes the mark between the cells in a line of its own, and reads it again.
_SEPARATOR = re.compile(r'\s*"?sep=(?P<mark>[,;\t|])"?\s*', re.IGNORECASE)


def csv_rows(stream: Unpacked) -> Numbered:
    # The limit is global to the csv module; the rows are checked against their own limit all the same.
    csv.field_size_limit(max(csv.field_size_limit(), stream.limits.row_characters))
    lines = _lines(stream)
    header_line = next(lines, "")
    skipped = 0
    if said := _SEPARATOR.fullmatch(header_line):
        header_line, skipped = next(lines, ""), 1
    delimiter = said["mark"] if said else max(",;\t", key=header_line.count)
    reader = csv.reader(chain([header_line], lines), delimiter=delimiter, strict=True)
    before = 1 + skipped
    try:
        header = _header(next(reader, []), header_line, stream.name)
        before = reader.line_num + 1 + skipped
        for cells in reader:
            if cells and len(cells) != len(header):
                raise WorkbenchError(
                    f"Line {before} of {stream.name} has {len(cells)} cells and the header {len(header)}. A text "
                    "with a comma, a quote or a line break must stand in quotes."
                )
            if cells:
                yield before, dict(zip(header, cells, strict=True)), stream.fraction
            before = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise WorkbenchError(
            f"Line {before} of {stream.name} cannot be read as CSV ({error}). Look for a quote that is not closed; a "
            "quote inside a quoted text is written twice."
        ) from None


def _header(cells: list[str], line: str, name: str) -> list[str]:
    """The names of the columns. A first one without a name is the index that pandas writes."""
    names = [cell.strip() for cell in cells]
    if len(names) > 1 and not names[0] and "index" not in names:
        names[0] = "index"
    if len(set(names)) < len(names) or not names or not all(names):
        raise WorkbenchError(
            f"The first line of {name} must name the columns, each once. Found: {excerpt(line)}. Where the header is missing, "
            "put a line such as prompt,chosen,rejected before the first row."
        )
    return names


def _lines(stream: Unpacked) -> Iterator[str]:
    for number, text in text_lines(stream):
        if "\0" in text:
            raise WorkbenchError(
                f"Line {number} of {stream.name} holds NUL bytes, which no text has. Save the file again as UTF-8, or "
                "copy or download it again."
            )
        if "\r" in text[:-2] and number == 1 and not text.endswith("\n"):
            raise WorkbenchError(
                f"{stream.name} has the line ends of old Macintosh programs. Save it again with line ends of today (in "
                'Excel: "CSV UTF-8").'
            )
        yield text
