"""A run pushed to the Hub, through the real library against a server of ours that writes down what it is asked."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drawn import watch
from hub_stub import OWNER, HubStub, hub_stub
from test_export import TOKEN, canaries_in, planted  # noqa: F401

from workbench.cli import main
from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check
from workbench.core.export.targets import ExportOptions
from workbench.core.export.uploading import checked_repo, upload_of
from workbench.jobs import exports
from workbench.jobs.app_state import AppState
from workbench.store import hub_push
from workbench.store.hub_errors import push_error_message

ROOT = Path(__file__).parent.parent
NAMES = ["README.md", "adapter_config.json", "adapter_model.safetensors", "curves.png"]
TAB: Any = SimpleNamespace(session_hash="tab")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStub]:
    """A Hub without any repository, at which somebody is logged in."""
    import huggingface_hub.constants

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")  # as the window has it; Gradio would ask the Hub
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # its storage has a protocol of its own
    with hub_stub() as stub:
        stub.there = {}
        monkeypatch.setattr(
            huggingface_hub.constants, "ENDPOINT", stub.url
        )  # read from HF_ENDPOINT when it was imported
        yield stub


def push(out: Path, **options: Any) -> Any:
    asked = ExportOptions(**{"repo": "kind"} | options)
    return exports.export("first", "hub", out, asked, lambda fraction, words: None)


def read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in exports.listed(folder)}


def said_to(hub: HubStub) -> bytes:
    """Every body, and every path."""
    return b"\n".join(path.encode() + b"\n" + body for _, path, _, body in hub.asked)


def test_a_dry_run_lists_every_file_with_its_size_asks_nobody_and_leaves_nothing(hub, first_run, tmp_path, capsys):
    flags = ["--repo", "me/kind", "--out", str(tmp_path / "out")]
    assert main(["export", "first", "hub", *flags, "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == "" and said["agrees"] is True and said["upload"]["url"] == ""
    assert (said["upload"]["repo"], said["upload"]["private"]) == ("me/kind", True)
    assert [name for name, _ in said["upload"]["files"]] == NAMES == said["files"]
    weights = (first_run.adapter / "adapter_model.safetensors").stat().st_size
    assert dict(said["upload"]["files"])["adapter_model.safetensors"] == weights
    assert main(["export", "first", "hub", *flags, "--dry-run"]) == 0
    words = capsys.readouterr().out
    assert "Would go to me/kind (private)" in words and f"{weights:,}  adapter_model.safetensors" in words
    assert "Wrote" not in words
    assert [one.name for one in tmp_path.iterdir()] == ["home"] and hub.asked == []


@pytest.mark.parametrize("with_storage", [False, True])
def test_what_was_listed_is_pushed_in_one_commit_privately_and_the_token_is_in_headers_alone(
    hub, planted, tmp_path, with_storage  # noqa: F811
):  # fmt: skip
    hub.with_storage = with_storage
    listed = push(tmp_path / "none", dry_run=True).upload
    found = push(tmp_path / "out")
    assert found.agrees and found.upload.url == f"{hub.url}/{OWNER}/kind/commit/0"
    assert (found.upload.repo, found.upload.files) == (f"{OWNER}/kind", listed.files)
    assert [check.what for check in found.checked] == ["Weights", "On the Hub"]
    received = hub.received()
    assert {name: len(data) for name, data in received.items()} == dict(listed.files)
    assert received == read(tmp_path / "out")
    [made] = hub.bodies("/repos/create")
    assert made["name"] == "kind" and (made.get("private") is True or made.get("visibility") == "private")
    assert TOKEN.encode() not in said_to(hub)
    for method, path, headers, _ in hub.asked:
        wears = any(TOKEN in value for value in headers.values())
        assert wears is not path.startswith("/storage/"), f"{method} {path}: the storage is another server"
    assert not with_storage or any(path.startswith("/storage/") for _, path, _, _ in hub.asked)
    arrived = tmp_path / "arrived"
    for name, data in received.items():
        (arrived / name).parent.mkdir(parents=True, exist_ok=True)
        (arrived / name).write_bytes(data)
    assert canaries_in(arrived, planted) == []


def test_a_merged_model_is_checked_and_pushed(hub, planted, tmp_path, one_base, in_this_process):  # noqa: F811
    hub.with_storage = True
    found = push(tmp_path / "out", content="merged", repo="org/kind", private=False)
    assert found.agrees and found.upload.repo == "org/kind" and found.upload.kept == ()
    received = hub.received()
    assert received == read(tmp_path / "out") and {"model.safetensors", "curves.png"} <= received.keys()
    assert hub.there["org/kind"]["private"] is False
    assert found.serving, "its commands are told as of any merged model"
    (tmp_path / "arrived").mkdir()
    for name, data in received.items():
        (tmp_path / "arrived" / name).write_bytes(data)
    assert canaries_in(tmp_path / "arrived", planted) == [] and TOKEN.encode() not in said_to(hub)


def test_the_real_command_pushes_to_the_hub_that_its_environment_names(hub, first_run, tmp_path):
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "export", "first", "hub", "--repo", "kind", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=120, env=env, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Pushed to {OWNER}/kind (private)" in done.stdout and TOKEN not in done.stdout + done.stderr
    assert sorted(hub.received()) == NAMES


def test_what_differs_from_the_run_is_not_pushed(hub, first_run, tmp_path, monkeypatch, capsys):
    def differs(work):
        (work.folder / "README.md").write_text("A card.")
        return [Check("Weights", "not those of the run", False)], []

    monkeypatch.setitem(exports.WRITERS, "adapter", differs)
    assert main(["export", "first", "hub", "--repo", "kind", "--out", str(tmp_path / "out")]) == 1
    assert "Nothing was pushed, because what was written differs from the run." in capsys.readouterr().out
    assert [path for _, path, _, _ in hub.asked if "whoami" not in path and "/api/models/" not in path] == []


def test_a_public_repository_that_is_there_gets_nothing_private(hub, first_run, tmp_path):
    hub.there[f"{OWNER}/kind"] = {"id": f"{OWNER}/kind", "sha": "0" * 40, "private": False, "siblings": []}
    with pytest.raises(WorkbenchError, match="is there already and public, and a private repository was asked for"):
        push(tmp_path / "out")
    assert not hub.bodies("/commit/") and [one.name for one in tmp_path.iterdir()] == ["home"]
    hub.there[f"{OWNER}/kind"]["siblings"] = [{"rfilename": "old.bin"}, {"rfilename": ".gitattributes"}]
    found = push(tmp_path / "out", private=False)
    assert any("holds files of before, which stay: old.bin." in words for words in found.notes)


@pytest.mark.parametrize(
    ("role", "refuses", "words"),
    [
        ("read", {}, "Your token for the Hub may only read"),
        ("write", {"/whoami": 401}, "The Hub does not know your token"),
        ("write", {"/repos/create": 403}, f"You may not write to {OWNER}/kind"),
        ("write", {"/commit/": 403}, f"You may not write to {OWNER}/kind"),
        ("write", {"/validate-yaml": 400}, "does not take the front matter of README.md"),
        ("write", {"/commit/": 500}, "HTTP status 500.*Wait a few minutes"),
        ("write", {"/preupload/": 413}, r"HTTP status 413\). Try again later"),
    ],
)
def test_what_the_hub_refuses_is_told_in_words_and_leaves_nothing(hub, first_run, tmp_path, role, refuses, words):
    hub.role, hub.refuses = role, refuses
    with pytest.raises(WorkbenchError, match=words) as told:
        push(tmp_path / "out")
    assert TOKEN not in str(told.value)
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


def test_what_was_pushed_is_told_also_where_the_hub_does_not_say_what_arrived(hub, first_run, tmp_path):
    hub.refuses = {"/revision/0": 500}
    found = push(tmp_path / "out")
    assert found.upload.url and found.agrees and found.checked[-1].ok is None
    assert "look at the repository" in found.checked[-1].found


def test_without_a_login_offline_or_without_a_network_the_way_out_is_told(first_run, tmp_path, monkeypatch):
    import huggingface_hub.constants
    from huggingface_hub import HfApi

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(WorkbenchError, match="not logged in to the Hub. Run `hf auth login`"):
        push(tmp_path / "out")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(WorkbenchError, match=r"The Hub cannot be reached.*Nothing was pushed"):
        push(tmp_path / "out")

    def offline(self: HfApi) -> None:
        raise huggingface_hub.errors.OfflineModeIsEnabled("no")

    monkeypatch.setattr(HfApi, "whoami", offline)
    with pytest.raises(WorkbenchError, match="HF_HUB_OFFLINE is set"):
        push(tmp_path / "out")
    assert push_error_message(ValueError("a bug"), "me/kind") is None


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "a--b", "a..b", ".a", "a-", "a b", "me/x.git", "me/", "x" * 97, "ä/b", "../up", "me/../x"]
)
def test_a_name_that_the_hub_would_refuse_is_refused_before_anything_is_written(hub, first_run, tmp_path, name):
    with pytest.raises(WorkbenchError, match="Repository is"):
        push(tmp_path / "out", repo=name)
    assert hub.asked == [] and [one.name for one in tmp_path.iterdir()] == ["home"]


def test_an_address_of_a_repository_is_its_name():
    assert checked_repo(" https://huggingface.co/me/kind/ ") == "me/kind"
    assert checked_repo("me/kind_1.5-dpo") == "me/kind_1.5-dpo"


def test_only_files_that_belong_to_a_model_go_up():
    names = [
        "optimizer.pt", "training_args.bin", "model.safetensors", "model-00001-of-00002.safetensors", "worker.log", "run.pkl",
        "README.md", "checkpoints/model.safetensors", ".env", "tokenizer.json", "model.safetensors.index.json", "data.json",
    ]  # fmt: skip
    upload = upload_of("me/kind", True, [(name, 1) for name in names])
    assert [name for name, _ in upload.files] == [
        "README.md", "model-00001-of-00002.safetensors", "model.safetensors", "model.safetensors.index.json", "tokenizer.json",
    ]  # fmt: skip
    assert set(upload.kept) == set(names) - {name for name, _ in upload.files}


@pytest.mark.parametrize("words", ["hf_" + "canaryCANARYcanaryCANARYcanaryCANAR", "HOME/runs/first"])
def test_a_card_with_a_token_or_a_place_of_this_machine_in_it_is_not_pushed(hub, first_run, tmp_path, words):
    """A person may write into the card of a run."""
    card = first_run.adapter / "README.md"
    card.write_text(card.read_text() + words.replace("HOME", str(first_run.folder.parents[1])))
    with pytest.raises(
        WorkbenchError, match=r"README.md (holds what looks like a token|names a folder of this machine)"
    ):
        push(tmp_path / "out")
    assert not hub.bodies("/repos/create")


def test_the_page_lists_first_and_pushes_what_it_listed_with_a_second_click(hub, first_run):
    take = watch().take
    named = {"repo": "kind", "content": "adapter"}
    values = tuple(named.get(name, field.default) for name, field in ExportOptions.model_fields.items())
    last = list(take.exported(AppState(), TAB, first_run, "hub", values))[-1]
    assert hub.asked == [], "nothing leaves with the first click"
    listed = last[take._listed]
    assert last[take.push]["visible"] is True
    assert "to kind, private" in last[take.push]["value"] and last[take.push]["value"].startswith("Push 4 files")
    assert "Nothing was pushed yet" in last[take.written] and "adapter_model.safetensors" in last[take.written]
    done = list(take.pushed(AppState(), TAB, listed))[-1]
    assert dict(listed.upload.files) == {name: len(data) for name, data in hub.received().items()}
    assert f"Pushed to {OWNER}/kind (private)" in done[take.written]
    assert done[take.push]["visible"] == "hidden" and done[take._listed] is None
    (Path(listed.folder) / "README.md").write_text("Another one.")
    with pytest.raises(WorkbenchError, match="README.md is not the file that was looked at"):
        hub_push.push(listed.upload, Path(listed.folder), lambda fraction, words: None)
    with pytest.raises(WorkbenchError, match="nothing to push"):
        list(take.pushed(AppState(), TAB, None))
    with pytest.raises(WorkbenchError, match="Repository is empty"):
        list(
            take.exported(
                AppState(), TAB, first_run, "hub", tuple(f.default for f in ExportOptions.model_fields.values())
            )
        )
