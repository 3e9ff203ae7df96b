"""What an export wrote, and how it was compared with the run itself."""

from dataclasses import asdict, dataclass
from typing import Any

ASKED = "Answers of llama.cpp"
"""What the comparison is called that needs llama-cpp-python."""


@dataclass(frozen=True)
class Check:
    """One comparison of what was written with the run. found: what it gave, with its figure and unit, as the rest of a line."""

    what: str
    found: str
    ok: bool


@dataclass(frozen=True)
class Exported:
    """folder: where it lies; "" for a dry run. files: names within it, sorted, with "/" between folders. notes: what was not
    tried and what to do next, in sentences."""

    run: str
    target: str
    folder: str
    files: tuple[str, ...]
    checked: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool | None:
        """Whether every comparison came out well; None where there was none."""
        return all(check.ok for check in self.checked) if self.checked else None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"agrees": self.agrees}
