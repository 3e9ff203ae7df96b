"""What the doctor finds, tried on clean data with defects mixed in, and on numbers worked by hand."""

import math
import os
from collections import Counter
from pathlib import Path

import pytest
from doctor_cases import (
    CASES,
    LONG,
    answer,
    clean_lessons,
    clean_pairs,
    clean_thumbs,
    mixed,
    pair,
    system,
    user,
    whole_cases,
    with_scores,
)

from workbench.core.data.doctor.checks import CHECKS
from workbench.core.data.doctor.findings import Report
from workbench.core.data.doctor.languages import language
from workbench.core.data.doctor.markup import without_markup
from workbench.core.data.doctor.remedies import apply, clean, is_trainable
from workbench.core.data.doctor.report import Examination
from workbench.core.data.formats import convert, recognise
from workbench.core.data.messages import REASONS, LeftOut
from workbench.core.data.token_counts import TemplateFacts, TokenCounts
from workbench.core.statistics import auc, wilson
from workbench.store.files import read_rows

ASKED = "How do I keep a wooden boat dry in winter?"


def examined(rows, kind="preference", train_rows=None, left_out=None, **more):
    examination = Examination(kind)
    for row in rows:
        examination.add(row)
    if train_rows is not None:
        examination.reorder(range(len(rows)), train_rows)
    left_out = left_out or {}
    return examination.report(left_out, len(rows) + sum(left_out.values()), **more)


def finding(report, check):
    return next((one for one in report.findings if one.check == check), None)


def numbered(count):
    """Pairs without a fault, of which every other one has the longer answer chosen."""
    guesses = ("No idea.", "I could not even begin to guess.")
    return [pair(f"Question {n}, what are the odds?", f"It is {n} to one.", guesses[n % 2]) for n in range(count)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_three_defects_among_three_hundred_rows_are_found_and_nothing_else(case):
    rows, bad = mixed(case)
    assert len(bad) == 3 * len(case.bad)
    found = finding(examined(rows, case.kind), case.check)
    assert list(found.rows) == bad
    assert found.count == len(bad)
    assert found.share == pytest.approx(len(bad) / len(rows))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_defect_among_fifty_rows_is_found(case):
    rows, bad = mixed(case, clean=50, copies=1, seed=5)
    assert list(finding(examined(rows, case.kind), case.check).rows) == bad


@pytest.mark.parametrize("case", whole_cases(), ids=lambda case: case.name)
def test_defects_of_a_whole_dataset_are_found(case):
    found = finding(case.report(), case.check)
    assert found is not None
    if case.bad is not None:
        assert found.rows == case.bad


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (
            (1, 8),
            "In 40 of 40 rows the rejected answer has the higher score. Check whether chosen and rejected are swapped",
        ),
        ((5, 5), "In 40 of 40 rows both answers have the same score."),
    ],
)
def test_scores_that_are_swapped_or_all_the_same_are_told_as_that(scores, words):
    rows = [{**row, "scores": dict(zip(("chosen", "rejected"), scores, strict=True))} for row in clean_pairs(40)]
    evidence = finding(examined(rows), "score_gap").evidence
    assert evidence.startswith(words) and "closer" not in evidence


CHATML = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
)
OPEN_CHATML = f"{CHATML}<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


def test_cleaning_makes_turns_of_a_text_in_chatml():
    """A prompt of four turns, with and without the answer behind it; an answer that holds the whole conversation."""
    said = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]
    for prompt, chosen in (
        (OPEN_CHATML, "So.<|im_end|>"),
        (f"{OPEN_CHATML}So.<|im_end|>", "So."),
        (OPEN_CHATML, f"{OPEN_CHATML}So.<|im_end|>"),
    ):
        row = {"prompt": [user(prompt)], "chosen": [answer(chosen)], "rejected": [answer("No.")]}
        cleaned = clean(row)
        assert [(one["role"], one["content"]) for one in cleaned["prompt"]] == said
        assert cleaned["chosen"] == [answer("So.")] and is_trainable(cleaned)


def test_a_text_whose_turns_cannot_be_told_is_never_made_one_question():
    prompt = f"{CHATML}<|im_start|>weather\nRain<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>"
    assert not is_trainable(clean({"prompt": [user(prompt)], "completion": [answer("So.")]}))
    left_open = {"prompt": [user(f"{OPEN_CHATML}Well.")], "completion": [answer("So.")]}
    assert not is_trainable(clean(left_open))


def test_every_check_is_tried_in_several_guises():
    """Not tried so: rows that could not be used, late columns, too few rows, and the beginning token, which has one guise only."""
    guises = [case.check for case in [*CASES, *whole_cases()]]
    assert set(CHECKS) - set(guises) == {"unusable", "few_rows", "late_column"}
    assert len(guises) >= 45
    assert all(guises.count(check) >= 2 for check in set(guises) - {"double_bos"})


@pytest.mark.parametrize(
    ("kind", "made"), [("preference", clean_pairs), ("sft", clean_lessons), ("unpaired", clean_thumbs)]
)
@pytest.mark.parametrize("seed", range(3))
def test_clean_rows_are_called_good_and_nearly_none_is_suspected(kind, made, seed):
    rows = made(1000, seed)
    report = examined(rows, kind, train_rows=900)
    assert report.verdict == "good"
    assert all(one.share <= 0.02 for one in report.findings)


def test_every_reason_to_leave_rows_out_has_a_check():
    assert set(REASONS.values()) <= set(CHECKS)


def test_a_check_is_found_passed_or_not_made():
    report = examined(clean_pairs(400))
    named = [*report.passed, *report.not_checked, *(one.check for one in report.findings)]
    assert sorted(named) == sorted(name for name, check in CHECKS.items() if "preference" in check.kinds)
    assert report.not_checked["eos_lost"] == "needs the tokenizer of a model"
    assert report.not_checked["leak"] == "no rows are held out"
    assert report.not_checked["score_gap"] == "there are no scores in this data"


def test_the_same_prompt_on_both_sides_is_a_leak_whatever_its_case_and_system_message():
    rows = clean_pairs(100, seed=2)
    twin = {**rows[95], "prompt": [system("Be brief."), user(rows[7]["prompt"][-1]["content"].upper())]}
    rows[7]["prompt"] = rows[7]["prompt"][-1:]
    found = finding(examined([*rows[:95], twin, *rows[96:]], train_rows=90), "leak")
    assert found.rows == (95,)
    assert found.share == pytest.approx(1 / 10)
    assert found.remedy.action == "split"


def test_the_same_words_under_another_system_message_are_no_duplicate_and_no_contradiction():
    brief = pair([system("Be brief."), user(ASKED)], "Cover it.", LONG)
    full = pair([system("Say everything."), user(ASKED)], LONG, "Cover it.")
    report = examined([brief, full, *numbered(60)])
    assert finding(report, "contradiction") is None
    assert finding(report, "duplicate") is None


def test_an_answer_in_a_language_that_an_earlier_message_asked_for_or_spoke_is_no_mix():
    """German is asked for in the system message, or in an earlier turn; without either the answer is an odd one."""
    asked = {"role": "user", "content": "How long does it take to boil an egg until it is hard?"}
    german = {"role": "assistant", "content": "Ein Ei braucht ungefähr zehn Minuten, bis es hart ist."}
    other = {"role": "assistant", "content": "Das kommt darauf an, wie groß das Ei ist und wie du es magst."}
    spoken = {"role": "system", "content": "Antworte immer auf Deutsch."}
    turns = [{"role": "user", "content": "From now on, answer in German."}, {"role": "assistant", "content": "Gern."}]
    for before, odd in (([], 1), ([spoken], 0), (turns, 0)):
        rows = [{"prompt": [*before, asked], "chosen": [german], "rejected": [other]}]
        found = [one.count for one in examined(rows).findings if one.check == "language"]
        assert sum(found) == odd


def test_rows_are_numbered_anew_after_the_split():
    """Added as 0 to 3; 1 is not taken; row 2, the one with an empty answer, becomes number 0."""
    examination = Examination("preference")
    for row in [*numbered(2), pair(ASKED, "", "Cover it."), *numbered(4)[3:]]:
        examination.add(row)
    examination.reorder([2, 3, 0], train_rows=2)
    report = examination.report({}, 4)
    assert (report.rows, report.held_out_rows) == (3, 1)
    assert finding(report, "empty").rows == (0,)


def lengths(pairs):
    rows = [
        pair(f"Question {n}: how long?", "a" * chosen, "b" * rejected) for n, (chosen, rejected) in enumerate(pairs)
    ]
    return examined(rows)


def test_longer_answers_chosen_in_four_of_five_pairs_give_the_label_away():
    """80 longer, 20 shorter: share .8; (80*200 + 20*100) / (80*100 + 20*200) = 18000 / 12000 = 1.5."""
    found = finding(lengths([(200, 100)] * 80 + [(100, 200)] * 20), "length")
    assert found.severity == "warning"
    assert (found.count, found.share) == (80, 0.8)
    assert "80%" in found.evidence and "1.50 times" in found.evidence


def test_balancing_leaves_sixty_percent():
    """(80 - k) / (100 - k) = .6 gives k = 50, which leaves 30 of 50."""
    rows = [
        pair(f"Question {n}: how long?", "a" * (200 if n < 80 else 100), "b" * (100 if n < 80 else 200))
        for n in range(100)
    ]
    remedy = finding(examined(rows), "length").remedy
    left = [row for row in apply(rows, remedy) if row]
    assert len(remedy.rows) == 50
    assert sum(len(row["chosen"][0]["content"]) == 200 for row in left) == 30


def test_shorter_answers_chosen_are_told_too_and_nearly_all_of_them_are_a_reason_to_stop():
    found = finding(lengths([(50, 100)] * 95 + [(100, 50)] * 5), "length")
    assert found.severity == "blocker"
    assert "shorter one in 95%" in found.evidence


def test_a_few_pairs_say_nothing_about_length():
    """6 longer of 8 is .75, but its interval reaches from .41 to .93."""
    assert finding(lengths([(200, 150)] * 6 + [(150, 200)] * 2), "length") is None


def test_the_area_under_the_curve_counts_wins_and_half_ties():
    """3 beats 1 and 2; 2 beats 1 and ties 2: (2 + 1.5) / 4."""
    assert auc([3, 2], [1, 2]) == pytest.approx(3.5 / 4)


def test_the_interval_of_half_of_a_hundred():
    low, high = wilson(0.5, 100)
    assert (low, high) == (pytest.approx(0.404, abs=0.001), pytest.approx(0.596, abs=0.001))


def test_one_giant_score_does_not_make_all_gaps_small():
    rows = with_scores(clean_pairs(200))
    rows[0]["scores"] = {"chosen": 1_000_000.0, "rejected": 1.0}
    assert finding(examined(rows), "score_gap") is None


def test_scores_that_are_missing_in_some_rows_are_not_held_against_them():
    rows = with_scores(clean_pairs(100))
    rows[3]["scores"] = {"chosen": math.nan, "rejected": math.nan}
    del rows[4]["scores"]
    assert finding(examined(rows), "score_gap") is None


def test_nearly_only_thumbs_down_are_noted():
    rows = clean_thumbs(400)
    for row in rows[:380]:
        row["label"] = False
    found = finding(examined(rows, "unpaired"), "balance")
    assert found.severity == "warning"
    assert set(found.rows) == {number for number, row in enumerate(rows) if row["label"]}


@pytest.mark.parametrize(
    ("rows", "severity"), [(0, "blocker"), (20, "warning"), (49, "warning"), (50, "info"), (299, "info")]
)
def test_few_rows_are_noted(rows, severity):
    assert finding(examined(clean_pairs(400)[:rows]), "few_rows").severity == severity


def test_three_hundred_rows_are_enough():
    assert "few_rows" in examined(clean_pairs(300)).passed


# Prompt, chosen, rejected in tokens; how much the sequences share; where the answers end.
COUNTED = [
    (10, 20, 30, 12, 30, 40),  # whole
    (10, 20, 60, 12, 30, 70),  # at 50: the rejected answer loses its end
    (10, 60, 60, 55, 70, 70),  # at 50: equal, and without an end
    (50, 5, 5, 50, 55, 55),  # at 50: nothing but prompt
]


def counts(rows=COUNTED, flags=3):
    names = ("prompt", "chosen", "rejected", "shared", "chosen_end", "rejected_end")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return TokenCounts.from_columns("preference", columns | {"flags": [flags] * len(rows)})


FINE = TemplateFacts(
    ends_with_eos=True,
    last_token="<|im_end|>",
    eos=("<|im_end|>",),
    double_bos=False,
    prefix_mismatches=0,
    checked=100,
    template="0123",
)


def test_a_template_that_does_nothing_wrong_passes():
    report = examined(numbered(400), template=FINE)
    assert {"template_end", "double_bos", "prompt_mismatch"} <= set(report.passed)


@pytest.mark.parametrize(
    ("check", "fault", "severity"),
    [
        ("template_end", {"ends_with_eos": False, "last_token": "."}, "blocker"),
        ("double_bos", {"double_bos": True}, "blocker"),
        ("prompt_mismatch", {"prefix_mismatches": 1}, "warning"),
        ("prompt_mismatch", {"prefix_mismatches": 100}, "blocker"),
    ],
)
def test_a_template_at_fault_is_told(check, fault, severity):
    report = examined(numbered(400), template=FINE.model_copy(update=fault))
    assert finding(report, check).severity == severity
    assert report.verdict == severity


def test_a_template_without_an_end_names_the_rows_that_never_stop():
    template = FINE.model_copy(update={"ends_with_eos": False, "last_token": "\n"})
    report = examined(numbered(4), tokens=counts(flags=1), max_length=70, template=template)
    assert finding(report, "template_end").rows == (0, 1, 2, 3)


def test_what_was_left_out_is_a_finding_with_nothing_left_to_do():
    report = examined(numbered(400), left_out={"chosen and rejected are identical": 3, "not text": 2})
    identical, unusable = finding(report, "identical"), finding(report, "unusable")
    assert (identical.count, identical.left_out, identical.remedy, identical.rows) == (3, True, None, ())
    assert "3 × chosen and rejected are identical" in identical.evidence
    assert unusable.share == pytest.approx(2 / 405)
    assert report.verdict == "good"


def test_rows_still_there_and_rows_left_out_are_one_finding():
    report = examined([*numbered(400), pair(ASKED, "", "Cover it.")], left_out={"empty chosen answer": 7})
    (found,) = [one for one in report.findings if one.check == "empty"]
    assert (found.rows, found.left_out) == ((400,), False)
    assert "Another 7 were left out" in found.evidence


def test_half_of_the_data_gone_is_a_reason_to_stop_even_for_several_reasons():
    report = examined(numbered(400), left_out={"not text": 210, "empty chosen answer": 200})
    assert report.verdict == "blocker"
    assert finding(report, "unusable").severity == "blocker"
    assert "51% of the rows are gone" in finding(report, "unusable").evidence


def test_answers_that_nobody_ranked_are_no_fault_of_the_data():
    report = examined(numbered(400), left_out={"a question without two ranked answers": 2000})
    assert report.verdict == "good"


def test_the_summary_names_the_most_serious_finding():
    rows = numbered(400)
    rows[5] = pair(ASKED, LONG, LONG)
    report = examined([*rows, rows[0]])
    assert report.verdict == "warning"
    assert report.summary.startswith("Usable with care: 1 thing to look at, the most serious is identical answers.")


def test_a_remedy_drops_its_rows_and_leaves_the_others_as_they_are():
    rows = [*numbered(100), pair(ASKED, LONG, LONG), *numbered(102)[100:]]
    remedy = finding(examined(rows), "identical").remedy
    assert remedy.rows == (100,)
    assert list(apply(rows, remedy)) == [*rows[:100], None, *rows[101:]]


@pytest.mark.parametrize("case", [case for case in CASES if case.check == "markup"], ids=lambda case: case.guise)
def test_cleaned_rows_are_clean_and_still_say_something(case):
    rows, bad = mixed(case)
    remedy = finding(examined(rows, case.kind), "markup").remedy
    cleaned = list(apply(rows, remedy))
    assert None not in cleaned
    assert finding(examined(cleaned, case.kind), "markup") is None
    assert [row for number, row in enumerate(cleaned) if number not in bad] == [
        row for number, row in enumerate(rows) if number not in bad
    ]


@pytest.mark.parametrize(
    ("left", "wanted"),
    [
        ("<p>One.</p><p>Two &amp; three.</p>", "One.\nTwo & three."),
        ("Yes.<br>No.", "Yes.\nNo."),
        ("Fine.\n\nHuman: And then?\n\nAssistant: Nothing.", "Fine."),
        ("Assistant: Fine.", "Fine."),
        ("Human: No.", "No."),
        ("Fine.<|im_end|>\n<|im_start|>user\nMore?<|im_end|>", "Fine."),
        ("<|im_start|>assistant\nFine.<|im_end|>", "Fine."),
        ("<s>[INST] Why? [/INST] Because.</s>", "Why?  Because."),
        (
            "Use `<br>` here:\n```html\n<p>&nbsp;</p>\n```\nDone.</s>",
            "Use `<br>` here:\n```html\n<p>&nbsp;</p>\n```\nDone.",
        ),
        ("When a < b and b > c, List<int> &c.", "When a < b and b > c, List<int> &c."),
    ],
)
def test_markup_goes_and_code_stays(left, wanted):
    assert without_markup(left, is_answer=True) == wanted


def test_a_row_of_which_only_markup_was_there_is_dropped_when_cleaned():
    rows = [*numbered(60), pair(ASKED, "<|im_end|>", "Cover it."), pair(ASKED, "Cover it.</s>", "Cover it.")]
    remedy = finding(examined(rows), "markup").remedy
    assert list(apply(rows, remedy))[60:] == [None, None]
    assert not is_trainable(clean(rows[60]))


def test_extras_survive_cleaning():
    row = pair(ASKED, "Cover it.</s>", "No.") | {"source_row": 9, "scores": {"chosen": 2.0, "rejected": 1.0}}
    assert clean(row) == pair(ASKED, "Cover it.", "No.") | {"source_row": 9, "scores": {"chosen": 2.0, "rejected": 1.0}}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I would ask the people who live next to the river.", "en"),
        ("Das ist ein schöner Tag, und wir gehen jetzt mit dem Hund in den Wald.", "de"),
        ("Je ne sais pas où il est, mais nous avons encore le temps de le chercher.", "fr"),
        ("No sé dónde está el perro, pero creo que la puerta de la casa no estaba cerrada.", "es"),
        ("Non so dove sono le chiavi, ma credo che siano nella borsa di mia madre.", "it"),
        ("Eu não sei onde está o meu livro, mas acho que ele ficou na casa da minha mãe.", "pt"),
        ("Ik weet niet waar de sleutels zijn, maar ze liggen vast nog op de tafel in het huis.", "nl"),
        ("Jag vet inte var nycklarna är, men de ligger nog på bordet och inte i huset.", "sv"),
        ("Nie wiem, gdzie są klucze, ale myślę, że leżą na stole i że to jest bardzo ważne.", "pl"),
        ("今日は天気がいいので、公園を散歩します。", "ja"),
        ("今天天气很好,我们去公园散步。", "zh"),
        ("오늘은 날씨가 좋아서 공원을 산책합니다.", "ko"),
        ("Сегодня хорошая погода, и мы идём гулять.", "ru"),
        ("الجو جميل اليوم وسوف نذهب إلى الحديقة", "ar"),
        ("Yes, of course.", "other"),
        ("Apple, pear, plum, cherry, quince, medlar, damson.", "other"),
        ("426 °C, 3 °C, 12 °C, 800 °F, 12 kg, 5 m", "other"),
    ],
)
def test_languages_are_told_by_script_and_small_words(text, code):
    assert language(text) == code


def test_shares_of_languages_are_named():
    report = examined([pair(ASKED, "It is the best that you can do for it.", answer_) for answer_ in ("No.", "Nope.")])
    assert report.languages == {"English": 0.5, "other or too short to tell": 0.5}


def test_an_answer_in_the_language_that_was_asked_for_is_fine():
    german = "Das ist nicht so schwer, wie man denkt, aber du musst jeden Tag ein wenig üben."
    rows = [pair(f"{ASKED} Answer in German, please.", german, "Nur so, und nicht anders, ist das zu machen.")]
    assert finding(examined(rows), "language") is None


def test_a_foreign_canonical_row_breaks_no_rule_of_the_doctor():
    """Rows of other programs may hold None, several messages, or nothing where a canonical row has text."""
    odd = [
        {"prompt": [], "chosen": [], "rejected": []},
        {"prompt": [user(ASKED)], "chosen": [{"role": "assistant", "content": None}], "rejected": [answer("No.")]},
        {"prompt": [user(ASKED)], "chosen": None, "rejected": [answer("No, never."), answer("No.")]},
    ]
    report = examined(odd)
    assert finding(report, "empty").rows == (0, 1, 2)
    assert finding(report, "roles").rows == (2,)


@pytest.mark.skipif("WORKBENCH_REAL_DATA" not in os.environ, reason="needs the test split of hh-rlhf harmless-base")
def test_the_real_problems_of_real_data_are_found():
    """39 answers that are a turn of "Human:" or hold one, 2 with HTML, 6 that say the question again, 3 "You're welcome"."""
    raw = [row for _, row in read_rows(Path(os.environ["WORKBENCH_REAL_DATA"]))]
    how = recognise(raw[:200])
    examination, left_out = Examination("preference"), Counter()
    for row in raw:
        try:
            (made,) = convert(row, how).rows
            examination.add(made)
        except LeftOut as why:
            left_out[why.reason] += 1
    report = examination.report(left_out, len(raw))
    counts = {one.check: one.count for one in report.findings}
    assert report.rows + sum(left_out.values()) == len(raw) == 2312
    assert counts | {"unusable": 0, "empty": 0, "roles": 0} == {
        "markup": 41,
        "repeats_prompt": 6,
        "near_identical": 3,
        "unusable": 0,
        "empty": 0,
        "roles": 0,
    }
    assert report.verdict == "warning"


def test_a_report_of_version_0_1_0_is_read_with_its_severities():
    """It said weight for severity, care for warning and stop for blocker."""
    finding = {"check": "few_rows", "title": "Few rows", "weight": "care", "count": 23, "share": 1.0}
    words = {"evidence": "There are 23.", "effect": "None.", "advice": "Add rows."}
    stored = {"rows": 24, "held_out_rows": 1, "verdict": "stop", "summary": "Few.", "findings": [finding | words]}
    report = Report.model_validate(stored)
    assert (report.verdict, report.findings[0].severity) == ("blocker", "warning")
    assert Report.model_validate(report.model_dump()) == report
