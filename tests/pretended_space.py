"""A Space, pretended: the environment that one gives, and cookies of people who signed in through the Hub."""

import base64
import hashlib
import json
import time

import itsdangerous
import pytest

HOST = "me-bench.hf.space"
SECRET = "of the sign-in"
SPACE = {
    "SPACE_ID": "me/bench",
    "SPACE_AUTHOR_NAME": "me",
    "SPACE_HOST": HOST,
    "SYSTEM": "spaces",
    "OAUTH_CLIENT_ID": "client",
    "OAUTH_CLIENT_SECRET": SECRET,
    "OAUTH_SCOPES": "openid profile",
    "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
    # Nobody is there to say whether it is private.
    "HF_ENDPOINT": "http://127.0.0.1:9",
}


def become_space(patch: pytest.MonkeyPatch, hidden: bool | None = None, **environment: str) -> None:
    """From now on this process is a Space. hidden: what is known of whether strangers can open it."""
    import gradio.oauth

    from workbench.jobs import situation

    for name, value in (SPACE | environment).items():
        patch.setenv(name, value)
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL"):
        patch.setattr(gradio.oauth, name, SPACE[name])  # read when Gradio was imported
    patch.setattr(situation, "privacy", situation.Privacy(lambda: hidden))
    if hidden is not None:
        situation.privacy.ask()


def cookie(name: str, lasts: float = 3600.0, secret: str = SECRET) -> str:
    """What the browser of somebody who signed in sends as its cookie `session`."""
    told = {"oauth_info": {"expires_at": time.time() + lasts, "userinfo": {"preferred_username": name}}}
    key = hashlib.sha256(f"{secret}-v4".encode()).hexdigest()
    signed = itsdangerous.TimestampSigner(key).sign(base64.b64encode(json.dumps(told).encode()))
    return signed.decode()
