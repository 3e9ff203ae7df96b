"""An exported folder pushed to a repository of the user's on the Hugging Face Hub, in one commit.

The token is read by huggingface_hub alone, from the environment or the login of `hf auth login`: it is no parameter of
anything here. The library is imported on first use, because it takes a while.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Check, Upload
from workbench.core.masking import masked
from workbench.store.home import home
from workbench.store.hub_errors import push_errors

TIMEOUT_SECONDS = 20

# What holds the model itself: read by nobody, and no place for a sentence.
_NOT_WORDS = (".safetensors", ".png", ".model", "merges.txt", "tokenizer.json", "vocab.json")


def ready(upload: Upload) -> Upload:
    """The same with the owner in its name, once the Hub knows who asks and nothing speaks against it.

    Raises WorkbenchError where nobody is logged in, where the token may only read, and where the repository is public
    although a private one is wanted.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with push_errors(upload.repo):
        who = api.whoami()
        token = (who.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            raise WorkbenchError(
                "Your token for the Hub may only read. Make one that may write on https://huggingface.co/settings/tokens, run "
                "`hf auth login` with it, and try again."
            )
        found = upload if "/" in upload.repo else replace(upload, repo=f"{who['name']}/{upload.repo}")
        if api.repo_exists(found.repo):
            _refuse_public(api, found)
    return found


def push(upload: Upload, folder: Path, say: Callable[[float, str], None]) -> tuple[Upload, list[Check], list[str]]:
    """Push the files of an upload out of a folder, all of them in one commit. Also gives what was found on the Hub afterwards
    and notes.

    Raises WorkbenchError where the Hub says no, and where the files are not those that the upload lists or hold what must not
    leave. say: raises to end it, which it can until the commit begins.
    """
    refuse_secrets(folder, upload)
    from huggingface_hub import CommitOperationAdd, HfApi

    say(0.9, "asking the Hub")
    upload = ready(upload)
    api = HfApi()
    with push_errors(upload.repo):
        api.create_repo(upload.repo, private=upload.private, exist_ok=True)
        before = _refuse_public(api, upload)
        say(0.92, f"pushing {len(upload.files)} files to {upload.repo}")
        done = api.create_commit(
            upload.repo,
            [CommitOperationAdd(name, folder / name) for name, _ in upload.files],
            commit_message="Exported by the alignment workbench",
        )
    others = sorted(_names(before) - {name for name, _ in upload.files} - {".gitattributes"})
    notes = [f"{upload.repo} holds files of before, which stay: {', '.join(others[:12])}."] if others else []
    return replace(upload, url=done.commit_url), [_arrived(api, upload, done.oid)], notes


def _arrived(api: Any, upload: Upload, commit: str) -> Check:
    """Whether all files are in the commit, as the Hub lists it. What was pushed stays so, whatever it says."""
    try:
        with push_errors(upload.repo):
            there = _names(api.model_info(upload.repo, revision=commit, timeout=TIMEOUT_SECONDS))
    except WorkbenchError:
        return Check("On the Hub", "it did not say what arrived; look at the repository", None)
    missing = [name for name, _ in upload.files if name not in there]
    if missing:
        return Check("On the Hub", f"{', '.join(missing)} did not arrive", False)
    return Check("On the Hub", f"all {len(upload.files)} files are in the commit", True)


def refuse_secrets(folder: Path, upload: Upload) -> None:
    """Raises WorkbenchError where the files are not those of the upload, or one for people holds a token or a place of this machine."""
    for name, size in upload.files:
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            raise WorkbenchError(f"{name} is not the file that was looked at. Nothing was pushed: export it again.")
        if name.endswith(_NOT_WORDS):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if masked(text) != text:
            raise WorkbenchError(f"{name} holds what looks like a token or password. Nothing was pushed: take it out.")
        if f"{home()}{os.sep}" in text:
            raise WorkbenchError(f"{name} names a folder of this machine. Nothing was pushed: take it out.")


def _refuse_public(api: Any, upload: Upload) -> Any:
    """What the Hub says of a repository that is there. Raises WorkbenchError where it is seen by more people than was asked for."""
    info = api.model_info(upload.repo, timeout=TIMEOUT_SECONDS)
    if upload.private and not info.private:
        raise WorkbenchError(
            f"{upload.repo} is there already and public, and a private repository was asked for. Nothing was pushed: name another "
            "one, make it private on the Hub, or turn Private off."
        )
    return info


def _names(info: Any) -> set[str]:
    return {one.rfilename for one in info.siblings or []}
