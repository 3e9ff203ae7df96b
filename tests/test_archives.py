"""A run as one file: what is in it, that it goes on elsewhere, and that an archive of somebody else can do no harm."""

import io
import json
import os
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest
from configs import demo_config
from made_runs import SMALL, few_rows
from old_home import OLD_HOME

from workbench.cli import main
from workbench.core import masking
from workbench.core.errors import WorkbenchError
from workbench.jobs import archives, training
from workbench.store import archive_rules, checkpoints, secrets
from workbench.store.runs import Run, all_runs, claim_folder, open_run, runs_folder
from workbench.ui.archive_view import ArchiveView
from workbench.ui.environment import export_folder

TOKEN = "hf_" + "c4n4ry" * 6


@pytest.fixture
def paused(home: Path) -> Run:
    """A paused run with a checkpoint, as an earlier version left it."""
    shutil.copytree(OLD_HOME / "runs" / "paused", runs_folder() / "paused")
    return open_run("paused")


@pytest.fixture
def packed(paused: Run, tmp_path: Path) -> Path:
    archives.pack("paused", tmp_path / "paused.zip")
    return tmp_path / "paused.zip"


def changed(source: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of an archive with other files in it, and no damage to the archive itself."""
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    target = source.with_name("changed.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def refused(file: Path) -> str:
    """Why an archive is not taken; nothing is stored of it, and nothing lies about."""
    home = runs_folder().parent
    before = sorted(str(path) for path in home.rglob("*"))
    with pytest.raises(WorkbenchError) as error:
        archives.unpack(file)
    assert sorted(str(path) for path in home.rglob("*")) == before
    return str(error.value)


def test_an_archive_is_unpacked_under_a_free_name_and_is_the_same_run(paused, packed):
    run = archives.unpack(packed)
    assert run.name == "paused-2" and training.state_of(run) == "paused"
    assert run.config() == paused.config().model_copy(update={"name": "paused-2"})
    kept = checkpoints.newest(run)
    assert kept and kept.words == checkpoints.newest(paused).words
    for name in ("adapter_model.safetensors", "optimizer.pt"):
        assert (kept.folder / name).read_bytes() == (checkpoints.newest(paused).folder / name).read_bytes()
    assert run.metrics() == paused.metrics() and run.samples() == paused.samples()
    assert not (run.folder / "worker.json").exists() and not run.log_file.exists()


def test_a_paused_run_goes_on_in_another_home(home, one_base, after_step, tmp_path, monkeypatch):
    """Two of four steps here, the other two there, with the checkpoint that came along."""
    from workbench.engine import train

    settings = SMALL | few_rows() | {"method": "dpo", "sft_data": None, "dpo": {"learning_rate": 2e-4, "max_steps": 4}}
    run = claim_folder("begun")
    run.write_config(demo_config("begun", **settings))
    after_step(2, lambda model: run.stop_file.write_text("pause"))
    assert train.main(str(run.folder)) == 0 and run.result().outcome == "paused"
    archives.pack("begun", tmp_path / "begun.zip")
    there = tmp_path / "elsewhere"
    shutil.copytree(home / "datasets", there / "datasets")
    monkeypatch.setenv("WORKBENCH_HOME", str(there))
    went = archives.unpack(tmp_path / "begun.zip")
    assert checkpoints.newest(went).step == 2
    went.forget_end()
    assert train.main(str(went.folder)) == 0 and went.result().outcome == "finished", went.result()
    assert [row["step"] for row in went.metrics() if "loss" in row] == [1, 2, 3, 4]


def test_no_token_no_folder_of_this_machine_and_no_stranger_among_the_files_is_packed(paused, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    masking.know(secrets.known)
    monkeypatch.setattr(secrets, "_read", None)
    here = {"why": f"{paused.folder.parent.parent}/x said {TOKEN}", "from": str(Path.home() / "secret" / "place")}
    paused.write_environment(paused.environment() | here)
    (paused.folder / "environment.json").write_text(json.dumps(here))
    for name in ("worker.log", "notes.txt", "adapter/training_args.bin", "checkpoints/dpo-0000003/strange.bin", "stop"):
        (paused.folder / name).parent.mkdir(exist_ok=True)
        (paused.folder / name).write_text(f"{TOKEN} {paused.folder}")
    os.symlink("/etc/passwd", paused.folder / "samples.link")
    (paused.folder / "findings.jsonl").unlink(missing_ok=True)
    os.symlink("/etc/passwd", paused.folder / "findings.jsonl")
    torn = paused.folder / "checkpoints" / "dpo-0000009"
    torn.mkdir()
    (torn / "manifest.json").write_text('{"stage": "dpo", "step": 9, "files": {"optimizer.pt": [1, "x"]}}')
    names = archives.pack("paused", tmp_path / "out.zip")
    assert {"worker.log", "notes.txt", "stop", "worker.json", "findings.jsonl"}.isdisjoint(names)
    assert not [name for name in names if "training_args" in name or "strange" in name or "0000009" in name]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
    for canary in (TOKEN, str(paused.folder), str(Path.home()), "root:"):
        assert canary.encode() not in whole, canary
    assert json.loads(zipfile.ZipFile(tmp_path / "out.zip").read("environment.json"))["from"].endswith("~/secret/place")
    assert "worker.log" in archives.pack("paused", tmp_path / "with-log.zip", logs=True)


HOSTILE_NAMES = [
    "/etc/cron.d/x", "../escaped", "adapter/../../escaped", "adapter\\..\\x", "C:\\x", "C:/x", "adapter/adapter_model.bin",
    "training_args.bin", "adapter/adapter_config.json/x", "checkpoints/dpo-0000003/../../../x", "checkpoints/dpo-0000003/model.py",
    "Config.json", "con", "config.json:stream", "stop", "worker.json", "exit.json", "checkpoints/evil-0000003/optimizer.pt",
    "checkpoints/dpo-3/optimizer.pt", "adapter-after-../x", "./config.json", "adapter//adapter_config.json", "a\0b", "queue.json",
    "adapter/modeling.py", "trash/config.json", "reward/x.safetensors", "~/x", "checkpoints/dpo-0000003\n/optimizer.pt",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_only_the_names_of_a_runs_own_files_are_taken(packed, name):
    file = changed(packed, lambda files: files.update({name: b"{}"}))
    # Python's zipfile reads a name up to its NUL.
    assert "is no file of a run" in refused(file)
    assert not archive_rules.is_known(name)


def test_links_devices_doubles_and_encryption_are_refused(packed, tmp_path):
    for mode in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        file = tmp_path / "linked.zip"
        shutil.copy(packed, file)
        with zipfile.ZipFile(file, "a") as archive:
            one = zipfile.ZipInfo("findings.jsonl")
            one.external_attr = (mode | 0o777) << 16
            archive.writestr(one, "/etc/passwd")
        assert "is a link or a device" in refused(file)
    with zipfile.ZipFile(shutil.copy(packed, tmp_path / "twice.zip"), "a") as archive, pytest.warns(UserWarning):
        archive.writestr("config.json", "{}")
    assert "'config.json' is there twice" in refused(tmp_path / "twice.zip")
    locked = bytearray(packed.read_bytes())
    at = locked.rindex(b"PK\x01\x02")
    locked[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    assert "is encrypted" in refused(tmp_path / "locked.zip")


def test_a_bomb_is_refused_before_it_is_unpacked(packed, monkeypatch):
    """100 MB of zeros pack 1,000 times; numbers of a run some twenty times."""
    bomb = changed(packed, lambda files: files.update({"metrics.jsonl": bytes(10**8)}))
    assert bomb.stat().st_size < 10**7 and "metrics.jsonl would grow" in refused(bomb)
    monkeypatch.setattr(archive_rules, "MOST_BYTES", 1000)
    assert "and the most is 0 GB" in refused(packed)
    monkeypatch.setattr(archive_rules, "MOST_FILES", 3)
    assert "a run has at most 3" in refused(packed)


def test_a_file_that_is_larger_than_it_says_is_refused(packed):
    """The directory of an archive can lie; what is written is counted."""
    lying = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        one = archive.getinfo("metrics.jsonl")
    entry = lying.rindex(b"metrics.jsonl") - 46
    assert lying[entry : entry + 4] == b"PK\x01\x02"
    lying[entry + 24 : entry + 28] = (one.file_size // 2).to_bytes(4, "little")
    file = packed.with_name("lying.zip")
    file.write_bytes(lying)
    assert "is no archive, or a damaged one" in refused(file)


def test_what_does_not_fit_on_the_disk_is_refused(packed, monkeypatch):
    monkeypatch.setattr(archives, "_WITHOUT_ROOM", 10**15)
    assert "there is room for 0.0 GB" in refused(packed)


class Harm:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch /tmp/workbench-canary",)


def saved_with(harm: bytes, inside: str = "archive/data.pkl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(inside, harm)
    return file.getvalue()


def resealed(files: dict[str, bytes], name: str, data: bytes) -> None:
    """Another file in a checkpoint, with a manifest that fits."""
    import hashlib

    folder = "checkpoints/dpo-0000003/"
    manifest = json.loads(files[f"{folder}manifest.json"])
    manifest["files"][name] = [len(data), hashlib.sha256(data).hexdigest()]
    files[f"{folder}manifest.json"] = json.dumps(manifest).encode()
    files[f"{folder}{name}"] = data


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", archive_rules.PICKLES[:3])
def test_a_saved_state_that_names_anything_but_numbers_is_refused(packed, name, protocol):
    harm = saved_with(pickle.dumps(Harm(), protocol=protocol))
    said = refused(changed(packed, lambda files: resealed(files, name, harm)))
    assert "could run code" in said and not Path("/tmp/workbench-canary").exists()


@pytest.mark.parametrize(
    "state",
    [
        b"not a zip", saved_with(b"\x80\x02.", "data.txt"), saved_with(b"\xff\xff"), pickle.dumps(Harm()),
        saved_with(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x8c\x0bcollections\x8c\x0bOrderedDict00\x93."),
        saved_with(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940\x8c\x0bOrderedDict0h\x00h\x01\x93."),
    ],
    ids=["text", "other", "cut", "bare", "popped", "from the memo"],
)  # fmt: skip
def test_a_saved_state_that_hides_what_it_names_is_refused(packed, state):
    said = refused(changed(packed, lambda files: resealed(files, "optimizer.pt", state)))
    assert "optimizer.pt in the archive" in said


def test_what_is_read_is_checked_as_any_damaged_run(packed):
    def break_(name: str, data: bytes) -> str:
        return refused(changed(packed, lambda files: files.update({name: data})))

    assert "config.json" in break_("config.json", b"{")
    assert "adjustments.json" in break_("adjustments.json", b"[1]")
    assert "not as its manifest says" in break_("checkpoints/dpo-0000003/trainer_state.json", b"{}")
    weights = "checkpoints/dpo-0000003/adapter_model.safetensors"
    assert "adapter" in refused(changed(packed, lambda files: resealed(files, weights.rsplit("/", 1)[1], b"x" * 20)))
    assert "no config.json" in refused(changed(packed, lambda files: files.pop("config.json")))


@pytest.mark.parametrize("data", [b"", b"PK", b"\x1f\x8b" + bytes(40), b"{}"], ids=["empty", "cut", "gzip", "text"])
def test_what_is_no_archive_is_said_to_be_none(home, tmp_path, data):
    (tmp_path / "x.zip").write_bytes(data)
    runs_folder()
    assert "is no archive, or a damaged one" in refused(tmp_path / "x.zip")
    assert "There is no file" in refused(tmp_path / "missing.zip")


def test_a_name_in_the_archive_is_made_a_usable_one(packed):
    for said, name in (("../../etc", "etc"), ("CON", "run"), ("A b", "a-b"), (7, "7")):
        file = changed(
            packed, lambda files, said=said: files.update({"archive.json": json.dumps({"name": said}).encode()})
        )
        assert archives.unpack(file).name == name


def test_a_run_that_trains_and_a_file_that_is_there_are_refused(paused, packed, monkeypatch):
    with pytest.raises(WorkbenchError, match="is there already"):
        archives.pack("paused", packed)
    monkeypatch.setattr(archives, "state_of", lambda run: "running")
    with pytest.raises(WorkbenchError, match="is training. Pause it"):
        archives.pack("paused", packed.with_name("other.zip"))
    assert not list(packed.parent.glob(".*draft"))


def test_the_commands_write_and_read_an_archive(paused, tmp_path, capsys):
    assert main(["archive", "paused", "--out", str(tmp_path / "it.zip"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "config.json" in said["files"] and said["bytes"] == (tmp_path / "it.zip").stat().st_size
    assert main(["unarchive", str(tmp_path / "it.zip"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "paused-2"
    assert {run.name for run in all_runs()} == {"paused", "paused-2"}


@pytest.mark.parametrize("name", ["../../precious", "../precious", "x" * 10_000, "."])
def test_the_button_touches_no_file_that_a_name_leads_to(home, name):
    """The name comes from a page, or from a program that says it is one."""
    folder = export_folder()
    kept = [place / "precious.zip" for place in (folder.parent, folder.parent.parent)]
    for file in kept:
        file.write_bytes(b"not a run")
    with gr.Blocks() as window:
        run = gr.Dropdown([])
        ArchiveView().wire(run)
    pack = next(fn.fn for fn in window.fns.values() if fn.api_name == "archive")
    with pytest.raises(WorkbenchError, match="run"):
        pack(name, False)
    assert all(file.exists() for file in kept)
