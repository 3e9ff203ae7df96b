"""llama.cpp's converter to GGUF, where there is one: no package of its own carries it, and it fits only one version of `gguf`.

It is a package called `conversion`, with a `gguf-py` of its own beside it in llama.cpp's folder.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from workbench.core.errors import WorkbenchError
from workbench.store.home import home, writing

FOLDER_VARIABLE = "LLAMA_CPP_ROOT"
"""Names llama.cpp's folder; auto-round calls it so too."""

SCRIPT = "convert_hf_to_gguf.py"
LORA_SCRIPT = "convert_lora_to_gguf.py"

FITS = {"auto-round": "0.14.2", "gguf": "0.19.0"}
"""The versions that carry a converter and fit each other: 0.16.1 of auto-round does not for Qwen, Gemma and Granite."""

_IN_AUTO_ROUND = "export/export_to_gguf"


@dataclass(frozen=True)
class Source:
    """llama.cpp as a release of llama-cpp-python on PyPI carries it. size: bytes. commit: of llama.cpp."""

    address: str
    size: int
    sha256: str
    commit: str
    inside: str

    @property
    def words(self) -> str:
        return f"{self.size / 1e6:.0f} MB from {self.address}"


# Nothing of llama-cpp-python itself is used, and nothing is built: its source is where PyPI keeps a whole llama.cpp, under a
# checksum. The parts of llama.cpp's own repository have none.
LLAMA_CPP = Source(
    "https://files.pythonhosted.org/packages/ec/e9/e7de2b0463ea3ffbf0ede6cb21b58c1258a8f6521aae45ca773a59fe7cf3/"
    "llama_cpp_python-0.3.36.tar.gz",
    76_589_250,
    "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
    "0c1e57098bba43ac29e6e3b677cdceebdd22334f",
    "llama_cpp_python-0.3.36/vendor/llama.cpp",
)
_TAKEN = ("conversion", "gguf-py/gguf", "LICENSE", SCRIPT, LORA_SCRIPT)
_PIECE = 1 << 20


@dataclass(frozen=True)
class Converter:
    """root: the folder with the package `conversion`. title: which one it is, for people."""

    root: Path
    title: str

    @property
    def lora_script(self) -> Path | None:
        found = self.root / LORA_SCRIPT
        return found if found.is_file() else None


def find_converter(download: bool, say: Callable[[float, str], None], lora: bool = False) -> Converter:
    """The converter to use: the user's own, the installed one, or llama.cpp's downloaded into the home.

    lora: one that converts adapters too. Raises WorkbenchError with what was found and what to install.
    """
    named = _named()
    if named:
        return _checked(*named, lora)
    wrong = "auto-round's copy converts whole models only" if lora else _wrong_versions()
    if not wrong:
        return Converter(_auto_round_folder() / _IN_AUTO_ROUND, f"auto-round {FITS['auto-round']}")
    kept = home() / f"llama.cpp-{LLAMA_CPP.commit[:8]}"
    if download and not kept.is_dir():
        _download(LLAMA_CPP, kept, say)
    if kept.is_dir():
        return _checked(kept, f"llama.cpp {LLAMA_CPP.commit[:8]}", lora)
    packages = " ".join(f"{name}=={version}" for name, version in FITS.items())
    install = "" if lora else f"Install one with `pip install {packages} sentencepiece`. "
    raise WorkbenchError(
        f"There is no converter from Hugging Face's format to GGUF here: no {SCRIPT} on PATH, no {FOLDER_VARIABLE}, and {wrong}. "
        f"{install}{'Name' if lora else 'Or name'} llama.cpp's folder in {FOLDER_VARIABLE}, or let the workbench download llama.cpp's "
        f"own scripts with --download-converter ({LLAMA_CPP.words}, checked against its SHA-256)."
    )


def _named() -> tuple[Path, str] | None:
    """llama.cpp's folder as the user names it."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder).expanduser(), f"the llama.cpp of {FOLDER_VARIABLE}"
    found = shutil.which(SCRIPT)
    return (Path(found).resolve().parent, "the llama.cpp on PATH") if found else None


def _checked(root: Path, title: str, lora: bool) -> Converter:
    converter = Converter(root, title)
    if not (root / "conversion" / "__init__.py").is_file():
        raise WorkbenchError(
            f"{title[0].upper()}{title[1:]} ({root}) has no package `conversion`, which llama.cpp's converter is since May 2026. Name the folder of a newer "
            f"llama.cpp in {FOLDER_VARIABLE}."
        )
    if lora and converter.lora_script is None:
        raise WorkbenchError(
            f"{title[0].upper()}{title[1:]} ({root}) has no {LORA_SCRIPT}. Name the folder of a whole llama.cpp in {FOLDER_VARIABLE}."
        )
    return converter


def _wrong_versions() -> str:
    """Why the installed packages cannot convert, as a part of a sentence; "" where they can."""
    for name, wanted in FITS.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return f"{name} is not installed"
        if found != wanted:
            return f"{name} {found} is installed, whose converter is not known to fit: {name} {wanted} is"
    return "" if _auto_round_folder().is_dir() else "auto-round has no files"


def _auto_round_folder() -> Path:
    """Where auto-round lies. It is not imported: that takes all of its libraries."""
    found = importlib.util.find_spec("auto_round")
    return Path(found.origin).parent if found and found.origin else Path()


def _download(source: Source, target: Path, say: Callable[[float, str], None]) -> None:
    """Download, check and unpack what is needed into `target`, whole or not at all."""
    words = f"downloading llama.cpp's converter, {source.words}"
    with writing("llama.cpp's converter"), tempfile.TemporaryDirectory(dir=home(), prefix=".llama.cpp-") as folder:
        file = Path(folder) / "source.tar.gz"
        with open(file, "wb") as kept:
            _fetch(source, kept, lambda done: say(done, words))
        draft = Path(folder) / "draft"
        with tarfile.open(file) as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if not member.isfile() or not place.is_relative_to(source.inside):
                    continue
                inside = place.relative_to(source.inside)
                if ".." in inside.parts or not any(inside.is_relative_to(part) for part in _TAKEN):
                    continue
                content = archive.extractfile(member)
                assert content is not None, "it is a file"
                (draft / inside).parent.mkdir(parents=True, exist_ok=True)
                (draft / inside).write_bytes(content.read())
        os.replace(draft, target)


def _fetch(source: Source, kept: IO[bytes], say: Callable[[float], None]) -> None:
    """The archive, byte for byte the one that is known. Raises WorkbenchError where it is another one."""
    digest, got = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(source.address, timeout=60) as answer:
            while piece := answer.read(_PIECE):
                got += len(piece)
                digest.update(piece)
                kept.write(piece)
                say(min(1.0, got / source.size))
                if got > source.size:
                    break
    except OSError as error:
        raise WorkbenchError(
            f"{source.address} could not be downloaded ({getattr(error, 'reason', '') or error}). Check the connection, or name "
            f"llama.cpp's folder in {FOLDER_VARIABLE}."
        ) from None
    if digest.hexdigest() != source.sha256:
        raise WorkbenchError(
            f"What came from {source.address} is not the file that the workbench knows ({got:,} bytes, SHA-256 "
            f"{digest.hexdigest()[:16]}…, expected {source.size:,} bytes, {source.sha256[:16]}…). It was not used."
        )
