"""What may lie in the archive of a run: names, sizes, and what a saved optimizer may be made of."""

import pickletools
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath

from workbench.core.errors import WorkbenchError
from workbench.core.training.methods import METHODS

ABOUT = "archive.json"
LOG = "worker.log"

MOST_FILES = 2_000
MOST_BYTES = 50 * 10**9
MOST_TEXT = 2 * 10**9  # bytes of one file that is no weights
MOST_PACKED = 200  # times; numbers in JSON pack some twenty times
MOST_NAMED = 100 * 2**20  # bytes of the pickle in a saved optimizer, which holds no tensors
UNPACKED_ANYWAY = 10**6  # bytes; a small file may be as packed as it likes

_TOP = (
    "config.json", "result.json", "adjustments.json", "chosen.json", "forked.json", "environment.json", "reward.json",
    "held_out.json", "data.json", "notes.json", "clock.json", "metrics.jsonl", "samples.jsonl", "measured.jsonl", "findings.jsonl",
)  # fmt: skip
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "README.md", "reward.json", "step.json")
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
PICKLES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt")
_CHECKPOINT = ("manifest.json", "trainer_state.json", *_ADAPTER, *_TOKENIZER, *PICKLES)

_STAGES = "|".join(METHODS)
_ADAPTER_FOLDER = re.compile(rf"adapter|adapter-at-start|adapter-last|adapter-after-(?:{_STAGES})|reward")
_CHECKPOINT_FOLDER = re.compile(rf"(?:checkpoints|best)/(?:{_STAGES})-[0-9]{{7,12}}")

# What tensors, their order and the state of random numbers are made of. Nothing of it opens, calls or imports anything else.
_BUILT_OF = re.compile(
    r"torch [A-Z][A-Za-z0-9]{2,14}Storage|torch\._utils _rebuild_(?:tensor|tensor_v2|parameter)|torch (?:bfloat16|float16|float32|int64|uint8)"
    r"|collections OrderedDict|_codecs encode|numpy(?:\._core|\.core)?(?:\.multiarray)? (?:_reconstruct|dtype|ndarray|scalar)"
    r"|(?:numpy\.dtypes) [A-Z][A-Za-z0-9]{2,14}DType"
)


def is_known(name: str, with_log: bool = True) -> bool:
    """Whether a run has a file of this name, as a path below its folder with `/` between."""
    folder, _, file = name.rpartition("/")
    if not folder:
        return file in _TOP or (with_log and file == LOG)
    if _ADAPTER_FOLDER.fullmatch(folder):
        return file in _ADAPTER or (folder != "adapter" and file in _TOKENIZER)
    return bool(_CHECKPOINT_FOLDER.fullmatch(folder)) and file in _CHECKPOINT


def checked_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in an archive, all of which a run has. Raises WorkbenchError with the first that may not be there, and why."""
    members = [one for one in archive.infolist() if not one.is_dir()]
    if len(members) > MOST_FILES:
        raise _no_run(f"it holds {len(members):,} files, and a run has at most {MOST_FILES:,}")
    seen: set[str] = set()
    for one in members:
        name = one.filename
        mode = one.external_attr >> 16
        # One that is absolute, climbs or has a backslash is no name that `is_known` knows.
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _no_run(f"{name[:80]!r} is a link or a device")
        if name in seen or not (name == ABOUT or is_known(name)):
            raise _no_run(f"{name[:80]!r} is {'there twice' if name in seen else 'no file of a run'}")
        if one.flag_bits & 1 or one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _no_run(f"{name} is encrypted, or packed in another way than Deflate")
        if one.file_size > UNPACKED_ANYWAY and one.file_size > MOST_PACKED * max(1, one.compress_size):
            raise _no_run(f"{name} would grow {one.file_size // max(1, one.compress_size):,} times")
        if PurePosixPath(name).suffix not in (".safetensors", ".pt", ".pth") and one.file_size > MOST_TEXT:
            raise _no_run(f"{name} would have {one.file_size / 1e9:.1f} GB")
        seen.add(name)
    if (total := sum(one.file_size for one in members)) > MOST_BYTES:
        raise _no_run(f"it would have {total / 1e9:.0f} GB, and the most is {MOST_BYTES / 1e9:.0f} GB")
    if "config.json" not in seen:
        raise _no_run("it has no config.json")
    return members


def _no_run(why: str) -> WorkbenchError:
    return WorkbenchError(f"This is no archive of a run that can be taken: {why}. Nothing was stored.")


def check_saved_state(file: Path) -> None:
    """Raises WorkbenchError where a saved optimizer, schedule or state of random numbers is made of anything but numbers.

    The three are pickles, which can run whatever they name. Trainer loads them with `weights_only`; this reads what they
    name, and loads nothing, before it comes to that.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if any(archive.getinfo(name).file_size > MOST_NAMED for name in pickles):
                raise ValueError("its list of tensors is too long")
            named = set[str]().union(*[_named_in(archive.read(name)) for name in pickles])
    except (zipfile.BadZipFile, ValueError, OSError, IndexError, NotImplementedError, RuntimeError) as error:
        raise WorkbenchError(f"{file.name} in the archive is damaged ({error}). Nothing was stored.") from None
    if len(pickles) != 1 or (strange := sorted(one for one in named if not _BUILT_OF.fullmatch(one))):
        found = f"names {strange[0][:80]!r}" if len(pickles) == 1 else "is not what PyTorch writes"
        raise WorkbenchError(
            f"{file.name} in the archive {found}: it could run code, so nothing of the archive was stored. Ask whoever made it "
            "for one without checkpoints."
        )


def _named_in(pickle: bytes) -> set[str]:
    """Every "module name" that a pickle names; "?" where it does not say it plainly."""
    found, said = set[str](), list[str]()
    for code, argument, _ in pickletools.genops(pickle):
        if code.name in ("GLOBAL", "INST"):
            found.add(str(argument))
        elif code.name == "STACK_GLOBAL":
            # Two texts just before it; one that comes out of the memo could be any.
            found.add(" ".join(said[-2:]) if len(said) >= 2 else "?")
        elif code.name in ("EXT1", "EXT2", "EXT4", "PERSID"):
            found.add("?")
        if isinstance(argument, str) and code.name != "GLOBAL":
            said.append(argument)
        elif code.name in ("BINGET", "LONG_BINGET", "GET"):
            said.append("?")
        elif code.name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STACK_GLOBAL", "PROTO", "FRAME"):
            said.clear()
    return found
