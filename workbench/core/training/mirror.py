"""Where the numbers of a run are also sent to, and what has to be there before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mirror:
    """package: to install and to import. online: whether it sends what it is given to somebody else's machine."""

    title: str
    package: str
    online: bool = False


MIRRORS = {
    "tensorboard": Mirror("TensorBoard", "tensorboard"),
    "trackio": Mirror("Trackio", "trackio"),
    "wandb": Mirror("Weights & Biases", "wandb", online=True),
}

MIRROR_TITLES = {"none": "none"} | {name: mirror.title for name, mirror in MIRRORS.items()}

STAYS_HERE = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE with which nothing leaves this machine and no key is needed."""


def mirror_problem(name: str, installed: bool, environment: Mapping[str, str], has_login: bool) -> str:
    """Why a mirror could not be used, and what to do; "" where it can.

    has_login: whether the key of the online one lies where its own login puts it.
    """
    if name not in MIRRORS:
        return ""
    mirror = MIRRORS[name]
    if not installed:
        return f"{mirror.title} is not installed here. Run `pip install {mirror.package}`, or set Mirror to none."
    if not mirror.online or environment.get("WANDB_MODE", "").lower() in STAYS_HERE:
        return ""
    if not has_login and not environment.get("WANDB_API_KEY"):
        return (
            f"{mirror.title} knows no key of yours. Log in with `wandb login`, or set WANDB_MODE=offline so that nothing leaves this "
            "machine, or set Mirror to none."
        )
    return ""
