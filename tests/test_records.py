"""A JSON file as a checked value: what is read, what is refused with which words, when it is read again."""

import os
import time

import pytest

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import RunConfig, stored_config
from workbench.store import records
from workbench.store.records import Damaged, Record, parse
from workbench.store.run_files import RESULT, WORKER, Result

REFUSED = {
    b"": "x.json is empty.",
    b"{": "x.json is not whole JSON (line 1: Expecting property name enclosed in double quotes).",
    b"\xff\xfe{": "x.json is not text in UTF-8.",
    b"[" * 100_000: "x.json has lists or objects within each other more deeply than can be read.",
    b"1" * 5_000: "x.json holds a number with thousands of digits.",
}


@pytest.mark.parametrize("content", REFUSED)
def test_a_file_that_is_no_json_is_refused_in_words(tmp_path, content):
    file = tmp_path / "x.json"
    file.write_bytes(content)
    with pytest.raises(Damaged) as refused:
        parse(file)
    assert str(refused.value) == REFUSED[content]


def test_a_file_of_any_size_is_read_whole_until_it_is_too_large(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    for size in (records._USUAL - 1, records._USUAL, records._USUAL + 1, 3 * records._USUAL):
        file.write_bytes(b'"' + b"x" * (size - 2) + b'"')
        assert len(parse(file)) == size - 2
    monkeypatch.setattr(records, "LARGEST", 2**20)
    file.write_bytes(b'"' + b"x" * 2**20 + b'"')
    with pytest.raises(Damaged, match="larger than 1 MB"):
        parse(file)


def test_a_folder_and_a_loop_of_links_are_refused_in_words(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(Damaged, match="x.json is a folder, and a file belongs there"):
        parse(tmp_path / "x.json")
    (tmp_path / "y.json").symlink_to("y.json")
    with pytest.raises(Damaged, match="y.json cannot be opened"):
        RESULT.read(tmp_path / "y.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "result.json: the whole of it is a list"),
        ("{}", "result.json: outcome is missing"),
        ('{"outcome": "exploded", "why": ""}', "result.json: outcome is 'exploded'"),
        ('{"outcome": "failed", "why": [1]}', "result.json: why is a list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_what_was_found(tmp_path, content, words):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(Damaged, match=words.replace("[", r"\[")):
        RESULT.read(tmp_path / "result.json")


def test_numbers_that_are_none_are_no_start_time(tmp_path):
    for wrong in ("NaN", "Infinity", "-1", '"text"', "null"):
        (tmp_path / "worker.json").write_text(f'{{"pid": 7, "created": {wrong}}}')
        with pytest.raises(Damaged, match=r"worker.json: created is"):
            WORKER.read(tmp_path / "worker.json")


def test_what_a_newer_version_wrote_besides_is_passed_over(tmp_path):
    (tmp_path / "result.json").write_text('{"outcome": "failed", "why": "x", "since": 1}')
    assert RESULT.read(tmp_path / "result.json") == Result(outcome="failed", why="x")


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    parsed = []
    monkeypatch.setattr(records, "parse", lambda path: parsed.append(path) or parse(path))
    file = tmp_path / "x.json"
    kind: Record[dict] = Record(dict)
    assert kind.read(file) is None
    file.write_text('{"a": 1}')
    long_ago = time.time() - 100
    os.utime(file, (long_ago, long_ago))
    assert kind.read(file) == kind.read(file) == {"a": 1}
    assert len(parsed) == 1
    file.write_text('{"a": 22}')
    assert kind.read(file) == {"a": 22}
    file.unlink()
    assert kind.read(file) is None


def test_a_file_that_was_just_written_is_read_again(tmp_path):
    """Two states of the same size within one tick of the disk's clock look the same from outside."""
    file = tmp_path / "x.json"
    kind: Record[dict] = Record(dict)
    for number in range(10):
        file.write_text(f'{{"a": {number}}}')
        assert kind.read(file) == {"a": number}


def config(**changes):
    return RunConfig(name="a-run", preference_data="p", sft_data="s").model_dump(mode="json") | changes


def test_settings_of_another_version_are_named_and_passed_over():
    values = config(future_setting=1)
    values["dpo"]["temperature"] = [2]
    read, unknown = stored_config(values)
    assert read == RunConfig.model_validate(config())
    assert unknown == ("dpo.temperature = [2]", "future_setting = 1")
    assert values["future_setting"] == 1, "what was read is not changed"


def test_renamed_settings_are_read_under_their_new_names():
    values = config(rounds=3)
    values["dpo"].pop("beta")
    values["strength"] = 0.3
    read, unknown = stored_config(values, {"strength": "dpo.beta", "rounds": "sft.epochs"})
    assert read.dpo.beta == 0.3
    assert read.sft.epochs == 1, "a file that has the new name as well means that one"
    assert unknown == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": -1}, "Batch size is -1; it must be at least 1"),
        ({"method": "grpo"}, "is 'grpo'"),
        ({"dpo": None}, "dpo is None"),
        ({"dpo": {"beta": float("nan")}}, "is nan"),
    ],
)
def test_settings_that_cannot_be_run_are_named(changes, words):
    with pytest.raises(WorkbenchError, match=words):
        stored_config(config(**changes))


@pytest.mark.parametrize("values", [None, [], "text", 1])
def test_settings_are_an_object(values):
    with pytest.raises(WorkbenchError, match="no object of settings"):
        stored_config(values)
