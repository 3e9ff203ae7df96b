"""What the doctor says of thoughts and of what was skipped at conversion: tools, pictures, contradicting scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from workbench.core.data.doctor.dataset_facts import RowTable, with_fault
from workbench.core.data.doctor.findings import Found, Remedy
from workbench.core.data.doctor.row_facts import THINKS
from workbench.core.data.messages import NOTED
from workbench.core.data.token_counts import TemplateFacts

_TURN_ON = " That is with Thinking off; rows with thoughts are trained on with it on."

# Beyond this share of rows with or without thoughts the rest counts as a slip.
_MIXED = 0.02


def of_thoughts(table: RowTable, template: TemplateFacts | None) -> dict[str, Found]:
    """Which answers begin with thoughts, and whether only some of them do."""
    rows = with_fault(table, THINKS)
    if not rows:
        return {}
    evidence = f"{len(rows):,} of {len(table):,} rows have thoughts in an answer.{_treatment(template)}"
    return {"thoughts": Found(rows, evidence, len(table))} | _mixed(table, rows)


def _treatment(template: TemplateFacts | None) -> str:
    """What the chat template will do to thoughts, in sentences; "" where no template is known."""
    if template is None:
        return ""
    if template.deletes_thoughts:
        does = "writes the answers without them"
    elif template.switch and "</think>" in template.opening:
        does = (
            "has a switch for them: with Thinking off it ends the prompt with a thought that is over already, and theirs come "
            "after it; with Thinking on they follow the prompt"
        )
    else:
        does = "writes them as they are"
    empty = " Before an answer without thoughts it writes an empty one." if template.adds_empty else ""
    return f" This model's chat template {does}.{empty}"


def _mixed(table: RowTable, rows: Sequence[int]) -> dict[str, Found]:
    """Whether only some of the answers begin with thoughts. rows: those that do."""
    share = len(rows) / len(table)
    if share > 1 - _MIXED:
        return {}
    fewer: Sequence[int] = rows
    if share > 0.5:
        thinking = set(rows)
        fewer = [row for row in range(len(table)) if row not in thinking]
    evidence = (
        f"{len(rows):,} of {len(table):,} rows have thoughts (<think>...</think>) in an answer, the others have none."
    )
    kind = "without" if share > 0.5 else "with"
    many = "1 row" if len(fewer) == 1 else f"{len(fewer):,} rows"
    words = f"Dropped {many} {kind} thoughts, of which only some rows had any"
    remedy = Remedy(action="drop", label=f"Drop {many} {kind} thoughts", words=words, rows=tuple(fewer))
    return {"thoughts_mixed": Found(fewer, evidence, len(table), remedy)}


def of_template(template: TemplateFacts, table: RowTable) -> dict[str, Found]:
    """Whether the chat template takes away thoughts that are in the rows."""
    rows = with_fault(table, THINKS) if template.deletes_thoughts else []
    if not rows:
        return {}
    evidence = (
        f"{len(rows):,} of {len(table):,} rows have thoughts in an answer, and this model's chat template writes the answer "
        "without them."
    )
    return {"thoughts_deleted": Found(rows, evidence, len(table))}


def mismatch_cause(template: TemplateFacts) -> str:
    """Why prompts change when an answer follows, where it lies in how the template treats thoughts."""
    if not template.opening:
        return ""
    deletes = " and deletes the thoughts of answers" if template.deletes_thoughts else ""
    return (
        f" The cause is the chat template: where an answer is to begin it writes {template.opening!r}, which it leaves out"
        f"{deletes} once the answer is there."
        f"{_TURN_ON if template.switch else ''}"
    )


def with_notes(found: Mapping[str, Found], notes: Mapping[str, int], rows_read: int) -> dict[str, Found]:
    """The findings, with those notes of the conversion that are one. rows_read: rows of the source."""
    all_found = dict(found)
    for check in dict.fromkeys(NOTED[note] for note in notes if note in NOTED):
        told = {note: count for note, count in notes.items() if NOTED.get(note) == check and count}
        words = "; ".join(f"{count:,} x {note}" for note, count in told.items())
        if check in all_found:
            earlier = all_found[check]
            all_found[check] = replace(earlier, evidence=f"{earlier.evidence} At conversion: {words}.")
        elif told:
            evidence = f"At the conversion of {rows_read:,} rows: {words}."
            share = min(1.0, sum(told.values()) / rows_read)
            all_found[check] = Found((), evidence, rows_read, count=sum(told.values()), share=share)
    return all_found
