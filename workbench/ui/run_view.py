"""A run as the Watch page tells of it: what it is doing, how it ended, its numbers, its health, and how to repeat it."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.memory.plan import in_gigabytes
from workbench.core.monitoring.best import chosen_by, gain_message
from workbench.core.monitoring.duration import duration_label
from workbench.core.monitoring.health import RunFinding, change_summaries, suggestion
from workbench.core.monitoring.metrics import closing_message, results
from workbench.core.training.config import RunConfig
from workbench.core.training.forks import reference_of
from workbench.core.training.methods import method_title, stage_title
from workbench.core.training.mirror import MIRROR_TITLES
from workbench.jobs import queue, training
from workbench.jobs.app_state import AppState
from workbench.jobs.logs import Reading
from workbench.store import best, run_data
from workbench.store.best import rows_of_result
from workbench.store.forks import fork_of
from workbench.store.runs import Run
from workbench.ui.parts import Html, bar, card, empty, facts, join, notice, table, text
from workbench.ui.queue_view import queue_position_message
from workbench.ui.time_bar import time_bar


def head_html(app: AppState, run: Run, findings: Sequence[RunFinding] = ()) -> Html:
    """What the run is doing or how it ended, and its numbers so far. findings: what is told of its health below that."""
    state = training.state_of(run)
    words = training.summary(run)
    if state == "running":
        now = app.progress(run)
        left = "" if now.seconds_left is None else f", about {duration_label(now.seconds_left)} left"
        step = f"step {now.step} of {now.steps}{left}" if now.step else "getting ready"
        stopping = [notice("info", "Stopping", words)] if run.stop_file.exists() else []
        shown = bar(now.step / max(1, now.steps), f"{now.phase[:1].upper()}{now.phase[1:]}: {step}")
        probe = run.environment().get("probes", {}).get(now.stage)
        tried = [text(f"Longest batch, tried first: {probe_summary(now.stage, probe)}")] if now.stage and probe else []
        kept = [text(words) for words in (checkpoint_line(app, run), best_line(run)) if words]
        return join(card(run.name, shown, *tried, *kept), *adjusted_html(run), *stopping)
    if state == "queued":
        return notice(
            "info",
            f"{run.name} waits in the queue",
            queue_position_message(run.name, [one.name for one in app.survey().waiting], queue.held()),
        )
    if state == "finished":
        if best.step_of_result(run):  # of which the run's own words say nothing
            words = closing_message(rows_of_result(run, app.read(run).log.rows), run.config())
        ended = words.removeprefix("Finished. ")
        # Numbers can look good that went wrong: what a rule found to be lost is not called good above it.
        if any(one.severity == "blocker" for one in findings):
            done = notice(
                "warning", f"{run.name} is finished, with a problem", ended, "What it is, and what to do, stands below."
            )
        else:
            done = notice("good", f"{run.name} is finished", ended)
        return join(done, *best_html(run), numbers_html(app, run))
    if state == "stopped":
        return join(notice("info", f"{run.name} was stopped", words), *best_html(run), numbers_html(app, run))
    if state == "paused":
        return notice("info", f"{run.name} is paused", words)
    title = f"{run.name} was lost" if state == "lost" else f"{run.name} failed"
    words = _not_twice(words, findings)
    return join(notice("blocker", title, words), *(best_html(run) if state == "failed" else []))


def _not_twice(words: str, findings: Sequence[RunFinding]) -> str:
    """Why a run failed, without the meaning and advice that stand below it where a rule about its health ended it."""
    for one in findings:
        whole = f"{one.title}: {one.evidence} {one.meaning} {one.advice}"
        if one.stop and words.startswith(whole):
            return (
                f"{one.title}: {one.evidence}{words.removeprefix(whole)} What it means, and what to do, stands below."
            )
    return words


def best_line(run: Run) -> str:
    """Which step is the best so far; "" before there is one."""
    if not (found := best.best_of(run)):
        return ""
    measured, result = found[1], chosen_by(found[1].stage)
    return f"Best so far: {measured.words}, held-out {result.name} {measured.value:{result.format}}. It is kept whatever comes after it."


def best_html(run: Run) -> list[Html]:
    """That an earlier step was better than the last one, with how much, or that such a step is the result."""
    found = best.compared(run)
    if found is None:
        return []
    measured, last, gained = found
    words = gain_message(measured, last, gained)
    if best.step_of_result(run):
        then = 'The last step is kept too: "Use the last step again" brings it back.'
        return [notice("info", f"The result is {measured.words}", words, then)]
    title = (
        f"It was better at {measured.words}"
        if gained.is_clear
        else f"Its held-out {chosen_by(measured.stage).name} was best at {measured.words}"
    )
    then = f'That step is kept: "Use step {measured.step:,} instead" makes it the result, for Compare, Export and runs that start from it.'
    return [notice("warning" if gained.is_clear else "info", title, words, then)]


def reading_html(reading: Reading) -> list[Html]:
    """How far a long run was read, and what of it cannot be read."""
    far = f"{reading.share:.0%} of metrics.jsonl is read so far. Until then the curves show a part of its rows."
    return [
        *([] if reading.is_whole else [text(far)]),
        *([notice("warning", "Part of this run cannot be read", reading.trouble)] if reading.trouble else []),
    ]


def absent_html(run_name: str | None) -> Html:
    """What is shown in place of a run: that there is none yet, or what became of the one that was looked at."""
    if not run_name:
        return empty("No run yet", "Curves appear here when a run has started. Start one on the Train page.")
    words = (
        training.gone_message(run_name)
        or "Its folder was deleted or moved. If it was training, its worker ends itself."
    )
    return notice("blocker", f"{run_name} is gone", words)


def unreadable_html(run: Run) -> Html:
    """Why a run cannot be read, and where its files are."""
    return join(
        notice("blocker", f"{run.name} cannot be read", " ".join(run.problems())),
        card(
            "What you can do",
            text(
                "Fix the named file in a text editor, or restore it from a copy, and the run is back. If a newer "
                "version of the workbench made it, open it with that one. Or move it to the trash: its folder, with all "
                "that is in it, goes to the folder trash beside runs."
            ),
            facts([("Folder", run.folder)]),
        ),
    )


def adjusted_html(run: Run) -> list[Html]:
    """What was changed because memory ran out, and data that changed under the run."""
    changed = "; ".join(one["words"] for one in run.adjustments())
    other_rows = [notice("warning", "The data has changed", words) for words in run_data.data_change_message(run)]
    return [
        *(
            [
                notice(
                    "warning", "Memory ran out, and the run continues with a smaller footprint", f"Changed: {changed}."
                )
            ]
            if changed
            else []
        ),
        *other_rows,
    ]


def checkpoint_line(app: AppState, run: Run) -> str:
    """What would be kept if the machine went off now, and when there will be more."""
    kept = training.checkpoint_label(run)
    now = f"Last checkpoint: {kept}. A lost run continues from there." if kept else "No checkpoint yet."
    coming = app.next_checkpoint(run)
    if coming is None:
        return now
    return f"{now} Next checkpoint at step {coming.step:,} of {stage_title(coming.stage)}, in about {duration_label(coming.seconds)}."


def numbers_html(app: AppState, run: Run) -> Html:
    """The numbers that a run ended with."""
    reached = results(rows_of_result(run, app.read(run).log.rows), run.config())
    lines = [(stage_title(one.stage), f"Held-out {one.result.name}", one.text) for one in reached]
    return table(["Stage", "Measured", "Value"], lines) if lines else Html("")


def details_html(run: Run) -> Html:
    """Everything that is needed to understand or repeat the run."""
    environment = run.environment()
    try:
        config = run.config()
    except WorkbenchError as error:
        return notice("blocker", "The settings cannot be read", str(error))
    fork = fork_of(run)
    versions = ", ".join(f"{name} {version}" for name, version in environment.get("versions", {}).items())
    pairs: list[tuple[str, object]] = [
        ("Folder", run.folder),
        ("Base model", config.model.name),
        ("Method", method_title(config.method)),
        ("Branched off at", fork.words if fork else ""),
        ("Reference", reference_of(config, fork)),
        ("Data", ", ".join(sorted({config.data_of(stage) or "" for stage in config.stages}))),
        ("Data that had changed", "\n".join(run_data.data_change_message(run))),
        ("Backend", environment.get("why", "known once the model is loaded")),
        ("Precision", str(environment.get("precision", config.precision)).upper()),
        ("Versions", versions),
        ("Decided for this machine", "\n".join(run.chosen().get("words", []))),
        ("Longest batch, tried first", "\n".join(probe_summary(*one) for one in environment.get("probes", {}).items())),
        ("Known of the reference", reference_cache_summary(environment.get("reference", {}))),
        ("How batches were read", "\n".join(reading_summary(*one) for one in environment.get("reading", {}).items())),
        ("Mirror", environment.get("mirror") or ("" if config.mirror == "none" else MIRROR_TITLES[config.mirror])),
        ("Changed on the way", "\n".join(one["words"] for one in run.adjustments())),
        ("Settings", "\n".join(f"{key}: {value}" for key, value in config.model_dump().items())),
    ]
    return join(time_bar(run.seconds()), facts([(label, value) for label, value in pairs if value]))


def notes_html(run: Run) -> list[Html]:
    """What is wrong with files that only tell about a run, and with the mirror of its numbers."""
    notes, lost = run.notes(), run.environment().get("mirror", "")
    return [
        *([notice("warning", "Not all of its files can be read", " ".join(notes))] if notes else []),
        *([notice("warning", "Its numbers are not mirrored", str(lost))] if lost else []),
    ]


def probe_summary(stage: str, probe: Mapping[str, Any]) -> str:
    """What one step on the longest batch took, before the first step that counts."""
    words = f"{stage_title(stage)}: {probe['rows']} × {probe['tokens']:,} tokens in {probe['seconds']:.1f} s."
    if probe.get("needed") and probe.get("forecast"):
        words += (
            f" The run needs {in_gigabytes(probe['needed'])}; up to {in_gigabytes(probe['forecast'])} were forecast."
        )
    return words


def reference_cache_summary(reference: Mapping[str, int]) -> str:
    """How often the reference was asked, and how often what it had said was read."""
    if not reference:
        return ""
    computed, read = reference.get("computed", 0), reference.get("read", 0)
    return f"{computed:,} log-probabilities computed and kept for later runs, {read:,} read"


def reading_summary(stage: str, reading: Mapping[str, Any]) -> str:
    """How many batches were read without padding, what that saved, or why none was."""
    batches, packed = reading.get("batches", 0), reading.get("packed", 0)
    if reading.get("why_not"):
        return f"{stage_title(stage)}: all {batches:,} batches in padded rows, since {reading['why_not']}"
    pairs = reading.get("pairs", True)
    how = "with the prompt of a pair read once for both answers" if pairs else "with several examples in a row"
    words = f"{stage_title(stage)}: {packed:,} of {batches:,} batches {how}, where that computes less than padded rows"
    tokens, padded = reading.get("tokens", 0), reading.get("padded_tokens", 0)
    return f"{words}; {tokens / padded:.0%} of their tokens in all" if tokens and padded else words


def health_html(findings: Sequence[RunFinding], config: RunConfig) -> Html:
    """Every finding with its evidence, what it means, and what to do; nothing where nothing was found."""
    return join(*(finding_html(finding, config) for finding in findings))


def finding_html(finding: RunFinding, config: RunConfig) -> Html:
    """One finding. The settings that follow from it stand behind the advice."""
    where = f"{finding.title} ({stage_title(finding.stage)}, step {finding.step:,})" if finding.step else finding.title
    changes = change_summaries(config, finding)
    action = f"{finding.advice} {suggestion(finding, config)}." if changes else finding.advice
    return notice(finding.severity, where, f"{finding.evidence} {finding.meaning}", action)
