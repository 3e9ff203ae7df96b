"""Settings: what is refused, and in which words."""

import pytest
from configs import demo_config

from workbench.core.errors import WorkbenchError
from workbench.core.names import check_name, is_name, to_name
from workbench.core.training.config import ModelRef, RunConfig, checked, parse_model, read_config


def test_all_problems_are_named_at_once_with_what_was_found_and_the_bounds():
    with pytest.raises(WorkbenchError) as refused:
        read_config({"name": "Bad Name", "preference_data": "d", "dpo": {"beta": 20}, "batch_size": 0, "colour": "red"})
    text = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 4
    assert "Beta is 20; it must be at most 10." in text
    assert "Batch size is 0; it must be at least 1." in text
    assert "There is no setting called colour." in text
    assert "Name of the run is 'Bad Name': must have lower-case letters" in text


def test_dpo_without_pairs_is_refused_before_anything_starts():
    with pytest.raises(WorkbenchError, match="DPO needs preference pairs, and none are chosen"):
        read_config({"name": "a", "method": "dpo"})


def test_a_config_survives_its_own_file():
    config = demo_config()
    assert read_config(config.model_dump(mode="json")) == config


def test_a_config_cannot_be_changed_after_it_was_passed_on():
    with pytest.raises(ValueError):
        demo_config().seed = 3


def test_sft_takes_the_chosen_answers_where_it_has_no_data_of_its_own():
    config = checked(RunConfig, {"name": "a", "preference_data": "pairs"})
    assert config.data_of("sft") == "pairs"
    assert config.data_of("dpo") == "pairs"
    assert config.stages == ("sft", "dpo")


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("demo", "demo", "demo"),
        ("", "demo", "demo"),
        ("Qwen/Qwen3-0.6B", "hub", "Qwen/Qwen3-0.6B"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B/", "hub", "Qwen/Qwen3-0.6B"),
        ("/models/mine", "folder", "/models/mine"),
        ("~/models/mine", "folder", "~/models/mine"),
        (r"C:\models\mine", "folder", r"C:\models\mine"),
        ('"D:/models/mine"', "folder", "D:/models/mine"),
    ],
)
def test_a_model_is_recognised_from_what_a_person_types(text, source, name):
    assert parse_model(text) == ModelRef(source=source, name=name)


@pytest.mark.parametrize("text", ["gpt", "a/b/c", "../secret", "owner/na me", "http://evil.example/x"])
def test_what_is_no_model_is_refused_with_an_example(text):
    if text == "../secret":
        assert (
            parse_model(text).source == "folder"
        )  # a folder like any other; what is in it is checked when it is loaded
        return
    with pytest.raises(WorkbenchError, match="owner/name"):
        parse_model(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "con",
        "nul.txt",
        "COM1",
        "a" * 65,
        "a..b",
        "x.",
        "-x",
        "über",
        "a b",
        "a:b",
        "a\x00b",
        "a\n",
    ],
)
def test_names_that_could_leave_their_folder_or_not_exist_on_windows_are_refused(name):
    assert not is_name(name)
    with pytest.raises(WorkbenchError, match="cannot be the name of a run"):
        check_name(name, "run")


def test_a_usable_name_is_made_of_any_text():
    assert to_name("My Data (final).v2") == "my-data-final-.v2"
    assert to_name("../../etc/passwd") == "etc-passwd"
    assert to_name("???", "data") == "data"
    assert is_name(to_name("x" * 200))
