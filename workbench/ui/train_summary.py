"""What a run of the Train page will do, before it does."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.duration import (
    LOADING,
    StageForecast,
    duration_range_label,
    forecast_stage,
    tokens_label,
)
from workbench.core.training.config import ModelRef, RunConfig, Stage
from workbench.core.training.forks import Fork, reference_of
from workbench.core.training.methods import DATA_KINDS, METHODS, stage_title
from workbench.jobs import queue, training
from workbench.jobs.app_state import has_card
from workbench.jobs.pace import seconds_per_example
from workbench.jobs.planning import plan_run
from workbench.jobs.thinking import has_switch
from workbench.store import choices, datasets, presets
from workbench.store.home import shipped
from workbench.store.weights import count_parameters
from workbench.ui.memory_bar import memory_bar
from workbench.ui.parts import Html, card, empty, facts, join, notice
from workbench.ui.train_form import config_from, fork_from

ROWS_TO_MEASURE = 200

_THINKING = {
    True: "on: answers begin with thoughts, in training, samples and chat",
    False: "off: answers begin at once, in training, samples and chat",
}


def summary_html(values: Mapping[str, Any]) -> Html:
    """What will happen, before it does: or what is missing."""
    model = choices.read().model
    try:
        config = config_from(values)
        fork = fork_from(values)
        training.check(config, fork)
        forecasts = forecasts_of(config)
    except WorkbenchError as error:
        return join(
            empty("Not ready yet", "What is missing or wrong is listed below; the summary appears once it is fixed."),
            *[notice("warning", "Fix this first", problem) for problem in error.problems],
        )
    pairs: list[tuple[str, object]] = [("Base model", model.title)]
    for one in forecasts:
        done = _done(one, fork)
        behind = f", of which {done:,} are done" if done else ""
        own = config.own(one.stage)
        tokens = one.steps * config.effective_batch * own.longest_own_answer()
        read = f"up to {tokens:,} tokens of its own answers" if tokens else tokens_label(one.tokens)
        words = f"{one.steps:,} steps on {one.rows:,} {METHODS[one.stage].noun} of {config.data_of(one.stage)}, {read}{behind}"
        pairs.append((stage_title(one.stage), words))
    online = next((stage for stage in config.stages if METHODS[stage].online), None)
    at_once = f"{config.batch_size} at once × {config.accumulation}"
    if online:
        pairs += _online_facts(config, online, at_once)
    else:
        pairs.append(("Effective batch", f"{config.effective_batch} ({at_once})"))
    if fork:
        pairs.append(("Starts from", f"{fork.words}: its adapter, optimizer and curve until then, with these settings"))
    elif config.start_from:
        pairs.append(("Starts from", f"the adapter of {config.start_from}"))
    if has_switch(config.model):
        pairs.append(("Thinking", _THINKING[config.thinking]))
    last = METHODS[config.stages[-1]]
    if last.has_reference:
        verified = f"when {fork.run} began" if fork and fork.stage == last.stage else "before the first step"
        pairs.append(("Reference", f"{reference_of(config, fork)}, verified {verified}"))
    if last.experimental:
        pairs.append(("Reference", "none: nothing but a low learning rate holds the model to what it was"))
        pairs.append(("Method", "experimental: may change or be removed in TRL, the library that trains"))
    pairs += [
        (f"{stage_title(one)} {'objective' if METHODS[one].online else 'loss'}", words)
        for one in config.stages
        if (words := config.own(one).loss_summary())
    ]
    pairs.append(("Expected time", expected_time([_left(one, fork) for one in forecasts])))
    result = f"an adapter of rank {config.adapter.rank} in the run {config.name}"
    if last.scores:
        result += (
            ", with a head that scores: it judges answers and writes none. Train against it, or let it score on Compare"
        )
    pairs.append(("Result", result))
    return join(*_turn_notices(), card("What will happen", facts(pairs)), memory_html(config), *_thumbs_notices(config))


def _online_facts(config: RunConfig, stage: Stage, at_once: str) -> list[tuple[str, object]]:
    """What trains, what judges, and how many answers a step compares, of a method that answers by itself."""
    own = config.own(stage)
    group, longest = own.answers_per_row(), own.longest_own_answer()
    prompts = config.effective_batch // group
    return [
        (
            "Trains",
            "the policy's adapter alone. Base model, reference and reward stay as they are, which is checked byte by byte",
        ),
        ("Judged by", f"{' + '.join(own.judges())}. Try it on real answers below the form"),
        (
            "Answers per step",
            f"{config.effective_batch} ({at_once}): {prompts} {'prompt' if prompts == 1 else 'prompts'}, each with a group of {group} "
            f"answers of at most {longest:,} tokens, which are compared with each other",
        ),
    ]


def _turn_notices() -> list[Html]:
    """What stands before this run: another one on the device, or runs that wait for it."""
    busy, waiting = training.running(), queue.waiting()
    count = f"{len(waiting)} {'run waits' if len(waiting) == 1 else 'runs wait'}"
    if busy:
        others = f"; {count} before it" if waiting else ""
        words = f"One run at a time has the device. In the queue this one starts by itself when its turn comes{others}."
        return [notice("info", f"{busy.name} is training", words)]
    if waiting:
        words = (
            "Start takes the device at once, and they wait until it has ended. Add to the queue puts it behind them."
        )
        return [notice("info", f"{count} in the queue", words)]
    return []


def _done(forecast: StageForecast, fork: Fork | None) -> int:
    """Steps of a stage that lie behind the step where a run branches off."""
    stages = list(METHODS)
    if fork is None or stages.index(forecast.stage) > stages.index(fork.stage):
        return 0
    return fork.step if forecast.stage == fork.stage else forecast.steps


def _left(forecast: StageForecast, fork: Fork | None) -> StageForecast:
    """The forecast of what is left to do."""
    share = 1 - _done(forecast, fork) / forecast.steps
    seconds = forecast.seconds
    return replace(forecast, seconds=seconds and (seconds[0] * share, seconds[1] * share))


def _thumbs_notices(config: RunConfig) -> list[Html]:
    """What stands against the weights of liked and disliked answers."""
    rated = [stage for stage in config.stages if METHODS[stage].data is DATA_KINDS["unpaired"]]
    found = [config.own(stage).thumbs_advice(*datasets.thumbs(config.data_of(stage) or "")) for stage in rated]
    return [notice("warning", "One side weighs more than the other", advice) for advice in found if advice]


def memory_html(config: RunConfig) -> Html:
    """Whether the run fits into the memory that is free now."""
    try:
        return memory_bar(plan_run(config, download=_not_while_typing))
    except WorkbenchError as error:
        return notice("info", "The memory of this run is not forecast", str(error))


def _not_while_typing(name: str, revision: str | None) -> Path:
    raise WorkbenchError(f"{name} was not downloaded yet. Load it on the Model page, and its memory is forecast here.")


def forecasts_of(config: RunConfig) -> list[StageForecast]:
    """Steps, rows and time of each stage."""
    return [_forecast(config, stage) for stage in config.stages]


def _forecast(config: RunConfig, stage: Stage) -> StageForecast:
    name = config.data_of(stage) or ""
    about = datasets.about(name)
    rows = datasets.read(name, "train", ROWS_TO_MEASURE)
    lengths = [_characters(row, stage) for row in rows]
    return forecast_stage(
        config,
        stage,
        about.train_rows,
        sum(lengths) / max(1, len(lengths)),
        _parameters(config.model),
        "cuda" if has_card() else "cpu",
        seconds_per_example(config, stage),
    )


def _characters(row: Mapping[str, Any], stage: Stage) -> int:
    """Characters that a step reads of a row: the prompt with each answer that the method reads."""
    prompt = sum(len(message["content"]) for message in row["prompt"])
    answers = [sum(len(m["content"]) for m in row[key]) for key in ("completion", "chosen", "rejected") if key in row]
    read = answers[: METHODS[stage].answers]
    return sum(prompt + answer for answer in read)


def _parameters(model: ModelRef) -> int | None:
    if model.source == "demo":
        return count_parameters(shipped("assets") / "demo" / "model")
    if model.source == "folder":
        return count_parameters(Path(model.name).expanduser())
    return next((one.parameters for one in presets.models() if one.id == model.name), None)


def expected_time(forecasts: list[StageForecast], runs: int = 1) -> str:
    """Of so many runs, one after the other, of which each loads the model anew."""
    known = [one.seconds for one in forecasts if one.seconds]
    if len(known) < len(forecasts):
        return "known after the first steps, because this model's size is not known yet"
    total = (runs * LOADING + sum(low for low, _ in known), runs * LOADING + sum(high for _, high in known))
    how = (
        "from an earlier run here"
        if all(one.measured for one in forecasts)
        else "a rough guess until the first steps are timed"
    )
    return f"{duration_range_label(total)} ({how})"
