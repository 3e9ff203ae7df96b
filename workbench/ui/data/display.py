"""What the Data page shows: a source before it is stored, and a dataset that is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.core.data.doctor.checks import check_title
from workbench.core.data.doctor.findings import VERDICT_LABELS, Finding, Report
from workbench.core.data.formats import Recognised, SeenColumn
from workbench.core.data.messages import NOTED, Kind, Row
from workbench.core.severity import SEVERITY_LABELS
from workbench.core.training.methods import DATA_KINDS, METHODS
from workbench.store.datasets import About, Preview
from workbench.store.presets import DatasetPreset
from workbench.store.votes import Vote
from workbench.ui.parts import (
    Html,
    NoticeKind,
    card,
    conversation,
    empty,
    escape,
    facts,
    join,
    notice,
    table,
    text,
)


def kind_label(kind: Kind) -> str:
    """What a kind of data holds, and the method that it is made for."""
    made_for = next(method.title for method in METHODS.values() if method.kinds[0] == kind)
    return f"{DATA_KINDS[kind].holds} (for {made_for})"


def row_html(row: Row) -> Html:
    """A canonical row as conversations: the prompt once, then the answers, side by side where there are two."""
    prompt = conversation(row["prompt"], "base", "prompt")
    if "chosen" in row:
        answers = conversation(row["chosen"], "chosen", "chosen") + conversation(
            row["rejected"], "rejected", "rejected"
        )
    elif "label" in row:
        liked = bool(row["label"])
        answers = conversation(
            row["completion"], "chosen" if liked else "rejected", "thumb up" if liked else "thumb down"
        )
    else:
        answers = conversation(row["completion"], "aligned", "answer to imitate")
    return Html(f'<div class="wb-row">{prompt}<div class="wb-row-answers">{answers}</div></div>')


def preview_html(preview: Preview) -> Html:
    """What a source is, with the evidence; what would be left out, and why; the first rows as they would be stored."""
    recognised, account = preview.recognised, preview.account
    if recognised is None or account is None:
        return join(
            notice(
                "warning",
                "These columns are not known",
                f"Found: {', '.join(preview.columns)}. Preference training needs a better and a worse answer for each prompt; "
                "SFT needs a prompt and an answer.",
                "Say on the left which column is which.",
            ),
            raw_html(preview),
        )
    count = "" if preview.total is None else f"{'' if preview.total_is_exact else 'about '}{preview.total:,}"
    pairs: list[tuple[str, object]] = [
        ("It is", kind_label(recognised.kind)),
        ("Evidence", recognised.evidence),
        ("Rows", count or "not known yet"),
        ("Usable", f"{account.used:,} of the first {account.rows:,}"),
    ]
    if recognised.options:
        pairs.insert(2, ("Choice", option_summary(recognised)))
    pairs += column_facts(account.unused, account.late)
    pieces = [card("What this is", facts(pairs)), *asked_html(preview)]
    if account.left_out:
        pieces.append(left_out_html(account.left_out, f"among the first {account.rows:,} rows"))
    pieces += [row_html(row) for row in preview.converted[:2]]
    return join(*pieces)


def column_facts(unused: Sequence[SeenColumn], late: Sequence[SeenColumn]) -> list[tuple[str, object]]:
    """The columns of which nothing is taken, and those that appear after the rows by which the format was recognised."""
    found: list[tuple[str, object]] = []
    if unused:
        found.append(("Not used", "\n".join(f"{column.words}." for column in unused)))
    if late:
        words = (f"{column.words}, first in row {column.first_rows[0]:,}: {column.use}." for column in late)
        found.append(("Appear late", "\n".join(words)))
    return found


def asked_html(preview: Preview) -> list[Html]:
    """The question that has to be answered before the rows are stored, where a column may belong to the prompt."""
    asked = preview.recognised.asked if preview.recognised else ()
    if not asked:
        return []
    names = ", ".join(f"`{column}`" for column in asked)
    return [
        notice(
            "warning",
            "Does this belong to the prompt?" if len(asked) == 1 else "Do these belong to the prompt?",
            f"{names}: text that is not used so far. A model that never sees it learns to guess.",
            "Answer the question about it; until then nothing is stored.",
        )
    ]


def option_summary(recognised: Recognised) -> str:
    """What is done where the format leaves a choice."""
    return next((one.words for one in recognised.options if one.id == recognised.option), recognised.option)


def unfinished_html(problems: Iterable[str], preview: Preview) -> Html:
    """A mapping by hand that is not complete yet: what is missing, and the rows to look at."""
    return join(*[notice("info", "Go on", problem) for problem in problems], raw_html(preview))


def raw_html(preview: Preview) -> Html:
    """The first rows as they were read, each column cut short."""
    rows = [[_short(row.get(column)) for column in preview.columns] for row in preview.rows[:3]]
    return table(list(preview.columns), rows, "The first rows, as they are")


def left_out_html(left_out: Mapping[str, int], where: str) -> Html:
    """Counts by reason of what cannot be trained on. Nothing is dropped in silence."""
    total = sum(left_out.values())
    reasons = ", ".join(
        f"{count:,} with {reason}" if " " not in reason else f"{count:,}: {reason}"
        for reason, count in left_out.items()
    )
    return notice("warning", f"{total:,} rows are left out {where}", f"{reasons}.")


def dataset_html(about: About) -> Html:
    """What a stored dataset is and where it came from."""
    noun = DATA_KINDS[about.kind].noun
    pairs: list[tuple[str, object]] = [
        ("Holds", kind_label(about.kind)),
        ("Came from", about.source),
        ("Format", f"{about.format}: {about.evidence}" if about.evidence else about.format),
        ("Rows", f"{about.rows:,} read, {about.kept:,} {noun} kept ({about.part})"),
        *[
            (f"{'Not used' if words in NOTED else 'Mended'}: {words}", f"{count:,}")
            for words, count in about.notes.items()
        ],
        *column_facts(about.unused, about.late),
        ("Training", f"{about.train_rows:,} {noun}"),
        ("Held out", f"{about.held_out_rows:,} {noun}, split by prompt: no prompt is in both"),
        ("Licence", about.licence or "not stated"),
        *([("Revision", about.revision)] if about.revision else []),
        ("Stored", about.created.replace("T", " ").split("+")[0]),
        ("Fingerprint", about.fingerprint[:16]),
    ]
    return card(about.title, facts(pairs))


def history_html(about: About) -> Html:
    """Every step that made a dataset what it is, the import first."""
    rows = [
        (when.replace("T", " ").split("+")[0], words, f"{after:,}")
        for when, words, after in ((step.when, step.words, step.rows_after) for step in about.steps)
    ]
    return table(["when", "what", "rows after"], rows) if rows else text("Nothing was changed since it was made.")


def line_html(about: About, report: Report | None) -> Html:
    """The chosen dataset in one line: what it is and what it is worth."""
    word = "not checked yet" if report is None else VERDICT_LABELS[report.verdict]
    kind: NoticeKind = "info" if report is None else report.verdict
    version = f", version {about.version}" if about.version > 1 else ""
    words = f"{about.kept:,} {DATA_KINDS[about.kind].noun} · {about.source}{version}"
    return Html(f'<p class="wb-text wb-small"><b class="wb-tone wb-{kind}">{escape(word)}</b> · {escape(words)}</p>')


def place_html(number: int, of: int, row: int, about: About) -> Html:
    """Which example this is, and where it stands. number, row: from 0."""
    side = "held out" if row >= about.train_rows else "training"
    return text(f"Example {number + 1:,} of {of:,}: row {row + 1:,} ({side})")


def votes_html(given: Sequence[Vote], unreadable: int = 0) -> Html:
    """What the votes of the Compare page would give. unreadable: lines of votes.jsonl that hold no vote."""
    votes = [vote for vote in given if vote.purpose != "measure"]
    measured = len(given) - len(votes)
    if not given and not unreadable:
        return empty(
            "No votes yet", "On the Compare page, ask both and say which answer is better. Each vote becomes a pair."
        )
    won = sum(vote.vote in ("left", "right") for vote in votes)
    bad = sum(vote.vote == "both_bad" for vote in votes)
    return card(
        "Votes from the Compare page",
        facts(
            [
                ("Votes", f"{len(votes):,}"),
                ("Become pairs", f"{won:,}"),
                ("Both bad: disliked answers, no pair", f"{bad:,}"),
                ("Equally good: nothing", f"{len(votes) - won - bad:,}"),
                *([("Of measuring sittings, not trained on", f"{measured:,}")] if measured else []),
                *(
                    [("Lines of votes.jsonl that cannot be read", f"{unreadable:,}, left as they are")]
                    if unreadable
                    else []
                ),
            ]
        ),
        text(
            "A pair needs a winner, or an ideal answer of yours. Press Look at the first rows to see them as they would be stored."
        ),
    )


def report_html(report: Report | None, about: About) -> Html:
    """The overall word on a dataset, first of all."""
    if report is None:
        return notice("info", "Not checked since the last change", "", "Press Check again to see what it is like now.")
    first, _, more = report.summary.partition(". ")
    size = f"{about.train_rows:,} {DATA_KINDS[about.kind].noun} for training, {about.held_out_rows:,} held out."
    left = (
        None if report.model else "Tokens were not looked at yet. Check again does, with the model of the Model page."
    )
    return notice(report.verdict, f"{first.rstrip('.')}.", f"{more} {size}".strip(), left)


def unseen_results_html(words: str) -> Html:
    """What became of work whose page went away; nothing where there was none."""
    return notice("warning", "Not watched to its end", words) if words else Html("")


def no_tokens_html(why: str) -> Html:
    """Why the checks that need tokens were not made; nothing where they were."""
    return notice("info", "Checked without tokens", why) if why else Html("")


def passed_html(report: Report | None) -> Html:
    """The checks that found nothing, and those that could not be made."""
    if report is None:
        return Html("")
    why: dict[str, list[str]] = {}
    for check, reason in report.not_checked.items():
        why.setdefault(reason, []).append(check_title(check))
    pairs = [("Nothing found", "\n".join(check_title(check) for check in report.passed) or "none")]
    pairs += [(f"Not checked: {reason}", "\n".join(titles)) for reason, titles in why.items()]
    if report.languages:
        pairs.append(
            ("Languages", ", ".join(f"{language} {share:.0%}" for language, share in report.languages.items()))
        )
    return card("What else was looked for", facts(pairs))


def finding_label(finding: Finding) -> str:
    """A finding in the list: its severity as a word, what it is, how many."""
    share = f"{finding.share:.1%}" if finding.share < 0.0995 else f"{finding.share:.0%}"
    done = ", left out already" if finding.left_out else ""
    return f"{SEVERITY_LABELS[finding.severity]} · {finding.title} · {finding.count:,} ({share}){done}"


def finding_html(finding: Finding) -> Html:
    """What a check found, what it does to training, and what to do about it."""
    return join(
        notice(finding.severity, finding.title, finding.evidence, finding.advice),
        card("What it does to training", text(finding.effect)),
    )


def preset_html(preset: DatasetPreset) -> Html:
    """What is known of a public set before it is downloaded."""
    return facts(
        [
            ("Id", preset.id),
            ("Holds", kind_label(preset.kind)),
            ("Rows", f"{preset.rows:,}"),
            ("Licence", preset.licence),
            ("Good for", preset.good_for),
        ]
    )


def nothing_chosen_html() -> Html:
    return empty(
        "No data is looked at yet",
        "Choose a source on the left. What it holds is shown here before anything is stored.",
    )


def left_out_rows_html(examples: list[dict[str, Any]]) -> Html:
    """Some of the rows that were left out, to look at."""
    if not examples:
        return Html("<p>" + escape("No row was left out.") + "</p>")
    rows = [[one["row"], one["reason"], _short(one["values"], 400)] for one in examples]
    return table(["row", "reason", "what it held"], rows)


def _short(value: Any, most: int = 160) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
