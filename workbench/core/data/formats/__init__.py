"""Raw rows of any known format -> canonical rows.

A format is an entry of FORMATS: it finds its columns in a row, says what was seen, and converts one raw row. What a cell
holds (text, messages, a dialogue, messages written as text) is seen value by value.
"""

from workbench.core.data.formats.columns import AS_RECOGNISED, Columns, Format, ReadOptions, Recognised
from workbench.core.data.formats.recognise import (
    FORMATS,
    SAMPLE_ROWS,
    by_hand,
    check_columns,
    convert,
    gather,
    recognise,
)
from workbench.core.data.formats.watching import ColumnWatch, SeenColumn

__all__ = [
    "AS_RECOGNISED",
    "FORMATS",
    "SAMPLE_ROWS",
    "ColumnWatch",
    "Columns",
    "Format",
    "ReadOptions",
    "Recognised",
    "SeenColumn",
    "by_hand",
    "check_columns",
    "convert",
    "gather",
    "recognise",
]
