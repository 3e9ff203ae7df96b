"""What a Space knows of itself: whether strangers can open it, and whether what it stores outlives it."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

DATA = Path("/data")
"""Where the Hub's pages propose to mount a Storage Bucket."""

_PATIENCE = 5.0  # seconds
_REFUSED = (401, 403, 404)

StatusOf = Callable[[str], int | None]


def on_space() -> bool:
    """Whether this is a Hugging Face Space, which anybody may visit."""
    return bool(os.environ.get("SPACE_ID"))


def is_hidden(space: str, host: str, status_of: StatusOf) -> bool | None:
    """Whether strangers are kept out of a Space; None where that cannot be found out.

    Its environment does not say, so this asks as a stranger would, without a token: the Hub for the repository, and the Space
    for its page. Both have to refuse: the page of a protected Space is open although its repository is not. status_of: the HTTP
    status of an address, None where there was no answer.
    """
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if not host or (listed := status_of(f"{hub}/api/spaces/{space}")) is None:
        return None
    if listed == 200:
        return False
    shown = status_of(f"https://{host}/") if listed in _REFUSED else None
    if shown is not None and 200 <= shown < 300:
        return False
    return True if shown in _REFUSED else None


def status_as_stranger(address: str) -> int | None:
    """The HTTP status that somebody without a token or cookie gets. A redirect counts as what it is."""

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        with build_opener(Stay).open(Request(address), timeout=_PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None


def bucket(at: Path = DATA) -> Path | None:
    """A storage that is mounted where buckets are, and can be written to; None where there is none."""
    return at if at.is_dir() and os.path.ismount(at) and os.access(at, os.W_OK) else None


def outlives_space(folder: Path) -> bool:
    """Whether a folder lies on something that is mounted into the machine, rather than on the disk that goes with it."""
    return any(os.path.ismount(place) for place in (folder, *folder.parents) if place != place.parent)
