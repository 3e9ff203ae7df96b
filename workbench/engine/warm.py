"""python -m workbench.engine.warm SOCKET [torch]: the libraries imported, then whatever worker this process is told to be.

It has nothing but one end of a socket (its descriptor is SOCKET), and ends where the window closes the other one. What it
is told comes there (`jobs/warm.py`): the standard streams, other descriptors, and a line of JSON {"module": ..., "arguments":
[...], "environment": {...}, "handed": [variables of the environment that name the other descriptors]}.
torch: import nothing else. On a machine with a card the rest would open it.
"""

import json
import os
import runpy
import socket
import sys
from contextlib import suppress
from pathlib import Path

from workbench.engine.imports import FOR_A_RUN, import_for
from workbench.engine.lines import print_no_secrets

STREAMS = 3
MOST_HANDED = 4


def main(descriptor: str, *how: str) -> int:
    """Wait, and be what is asked for. Returns 0 where nothing was."""
    print_no_secrets()  # before a library keeps what it prints to
    import_for(() if how else FOR_A_RUN)
    with socket.socket(fileno=int(descriptor)) as line:
        with suppress(OSError):  # it may have been told already, by a window that is not there any more
            line.sendall(b"+")
        begun, files, _, _ = socket.recv_fds(line, 1, STREAMS + MOST_HANDED)
        if not begun:
            return 0
        with line.makefile() as words:
            told = json.loads(words.readline())
    for number, file in enumerate(files[:STREAMS]):
        os.dup2(file, number)
        os.close(file)
    own = os.environ.get("TORCHDYNAMO_DISABLE")
    os.environ.clear()
    os.environ.update(told["environment"])
    if own:
        os.environ.setdefault("TORCHDYNAMO_DISABLE", own)
    for name, file in zip(told["handed"], files[STREAMS:], strict=True):
        os.set_inheritable(file, False)
        os.environ[name] = str(file)
    with suppress(OSError):  # from here on it is no more to be ended than any other worker, where memory runs out
        Path("/proc/self/oom_score_adj").write_text(str(told["ended_first"]), encoding="ascii")
    sys.argv = [told["module"], *told["arguments"]]
    runpy.run_module(told["module"], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
