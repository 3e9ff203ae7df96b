"""What went wrong in a worker, in plain words: what happened, and what to do."""

import errno
import re
from pathlib import Path

from workbench.core.errors import TROUBLE_PAGE, WorkbenchError

_MEMORY_REMEDIES = (
    "Take a smaller batch size with more gradient accumulation (the effective batch stays), a smaller max length, "
    "or a smaller model."
)

_MORE = f"What is met most often, and what to do about it: {TROUBLE_PAGE}."

_ROOT = r"(?:~?/|[A-Za-z]:[\\/])"
# Between quotes a path may hold spaces; the closing quote may have been cut off. "https://" is none.
_PATH = re.compile(rf"""(['"`]){_ROOT}.*?(?:\1|$)|(?<![\w.:/~]){_ROOT}[^\s'"`,;)]*""")


class StaleReference(Exception):
    """What was kept of a reference was not of this one; the worker starts itself again, with nothing known."""


class Diverged(WorkbenchError):
    """The loss is not a number any more."""


def explain(
    error: BaseException,
    who: str = "The worker",
    log: str = "worker.log in the run's folder",
    no_memory: str = f"for this run. {_MEMORY_REMEDIES}",
) -> str:
    """One to three sentences about any error that ended a worker, or another process with a model.

    log: where all that it printed is. no_memory: how the sentence "... has no memory left" ends.
    """
    if isinstance(error, WorkbenchError):
        return str(error)
    text = str(error).strip() or type(error).__name__
    if is_out_of_room(error):
        return "The disk is full, so nothing more could be written. Make room and start again; what was saved until then is kept."
    if is_out_of_memory(error):
        where = "The card has" if "CUDA" in text else "The machine has"
        return f"{where} no memory left {no_memory}"
    if "CUDA" in text or "cuda" in text:
        return (
            f"The card reported an error: {text.splitlines()[0][:200]} Starting again often helps; if not, restart the machine. "
            f"{_MORE}"
        )
    return (
        f"{who} met an error that it does not know: {type(error).__name__}: {text.splitlines()[0][:300]} "
        f"The whole of it is in {log}. {_MORE}"
    )


def is_out_of_room(error: BaseException) -> bool:
    """A disk that is full, or a quota that is used up, whichever library met it.

    safetensors hands on the system's words; PyTorch's writer only says that it could not write.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error)
    return any(f"os error {code}" in text for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)) or (
        "PytorchStreamWriter failed" in text or "unexpected pos" in text
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Out of memory, on the card or on the machine."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError")
        and "out of memory" in text
        or "CUDA out of memory" in text
        or "DefaultCPUAllocator" in text
        or "Cannot allocate memory" in text
    )


def without_paths(text: str) -> str:
    """A library's words with the last part of each path alone: where a folder lies is for nobody else to read."""

    def last_part(found: re.Match[str]) -> str:
        quote = found[1] or ""
        parts = re.split(r"[\\/]", found[0].strip(quote).rstrip("\\/.:"))
        return f"{quote}.../{parts[-1]}{quote}" + ("." if found[0].endswith(".") else "")

    return _PATH.sub(last_part, text.replace(str(Path.home()), "~"))
