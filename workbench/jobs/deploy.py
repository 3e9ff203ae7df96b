"""The workbench as the user's own Space on the Hub: what would go up, and sending it.

Only the program's own files go up, and runs that are named. The token is that of the environment or of `hf auth login`.
"""

import json
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import workbench
from workbench.core.errors import WorkbenchError
from workbench.core.hub_hardware import FOR_SPACES, Hardware
from workbench.core.names import is_name
from workbench.jobs import archives
from workbench.store.archive_rules import ABOUT
from workbench.store.hub_errors import push_errors
from workbench.store.runs import runs_folder
from workbench.store.space import on_space

ROOT = Path(workbench.__file__).parent.parent
ARCHIVES = "archives"
"""The folder of a Space with the runs that were sent along."""

_TOP = ("app.py", "requirements.txt", "README.md", "LICENSE", "CHANGELOG.md")
_FOLDERS = ("workbench", "presets", "assets")
_SUFFIXES = (
    ".py", ".css", ".js", ".svg", ".toml", ".json", ".jsonl", ".parquet", ".safetensors", ".jinja", ".txt", ".md", ".png",
)  # fmt: skip
_SPACE = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True)
class Upload:
    """A file that goes up. path: in the Space. bytes: its size."""

    path: str
    bytes: int
    source: Path


@dataclass(frozen=True)
class Plan:
    """What would be done. space: its name, with or without its owner. sleep: seconds without a visit until it sleeps."""

    space: str
    hardware: Hardware
    sleep: int
    public: bool
    uploads: tuple[Upload, ...]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.uploads)

    @property
    def words(self) -> list[str]:
        """All that a person should know before it is done, in sentences."""
        visible = "public: anybody sees it and asks its demo" if self.public else "private: only you can open it"
        told = [
            f"The Space {self.space} is {visible}. {len(self.uploads)} files, {self.bytes / 1e6:.1f} MB.",
            f"It runs on {self.hardware.words}.",
        ]
        if self.hardware.price:
            told.append(
                f"After {self.sleep / 60:.0f} minutes without a visit it sleeps, and costs nothing until it is opened."
            )
        told.append(
            "To stop it at once: “Pause this Space” in its settings, or `hf spaces pause`. Its disk is lost whenever it stops: attach a "
            "Storage Bucket at /data in its settings, or download runs as archives."
        )
        return told

    def as_json(self) -> dict[str, Any]:
        files = [{"path": one.path, "bytes": one.bytes} for one in self.uploads]
        return {
            "space": self.space, "private": not self.public, "hardware": asdict(self.hardware), "sleep": self.sleep,
            "bytes": self.bytes, "files": files, "words": self.words,
        }  # fmt: skip


def plan(space: str, hardware: str, sleep: int, public: bool = False, sent: Sequence[Upload] = ()) -> Plan:
    """What would go up. sent: archives of runs. Raises WorkbenchError where it cannot be done as asked."""
    if not _SPACE.fullmatch(space) or ".." in space:
        raise WorkbenchError(
            f"{space[:80]!r} is no name of a Space. It is NAME or OWNER/NAME: letters, digits, -, _ and dots."
        )
    if hardware not in FOR_SPACES:
        raise WorkbenchError(f"{hardware!r} is no hardware that is known here. There is: {', '.join(FOR_SPACES)}.")
    if sleep < 300:
        raise WorkbenchError(f"A Space sleeps after 300 seconds at the earliest, not after {sleep}.")
    return Plan(space, FOR_SPACES[hardware], sleep, public, (*program_files(), *sent))


def program_files(root: Path = ROOT) -> list[Upload]:
    """The files of the program as they lie in a clone: none that Git does not know, no links, nothing hidden."""
    missing = [name for name in (*_TOP[:3], *_FOLDERS) if not (root / name).exists()]
    if missing:
        raise WorkbenchError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not beside the program: a Space is made from a clone of its "
            "repository, not from an installed wheel. Clone it, and call `workbench deploy-space` there."
        )
    found = [root / name for name in _TOP if (root / name).is_file()]
    for folder in _FOLDERS:
        found += sorted(file for file in (root / folder).rglob("*") if file.suffix in _SUFFIXES)
    known = _known_to_git(root)
    uploads = []
    for file in found:
        name = file.relative_to(root).as_posix()
        hidden = any(part.startswith((".", "__pycache__")) for part in name.split("/"))
        linked = any(
            place.is_symlink() for place in (file, *file.parents) if place.is_relative_to(root) and place != root
        )
        if file.is_file() and not (hidden or linked) and (known is None or name in known):
            uploads.append(Upload(name, file.stat().st_size, file))
    return uploads


def _known_to_git(root: Path) -> set[str] | None:
    """The files that Git keeps track of; None where it cannot be asked, as in an unpacked archive."""
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.decode("utf-8", "surrogateescape").split("\0"))


def packed_runs(names: Sequence[str], folder: Path) -> list[Upload]:
    """Archives of runs, without logs, as they would go up."""
    uploads = []
    for name in names:
        file = folder / f"{name}.zip"
        archives.pack(name, file, notes=False)  # a Space may be public, and notes are for oneself
        uploads.append(Upload(f"{ARCHIVES}/{name}.zip", file.stat().st_size, file))
    return uploads


def deploy(wanted: Plan) -> str:
    """Create or update the Space as planned; gives its address. Raises WorkbenchError with what the Hub says against it."""
    with push_errors(wanted.space, outcome=""):
        return _sent(wanted)


def _sent(wanted: Plan) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api = HfApi()
    space = wanted.space if "/" in wanted.space else f"{api.whoami()['name']}/{wanted.space}"
    try:
        there = api.space_info(space)
    except RepositoryNotFoundError:
        there = None
    paid: dict[str, Any] = {}
    if wanted.hardware.price:
        paid = {"space_hardware": wanted.hardware.id, "space_sleep_time": wanted.sleep}
    files = [one.rfilename for one in (there.siblings or ())] if there else []
    if there is None:
        api.create_repo(space, repo_type="space", space_sdk="gradio", private=not wanted.public, **paid)
    else:
        _refuse_another(space, bool(there.private), files, wanted)
    sent = {one.path for one in wanted.uploads}
    operations: list[Any] = [CommitOperationAdd(one.path, str(one.source)) for one in wanted.uploads]
    # A module that the program has no more would still be imported.
    stale = [name for name in files if name.startswith(tuple(f"{one}/" for one in _FOLDERS)) and name not in sent]
    operations += [CommitOperationDelete(name) for name in stale]
    words = f"The workbench, version {workbench.__version__}"
    api.create_commit(space, operations, commit_message=words, repo_type="space")
    if there is not None and paid:
        api.request_space_hardware(space, wanted.hardware.id, sleep_time=wanted.sleep)  # type: ignore[arg-type]
    return f"{api.endpoint}/spaces/{space}"


def _refuse_another(space: str, is_private: bool, files: Sequence[str], wanted: Plan) -> None:
    """Raises WorkbenchError where a Space that is there already must not be written over."""
    if set(files) - {"README.md", ".gitattributes"} and "workbench/__init__.py" not in files:
        raise WorkbenchError(f"{space} is another program. Nothing was changed: take another name.")
    if is_private == wanted.public:
        now, asked = ("private", "public") if is_private else ("public", "private")
        raise WorkbenchError(
            f"{space} is {now}, and it is to be {asked}. Nothing was changed: change its visibility in its settings first, or "
            f"{'leave --public out' if wanted.public else 'say --public'}."
        )


def bring_runs(root: Path = ROOT) -> list[str]:
    """On a Space: store the runs that were sent along and are not there yet. Gives their names."""
    brought: list[str] = []
    if not on_space():
        return brought
    for file in sorted((root / ARCHIVES).glob("*.zip")):
        try:
            with zipfile.ZipFile(file) as archive:
                name = json.loads(archive.open(ABOUT).read(10_000)).get("name")
            if isinstance(name, str) and is_name(name) and not (runs_folder() / name).exists():
                brought.append(archives.unpack(file).name)
        except (WorkbenchError, OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile):
            continue  # a damaged one keeps nobody from opening the window
    return brought


@contextmanager
def prepared(space: str, hardware: str, sleep: int, public: bool, runs: Sequence[str]) -> Iterator[Plan]:
    """A plan, with the archives of runs in a folder that is gone afterwards. Raises as `plan` and `archives.pack`."""
    plan(space, hardware, sleep, public)  # before anything is packed
    with tempfile.TemporaryDirectory(prefix="workbench-space-") as folder:
        yield plan(space, hardware, sleep, public, packed_runs(runs, Path(folder)))
