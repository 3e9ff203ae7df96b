"""How full and how busy the card is, or the machine where there is none, and who uses it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from workbench.jobs.card import read_card, read_card_at_work

# What is shown moves in such steps, so that a line that says the same is not sent again and again.
_LOAD, _POWER = 5, 10  # percent, watts

OTHERS = "other programs"

# Less than this is not worth naming.
_LEAST = 100 * 2**20  # bytes


@dataclass(frozen=True)
class Meter:
    """what: "GPU" or "RAM". used, total: bytes. load: percent of the card, or of all cores. temperature: degrees Celsius; power: watts.

    None: not known here. users: who uses how many bytes, the largest first; None where only that it does is known.
    """

    what: str
    used: int
    total: int
    load: int | None
    temperature: int | None = None
    power: int | None = None
    users: tuple[tuple[str, int | None], ...] = ()


def read_meter(ours: Mapping[int, str]) -> Meter:
    """The meter as it is now. ours: the name of each process of the workbench that may use the card, by its id."""
    card, at_work = read_card(), read_card_at_work()
    if card is None or at_work is None:
        machine = psutil.virtual_memory()
        used = {name: _resident(pid) for pid, name in ours.items()}
        users = _largest({name: size for name, size in used.items() if size})
        return Meter(
            "RAM", machine.total - machine.available, machine.total, _rounded(psutil.cpu_percent(), _LOAD), users=users
        )
    return Meter(
        "GPU",
        card.used,
        card.total,
        _rounded(at_work.load, _LOAD),
        at_work.temperature,
        _rounded(at_work.power, _POWER),
        card_users(at_work.users, ours),
    )


def card_users(on_card: Mapping[int, int | None], ours: Mapping[int, str]) -> tuple[tuple[str, int | None], ...]:
    """Who uses the card. In a container the driver counts processes as the machine outside does: then none of them is one of
    ours, nobody can say which is which, and nobody is named."""
    if ours and on_card and not on_card.keys() & ours.keys():
        return ()
    found: dict[str, int | None] = {}
    for pid, size in on_card.items():
        name = ours.get(pid, OTHERS)
        before = found.get(name, 0)
        found[name] = None if size is None or before is None else before + size
    return _largest(found)


def _largest(found: Mapping[str, int | None]) -> tuple[tuple[str, int | None], ...]:
    named = [(name, size) for name, size in found.items() if size is None or size >= _LEAST]
    return tuple(sorted(named, key=lambda one: -(one[1] or 0)))


def _resident(pid: int) -> int:
    """Bytes of the machine's memory that a process has; 0 where it is gone."""
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _rounded(value: float | None, step: int) -> int | None:
    return None if value is None else step * round(value / step)
