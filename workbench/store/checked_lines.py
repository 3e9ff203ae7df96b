"""A line of metrics.jsonl or samples.jsonl -> a value that everything else may rely on, or a named flaw.

A run's folder can hold what nobody meant to write: a line edited by hand, half a block of a disk, a file of another program.
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, cast

from pydantic_core import SchemaValidator, ValidationError, core_schema, from_json

from workbench.core.monitoring.health import SAMPLE_SHARE, Sample
from workbench.core.monitoring.metrics import FORKED, RESUMED, Row
from workbench.core.training.methods import METHODS

# Far more than any run takes, and few enough to draw.
MOST_STEPS = 10**9

# No loss or gradient in fp32 or bf16 comes near: what is larger has overflowed. Its square is a number still.
LARGEST = 1e100

# Names in one row; a trainer logs some twenty.
MOST_NAMES = 500

# Characters of what the worker says that it is doing.
MOST_WORDS = 2_000


class Flaw(Enum):
    """Why a line cannot be used: of one line, and of several."""

    JSON = "is not readable JSON", "are not readable JSON"
    LONG = "is too long", "are too long"
    SHAPE = "is not an object", "are not objects"
    STEP = "has no step", "have no step"
    IMPOSSIBLE = "has an impossible step", "have an impossible step"
    STAGE = "names no known stage", "name no known stage"
    TIME = "has no time", "have no time"
    NUMBER = "has something else where a number belongs", "have something else where a number belongs"
    RANGE = "has a number that cannot be", "have a number that cannot be"
    WORDS = "has a phase that is not text", "have a phase that is not text"
    PLACE = "does not say where the run went on from", "do not say where the run went on from"
    SAMPLE = "is not a whole sample answer", "are not whole sample answers"


def flaw_summary(flaws: Mapping[Flaw, int], file: str) -> str:
    """`{STEP: 2, JSON: 1}` -> "3 lines of metrics.jsonl cannot be read: 2 have no step, 1 is not readable JSON."."""
    total = sum(flaws.values())
    if not total:
        return ""
    commonest = sorted(flaws.items(), key=lambda one: -one[1])
    reasons = [f"{count:,} {flaw.value[0 if count == 1 else 1]}" for flaw, count in commonest]
    return f"{total:,} line{'' if total == 1 else 's'} of {file} cannot be read: {', '.join(reasons)}."


def checked_row(line: bytes) -> Row | Flaw:
    """A line of metrics.jsonl.

    A row with a step has a known stage, the `steps` that are planned and a `time`, and under every other name a finite
    number, or None, which is a gap: NaN, infinity and what no float holds are gaps. A row without a step says what the
    worker does (`phase`), that it went on (`resumed`, with its stage) or where it branched off (`forked`).
    """
    try:
        return cast(Row, _ROW.validate_json(line))
    except ValidationError:
        pass  # an event, a gap, or a flaw
    value = _object(line)
    if isinstance(value, Flaw):
        return value
    is_event = "step" not in value and not value.keys().isdisjoint(("phase", RESUMED, FORKED))
    try:
        if is_event:
            event = cast(Row, _EVENT.validate_python(value))
            return Flaw.PLACE if RESUMED in event and "stage" not in event else event
        return cast(Row, _ROW.validate_python({key: _or_gap(one) for key, one in value.items()}))
    except ValidationError as error:
        return _flaw_of(error)


def checked_sample(line: bytes) -> Sample | Flaw:
    """A line of samples.jsonl."""
    try:
        return cast(Sample, _SAMPLE.validate_json(line))
    except ValidationError:
        value = _object(line)
        return value if isinstance(value, Flaw) else Flaw.SAMPLE


def checked_finding(line: bytes) -> dict[str, Any] | Flaw:
    """A line of findings.jsonl: what was found, and when it was first said."""
    try:
        return cast(dict[str, Any], _FINDING.validate_json(line))
    except ValidationError:
        value = _object(line)
        return value if isinstance(value, Flaw) else Flaw.SHAPE


def answered_once(samples: Iterable[Sample]) -> list[Sample]:
    """Sample answers without those that were given again: what a run answered last counts, where it stood first."""
    return list({(one["stage"], one["step"], json.dumps(one["prompt"])): one for one in samples}.values())


def _object(line: bytes) -> dict[str, Any] | Flaw:
    try:
        value = from_json(line)
    except ValueError:
        return Flaw.JSON
    if not isinstance(value, dict):
        return Flaw.SHAPE
    return Flaw.LONG if len(value) > MOST_NAMES else value


def _or_gap(value: Any) -> Any:
    """None for a number that is none (which is not below anything), or that is too large."""
    return None if type(value) in (int, float) and not abs(value) < LARGEST else value


_OF_PLACES = {"step": Flaw.STEP, "steps": Flaw.IMPOSSIBLE, "stage": Flaw.STAGE, "time": Flaw.TIME, "phase": Flaw.WORDS}


def _flaw_of(error: ValidationError) -> Flaw:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name, is_out_of_range = first["loc"][0] if first["loc"] else "", "than" in first["type"]
    if name in (RESUMED, FORKED):
        return Flaw.PLACE
    if name == "step" and is_out_of_range:
        return Flaw.IMPOSSIBLE
    if name in _OF_PLACES:
        return _OF_PLACES[str(name)]
    return Flaw.RANGE if is_out_of_range else Flaw.NUMBER


def _fields(**schemas: core_schema.CoreSchema) -> dict[str, core_schema.TypedDictField]:
    return {name: core_schema.typed_dict_field(schema) for name, schema in schemas.items()}


def _optional(names: tuple[str, ...], schema: core_schema.CoreSchema) -> dict[str, core_schema.TypedDictField]:
    return {name: core_schema.typed_dict_field(schema, required=False) for name in names}


_STAGE = core_schema.literal_schema(list(METHODS))
_STEP = core_schema.int_schema(strict=True, ge=0, le=MOST_STEPS)
_TIME = core_schema.float_schema(strict=True, allow_inf_nan=False, gt=-LARGEST, lt=LARGEST)
_NUMBER = core_schema.nullable_schema(_TIME)
_SHARE = core_schema.nullable_schema(core_schema.float_schema(strict=True, ge=0, le=1))
_COUNT = core_schema.nullable_schema(core_schema.float_schema(strict=True, ge=0, lt=LARGEST))
_WORDS = core_schema.str_schema(strict=True, max_length=MOST_WORDS)

_SHARES = (
    "rewards/accuracies", "eval_rewards/accuracies", "mean_token_accuracy", "eval_mean_token_accuracy",
    "answers/commonest", "answers/ended", "answers/chosen_longer", "answers/chosen_shorter", "samples/at_limit",
    "samples/repetition", "samples/longer", "samples/repeats_more", SAMPLE_SHARE,
)  # fmt: skip
_COUNTS = (
    "answers/examples", "answers/chosen", "answers/rejected", "samples/answers", "samples/tokens", "num_tokens",
    "eval_runtime", "eval_samples_per_second", "grad_norm", "learning_rate", "epoch",
)  # fmt: skip

_REWARDS = ("reward", "implicit_reward", "implicit_reward_of_start")

_ROW = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            **_fields(step=_STEP, stage=_STAGE, steps=_STEP, time=_TIME),
            **_optional(_SHARES, _SHARE),
            **_optional(_COUNTS, _COUNT),
            **_optional(("phase",), _WORDS),
        },
        extras_schema=_NUMBER,
        extra_behavior="allow",
    )
)
_EVENT = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            **_optional(("phase",), _WORDS),
            **_optional(("time",), _TIME),
            **_optional(("stage",), _STAGE),
            **_optional((RESUMED,), core_schema.int_schema(strict=True, ge=-1, le=MOST_STEPS)),
            **_optional(
                (FORKED,),
                core_schema.typed_dict_schema(
                    _fields(run=core_schema.str_schema(strict=True), stage=_STAGE, step=_STEP), extra_behavior="ignore"
                ),
            ),
        },
        extra_behavior="ignore",
    )
)
_FINDING = SchemaValidator(
    core_schema.typed_dict_schema(
        _fields(rule=core_schema.str_schema(strict=True, max_length=MOST_NAMES), stage=_STAGE, step=_STEP),
        extra_behavior="ignore",
    )
)
_SAMPLE = SchemaValidator(
    core_schema.typed_dict_schema(
        _fields(
            stage=_STAGE,
            step=_STEP,
            prompt=core_schema.list_schema(
                core_schema.typed_dict_schema(
                    _fields(role=core_schema.str_schema(strict=True), content=core_schema.str_schema(strict=True)),
                    extra_behavior="ignore",
                ),
                strict=True,
                min_length=1,
            ),
            answer=core_schema.str_schema(strict=True),
            tokens=_STEP,
            hit_limit=core_schema.bool_schema(strict=True),
            repetition=core_schema.float_schema(strict=True, ge=0, le=1),
        )
        | _optional(_REWARDS, core_schema.float_schema(allow_inf_nan=False)),
        extra_behavior="ignore",
    )
)
