"""The settings of several runs side by side: where they differ, and what all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.training.config import RunConfig, fields, value_of
from workbench.core.training.methods import METHODS


@dataclass(frozen=True)
class Setting:
    """A setting with its value in each run, as text; "" where a run's method does not have it."""

    title: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1

    @property
    def others(self) -> tuple[bool, ...]:
        """Of each run, whether its value is another one than that of the first run."""
        return tuple(value != self.values[0] for value in self.values)


def side_by_side(configs: Sequence[RunConfig]) -> list[Setting]:
    """Every setting that at least one of these runs uses, but their names, in the order of the form."""
    found = []
    for name, field in fields().items():
        first = name.split(".")[0]
        using = [config for config in configs if first not in METHODS or first in config.stages]
        if name == "name" or not using:
            continue
        values = tuple(_words(value_of(config, name)) if config in using else "" for config in configs)
        if any(values):
            found.append(Setting(_title(name, field.title), values))
    return found


def _title(name: str, title: str | None) -> str:
    return title or " ".join(name.split(".")).replace("_", " ").capitalize()


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
