"""The numbers of a run are sent elsewhere besides; whatever the mirror does, the run goes on."""

import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import pytest
from configs import demo_config
from drawn import watch_page
from made_runs import create_run, first_settings

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.core.training.mirror import MIRRORS, mirror_problem
from workbench.engine import mirror, train
from workbench.engine.mirror import MirrorThread, settings_of
from workbench.jobs import training
from workbench.store import installed


def row(stage="dpo", step=1, **numbers):
    return {"stage": stage, "step": step, "steps": 4, "time": 1.0} | numbers


def sends_to(sent, ended=None):
    """A mirror that keeps what it is given."""

    def begin(run, settings, step):
        sent.append(("begin", run.name, step))
        return (lambda at, numbers: sent.append((at, numbers))), (lambda: (ended or sent.append)("end"))

    return {"tensorboard": begin}


def test_numbers_are_sent_under_their_stage_and_count_on_from_stage_to_stage():
    """Four steps of SFT, then step 2 of DPO: the sixth"""
    run = create_run(demo_config(mirror="tensorboard"))
    run.write_environment({"plan": {"sft": 4, "dpo": 4}})
    sent = []
    one = MirrorThread(run, run.config(), sends_to(sent))
    one.add(row("sft", 1, loss=2.5, grad_norm=None))
    one.add(row("dpo", 2, loss=0.5, **{"rewards/margins": 1.0}))
    one.close()
    assert sent == [
        ("begin", "a-run", 1),
        (1, {"sft/loss": 2.5}),
        (6, {"dpo/loss": 0.5, "dpo/rewards/margins": 1.0}),
        "end",
    ]
    assert one.trouble == ""


def failing(*_):
    raise SystemExit("no way\nhf_abcdefghijklmnopqrstuvwxyz0123456789 in line two")


@pytest.mark.parametrize("begin", [failing, lambda *_: (failing, failing)], ids=["at once", "later"])
def test_a_mirror_that_fails_says_so_once_and_takes_nothing_more(begin, capsys):
    run = create_run(demo_config(mirror="tensorboard"))
    one = MirrorThread(run, run.config(), {"tensorboard": begin})
    one.add(row(loss=1.0))
    one._thread.join(10)
    assert one.trouble == (
        "TensorBoard failed, and the run goes on without it: SystemExit: no way. All numbers are in the run's folder."
    )
    one.add(row(loss=1.0))
    one.close()
    assert run.environment()["mirror"] == one.trouble
    assert capsys.readouterr().out.count("TensorBoard failed") == 1
    assert one._rows.empty()


def test_a_mirror_that_hangs_holds_nobody_up():
    run = create_run(demo_config(mirror="tensorboard"))
    goes_on = threading.Event()
    one = MirrorThread(run, run.config(), {"tensorboard": lambda *_: goes_on.wait(60)})
    begun = time.monotonic()
    for step in range(1, mirror.WAITING + 3):
        one.add(row(step=step, loss=1.0))
    one.close(0.2)
    goes_on.set()
    assert time.monotonic() - begun < 5
    assert "more slowly than the run logs them" in one.trouble


def test_at_the_end_a_run_waits_a_moment_only():
    run = create_run(demo_config(mirror="tensorboard"))
    goes_on = threading.Event()
    one = MirrorThread(run, run.config(), sends_to([], ended=lambda _: goes_on.wait(60)))
    one.add(row(loss=1.0))
    one.close(0.2)
    goes_on.set()
    assert "it did not end within" in one.trouble


def test_no_place_of_this_machine_and_no_token_is_sent():
    for place in ("/home/me/secret/model", "C:\\Users\\me\\secret\\model", "~/secret/model/"):
        config = demo_config(model=ModelRef(source="folder", name=place), mirror="wandb", rloo={"reward_model": place})
        sent = settings_of(config)
        assert "secret" not in str(sent) and sent["model"]["name"] == sent["rloo"]["reward_model"] == "model", sent
        assert sent["dpo"]["beta"] == 0.1
    token = "hf_" + "abcdefghijklmnopqrstuvwxyz01234567"
    assert token not in str(settings_of(demo_config(model=ModelRef(source="hub", name=f"me/{token}"))))


LOGGED_IN = "machine api.wandb.ai login user password 0123456789abcdef0123456789abcdef01234567\n"


def test_what_a_mirror_needs_is_said_before_the_start(monkeypatch, tmp_path):
    """Not installed; without a key; offline; with a login, with a key."""
    assert "pip install tensorboard" in mirror_problem("tensorboard", False, {}, False)
    assert "wandb login" in mirror_problem("wandb", True, {}, False)
    assert mirror_problem("wandb", True, {"WANDB_MODE": "offline"}, False) == ""
    assert mirror_problem("wandb", True, {}, True) == mirror_problem("wandb", True, {"WANDB_API_KEY": "k"}, False) == ""
    assert mirror_problem("none", False, {}, False) == mirror_problem("trackio", True, {}, False) == ""

    monkeypatch.setattr(installed, "_has", lambda package: False)
    for name, one in MIRRORS.items():
        with pytest.raises(WorkbenchError, match=f"{one.title} is not installed here"):
            training.check(demo_config(mirror=name))
    monkeypatch.setattr(installed, "_has", lambda package: True)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(WorkbenchError, match="knows no key of yours"):
        installed.check_mirror(demo_config(mirror="wandb"))
    (tmp_path / "netrc").write_text(LOGGED_IN)
    installed.check_mirror(demo_config(mirror="wandb"))


def pretend(monkeypatch, name, **content):
    module = ModuleType(name)
    for key, value in content.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def test_weights_and_biases_is_given_numbers_and_settings_and_nothing_of_the_machine(monkeypatch):
    """As its own library is called: what it is told, and what it is told to leave out."""
    told, sent = {}, []
    begun = SimpleNamespace(log=lambda numbers, step: sent.append((step, numbers)), finish=lambda: sent.append("end"))
    settings = lambda **named: named  # noqa: E731
    pretend(monkeypatch, "wandb", Settings=settings, init=lambda **named: told.update(named) or begun)
    run = create_run(demo_config(mirror="wandb"))
    one = MirrorThread(run, run.config())
    one.add(row(loss=0.5))
    one.close()
    assert sent == [(1, {"dpo/loss": 0.5}), "end"] and one.trouble == ""
    assert (told["name"], told["resume"]) == ("a-run", "allow") and told["id"].startswith("a-run-")
    assert told["settings"]["console"] == "off" and told["settings"]["disable_code"] is True


def test_a_run_whose_mirror_fails_ends_as_one_without(one_base, first_run, monkeypatch):
    from real_runs import curve, weights

    monkeypatch.setitem(mirror.OPENERS, "trackio", failing)
    run = create_run(demo_config("mirrored", **first_settings() | {"mirror": "trackio"}))
    assert train.main(str(run.folder)) == 0, run.result()
    assert weights(run) == weights(first_run) and curve(run) == curve(first_run)
    head = watch_page(run.name)["wb-watch-head"]
    assert "Its numbers are not mirrored" in head and "Trackio failed, and the run goes on without it" in head


def test_a_run_is_mirrored_to_its_last_number(one_base, home_of_first_run, monkeypatch):
    sent = []
    monkeypatch.setitem(mirror.OPENERS, "tensorboard", sends_to(sent)["tensorboard"])
    run = create_run(demo_config("mirrored", **first_settings() | {"mirror": "tensorboard"}))
    assert train.main(str(run.folder)) == 0, run.result()
    losses = {at: numbers["dpo/loss"] for at, numbers in sent[1:-1] if "dpo/loss" in numbers}
    assert losses == {one["step"]: one["loss"] for one in run.metrics() if "loss" in one}
    assert sent[-1] == "end" and "mirror" not in run.environment()
