"""The queue of runs, as HTML."""

from collections.abc import Sequence

from workbench.store.queue import Hold
from workbench.ui.parts import Html, card, notice, table, text

Waiting = tuple[str, str, str]
"""Name, method and model of a run that waits."""


def queue_html(waiting: Sequence[Waiting], held: Hold | None, busy: str | None, taken: str = "") -> Html:
    """What waits, in its order, and what for. busy: the run that has the device. taken: why it is not free without one."""
    rows = [(f"{place}. {name}", *rest) for place, (name, *rest) in enumerate(waiting, 1)]
    first = waiting[0][0]
    if held:
        words = notice("info", "The queue is on hold", held.why)
    elif busy:
        words = text(f"{first} starts when {busy} has ended, also when this window is closed.")
    elif taken:
        words = notice("info", f"{first} starts when the device is free", taken)
    else:
        words = text(f"{first} starts in a moment.")
    return card("Waiting for the device", words, table(["Run", "Method", "Model"], rows))


def queue_position_message(name: str, waiting: Sequence[str], held: Hold | None) -> str:
    """Where a run stands in the queue, and when it starts."""
    if name not in waiting:
        return "It starts in a moment."
    place = waiting.index(name)
    before = "It is the next one." if place == 0 else f"{place} {'run comes' if place == 1 else 'runs come'} before it."
    if held:
        return f"{before} The queue is on hold, so it waits until you resume it."
    return f"{before} It starts by itself when the device is free, also when this window is closed."
