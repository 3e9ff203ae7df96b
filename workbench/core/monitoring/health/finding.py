"""What a rule says of a run, and the settings of a new run that follow from it."""

from typing import Any

from workbench.core.exact import Exact
from workbench.core.severity import Severity
from workbench.core.training.config import RunConfig, Stage, fields, nested, overlay, read_config, value_of


class RunFinding(Exact):
    """Something that a rule found in a run.

    rule: id of the rule. step: of the stage, at which the rule looked; of an exploding step, that step itself.
    evidence: a sentence with the figures. meaning: what it does to the model. advice: what to do. changes: the advice
    as settings by their dotted names, for a new run; empty where no setting helps. from_step: the last step that was
    still good, to start again from; None to start from the beginning. stop: the run is lost, its worker should end it.
    """

    rule: str
    severity: Severity
    stage: Stage
    step: int
    title: str
    evidence: str
    meaning: str
    advice: str
    changes: dict[str, Any] = {}
    from_step: int | None = None
    stop: bool = False


def with_changes(config: RunConfig, finding: RunFinding, name: str) -> RunConfig:
    """The settings of a new run, called `name`, with what a finding suggests. Raises WorkbenchError as read_config does."""
    values = config.model_dump(mode="json") | {"name": name}
    return read_config(overlay(values, nested(finding.changes)))


def change_summaries(config: RunConfig, finding: RunFinding) -> list[str]:
    """What a finding suggests, setting by setting: "DPO learning rate from 0.00025 to 0.00013"."""
    return [
        f"{fields()[setting].title} from {value_of(config, setting):g} to {value:g}"
        for setting, value in finding.changes.items()
    ]


def suggestion(finding: RunFinding, config: RunConfig) -> str:
    """What one click makes of a finding: "A new run: DPO learning rate from 0.0003 to 0.00015"."""
    return f"A new run: {', '.join(change_summaries(config, finding))}"
