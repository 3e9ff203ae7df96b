"""How long the window takes to answer its first request, from the start of its process.

python tests/benchmarks/window_start.py [--rounds 7]
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def seconds_to_first_answer() -> float:
    """From the start of `python app.py` to an answer with status 200."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"WORKBENCH_HOME": tempfile.mkdtemp()}
    began = time.perf_counter()
    window = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--port", str(port)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30):
                    return time.perf_counter() - began
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)
    finally:
        window.terminate()
        window.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    found = [seconds_to_first_answer() for _ in range(rounds)]
    for number, seconds in enumerate(found, start=1):
        print(f"{number:<8}{seconds:>8.2f} s")
    print(f"{'median':<8}{statistics.median(found):>8.2f} s   slowest {max(found):.2f} s")


if __name__ == "__main__":
    main()
