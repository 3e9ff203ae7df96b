"""Page 4: how does it go?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.core.errors import WorkbenchError
from workbench.core.memory.plan import in_gigabytes
from workbench.core.monitoring.charts import CHART_IDS, charts, drawn_by
from workbench.core.monitoring.duration import duration_label
from workbench.core.monitoring.health import RunFinding, examine, with_changes
from workbench.core.monitoring.metrics import results
from workbench.core.training.forks import Fork, reference_of
from workbench.core.training.methods import method_title, stage_title
from workbench.core.training.run_state import CAN_RESUME
from workbench.jobs import queue, training
from workbench.jobs.app_state import AppState
from workbench.jobs.logs import Reading
from workbench.store import choices, run_data
from workbench.store.forks import fork_of, forks_of, newest_before
from workbench.store.runs import Run, open_run
from workbench.ui.border import border
from workbench.ui.chart import CHARTS_CLASS, chart, packed
from workbench.ui.health_view import health_html
from workbench.ui.open_dropdown import open_dropdown
from workbench.ui.pages import Pages, go_to
from workbench.ui.parts import Html, bar, card, empty, facts, join, notice, page_head, table, text
from workbench.ui.queue_view import Waiting, queue_html, queue_position_message
from workbench.ui.samples_view import samples_html

STATE_LABELS = {
    "queued": "waits in the queue",
    "running": "training",
    "lost": "lost",
    "finished": "finished",
    "stopped": "stopped",
    "paused": "paused",
    "failed": "failed",
    "unreadable": "cannot be read",
}

Signature = tuple[Any, ...]
"""What the page shows of a run, in so far as it changes. Equal: there is nothing to draw."""


@dataclass(frozen=True)
class WatchTab:
    run: gr.Dropdown
    head: gr.HTML
    stop: gr.Button
    pause: gr.Button
    resume: gr.Button
    front: gr.Button
    remove: gr.Button
    again: gr.Button
    better: gr.Button
    better_from: gr.Button
    more: gr.Button
    compare: gr.Button
    trash: gr.Button
    queue: gr.HTML
    hold: gr.Button
    go_on: gr.Button
    health: gr.HTML
    charts: dict[str, gr.HTML]
    samples: gr.HTML
    log: gr.Textbox
    details: gr.HTML
    branch: gr.Button

    @property
    def drawn(self) -> list[Component]:
        """All that changes with the run that is shown, in the order of `page_of`."""
        return [
            self.head, self.stop, self.pause, self.resume, self.front, self.remove, self.again, self.better,
            self.better_from, self.more, self.compare, self.trash, self.queue, self.hold, self.go_on, self.health,
            *self.charts.values(), self.samples, self.log, self.details, self.branch,
        ]  # fmt: skip


def draw(app: AppState) -> WatchTab:
    gr.HTML(
        page_head(
            "How does it go?",
            "Live while it trains, and there again when you come back: a run is a folder, not a window.",
        )
    )
    run = open_dropdown(
        # Runs come and go while the window is open: `enter` fills it, and chooses one of those that are there then.
        [],
        label="Run",
        elem_id="wb-watch-run",
        filterable=True,
        min_width=280,
    )
    head = gr.HTML(elem_id="wb-watch-head")
    with gr.Row(elem_classes="wb-actions"):
        stop = gr.Button("Stop and save", variant="stop", visible=False, elem_id="wb-watch-stop")
        pause = gr.Button("Pause", visible=False, elem_id="wb-watch-pause")
        resume = gr.Button("Resume", variant="primary", visible=False, elem_id="wb-watch-resume")
        front = gr.Button("Run next", visible=False, elem_id="wb-watch-front")
        remove = gr.Button("Remove from queue", visible=False, elem_id="wb-watch-remove")
        again = gr.Button("Run again with the same settings", visible=False, elem_id="wb-watch-again")
        better = gr.Button("A new run with the suggested change", visible=False, elem_id="wb-watch-better")
        better_from = gr.Button(
            "The suggested change, from a checkpoint", visible=False, elem_id="wb-watch-better-from"
        )
        more = gr.Button("Two more epochs", visible=False, elem_id="wb-watch-more")
        compare = gr.Button("Compare base and aligned →", variant="primary", visible=False, elem_id="wb-watch-compare")
        trash = gr.Button("Move to the trash", visible=False, elem_id="wb-watch-trash")
    waiting = gr.HTML(elem_id="wb-watch-queue")
    with gr.Row(elem_classes="wb-actions"):
        hold = gr.Button("Hold queue", visible=False, elem_id="wb-watch-hold")
        go_on = gr.Button("Resume queue", visible=False, elem_id="wb-watch-go-on")
    health = gr.HTML(elem_id="wb-watch-health")
    with gr.Column(elem_classes=CHARTS_CLASS):
        drawn = {ident: chart(elem_id=f"wb-chart-{ident}") for ident in CHART_IDS}
    with gr.Accordion("Sample answers: before and now", open=False):
        samples = gr.HTML(elem_id="wb-watch-samples")
    with gr.Accordion("Worker log", open=False):
        log = gr.Textbox(
            show_label=False,
            lines=12,
            max_lines=12,
            interactive=False,
            autoscroll=True,
            elem_id="wb-watch-log",
            buttons=["copy"],
        )
    with gr.Accordion("Settings, versions and files of this run", open=False):
        details = gr.HTML()
        branch = gr.Button("New run from a checkpoint", visible=False, elem_id="wb-watch-branch")
    return WatchTab(
        run, head, stop, pause, resume, front, remove, again, better, better_from, more, compare, trash, waiting, hold, go_on,
        health, drawn, samples, log, details, branch,
    )  # fmt: skip


def wire(tab: WatchTab, pages: Pages, app: AppState) -> None:
    outputs = tab.drawn
    seen = gr.State(())
    listed = gr.State(())

    def refresh(run_name: str | None, before: Signature) -> Any:
        """One tick: everything on the page, or nothing where nothing changed."""
        now = signature(app, run_name)
        if now == before:
            return gr.skip()
        return [*page_of(app, run_name, before), now]

    def list_runs(shown: tuple[tuple[str, str], ...]) -> Any:
        """The Run list as it is now, with what each of them is doing."""
        now = tuple(run_choices(app))
        return gr.skip() if now == shown else (gr.update(choices=list(now)), now)

    @border
    def stop(run_name: str) -> Html:
        return notice("info", training.stop(open_run(run_name)))

    @border
    def pause(run_name: str) -> Html:
        return notice("info", training.pause(open_run(run_name)))

    @border
    def resume(run_name: str) -> Html:
        app.resume(open_run(run_name))
        return notice("info", f"{run_name} goes on")

    @border
    def front(run_name: str) -> Html:
        return notice("info", queue.to_front(run_name))

    @border
    def remove(run_name: str) -> gr.Dropdown:
        gr.Info(queue.remove(run_name))
        return enter()

    @border
    def hold() -> None:
        gr.Info(queue.hold())

    @border
    def go_on() -> None:
        gr.Info(queue.go_on())

    @border
    def pick(run_name: str | None) -> None:
        choices.update(run=run_name)

    def enter() -> gr.Dropdown:
        """The runs there are now; shown is the one that was looked at last, or else the newest."""
        known = run_choices(app)
        last = choices.read().run
        names = [name for _, name in known]
        return gr.Dropdown(choices=known, value=last if last in names else next(iter(names), None))

    @border
    def trash(run_name: str) -> gr.Dropdown:
        gr.Info(training.move_to_trash(open_run(run_name)))
        return enter()

    pages.clock.each_second(refresh, [tab.run, seen], [*outputs, seen])
    pages.clock.each_second(list_runs, [listed], [tab.run, listed])
    tab.run.input(pick, tab.run, None, show_progress="hidden")
    tab.run.change(lambda: (), None, seen, show_progress="hidden")
    pages.opened["watch"].select(enter, None, tab.run, show_progress="hidden")
    tab.stop.click(stop, tab.run, tab.head, show_progress="hidden")
    tab.pause.click(pause, tab.run, tab.head, show_progress="hidden")
    tab.resume.click(resume, tab.run, tab.head, show_progress="hidden")
    tab.front.click(front, tab.run, tab.head, show_progress="hidden")
    tab.remove.click(remove, tab.run, tab.run, show_progress="hidden")
    tab.trash.click(trash, tab.run, tab.run, show_progress="hidden")
    tab.hold.click(hold, None, None, show_progress="hidden")
    tab.go_on.click(go_on, None, None, show_progress="hidden")
    tab.compare.click(lambda: go_to("compare"), None, pages.tabs, show_progress="hidden")


def run_choices(app: AppState) -> list[tuple[str, str]]:
    """Every run with what it is doing, newest first."""
    now = app.survey()
    return [(f"{run.name} · {STATE_LABELS[now.states[run.name]]}", run.name) for run in now.runs]


def signature(app: AppState, run_name: str | None) -> Signature:
    """Changes when there is something new to show."""
    run = _find(run_name)
    now = app.survey()
    waiting = tuple(one.name for one in now.waiting)
    in_queue = waiting, queue.held() if waiting else None, now.running if waiting else None
    if run is None:
        return ("nothing", run_name, training.gone_message(run_name or ""), *in_queue)
    state = now.states.get(run.name) or training.state_of(run)
    if state == "unreadable":
        return run.name, state, tuple(run.problems()), *in_queue
    log = os.path.getsize(run.log_file) if os.path.exists(run.log_file) else 0
    return run.name, state, app.read(run).version, log, run.stop_file.exists(), bool(run.environment()), *in_queue


def page_of(app: AppState, run_name: str | None, before: Signature) -> list[Any]:
    """Updates of all that `WatchTab.drawn` names."""
    run = _find(run_name)
    if run is None:
        return nothing_but(app, absent_html(run_name))
    state = training.state_of(run)
    if state == "unreadable":
        return nothing_but(app, unreadable_html(run), can_trash=True)
    reading = app.read(run)
    running = state == "running"
    label = "End at once" if run.stop_file.exists() else "Stop and save"
    # The charts are the heavy part; they are sent only when there are new rows.
    drawn_before = before[2] if len(before) > 2 and before[0] == run.name else None
    plan = run.environment().get("plan", {})
    drawn = charts(reading.log, plan) if drawn_before != reading.version else {}
    findings = findings_of(app, run)
    waits = state == "queued"
    start_again, branch = better_fork(run, findings), next(iter(forks_of(run)), None)
    return [
        join(*notes_html(run), head_html(app, run), *reading_html(reading)),
        gr.update(value=label, visible=running),
        gr.update(visible=running and not run.stop_file.exists()),
        gr.update(visible=state in CAN_RESUME),
        gr.update(visible=waits and app.survey().waiting[:1] != (run,)),
        gr.update(visible=waits),
        gr.update(visible=not running and not waits),
        gr.update(visible=suggested(findings) is not None),
        gr.update(
            value=f"The suggested change, from step {start_again.step:,}" if start_again else "",
            visible=start_again is not None,
        ),
        gr.update(visible=state == "finished" and run.has_adapter),
        gr.update(visible=run.has_adapter),
        gr.update(visible=False),
        *queue_updates(app),
        health_html(findings, run.adjusted_config()) if findings else "",
        *[
            gr.update(value=packed(drawn[ident]), visible=ident in drawn_by(stages_of(run)) or "hidden")
            if ident in drawn
            else gr.skip()
            for ident in CHART_IDS
        ],
        samples_html(reading.samples) if drawn else gr.skip(),
        run.log_tail(),
        details_html(run),
        gr.update(
            value=f"New run from step {branch.step:,} of {stage_title(branch.stage)}" if branch else "",
            visible=branch is not None,
        ),
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


def nothing_but(app: AppState, head: Html, can_trash: bool = False) -> list[Any]:
    """The page with a head and the queue, where there is no run to show, or none that can be read."""
    return [
        head,
        *[gr.update(visible=False)] * 10,
        gr.update(visible=can_trash),
        *queue_updates(app),
        "",
        *[gr.update(visible="hidden")] * len(CHART_IDS),
        "",
        "",
        "",
        gr.update(visible=False),
    ]


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


def queue_updates(app: AppState) -> list[Any]:
    """The card of the queue and its two buttons; nothing where nothing waits."""
    waiting, held = app.survey().waiting, queue.held()
    if not waiting:
        return [gr.update(value="", visible="hidden"), gr.update(visible=False), gr.update(visible=False)]
    busy = app.survey().running
    taken = None if busy else training.unlisted_holder()
    words = training.holder_message(taken) if taken else ""
    return [
        gr.update(
            value=queue_html([_described(one) for one in waiting], held, busy.name if busy else None, words),
            visible=True,
        ),
        gr.update(visible=held is None),
        gr.update(visible=held is not None),
    ]


def _described(run: Run) -> Waiting:
    try:
        config = run.config()
    except WorkbenchError:
        return run.name, "its settings cannot be read", ""
    return run.name, method_title(config.method), config.model.title


def better_fork(run: Run, findings: Sequence[RunFinding]) -> Fork | None:
    """The newest checkpoint before the trouble from which the suggested settings can go on; None where there is none."""
    finding = suggested(findings)
    fork = newest_before(run, finding.stage, finding.from_step) if finding and finding.from_step else None
    if not finding or not fork:
        return None
    try:
        training.check(with_changes(run.adjusted_config(), finding, run.name), fork)
    except WorkbenchError:
        return None
    return fork


def stages_of(run: Run) -> tuple[str, ...]:
    try:
        return run.config().stages
    except WorkbenchError:
        return ()


def head_html(app: AppState, run: Run) -> Html:
    """What the run is doing or how it ended, and its numbers so far."""
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
        return join(card(run.name, shown, *tried, text(checkpoint_line(app, run))), *adjusted_html(run), *stopping)
    if state == "queued":
        return notice(
            "info",
            f"{run.name} waits in the queue",
            queue_position_message(run.name, [one.name for one in app.survey().waiting], queue.held()),
        )
    if state == "finished":
        return join(notice("good", f"{run.name} is finished", words.removeprefix("Finished. ")), numbers_html(app, run))
    if state == "stopped":
        return join(notice("info", f"{run.name} was stopped", words), numbers_html(app, run))
    if state == "paused":
        return notice("info", f"{run.name} is paused", words)
    title = f"{run.name} was lost" if state == "lost" else f"{run.name} failed"
    return notice("blocker", title, words)


def reading_html(reading: Reading) -> list[Html]:
    """How far a long run was read, and what of it cannot be read."""
    far = f"{reading.share:.0%} of metrics.jsonl is read so far. Until then the curves show a part of its rows."
    return [
        *([] if reading.is_whole else [text(far)]),
        *([notice("warning", "Part of this run cannot be read", reading.trouble)] if reading.trouble else []),
    ]


def findings_of(app: AppState, run: Run) -> list[RunFinding]:
    """What the rules about health say of a run now; nothing where its settings cannot be read, or not all of it was read."""
    reading = app.read(run)
    if not reading.is_whole:
        return []
    try:
        return examine(reading.log.rows, run.adjusted_config(), run.environment().get("plan", {}))
    except WorkbenchError:
        return []


def suggested(findings: Sequence[RunFinding]) -> RunFinding | None:
    """The gravest finding that suggests other settings; None where there is none."""
    return next((finding for finding in findings if finding.changes), None)


def adjusted_html(run: Run) -> list[Html]:
    """What was changed because memory ran out, and data that changed under the run."""
    changed = "; ".join(one["words"] for one in run.adjustments())
    other_rows = [notice("warning", "The data is another one", words) for words in run_data.data_change_message(run)]
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
    reached = results(app.read(run).log.rows, run.config())
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
        ("Backend", environment.get("why", "told when the model is loaded")),
        ("Precision", str(environment.get("precision", config.precision)).upper()),
        ("Versions", versions),
        ("Decided for this machine", "\n".join(run.chosen().get("words", []))),
        ("Longest batch, tried first", "\n".join(probe_summary(*one) for one in environment.get("probes", {}).items())),
        ("Known of the reference", reference_cache_summary(environment.get("reference", {}))),
        ("Changed on the way", "\n".join(one["words"] for one in run.adjustments())),
        ("Settings", "\n".join(f"{key}: {value}" for key, value in config.model_dump().items())),
    ]
    return facts([(label, value) for label, value in pairs if value])


def notes_html(run: Run) -> list[Html]:
    """What is wrong with files that only tell about a run."""
    return [notice("warning", "Not all of its files can be read", " ".join(notes))] if (notes := run.notes()) else []


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


def _find(run_name: str | None) -> Run | None:
    if not run_name:
        return None
    try:
        return open_run(run_name)
    except WorkbenchError:
        return None
