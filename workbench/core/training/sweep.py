"""A sweep: the same run several times, with another value of one setting each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.fields import FieldInfo

from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.core.training.config import RunConfig, fields, nested, overlay, read_config
from workbench.core.training.methods import DATA_SETTINGS, METHODS, stages_of

MOST = 8

Value = StrictBool | StrictInt | StrictFloat | StrictStr
"""What one setting has in one run."""

# Another run altogether, another way to look at the same one, or one that only costs more or less.
_NOT_VARIED = (
    "name", "method", "model", "start_from", *DATA_SETTINGS, "evaluations", "held_out_limit", "samples", "checkpoint_steps",
    "gradient_checkpointing", "reference",
)  # fmt: skip

# With another one the reference reads other tokens, or computes in another way, so that nothing of it is shared.
_CHANGES_REFERENCE = ("max_length", "thinking", "precision")

_BOOLS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


class Member(BaseModel):
    """One run of a sweep. value: what it has of the setting that differs."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    run: str
    value: Value


class Sweep(BaseModel):
    """The record of a sweep. setting: by its dotted name. members: in the order in which they are trained."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = ""
    time: str = ""
    setting: str
    members: list[Member]

    @property
    def ordered(self) -> list[Member]:
        """From the lowest value to the highest, where values are numbers."""
        numbers = all(isinstance(one.value, int | float) for one in self.members)
        return sorted(self.members, key=lambda one: one.value) if numbers else self.members


def varied(method: str) -> list[tuple[str, str]]:
    """Title and dotted name of the settings that a sweep of a method can be over, those of its last stage first."""
    stages = stages_of(method)
    own, shared = [], []
    for name, field in fields().items():
        stage, _, rest = name.partition(".")
        if not _takes_values(field) or stage in _NOT_VARIED:
            continue
        if rest and stage in METHODS:
            own += [(field.title or name, name)] if stage in stages else []
        elif any(METHODS[one].uses(name) for one in stages):
            shared.append((field.title or name, name))
    last = [one for one in own if one[1].startswith(f"{stages[-1]}.")]
    return [*last, *[one for one in own if one not in last], *shared]


def title_of(setting: str) -> str:
    """What a setting is called on a page; its own name where this version does not know it."""
    field = fields().get(setting)
    return (field.title if field else None) or setting


def value_label(value: Value) -> str:
    """A value as a person writes it: 0.05, 5e-6, sigmoid, on."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        factor, power = f"{value:e}".split("e") if 0 < abs(value) < 1e-3 else (f"{value:g}", "")
        return f"{float(factor):g}e{int(power)}" if power else factor
    return str(value)


def parsed(setting: str, text: str, method: str) -> list[Value]:
    """The values that a person wrote for a setting, with commas between them.

    Raises WorkbenchError with all that is wrong: bounds are left to `swept`, which knows the rest of the settings.
    """
    if setting not in dict((name, title) for title, name in varied(method)):
        names = ", ".join(name for _, name in varied(method)[:8])
        raise WorkbenchError(
            f"{setting or 'Nothing'} cannot be swept with this method. Choose one of its settings, such as {names}."
        )
    field, title = fields()[setting], title_of(setting)
    found: list[Value] = []
    problems = []
    for part in filter(None, (one.strip() for one in text.replace(";", ",").split(","))):
        try:
            value = _value(field, part)
        except ValueError as error:
            problems.append(f"{title}: {part[:40]!r} {error}")
            continue
        if value_label(value) in map(value_label, found):
            problems.append(f"{title} has {value_label(value)} twice. Name each value once, with a point in 0.05.")
        else:
            found.append(value)
    if not problems and len(found) < 2:
        problems.append(f"A sweep needs at least 2 values of {title}; there is {len(found) or 'none'}.")
    if len(found) > MOST:
        problems.append(f"A sweep has at most {MOST} values, and these are {len(found)}. Leave some out.")
    if problems:
        raise WorkbenchError(*problems)
    return found


def run_names(stem: str, setting: str, values: Sequence[Value], taken: Collection[str]) -> list[str]:
    """A free name for the run of each value: "kind-beta-0.05", or "kind-2-beta-0.05" where one of those is taken."""
    ends = [to_name(f"{setting.rsplit('.')[-1]}-{value_label(value)}").replace("_", "-") for value in values]
    room = 64 - max(map(len, ends)) - 1
    for number in range(1, len(taken) + 2):
        suffix = f"-{number}" if number > 1 else ""
        base = to_name(stem, "run")[: max(1, room - len(suffix))].rstrip("._-") + suffix
        names = [f"{base}-{end}" for end in ends]
        if not set(names) & set(taken):
            break
    return names


def swept(values: Mapping[str, Any], setting: str, chosen: Sequence[Value], names: Sequence[str]) -> list[RunConfig]:
    """The runs of a sweep. values: nested, of all of them; what they say of the setting itself does not count.

    Raises WorkbenchError with all that stands against any of them.
    """
    found, problems = [], {}
    for value, name in zip(chosen, names, strict=True):
        try:
            found.append(read_config(overlay(values, nested({setting: value}) | {"name": name})))
        except WorkbenchError as error:
            problems[value_label(value)] = error.problems
    raise_all(setting, problems, len(chosen))
    return found


def raise_all(setting: str, problems: Mapping[str, Sequence[str]], count: int) -> None:
    """Raises WorkbenchError with what stands against runs by the label of their value, if anything does.

    count: of all runs. What stands against each of them is said once.
    """
    every = [one for found in problems.values() for one in found]
    shared = [one for one in dict.fromkeys(every) if len(problems) == count and every.count(one) == count]
    own = [
        f"With {title_of(setting)} {label}: {one}"
        for label, found in problems.items()
        for one in found
        if one not in shared
    ]
    if found := [*shared, *own]:
        raise WorkbenchError(*found)


def shares_reference(config: RunConfig, setting: str) -> bool:
    """Whether the runs of a sweep have one reference, which the first of them asks and the others read.

    A run with an earlier stage makes its reference itself.
    """
    method = METHODS[config.stages[-1]]
    one_stage = len(config.stages) == 1
    kept = method.has_reference and method.uses("reference") and config.reference == "kept"
    return one_stage and kept and setting not in _CHANGES_REFERENCE


def compares_losses(setting: str) -> bool:
    """Whether the losses of such runs say the same: one that is measured in another way, or scaled, is another number."""
    stage, _, own = setting.partition(".")
    return stage not in METHODS or own in ("learning_rate", "epochs", "max_steps")


def _takes_values(field: FieldInfo) -> bool:
    kind: Any = field.annotation
    return kind in (int, float, bool) or get_origin(kind) is Literal


def _value(field: FieldInfo, text: str) -> Value:
    """What a setting is told by a person's text. Raises ValueError with the rest of a sentence that begins with the text."""
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        known = {str(one): one for one in get_args(kind)}
        if text not in known:
            raise ValueError(f"is none of its values, which are {', '.join(known)}.")
        return str(known[text])
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise ValueError("is neither on nor off.")
        return _BOOLS[text.lower()]
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise ValueError(f"is no {'whole ' if kind is int else ''}number.") from None


def suggested(setting: str, value: Any) -> str:
    """Values to begin with, around the one that is set now; all there are, where a setting has few. "" where nothing is known."""
    field = fields().get(setting)
    if field is None:
        return ""
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)[:MOST]))
    if kind is bool:
        return "off, on"
    if not isinstance(value, int | float) or value <= 0:
        return ""
    around = [value * times for times in (0.25, 0.5, 1, 2)]
    found = [max(1, round(one)) for one in around] if kind is int else [float(f"{one:.2g}") for one in around]
    return ", ".join(value_label(one) for one in dict.fromkeys(found))
