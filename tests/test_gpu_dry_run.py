"""What `tests/gpu/run_all.py` does on a card, done in a small size on the processor, so that it works on the day there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GPU = Path(__file__).parent / "gpu"
sys.path.insert(0, str(GPU))

from run_all import BEGIN, END, PARTS, Results, table, with_table  # noqa: E402

ONLY_ON_A_CARD = ("unsloth", "said_to_fit", "both_backends")


@pytest.mark.slow
def test_all_that_needs_no_card_runs_on_the_processor(tmp_path):
    command = [
        sys.executable,
        str(GPU / "run_all.py"),
        "--dry-run",
        "--out",
        str(tmp_path),
        "--basetemp",
        str(tmp_path / "t"),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {one["part"] for one in found} == set(PARTS.values())
    skipped = [one for one in found if one["outcome"] == "skipped"]
    assert {one["why"] for one in skipped} == {"needs a card"}
    assert [one["test"] for one in skipped if not any(name in one["test"] for name in ONLY_ON_A_CARD)] == []
    passed = [one for one in found if one["outcome"] == "passed"]
    assert len(passed) >= 15 and all(one["figures"] for one in passed)
    assert (tmp_path / "table.md").read_text().count("\n| ") == len(found) + 1


def test_what_passed_before_is_not_done_again_and_what_did_not_is(tmp_path):
    known = [{"test": "test_a", "outcome": "passed"}, {"test": "test_b", "outcome": "failed"}]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in known))

    class Item:
        def __init__(self, name, file):
            self.name, self.path = name, Path(file)

    items = [Item("test_b", "test_memory_on_card.py"), Item("test_a", "test_memory_on_card.py")]
    items += [Item("test_c", "test_training_on_card.py")]
    Results(tmp_path, 60).pytest_collection_modifyitems(items)
    assert [one.name for one in items] == ["test_c", "test_b"], "the most important first"


def test_a_test_that_finds_no_time_left_is_skipped(tmp_path):
    with pytest.raises(pytest.skip.Exception, match="no time left"):
        Results(tmp_path, -1).pytest_runtest_setup(None)
    Results(tmp_path, 60).pytest_runtest_setup(None)


def test_the_table_has_its_place_in_the_readme():
    one = {"test": "test_a_card[x|y]", "part": "Speed", "outcome": "passed", "seconds": 3.2, "why": ""}
    shown = table("A card", [one | {"figures": {"tokens per second": "9,000"}}])
    assert shown.splitlines()[-1] == "| Speed | a card[x/y] | passed, 3 s | tokens per second: 9,000 |"
    readme = (GPU.parent.parent / "README.md").read_text(encoding="utf-8")
    assert readme.count(BEGIN) == readme.count(END) == 1
    once = with_table(readme, shown)
    assert shown in once and with_table(once, shown) == once
    with pytest.raises(ValueError, match="no place"):
        with_table("no markers", shown)
