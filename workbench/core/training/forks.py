"""Runs that follow from another one: two more epochs of a finished one, or a branch from a step of an unfinished one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.core.training.config import RunConfig, Stage, read_config, reference_label
from workbench.core.training.methods import DATA_SETTINGS, METHODS, stage_title

MORE_EPOCHS = 2.0


_WRITTEN = re.compile(r"(?P<run>[^@]+)@(?P<stage>.+)-(?P<step>\d+)")


@dataclass(frozen=True)
class Fork:
    """Where a run branches off: after a step of a stage of another run."""

    run: str
    stage: Stage
    step: int

    @property
    def words(self) -> str:
        return f"step {self.step:,} of {stage_title(self.stage)} of {self.run}"

    @property
    def written(self) -> str:
        """As one word, for a form and a command line: "first@dpo-120". No name of a run has an @."""
        return f"{self.run}@{self.stage}-{self.step}"


def parse_fork(text: str) -> Fork | None:
    """The fork that `written` wrote; None where the text is something else, such as the name of a run."""
    found = _WRITTEN.fullmatch(text)
    if found is None or found["stage"] not in METHODS:
        return None
    return Fork(found["run"], found["stage"], int(found["step"]))


def more_epochs(config: RunConfig, name: str) -> RunConfig:
    """Two more epochs of a finished run: its last stage once more, with the same settings, from the adapter it ended with.

    The reference is then that run as it ended. Raises WorkbenchError as read_config does.
    """
    last = config.stages[-1]
    values = config.model_dump(mode="json") | {"name": name, "method": last, "start_from": config.name}
    values[last] |= {"epochs": MORE_EPOCHS, "max_steps": 0}
    values |= dict.fromkeys(DATA_SETTINGS) | {METHODS[last].data.setting: config.data_of(last)}
    return read_config(values)


def reference_of(config: RunConfig, fork: Fork | None) -> str:
    """The model that the last stage is measured against, in words. A fork keeps the one of the run that it branched off."""
    words = reference_label(config)
    if fork is None or not METHODS[fork.stage].has_reference or not words:
        return words
    if len(config.stages) > 1:
        return f"the SFT model of run {fork.run}"
    return f"{words}, as in run {fork.run}"


def fork_problems(config: RunConfig, earlier: RunConfig, fork: Fork, planned: Mapping[Stage, int]) -> list[str]:
    """What stands against starting `config` where another run was at a step, with the reason of each.

    earlier: the settings of that run as it trained. planned: steps of each stage under `config`. What is not named here
    may change: learning rate, schedule, beta, loss, length, clipping, and all that a later stage has of its own.
    """
    found = []
    for title, now, then, reason in _fixed(config, earlier, fork.stage):
        if now != then and "auto" not in (now, then):  # left to the machine, which decides the same again
            found.append(
                f"{title} is {now}, and it was {then} in {earlier.name}: {reason}. Set it to {then}, or start from the beginning."
            )
    if config.effective_batch != earlier.effective_batch:
        found.append(
            f"The effective batch is {config.effective_batch}, and it was {earlier.effective_batch} in {earlier.name}: "
            f"step {fork.step:,} would lie elsewhere in the data. Keep batch size times accumulation, or start from the beginning."
        )
    if not found and planned[fork.stage] <= fork.step:
        found.append(
            f"{stage_title(fork.stage)} has {planned[fork.stage]:,} steps with these settings, so nothing is left to train after "
            f"{fork.words}. Take more steps or epochs, or an earlier step."
        )
    return found


def _fixed(config: RunConfig, earlier: RunConfig, stage: Stage) -> list[tuple[str, object, object, str]]:
    """Title, value now, value then, and the reason why a checkpoint holds only with that value."""
    weights = "the weights of the checkpoint would not fit"
    rows = "the checkpoint knows its place in the data by it"
    optimizer = "the state of the optimizer in the checkpoint was made with it"
    own: list[tuple[str, object, object, str]] = [
        ("The base model", config.model.name, earlier.model.name, weights),
        ("The revision of the base model", config.model.revision, earlier.model.revision, weights),
        ("Precision", config.precision, earlier.precision, weights),
        ("Rank", config.adapter.rank, earlier.adapter.rank, weights),
        ("Alpha", config.adapter.alpha, earlier.adapter.alpha, "it scales what the weights of the checkpoint do"),
        ("Start from", config.start_from, earlier.start_from, "the reference would be another one"),
        ("Method", config.method, earlier.method, "the checkpoint belongs to a stage of that method"),
        ("Optimizer", config.optimizer, earlier.optimizer, optimizer),
        ("Weight decay", config.weight_decay, earlier.weight_decay, optimizer),
        ("Seed", config.seed, earlier.seed, rows),
        ("Group by length", config.group_by_length, earlier.group_by_length, rows),
    ]
    if earlier.group_by_length and METHODS[stage].smallest_batch == 1:
        own += [
            ("Batch size", config.batch_size, earlier.batch_size, rows),
            ("Longest example", config.max_length, earlier.max_length, rows),
        ]
    if config.method != earlier.method:
        return own
    done = earlier.stages[: earlier.stages.index(stage)]
    for one in (*done, stage):
        own.append((f"The data of {stage_title(one)}", config.data_of(one), earlier.data_of(one), rows))
    for one in done:
        now, then = config.own(one), earlier.own(one)
        for name, field in type(then).model_fields.items():
            reason = f"{stage_title(one)} is behind it"
            own.append((field.title or name, getattr(now, name), getattr(then, name), reason))
    return own
