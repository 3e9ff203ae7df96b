"""What an export wrote, as HTML: files, comparisons with the run, answers that differ, how it is served."""

from pathlib import Path

from workbench.core.export.exported import Check, Exported, Serving
from workbench.core.export.targets import TARGETS
from workbench.core.memory.plan import in_gigabytes
from workbench.ui.parts import Html, answer_table, card, commands, facts, folded, join, notice, table, text


def written_html(found: Exported) -> Html:
    folder = Path(found.folder)
    rows = [(name, in_gigabytes((folder / name).stat().st_size)) for name in found.files]
    title = f"{found.run} as {TARGETS[found.target].title.lower()}"
    return join(
        card(title, facts([("Folder", found.folder)]), table(["File", "Size"], rows)),
        *map(_check_html, found.checked),
        *(notice("info", "To know", words) for words in found.notes),
        *([card("Serve it", *map(_serving_html, found.serving))] if found.serving else []),
    )


def _check_html(check: Check) -> Html:
    """A comparison, with the answers that differ behind it."""
    said = notice("good" if check.ok else "blocker", check.what, f"{check.found[:1].upper()}{check.found[1:]}.")
    if not check.differing:
        return said
    answers = answer_table(
        [("aligned", "the run"), ("aligned", "as exported")],
        [(one.prompt, [(one.of_run, ""), (one.of_export, "")]) for one in check.differing],
    )
    return join(said, folded(f"The {len(check.differing)} answers that differ", answers))


def _serving_html(one: Serving) -> Html:
    title = f"{one.engine} · {'installed' if one.installed else 'not installed here'}"
    return folded(title, text(one.words), commands(one.commands))
