"""A method that stands in the table and nowhere else is offered, planned, forecast, drawn, described and listed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "made_up_method.py"


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(home)],
        capture_output=True,
        text=True,
        env=os.environ | {"WORKBENCH_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_form_offers_it_with_its_own_settings(seen):
    assert ["Made-up", "made-up"] in seen["choices"]
    assert seen["widget"] == ["Tilt", "hidden"], "hidden, as the preset that is shown first takes another method"
    assert seen["shown for"] == [["made-up"]]


def test_the_summary_tells_its_steps_its_data_and_its_reference(seen):
    assert "Not ready yet" not in seen["summary"]
    assert "4 steps on 1,600 pairs of demo-preferences" in seen["summary"]
    assert "the base model, verified before the first step" in seen["summary"]


def test_its_memory_is_forecast_by_what_the_table_says_of_it(seen):
    """Two sequences for each pair and a reference, as in DPO; SFT has one."""
    found = seen["forecasts"]
    assert found["made-up"]["stage"] == "made-up"
    assert found["made-up"]["bytes"] == found["dpo"]["bytes"]
    assert found["made-up"]["total"] > found["sft"]["total"]


def test_its_chart_is_drawn_under_its_name(seen):
    assert seen["chart"]["measure"] == "Made-up loss (nats)"
    assert seen["chart"]["lines"][0]["points"] == [[0, 0.7], [4, 0.5]]
    assert seen["charts"] == ["dpo-loss", "learning-rate", "gradient-norm", "speed", "memory"]


def test_its_model_card_says_how_it_was_made_and_what_it_reached(seen):
    for line in (
        "made by made-up preference optimization (Made-up)",
        "- made-up",
        "| Tilt | 0.7 |",
        "| Reference | the base model |",
        "- Loss (Made-up): 0.5",
        "- Tilt reached (Made-up): 0.42",
    ):
        assert line in seen["card"], line
    assert seen["end"] == "It leans by 0.42."


def test_the_command_line_lists_its_run_with_its_results(seen):
    [run] = seen["runs"]
    assert (run["method"], run["state"], run["loss"], run["tilt"], run["accuracy"]) == (
        "made-up",
        "finished",
        0.5,
        0.42,
        None,
    )


def test_its_settings_are_read_again_and_reach_the_trainer(seen):
    assert seen["read again"] == {"learning_rate": 5e-6, "epochs": 1.0, "max_steps": 4, "beta": 0.1, "tilt": 0.7}
    assert seen["arguments"]["max_steps"] == 4
    assert seen["fork"] is True


def test_the_rules_that_the_table_names_watch_it(seen):
    """The rows have no rewards: nothing shows that the run began at its reference."""
    assert seen["health"] == ["wrong_reference"]
