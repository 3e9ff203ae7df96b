"""Where the workbench runs, told by the environment, and what follows: five situations, and who may do what in each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["local-gpu", "local-cpu", "private-space", "public-space", "zero-gpu"]

OWNERS = "WORKBENCH_OWNERS"
"""Names on the Hub, separated by commas, of those who may do everything beside the author of a Space: for an organisation."""

_SIGN_IN = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")

TITLES: dict[Kind, str] = {
    "local-gpu": "Your machine, with a graphics card",
    "local-cpu": "Your machine, without a graphics card",
    "private-space": "A private Space",
    "public-space": "A public Space",
    "zero-gpu": "A ZeroGPU Space",
}


@dataclass(frozen=True)
class Situation:
    """has_visitors: people open the window who are not its owner, so only `owners`, signed in through the Hub, may change anything.

    can_sign_in: the Hub's sign-in is set up here. is_hidden: whether strangers cannot open the Space; None where that is not known.
    hardware: as the Space names it. owners: names on the Hub.
    """

    kind: Kind
    owners: frozenset[str] = frozenset()
    has_visitors: bool = False
    can_sign_in: bool = False
    is_hidden: bool | None = None
    hardware: str = ""

    def is_owner(self, name: str | None) -> bool:
        """Whether somebody with this name on the Hub (None: not signed in) may do everything."""
        return not self.has_visitors or (name is not None and name in self.owners)

    @property
    def no_training(self) -> str:
        """Why nothing can train here, and what to do instead; "" where it can."""
        if self.kind != "zero-gpu":
            return ""
        return (
            "This is a ZeroGPU Space: its card is lent for a minute at a time, and a run needs it from beginning to end. Train as "
            "a Hugging Face Job, or on your own machine, and bring the run here as an archive."
        )


def recognise(environment: Mapping[str, str], has_card: bool, is_hidden: bool | None = None) -> Situation:
    """The situation, as the environment of the process tells it.

    has_card: an NVIDIA card is here, where it is no Space. is_hidden: see `Situation`; a Space of which it is not known counts as public.
    """
    space = environment.get("SPACE_ID", "")
    if not space:
        return Situation("local-gpu" if has_card else "local-cpu")
    zero = environment.get("SPACES_ZERO_GPU", "").lower() not in ("", "0", "false")
    kind: Kind = "zero-gpu" if zero else "private-space" if is_hidden else "public-space"
    author = environment.get("SPACE_AUTHOR_NAME") or space.partition("/")[0]
    more = (name.strip() for name in environment.get(OWNERS, "").split(","))
    # Gradio mocks the sign-in where SYSTEM says otherwise, and signs its cookie with the secret: without either it is nobody's.
    signs_in = environment.get("SYSTEM") == "spaces" and all(environment.get(name) for name in _SIGN_IN)
    return Situation(
        kind,
        frozenset(name for name in (author, *more) if name),
        has_visitors=not is_hidden,
        can_sign_in=signs_in,
        is_hidden=is_hidden,
        hardware=environment.get("ACCELERATOR", ""),
    )
