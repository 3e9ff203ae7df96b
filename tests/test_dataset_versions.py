"""A dataset is changed by making another version of it; every change can be undone, and what was there before stays."""

import json

import pytest

from workbench.core.data.messages import prompt_key
from workbench.core.data.split import prompt_digest, resolution, sides
from workbench.core.errors import WorkbenchError
from workbench.store import datasets
from workbench.store.datasets import Provenance


def pair(i, prompt=None):
    return {"prompt": prompt or f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"}


def canonical(prompt, chosen="yes", rejected="no"):
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def made(name="mine", rows=None):
    return datasets.add(enumerate(rows or [pair(i) for i in range(40)], 1), name, source=Provenance("a test"))


def rows_of(name="mine"):
    return datasets.read(name, "train") + datasets.read(name, "held_out")


def refusal(action, *args, **more):
    with pytest.raises(WorkbenchError) as refused:
        action(*args, **more)
    return str(refused.value)


def test_an_edited_row_is_in_the_new_version_and_the_old_one_comes_back_by_undo():
    first = made()
    before = rows_of()
    edited = {**before[3], "chosen": [{"role": "assistant", "content": "better"}]}
    about = datasets.edit_row("mine", 3, edited)
    assert rows_of() == [*before[:3], edited, *before[4:]]
    assert (about.version, about.parent, about.kept) == (2, 1, 40)
    assert about == datasets.about("mine")
    assert about.fingerprint == datasets.fingerprint(rows_of()) != first.fingerprint
    assert [(step.action, step.words, step.rows_before, step.rows_after) for step in about.steps] == [
        ("import", "Imported from a test", 40, 40),
        ("edit", "Row 4 edited", 40, 40),
    ]
    assert datasets.undo("mine") == first
    assert rows_of() == before
    assert datasets.redo("mine") == about
    assert rows_of()[3] == edited


def test_the_source_row_of_an_edited_row_stays_and_its_scores_go():
    rows = [{**pair(i), "score_chosen": 5.0, "score_rejected": float(i % 4)} for i in range(20)]
    made(rows=rows)
    before = datasets.row("mine", 0, extras=True)
    assert before["scores"]["chosen"] == 5.0
    datasets.edit_row("mine", 0, canonical("other"))
    assert datasets.row("mine", 0, extras=True) == {**canonical("other"), "source_row": before["source_row"]}
    assert datasets.row("mine", 1, extras=True)["scores"]["chosen"] == 5.0


def test_rows_are_taken_out_by_number_over_both_sides():
    about = made()
    before = rows_of()
    held_out = about.train_rows
    after = datasets.delete_rows("mine", [0, 2, held_out])
    assert rows_of() == [before[1], *before[3:held_out], *before[held_out + 1 :]]
    assert (after.train_rows, after.held_out_rows) == (about.train_rows - 2, about.held_out_rows - 1)
    assert after.steps[-1].words == "3 rows taken out"
    assert datasets.report("mine").rows == 37
    for wrong in ([40], [-1], []):
        assert "its rows are 1 to 37" in refusal(datasets.delete_rows, "mine", wrong)
    assert "Nothing would be left in mine to train on" in refusal(datasets.delete_rows, "mine", range(after.train_rows))
    assert datasets.about("mine") == after


def test_a_row_that_is_added_joins_the_side_of_its_prompt_or_falls_to_one_by_its_hash():
    about = made()
    held_out = datasets.read("mine", "held_out")[0]
    after = datasets.add_row("mine", {**held_out, "chosen": [{"role": "assistant", "content": "another"}]})
    assert (after.train_rows, after.held_out_rows) == (about.train_rows, about.held_out_rows + 1)
    assert datasets.read("mine", "held_out")[-1]["chosen"][0]["content"] == "another"
    falls_out = next(q for q in map(str, range(1000)) if prompt_digest(canonical(q)["prompt"], 17) < 0.1 * 2**64)
    falls_in = next(q for q in map(str, range(1000)) if prompt_digest(canonical(q)["prompt"], 17) > 0.5 * 2**64)
    datasets.add_row("mine", canonical(falls_out))
    last = datasets.add_row("mine", canonical(falls_in))
    assert (last.train_rows, last.held_out_rows) == (about.train_rows + 1, about.held_out_rows + 2)
    assert datasets.read("mine", "train")[-1] == canonical(falls_in)


def test_a_dataset_is_begun_by_hand_with_one_pair_and_holds_out_as_soon_as_there_are_two_prompts():
    about = datasets.create_by_hand("mine", [canonical("first")])
    assert (about.kind, about.source, about.evidence) == ("preference", "written by hand", "Pairs written by hand.")
    assert (about.train_rows, about.held_out_rows) == (1, 0)
    again = datasets.add_row("mine", canonical("first", "sure"))
    assert (again.train_rows, again.held_out_rows) == (2, 0)
    both = datasets.add_row("mine", canonical("second"))
    assert both.kept == 3
    assert both.held_out_rows in (1, 2)
    keys = [{prompt_key(row["prompt"]) for row in datasets.read("mine", split)} for split in ("train", "held_out")]
    assert not keys[0] & keys[1]
    assert "There is no pair yet" in refusal(datasets.create_by_hand, "other", [])
    assert "already. Choose another name" in refusal(datasets.create_by_hand, "mine", [canonical("x")])


WRONG = [
    (canonical("", "", "no"), ["The prompt is empty.", "The better answer is empty."]),
    (canonical("q", "same ", "same"), ["Both answers are the same."]),
    (
        {**canonical("q"), "prompt": [{"role": "user", "content": "a"}, {"role": "user", "content": " "}]},
        ["A message of the prompt is empty.", "Two messages in a row are from the same role."],
    ),
    (
        {**canonical("q"), "prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        ["The prompt ends with a message from the assistant."],
    ),
    (
        {**canonical("q"), "prompt": [*canonical("q")["prompt"], {"role": "system", "content": "be kind"}]},
        ["A system message stands behind other messages.", "The prompt ends with a message from the system."],
    ),
    (
        {**canonical("q"), "chosen": canonical("q")["prompt"]},
        ["The better answer is not one message from the assistant."],
    ),
    ({"prompt": canonical("q")["prompt"]}, ["The row has no chosen and no rejected."]),
    ({**canonical("q"), "rejected": "text"}, ["The rejected is not a list of messages"]),
    (canonical("half \ud83d"), ["The prompt is not a list of messages with a role and a content that can be stored"]),
]


@pytest.mark.parametrize(("row", "words"), WRONG, ids=[words[0] for _, words in WRONG])
def test_a_row_that_cannot_be_trained_on_is_refused_with_all_that_is_wrong_with_it(row, words):
    made()
    for action in (lambda: datasets.edit_row("mine", 0, row), lambda: datasets.add_row("mine", row)):
        said = refusal(action)
        assert [one for one in words if one not in said] == []
        assert len(said.splitlines()) == len(words)
    assert datasets.about("mine").version == 1


DOUBTFUL = [*[pair(i) for i in range(60)], pair(3), {**pair(4), "chosen": "bad 4", "rejected": "good 4"}]


def test_a_remedy_drops_what_the_doctor_found_and_the_next_report_has_it_no_more():
    """60 pairs, one of them twice, and one with its answers swapped: 1 duplicate, 2 rows that contradict each other."""
    made(rows=DOUBTFUL)
    found = {finding.check: finding for finding in datasets.report("mine").findings}
    assert (len(found["duplicate"].remedy.rows), len(found["contradiction"].remedy.rows)) == (1, 2)
    duplicate = datasets.row("mine", found["duplicate"].remedy.rows[0])
    about = datasets.apply_remedy("mine", "duplicate")
    assert (about.kept, about.steps[-1].words) == (61, found["duplicate"].remedy.words)
    assert rows_of().count(duplicate) == 1
    about = datasets.apply_remedy("mine", "contradiction")
    assert (about.kept, about.version, len(about.steps)) == (59, 3, 3)
    checks = {finding.check for finding in datasets.report("mine").findings}
    assert not checks & {"duplicate", "contradiction"}
    assert "There is nothing to fix about duplicate in mine" in refusal(datasets.apply_remedy, "mine", "duplicate")
    datasets.undo("mine")
    assert {finding.check for finding in datasets.report("mine").findings} >= {"contradiction"}


def test_markup_is_cleaned_out_of_the_rows_that_have_it():
    rows = [*[pair(i) for i in range(30)], {**pair(99), "chosen": "<p>Fine, thank you very much.</p><|im_end|>"}]
    made(rows=rows)
    about = datasets.apply_remedy("mine", "markup")
    assert about.kept == 31
    assert [row["chosen"][0]["content"] for row in rows_of() if row["prompt"][0]["content"] == "question 99"] == [
        "Fine, thank you very much."
    ]


def test_a_prompt_on_both_sides_is_mended_by_a_new_split():
    about = made()
    number = about.train_rows
    leaking = {**datasets.row("mine", 0), "chosen": [{"role": "assistant", "content": "good elsewhere"}]}
    datasets.edit_row("mine", number, leaking)
    assert "leak" in {finding.check for finding in datasets.report("mine").findings}
    after = datasets.apply_remedy("mine", "leak")
    keys = [{prompt_key(row["prompt"]) for row in datasets.read("mine", split)} for split in ("train", "held_out")]
    assert not keys[0] & keys[1]
    assert after.kept == 40
    assert after.steps[-1].action == "split"
    assert "leak" in datasets.report("mine").passed


def test_a_new_split_has_the_share_and_the_seed_that_were_asked_for_and_loses_no_row():
    made(rows=[pair(i) for i in range(400)])
    before = rows_of()
    about = datasets.split_again("mine", 0.5, 3)
    assert 160 < about.held_out_rows < 240
    assert (about.seed, about.held_out_share) == (3, 0.5)
    assert about.steps[-1].words == f"Split again by prompt: {about.held_out_rows} rows held out, seed 3"
    is_held_out = sides([prompt_digest(row["prompt"], 3) for row in before], 0.5)
    train, held_out = (
        [row for row, held in zip(before, is_held_out, strict=True) if held is side] for side in (False, True)
    )
    assert (datasets.read("mine", "train"), datasets.read("mine", "held_out")) == (train, held_out)
    for share in (0, 1, -0.1):
        assert "must be above 0 and below 1" in refusal(datasets.split_again, "mine", share, 3)
    datasets.create_by_hand("one", [canonical("only")])
    assert "All rows of one have the same prompt" in refusal(datasets.split_again, "one", 0.5, 3)


def test_a_prompt_stays_on_its_side_when_the_dataset_grows():
    """Of 400 prompts and then 800, those that were held out first are held out still."""
    digests = [prompt_digest(canonical(str(i))["prompt"], 17) for i in range(800)]
    small, large = sides(digests[:400], 0.1), sides(digests, 0.1)
    assert large[:400] == small
    assert 20 < sum(small) < 60


def test_no_row_with_the_same_prompt_is_on_another_side_and_neither_side_is_empty():
    assert sides([7, 7, 7], 0.1) == [False, False, False]
    assert sides([], 0.1) == []
    assert sides([9, 7, 9, 7], 0.1) == [False, True, False, True]


@pytest.mark.parametrize(("held_out", "points"), [(20, 20), (50, 13), (100, 10), (200, 7), (400, 5)])
def test_more_held_out_rows_resolve_finer_differences(held_out, points):
    """1.96 / (2 sqrt(n + 1.96^2)): for 100 rows 1.96 / (2 * 10.19) = 0.0962"""
    assert round(resolution(held_out)) == points


def test_a_change_after_an_undo_drops_what_was_undone_and_gives_no_number_twice(home):
    made()
    datasets.delete_rows("mine", [0])
    datasets.delete_rows("mine", [0])
    datasets.undo("mine")
    assert [about.version for about in datasets.versions("mine")] == [1, 2, 3]
    about = datasets.delete_rows("mine", [5])
    assert (about.version, about.parent, about.kept) == (4, 2, 38)
    assert [one.version for one in datasets.versions("mine")] == [1, 2, 4]
    assert refusal(datasets.redo, "mine") == "There is nothing to redo in mine."
    datasets.undo("mine")
    assert datasets.undo("mine").version == 1
    assert refusal(datasets.undo, "mine") == "There is nothing to undo: mine is as it was made."
    assert {p.name for p in (home / "datasets").iterdir()} == {"mine"}


def test_at_most_so_many_versions_stay_besides_the_first(monkeypatch):
    monkeypatch.setattr("workbench.store.datasets.changes.MAX_VERSIONS", 3)
    made()
    for _ in range(6):
        datasets.delete_rows("mine", [0])
    assert [about.version for about in datasets.versions("mine")] == [1, 5, 6, 7]
    assert [datasets.undo("mine").version for _ in range(3)] == [6, 5, 1]
    assert len(rows_of()) == 40


def test_a_change_that_another_one_overtook_changes_nothing():
    about = made()

    def overtaken():
        for number, row in enumerate(rows_of()):
            if number == 20:
                datasets.delete_rows("mine", [0])
            yield "train", row

    assert "mine was changed in the meantime" in refusal(datasets.change, "mine", overtaken(), "test", "Test")
    assert (datasets.about("mine").version, datasets.about("mine").kept) == (2, about.kept - 1)


def test_a_cancelled_change_leaves_everything_as_it_was(home):
    made()
    before = datasets.about("mine")

    def cancel(fraction, text):
        raise KeyboardInterrupt

    for action in (
        lambda: datasets.split_again("mine", 0.5, 3, cancel),
        lambda: datasets.edit_row("mine", 0, canonical("q"), cancel),
        lambda: datasets.examine("mine", cancel),
        lambda: datasets.copy("mine", "other", cancel),
    ):
        with pytest.raises(KeyboardInterrupt):
            action()
    assert datasets.about("mine") == before
    assert [p.name for p in (home / "datasets").iterdir()] == ["mine"]
    assert not (home / "datasets/mine/versions").exists()


def test_a_damaged_pointer_means_the_newest_version(home):
    made()
    newest = datasets.delete_rows("mine", [0])
    for damage in ("{oops", "[]", '{"version": 9}', '{"version": "1"}'):
        (home / "datasets/mine/current.json").write_text(damage)
        assert datasets.about("mine") == newest
    assert datasets.delete_rows("mine", [0]).version == 3


CHANGES = [
    lambda name: datasets.delete_rows(name, [0]),
    lambda name: datasets.edit_row(name, 0, canonical("q")),
    lambda name: datasets.add_row(name, canonical("q")),
    lambda name: datasets.split_again(name, 0.2, 1),
    lambda name: datasets.apply_remedy(name, "duplicate"),
    lambda name: datasets.undo(name),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_comes_with_the_workbench_is_copied_before_it_is_changed(change):
    said = refusal(change, "demo-preferences")
    assert said == "demo-preferences comes with the workbench and cannot be changed: copy it first."


def test_a_copy_is_ones_own_and_says_whose_copy_it_is():
    source = datasets.about("demo-preferences")
    copied = datasets.copy("demo-preferences", "my-demo")
    assert rows_of("my-demo") == rows_of("demo-preferences")
    assert (copied.name, copied.version, copied.parent, copied.kept) == ("my-demo", 1, None, source.kept)
    assert copied.fingerprint == source.fingerprint
    assert copied.steps[-1].words == "Copied from demo-preferences"
    assert datasets.report("my-demo").rows == source.kept
    assert datasets.delete_rows("my-demo", [0]).kept == source.kept - 1
    assert datasets.undo("my-demo").kept == source.kept


def test_a_copy_of_a_changed_dataset_begins_as_that_one_is_now_with_its_whole_history():
    made(rows=[*[pair(i) for i in range(40)], {**pair(1), "chosen": ""}])
    datasets.delete_rows("mine", [0])
    copied = datasets.copy("mine", "mine-2")
    assert [step.action for step in copied.steps] == ["import", "delete", "copy"]
    assert len(rows_of("mine-2")) == 39
    assert datasets.left_out_examples("mine-2") == datasets.left_out_examples("mine") != []
    datasets.delete("mine")
    assert len(rows_of("mine-2")) == 39


def test_the_demo_data_can_be_examined_and_its_report_is_kept_beside_the_user_s_own_files(home):
    assert datasets.report("demo-preferences") is None
    said = datasets.examine("demo-preferences")
    assert datasets.report("demo-preferences") == said
    assert said.rows == datasets.about("demo-preferences").kept
    assert [p.name.startswith("report-demo-preferences") for p in (home / "cache").iterdir()] == [True]


def test_a_large_dataset_is_not_examined_while_a_person_waits(monkeypatch):
    monkeypatch.setattr("workbench.store.datasets.changes.EXAMINED_AT_ONCE", 10)
    made()
    datasets.delete_rows("mine", [0])
    assert datasets.report("mine") is None
    assert datasets.examine("mine").rows == 39
    assert datasets.report("mine").rows == 39


def test_rows_are_found_by_words_side_and_finding():
    """Of 62 rows, 11 hold "question 1" in their prompt (1, 10 to 19); 2 contradict each other."""
    about = made(rows=DOUBTFUL)
    everything, total = datasets.search("mine", limit=100)
    assert (len(everything), total) == (62, 62)
    assert [number for number, _ in everything] == list(range(62))
    assert [row for _, row in everything] == rows_of()
    found, total = datasets.search("mine", text="QUESTION 1", limit=5)
    assert (len(found), total) == (5, 11)
    more, _ = datasets.search("mine", text="QUESTION 1", start=5, limit=50)
    assert len(more) == 6
    assert {row["prompt"][0]["content"] for _, row in [*found, *more]} == {
        "question 1",
        *(f"question {i}" for i in range(10, 20)),
    }
    assert all(rows_of()[number] == row for number, row in [*found, *more])
    _, train = datasets.search("mine", split="train")
    held_out, count = datasets.search("mine", split="held_out", limit=100)
    assert (train, count) == (about.train_rows, about.held_out_rows)
    assert held_out[0][0] == about.train_rows
    found, total = datasets.search("mine", check="contradiction")
    assert {row["prompt"][0]["content"] for _, row in found} == {"question 4"}
    assert total == 2
    assert datasets.search("mine", text="question 5", check="contradiction") == ([], 0)
    assert datasets.search("mine", text="no such words") == ([], 0)
    assert datasets.search("mine", start=100) == ([], 62)


def test_a_search_knows_letters_of_other_scripts_and_takes_every_character_as_itself():
    rows = [pair(0, "Grüße aus KÖLN"), pair(1, "(a+b)* = [c]"), pair(2, "C:\\data"), *[pair(i) for i in range(3, 9)]]
    made(rows=rows)
    for words in ("grüße", "köln", "(A+B)*", "c:\\DATA", "[c]"):
        assert datasets.search("mine", text=words)[1] == 1, words
    assert datasets.search("mine", text=".*")[1] == 0


def test_one_row_is_read_by_its_number():
    made()
    rows = rows_of()
    assert [datasets.row("mine", number) for number in (0, 17, 39)] == [rows[0], rows[17], rows[39]]
    assert refusal(datasets.row, "mine", 40) == "mine has no row 41; its rows are 1 to 40."
    assert "has no row 0" in refusal(datasets.row, "mine", -1)


def test_long_rows_are_written_in_small_batches_that_can_be_read_one_by_one(monkeypatch):
    """Batches of 100 characters at most, 40 rows of 20 to 22: 5 or 6 rows in a batch."""
    import pyarrow.parquet as pq

    monkeypatch.setattr("workbench.store.datasets.tables.BATCH_CHARACTERS", 100)
    made()
    datasets.delete_rows("mine", [0])
    file = pq.ParquetFile(datasets.path("mine", "train"))
    assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) <= 6
    assert datasets.row("mine", 30) == rows_of()[30]


def test_of_two_changes_at_once_the_later_one_is_told_and_the_earlier_one_stays():
    """The other one is made while the first one writes its rows."""
    made()
    first, *rest = rows_of()

    def rows():
        datasets.delete_rows("mine", [0])
        yield from (("train", row) for row in [first, *rest])

    said = refusal(datasets.change, "mine", rows(), "other", "Changed")
    assert said == "mine was changed in the meantime. Look at it as it is now, and try again."
    assert rows_of() == rest
    assert datasets.about("mine").version == 2


def test_a_change_is_not_put_over_another_dataset_that_has_the_name_by_now():
    made()

    def rows():
        yield from (("train", row) for row in rows_of())
        datasets.delete("mine")
        made(rows=[pair(i) for i in range(100, 140)])

    assert "was changed in the meantime" in refusal(datasets.change, "mine", rows(), "other", "Changed")
    assert datasets.about("mine").version == 1
    assert {row["chosen"][0]["content"] for row in rows_of()} == {f"good {i}" for i in range(100, 140)}


def test_a_report_stays_with_the_version_that_was_examined():
    made()
    changed = []

    def change_once(fraction, words):
        if not changed:
            changed.append(datasets.delete_rows("mine", [0, 1, 2]))

    assert datasets.examine("mine", change_once).rows == 40
    assert datasets.report("mine").rows == 37
    datasets.undo("mine")
    assert datasets.report("mine").rows == 40


def test_where_the_new_version_cannot_be_put_in_use_the_earlier_one_stays(home, monkeypatch):
    made()
    before = rows_of()

    def disk_full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.store.datasets.folders.write_json", disk_full)
    assert "The disk is full: make room on it. Nothing was stored." in refusal(datasets.delete_rows, "mine", [0])
    assert rows_of() == before
    assert list((home / "datasets/mine/versions").iterdir()) == []


def test_undo_goes_to_the_version_that_was_changed_whatever_a_killed_change_left(monkeypatch):
    """Ended before it removed the version that was undone: 1 -> 2, undone, 1 -> 3, and 2 is still there."""
    made()
    datasets.delete_rows("mine", [0])
    datasets.undo("mine")
    with monkeypatch.context() as killed:
        killed.setattr("workbench.store.datasets.changes.remove_versions", lambda name, numbers: None)
        about = datasets.delete_rows("mine", [0, 1])
    assert (about.version, [one.version for one in datasets.versions("mine")]) == (3, [1, 2, 3])
    assert datasets.undo("mine").version == 1
    assert datasets.redo("mine") == about
    assert datasets.delete_rows("mine", [0]).kept == 37
    assert datasets.undo("mine") == about


def test_history_and_report_are_files_that_a_person_can_open(home):
    made()
    datasets.delete_rows("mine", [0])
    folder = home / "datasets/mine"
    assert {p.name for p in folder.iterdir()} == {
        "train.parquet", "held_out.parquet", "about.json", "report.json", "left_out.jsonl", "versions", "current.json",
    }  # fmt: skip
    assert {p.name for p in (folder / "versions/2").iterdir()} == {
        "train.parquet", "held_out.parquet", "about.json", "report.json",
    }  # fmt: skip
    assert json.loads((folder / "current.json").read_text()) == {"version": 2, "last": 2}
    assert json.loads((folder / "versions/2/about.json").read_text())["steps"][1]["words"] == "Row 1 taken out"
