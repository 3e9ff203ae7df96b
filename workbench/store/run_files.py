"""What the JSON files of a run's folder hold, as they are checked where they are read (store/records.py)."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, PositiveFloat

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.best import HeldOut
from workbench.core.names import check_name
from workbench.core.training.config import RunConfig, Stage, stored_config
from workbench.store.records import Record

Outcome = Literal["finished", "stopped", "paused", "failed"]

Count = Annotated[int, Field(ge=0, le=10**12)]
Seconds = Annotated[FiniteFloat, Field(ge=0)]
"""Since the epoch, or since the start of the machine (see store/alive.py)."""

Spent = Annotated[FiniteFloat, Field(ge=0, le=1e10)]
"""Seconds that something took."""


class Fields(BaseModel):
    """An object in a file. What a newer version wrote beside the fields that this one knows is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Result(Fields):
    """How a run ended, and why, in words."""

    outcome: Outcome
    why: str


class Worker(Fields):
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    created: Seconds


class Ended(Fields):
    pid: int
    code: int


class Adjustment(Fields):
    """A change of settings on the way, because memory ran out."""

    changes: dict[str, Any]
    words: str
    time: Seconds


class Decided(Fields):
    """What was decided of the settings that the config leaves open. paths: core.memory's Companions, by their earlier name."""

    changes: dict[str, Any] = {}
    paths: dict[str, bool | int] = {}
    words: list[str] = []


class Branch(Fields):
    run: Annotated[str, BeforeValidator(lambda name: _a_name(name))]
    stage: Stage
    step: Count


class Probe(Fields):
    """One step on the longest batch. needed, forecast: bytes."""

    rows: Count
    tokens: Count
    seconds: Seconds
    needed: Count | None = None
    forecast: Count | None = None


class Reading(Fields):
    """How a stage read its batches. packed: those in packed rows, of `pairs` with the prompt once; why_not: where none may be.

    tokens: that were computed; padded_tokens: those that ordinary rows have with their padding. 0 where nobody counted them.
    """

    batches: Count
    packed: Count = Field(0, validation_alias=AliasChoices("packed", "prompts_once"))  # its name where only pairs were
    pairs: bool = True
    tokens: Count = 0
    padded_tokens: Count = 0
    why_not: str = ""


class OfData(BaseModel):
    """The dataset of a stage as it was; about.json has more."""

    model_config = ConfigDict(extra="allow", frozen=True)

    version: Count = 1


class Scaled(Fields):
    """The adapter that this run's is, as core.chat.Answerer names it, and the strength that it was scaled by."""

    name: str
    strength: Annotated[FiniteFloat, Field(gt=0)]


class Calibrated(NamedTuple):
    """See core/monitoring/reward_quality.py."""

    predicted: FiniteFloat
    actual: FiniteFloat
    pairs: Count


class RewardFacts(Fields):
    """How good a reward model is on held-out pairs (core/monitoring/reward_quality.py); of one of the Hub only the scale of its
    scores is known."""

    mean: FiniteFloat
    std: PositiveFloat
    pairs: Count = 0
    accuracy: FiniteFloat | None = None
    low: FiniteFloat = 0.0
    high: FiniteFloat = 1.0
    margin: FiniteFloat | None = None
    calibration: list[Calibrated] = []
    shorter_pairs: Count = 0
    shorter_accuracy: FiniteFloat | None = None


class Frozen(Fields):
    """Digests of what must not change while a policy trains, by its name. unchanged: None until they were compared."""

    before: dict[str, str] = {}
    after: dict[str, str] = {}
    unchanged: bool | None = None


class Environment(BaseModel):
    """What a worker wrote down about itself. What is not named here is kept as it is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    plan: dict[Stage, Count] = {}
    versions: dict[str, str] = {}
    probes: dict[Stage, Probe] = {}
    reference: dict[str, Count] = {}
    reading: dict[Stage, Reading] = {}
    data: dict[Stage, OfData] = {}
    backend: str = ""
    precision: str = ""
    why: str = ""
    device: str = ""
    model: dict[str, Any] = {}
    scaled: Scaled | None = None
    frozen: Frozen | None = None


class RunNotes(Fields):
    """What a person wrote about a run. title: what the pages call it, beside its name."""

    title: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()


class Settings(BaseModel):
    """A config, and the settings in its file that this version does not know."""

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    unknown: tuple[str, ...]


class _OfDisk(Record[Settings]):
    """config.json, whichever version wrote it."""

    def check(self, value: Any) -> Settings:
        config, unknown = stored_config(value)
        return Settings.model_construct(config=config, unknown=unknown)


def _a_name(name: Any) -> Any:
    """Part of a path later on, so only what can be the name of a run."""
    if isinstance(name, str):
        try:
            return check_name(name, "run")
        except WorkbenchError as error:
            raise ValueError(str(error)) from None
    return name


CONFIG = _OfDisk(Settings)
RESULT: Record[Result] = Record(Result)
WORKER: Record[Worker] = Record(Worker)
ENDED: Record[Ended] = Record(Ended)
ADJUSTMENTS: Record[list[Adjustment]] = Record(list[Adjustment])
DECIDED: Record[Decided] = Record(Decided)
BRANCH: Record[Branch] = Record(Branch)
ENVIRONMENT: Record[Environment] = Record(Environment)
REWARD: Record[RewardFacts] = Record(RewardFacts)
NOTES: Record[RunNotes] = Record(RunNotes)
HELD_OUT: Record[HeldOut] = Record(HeldOut)
CLOCK: Record[dict[str, Spent]] = Record(dict[str, Spent])

NEEDED: dict[str, Record[Any]] = {
    "config.json": CONFIG,
    "result.json": RESULT,
    "worker.json": WORKER,
    "adjustments.json": ADJUSTMENTS,
    "chosen.json": DECIDED,
    "forked.json": BRANCH,
}
"""The files without which nobody knows what a run is, or what it would do if it went on."""

TELLING: dict[str, Record[Any]] = {
    "environment.json": ENVIRONMENT, "exit.json": ENDED, "reward.json": REWARD, "notes.json": NOTES, "held_out.json": HELD_OUT,
    "clock.json": CLOCK,
}  # fmt: skip
"""The files that only tell about a run: without them it works, and the page says less."""
