"""The targets script and notebook: one file that repeats a run, and what stands beside it."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from configs import demo_config
from hub_stub import OWNER, hub_stub
from made_runs import SMALL, TWO_STEPS, create_run, few_rows, finished, store_thumbs
from script_runs import ROUNDING, curve, deviations, exported, repeated, run_script

from workbench.core.errors import WorkbenchError
from workbench.core.export.one_file import one_file
from workbench.core.export.script import Repeated, train_script
from workbench.core.training.recipe import Device, adapter_arguments
from workbench.engine import train
from workbench.jobs.export_script import source_of
from workbench.store.runs import open_run

CPU = Device("cpu", "CPU", False)
TOKEN = "hf_" + "canary" * 6


def settings_in(text: str) -> dict:
    """The constants at the top of a script."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def header_of(text: str) -> dict:
    block = re.search(r"(?m)^# /// script$\n((?:#.*\n)+?)# ///$", text)[1]
    return tomllib.loads("".join(line[2:] or "\n" for line in block.splitlines(keepends=True)))


@pytest.fixture
def script_of_first(first_run, tmp_path) -> Path:
    found = exported("first", tmp_path / "out")
    assert found.agrees, found.checked
    return tmp_path / "out"


def test_the_header_pins_what_the_run_was_trained_with(first_run, script_of_first):
    header = header_of((script_of_first / "train.py").read_text())
    versions = first_run.environment()["versions"]
    assert header["requires-python"] == ">=3.11"
    assert set(header["dependencies"]) == {
        f"{package}=={version.partition('+')[0]}" for package, version in versions.items() if "unsloth" not in package
    }
    assert any(one.startswith("accelerate==") for one in header["dependencies"])


def test_every_argument_that_the_run_gave_to_its_trainer_stands_in_the_script(first_run, script_of_first):
    settings = settings_in((script_of_first / "train.py").read_text())
    [stage] = first_run.config().stages
    config = first_run.adjusted_config()
    given = Repeated(config, "", {stage: 2}, {}).arguments(stage, CPU)
    of_the_machine = {"output_dir", "bf16", "fp16", "use_cpu", "dataloader_pin_memory", "save_strategy", "save_steps"}
    named = settings["EVERY_STAGE"] | settings["STAGES"][stage]
    named |= dict.fromkeys(("per_device_train_batch_size", "per_device_eval_batch_size"), settings["BATCH_SIZE"])
    named |= {"seed": settings["SEED"]}
    assert {name: value for name, value in named.items() if name != "save_strategy"} == {
        name: value for name, value in given.items() if name not in of_the_machine
    }
    assert settings["LORA"] == adapter_arguments(config.adapter)
    assert settings["GROUP_BY_LENGTH"] == config.batch_size == 4
    assert settings["START_LOSS"][stage] == pytest.approx(0.693147, abs=1e-6)


def test_the_rows_are_those_that_the_trainer_took_in_their_order(first_run, script_of_first):
    from datasets import load_dataset

    from workbench.engine import rows

    [stage] = first_run.config().stages
    for part, name in zip(rows.load_rows(first_run.config(), stage), ("train", "test"), strict=True):
        lines = (script_of_first / "data" / stage / f"{name}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == list(part)
        assert len(lines) == {"train": 112, "test": 8}[name]
        known = load_dataset(str(script_of_first / "data" / stage), cache_dir=str(script_of_first.with_name("cache")))
        assert list(known[name]) == list(part)  # as TRL's command line and the notebook open it


def test_no_file_names_a_path_of_this_machine_or_a_secret(script_of_first, home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_canary0123456789abcdefghijklmno")
    exported("first", script_of_first.with_name("again"))
    exported("first", script_of_first.with_name("notebook"), "notebook")
    seen = 0
    for folder in (script_of_first.with_name("again"), script_of_first.with_name("notebook")):
        for file in filter(Path.is_file, folder.rglob("*")):
            text = file.read_text()
            assert not re.search(r"hf_canary|/root/|/home/|/tmp/(?!out)", text), file
            assert str(home) not in text
            seen += 1
    assert seen == 12


@pytest.mark.parametrize("method", ["sft", "dpo", "sft+dpo", "kto", "orpo", "simpo", "reward"])
def test_the_file_of_each_method_stands_alone(method, tmp_path):
    text = train_script(repeated(method), source_of)
    file = tmp_path / "train.py"
    file.write_text(text)
    assert "workbench" not in {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert "from workbench" not in text and "type: ignore" not in text
    # Names that nothing makes, imports that nothing uses, code that is no code; and as formatted as what it was cut from.
    for command in (["check", "--select", "E9,F,I"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120", str(file)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_holds_what_it_uses_of_other_modules_before_what_uses_it():
    modules = {
        "workbench.a": '"""A."""\nimport os\nfrom workbench.b import twice\nN = 0\n\ndef main():\n    return twice(N), os.name\n',
        "workbench.b": "import math\nimport re\n\ndef unused():\n    return re\n\n# Why.\nTWO = 2\n\ndef twice(n):\n    return TWO * math.floor(n)\n",
    }
    imports, taken, own = one_file("workbench.a", modules.__getitem__, {"N": ""}, {})
    assert imports == "import math\nimport os"
    assert taken == "# Why.\nTWO = 2\n\n\ndef twice(n):\n    return TWO * math.floor(n)"
    assert own == "def main():\n    return twice(N), os.name"
    for other in ("TWO = 3", "def twice(): ..."):
        with pytest.raises(ValueError, match="both have (TWO|twice)"):
            one_file(
                "workbench.a", (modules | {"workbench.a": modules["workbench.a"] + other}).__getitem__, {"N": ""}, {}
            )


def test_a_folder_of_any_name_gives_a_file_that_is_python():
    run = repeated("dpo")
    named = Repeated(run.config, 'a"""b\\n{x}', run.steps, run.environment)
    text = train_script(named, source_of)
    compile(text, "train.py", "exec")
    assert settings_in(text)["MODEL"] == 'a"""b\\n{x}'


def test_an_unknown_name_is_found_by_that_check(tmp_path):
    """So that the test above can fail."""
    text = train_script(
        repeated("dpo"), lambda module: source_of(module).replace("def in_groups", "def in_other_groups")
    )
    (tmp_path / "train.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", str(tmp_path)], capture_output=True
    )
    assert done.returncode == 1


def test_what_plain_libraries_cannot_repeat_is_refused_with_the_reason(tmp_path, home):
    rules = {"rules": "words: gladly", "group_size": 2, "answer_tokens": 16}
    finished("online", method="rloo", sft_data=None, rloo=rules)
    with pytest.raises(WorkbenchError, match="keeps policy, reference and reward model on one base model"):
        exported("online", tmp_path / "out")
    scaled = finished("half", method="dpo", sft_data=None)
    scaled.add_to_environment({"scaled": {"name": "first", "strength": 0.5}})
    with pytest.raises(WorkbenchError, match="without training: there is nothing to repeat"):
        exported("half", tmp_path / "out")
    finished("odd", method="orpo", sft_data=None)
    with pytest.raises(WorkbenchError, match="trainer of the workbench's own"):
        exported("odd", tmp_path / "out", "notebook")
    assert not (tmp_path / "out").exists()


def test_data_that_changed_since_are_refused(first_run, tmp_path):
    from workbench.store import datasets

    datasets.delete("few-pairs")
    with pytest.raises(WorkbenchError, match="few-pairs"):
        exported("first", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def repeated_run(home_of_both, tmp_path_factory):
    """The run `both`, its export, the curve of the script in a process of its own, and what that sent to the Hub."""
    place = tmp_path_factory.mktemp("repeated")
    shutil.copytree(home_of_both, place / "home")
    with pytest.MonkeyPatch.context() as patch, hub_stub() as hub:
        patch.setenv("WORKBENCH_HOME", str(place / "home"))
        exported("both", place / "out")
        to_hub = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        found = run_script(place / "out", place / "trained", "--push-to", f"{OWNER}/again", environment=to_hub)
        return open_run("both").metrics(), place, found, hub


def test_the_curve_of_the_script_is_that_of_the_run(repeated_run):
    """SFT then DPO on the demo: every number that was logged, at every step."""
    rows, _, found, _ = repeated_run
    differences = deviations(curve(rows), found)
    assert {"loss", "grad_norm", "rewards/margins", "eval_loss", "eval_rewards/margins"} <= differences.keys()
    assert len(found) == 8  # both stages: before the first step, and after each of three
    print(differences)
    assert max(differences.values()) < ROUNDING, differences


def test_the_script_pushes_each_stage_to_a_private_repository_and_no_pickle(repeated_run):
    _, place, _, hub = repeated_run
    [created] = hub.bodies("/repos/create")
    assert (created["name"], created["visibility"]) == ("again", "private")
    pushed = [sorted(commit) for commit in hub.commits()]
    adapter = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert pushed == [[f"sft/{name}" for name in adapter], ["metrics.jsonl"], adapter, ["metrics.jsonl"]]
    assert all(TOKEN.encode() not in body for _, _, _, body in hub.asked)
    assert sorted(path.name for path in (place / "trained").iterdir()) == ["adapter", "metrics.jsonl", "sft"]
    written = {
        file.relative_to(place / "trained").as_posix() for file in (place / "trained").rglob("*") if file.is_file()
    }
    assert written == {"metrics.jsonl", *(f"{folder}/{name}" for folder in ("sft", "adapter") for name in adapter)}
    settings = json.loads(hub.commits()[2]["adapter_config.json"])
    assert settings["base_model_name_or_path"] == "demo model"


def test_the_adapter_of_the_script_is_that_of_the_run(repeated_run):
    from safetensors.numpy import load_file

    _, place, _, _ = repeated_run
    one, other = (
        load_file(place / folder / "adapter_model.safetensors")
        for folder in ("home/runs/both/adapter", "trained/adapter")
    )
    assert one.keys() == other.keys() and len(one) > 20
    # Adam makes a whole step of a gradient that is nothing but rounding, so a single weight may be far off; not many are.
    far = sum(int((abs(one[name] - other[name]) > 1e-6).sum()) for name in one)
    assert far / sum(weight.size for weight in one.values()) < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kto", "orpo", "simpo"])
def test_the_script_of_other_methods_gives_their_curves_too(method, one_base, home, tmp_path):
    """With dropout, whose random numbers are drawn in the same order."""
    settings = SMALL | few_rows() | {"method": method, "sft_data": None, method: TWO_STEPS, "adapter": {"dropout": 0.1}}
    store_thumbs()
    run = create_run(demo_config("other", thumbs_data="thumbs", **settings))
    assert train.main(str(run.folder)) == 0, run.result()
    exported("other", tmp_path / "out")
    differences = deviations(curve(run.metrics()), run_script(tmp_path / "out", tmp_path / "trained"))
    print(method, differences)
    assert max(differences.values()) < ROUNDING, differences


@pytest.mark.slow
def test_the_script_of_a_reward_model_gives_its_curve_and_its_scale_too(judge, tmp_path):
    exported("judge", tmp_path / "out")
    differences = deviations(curve(judge.metrics()), run_script(tmp_path / "out", tmp_path / "trained"))
    print(differences)
    assert max(differences.values()) < ROUNDING, differences
    written = json.loads((tmp_path / "trained/adapter/reward.json").read_text())
    about = json.loads((judge.adapter / "reward.json").read_text())
    assert (written | {"step": 10}).keys() == about.keys()
    # The run read prompts of pairs once, which rounds in another manner.
    for name, value in written.items():
        assert flat(value) == pytest.approx(flat(about[name]), rel=ROUNDING), name


def flat(value):
    """The numbers of a value, list by list."""
    return [number for one in value for number in flat(one)] if isinstance(value, list) else [value]


@pytest.mark.slow
def test_a_run_that_starts_from_another_one_takes_its_adapter_along(first_run, one_base, tmp_path):
    """In its second epoch the run reads what it kept of its reference; the script asks again, in batches of other rows."""
    own = {"learning_rate": 2e-4, "max_steps": 9, "epochs": 2}
    settings = SMALL | few_rows() | {"method": "dpo", "sft_data": None, "dpo": own, "start_from": "first"}
    run = create_run(demo_config("second", **settings, accumulation=4))
    assert train.main(str(run.folder)) == 0, run.result()
    found = exported("second", tmp_path / "out")
    assert {"start/adapter_config.json", "start/adapter_model.safetensors"} <= set(found.files)
    assert (
        json.loads((tmp_path / "out/start/adapter_config.json").read_text())["base_model_name_or_path"] == "demo model"
    )
    differences = deviations(curve(run.metrics()), run_script(tmp_path / "out", tmp_path / "trained"))
    print(differences)
    assert max(differences.values()) < ROUNDING, differences
