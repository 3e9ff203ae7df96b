"""Data files and Hub datasets become stored datasets, whole or not at all; every row is accounted for."""

import csv
import http.server
import io
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from data_files import add_file, preview_file

from workbench.core.data.formats import Columns, ReadOptions
from workbench.core.data.messages import prompt_key
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.store import choices, datasets, hub_data
from workbench.store.alive import started
from workbench.store.datasets import About, Provenance, Take
from workbench.store.files import read_rows
from workbench.store.hub_data import HubFacts
from workbench.store.sources import FileSource, HubSource


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pair(i):
    return {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"}


PAIRS = [pair(i) for i in range(40)]
LINES = "".join(json.dumps(row) + "\n" for row in PAIRS).encode()


def as_csv(rows, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def file_of(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    return file


def refusal(action, *args, **more):
    with pytest.raises(WorkbenchError) as refused:
        result = action(*args, **more)
        list(result)
    return str(refused.value)


def test_nothing_is_stored_of_a_file_that_breaks_at_its_end(tmp_path, own_home):
    for name, content in {"late.jsonl": LINES + b"{oops\n", "late.csv": as_csv(PAIRS) + b"x\n"}.items():
        assert "Line 4" in refusal(add_file, file_of(tmp_path, name, content), "late")
    assert list((own_home / "datasets").iterdir()) == []


def test_a_stored_dataset_says_where_it_came_from_and_accounts_for_every_row(tmp_path):
    """40 pairs, one of them three times: without its rejected answer, and with two identical ones."""
    rows = [*PAIRS, {**pair(1), "rejected": ""}, {**pair(1), "rejected": "good 1"}, {**pair(1), "rejected": "good 1 "}]
    file = file_of(tmp_path, "x", "".join(json.dumps(row) + "\n" for row in rows).encode())
    said = []
    about = add_file(file, "mine", original_name="my.jsonl", licence="mit", progress=lambda *at: said.append(at))
    assert about == datasets.about("mine")
    assert (about.rows, about.used, about.made, about.kept, about.not_taken) == (43, 40, 40, 40, 0)
    assert about.left_out == {"chosen and rejected are identical": 2, "empty rejected answer": 1}
    assert about.train_rows + about.held_out_rows == about.kept
    assert (about.kind, about.source, about.part, about.licence) == ("preference", "upload: my.jsonl", "all", "mit")
    assert about.mapping == {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    assert said[-3:] == [(0.9, "storing 40 rows"), (0.95, "checking 40 rows"), (1.0, "40 rows stored")]
    (step,) = about.steps
    assert (step.action, step.words, step.rows_before, step.rows_after) == (
        "import",
        "Imported from upload: my.jsonl",
        43,
        40,
    )
    assert (about.version, about.parent) == (1, None)
    report = datasets.report("mine")
    assert (report.rows, report.held_out_rows) == (40, about.held_out_rows)
    train, held_out = datasets.read("mine", "train"), datasets.read("mine", "held_out")
    assert (len(train), len(held_out)) == (about.train_rows, about.held_out_rows)
    assert not {prompt_key(row["prompt"]) for row in train} & {prompt_key(row["prompt"]) for row in held_out}
    assert datasets.fingerprint([*train, *held_out]) == about.fingerprint
    assert datasets.read("mine", "train", 2) == train[:2]
    assert datasets.path("mine", "train").name == "train.parquet"
    examples = datasets.left_out_examples("mine")
    assert [(example["row"], example["reason"]) for example in examples] == [
        (41, "empty rejected answer"),
        (42, "chosen and rejected are identical"),
        (43, "chosen and rejected are identical"),
    ]
    assert examples[0]["values"]["prompt"] == "question 1"


def test_at_most_twenty_examples_are_kept_for_a_reason(tmp_path):
    rows = [*PAIRS, *[{**pair(1), "chosen": None, "rejected": "x" * 5000}] * 30]
    about = datasets.add(enumerate(rows, 1), "mine", source=Provenance("a test"))
    assert about.left_out == {"empty chosen answer": 30}
    examples = datasets.left_out_examples("mine")
    assert len(examples) == 20
    assert examples[0]["values"]["rejected"] == "x" * 2000 + "..."


def numbers(name):
    rows = datasets.read(name, "train") + datasets.read(name, "held_out")
    return sorted(int(row["prompt"][0]["content"].split()[1]) for row in rows)


def test_a_random_part_is_the_same_for_the_same_seed_and_reads_everything():
    """1,000 pairs of which every tenth has no signal: 900 usable, 50 taken, 850 not taken."""
    rows = [pair(i) if i % 10 else {**pair(i), "rejected": f"good {i}"} for i in range(1000)]
    abouts = [
        datasets.add(enumerate(rows, 1), f"part-{i}", source=Provenance("a test"), take=Take("random", 50, seed))
        for i, seed in enumerate([17, 17, 18])
    ]
    assert [(a.rows, a.kept, a.not_taken, sum(a.left_out.values())) for a in abouts] == [(1000, 50, 850, 100)] * 3
    assert abouts[0].part == "random 50 of 900, seed 17"
    assert abouts[0].fingerprint == abouts[1].fingerprint != abouts[2].fingerprint
    assert len(set(numbers("part-0"))) == 50
    assert max(numbers("part-0")) > 700


def test_the_first_part_reads_no_further_than_it_needs():
    read = []

    def rows():
        for i in range(5000):
            read.append(i)
            yield i, pair(i)

    about = datasets.add(rows(), "first", source=Provenance("a test"), take=Take("first", 250))
    assert (about.part, about.rows, about.kept, about.not_taken) == ("first 250", 250, 250, 0)
    assert len(read) == 250
    assert numbers("first") == list(range(250))


def test_asking_for_more_than_there_is_takes_all():
    about = datasets.add(enumerate(PAIRS, 1), "all", source=Provenance("a test"), take=Take("random", 100))
    assert (about.part, about.kept) == ("all", 40)


def test_cancelling_an_import_leaves_nothing(own_home):
    def cancel(fraction, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.add(enumerate(PAIRS, 1), "mine", source=Provenance("a test"), progress=cancel)
    assert list((own_home / "datasets").iterdir()) == []


def test_a_failed_write_leaves_nothing(own_home, monkeypatch):
    def disk_full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.store.datasets.abouts.write_json", disk_full)
    assert "could not be stored (No space left on device). The disk is full: make room on it. Nothing was stored." in (
        refusal(datasets.add, enumerate(PAIRS, 1), "x", source=Provenance("a test"))
    )
    assert list((own_home / "datasets").iterdir()) == []
    assert "x" not in datasets.names()


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(tmp_path):
    """Files of up to 20,000 bytes can be written, and the rows take more."""
    rows = [{**pair(i), "chosen": random.Random(i).randbytes(200).hex()} for i in range(2000)]
    file = file_of(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    program = f"""
import resource, sys
from pathlib import Path
from workbench.core.errors import WorkbenchError
from workbench.store import datasets
from workbench.store.datasets import Provenance
from workbench.store.files import read_rows
from workbench.store.home import home
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    datasets.add(read_rows(Path({str(file)!r})), "x", source=Provenance("a test"))
except WorkbenchError as error:
    print(error)
print(list((home() / "datasets").iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    words, left = done.stdout.splitlines()
    assert words.startswith("The dataset x could not be stored (File too large). Check whether the disk is full")
    assert left == "[]"
    assert done.stderr == ""


def test_what_a_killed_import_left_is_swept_and_what_is_at_work_stays(own_home):
    """A draft is known by the process that it belongs to: one that never was, and this one."""
    folder = own_home / "datasets"
    folder.mkdir(parents=True)
    gone = folder / ".draft-99999999-1700000000.12-abc"
    same_pid = folder / f".draft-{os.getpid()}-1700000000.12-abc"
    at_work = folder / f".draft-{os.getpid()}-{started(os.getpid()):.2f}-abc"
    for draft in (gone, same_pid, at_work):
        draft.mkdir()
    datasets.add(enumerate(PAIRS, 1), "mine", source=Provenance("a test"))
    assert {p.name for p in folder.iterdir()} == {at_work.name, "mine"}


SCORED = [
    {"instruction": f"question {i}", "completions": [{"response": f"{word} {i}", "overall_score": score} for word, score in answers]}
    for i, answers in enumerate([[("a", 1.0), ("b", 3.0), ("c", 4.5)], [("a", 2.0), ("b", 2.0)], *[[("a", 1.0), ("b", 3.0)]] * 8])
]  # fmt: skip


def test_one_row_may_give_several_and_scores_and_source_rows_are_kept_beside_them():
    """3 answers give 3 pairs, two with the same score none, 8 times 2 answers 8 pairs: 9 of 10 rows used, 11 made."""
    about = datasets.add(enumerate(SCORED, 1), "all", source=Provenance("a test"), options=ReadOptions(option="all"))
    assert (about.rows, about.used, about.made, about.kept) == (10, 9, 11, 11)
    assert (about.left_out, about.option) == ({"both answers have the same score": 1}, "all")
    rows = datasets.read("all", "train", extras=True) + datasets.read("all", "held_out", extras=True)
    assert sorted(row["source_row"] for row in rows) == [1, 1, 1, *range(3, 11)]
    assert {(row["scores"]["chosen"], row["scores"]["rejected"]) for row in rows if row["source_row"] == 1} == {
        (4.5, 3.0), (4.5, 1.0), (3.0, 1.0),
    }  # fmt: skip
    assert set(datasets.read("all", "train")[0]) == {"prompt", "chosen", "rejected"}
    rows = [SCORED[2], SCORED[0], SCORED[3]]
    first = datasets.add(
        enumerate(rows, 1),
        "first",
        source=Provenance("a test"),
        options=ReadOptions(option="all"),
        take=Take("first", 2),
    )
    assert (first.rows, first.used, first.made, first.kept, first.not_taken) == (2, 2, 4, 2, 2)


def test_answers_with_a_thumb_are_stored_with_their_label():
    rows = [{"prompt": f"q {i}", "completion": f"a {i}", "label": i % 3 == 0} for i in range(12)]
    about = datasets.add(enumerate(rows, 1), "thumbs", source=Provenance("a test"))
    stored = datasets.read("thumbs", "train") + datasets.read("thumbs", "held_out")
    assert about.kind == "unpaired"
    assert {row["prompt"][0]["content"]: row["label"] for row in stored} == {f"q {i}": i % 3 == 0 for i in range(12)}


def test_rows_that_leave_a_choice_are_not_stored_until_a_person_made_it():
    """1 in every row: it may mean the first answer or the second."""
    rows = [{"prompt": f"q {i}", "response_a": f"a {i}", "response_b": f"b {i}", "label": 1} for i in range(12)]
    assert "Say which it is" in refusal(datasets.add, enumerate(rows, 1), "x", source=Provenance("a test"))


def test_a_file_is_checked_without_being_stored(own_home):
    """40 pairs, one with two equal answers, one without a prompt, and one whose answers are equal but for a full stop."""
    rows = [*PAIRS, {**pair(1), "rejected": "good 1"}, {**pair(1), "prompt": ""}, {**pair(50), "rejected": "Good 50."}]
    seen = datasets.check(enumerate(rows, 1), held_out=enumerate([pair(0), pair(99)], 1))
    assert (seen.format, seen.rows, seen.used, seen.made) == ("text-pairs", 45, 43, 43)
    assert seen.left_out == {"chosen and rejected are identical": 1, "empty prompt": 1}
    said = seen.as_json()
    assert {"format", "evidence", "rows", "kept", "left_out", "findings", "verdict"} <= set(said)
    found = {one["check"]: one for one in said["findings"]}
    assert found["near_identical"]["examples"] == [
        {"row": 43, "prompt": "question 50", "chosen": "good 50", "rejected": "Good 50."}
    ]
    assert found["identical"]["examples"][0]["row"] == 41
    assert [example["row"] for example in found["leak"]["examples"]] == [1]
    assert list((own_home / "datasets").iterdir()) == []
    json.dumps(said)
    other = [{"prompt": "q", "completion": "a"}] * 3
    assert "The held-out rows are prompt-completion, and the others text-pairs" in refusal(
        datasets.check, enumerate(rows, 1), held_out=enumerate(other, 1)
    )


def test_what_was_said_of_a_stored_dataset_is_given_in_the_same_form():
    """40 pairs, one left out, and the first row of the dataset edited to have nearly the same answers."""
    about = datasets.add(enumerate([*PAIRS, {**pair(1), "prompt": ""}], 1), "mine", source=Provenance("a test"))
    first = datasets.row("mine", 0)
    words = first["chosen"][0]["content"]
    datasets.edit_row("mine", 0, {**first, "rejected": [{"role": "assistant", "content": f"{words.upper()}!"}]})
    said = datasets.checked(datasets.about("mine"), datasets.report("mine")).as_json()
    assert (said["rows"], said["used"], said["kept"], said["left_out"]) == (41, 40, 40, {"empty prompt": 1})
    found = {one["check"]: one["examples"] for one in said["findings"]}
    question = first["prompt"][0]["content"]
    assert found["near_identical"] == [{"row": 1, "prompt": question, "chosen": words, "rejected": f"{words.upper()}!"}]
    assert [example["row"] for example in found["empty"]] == [41]
    assert about.kept == said["kept"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_file_is_converted_without_being_stored_and_never_over_another_one(tmp_path, own_home, name):
    target = tmp_path / name
    account = datasets.convert_file(enumerate([*PAIRS, {**pair(1), "prompt": ""}], 1), target)
    assert (account.rows, account.made, account.left_out) == (41, 40, {"empty prompt": 1})
    first = {
        "prompt": [{"role": "user", "content": "question 0"}],
        "chosen": [{"role": "assistant", "content": "good 0"}],
        "rejected": [{"role": "assistant", "content": "bad 0"}],
    }
    assert next(row for _, row in read_rows(target)) == first
    assert "already. Choose another name" in refusal(datasets.convert_file, enumerate(PAIRS, 1), target)
    assert datasets.convert_file(enumerate(PAIRS[:5], 1), target, replace=True).made == 5
    none = [{**pair(1), "chosen": ""}]
    assert "None of the 1 rows can be used" in refusal(datasets.convert_file, enumerate(none, 1), target, replace=True)
    assert len(list(read_rows(target))) == 5
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [name]
    assert not own_home.exists()
    assert "does not end in .jsonl or .parquet" in refusal(datasets.convert_file, iter([]), tmp_path / "out.csv")


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize("kind", ["preference", "sft", "unpaired"])
def test_an_export_is_what_the_datasets_library_loads_as_conversations(tmp_path, name, kind):
    from datasets import load_dataset

    answers = {"preference": ("chosen", "rejected"), "sft": ("completion",), "unpaired": ("completion",)}[kind]
    rows = [{"prompt": f"q {i}", **{part: f"{part} {i}" for part in answers}} for i in range(30)]
    rows = [{**row, "label": i % 2 == 0} if kind == "unpaired" else row for i, row in enumerate(rows)]
    about = datasets.add(enumerate(rows, 1), "mine", source=Provenance("a test"))
    for split, count in (("train", about.train_rows), ("held_out", about.held_out_rows), (None, 30)):
        target = datasets.export("mine", tmp_path / name, split)
        loaded = load_dataset(
            {".jsonl": "json", ".parquet": "parquet"}[target.suffix], data_files=str(target), split="train",
            cache_dir=str(tmp_path / f"cache-{split}"),
        )  # fmt: skip
        assert len(loaded) == count
        assert loaded.column_names == ["prompt", *answers, *(["label"] if kind == "unpaired" else [])]
        wanted = datasets.read("mine", split or "train")[0]
        assert loaded[0] == wanted
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [name]
    assert "could not be written (No such file or directory)" in refusal(
        datasets.export, "mine", tmp_path / "none" / "out.jsonl"
    )


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", "", "Con", "con", "a\\b", "x\0y", ".hidden", "demo-sft", "x" * 65]
)
def test_hostile_and_taken_names_are_refused_before_anything_is_read(own_home, name):
    def never():
        raise AssertionError("the source was read")
        yield

    refusal(datasets.add, never(), name, source=Provenance("a test"))
    assert not own_home.exists() or not list(own_home.rglob("*.parquet"))
    if name != "demo-sft":
        refusal(datasets.about, name)
        refusal(datasets.delete, name)


def test_a_name_in_use_is_refused_with_a_free_one():
    datasets.add(enumerate(PAIRS, 1), "mine", source=Provenance("a test"))
    datasets.add(enumerate(PAIRS, 1), "mine-2", source=Provenance("a test"))
    words = refusal(datasets.add, enumerate(PAIRS, 1), "mine", source=Provenance("a test"))
    assert words == "There is a dataset called mine already. Choose another name, such as mine-3."
    assert datasets.free_name("x" * 64) == "x" * 64


def test_too_few_usable_rows_are_refused_with_the_reasons():
    same = [{**pair(i), "rejected": f"good {i}"} for i in range(3)]
    assert refusal(datasets.add, enumerate(same, 1), "x", source=Provenance("a test")) == (
        "None of the 3 rows can be used: 3 x chosen and rejected are identical."
    )
    one = [{**pair(i), "prompt": "the same"} for i in range(3)]
    assert "All usable rows (3) have the same prompt." in refusal(
        datasets.add, enumerate(one, 1), "x", source=Provenance("a test")
    )
    assert "must be at least 2" in refusal(
        datasets.add, enumerate(PAIRS, 1), "x", source=Provenance("a test"), take=Take("first", 1)
    )


def test_unknown_columns_are_named_and_can_be_mapped_by_hand(tmp_path):
    rows = [{"frage": f"q {i}", "gut": "ja", "schlecht": "nein"} for i in range(10)]
    file = file_of(tmp_path, "a.csv", as_csv(rows))
    assert "columns: frage, gut, schlecht" in refusal(add_file, file, "mapped")
    assert preview_file(file).recognised is None
    mapping = Columns(prompt="frage", chosen="gut", rejected="schlecht")
    assert preview_file(file, options=ReadOptions(mapping)).account.used == 10
    about = add_file(file, "mapped", options=ReadOptions(mapping))
    assert about.format == "columns"
    assert about.evidence == "Columns named by hand: prompt from `frage`, chosen from `gut`, rejected from `schlecht`."
    assert "There is no column 'x'" in refusal(add_file, file, "other", options=ReadOptions(Columns(messages="x")))


def test_a_preview_shows_rows_as_read_and_as_converted_and_stores_nothing(tmp_path, own_home):
    rows = [pair(i) if i else {**pair(0), "chosen": ""} for i in range(3000)]
    file = file_of(tmp_path, "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    seen = preview_file(file)
    assert seen.columns == ("prompt", "chosen", "rejected")
    assert seen.rows[1] == pair(1)
    assert seen.converted[0]["chosen"] == [{"role": "assistant", "content": "good 1"}]
    assert (seen.account.rows, seen.account.used, seen.account.left_out) == (1000, 999, {"empty chosen answer": 1})
    assert not seen.total_is_exact
    assert 2900 < seen.total < 3200
    few = preview_file(file_of(tmp_path, "y.jsonl", LINES))
    assert (few.total, few.total_is_exact) == (40, True)
    assert not own_home.exists()


def test_sft_data_is_stored_with_prompt_and_completion():
    rows = [{"instruction": f"do {i}", "input": "", "output": "done"} for i in range(9)]
    assert datasets.add(enumerate(rows, 1), "lessons", source=Provenance("a test")).kind == "sft"
    assert set(datasets.read("lessons", "train")[0]) == {"prompt", "completion"}


def test_a_deleted_dataset_is_gone_and_another_one_stays(own_home):
    for name in ("a", "b"):
        datasets.add(enumerate(PAIRS, 1), name, source=Provenance("a test"))
    datasets.delete("a")
    assert [about.name for about in datasets.all_abouts() if about.source == "a test"] == ["b"]
    assert [p.name for p in (own_home / "datasets").iterdir()] == ["b"]
    assert "There is no dataset called a." in refusal(datasets.read, "a", "train")


def test_a_damaged_dataset_says_so_and_hides_no_other(own_home):
    for name in ("a", "b"):
        datasets.add(enumerate(PAIRS, 1), name, source=Provenance("a test"))
    (own_home / "datasets/a/about.json").write_text("{oops")
    (own_home / "datasets/b/train.parquet").write_bytes(b"PAR1 no more")
    assert "a is damaged: about.json is not whole JSON" in refusal(datasets.about, "a")
    assert "b is damaged: train.parquet cannot be read. Delete it" in refusal(datasets.read, "b", "train")
    assert [about.name for about in datasets.all_abouts() if about.source == "a test"] == ["b"]
    datasets.delete("a")


def test_a_dataset_of_another_version_of_the_program_is_read_or_says_so(own_home):
    """An older one knows fewer things of a dataset, a newer one more."""
    datasets.add(enumerate(PAIRS, 1), "mine", source=Provenance("a test"))
    file = own_home / "datasets/mine/about.json"
    now = json.loads(file.read_text())
    newer = ("used", "made", "notes", "option", "revision", "held_out_share", "version", "parent", "steps")
    file.write_text(json.dumps({key: value for key, value in now.items() if key not in newer}))
    assert (datasets.about("mine").kept, datasets.about("mine").version) == (40, 1)
    assert datasets.delete_rows("mine", [0]).version == 2
    assert datasets.undo("mine").kept == 40
    file.write_text(json.dumps(now | {"mood": "fine"}))
    said = refusal(datasets.about, "mine")
    assert said.startswith("The dataset mine was made by a newer version of the workbench: its about.json says mood,")
    file.write_text(json.dumps(now | {"mood": "fine", "kept": "many"}))
    assert "is damaged" in refusal(datasets.about, "mine")


def test_what_a_killed_export_left_beside_its_target_is_swept_and_nothing_else(tmp_path):
    datasets.add(enumerate(PAIRS, 1), "mine", source=Provenance("a test"))
    left, other = (tmp_path / f".draft-99999999-1700000000.12-{name}" for name in ("out.jsonl", "notes.txt"))
    left.touch()
    other.touch()
    datasets.export("mine", tmp_path / "out.jsonl")
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"out.jsonl", other.name}


def test_two_imports_under_one_name_and_the_later_one_is_told():
    """The second one is stored while the first one reads."""

    def rows():
        yield from enumerate(PAIRS, 1)
        datasets.add(enumerate(PAIRS[:20], 1), "mine", source=Provenance("the other"))

    assert "There is a dataset called mine already." in refusal(
        datasets.add, rows(), "mine", source=Provenance("a test")
    )
    assert datasets.about("mine").source == "the other"


@pytest.mark.skipif(os.name == "nt", reason="Windows names are text")
def test_a_file_whose_name_is_no_text_is_stored_all_the_same(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.jsonl")
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    source = FileSource(path=path, uploaded=False)
    assert source.title == "caf\ufffd.jsonl"
    assert (
        datasets.add(source.open(), "mine", source=Provenance(source.words)).source
        == f"file: {tmp_path}/caf\ufffd.jsonl"
    )


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "file" / "home"))
    assert "Set WORKBENCH_HOME to a folder that can be written to." in refusal(datasets.names)


def test_the_demo_data_is_found_in_the_assets_and_cannot_be_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.store.datasets.folders.shipped", lambda part: tmp_path / part)
    assert datasets.names() == []
    folder = tmp_path / "assets/demo/sft"
    folder.mkdir(parents=True)
    rows = [{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}]
    for split in ("train", "held_out"):
        datasets.write_rows(folder / f"{split}.parquet", rows, "sft")
    described = About(
        name="demo-sft", title="Demo", kind="sft", source="demo", format="messages", evidence="", rows=2, kept=2,
        train_rows=1, held_out_rows=1, seed=17, fingerprint=datasets.fingerprint(rows * 2), created="2026-01-01",
    )  # fmt: skip
    datasets.write_about(folder, described)
    assert datasets.names() == ["demo-sft"]
    assert datasets.about("demo-sft") == described
    assert datasets.read("demo-sft", "held_out") == rows
    assert "comes with the workbench" in refusal(datasets.delete, "demo-sft")
    assert datasets.left_out_examples("demo-sft") == []


@pytest.mark.skipif("WORKBENCH_REAL_DATA" not in os.environ, reason="needs the test split of hh-rlhf harmless-base")
def test_every_row_of_a_real_file_is_accounted_for():
    about = add_file(Path(os.environ["WORKBENCH_REAL_DATA"]), "real")
    assert about.format == "dialogue-pairs"
    assert about.rows == about.kept + sum(about.left_out.values()) == 2312
    assert about.kept == 2299


class Refused(Exception):
    """An error as the libraries raise it, known by the name of its class."""


def library_error(name, text=""):
    return type(name, (Refused,), {})(text)


class FakeHub(hub_data.Hub):
    """Two configurations; `error` is what the Hub says to everything."""

    def __init__(self, error=None, breaks_at=None):
        self.error = error
        self.breaks_at = breaks_at

    def facts(self, id, revision):
        if self.error:
            raise self.error
        return HubFacts("mit", "c0ffee")

    def configs(self, id, revision):
        return ["default", "small"]

    def splits(self, id, config, revision):
        return ["train"] if config == "small" else ["train", "test"]

    def stream(self, id, config, split, revision):
        def rows():
            for i, row in enumerate(PAIRS):
                if i == self.breaks_at:
                    raise ConnectionError("reset by https://signed.example/?token=abc")
                yield row

        return rows(), len(PAIRS)


def test_a_hub_split_becomes_a_dataset():
    hub = FakeHub()
    assert hub_data.configs_and_splits("org/name", hub=hub) == {"default": ["train", "test"], "small": ["train"]}
    about = hub_data.add_split(
        HubSource(id="https://huggingface.co/datasets/org/name/viewer", config="default", split="test"), "mine", hub=hub
    )
    assert (about.source, about.licence, about.rows, about.kept) == ("hub: org/name (split test)", "mit", 40, 40)
    assert about.revision == "c0ffee"
    about = hub_data.add_split(
        HubSource(id="org/name", config="small", split="train", revision="v1"), "mine-2", hub=hub
    )
    assert about.source == "hub: org/name (small, split train, v1)"
    seen = datasets.preview(hub_data.stream_rows("org/name", "small", "train", hub=hub))
    assert (seen.total, seen.recognised.format) == (40, "text-pairs")


def test_a_configuration_or_split_that_is_not_there_is_answered_with_those_that_are():
    assert refusal(hub_data.stream_rows, "org/name", "large", "train", hub=FakeHub()) == (
        "org/name has no configuration 'large'. It has: default, small."
    )
    assert refusal(hub_data.stream_rows, "org/name", "small", "test", hub=FakeHub()) == (
        "org/name (small) has no split 'test'. It has: train."
    )


@pytest.mark.parametrize(
    "id", ["", "name", "../x", "a/../b", "/etc/passwd", "https://example.org/a/b", "a b/c", "json"]
)
def test_only_ids_of_the_hub_are_asked_for(id):
    assert "is not the id of a dataset" in refusal(hub_data.configs_and_splits, id, hub=FakeHub(AssertionError()))


NOES = [
    (library_error("OfflineModeIsEnabled"), "HF_HUB_OFFLINE is set"),
    (library_error("GatedRepoError"), "is gated: its owner asks you to accept terms. Accept them on https://huggingface.co/datasets/org/name"),
    (library_error("DatasetNotFoundError", "Dataset 'org/name' is a gated dataset on the Hub."), "is gated"),
    (library_error("RepositoryNotFoundError"), "There is no dataset org/name on the Hub, or it is private."),
    (library_error("RevisionNotFoundError"), "has no revision 'v9'"),
    (library_error("RuntimeError", "Dataset scripts are no longer supported, but found x.py"), "running its own program code, and that is never done"),
    (library_error("DataFilesNotFoundError"), "holds no data files that can be read"),
    (library_error("HfHubHTTPError"), "The Hub refused to send org/name (HTTP status unknown)"),
    (ConnectionError("https://signed.example/?token=abc"), "the Hub cannot be reached. Check the network connection"),
    (TimeoutError(), "the Hub cannot be reached"),
    (library_error("DatasetGenerationError"), "cannot be read as one table"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "words"), NOES, ids=lambda value: type(value).__name__)
def test_each_way_in_which_the_hub_says_no_is_told_in_words(error, words):
    said = refusal(hub_data.configs_and_splits, "org/name", "v9", hub=FakeHub(error))
    assert words in said
    assert "token" not in said


def test_a_connection_lost_on_the_way_stores_nothing(own_home):
    said = refusal(hub_data.add_split, HubSource(id="org/name", split="train"), "mine", hub=FakeHub(breaks_at=30))
    assert "the Hub cannot be reached" in said
    assert list((own_home / "datasets").iterdir()) == []


def test_a_bug_on_the_way_to_the_hub_stays_a_bug():
    with pytest.raises(ZeroDivisionError):
        hub_data.configs_and_splits("org/name", hub=FakeHub(ZeroDivisionError()))


HUB_FILES = {
    "org/name": {"data/train.jsonl": LINES, "data/test.jsonl": LINES},
    "org/code": {"code.py": b"open('ran', 'w')", "data/train.jsonl": LINES},
}
COMMIT = "a" * 40


class HubServer(http.server.BaseHTTPRequestHandler):
    """As much of the Hub as the libraries ask: about a dataset, its tree, and parts of its files."""

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0].strip("/").removeprefix("api/").removeprefix("datasets/")
        id, rest = "/".join(path.split("/")[:2]), path.split("/")[2:]
        if id == "org/gated":
            return self.answer(403, X_Error_Code="GatedRepo")
        if id not in HUB_FILES:
            return self.answer(401, X_Error_Code="RepoNotFound")
        files = HUB_FILES[id]
        if rest[:1] == ["tree"]:
            body = [{"type": "file", "path": f, "size": len(files[f]), "oid": "b" * 40} for f in files]
            return self.answer(
                200, json.dumps([{"type": "directory", "path": "data", "oid": "c" * 40}, *body]).encode()
            )
        if rest[:1] != ["resolve"]:
            about = {"id": id, "sha": COMMIT, "tags": ["license:mit"], "siblings": [{"rfilename": f} for f in files]}
            return self.answer(200, json.dumps(about).encode())
        content = files.get("/".join(rest[2:]))
        if content is None:
            return self.answer(404, X_Error_Code="EntryNotFound")
        headers = {"X_Repo_Commit": COMMIT, "ETag": '"e"', "Accept_Ranges": "bytes"}
        if "Range" not in self.headers:
            return self.answer(200, content, **headers)
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        whole = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        return self.answer(206, part, Content_Range=whole, **headers)


def test_the_real_libraries_read_from_a_hub_without_torch_and_without_running_code(tmp_path, own_home):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubServer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    program = """
import sys
from workbench.core.errors import WorkbenchError
from workbench.store import hub_data
from workbench.store.sources import HubSource
for id in ("org/name", "org/gated", "org/none", "org/code"):
    try:
        print(hub_data.configs_and_splits(id))
    except WorkbenchError as error:
        print(error)
print(hub_data.add_split(HubSource(id="org/name", config="default", split="test"), "mine").kept)
print("torch" in sys.modules)
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=env, cwd=tmp_path
    )
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    name, gated, none, code, kept, torch = done.stdout.splitlines()
    assert name == "{'default': ['train', 'test']}"
    assert "org/gated is gated" in gated
    assert "There is no dataset org/none on the Hub, or it is private." in none
    assert "running its own program code, and that is never done" in code
    assert not (tmp_path / "ran").exists()
    assert (kept, torch) == ("40", "False")
    assert datasets.about("mine").licence == "mit"


def test_offline_the_hub_is_not_asked():
    program = "from workbench.store import hub_data; hub_data.configs_and_splits('org/name')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert "WorkbenchError: org/name cannot be read: HF_HUB_OFFLINE is set" in done.stderr


def test_a_folder_that_would_be_read_in_place_of_the_hub_is_pointed_out(tmp_path, monkeypatch):
    (tmp_path / "org/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "There is a folder org/name where the workbench was started" in refusal(
        hub_data.configs_and_splits, "org/name", hub=FakeHub()
    )


def test_choices_are_kept_and_a_damaged_file_means_none(own_home):
    assert choices.read() == choices.Choices(model=ModelRef(), sft_data=None, preference_data=None, run=None)
    choices.update(preference_data="mine", model=ModelRef(source="hub", name="org/name"))
    choices.update(run="first")
    kept = choices.read()
    assert (kept.preference_data, kept.run, kept.model.name) == ("mine", "first", "org/name")
    assert choices.update(run=None).run is None
    for damage in ("{oops", "[1]", '{"run": 7}', '{"colour": "red"}', "null"):
        (own_home / "choices.json").write_text(damage)
        assert choices.read() == choices.Choices()
