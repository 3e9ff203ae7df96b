"""Rounds: votes become a dataset, the dataset the next round of training, and the rounds of a model a tree."""

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from workbench.core.data.formats.votes import OPTIONS as VOTE_OPTIONS
from workbench.core.errors import WorkbenchError
from workbench.core.names import to_name
from workbench.core.training.config import RunConfig, checked, read_config
from workbench.core.training.methods import DATA_KINDS, DATA_SETTINGS, fed_by
from workbench.jobs import preparing
from workbench.jobs.proposals import Proposal
from workbench.store import choices, datasets, presets, votes
from workbench.store.datasets import About
from workbench.store.runs import free_name, open_run, readable_runs
from workbench.store.sources import RowsSource

VoteRows = Literal["pairs", "thumbs"]

# Few rows, so small steps of few rows each, and each row is seen several times: fewer steps hardly move a model.
FEW = 500
FEW_EPOCHS = 3.0
MOST_EPOCHS = 20.0
LEAST_STEPS = 80
FEW_AT_ONCE = 4  # rows per step
HELD_OUT = 64  # rows that are measured on; the sitting that comes after measures better


@dataclass(frozen=True)
class Round:
    """A run, and the runs that went on from its adapter."""

    name: str
    data: str
    later: list["Round"] = field(default_factory=list)


def add_votes(sitting: str, name: str, kind: VoteRows = "pairs", mixed_with: str | None = None) -> About:
    """Store the votes of a sitting as a dataset; sitting "": all votes that may be trained on.

    mixed_with: a dataset of the same kind, whose training rows come along in a second dataset, which is then given back.
    Raises WorkbenchError where no vote makes a row, and where the kinds differ.
    """
    given = [dict(row) for _, row in votes.rows(sitting)]
    if not given:
        raise WorkbenchError("There are no votes here that can be trained on yet. Vote on some pairs of answers first.")
    if mixed_with:
        made = next(one.kind for one in VOTE_OPTIONS if one.id == kind)
        other = datasets.about(mixed_with)
        if other.kind != made:
            raise WorkbenchError(
                f"{other.title} holds {DATA_KINDS[other.kind].holds}, and the votes would become {DATA_KINDS[made or ''].holds}: the "
                "two cannot be mixed. Train on the votes alone, or let them become the other kind."
            )
    source = RowsSource(words=votes.source_of(given), rows=given).model_dump()
    preparing.run({"do": "import", "source": source, "name": name, "options": {"option": kind}})
    if mixed_with:
        stored, name = name, datasets.free_name(f"{name}-mixed")
        preparing.run({"do": "mix", "name": name, "first": stored, "second": mixed_with})
    return datasets.about(name)


def next_round(run_name: str, data: str) -> Proposal:
    """Settings for a run that goes on from an earlier one with a dataset that its votes made; "" begins with the base model.

    The reference is the earlier run: nothing else is what its answers came from. Settings of the earlier run are kept where
    they fit, and few rows get smaller batches and some more epochs.
    """
    about = datasets.about(data)
    stage = fed_by(DATA_KINDS[about.kind].setting)[0]
    before = _settings(run_name)
    values = before.model_dump() | dict.fromkeys(DATA_SETTINGS)
    stem = re.sub(r"-round-\d+$", "", run_name or to_name(before.model.title))
    values |= {
        "name": free_name(f"{stem[:50]}-round-2"), "method": stage, DATA_KINDS[about.kind].setting: about.name, "start_from": run_name or None,
        "held_out_limit": HELD_OUT,
    }  # fmt: skip
    if about.train_rows < FEW:
        values |= {"batch_size": min(before.batch_size, FEW_AT_ONCE), "accumulation": 1}
        values |= {"accumulation": max(1, FEW_AT_ONCE // int(values["batch_size"]))}
        epochs = math.ceil(LEAST_STEPS * FEW_AT_ONCE / max(about.train_rows, 1))
        values[stage] |= {"epochs": min(max(FEW_EPOCHS, float(epochs)), MOST_EPOCHS), "max_steps": 0}
    return Proposal(read_config(values), run_name or None)


def chains() -> list[Round]:
    """Every run that began with the base model and was gone on from, the newest first, with its later rounds."""
    configs = {run.name: run.config() for run in readable_runs()}

    def of(name: str, above: tuple[str, ...]) -> Round:
        config = configs[name]
        later = [one for one, its in configs.items() if its.start_from == name and one not in above]
        return Round(name, config.data_of(config.stages[-1]) or "", [of(one, (*above, name)) for one in sorted(later)])

    first = [name for name, config in configs.items() if not config.start_from or config.start_from not in configs]
    found = [of(name, ()) for name in first]
    return [one for one in found if one.later]


def _settings(run_name: str) -> RunConfig:
    """Of the run; without one of the demo preset, or the defaults for any other model."""
    if run_name:
        return open_run(run_name).config()
    model = choices.read().model
    values = {"name": to_name(model.title), "model": model.model_dump()}
    return checked(RunConfig, presets.recipe("demo").apply(values) if model.source == "demo" else values)
