"""The window as a process: what it loads, how fast it opens, what it says when it does not."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench.ui.environment import prepare
from workbench.ui.listening import check_free
from workbench.ui.serve import arguments_or_exit

ROOT = Path(__file__).parents[1]
TIMES_GRADIO = 2.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GRADIO_", "SPACE_", "WORKBENCH_"))
    }
    return kept | {"WORKBENCH_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    """Whether the window gives its page."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False


def open_and_close(port: int, environment: dict[str, str]) -> tuple[float, str]:
    """Seconds from the start of the process to its first page, and what it printed."""
    began = time.monotonic()
    window = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while not answers(port):
            assert window.poll() is None, window.communicate()[0]
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        return time.monotonic() - began, window.stdout.readline() if window.stdout else ""
    finally:
        window.terminate()
        window.communicate(timeout=20)


def test_the_window_loads_no_torch_and_builds_without_a_warning(environment: dict[str, str]) -> None:
    """Gradio says what is wrong with an argument or a number of inputs in a UserWarning."""
    code = (
        "import sys, warnings; warnings.simplefilter('error', UserWarning); import app; "
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'bitsandbytes', 'datasets'} & set(sys.modules); "
        "assert not heavy, heavy; print(type(app.demo).__name__)"
    )
    done = run(["-c", code], environment)
    assert (done.returncode, done.stdout.strip()) == (0, "Window"), done.stderr


def test_the_window_opens_in_less_than_twice_the_time_of_importing_gradio(environment: dict[str, str]) -> None:
    """Side by side and the best of three, because machines differ, and the same one from hour to hour."""
    taken, imported = [], []
    while len(taken) < 3 and min(taken, default=60) > TIMES_GRADIO * min(imported, default=0):
        began = time.monotonic()
        run(["-c", "import gradio"], environment)
        imported.append(time.monotonic() - began)
        seconds, said = open_and_close(port := free_port(), environment)
        assert said == f"The workbench is open at http://127.0.0.1:{port}/  (Ctrl+C closes it)\n"
        taken.append(seconds)
    assert min(taken) <= TIMES_GRADIO * min(imported), (taken, imported)


def test_the_window_opens_where_all_else_goes_through_a_proxy(environment: dict[str, str]) -> None:
    """One that is not even there: nothing that stays on this machine may ask it."""
    behind = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY")}
    _, said = open_and_close(free_port(), environment | behind | {"NO_PROXY": "intern.example", "no_proxy": ""})
    assert said.startswith("The workbench is open at")


def test_names_without_a_proxy_stay_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intern.example,localhost")
    monkeypatch.setenv("no_proxy", "*")
    prepare()
    assert os.environ["NO_PROXY"] == "intern.example,localhost,127.0.0.1" and os.environ["no_proxy"] == "*"


def test_a_port_that_is_taken_is_said_in_a_sentence(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(["app.py", "--port", str(port)], environment)
    assert done.returncode == 1
    assert done.stderr.strip() == f"Port {port} is taken by another program. Choose another with --port."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "99999"], "There is no port 99999; ports go from 1 to 65535."),
        (["--host", "192.0.2.7", "--password", "three words here"], "192.0.2.7, which is no address of this machine"),
        (["--host", "a..b", "--password", "three words here"], "is no address of this machine"),
        (["--host", "no.such.host.example", "--password", "three words here"], "is no address of this machine"),
    ],
)
def test_an_address_that_cannot_be_had_is_said_in_a_sentence(arguments, words, monkeypatch, capsys) -> None:
    """Among them one of the addresses that RFC 5737 keeps for documents."""
    monkeypatch.setattr("sys.argv", ["app.py", *arguments])
    with pytest.raises(SystemExit, match="1"):
        arguments_or_exit()
    assert words in capsys.readouterr().err


def test_addresses_of_this_machine_are_in_order() -> None:
    for host in ("127.0.0.1", "localhost", "0.0.0.0", *(["::1", "[::1]"] if socket.has_dualstack_ipv6() else [])):
        check_free(host, None)
        check_free(host, free_port())


def test_a_share_link_without_a_password_is_refused_in_a_sentence(environment: dict[str, str]) -> None:
    done = run(["app.py", "--share"], environment)
    assert done.returncode == 1
    assert done.stderr.startswith("A share link lets others use this machine, and there is no password.")
    assert "Traceback" not in done.stderr
