"""Five situations, told by the environment, and what is known of a Space's privacy and storage."""

import http.server
import os
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from pretended_space import SPACE, become_space

from workbench.core.errors import WorkbenchError
from workbench.core.situation import TITLES, recognise
from workbench.jobs import queue, situation, training
from workbench.store import home, space
from workbench.ui import zero_gpu

OF_SPACE = {name: value for name, value in SPACE.items() if name != "HF_ENDPOINT"}


@pytest.mark.parametrize(
    ("environment", "card", "hidden", "kind", "has_visitors"),
    [
        ({}, True, None, "local-gpu", False),
        ({}, False, None, "local-cpu", False),
        (OF_SPACE, True, True, "private-space", False),
        (OF_SPACE, False, False, "public-space", True),
        (OF_SPACE, True, None, "public-space", True),
        (OF_SPACE | {"SPACES_ZERO_GPU": "true"}, False, False, "zero-gpu", True),
        (OF_SPACE | {"SPACES_ZERO_GPU": "true"}, False, True, "zero-gpu", False),
        ({"SPACES_ZERO_GPU": "true", "OAUTH_CLIENT_SECRET": "x"}, False, None, "local-cpu", False),
        (OF_SPACE | {"SPACES_ZERO_GPU": "false"}, False, None, "public-space", True),
    ],
)
def test_five_situations_and_what_is_not_known_counts_as_public(environment, card, hidden, kind, has_visitors):
    here = recognise(environment, card, hidden)
    assert (here.kind, here.has_visitors) == (kind, has_visitors)
    assert here.is_owner(None) is not has_visitors
    assert here.is_owner("me") and here.is_owner("stranger") is not has_visitors
    assert bool(here.no_training) is (kind == "zero-gpu")


def test_every_situation_has_a_title():
    assert len(TITLES) == 5


def test_nobody_signs_in_where_the_hub_does_not_vouch_for_it():
    """Gradio mocks the sign-in where SYSTEM is not "spaces", and signs cookies with an empty secret where there is none."""
    assert recognise(OF_SPACE, False).can_sign_in
    for missing in ("SYSTEM", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL"):
        assert not recognise({**OF_SPACE, missing: ""}, False).can_sign_in, missing
    assert not recognise({}, False).can_sign_in


def test_an_organisation_names_its_owners():
    here = recognise(OF_SPACE | {"SPACE_AUTHOR_NAME": "org", "WORKBENCH_OWNERS": "ann, bob,"}, False)
    assert [name for name in ("org", "ann", "bob", "Ann", "", None, "me") if here.is_owner(name)] == [
        "org",
        "ann",
        "bob",
    ]


@pytest.mark.parametrize(
    ("listed", "shown", "hidden"),
    [
        (401, 404, True), (404, 401, True), (404, 403, True),
        (200, 404, False), (200, None, False),
        (401, 200, False),  # a protected Space: its page is open, its repository is not
        (None, 404, None), (500, 404, None), (429, 404, None), (302, 404, None),
        (401, None, None), (401, 503, None), (401, 302, None),
    ],
)  # fmt: skip
def test_a_space_is_private_only_where_the_hub_and_its_own_page_refuse_a_stranger(listed, shown, hidden):
    answers = {"https://huggingface.co/api/spaces/me/bench": listed, "https://me-bench.hf.space/": shown}
    assert space.is_hidden("me/bench", "me-bench.hf.space", answers.__getitem__) is hidden


def test_without_a_host_nothing_is_known():
    assert space.is_hidden("me/bench", "", lambda address: 404) is None


def test_a_stranger_sends_no_token_and_follows_no_redirect(monkeypatch):
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append((self.path, dict(self.headers)))
            self.send_response(302 if self.path == "/away" else 401)
            self.send_header("Location", "/here")
            self.end_headers()

        def log_message(self, *_):
            pass

    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    assert [space.status_as_stranger(f"{place}/{path}") for path in ("away", "x")] == [302, 401]
    server.shutdown()
    server.server_close()
    assert space.status_as_stranger(f"{place}/x") is None
    assert [path for path, _ in heard] == ["/away", "/x"]
    assert not any("hf_" in str(headers) or "Authorization" in headers for _, headers in heard)


def test_an_answer_on_privacy_is_asked_again_and_grows_old():
    """Told at 60 seconds that it is private. Nobody answers after that, and 15 minutes later nothing is known."""
    said, now = [None], [0.0]
    privacy = situation.Privacy(lambda: said[0], clock=lambda: now[0])
    privacy.ask()
    assert privacy.known() is None
    said[0], now[0] = True, 60.0
    privacy.ask()
    said[0] = None
    for now[0], known in ((60.0, True), (959.0, True), (961.0, None)):
        assert privacy.known() is known
    said[0] = False
    privacy.ask()
    assert privacy.known() is False


def test_nobody_waits_for_an_answer_on_privacy_and_it_is_asked_once_in_a_while():
    asked, now, let = [], [0.0], threading.Event()
    privacy = situation.Privacy(lambda: (asked.append(now[0]), let.wait(10), True)[-1], clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 59.0):
        assert privacy.known() is None
    let.set()
    until = time.monotonic() + 10
    while privacy.known() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert privacy.known() is True and asked == [0.0]


def test_on_zero_gpu_training_is_refused_with_the_way_out(monkeypatch):
    from configs import demo_config

    for name, value in (SPACE | {"SPACES_ZERO_GPU": "true"}).items():
        monkeypatch.setenv(name, value)
    for begin in (lambda: training.start(demo_config("any")), lambda: queue.add(demo_config("any"))):
        with pytest.raises(WorkbenchError, match="Train as a Hugging Face Job"):
            begin()
    assert not (home.home() / "runs" / "any").exists()


def test_on_a_space_everything_lies_in_the_mounted_bucket(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("WORKBENCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(space.bucket, "__defaults__", (tmp_path,))
    mounted = monkeypatch.setattr(os.path, "ismount", lambda place: Path(place) == tmp_path) or tmp_path
    assert home.home() == (tmp_path / "own" / "alignment-workbench").resolve(), "not on a Space"
    monkeypatch.setenv("SPACE_ID", "me/bench")
    assert home.home() == (mounted / "alignment-workbench").resolve()
    assert space.outlives_space(home.home())
    monkeypatch.setattr(os.path, "ismount", lambda place: False)
    assert home.home() == (tmp_path / "own" / "alignment-workbench").resolve(), "a folder there is no bucket"
    assert not space.outlives_space(home.home())
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "chosen"))
    assert home.home() == (tmp_path / "chosen").resolve()


@pytest.mark.parametrize(("zero", "has_package"), [(True, True), (True, False), (False, True)])
def test_a_zero_gpu_space_declares_a_function_for_the_card_that_it_is_lent(monkeypatch, capsys, zero, has_package):
    """With none the platform ends it. A name in sys.modules that is None is a module that cannot be had."""
    declared = []
    package = types.SimpleNamespace(GPU=lambda **named: declared.append)
    monkeypatch.setitem(sys.modules, "spaces", package if has_package else None)
    become_space(monkeypatch, hidden=True, **({"SPACES_ZERO_GPU": "true"} if zero else {}))
    zero_gpu.declare_function()
    assert declared == ([zero_gpu.name_of_card] if zero and has_package else [])
    assert ("Add it to requirements.txt" in capsys.readouterr().err) is (zero and not has_package)
