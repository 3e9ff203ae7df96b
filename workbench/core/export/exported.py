"""What an export wrote, and how it was compared with the run itself."""

from dataclasses import asdict, dataclass
from typing import Any

ASKED = "Answers of llama.cpp"
"""What the comparison is called that needs llama-cpp-python."""


@dataclass(frozen=True)
class Differing:
    """A prompt that the run and what was written answer in different words."""

    prompt: str
    of_run: str
    of_export: str


@dataclass(frozen=True)
class Check:
    """One comparison of what was written with the run. found: what it gave, with its figure and unit, as the rest of a line.

    ok: None for what is measured to be known, and can neither be well nor wrong. differing: of compared answers, those that are not the same, to be shown side by side.
    """

    what: str
    found: str
    ok: bool | None
    differing: tuple[Differing, ...] = ()


@dataclass(frozen=True)
class Serving:
    """How an engine that exists serves what was written. commands: to be run one after the other. words: what to know of it."""

    engine: str
    installed: bool
    commands: tuple[str, ...]
    words: str = ""


@dataclass(frozen=True)
class Upload:
    """What goes to a repository of the Hub. files: name and size in bytes of each. kept: names of files that stay here, because
    they are none that belongs there. url: of the commit; "" where nothing was pushed."""

    repo: str
    private: bool
    files: tuple[tuple[str, int], ...]
    kept: tuple[str, ...] = ()
    url: str = ""

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)


@dataclass(frozen=True)
class Exported:
    """folder: where it lies; "" for a dry run. files: names within it, sorted, with "/" between folders. notes: what was not
    tried and what to do next, in sentences. serving: empty where it is nothing that can be served. upload: None where nothing was to go anywhere."""

    run: str
    target: str
    folder: str
    files: tuple[str, ...]
    checked: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    serving: tuple[Serving, ...] = ()
    upload: Upload | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether every comparison came out well; None where there was none."""
        judged = [check.ok for check in self.checked if check.ok is not None]
        return all(judged) if judged else None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"agrees": self.agrees}
