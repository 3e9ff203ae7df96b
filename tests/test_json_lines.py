"""metrics.jsonl and samples.jsonl: each line once, a named flaw for each that cannot be used, and never a wrong type."""

import json
import math
import os
from pathlib import Path

import pytest
from configs import demo_config
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import create_run

from workbench.core.monitoring.charts import charts
from workbench.core.monitoring.health import examine
from workbench.core.monitoring.progress import next_checkpoint, progress
from workbench.core.monitoring.run_log import RunLog
from workbench.store import json_lines
from workbench.store.checked_lines import Flaw, checked_row, checked_sample, flaw_summary
from workbench.store.json_lines import JsonLines, read_lines
from workbench.ui.chart import packed
from workbench.ui.samples_view import samples_html

ROW = {"stage": "dpo", "step": 1, "steps": 20, "time": 5.0, "loss": 0.5}
SAMPLE = {
    "stage": "dpo", "step": 0, "prompt": [{"role": "user", "content": "Hi?"}], "answer": "Yes.", "tokens": 2,
    "hit_limit": False, "repetition": 0.0,
}  # fmt: skip


def row(step, **numbers):
    return ROW | {"step": step} | numbers


def lines_of(*rows):
    return b"".join(json.dumps(one).encode() + b"\n" for one in rows)


def read(lines: JsonLines):
    return lines.look(), [one["step"] for one in lines.read()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_a_line_torn_at_any_byte_is_left_for_the_next_look(file):
    first, whole = lines_of(row(0), row(1)), lines_of(row(0), row(1), row(2))
    for cut in range(len(first), len(whole) + 1):
        file.write_bytes(whole[:cut])
        lines = JsonLines(file, checked_row)
        assert read(lines) == ("more", [0, 1, 2] if cut == len(whole) else [0, 1])
        assert lines.is_whole and not lines.trouble, "a line that is being written is no problem"
        file.write_bytes(whole)
        assert read(lines)[1] == ([] if cut == len(whole) else [2])


def test_a_look_at_a_file_that_did_not_change_opens_nothing(file, monkeypatch):
    file.write_bytes(lines_of(row(0)) + b'{"half')
    lines = JsonLines(file, checked_row)
    read(lines)
    monkeypatch.setattr(json_lines, "open", lambda *_: pytest.fail("opened"), raising=False)
    assert read(lines) == ("same", [])
    file.unlink()
    assert read(lines) == ("other", [])
    assert read(lines) == ("same", [])


@pytest.mark.parametrize("steps", [(7, 8, 9), (7, 8), (7,)], ids=["longer", "as long", "shorter"])
def test_another_file_under_the_name_is_read_from_its_beginning(file, steps):
    """A folder deleted and made again; the file may well get the number of the old one, so it is written in place here."""
    file.write_bytes(lines_of(row(1), row(2)))
    lines = JsonLines(file, checked_row)
    read(lines)
    before = os.stat(file)
    file.write_bytes(lines_of(*(row(step) for step in steps)))
    os.utime(file, ns=(0, before.st_mtime_ns + 10**9))
    assert os.stat(file).st_ino == before.st_ino
    assert read(lines) == ("other", list(steps))


def test_a_file_that_only_grew_is_not_read_twice(file):
    file.write_bytes(lines_of(row(1)))
    lines = JsonLines(file, checked_row)
    read(lines)
    with open(file, "ab") as more:
        more.write(lines_of(row(2)))
    assert read(lines) == ("more", [2])


def test_reading_stops_when_its_time_is_over_and_goes_on_there(file, monkeypatch):
    """Slices of 200 bytes hold two lines of some 65; with no time at all nothing is read."""
    monkeypatch.setattr(json_lines, "SLICE", 200)
    file.write_bytes(lines_of(*(row(step) for step in range(10, 30))))
    lines = JsonLines(file, checked_row)
    lines.look()
    assert list(lines.read(0)) == [] and lines.share == 0 and not lines.is_whole
    assert lines.look() == "more", "nothing changed, and there is more to read"
    first = next(lines.read())
    assert first["step"] == 10 and 0 < lines.share < 1


def test_a_line_without_an_end_is_passed_over_without_being_kept(file, monkeypatch):
    """Slices of 100 bytes, and 50 for a line: the long one takes three of them and is counted once."""
    monkeypatch.setattr(json_lines, "SLICE", 100)
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 90)
    file.write_bytes(b"[" * 250)
    lines = JsonLines(file, checked_row)
    assert read(lines) == ("more", [])
    with open(file, "ab") as more:
        more.write(b"[" * 20 + b"\n" + lines_of(row(3)))
    assert read(lines) == ("more", [3])
    assert lines.trouble == "1 line of metrics.jsonl cannot be read: 1 is too long."


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        (b'{"half', Flaw.JSON),
        (b'{"step": \xff\xfe}', Flaw.JSON),
        (b'{"stage": "dpo", "step": 1, "steps": 20, "time": 5, "loss": ' + b"9" * 5000 + b"}", Flaw.JSON),
        (b"[" * 5000 + b"]" * 5000, Flaw.JSON),
        (b'[{"step": 1}]', Flaw.SHAPE),
        (b"null", Flaw.SHAPE),
        (b"{}", Flaw.STEP),
        (ROW | {"step": None}, Flaw.STEP),
        (ROW | {"step": "1"}, Flaw.STEP),
        (ROW | {"step": 1.5}, Flaw.STEP),
        (ROW | {"step": True}, Flaw.STEP),
        (ROW | {"step": -1}, Flaw.IMPOSSIBLE),
        (ROW | {"step": 10**12}, Flaw.IMPOSSIBLE),
        (ROW | {"steps": "many"}, Flaw.IMPOSSIBLE),
        (ROW | {"stage": "rlhf"}, Flaw.STAGE),
        (ROW | {"stage": ["dpo"]}, Flaw.STAGE),
        (ROW | {"time": "noon"}, Flaw.TIME),
        (ROW | {"time": math.nan}, Flaw.TIME),
        (ROW | {"loss": "0.5"}, Flaw.NUMBER),
        (ROW | {"loss": [0.5]}, Flaw.NUMBER),
        (ROW | {"loss": True}, Flaw.NUMBER),
        (ROW | {"rewards/accuracies": 5}, Flaw.RANGE),
        (ROW | {"grad_norm": -1}, Flaw.RANGE),
        (ROW | {"phase": 7}, Flaw.WORDS),
        (ROW | {str(n): n for n in range(600)} | {"loss": "0.5"}, Flaw.LONG),
        ({"phase": ["training"], "time": 1.0}, Flaw.WORDS),
        ({"phase": "training", "time": "noon"}, Flaw.TIME),
        ({"phase": "resumed", "stage": "dpo", "resumed": "5"}, Flaw.PLACE),
        ({"phase": "resumed", "resumed": 5}, Flaw.PLACE),
        ({"phase": "branched off", "forked": "run-1"}, Flaw.PLACE),
        ({"phase": "branched off", "forked": {"run": "a", "stage": "dpo", "step": None}}, Flaw.PLACE),
    ],
    ids=lambda one: str(one)[:60],
)  # fmt: skip
def test_each_damage_has_its_name_and_stops_nothing(file, line, flaw):
    file.write_bytes(lines_of(row(1)) + (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    with open(file, "ab") as more:
        more.write(lines_of(row(2)))
    lines = JsonLines(file, checked_row)
    assert read(lines) == ("more", [1, 2])
    assert lines.flaws == {flaw: 1}


def test_lines_that_cannot_be_read_are_counted_in_words(file):
    assert flaw_summary({}, "metrics.jsonl") == ""
    said = flaw_summary({Flaw.JSON: 1, Flaw.STEP: 2}, "metrics.jsonl")
    assert said == "3 lines of metrics.jsonl cannot be read: 2 have no step, 1 is not readable JSON."


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e200", "9" * 400, "null"])
def test_a_number_that_is_none_is_a_gap(number):
    found = checked_row(b'{"stage": "dpo", "step": 1, "steps": 20, "time": 5, "loss": ' + number.encode() + b"}")
    assert found == ROW | {"loss": None}


def test_a_row_is_what_was_logged():
    logged = ROW | {"rewards/accuracies": 1.0, "a number of a later version": 3, "eval_loss": None}
    assert checked_row(json.dumps(logged).encode()) == logged
    event = {"phase": "branched off", "forked": {"run": "first", "stage": "sft", "step": 4}}
    assert checked_row(json.dumps(event).encode()) == event


@pytest.mark.parametrize("change", [{"prompt": []}, {"prompt": "Hi?"}, {"prompt": [{"role": "user"}]}, {"answer": None},
                                    {"tokens": "2"}, {"hit_limit": 0}, {"repetition": math.nan}, {"step": "0"},
                                    {"stage": 1}])  # fmt: skip
def test_a_sample_answer_is_whole_or_not_there(change):
    assert checked_sample(json.dumps(SAMPLE).encode()) == SAMPLE
    assert checked_sample(json.dumps(SAMPLE | change).encode()) == Flaw.SAMPLE
    assert checked_sample(b"{}") == Flaw.SAMPLE and checked_sample(b"[]") == Flaw.SHAPE


def test_a_folder_in_place_of_the_file_is_said_and_forgotten_when_it_is_one_again(file):
    file.mkdir()
    lines = JsonLines(file, checked_row)
    assert read(lines) == ("other", [])
    assert lines.trouble == "metrics.jsonl cannot be read: it is a folder."
    assert read(lines) == ("same", [])
    file.rmdir()
    file.write_bytes(lines_of(row(1)))
    assert read(lines) == ("other", [1])
    assert not lines.trouble


def test_a_file_that_may_not_be_opened_is_said(file, monkeypatch):
    """As a permission does it; tests may run as somebody who is allowed everything."""
    file.write_bytes(lines_of(row(1)))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(json_lines, "open", refuse, raising=False)
    lines = JsonLines(file, checked_row)
    assert read(lines) == ("more", [])
    assert lines.trouble == "metrics.jsonl cannot be read (Permission denied)."


def test_a_run_gives_the_rows_that_can_be_used_and_answers_once():
    run = create_run(demo_config())
    run.metrics_file.write_bytes(lines_of(row(1)) + b'{"torn\n[1]\n\n' + lines_of(row(2)))
    assert [one["step"] for one in run.metrics()] == [1, 2] and list(run.log().rows) == run.metrics()
    run.samples_file.write_bytes(lines_of(SAMPLE, {}, SAMPLE | {"answer": "No."}))
    assert [one["answer"] for one in run.samples()] == ["No."]
    run.note_finding({"rule": "exploding"})
    with open(run.folder / "findings.jsonl", "ab") as torn:
        torn.write(b'{"rule')
    run.note_finding({"rule": "repeated"})
    assert (run.folder / "findings.jsonl").read_text().splitlines()[-1] == '{"rule": "repeated"}', (
        "a torn line ends there"
    )


HEALTHY = (Path(__file__).parent / "runs" / "healthy-demo.jsonl").read_bytes().splitlines()
NAMES = st.sampled_from(sorted({name for line in HEALTHY for name in json.loads(line)}))
DAMAGED = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.integers(), st.floats(), st.sampled_from([0, 10**9, -1, 10**400]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)  # fmt: skip
DAMAGE = st.one_of(
    st.tuples(st.just("value"), st.integers(0, 70), NAMES, DAMAGED),
    st.tuples(st.just("every"), st.just(0), NAMES, DAMAGED),
    st.tuples(st.just("cut"), st.integers(0, 70), st.integers(0, 400), st.none()),
    st.tuples(st.just("bytes"), st.integers(0, 70), st.integers(0, 400), st.binary(max_size=6)),
    st.tuples(st.just("move"), st.integers(0, 70), st.integers(0, 70), st.none()),
    st.tuples(st.just("resumed"), st.integers(0, 70), st.just("resumed"), DAMAGED),
)  # fmt: skip


def damaged(lines: list[bytes], how) -> list[bytes]:
    kind, place, where, value = how
    place %= len(lines)
    line, rest = lines[place], [*lines[:place], *lines[place + 1 :]]
    if kind == "cut":
        return [*lines[:place], line[:where], *lines[place + 1 :]]
    if kind == "bytes":
        return [*lines[:place], line[:where] + value + line[where:], *lines[place + 1 :]]
    if kind == "move":
        return [*rest[:where], line, *rest[where:]]
    if kind == "resumed":
        return [*lines[:place], json.dumps({"phase": "r", "stage": "dpo", "resumed": value}).encode(), *lines[place:]]
    chosen = range(len(lines)) if kind == "every" else [place]
    return [_with(one, where, value) if at in chosen else one for at, one in enumerate(lines)]


def _with(line: bytes, name: str, value) -> bytes:
    try:
        return json.dumps(json.loads(line) | {name: value}).encode()
    except (ValueError, TypeError):
        return line


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(st.lists(DAMAGE, min_size=1, max_size=8))
def test_whatever_is_damaged_the_page_has_something_to_draw(tmp_path_factory, damages):
    """Every line is used, waited for or counted, and all that is made of the rows can be shown."""
    lines = HEALTHY
    for how in damages:
        lines = damaged(lines, how)
    file = tmp_path_factory.getbasetemp() / "damaged.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    reader = JsonLines(file, checked_row)
    reader.look()
    rows = list(reader.read())
    written = [line for line in file.read_bytes().split(b"\n") if line.strip()]
    assert len(rows) + sum(reader.flaws.values()) == len(written)
    log, plan = RunLog.of(rows), {"dpo": 50}
    assert all(packed(chart) for chart in charts(log, plan).values())
    config = demo_config(method="dpo")
    examine(log.rows, config, plan)
    examine(log.rows, config, {"sft": 10, "dpo": 40})
    progress(log.rows, plan)
    next_checkpoint(log.rows, "dpo", 10, None)


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(SAMPLE)), DAMAGED), max_size=3))
def test_whatever_is_damaged_in_an_answer_the_others_are_shown(tmp_path_factory, damages):
    file = tmp_path_factory.getbasetemp() / "samples.jsonl"
    file.write_bytes(lines_of(SAMPLE) + lines_of(*({**SAMPLE, name: value} for name, value in damages)))
    samples = read_lines(file, checked_sample)
    assert samples[0] == SAMPLE and "Hi?" in samples_html(samples)
