"""A run is a folder: what is written, what is read back, what half-written lines do."""

import json

import pytest
from configs import demo_config
from made_runs import create_run

from workbench.core.errors import WorkbenchError
from workbench.store.home import write_json
from workbench.store.runs import all_runs, free_name, open_run


def test_a_run_holds_its_whole_config_and_is_never_overwritten():
    run = create_run(demo_config("first"))
    assert run.config() == demo_config("first")
    with pytest.raises(WorkbenchError, match="take first-2"):
        create_run(demo_config("first"))
    create_run(demo_config("first-2"))
    assert free_name("first-2") == "first-3"
    assert free_name("new") == "new"


def test_runs_are_found_again_by_name_newest_first():
    for name in ("one", "two"):
        create_run(demo_config(name))
    assert {run.name for run in all_runs()} == {"one", "two"}
    with pytest.raises(WorkbenchError, match=r"no run called three. Runs: (one, two|two, one)"):
        open_run("three")
    with pytest.raises(WorkbenchError, match="cannot be the name of a run"):
        open_run("../../etc")


def test_tokens_in_the_log_are_hidden_and_progress_bars_are_one_line():
    run = create_run(demo_config())
    run.log_file.write_text("using hf_" + "a" * 34 + "\n 10%|#\r 50%|##\r100%|####\ndone\n")
    assert run.log_tail() == "using hf_(hidden)\n100%|####\ndone"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError):
        write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.glob("*json*")] == ["x.json"]


def test_weights_are_counted_from_the_headers_alone():
    """The demo model's own figure, and none for a folder without weights or with a damaged file."""
    from workbench.store.home import shipped
    from workbench.store.weights import count_parameters

    model = shipped("assets") / "demo" / "model"
    size = (model / "model.safetensors").stat().st_size
    counted = count_parameters(model)
    assert counted and size - 20_000 < 2 * counted < size, "two bytes each, and a header"


def test_a_damaged_file_of_weights_has_no_count(tmp_path):
    from workbench.store.weights import count_parameters

    assert count_parameters(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    assert count_parameters(tmp_path) is None
