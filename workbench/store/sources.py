"""Where rows come from, as data that can be sent to another process: a file, a split on the Hub, or the rows themselves."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from workbench.core.errors import WorkbenchError
from workbench.core.exact import Exact
from workbench.store.files import Limits, Rows, read_rows

MAX_GIVEN_ROWS = 100_000


class FileSource(Exact):
    """A file on this machine. uploaded: it came through the browser, so its path says nothing to its owner."""

    where: Literal["file"] = "file"
    path: str
    original_name: str | None = None
    uploaded: bool = True

    @property
    def title(self) -> str:
        return Path(self.original_name or _shown(self.path)).name

    @property
    def words(self) -> str:
        return f"upload: {self.title}" if self.uploaded else f"file: {_shown(self.path)}"

    def open(self) -> Rows:
        return read_rows(Path(self.path), self.original_name)

    def open_as_prompts(self) -> Rows:
        """The same; of a text (.txt) each line is a row with a `prompt`."""
        return read_rows(Path(self.path), self.original_name, lines_as="prompt")


class HubSource(Exact):
    """A split of a dataset on the Hugging Face Hub. revision: branch, tag or commit; None is the newest."""

    where: Literal["hub"] = "hub"
    id: str
    config: str = "default"
    split: str
    revision: str | None = None

    @property
    def title(self) -> str:
        return self.id

    @property
    def words(self) -> str:
        parts = [] if self.config == "default" else [self.config]
        parts += [f"split {self.split}", *([self.revision] if self.revision else [])]
        return f"hub: {self.id} ({', '.join(parts)})"

    def open(self) -> Rows:
        from workbench.store import hub_data

        return hub_data.stream_rows(self.id, self.config, self.split, self.revision)


class RowsSource(Exact):
    """Rows that the workbench has itself: votes, or pairs written by hand. words: where they are from, for people."""

    where: Literal["rows"] = "rows"
    words: str
    rows: Annotated[list[dict[str, Any]], Field(max_length=MAX_GIVEN_ROWS)]

    @property
    def title(self) -> str:
        return self.words

    def open(self) -> Rows:
        count = max(len(self.rows), 1)
        numbered = ((number, row, number / count) for number, row in enumerate(self.rows, start=1))
        return Rows(numbered, ExitStack(), self.words, Limits())


Source = Annotated[FileSource | HubSource | RowsSource, Field(discriminator="where")]
"""`open` gives its rows, under the same limits whatever it is. Raises WorkbenchError where there is none to read."""


def _shown(path: str) -> str:
    """A path as text: Linux allows names that are none."""
    return os.fsencode(path).decode("utf-8", "replace")


def file_at(text: str) -> FileSource:
    """The file at a path that a person typed or pasted: in quotes, as Windows copies it, or as file:///...

    Raises WorkbenchError for a path that does not begin at the root or at home: it would depend on where the
    workbench was started.
    """
    typed = text.strip().strip("\"'").strip()
    if typed.lower().startswith("file://"):
        from urllib.parse import urlparse
        from urllib.request import url2pathname

        typed = url2pathname(urlparse(typed).path)
    try:
        path = Path(typed).expanduser()
    except RuntimeError:
        path = Path(typed)
    if not typed or not path.is_absolute():
        raise WorkbenchError(
            f"{text.strip()[:200]!r} is not a whole path. Give it from the root on, such as /data/pairs.jsonl or "
            "C:\\data\\pairs.jsonl, or from home on, such as ~/pairs.jsonl."
        )
    return FileSource(path=str(path), uploaded=False)
