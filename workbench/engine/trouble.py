"""What went wrong in a worker, in plain words: what happened, and what to do."""

import errno

from workbench.core.errors import WorkbenchError

_MEMORY_REMEDIES = (
    "Take a smaller batch size with more gradient accumulation (the effective batch stays), a shorter longest example, "
    "or a smaller model."
)


class Diverged(WorkbenchError):
    """The loss is not a number any more."""


def explain(error: BaseException) -> str:
    """One to three sentences about any error that ended a worker."""
    if isinstance(error, WorkbenchError):
        return str(error)
    text = str(error).strip() or type(error).__name__
    if is_out_of_room(error):
        return "The disk is full, so nothing more could be written. Make room and start again; what was saved until then is kept."
    if is_out_of_memory(error):
        where = "The card has" if "CUDA" in text else "The machine has"
        return f"{where} no memory left for this run. {_MEMORY_REMEDIES}"
    if "CUDA" in text or "cuda" in text:
        return f"The card reported an error: {text.splitlines()[0][:200]} Starting again often helps; if not, restart the machine."
    return (
        f"The worker met an error that it does not know: {type(error).__name__}: {text.splitlines()[0][:300]} "
        "The whole of it is in worker.log in the run's folder."
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
