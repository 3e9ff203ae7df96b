"""What may be read of the recorded runs (tests/runs), whose faults are known."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run_cases import CASES

from workbench.core.monitoring.charts import readings
from workbench.core.monitoring.readings import Reading
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.config import read_config

CASE_OF = {case.name: case for case in CASES}
FILE = Path(__file__).parent / "runs" / "seeded.json.gz"

WELL = {
    "loss": {"falls"}, "margin": {"grows", "slight"}, "margin-nats": {"grows", "slight"}, "accuracy": {"above", "too small"},
    "rewards": {"rejected falls", "both part", "both fall", "flat"}, "drift": {"close", "moved"}, "gradient-norm": {"even", "jumps"},
    "learning-rate": {"ends", "high", "falls"},
}  # fmt: skip
_NOTHING = {
    "loss": {"flat"}, "margin": {"flat", "slight"}, "margin-nats": {"flat", "slight"}, "rewards": {"flat"}, "drift": {"close"},
    "accuracy": {"chance", "too small"},
}  # fmt: skip
_AWAY = {"margin": {"runs away"}, "margin-nats": {"runs away"}, "drift": {"far"}, "accuracy": {"above"}}
_NO_GRADIENT = {"gradient-norm": {"zero"}}
_LOST = {
    "loss": {"broken"},
    "margin": {"broken"},
    "rewards": {"broken"},
    "drift": {"broken"},
    "gradient-norm": {"broken"},
}
FAULTS: dict[str, dict[str, set[str]]] = {
    "rate-x30": _AWAY | {"loss": {"nothing left"}, "rewards": {"displaced"}},
    "norm-rate": _AWAY | {"loss": {"nothing left"}, "rewards": {"displaced"}},
    "ipo-rate": _AWAY | {"loss": {"nothing left"}, "rewards": {"displaced"}},
    "kto-rate": _AWAY,
    "rate-x400": {"loss": {"rises"}, "drift": {"far"}, "rewards": {"displaced", "inverted"}},
    **dict.fromkeys(("shuffled", "both-ways", "ipo-shuffled", "apo-both-ways", "kto-shuffled"), _NOTHING),
    **dict.fromkeys(("rate-tiny", "hinge-tiny", "kto-tiny", "beta-tiny", "norm-beta"), _NOTHING | {"accuracy": {"above", "too small"}}),
    **dict.fromkeys(("equal", "frozen", "kto-frozen"), _NOTHING | _NO_GRADIENT),
    "held-out-noise": {"loss": {"flat"}, "margin": {"flat", "behind"}, "accuracy": {"memorizes", "chance"}},
    "one-pair": {"margin": {"behind"}, "accuracy": {"memorizes"}},
    "nan": _LOST,
    "spike": {"gradient-norm": {"grows", "jumps"}},
    "sft-rate": {"loss": {"rises"}, "gradient-norm": {"grows", "jumps"}},
    "sft-tiny": {"loss": {"flat"}},
    "sft-frozen": {"loss": {"flat"}, "gradient-norm": {"zero"}},
}  # fmt: skip
"""By case: the claims that are true of its charts. Of charts that are not named nothing is known for certain."""


@dataclass(frozen=True)
class Recorded:
    name: str
    readings: dict[str, Reading]

    @property
    def known(self) -> dict[str, set[str]]:
        """The claims that may be read, by the ids of its charts; of a loss by its own id."""
        claims = FAULTS.get(self.name, {}) if CASE_OF[self.name].rules else WELL
        return {
            ident: claims[key]
            for ident in self.readings
            if (key := "loss" if ident.endswith("-loss") else ident) in claims
        }


def recorded() -> Iterator[Recorded]:
    for kept in json.loads(gzip.decompress(FILE.read_bytes())):
        case: Any = CASE_OF[kept["case"]]
        config = read_config(case.settings() | {"name": case.name})
        yield Recorded(case.name, readings(RunLog.of(kept["rows"]), kept["plan"], config))


def wrong_of(run: Recorded) -> list[tuple[str, str]]:
    """The charts of a run whose reading is not true, each with what was said."""
    return [
        (ident, f"{run.readings[ident].claim}: {run.readings[ident].text}")
        for ident, claims in run.known.items()
        if run.readings[ident].claim not in claims
    ]
