"""What tests share: a home of their own, and a base model that is loaded once."""

import os
from pathlib import Path

import pytest

os.environ["WORKBENCH_WARM"] = "0"  # for each of the many windows one that imports torch would be too much


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("WORKBENCH_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def base():
    """The demo model in 4 bits, as a worker loads it."""
    from configs import demo_config

    from workbench.engine import load
    from workbench.engine.device import this_device

    return load.load_base(demo_config().model, "nf4", this_device(), lambda words: None)


@pytest.fixture
def one_base(monkeypatch, base):
    """The base model is loaded once for all; each run takes the adapter of the one before off it."""
    from workbench.engine import load

    add, added = load.add_adapter, []

    def take_off(*_args, **_kwargs):
        while added:
            added.pop().unload()
        return base

    def add_and_remember(*arguments):
        added.append(add(*arguments))
        return added[-1]

    monkeypatch.setattr(load, "load_base", take_off)
    monkeypatch.setattr(load, "add_adapter", add_and_remember)
    yield
    take_off()
