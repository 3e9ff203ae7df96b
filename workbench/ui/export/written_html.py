"""What an export wrote, as HTML: files, comparisons with the run, answers that differ, how it is served."""

from pathlib import Path

from workbench.core.export.exported import Check, Exported, Serving, Upload
from workbench.core.export.targets import TARGETS
from workbench.ui.parts import Html, NoticeKind, answer_table, card, commands, facts, folded, join, notice, table, text


def written_html(found: Exported) -> Html:
    folder = Path(found.folder)
    rows = [(name, size_label((folder / name).stat().st_size)) for name in found.files]
    title = f"{found.run} · {TARGETS[found.target].title}"
    return join(
        card(title, facts([("Folder", found.folder)]), table(["File", "Size"], rows)),
        *([_upload_html(found.upload)] if found.upload else []),
        *map(_check_html, found.checked),
        *(notice("info", "To know", words) for words in found.notes),
        *([card("Serve it", *map(_serving_html, found.serving))] if found.serving else []),
    )


def size_label(size: int) -> str:
    """Bytes as file managers show them."""
    unit, name = next(
        one for one in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")) if size >= one[0] or one[0] == 1
    )
    return f"{size / unit:,.{0 if unit == 1 else 1}f} {name}"


def _upload_html(upload: Upload) -> Html:
    """What goes to the Hub: before it is pushed the list of it, afterwards where it is."""
    seen = "private" if upload.private else "public"
    said = [f"{name} ({size_label(size)})" for name, size in upload.files]
    stays = f" Stay here: {', '.join(upload.kept)}." if upload.kept else ""
    if upload.url:
        return notice("good", f"Pushed to {upload.repo} ({seen})", f"{', '.join(said)}. {upload.url}")
    title = f"Nothing was pushed yet: this would go to {upload.repo} ({seen})"
    return notice("info", title, f"{', '.join(said)}.{stays}")


def _check_html(check: Check) -> Html:
    """A comparison, with the answers that differ behind it."""
    kind: NoticeKind = "info" if check.ok is None else "good" if check.ok else "blocker"
    said = notice(kind, check.what, f"{check.found[:1].upper()}{check.found[1:]}.")
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
