"""The line at the top: how full and how busy the card or the machine is, and who uses it."""

import os
from types import SimpleNamespace

from workbench.jobs import card, meter
from workbench.jobs.card import Card, CardAtWork
from workbench.jobs.meter import OTHERS, Meter, card_users, read_meter
from workbench.ui.status import meter_html

GIB = 2**30


def pretend_card(monkeypatch, at_work):
    monkeypatch.setattr(meter, "read_card", lambda: Card("A card", (9, 0), 12 * GIB, 68 * GIB, 80 * GIB))
    monkeypatch.setattr(meter, "read_card_at_work", lambda: at_work)


def test_a_card_tells_its_load_warmth_and_power_and_who_has_its_memory(monkeypatch):
    pretend_card(monkeypatch, CardAtWork(87, 64, 314, {7: 9 * GIB, 8: 2 * GIB, 9: GIB}))
    found = read_meter({7: "first", 8: "chat"})
    users = (("first", 9 * GIB), ("chat", 2 * GIB), (OTHERS, GIB))
    assert found == Meter("GPU", 12 * GIB, 80 * GIB, 85, 64, 310, users), "in steps of 5 % and 10 W"
    shown = meter_html(found)
    assert all(f"<span>{one}</span>" in shown for one in ("85 %", "64 °C", "310 W"))
    assert "GPU 12.0 of 80.0 GiB" in shown and ">first 9.0 GiB, chat 2.0 GiB, other programs 1.0 GiB</span>" in shown


def test_what_a_card_does_not_tell_is_left_out(monkeypatch):
    pretend_card(monkeypatch, CardAtWork(None, None, None, {}))
    shown = meter_html(read_meter({}))
    assert "%</span>" not in shown and "°C" not in shown and " W<" not in shown and "wb-users" not in shown


def test_where_the_driver_counts_processes_in_another_way_nobody_is_named():
    """In a container: 4711 is our worker as the machine outside counts."""
    assert card_users({4711: 9 * GIB}, {7: "first"}) == ()
    assert card_users({4711: 9 * GIB}, {}) == ((OTHERS, 9 * GIB),)
    assert card_users({7: None, 8: GIB}, {7: "first"}) == ((OTHERS, GIB), ("first", None))


def test_without_a_card_the_machine_is_told_of(monkeypatch):
    monkeypatch.setattr(meter, "read_card", lambda: None)
    monkeypatch.setattr(meter, "_LEAST", 2**20)
    found = read_meter({os.getpid(): "first", 2**22 + 1: "gone"})
    assert found.what == "RAM" and found.load is not None and found.load % 5 == 0 and found.power is None
    assert [name for name, _ in found.users] == ["first"]
    assert "CPU" in meter_html(found) and "RAM" in meter_html(found)


def test_the_name_of_a_run_is_text_alone():
    shown = meter_html(Meter("RAM", GIB, 2 * GIB, 5, users=(("<img src=x>", GIB),)))
    assert "<img" not in shown and "&lt;img src=x&gt; 1.0 GiB" in shown


def test_a_sensor_that_a_card_lacks_is_none_and_the_others_are_told(monkeypatch):
    """As pynvml answers: each question may fail by itself."""

    def no_sensor(*_):
        raise RuntimeError("Not Supported")

    asked = SimpleNamespace(
        nvmlDeviceGetPowerUsage=no_sensor,
        nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=5, usedGpuMemory=3)],
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=40),
        nvmlDeviceGetTemperature=lambda *_: 50,
        NVML_TEMPERATURE_GPU=0,
    )
    monkeypatch.setattr(card, "_first", lambda: (asked, None))
    assert card.read_card_at_work() == CardAtWork(40, 50, None, {5: 3})
