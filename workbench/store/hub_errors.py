"""How the Hugging Face Hub says no, in words. Only here are the errors of its library told apart.

By the names of their classes, so that the library need not be imported. Its own text can hold addresses with a signature,
so nothing of it is passed on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from workbench.core.errors import WorkbenchError

Kind = Literal["model", "dataset"]

_PAGES: dict[Kind, str] = {"model": "https://huggingface.co/", "dataset": "https://huggingface.co/datasets/"}
_INSTEAD: dict[Kind, str] = {
    "model": "take the demo model, or one that is on this machine already",
    "dataset": "upload a file or use the demo data",
}
_WORTH_WAITING = (429, 500, 502, 503, 504)


@contextmanager
def hub_errors(kind: Kind, id: str, revision: str | None) -> Iterator[None]:
    """Every way in which the Hub says no, as a WorkbenchError. Anything else is a bug and passes."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        message = hub_error_message(error, kind, id, revision)
        if message is None:
            raise
        raise WorkbenchError(message) from None


@contextmanager
def push_errors(repo: str, outcome: str = "Nothing was pushed.") -> Iterator[None]:
    """The same of what is sent to a repository. outcome: what became of it, after the reason."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        message = push_error_message(error, repo)
        if message is None:
            raise
        raise WorkbenchError(f"{message} {outcome}".strip()) from None


def push_error_message(error: Exception, repo: str) -> str | None:
    """What an error of the library means for a person who wants to push; None where it is none of the Hub's."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "OfflineModeIsEnabled" in kinds:
        return "HF_HUB_OFFLINE is set, so the Hub is not asked. Unset it, start again and push then."
    login = "Run `hf auth login` on this machine with a token that may write, or set HF_TOKEN, and try again."
    if "LocalTokenNotFoundError" in kinds:
        return f"You are not logged in to the Hub. {login}"
    if status == 401 and "RepositoryNotFoundError" not in kinds:
        return f"The Hub does not know your token: it is wrong, or was revoked. {login}"
    if status == 402:
        return f"The Hub asks for a paid plan for {repo}. See https://huggingface.co/pricing; nothing was charged."
    if status == 403 or "XetAuthenticationError" in kinds:
        return (
            f"You may not write to {repo}. Is it your account, or an organization in which you may? Does your token cover it? "
            "Look at https://huggingface.co/settings/tokens, or name another repository."
        )
    if kinds & {"RepositoryNotFoundError", "HFValidationError"} or status in (400, 404, 422):
        return f"The Hub does not take {repo}: there is no such owner, or the name cannot be one. Check owner/name."
    if kinds & {"ConnectionError", "TransportError", "TimeoutError", "Timeout"}:
        return "The Hub cannot be reached. Check the network connection and try again."
    if str(error).startswith("Invalid metadata in README.md"):
        return (
            "The Hub does not take the front matter of README.md: put right what stands between its two lines of ---."
        )
    if "RuntimeError" in kinds:  # as the storage of large files says that a transfer broke off
        return f"The files could not be sent to {repo}. Check the network connection and try again."
    if "HfHubHTTPError" in kinds or "HTTPStatusError" in kinds:
        wait = "Wait a few minutes and try again." if status in _WORTH_WAITING else "Try again later."
        return f"The Hub refused what was pushed to {repo} (HTTP status {status or 'unknown'}). {wait}"
    return None


def hub_error_message(error: Exception, kind: Kind, id: str, revision: str | None) -> str | None:
    """What an error of the library means for a person; None where it is none of the Hub's."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if "OfflineModeIsEnabled" in kinds or "OfflineModeIsEnabled" in text:
        return (
            f"{id} cannot be read: HF_HUB_OFFLINE is set, so the Hub is not asked. Unset it and start again, or "
            f"{_INSTEAD[kind]}."
        )
    if "GatedRepoError" in kinds or "is a gated dataset" in text:
        return (
            f"{id} is gated: its owner asks you to accept terms. Accept them on {_PAGES[kind]}{id}, run `hf auth login` on "
            "this machine, and try again."
        )
    if "RevisionNotFoundError" in kinds or text.startswith("Revision "):
        return f"{id} has no revision {revision!r}. Leave the revision empty for the newest."
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return (
            f"There is no {kind} {id} on the Hub, or it is private. Check the spelling (owner/name); for a private {kind} "
            "run `hf auth login` with an account that may read it."
        )
    # What is not in the cache: it could not be asked for. A kind of EntryNotFoundError, so it comes first.
    if kinds & {"ConnectionError", "TransportError", "TimeoutError", "Timeout", "LocalEntryNotFoundError"}:
        return (
            f"{id} cannot be read: it is not on this machine, and the Hub cannot be reached. Check the network connection "
            f"and try again; without one, {_INSTEAD[kind]}."
        )
    if kind == "dataset":
        return _dataset_message(error, kinds, id) or _refusal(error, kinds, id)
    if "EntryNotFoundError" in kinds:
        return f"{id} has no config.json, so it is not a Transformers model."
    return _refusal(error, kinds, id)


def _dataset_message(error: Exception, kinds: set[str], id: str) -> str | None:
    """What only the files of a dataset can be."""
    converted = "refs/convert/parquet"
    if "scripts are no longer supported" in str(error):
        return (
            f"{id} can only be loaded by running its own program code, and that is never done. The Hub keeps a "
            f"converted copy of many such datasets: try the revision {converted}."
        )
    if kinds & {"DataFilesNotFoundError", "EmptyDatasetError"}:
        return f"{id} holds no data files that can be read (JSON, CSV, Parquet). Look at its files on its page."
    if kinds & {"DatasetGenerationError", "CastError", "ArrowInvalid", "ArrowException", "FileFormatError"}:
        return (
            f"The files of {id} cannot be read as one table ({type(error).__name__}). Try another configuration, or "
            f"the revision {converted}."
        )
    return None


def _refusal(error: Exception, kinds: set[str], id: str) -> str | None:
    if not kinds & {"HfHubHTTPError", "HTTPStatusError", "HFValidationError"}:
        return None
    status = getattr(getattr(error, "response", None), "status_code", None)
    wait = (
        "Wait a few minutes and try again." if status in _WORTH_WAITING else "Check the spelling, or try again later."
    )
    return f"The Hub refused to send {id} (HTTP status {status or 'unknown'}). {wait}"
