"""The doctor: what is wrong with a dataset, told with evidence. Rows stream by once; their text is not kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from workbench.core.data.doctor import dataset_facts
from workbench.core.data.doctor.checks import CHECKS, NEEDS_REWARDS, NEEDS_TOKENS, check_title
from workbench.core.data.doctor.dataset_facts import RowTable
from workbench.core.data.doctor.findings import VERDICT_LABELS, Finding, Found, Remedy, Report, Verdict
from workbench.core.data.doctor.pair_rewards import PairRewards, wrong_way
from workbench.core.data.doctor.row_facts import FAULTS
from workbench.core.data.doctor.thought_checks import mismatch_cause, of_template, of_thoughts, with_notes
from workbench.core.data.formats import SeenColumn
from workbench.core.data.messages import Kind, Row, check_of
from workbench.core.data.token_counts import TemplateFacts, TokenCounts
from workbench.core.severity import Severity
from workbench.core.statistics import wilson

FEW_ROWS = 50
SMALL_ROWS = 300

# Of reasons to leave rows out, those that lie in how such data is made: no fault, and no reason to stop.
NATURAL = {
    "the only answer to its prompt",
    "an answer that is in none of the pairs",
    "a question without two ranked answers",
    "an answer without a rank",
    "a disliked answer",
    "fewer than two answers with a score",
    "no liked answer to the same prompt to pair it with",
    "no disliked answer to the same prompt to pair it with",
    "no two answers to the same question that have ranks",
    "both answers have the same score",
    "marked in the source as not to be trained on: loss false or weight 0",
    "the head of a chat, which is no message",
    "a message that was hidden from the model",
    "neither answer was preferred",
}

_ORDER: dict[Severity, int] = {"blocker": 0, "warning": 1, "info": 2}
_LENGTH_STOP_AUC, _LENGTH_STOP_SHARE = 0.85, 0.9
_LENGTH_CARE = 0.65
_RATIOS = (0.7, 1.5)
_THUMBS_CARE, _THUMBS_STOP = 0.2, 0.02


class Examination:
    """Facts of rows as they stream by, and the findings at the end. About 60 bytes a row, never the text.

    table: their facts. train_rows: the first so many are for training; None: all are.
    """

    def __init__(self, kind: Kind):
        """kind: what the rows are."""
        self.kind = kind
        self.table = RowTable(kind)
        self.train_rows: int | None = None

    def add(self, row: Row) -> None:
        """The next row. Rows are numbered from 0 in the order of adding."""
        self.table.add(row)

    def reorder(self, order: Sequence[int], train_rows: int) -> None:
        """Number the rows anew: row i is the one that was added as order[i]; rows that are not in it are gone."""
        self.table.reorder(order)
        self.train_rows = train_rows

    def report(
        self,
        left_out: Mapping[str, int],
        rows_read: int,
        tokens: TokenCounts | None = None,
        max_length: int | None = None,
        model: str | None = None,
        template: TemplateFacts | None = None,
        notes: Mapping[str, int] | None = None,
        late: Sequence[SeenColumn] = (),
        rewards: PairRewards | None = None,
    ) -> Report:
        """All findings, the most serious first, and the overall word.

        left_out: reason -> rows that were left out when the dataset was made; rows_read: rows of its source. tokens and
        template: what a model makes of the same rows, in their order; without them some checks cannot be made.
        notes: of the conversion, by how often; some of them are findings. late: columns that first appeared after the rows
        by which the format was recognised. rewards: what a reward model says of the training pairs.
        """
        found = _of_rows(self.table) | _of_all(self.table, self._train) | of_thoughts(self.table, template)
        if tokens is not None and max_length is not None:
            found |= _of_tokens(tokens, max_length)
        if template is not None:
            found |= _of_template(template, tokens, len(self.table)) | of_template(template, self.table)
        found = with_notes(found, notes or {}, max(rows_read, 1))
        if rewards is not None and (turned := wrong_way(rewards)):
            found["wrong_way"] = turned
        if late:
            found["late_column"] = _late_columns(late, rows_read)
        found = _with_left_out(found, left_out, rows_read)
        findings = sorted((_finding(check, one) for check, one in found.items()), key=_place)
        not_checked = self._not_checked(tokens, max_length, template)
        if rewards is None and self.kind in CHECKS["wrong_way"].kinds:
            not_checked["wrong_way"] = NEEDS_REWARDS
        not_checked = {check: why for check, why in not_checked.items() if check not in found}
        missing = {*found, *not_checked}
        passed = [name for name, check in CHECKS.items() if self.kind in check.kinds and name not in missing]
        verdict = _verdict(findings)
        return Report(
            rows=len(self.table),
            held_out_rows=len(self.table) - self._train,
            verdict=verdict,
            summary=_summary(verdict, findings, len(self.table)),
            findings=tuple(findings),
            passed=tuple(passed),
            not_checked=not_checked,
            languages=dataset_facts.language_shares(self.table),
            model=model,
            max_length=max_length if tokens is not None else None,
        )

    @property
    def _train(self) -> int:
        return len(self.table) if self.train_rows is None else self.train_rows

    def _not_checked(
        self, tokens: TokenCounts | None, max_length: int | None, template: TemplateFacts | None
    ) -> dict[str, str]:
        """Check -> why it could not be made, for those that make sense for this kind of data."""
        reasons: dict[str, str] = {}
        if tokens is None or max_length is None:
            reasons |= dict.fromkeys(("truncated_equal", "eos_lost", "prompt_too_long"), NEEDS_TOKENS)
        if template is None:
            reasons |= dict.fromkeys(
                ("template_end", "double_bos", "prompt_mismatch", "thoughts_deleted"), NEEDS_TOKENS
            )
        if self._train == len(self.table):
            reasons["leak"] = "no rows are held out"
        if not dataset_facts.has_scores(self.table):
            reasons["score_gap"] = "there are no scores in this data"
        return {check: why for check, why in reasons.items() if self.kind in CHECKS[check].kinds}


def _of_rows(table: RowTable) -> dict[str, Found]:
    """What single rows show."""
    found = {}
    for check, faults in FAULTS.items():
        rows = dataset_facts.with_fault(table, sum(faults))
        if rows:
            evidence = _fault_evidence(table, rows, faults)
            found[check] = Found(rows, evidence, len(table), _row_remedy(check, rows))
    return found


def _fault_evidence(table: RowTable, rows: Sequence[int], faults: Mapping[int, str]) -> str:
    chosen = "chosen answer" if table.kind == "preference" else "answer"
    counts = {words: sum(bool(table.faults[row] & bit) for row in rows) for bit, words in faults.items()}
    said = [(count, words.format(chosen=chosen)) for words, count in counts.items() if count]
    start = f"{_rows(len(rows))} of {len(table):,}"
    if len(said) == 1:
        return f"{start} {said[0][1]}."
    return f"{start}: {'; '.join(f'{count:,} {words}' for count, words in said)}."


def _row_remedy(check: str, rows: Sequence[int]) -> Remedy:
    if check != "markup":
        return _drop(rows, check)
    words = f"Took the markup out of {_rows(len(rows))}; a row that cannot be trained on then was dropped"
    return Remedy(action="clean", label=f"Clean {_rows(len(rows))}", words=words, rows=tuple(rows))


def _drop(rows: Sequence[int], check: str) -> Remedy:
    words = f"Dropped {_rows(len(rows))}: {check_title(check).lower()}"
    return Remedy(action="drop", label=f"Drop {_rows(len(rows))}", words=words, rows=tuple(rows))


def _of_all(table: RowTable, train_rows: int) -> dict[str, Found]:
    """What rows show beside one another."""
    found = {
        "duplicate": _duplicates(table),
        "contradiction": _contradictions(table),
        "leak": _leak(table, train_rows),
        "few_rows": _few_rows(train_rows),
        "length": _length(table) if table.kind == "preference" else None,
        "score_gap": _close_scores(table) if table.kind == "preference" else None,
        "balance": _thumbs(table) if table.kind == "unpaired" else None,
    }
    return {check: one for check, one in found.items() if one}


def _duplicates(table: RowTable) -> Found | None:
    rows = dataset_facts.duplicates(table)
    if not rows:
        return None
    evidence = f"{_rows(len(rows))} of {len(table):,} repeat an earlier row."
    return Found(rows, evidence, len(table), _drop(rows, "duplicate"))


def _contradictions(table: RowTable) -> Found | None:
    rows = dataset_facts.contradictions(table) if table.kind != "sft" else []
    if not rows:
        return None
    what = "the same two answers the other way round" if table.kind == "preference" else "the same answer, other thumb"
    evidence = f"{_rows(len(rows))} of {len(table):,} have an opposite: the same prompt and {what}."
    return Found(rows, evidence, len(table), _drop(rows, "contradiction"))


def _leak(table: RowTable, train_rows: int) -> Found | None:
    rows = dataset_facts.leaked(table, train_rows)
    if not rows:
        return None
    held_out = len(table) - train_rows
    evidence = f"{len(rows):,} of {held_out:,} held-out rows have a prompt that is in the training rows too."
    words = f"Split training and held-out rows again, by prompt: {_rows(len(rows))} shared a prompt across the split"
    return Found(rows, evidence, held_out, Remedy(action="split", label="Split again by prompt", words=words))


def _few_rows(train_rows: int) -> Found | None:
    if train_rows >= SMALL_ROWS:
        return None
    severity: Severity = "blocker" if not train_rows else "warning" if train_rows < FEW_ROWS else "info"
    told = {
        "blocker": "",
        "warning": " Enough to try it out, not to change a model.",
        "info": " Enough for a first impression.",
    }
    evidence = f"There {'is' if train_rows == 1 else 'are'} {_rows(train_rows)} to train on.{told[severity]}"
    return Found((), evidence, train_rows, severity=severity, count=train_rows, share=1.0)


def _length(table: RowTable) -> Found | None:
    if not len(table):
        return None
    facts = dataset_facts.length_facts(table)
    longer = facts.longer > 0.5
    share = facts.longer if longer else 1 - facts.longer
    predicts = facts.auc if longer else 1 - facts.auc
    told = max(share, predicts) > _LENGTH_CARE or not _RATIOS[0] <= facts.ratio <= _RATIOS[1]
    if not told or not facts.is_significant:
        return None
    word = "longer" if longer else "shorter"
    rows = [
        row
        for row, (chosen, rejected) in enumerate(zip(table.chosen, table.rejected, strict=True))
        if (chosen > rejected if longer else chosen < rejected)
    ]
    evidence = (
        f"The chosen answer is the {word} one in {share:.0%} of {len(table):,} pairs, and has {facts.ratio:.2f} times "
        f"the characters. Over all answers, a chosen one is {word} than a rejected one with a chance of {predicts:.0%} "
        "(50 % is no connection)."
    )
    stop = share > _LENGTH_STOP_SHARE or predicts > _LENGTH_STOP_AUC
    return Found(rows, evidence, len(table), _balance(table, word), "blocker" if stop else "warning")


def _balance(table: RowTable, word: str) -> Remedy | None:
    rows = dataset_facts.to_balance(table)
    if not rows:
        return None
    words = f"Dropped {_rows(len(rows))} at random of those with the {word} answer chosen, so that they are 60 %"
    return Remedy(action="drop", label=f"Balance: drop {_rows(len(rows))}", words=words, rows=tuple(rows))


def _close_scores(table: RowTable) -> Found | None:
    rows = dataset_facts.close_scores(table)
    if not rows:
        return None
    gaps = [table.chosen_score[row] - table.rejected_score[row] for row in rows]
    swapped, equal = sum(gap < 0 for gap in gaps), sum(gap == 0 for gap in gaps)
    close = len(rows) - swapped - equal
    counts = (
        (swapped, "the rejected answer has the higher score"),
        (equal, "both answers have the same score"),
        (close, f"the scores lie closer than 5 % of their usual range ({dataset_facts.score_range(table):g})"),
    )
    said = "; ".join(f"in {count:,} of {_rows(len(table))} {words}" for count, words in counts if count)
    evidence = f"{said[0].upper()}{said[1:]}."
    if 2 * swapped > len(table):
        evidence += " Check whether chosen and rejected are swapped, or whether a lower score is better."
    return Found(rows, evidence, len(table), _drop(rows, "score_gap"))


def _thumbs(table: RowTable) -> Found | None:
    if not len(table):
        return None
    up = sum(table.label) / len(table)
    rarer = min(up, 1 - up)
    low, high = wilson(up, len(table))
    if rarer >= _THUMBS_CARE or low <= 0.5 <= high:
        return None
    rare = up < 0.5
    rows = [row for row, label in enumerate(table.label) if bool(label) is rare]
    evidence = f"{up:.0%} of {len(table):,} answers have a thumb up, {1 - up:.0%} a thumb down."
    return Found(rows, evidence, len(table), severity="blocker" if rarer < _THUMBS_STOP else "warning")


def _late_columns(late: Sequence[SeenColumn], rows_read: int) -> Found:
    said = []
    for column in late:
        first = ", ".join(f"{number:,}" for number in column.first_rows)
        said.append(f"{column.words}, first in row {first}: {column.use}.")
    count = max(column.rows for column in late)
    severity: Severity = "info" if all(column.part for column in late) else "warning"
    return Found((), " ".join(said), max(rows_read, 1), severity=severity, count=count)


def _of_tokens(tokens: TokenCounts, max_length: int) -> dict[str, Found]:
    """What truncation takes."""
    found = {
        "truncated_equal": (tokens.equal_after_truncation(max_length), "have two answers that are the same tokens"),
        "eos_lost": (tokens.loses_end(max_length), "lose the end of an answer"),
        "prompt_too_long": (tokens.over_long_prompts(max_length), "have a prompt that alone fills max length"),
    }
    start = f"Cut at {max_length:,} tokens"
    return {
        check: Found(rows, f"{start}, {_rows(len(rows))} of {len(tokens):,} {words}.", len(tokens), _drop(rows, check))
        for check, (rows, words) in found.items()
        if rows
    }


def _of_template(template: TemplateFacts, tokens: TokenCounts | None, total: int) -> dict[str, Found]:
    """What the chat template makes of rows."""
    found = {}
    if not template.ends_with_eos:
        rows = tokens.never_stops() if tokens is not None else []
        stops = ", ".join(template.eos) or "none"
        evidence = (
            f"An answer ends in {template.last_token!r}; the model stops at {stops}. "
            f"{_rows(len(rows))} of {total:,} do not end in such a token."
            if rows
            else f"An answer ends in {template.last_token!r}; the model stops at {stops}."
        )
        found["template_end"] = Found(rows, evidence, total, count=len(rows) or total, share=None if rows else 1.0)
    if template.double_bos:
        evidence = "The text of a row begins with two BOS tokens."
        found["double_bos"] = Found((), evidence, total, count=total, share=1.0)
    mismatch = _mismatch(template, tokens)
    return found | ({"prompt_mismatch": mismatch} if mismatch else {})


def _mismatch(template: TemplateFacts, tokens: TokenCounts | None) -> Found | None:
    rows = tokens.prompt_mismatches() if tokens is not None else []
    count, whole = (len(rows), len(tokens)) if tokens else (template.prefix_mismatches, template.checked)
    if not count:
        return None
    evidence = f"In {_rows(count)} of {whole:,} the tokens of the prompt alone are not how prompt and answer begin."
    evidence += mismatch_cause(template)
    return Found(rows, evidence, whole, count=count)


def _with_left_out(found: Mapping[str, Found], left_out: Mapping[str, int], rows_read: int) -> dict[str, Found]:
    """The findings, with what was left out already: as findings of its own, or told beside the rows still there."""
    all_found = dict(found)
    for check in sorted({check_of(reason) for reason, count in left_out.items() if count}):
        reasons = {reason: count for reason, count in left_out.items() if check_of(reason) == check and count}
        told = _left_out_summary(reasons)
        if check in all_found:
            earlier = all_found[check]
            all_found[check] = replace(earlier, evidence=f"{earlier.evidence} Another {told}")
        else:
            all_found[check] = _left_out(reasons, told, max(rows_read, 1))
    return _with_all_left_out(all_found, left_out, max(rows_read, 1))


def _left_out(reasons: Mapping[str, int], told: str, whole: int) -> Found:
    count = sum(reasons.values())
    faulty = sum(number for reason, number in reasons.items() if reason not in NATURAL)
    severity = CHECKS["unusable"].severity(faulty / whole)
    evidence = f"Of {_rows(whole)} in the source, {told}"
    return Found((), evidence, whole, severity=severity, count=count, left_out=True)


def _left_out_summary(reasons: Mapping[str, int]) -> str:
    count = sum(reasons.values())
    listed = sorted(reasons.items(), key=lambda one: -one[1])
    named = "; ".join(f"{number:,} × {reason}" for reason, number in listed)
    return f"{count:,} {'was' if count == 1 else 'were'} left out when the dataset was made: {named}."


def _with_all_left_out(found: dict[str, Found], left_out: Mapping[str, int], whole: int) -> dict[str, Found]:
    """Several reasons may together take half of the data, though none of them does alone: the largest then says so."""
    faulty = sum(count for reason, count in left_out.items() if reason not in NATURAL)
    limit = CHECKS["unusable"].blocker
    left = {check: one for check, one in found.items() if one.left_out}
    if left and limit is not None and faulty / whole >= limit:
        largest = max(left, key=lambda check: left[check].count or 0)
        evidence = f"{left[largest].evidence} With all reasons together, {faulty / whole:.0%} of the rows are gone."
        found[largest] = replace(left[largest], severity="blocker", evidence=evidence)
    return found


def _finding(check: str, found: Found) -> Finding:
    known = CHECKS[check]
    count = len(found.rows) if found.count is None else found.count
    share = count / max(found.whole, 1) if found.share is None else found.share
    return Finding(
        check=check,
        title=known.title,
        severity=found.severity or known.severity(share),
        count=count,
        share=share,
        evidence=found.evidence,
        effect=known.effect,
        advice="Nothing is left to do: they are not in the dataset." if _is_settled(check, found) else known.advice,
        rows=tuple(found.rows),
        left_out=found.left_out,
        remedy=found.remedy,
        other=found.other,
    )


def _is_settled(check: str, found: Found) -> bool:
    return found.left_out and check != "unusable"


def _place(finding: Finding) -> tuple[int, bool, float]:
    """The most serious first; among equals what can be mended, then the larger share."""
    return _ORDER[finding.severity], finding.remedy is None, -finding.share


def _verdict(findings: Sequence[Finding]) -> Verdict:
    severities = {finding.severity for finding in findings}
    return "blocker" if "blocker" in severities else "warning" if "warning" in severities else "good"


def _summary(verdict: Verdict, findings: Sequence[Finding], rows: int) -> str:
    if not rows:
        return "There are no rows to train on."
    heavy = [finding for finding in findings if finding.severity == verdict] if verdict != "good" else []
    if not heavy:
        noted = f" {_things(len(findings))} worth knowing." if findings else " Nothing was found."
        return f"Good: {_rows(rows)} were looked at.{noted}"
    first = heavy[0]
    word = VERDICT_LABELS[verdict]
    aside = f"{_things(len(heavy))} to look at, the most serious is" if verdict == "warning" else "because of"
    names = first.title.lower() if verdict == "warning" else _listed([one.title.lower() for one in heavy])
    return f"{word[0].upper()}{word[1:]}: {aside} {names}. {first.evidence}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _things(count: int) -> str:
    return "1 thing" if count == 1 else f"{count} things"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
