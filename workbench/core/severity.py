"""How serious a finding is, of a dataset or of a run."""

from typing import Any, Literal

Severity = Literal["info", "warning", "blocker"]
"""info: worth knowing. warning: look at it before you go on. blocker: the result would not be worth having."""

SEVERITY_LABELS: dict[Severity, str] = {"info": "Note", "warning": "Warning", "blocker": "Problem"}

_FORMER = {"care": "warning", "stop": "blocker"}


def with_former_names(values: Any, **renamed: str) -> Any:
    """The stored values of a finding or a report, with the names that version 0.1.0 wrote replaced by those of today.

    renamed: former name of a field -> its name today, for the fields that hold a severity.
    """
    if not isinstance(values, dict):
        return values
    named = {renamed.get(key, key): value for key, value in values.items()}
    return named | {field: _FORMER[named[field]] for field in renamed.values() if str(named.get(field)) in _FORMER}
