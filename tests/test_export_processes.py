"""An exported script under `accelerate launch`: two processes on this machine's processor, beside the one process that was the run."""

import shutil
import sys

import pytest
from script_runs import ROUNDING, curve, deviations, exported, run_script

from workbench.store.runs import open_run

LAUNCHER = (sys.executable, "-m", "accelerate.commands.launch")


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(home_of_both, home, tmp_path):
    """Half of each batch in each process, with the file for DDP that the export brings, and none of a card's 16 bits."""
    shutil.copytree(home_of_both, home, dirs_exist_ok=True)
    exported("both", tmp_path / "out")
    launcher = [
        *LAUNCHER,
        "--config_file",
        str(tmp_path / "out" / "accelerate" / "ddp.yaml"),
        "--mixed_precision",
        "no",
    ]
    found = run_script(tmp_path / "out", tmp_path / "trained", launcher=launcher)
    differences = deviations(curve(open_run("both").metrics()), found)
    print(differences)
    assert (tmp_path / "trained.log").read_text().startswith("2 processes, 2 rows at once in each")
    assert 0 < max(differences.values()) < ROUNDING  # sums of halves are rounded in another order
