"""How a run goes, judged from what its trainer logged while it goes.

Pure: the same rows give the same findings, at any moment of the run and after it. A rule that spoke on early rows can be
silent on later ones, when the run came round.
"""

from workbench.core.monitoring.health.examining import examine
from workbench.core.monitoring.health.facts import SAMPLE_SHARE, Sample, answer_facts, repetition, sample_facts
from workbench.core.monitoring.health.finding import RunFinding, change_summaries, suggestion, with_changes
from workbench.core.monitoring.health.rules import REFERENCE_LOSS, REFERENCE_NATS, RULES, Rule
from workbench.core.monitoring.health.start import wrong_start

__all__ = [
    "REFERENCE_LOSS",
    "REFERENCE_NATS",
    "RULES",
    "SAMPLE_SHARE",
    "Rule",
    "RunFinding",
    "Sample",
    "answer_facts",
    "change_summaries",
    "examine",
    "repetition",
    "sample_facts",
    "suggestion",
    "with_changes",
    "wrong_start",
]
