"""DPO against RLHF: the same model aligned on the same preferences in both ways, as runs that follow from each other."""

import math
from collections.abc import Mapping
from typing import Any

from workbench.core.training.config import RunConfig, Stage, nested, overlay, read_config
from workbench.core.training.methods import BOTH_WAYS, DATA_SETTINGS, METHODS

OF_PAIRS, OF_SFT = (METHODS[stage].data.setting for stage in (BOTH_WAYS[-1], BOTH_WAYS[0]))


def both_ways(
    values: Mapping[str, Any], names: Mapping[Stage, str], measured: Mapping[Stage, Mapping[str, Any]]
) -> list[RunConfig]:
    """The runs in the order in which they are trained: SFT unless there is a start, DPO, a reward model, and RLOO against it.

    values: nested, of all of them, with the data and perhaps a run to start from. names: of the runs. measured: nested, what is
    better for each on this model. Raises WorkbenchError with all that stands against the first one that cannot be run.
    """
    start = values.get("start_from") or None
    pairs, judge, found = values.get(OF_PAIRS), "", []
    for stage in BOTH_WAYS:
        method = METHODS[stage]
        if method.imitates and start:
            continue
        own = {"name": names[stage], "method": stage, "start_from": start, **dict.fromkeys(DATA_SETTINGS)}
        own |= {OF_SFT: values.get(OF_SFT) or pairs} if method.imitates else {OF_PAIRS: pairs}
        settings = overlay(overlay(values, measured.get(stage, {})), own)
        if method.scores:
            settings["start_from"] = None  # it is to judge what comes of the start, so it begins beside it
        config = _judged(settings, stage, judge) if method.online else read_config(settings)
        found.append(config)
        start = config.name if method.imitates else start
        judge = config.name if method.scores else judge
    return found


def against(judge: RunConfig, name: str, start: str | None, measured: Mapping[str, Any]) -> RunConfig:
    """A run that trains a model against a reward model, on the prompts of the pairs that it was trained on.

    start: the run to start from. measured: as in `both_ways`. Raises WorkbenchError as read_config does.
    """
    stage = BOTH_WAYS[-1]
    settings = overlay(overlay(judge.model_dump(), measured), {"name": name, "method": stage, "start_from": start})
    return _judged(settings, stage, judge.name)


def _judged(settings: dict[str, Any], stage: Stage, judge: str) -> RunConfig:
    """With a reward run, whole groups in a step, and room for a prompt before the longest answer."""
    settings = overlay(settings, nested({f"{stage}.reward_run": judge}))
    config = RunConfig.model_validate(settings)
    own = config.own(stage)
    group, longest = own.answers_per_row(), own.longest_own_answer()
    batches = group // math.gcd(group, config.batch_size)
    fitting: dict[str, Any] = {"accumulation": math.ceil(config.accumulation / batches) * batches}
    if longest >= config.max_length:
        fitting |= nested({f"{stage}.answer_tokens": config.max_length // 2})
    return read_config(overlay(settings, fitting))
