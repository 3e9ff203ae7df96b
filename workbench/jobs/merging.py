"""A run merged into its base model, in a child process, and compared with the run before it counts as written."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.core.data.messages import Message, message
from workbench.core.errors import WorkbenchError
from workbench.core.export.agreement import TOLERANCES, Measured, checks
from workbench.core.export.exported import Check
from workbench.core.export.targets import ExportOptions
from workbench.core.monitoring.metrics import results
from workbench.core.monitoring.progress import trained_seconds
from workbench.core.training.model_card import Merged, model_card
from workbench.core.votes.sitting import held_out_prompts
from workbench.jobs.child import Child, Gone, OverLimit, ProcessLimits, Progress
from workbench.jobs.curves_picture import with_curves_of, with_report_of
from workbench.jobs.processes import engine
from workbench.store import datasets
from workbench.store.adapter_files import check_adapter
from workbench.store.best import rows_of_result, step_of_result
from workbench.store.forks import fork_of
from workbench.store.home import home, write_text
from workbench.store.runs import Run

WORKER = engine("merge")

HELD_OUT = 12
LOOKED_THROUGH = 2000  # rows
OWN = (
    "Hello",
    "What is the capital of France?",
    "Explain in one sentence why the sky is blue.",
    "Count from one to five.",
)

HOUR = 3600.0  # a large model is loaded without a word


def write_merged(
    run: Run, options: ExportOptions, folder: Path, say: Progress, worker: Sequence[str] = WORKER
) -> tuple[list[Check], list[str]]:
    """The merged model in a folder that is there and empty: weights, tokenizer, chat template, settings, card.

    Raises WorkbenchError for a run that cannot be merged, and where there is no room; whatever `say` raises ends it.
    """
    found = merge(run, options, folder, say, worker)
    config = run.config()
    checked = checks(found, options.precision)
    scaled: dict[str, Any] = (
        {} if options.strength == 1 else {"scaled": {"name": run.name, "strength": options.strength}}
    )
    rows, step = run.log().rows, step_of_result(run)
    trained = scaled or {"seconds": trained_seconds(rows), "step": step.words if step else ""}
    reached = () if scaled else results(rows_of_result(run, rows), config)
    said = Merged(options.precision, [f"{one.what}: {one.found}." for one in checked])
    card = model_card(run.adjusted_config(), run.environment() | trained, reached, fork_of(run), said)
    if not scaled:
        card = with_curves_of(run, folder, with_report_of(run, card))
    write_text(folder / "README.md", card)
    return checked, _notes(found, options)


def merge(run: Run, options: ExportOptions, folder: Path, say: Progress, worker: Sequence[str] = WORKER) -> Measured:
    """The same without the card, and what was measured of it."""
    title = f"the adapter of {run.name}"
    if run.is_reward:
        raise WorkbenchError(
            f"{run.name} is a reward model, which is not merged: Transformers' own classifiers read the score at the last token that is "
            "not padding, and where padding is the end token that is not where the answer ends. Merged, it would score in another "
            "way than it was trained to. Export it as an adapter; its card says how to read the scores."
        )
    check_adapter(run.adapter, title)
    request = {
        "do": "merge", "run": str(run.folder), "out": str(folder), "precision": options.precision,
        "strength": options.strength, "prompts": fixed_prompts(run),
    }  # fmt: skip
    child = Child(worker, "export.log")
    limits = ProcessLimits(silence=HOUR)
    try:
        child.wait("ready", limits, say)
        child.send(request)
        return Measured.model_validate(child.wait("done", limits, say)["result"])
    except OverLimit:
        raise WorkbenchError(
            f"Merging {run.name} made no progress for an hour ({child.words}), so it was ended. Nothing was stored. Does the machine swap? "
            "Close other programs, and try again."
        ) from None
    except Gone:
        raise WorkbenchError(
            f"The process that merged {run.name} ended unexpectedly, most often because memory ran out. Nothing was stored. Close other "
            f"programs and the loaded model, or take bf16. What it printed is in export.log in {home()}."
        ) from None
    finally:
        child.end()


def fixed_prompts(run: Run) -> list[list[Message]]:
    """Prompts to compare with: held-out ones of the data that the run learned from, as far as it is there, and a few of ours."""
    config = run.config()
    found: list[list[Message]] = []
    with suppress(WorkbenchError):  # the data may be gone
        rows: list[Any] = datasets.read(config.data_of(config.stages[-1]) or "", "held_out", LOOKED_THROUGH)
        found = held_out_prompts([row["prompt"] for row in rows if row.get("prompt")], HELD_OUT, config.seed)
    return [*found, *([message("user", text)] for text in OWN)]


def _notes(found: Measured, options: ExportOptions) -> list[str]:
    notes = []
    if found.arithmetic != "fp32":
        notes.append(
            f"Memory did not hold the base model in fp32, so it was merged and compared in {found.arithmetic}: each changed weight is "
            "rounded twice."
        )
    if found.changed < TOLERANCES[options.precision].kl:
        notes.append(
            f"The adapter moves the answers by {found.changed:.2g} nats per token, less than the tolerance: the comparison could not tell "
            "this run from its base model."
        )
    return notes
