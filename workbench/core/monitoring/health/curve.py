"""A stage as far as it was logged, and what all rules ask of it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.metrics import Row
from workbench.core.monitoring.run_log import LATEST
from workbench.core.severity import Severity
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.losses import LossId
from workbench.core.training.methods import METHODS, Method
from workbench.core.training.settings import DpoSettings, ReferenceSettings, StageSettings

# So many rows are looked at together where a single one is too noisy.
WINDOW = 5

# Losses that divide the log-ratio of an answer by its length.
PER_TOKEN = ("ipo", "sigmoid_norm")

# Examples below which no share of them says anything.
FEWEST = 64


@dataclass(frozen=True)
class Curve:
    """A stage as far as it was logged.

    steps: planned. trained: rows with a training loss. others: without one. measured: rows with a held-out loss. facts: what the examples
    are like, as `answer_facts` counted it; empty where nobody did. Of a long run not all rows are there (core/monitoring/run_log.py),
    but the newest of them: see `window`.
    """

    stage: Stage
    config: RunConfig
    steps: int
    rows: tuple[Row, ...]
    trained: tuple[Row, ...]
    others: tuple[Row, ...]
    measured: tuple[Row, ...]
    facts: dict[str, float]

    @property
    def step(self) -> int:
        return int(self.rows[-1]["step"])

    @property
    def progress(self) -> float:
        return self.step / max(1, self.steps)

    @property
    def method(self) -> Method:
        return METHODS[self.stage]

    @property
    def own(self) -> StageSettings:
        return self.config.own(self.stage)

    @property
    def has_pairs(self) -> bool:
        """Whether chosen and rejected answers belong together, so that there is an accuracy."""
        return self.method.answers == 2

    @property
    def beta(self) -> float:
        assert isinstance(self.own, ReferenceSettings), "asked of methods that have a reference"
        return self.own.beta

    @property
    def loss_id(self) -> LossId | None:
        """Which loss it trains with, where there is more than one."""
        return self.own.loss if isinstance(self.own, DpoSettings) else None

    @property
    def rate(self) -> float:
        return self.own.learning_rate

    @property
    def start_loss(self) -> float | None:
        """The loss where nothing is preferred yet: as measured before the first step, or else as its formula says."""
        first = self.measured[0] if self.measured else None
        if first and first["step"] == 0 and has(first, "eval_loss"):
            return float(first["eval_loss"])
        return self.own.start_loss()

    @cached_property
    def tokens(self) -> float | None:
        """Mean tokens of a chosen answer: as counted, or at most as many as prompt and answer together have."""
        if counted := self.facts.get("answers/chosen"):
            return counted
        last = next((row for row in reversed(self.trained) if has(row, "num_tokens")), None)
        if last is None or not last["num_tokens"]:
            return None
        answers = self.method.answers * self.config.effective_batch * max(1, last["step"])
        return float(last["num_tokens"] / answers)

    @cached_property
    def moved(self) -> tuple[Row, ...]:
        """Training rows that were measured after at least one step at a learning rate above 0."""
        for place, row in enumerate(self.trained):
            if (row.get("learning_rate") or 0) > 0:
                return self.trained[place + 1 :]
        return ()

    @cached_property
    def warmed_up(self) -> bool:
        """Whether a step at more than half of the full learning rate was taken."""
        return bool(self.moved) and max(row.get("learning_rate") or 0 for row in self.moved) > self.rate / 2

    def window(self, rows: int) -> int:
        """So many of the newest rows, or as many as are kept one by one."""
        return min(LATEST, max(WINDOW, rows))

    def moved_until(self, share: float) -> tuple[Row, ...]:
        """Those of `moved` within this share of the planned steps."""
        return tuple(row for row in self.moved if row["step"] <= share * self.steps)

    def nats(self, row: Row, key: str) -> float:
        """A reward of a row in nats. TRL logs beta times the log-ratio of a whole answer, whatever the loss."""
        return float(row[key]) / self.beta

    def felt(self, row: Row) -> float | None:
        """The margin of a row as its loss feels it: from about 1 on the loss is content. None where that is not known.

        The logistic losses and hinge feel beta times the margin of the answers, and sigmoid_norm that of their tokens.
        sppo_hard aims at a margin of 1 / beta, ipo at 1 / (2 beta) for each token. KTO takes each answer by itself, so
        that it needs 1 on either side.
        """
        margin = float(row["rewards/margins"])
        if not self.has_pairs:
            return margin / 2
        if self.loss_id not in PER_TOKEN:
            return margin
        if self.tokens is None:
            return None
        rejected = self.facts.get("answers/rejected", self.tokens)
        each = row["rewards/chosen"] / self.tokens - row["rewards/rejected"] / max(1.0, rejected)
        return float(2 * each if self.loss_id == "ipo" else each)


def curve_of(rows: Sequence[Row], config: RunConfig, plan: dict[Stage, int], stage: Stage) -> Curve | None:
    """What was logged of a stage; None where that is nothing."""
    own = tuple(row for row in rows if row.get("stage") == stage and "step" in row) if stage in plan else ()
    if not own:
        return None
    trained, others = tuple(row for row in own if "loss" in row), tuple(row for row in own if "loss" not in row)
    facts = {key: row[key] for row in others for key in row if key.startswith("answers/") and row[key] is not None}
    measured = tuple(row for row in own if "eval_loss" in row)
    return Curve(stage, config, plan[stage], own, trained, others, measured, facts)


def found_by(
    rule: str,
    curve: Curve,
    evidence: str,
    *,
    advice: str = "",
    changes: dict[str, Any] | None = None,
    from_step: int | None = None,
    severity: Severity | None = None,
) -> RunFinding:
    told = RULES[rule]
    return RunFinding(
        rule=rule,
        severity=severity or told.severity,
        stage=curve.stage,
        step=curve.step,
        title=told.title,
        evidence=evidence,
        meaning=told.meaning,
        advice=advice or told.advice,
        changes=changes or {},
        from_step=from_step,
        stop=told.ends,
    )


def past_its_best(curve: Curve, limit: float) -> Row | None:
    """The evaluation with the lowest held-out loss, where two after it and the last one lie above it by more than `limit`."""
    rows = [row for row in curve.measured if has(row, "eval_loss")]
    if len(rows) < 3:
        return None
    best = min(rows, key=lambda row: row["eval_loss"])
    later = [row for row in rows if row["step"] > best["step"]]
    worse = [row for row in later if row["eval_loss"] > best["eval_loss"] + limit * abs(best["eval_loss"])]
    return best if best["step"] > 0 and len(worse) >= 2 and worse[-1] is later[-1] else None


def newest_loss(curve: Curve) -> float:
    """The held-out loss of the last evaluation at which it was a number."""
    return float(next(row["eval_loss"] for row in reversed(curve.measured) if has(row, "eval_loss")))


def ends_at(step: int) -> str:
    """What to do about a run that went on for too long, whether there is a checkpoint of that step or not."""
    return f'Take the model of step {step}: "Use step {step} instead" above, once the run has ended; or a run that ends there.'


def start_and_now(curve: Curve) -> tuple[Row | None, Row | None]:
    """The held-out loss before the first step, and the last one; None where it is not known."""
    rows = [row for row in curve.measured if has(row, "eval_loss")]
    if len(rows) < 2 or rows[0]["step"] != 0 or rows[-1]["step"] == 0:
        return None, None
    return rows[0], rows[-1]


def held_out_count(row: Row) -> int:
    """How many examples an evaluation measured; the trainer says it only as a speed."""
    return round((row.get("eval_samples_per_second") or 0) * (row.get("eval_runtime") or 0))


def finite(row: Row, key: str) -> bool:
    """Whether a number that was logged is one; what was not logged is no fault."""
    return key not in row or (row[key] is not None and math.isfinite(row[key]))


def has(row: Row, *keys: str) -> bool:
    for key in keys:  # noqa: SIM110  (asked ten times for each row, and all() takes twice as long)
        if row.get(key) is None:
            return False
    return True


def mean(rows: Sequence[Row], key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def rounded(number: float) -> float:
    """Three figures are enough for a setting."""
    return float(f"{number:.3g}")
