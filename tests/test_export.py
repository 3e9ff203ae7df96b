"""A run taken along: whole or not at all, nothing in it that belongs to this machine, and words for what cannot be written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from configs import demo_config
from gguf_here import converter_or_skip
from made_runs import create_run

from workbench.cli import main
from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check, Differing, Exported
from workbench.core.export.serving import LLAMA, OLLAMA, TRANSFORMERS, VLLM, serving
from workbench.core.export.targets import TARGETS, ExportOptions
from workbench.jobs import exports

ROOT = Path(__file__).parent.parent


def export(target: str, out: Path, **options):
    return exports.export("first", target, out, ExportOptions(**options), lambda fraction, words: None)


def test_every_target_has_a_writer_and_reads_options_that_there_are():
    assert TARGETS.keys() == exports.WRITERS.keys()
    for target in TARGETS.values():
        assert set(target.options) <= ExportOptions.model_fields.keys(), target.id


def test_an_adapter_is_that_of_the_run_byte_for_byte_and_names_no_path(first_run, tmp_path):
    found = export("adapter", tmp_path / "out")
    named = ("README.md", "adapter_config.json", "adapter_model.safetensors", "curves.png")
    assert found.files == named and found.agrees
    written = (tmp_path / "out" / "adapter_model.safetensors").read_bytes()
    assert written == (first_run.adapter / "adapter_model.safetensors").read_bytes()
    assert found.serving == (), "an adapter alone is served by nothing"


def test_agreement_is_that_of_all_checks_and_none_without_any():
    assert Exported("run", "adapter", "", ()).agrees is None
    good, bad = Check("one", "well", True), Check("two", "not", False)
    assert Exported("run", "adapter", "", (), (good, good)).agrees is True
    assert Exported("run", "adapter", "", (), (good, bad)).as_json()["agrees"] is False


def test_what_cannot_be_exported_is_refused_in_words(first_run, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(WorkbenchError, match="is there already and not empty. Name a folder"):
        export("adapter", tmp_path / "used")
    assert (tmp_path / "used" / "file").read_text() == "mine"
    with pytest.raises(WorkbenchError, match="no way out called 'onnx'. There are adapter, merged"):
        export("onnx", tmp_path / "out")
    create_run(demo_config("bare"))
    with pytest.raises(WorkbenchError, match="The run bare has no adapter yet"):
        exports.export("bare", "adapter", tmp_path / "out", ExportOptions(), lambda fraction, words: None)
    with pytest.raises(WorkbenchError, match="There is no run called nothing"):
        exports.export("nothing", "adapter", tmp_path / "out", ExportOptions(), lambda fraction, words: None)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "used"]


def test_an_export_that_ends_in_the_middle_leaves_nothing(first_run, tmp_path, monkeypatch):
    def half(work):
        (work.folder / "half").write_text("half")
        raise WorkbenchError("Cancelled.")

    monkeypatch.setitem(exports.WRITERS, "adapter", half)
    with pytest.raises(WorkbenchError, match="Cancelled"):
        export("adapter", tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


# The command line, killed from outside while it writes.
WRITES_FOR_EVER = """
import sys, time
from pathlib import Path
from workbench.core.export.targets import ExportOptions
from workbench.jobs import exports
def writes(work):
    (work.folder / "half").write_text("half")
    print("half", flush=True)
    time.sleep(60)
exports.WRITERS["adapter"] = writes
exports.export("first", "adapter", Path(sys.argv[1]), ExportOptions(), lambda fraction, words: None)
"""


def test_a_killed_export_leaves_no_folder_and_its_draft_goes_with_the_next_one(first_run, tmp_path):
    out = tmp_path / "outs" / "mine"
    running = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER, str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout and running.stdout.readline() == "half\n"
    with pytest.raises(WorkbenchError, match="is being written by another export right now"):
        export("adapter", out)
    running.kill()
    running.wait()
    running.stdout.close()
    assert not out.exists() and len(list(out.parent.iterdir())) == 1, "its draft"
    export("adapter", out)
    assert [one.name for one in out.parent.iterdir()] == ["mine"]


ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from workbench.core.errors import WorkbenchError
from workbench.core.export.targets import ExportOptions
from workbench.jobs import exports
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    exports.export("first", "adapter", Path(sys.argv[1]), ExportOptions(), lambda fraction, words: None)
except WorkbenchError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits on the size of a file")
def test_a_full_disk_is_told_in_words_and_leaves_nothing(first_run, tmp_path):
    out = tmp_path / "outs" / "mine"
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, str(out)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert f"The export {out} could not be stored" in done.stdout, done.stderr
    assert list(out.parent.iterdir()) == []


def test_the_command_line_prints_what_was_written_and_fails_where_it_differs(first_run, tmp_path, capsys, monkeypatch):
    assert main(["export", "first", "adapter", "--out", str(tmp_path / "one"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["agrees"] is True and "adapter_model.safetensors" in said["files"]
    assert [one["what"] for one in said["checked"]] == ["Weights"] and said["serving"] == []
    wrong = Check("Greedy answers", "1 of 2 are identical", False, (Differing("Hello", "Hi.", "Ho."),))

    def differs(work):
        (work.folder / "config.json").write_text("{}")
        (work.folder / "model.safetensors").write_text("")
        return [wrong, Check("As it was trained", "KL 0.1", None)], ["A note."]

    monkeypatch.setitem(exports.WRITERS, "merged", differs)
    assert main(["export", "first", "merged", "--precision", "fp16", "--out", str(tmp_path / "two")]) == 1
    words = capsys.readouterr().out
    assert "[DIFFERS] Greedy answers: 1 of 2 are identical" in words and "[to know] As it was trained" in words
    assert "run:      'Hi.'" in words and "exported: 'Ho.'" in words and "A note." in words
    assert f"    transformers serve {tmp_path / 'two'} --port 8000" in words
    assert main(["export", "first", "merged", "--precision", "int3", "--out", str(tmp_path / "three")]) != 0
    assert "Precision is 'int3'" in capsys.readouterr().err


# What must never leave: each is planted, and looked for in every byte that a target writes.
TOKEN = "hf_" + "canaryCANARYcanaryCANARYcanaryCANAR"
LOG = "a line of the worker's log that is for nobody else"
PICKLE = b"bytes of an optimizer that are for nobody else"


@pytest.fixture
def planted(first_run, monkeypatch):
    """The run, with secrets, logs, pickles and paths of this machine wherever such things come to lie."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth"):
        (first_run.adapter / name).write_bytes(PICKLE)
        (first_run.folder / name).write_bytes(PICKLE)
    first_run.log_file.write_text(f"{LOG}\n{TOKEN}\n{first_run.folder}\n")
    first_run.write_environment(first_run.environment() | {"why": f"Loaded with {TOKEN}."})
    settings = first_run.adapter / "adapter_config.json"
    written = json.loads(settings.read_text()) | {"base_model_name_or_path": str(first_run.folder)}
    settings.write_text(json.dumps(written))
    return first_run


def canaries_in(folder: Path, run) -> list[str]:
    """Everything in a folder that must not be there."""
    secrets = {
        "the token": TOKEN, "the log": LOG, "the optimizer": PICKLE.decode(), "the home": str(run.folder.parents[1]),
        "the program": str(ROOT), "this user's folder": str(Path.home()) + "/",
    }  # fmt: skip
    found = []
    for file in [one for one in folder.rglob("*") if one.is_file()]:
        if file.suffix in (".pt", ".bin", ".pth", ".pkl", ".log"):
            found.append(f"{file.name} itself")
        written = file.read_bytes()
        found += [f"{what} in {file.name}" for what, secret in secrets.items() if secret.encode() in written]
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_of_this_machine_leaves_with_an_export(target, planted, tmp_path, one_base, in_this_process):
    out = tmp_path / "out"
    if target.startswith("gguf"):
        converter_or_skip(lora=target == "gguf-lora")
    hub = {"repo": "me/kind", "dry_run": True} if target == "hub" else {}  # what it sends: test_hub_push.py
    found = export(target, out, **hub)
    assert found.files, target
    assert canaries_in(out, planted) == []
    assert TOKEN not in json.dumps(found.as_json())


def test_the_canaries_are_found_where_they_are(planted, tmp_path):
    """The run's own folder holds all of them: what looks for them can see."""
    found = " ".join(canaries_in(planted.folder, planted))
    assert (
        "optimizer.pt itself" in found
        and "the log in worker.log" in found
        and "the home in adapter_config.json" in found
    )


def test_each_engine_is_told_with_its_command_and_whether_it_is_here():
    files = ("config.json", "model.safetensors", "tokenizer.json")
    found = {one.engine: one for one in serving("mine", Path("/out/my models"), files, {VLLM})}
    assert list(found) == [TRANSFORMERS, VLLM, LLAMA, OLLAMA]
    assert [name for name, one in found.items() if one.installed] == [VLLM]
    assert found[TRANSFORMERS].commands[0] == "transformers serve '/out/my models' --port 8000"
    assert found[VLLM].commands[0] == "vllm serve '/out/my models' --served-model-name mine --port 8000"
    assert found[LLAMA].commands == ("workbench export mine gguf --out '/out/my models-gguf'",)
    assert "It takes no folder with @" not in found[TRANSFORMERS].words
    assert "It takes no folder with @" in serving("mine", Path("/a@b"), files, ())[0].words
    one, other = serving("mine", Path("/out"), ("Modelfile", "mine-q8_0.gguf"), ())
    assert one.commands[0] == "llama-server -m /out/mine-q8_0.gguf --jinja --port 8080"
    assert other.commands[:2] == ("ollama create mine -f /out/Modelfile", "ollama run mine")
    assert serving("mine", Path("/out"), ("adapter_model.safetensors",), {VLLM}) == ()
