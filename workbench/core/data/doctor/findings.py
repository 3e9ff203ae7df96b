"""What the doctor says of a dataset: findings with their evidence, and an overall word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from workbench.core.exact import Exact
from workbench.core.severity import Severity, with_former_names

Verdict = Literal["good", "warning", "blocker"]

VERDICT_LABELS: dict[Verdict, str] = {"good": "good", "warning": "usable with care", "blocker": "do not train on this"}


class Remedy(Exact):
    """What one click does about a finding. It makes a new version of the dataset; undo goes back.

    action: drop removes `rows`; clean takes markup out of `rows`; swap makes the rejected answer of `rows` the chosen one;
    split splits training and held-out rows again.
    label: words for the button. words: what it does, with the count, as a line of the dataset's history.
    rows: numbers of the rows that it changes, counted from 0 over the training rows and then the held-out rows.
    """

    action: Literal["drop", "clean", "swap", "split"]
    label: str
    words: str
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a check found. whole: what its share is a share of. count, share: unless they follow from the rows. other: a second
    remedy, in place of the first."""

    rows: Sequence[int]
    evidence: str
    whole: int
    remedy: Remedy | None = None
    severity: Severity | None = None
    count: int | None = None
    share: float | None = None
    left_out: bool = False
    other: Remedy | None = None


class Finding(Exact):
    """Something that a check found.

    check: id of the check. title: what it found, in words. share: count / the rows that were looked at, 0 to 1.
    evidence: a sentence with the figures. effect: what it does to training. advice: what to do about it.
    rows: numbers of all affected rows that are in the dataset, as in Remedy. left_out: the rows were left out when the
    dataset was made, so nothing is left to do; they are counted by reason in About.left_out. other: a second remedy, in place
    of the first.
    """

    check: str
    title: str
    severity: Severity
    count: int
    share: float
    evidence: str
    effect: str
    advice: str
    rows: tuple[int, ...] = ()
    left_out: bool = False
    remedy: Remedy | None = None
    other: Remedy | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_former_versions(cls, values: Any) -> Any:
        return with_former_names(values, weight="severity")


class Report(Exact):
    """The whole examination of a dataset.

    rows: training and held-out rows that were looked at. passed: ids of the checks that found nothing.
    not_checked: id of a check -> why it could not be made ("needs the tokenizer of a model").
    languages: share of each language (by its name) among the answers, the commonest first.
    model, max_length: whose tokenizer counted, and the longest example; None where no tokens were counted.
    """

    rows: int
    held_out_rows: int
    verdict: Verdict
    summary: str
    findings: tuple[Finding, ...] = ()
    passed: tuple[str, ...] = ()
    not_checked: dict[str, str] = {}
    languages: dict[str, float] = {}
    model: str | None = None
    max_length: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_former_versions(cls, values: Any) -> Any:
        return with_former_names(values, verdict="verdict")
