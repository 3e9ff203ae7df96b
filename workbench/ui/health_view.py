"""What health says of a run, as HTML."""

from collections.abc import Sequence

from workbench.core.monitoring.health import RunFinding, change_summaries
from workbench.core.training.config import RunConfig
from workbench.core.training.methods import stage_title
from workbench.ui.parts import Html, join, notice


def health_html(findings: Sequence[RunFinding], config: RunConfig) -> Html:
    """Every finding with its evidence, what it means, and what to do; nothing where nothing was found."""
    return join(*(finding_html(finding, config) for finding in findings))


def finding_html(finding: RunFinding, config: RunConfig) -> Html:
    """One finding. The settings that follow from it stand behind the advice."""
    where = f"{finding.title} ({stage_title(finding.stage)}, step {finding.step:,})" if finding.step else finding.title
    changes = change_summaries(config, finding)
    action = f"{finding.advice} {suggestion(finding, config)}." if changes else finding.advice
    return notice(finding.severity, where, f"{finding.evidence} {finding.meaning}", action)


def suggestion(finding: RunFinding, config: RunConfig) -> str:
    """What one click makes of a finding: "A new run: DPO learning rate from 0.0003 to 0.00015"."""
    return f"A new run: {', '.join(change_summaries(config, finding))}"
