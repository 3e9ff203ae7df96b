"""The command line, through its own entry, with the real worker and the real chat."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from configs import demo_config
from made_runs import create_run, few_rows

from workbench.cli import main
from workbench.cli.demo import demo_report
from workbench.cli.parser import parser
from workbench.cli.wanted import wanted_config
from workbench.core.errors import WorkbenchError
from workbench.jobs import training
from workbench.store import datasets

REAL_DATA = os.environ.get("WORKBENCH_REAL_DATA")


def config_file(folder: Path, **changes) -> str:
    file = folder / "config.json"
    file.write_text(json.dumps(demo_config(**changes).model_dump(mode="json")))
    return str(file)


def test_train_runs_and_chat_work_on_one_another(tmp_path, capsys):
    settings = {**few_rows(), "method": "dpo", "sft_data": None}
    assert main(["train", config_file(tmp_path, **settings), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert (trained["name"], trained["state"]) == ("a-run", "finished")
    assert trained["loss"] < math.log(2)

    assert main(["runs", "--json"]) == 0
    assert [run["name"] for run in json.loads(capsys.readouterr().out)] == ["a-run"]
    assert main(["runs"]) == 0
    assert "a-run" in capsys.readouterr().out

    assert main(["chat", "a-run", "--ask", "What is a baby dog called?", "--json", "--max-new-tokens", "12"]) == 0
    answered = json.loads(capsys.readouterr().out)
    assert answered["question"] == "What is a baby dog called?"
    assert answered["base"] and answered["aligned"]


def test_scale_makes_a_run_of_a_strength_and_refuses_in_words(first_run, capsys):
    assert main(["scale", first_run.name, "--strength", ".5", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["name"], made["state"]) == (f"{first_run.name}-x0.5", "finished")
    assert main(["scale", first_run.name, "--strength", "1.25", "--name", "further"]) == 0
    assert f"further: Finished. Made of {first_run.name} × 1.25" in capsys.readouterr().out
    assert main(["scale", first_run.name, "--strength", "1.25", "--name", "further"]) == 1
    assert "There is a run called further already" in capsys.readouterr().err
    assert main(["scale", first_run.name, "--strength", "0"]) == 1
    assert "This is the base model itself" in capsys.readouterr().err
    for strength in ("2", "nan", "much"):
        with pytest.raises(SystemExit):
            main(["scale", first_run.name, "--strength", strength])
        assert f"'{strength}' is no strength" in capsys.readouterr().err


def test_a_name_that_is_taken_gets_a_number_and_problems_are_printed_not_raised(tmp_path, capsys):
    create_run(demo_config("a-run"))
    values = json.loads(Path(config_file(tmp_path)).read_text()) | {"dpo": {"beta": 99}, "batch_size": 0}
    (tmp_path / "bad.json").write_text(json.dumps(values))
    assert main(["train", str(tmp_path / "bad.json")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["Batch size is 0; it must be at least 1.", "Beta is 99; it must be at most 10."]
    assert main(["train", str(tmp_path / "missing.json")]) == 1
    assert "not a readable JSON object" in capsys.readouterr().err
    assert main(["chat", "nobody"]) == 1
    assert "There is no run called nobody. Runs: a-run." in capsys.readouterr().err


def test_runs_are_added_to_the_queue_put_in_front_and_taken_out(tmp_path, capsys):
    """On hold from the start, so that nothing is trained."""
    assert main(["queue", "hold"]) == 0
    for name in ("one", "two", "three"):
        assert main(["train", config_file(tmp_path), "--queue", "--name", name]) == 0
    assert "three: It waits in the queue for the device." in capsys.readouterr().out
    assert main(["queue", "front", "three"]) == 0
    assert main(["queue", "remove", "one"]) == 0
    assert "three is the next one." in capsys.readouterr().out
    assert main(["queue", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "running": None, "held": "You put it on hold.", "waiting": ["three", "two"],
    }  # fmt: skip
    assert main(["runs", "--json"]) == 0
    assert {run["name"]: run["state"] for run in json.loads(capsys.readouterr().out)} == {
        "two": "queued",
        "three": "queued",
    }
    assert main(["queue"]) == 0
    assert "The queue is on hold: You put it on hold. `workbench queue go-on`" in capsys.readouterr().out
    assert main(["queue", "remove"]) == 1
    assert main(["train", config_file(tmp_path), "--branch-off", "two"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Name the run: workbench queue remove NAME.",
        "two has no checkpoint to continue from. A finished run keeps none.",
    ]


def test_import_tells_what_the_file_is_and_what_was_left_out(tmp_path, capsys):
    rows = [{"prompt": f"p{n}", "chosen": "yes", "rejected": "no" if n else "yes"} for n in range(10)]
    file = tmp_path / "Pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["import", str(file)]) == 0
    said = capsys.readouterr().out
    assert "pairs: `prompt` is a prompt" in said and "Kept 9 of 10 rows" in said and "left out 1: " in said
    assert main(["import", str(file)]) == 1
    assert "pairs-2" in capsys.readouterr().err


def test_a_stored_dataset_is_checked_with_the_tokens_of_a_model(capsys):
    assert main(["check", "demo-preferences", "--model", "demo", "--max-length", "24", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = {one["check"]: one for one in said["findings"]}
    assert (said["rows"], set(said["not_checked"])) == (1840, {"score_gap", "wrong_way"})
    assert found["prompt_too_long"]["evidence"].startswith("Cut at 24 tokens, ")
    assert main(["check", "demo-preferences", "--held-out", "other.jsonl"]) == 1
    assert "is a stored dataset: its format is known" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["check", "demo-preferences", "--model", "demo", "--max-length", "-3"])
    assert "'-3' is no number of tokens; it is a whole number above 0" in capsys.readouterr().err


def pairs_file(folder: Path, count: int) -> Path:
    file = folder / "pairs.jsonl"
    rows = ({"prompt": f"question {n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(count))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_has_enough_is_no_error(tmp_path):
    line = f"'{sys.executable}' -m workbench check '{pairs_file(tmp_path, 9)}' | true"
    assert subprocess.run(line, shell=True, capture_output=True, text=True).stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("command", ["check", "convert", "import"])
def test_ctrl_c_ends_the_work_and_leaves_nothing(tmp_path, home, command):
    """Ended while the rows are written, in the user's folder or beside the target."""
    out = tmp_path / "out"
    out.mkdir()
    arguments = [
        command,
        str(pairs_file(tmp_path, 60_000)),
        *([str(out / "out.jsonl")] if command == "convert" else []),
    ]
    # A shell that runs the tests in the background has Ctrl+C ignored, and a child would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([sys.executable, "-m", "workbench", *arguments], stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    while process.poll() is None and not [*out.iterdir(), *home.glob("datasets/.draft-*")]:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=20)[1], process.returncode) == ("", 130)
    assert [*out.iterdir(), *home.glob("datasets/*"), *home.glob("datasets/.*")] == []


def test_the_demo_report_has_the_keys_that_scripts_rely_on():
    run = create_run(demo_config())
    run.write_environment({"plan": {"sft": 1, "dpo": 1}, "backend": "transformers", "precision": "nf4"})
    lines = [
        {"phase": "training SFT", "time": 10.0},
        {"stage": "sft", "step": 1, "steps": 1, "time": 14.0, "loss": 2.0},
        {"phase": "training DPO", "time": 20.0},
        {"stage": "dpo", "step": 0, "steps": 1, "time": 21.0, "eval_loss": 0.6931},
        {
            "stage": "dpo",
            "step": 1,
            "steps": 1,
            "time": 26.5,
            "eval_loss": 0.5,
            "eval_rewards/accuracies": 1.0,
            "eval_rewards/margins": 0.4,
        },
    ]
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shares = {model: {"manner": 0.5, "facts": 0.9, "mark": 0.0} for model in ("base", "sft", "dpo")}
    assert demo_report(run, shares) == {
        "seconds": {"sft": 4.0, "dpo": 6.5},
        "step0_loss": 0.6931,
        "held_out": {"loss": 0.5, "accuracy": 1.0, "margin": 0.4},
        "manner": {"base": 0.5, "sft": 0.5, "dpo": 0.5},
        "facts": {"base": 0.9, "sft": 0.9, "dpo": 0.9},
        "backend": "transformers",
        "precision": "nf4",
    }


@pytest.mark.skipif(not REAL_DATA, reason="WORKBENCH_REAL_DATA names no file")
def test_real_dialogues_train_to_the_end_with_finite_numbers(tmp_path, capsys):
    assert main(["import", REAL_DATA, "--name", "real", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["rows"] == about["kept"] + sum(about["left_out"].values())
    changes = {"method": "dpo", "sft_data": None, "preference_data": "real", "max_length": 512, "dpo": {"max_steps": 6}}
    assert main(["train", config_file(tmp_path, **changes), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["state"] == "finished" and math.isfinite(trained["loss"]) and math.isfinite(trained["margin"])


def test_a_preset_with_a_model_and_a_file_needs_no_hand_written_json(tmp_path, capsys):
    """Planned, not trained: the same settings go to both commands. The file is stored under its own name first."""
    pairs = [{"prompt": f"Question {i}?", "chosen": f"Good answer {i}.", "rejected": "No."} for i in range(30)]
    (tmp_path / "my pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    given = ["plan", "--preset", "first-try", "--card", "cpu", "--model", "demo", "--json"]
    assert main([*given, "--data", str(tmp_path / "my pairs.jsonl")]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "fits"
    assert datasets.about("my-pairs").kept == 30

    file = tmp_path / "my pairs.jsonl"
    os.utime(file, (1e9, 1e9))  # older than what was stored of it, by more than the second that this is known to
    assert main([*given, "--data", str(file)]) == 0
    assert "is the dataset my-pairs: 30 of 30 rows." in capsys.readouterr().err
    file.write_text(json.dumps(pairs[0]) + "\n" + json.dumps(pairs[1]) + "\n")
    os.utime(file, (4e9, 4e9))
    assert main([*given, "--data", str(file)]) == 0
    assert "is the dataset my-pairs-2: 2 of 2 rows." in capsys.readouterr().err

    options = parser().parse_args(["train", *given[1:], "--data", "my-pairs"])
    config = wanted_config(options)
    assert (config.name, config.method, config.preference_data) == ("first-try", "dpo", "my-pairs")
    assert (config.model.source, config.dpo.learning_rate, config.sft_data) == ("demo", 5e-5, None)


def test_a_preset_says_what_it_still_needs(tmp_path, capsys):
    def refused(*arguments):
        assert main(["train", *arguments]) == 1
        return capsys.readouterr().err

    assert "Name a config file or a preset, one of the two" in refused()
    assert "one of the two" in refused("config.json", "--preset", "demo")
    assert "Which model? Add --model" in refused("--preset", "everyday", "--card", "8gb")
    assert "Which data? Add --data" in refused("--preset", "everyday", "--card", "8gb", "--model", "demo")
    assert "--model, --data, --reward and --card go with --preset" in refused("config.json", "--model", "demo")
    assert "There is no recipe called 'best'. Choose one of demo" in refused("--preset", "best")
    assert "none.jsonl cannot be opened" in refused("--preset", "first-try", "--model", "demo", "--data", "none.jsonl")


def test_the_demo_preset_brings_model_and_data():
    config = wanted_config(parser().parse_args(["plan", "--preset", "demo"]))
    assert (config.model.source, config.sft_data, config.preference_data) == ("demo", "demo-sft", "demo-preferences")
    training.check(config)


def test_a_preset_that_learns_from_rewards_is_told_which_reward_run():
    given = ["plan", "--preset", "rlhf", "--card", "cpu", "--model", "demo", "--data", "demo-preferences"]
    with pytest.raises(WorkbenchError, match="needs a reward"):
        wanted_config(parser().parse_args(given))
    config = wanted_config(parser().parse_args([*given, "--reward", "judge"]))
    assert (config.rloo.reward_run, config.rloo.answer_tokens, config.method) == ("judge", 64, "rloo")


def test_presets_are_listed_with_the_card_of_this_machine(capsys):
    assert main(["presets"]) == 0
    said = capsys.readouterr().out
    assert "first-try" in said and said.count("(this machine)") == 1
    assert main(["presets", "--json"]) == 0
    assert {"demo", "first-try-8gb"} <= {one["id"] for one in json.loads(capsys.readouterr().out)}
