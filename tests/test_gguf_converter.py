"""Which converter to GGUF is used, and what is said where there is none: no converter is needed for that."""

import hashlib
import importlib.metadata
import io
import tarfile
from dataclasses import replace

import pytest

from workbench.core.errors import WorkbenchError
from workbench.store import gguf_converter
from workbench.store.gguf_converter import LLAMA_CPP, find_converter

INSIDE = "llama_cpp_python-9/vendor/llama.cpp"


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A machine without any converter."""
    monkeypatch.delenv("LLAMA_CPP_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    versions_are(monkeypatch, {})


def versions_are(monkeypatch, versions: dict[str, str]) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name not in gguf_converter.FITS:
            return known(name)
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


def folder_of_llama_cpp(folder, lora: bool = True):
    (folder / "conversion").mkdir(parents=True)
    (folder / "conversion" / "__init__.py").write_text("")
    for name in ("convert_hf_to_gguf.py", *(("convert_lora_to_gguf.py",) if lora else ())):
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    return folder


def silent(fraction, words):
    pass


def test_without_any_it_says_what_to_install(monkeypatch):
    with pytest.raises(WorkbenchError) as refused:
        find_converter(False, silent)
    said = str(refused.value)
    assert "auto-round is not installed" in said and "pip install auto-round==0.14.2 gguf==0.19.0 sentencepiece" in said
    assert "LLAMA_CPP_ROOT" in said and "--download-converter (77 MB from https://files.pythonhosted.org/" in said
    with pytest.raises(WorkbenchError, match="auto-round's copy converts whole models only. Name llama.cpp's folder"):
        find_converter(False, silent, lora=True)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (
            {"auto-round": "0.16.1", "gguf": "0.19.0"},
            "auto-round 0.16.1 is installed, whose converter is not known to fit: auto-round 0.14.2",
        ),
        ({"auto-round": "0.14.2", "gguf": "0.18.0"}, "gguf 0.18.0 is installed, whose converter"),
        ({"auto-round": "0.14.2"}, "gguf is not installed"),
    ],
)
def test_versions_that_do_not_fit_are_refused(monkeypatch, versions, said):
    versions_are(monkeypatch, versions)
    with pytest.raises(WorkbenchError, match=said):
        find_converter(False, silent)


def test_versions_that_fit_are_taken_without_importing_them(monkeypatch, tmp_path):
    versions_are(monkeypatch, gguf_converter.FITS)
    (tmp_path / "lib" / "auto_round").mkdir(parents=True)
    (tmp_path / "lib" / "auto_round" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    assert find_converter(False, silent).root == tmp_path / "lib" / "auto_round" / "export" / "export_to_gguf"


def test_the_users_own_counts_first(monkeypatch, tmp_path):
    versions_are(monkeypatch, gguf_converter.FITS)
    on_path, named = folder_of_llama_cpp(tmp_path / "path"), folder_of_llama_cpp(tmp_path / "named", lora=False)
    monkeypatch.setenv("PATH", str(on_path))
    assert find_converter(False, silent).root == on_path
    assert find_converter(False, silent, lora=True).root == on_path
    monkeypatch.setenv("LLAMA_CPP_ROOT", str(named))
    assert find_converter(False, silent).root == named
    with pytest.raises(WorkbenchError, match="has no convert_lora_to_gguf.py. Name the folder of a whole llama.cpp"):
        find_converter(False, silent, lora=True)
    monkeypatch.setenv("LLAMA_CPP_ROOT", str(tmp_path))
    with pytest.raises(
        WorkbenchError, match="has no package `conversion`, which llama.cpp's converter is since May 2026"
    ):
        find_converter(False, silent)


def packed(names: list[str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
        link = tarfile.TarInfo(f"{INSIDE}/conversion/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return made.getvalue()


def served(monkeypatch, tmp_path, content: bytes, **changes):
    """The archive that is known is one on this disk."""
    file = tmp_path / "source.tar.gz"
    file.write_bytes(content)
    known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    source = replace(LLAMA_CPP, address=file.as_uri(), inside=INSIDE, **(known | changes))
    monkeypatch.setattr(gguf_converter, "LLAMA_CPP", source)


def test_a_download_is_announced_checked_and_unpacked_without_what_is_not_needed(monkeypatch, tmp_path, home):
    wanted = [
        "LICENSE",
        "convert_hf_to_gguf.py",
        "convert_lora_to_gguf.py",
        "conversion/__init__.py",
        "gguf-py/gguf/quants.py",
    ]
    others = ["src/llama.cpp", "conversion/../../../../bad.py", "conversion.py", "gguf-py/examples/one.py"]
    content = packed([f"{INSIDE}/{name}" for name in wanted + others] + ["llama_cpp_python-9/setup.py"])
    served(monkeypatch, tmp_path, content)
    with pytest.raises(WorkbenchError, match="There is no converter"):
        find_converter(False, silent)
    assert list(home.iterdir()) == [], "nothing is downloaded unless it is asked for"
    told: list[str] = []
    found = find_converter(True, lambda fraction, words: told.append(words), lora=True)
    assert found.root == home / f"llama.cpp-{LLAMA_CPP.commit[:8]}"
    assert told[0].startswith("downloading llama.cpp's converter, 0 MB from file://")
    files = sorted(file.relative_to(found.root).as_posix() for file in found.root.rglob("*") if file.is_file())
    assert files == sorted(wanted)
    assert [one.name for one in home.iterdir()] == [found.root.name], "no draft is left"
    (tmp_path / "source.tar.gz").unlink()
    assert find_converter(False, silent).root == found.root, "it is kept"


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"size": 10}])
def test_a_download_that_is_not_the_known_file_is_not_used(monkeypatch, tmp_path, home, changes):
    served(
        monkeypatch,
        tmp_path,
        packed([f"{INSIDE}/conversion/__init__.py"]) + b"more",
        **({"sha256": "0" * 64} | changes),
    )
    with pytest.raises(WorkbenchError, match="is not the file that the workbench knows .* It was not used"):
        find_converter(True, silent)
    assert list(home.iterdir()) == []


def test_a_download_that_fails_is_said_in_words(monkeypatch, tmp_path, home):
    served(monkeypatch, tmp_path, b"")
    (tmp_path / "source.tar.gz").unlink()
    with pytest.raises(WorkbenchError, match="could not be downloaded .* Check the connection"):
        find_converter(True, silent)
