"""What a run is doing, and what to say of it."""

from typing import Literal

from workbench.core.errors import TROUBLE_PAGE

State = Literal["queued", "running", "lost", "finished", "stopped", "paused", "failed", "unreadable"]
"""unreadable: a file that says what the run is, or how it ended, is damaged. Nothing is known of such a run but why."""


def state(
    alive: bool, outcome: Literal["finished", "stopped", "paused", "failed"] | None, waits: bool = False
) -> State:
    """What a run is doing, from the only facts that say so: how it ended, whether its process lives, and whether it
    waits in the queue."""
    if outcome:
        return outcome
    if alive:
        return "running"
    return "queued" if waits else "lost"


CAN_RESUME: tuple[State, ...] = ("lost", "paused", "failed")

WAITS_FOR_WORD = "WORKBENCH_WAITS_FOR_WORD"
"""Set for a worker that begins when BEGIN comes on its standard input. Where that closes before, whoever started it died
before its pid was on disk: nobody could see such a worker or stop it, so it ends."""

BEGIN = "begin"


_KILLED = (-9, 137)


def why_lost(exit_code: int | None, log_tail: str, checkpoint: str = "", disk_is_full: bool = False) -> str:
    """What happened to a run whose worker is gone without a word, why it matters and what to do.

    checkpoint: where it can go on, in words; "" where there is none. exit_code: as subprocess gives it (negative: killed by
    that signal), or None where nobody was there to see. disk_is_full: now, so that the worker may have had no room to say so.
    """
    if exit_code in _KILLED:
        happened = (
            "The worker was killed from outside. On Linux that is most often the system, out of memory: "
            "then a smaller batch size or a smaller max length helps."
        )
    elif exit_code in (-11, -6, -7, 139, 134):
        happened = f"The worker crashed inside a native library. Its last lines below may name it; {TROUBLE_PAGE} has what is met most often."
    elif exit_code is None:
        happened = "The worker is gone: the machine was switched off, or the process was ended from outside."
    else:
        happened = f"The worker ended with code {exit_code} before it could say why."
    if "No space left" in log_tail or (disk_is_full and exit_code not in _KILLED):
        happened = "The disk is full, so the worker could not write any further. Free some space first."
    if checkpoint:
        return (
            f"{happened} Nothing is lost but the steps since its last checkpoint. Resume continues from {checkpoint}."
        )
    return (
        f"{happened} What it logged until then is kept. It had no checkpoint yet: Resume starts it from its first step."
    )
