"""What stands beside an exported script: TRL's command line, several cards, Jobs; and the notebook. Held against the libraries that read it."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from hub_stub import OWNER, hub_stub
from script_runs import repeated

from workbench.core.export.hf_job import cheapest, job_command, job_section, timeout_minutes
from workbench.core.export.launch import LAUNCHES, accelerate_configs
from workbench.core.export.notebook import adapter_arguments, load_arguments, notebook, stage_arguments
from workbench.core.export.script_readme import script_readme
from workbench.core.export.trl_yaml import trl_configs
from workbench.core.hub_hardware import FOR_JOBS
from workbench.core.training.methods import METHODS
from workbench.core.training.recipe import Device

CPU = Device("cpu", "CPU", False)
GB = 1024**3
TOKEN = "hf_" + "canary" * 6


@pytest.mark.parametrize("method", ["sft+dpo", "kto", "reward"])
def test_trl_reads_its_files_whole_and_means_by_them_what_the_run_had(method, tmp_path):
    import trl
    from trl import ModelConfig, ScriptArguments, TrlParser, get_peft_config, get_quantization_config

    run = repeated(method, "CPU")
    texts = trl_configs(run)
    assert set(texts) == {f"{stage}.yaml" for stage in run.stages}
    for stage in run.stages:
        file = tmp_path / f"{stage}.yaml"
        file.write_text(texts[file.name])
        settings = getattr(trl, METHODS[stage].trainer_config)
        parser = TrlParser((ScriptArguments, settings, ModelConfig))
        script, training, model = parser.parse_args_and_config(args=["--config", str(file)])
        assert script.dataset_name == f"data/{stage}"
        given = run.arguments(stage, CPU) | {"output_dir": f"out/{stage}"}
        looked_at = given.keys() - {"save_strategy", "save_steps", "report_to"}
        assert len(looked_at) > 20
        assert {name: getattr(training, name) for name in looked_at} == {name: given[name] for name in looked_at}
        adapter = get_peft_config(model)
        assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout, adapter.bias) == (16, 32, 0.0, "none")
        assert adapter.target_modules in ("all-linear", {"all-linear"})
        assert adapter.modules_to_save == (["score"] if METHODS[stage].scores else None)
        four_bit = get_quantization_config(model)
        assert four_bit.bnb_4bit_quant_type == "nf4" and four_bit.bnb_4bit_use_double_quant


def test_trl_has_the_commands_that_the_table_names():
    from trl.scripts import dpo, kto, reward, sft

    known = {one.__name__.rpartition(".")[2] for one in (dpo, kto, reward, sft)}
    assert {method.command for method in METHODS.values()} - {""} == known


def test_a_stage_that_goes_on_with_an_adapter_says_that_trl_cannot():
    sft, dpo = trl_configs(repeated("sft+dpo")).values()
    assert "start-merged" not in sft and 'model_name_or_path: "start-merged"' in dpo
    assert "it cannot go on with an adapter" in dpo and "cast to bf16" in dpo and "cast to bf16" in sft


@pytest.mark.parametrize("launch", LAUNCHES, ids=lambda one: one.file)
def test_accelerate_reads_its_files(launch, tmp_path):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    file = tmp_path / launch.file
    file.write_text(accelerate_configs("bf16")[launch.file])
    found = load_config_from_file(str(file))
    assert found.num_processes == 2 and found.mixed_precision == "bf16"
    # A key that the launcher does not know would be set and never read.
    known = vars(launch_command_parser().parse_args(["train.py"]))
    inner = {**(found.fsdp_config or {}), **(found.deepspeed_config or {})}
    assert set(inner) <= known.keys(), set(inner) - known.keys()
    arguments, _, _ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", str(file), "train.py"])
    )
    chosen = {"MULTI_GPU": "multi_gpu", "FSDP": "use_fsdp", "DEEPSPEED": "use_deepspeed"}[found.distributed_type.value]
    assert getattr(arguments, chosen) is True


def test_hardware_is_the_cheapest_that_has_the_memory():
    assert cheapest(5 * GB).id == "l4x1"
    assert cheapest(5 * GB, bf16=False).id == "t4-small"
    assert cheapest(40 * GB).id == "l40sx1"  # 48 * .92 = 44.2
    assert cheapest(45 * GB).id == "a100-large"
    assert cheapest(200 * GB) is None
    assert [one.price for one in FOR_JOBS] == sorted(one.price for one in FOR_JOBS)


def test_hardware_is_called_what_the_hub_calls_it():
    from huggingface_hub import JobHardware

    assert {one.id for one in FOR_JOBS} <= {one.value for one in JobHardware}


def test_a_time_out_leaves_room_to_set_up_and_for_slower_hardware():
    assert timeout_minutes(60) == 30  # 15 + 3 = 18
    assert timeout_minutes(3600) == 200  # 15 + 180 = 195
    assert timeout_minutes(0) == 480


def test_the_command_of_a_job_sends_the_token_as_a_secret_and_nowhere_else(tmp_path):
    """The command of the README itself, given to the installed `hf`, against a server of ours. Two of its steps are left out:
    the uploads to a bucket, which go to another storage. What comes back of them is what the library says."""
    for name in ("data", "start"):
        (tmp_path / name).mkdir()
    (tmp_path / "train.py").write_text("print()")
    command = job_command("l4x1", 40, True, f"{OWNER}/aligned").replace("\\\n", "")
    arguments = shlex.split(command)
    assert arguments[:4] == ["hf", "jobs", "uv", "run"]
    with hub_stub() as hub:
        done = subprocess.run(
            [sys.executable, "-c", _HF_WITHOUT_UPLOADS, *arguments[1:4], "--detach", *arguments[4:]],
            cwd=tmp_path,
            env=os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "hf")},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    [job] = hub.bodies("/api/jobs/")
    assert job["dockerImage"].startswith("ghcr.io/astral-sh/uv")
    assert job["flavor"] == "l4x1" and job["timeoutSeconds"] == 2400
    assert job["command"] == ["uv", "run", "/data/train.py", "--data", "/rows", "--start", "/start", "--out", "/tmp/out"] + [
        "--push-to", f"{OWNER}/aligned"
    ]  # fmt: skip
    assert job["secrets"] == {"HF_TOKEN": TOKEN}
    assert [volume["mountPath"] for volume in job["volumes"]] == ["/rows", "/start", "/data"]
    assert json.dumps(job).count(TOKEN) == 1 and TOKEN not in done.stdout + done.stderr


_HF_WITHOUT_UPLOADS = """
import sys
from huggingface_hub import HfApi, Volume

def volume(path, mounted):
    return Volume(type="bucket", source="somebody/jobs-artifacts", mount_path=mounted, path=path)

HfApi.sync_job_volume = lambda self, source, mount_path, **_: volume("folder", mount_path)
HfApi._upload_scripts_to_bucket = lambda self, **_: [volume("script", "/data")]
from huggingface_hub.cli.hf import main
sys.argv = ["hf", *sys.argv[1:]]
main()
"""


def test_the_readme_names_hardware_price_time_and_the_secret():
    text = "\n".join(job_section(9.5 * GB, 1800, "on a card", False, True))
    assert "--flavor l4x1 --timeout 110m --secrets HF_TOKEN" in text  # 15 + 90 = 105
    assert "9.5 GB" in text and "30 minutes" in text and "0.80 dollars an hour" in text and "1.47 at most" in text
    assert "hf jobs hardware" in text and "22 August 2026" in text and "private" in text


def test_a_base_model_that_is_not_on_the_hub_is_told_before_the_job():
    readme = script_readme(repeated("sft+dpo"), {"sft": [108, 8], "dpo": [108, 8]}, None, [])
    assert "a Job cannot get it" in readme
    assert "--stage dpo --start out/sft/adapter" in readme and "trl dpo --config trl/dpo.yaml" in readme
    assert "FSDP and DeepSpeed were not run here" in readme


@pytest.mark.parametrize("method", ["sft", "dpo", "sft+dpo", "kto"])
def test_a_notebook_is_one_and_its_cells_are_code(method):
    found = json.loads(notebook(repeated(method)))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in found["cells"]]
    assert len(set(ids)) == len(ids) > 8 and all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", one) for one in ids)
    code = ["".join(cell["source"]) for cell in found["cells"] if cell["cell_type"] == "code"]
    for cell in found["cells"]:
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | (
            {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        )
    whole = "\n".join(line for one in code for line in one.splitlines() if not line.startswith("%"))
    compile(whole, "train.ipynb", "exec")
    assert (
        "from unsloth" in whole
        and whole.index("from unsloth") < whole.index("from trl") < whole.index("import torch") + 200
    )


def test_the_arguments_of_a_notebook_are_those_of_the_run():
    import trl

    run = repeated("sft+dpo")
    for stage in run.stages:
        settings = getattr(trl, METHODS[stage].trainer_config)
        made = settings(**stage_arguments(run, stage), bf16=False, use_cpu=True)
        assert made.learning_rate == run.config.own(stage).learning_rate and made.max_steps == 4
    assert adapter_arguments(run)["r"] == 16 and load_arguments(run)["load_in_4bit"] is True
