"""The command line: what the window does, for scripts, tests and remote machines. Needs no Gradio but for `open`."""

import os
import sys
from collections.abc import Sequence

from workbench.cli.data import FLAGS
from workbench.cli.parser import parser
from workbench.core import masking
from workbench.core.errors import WorkbenchError
from workbench.store import secrets


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where it worked, 1 where the workbench said no (the reason goes to standard error), 130 after Ctrl+C."""
    options = parser().parse_args(arguments)
    masking.know(secrets.known)
    try:
        code = int(options.act(options) or 0)
        sys.stdout.flush()
        return code
    except WorkbenchError as error:
        for problem in (*error.problems, *(FLAGS[asked] for asked in error.asks if asked in FLAGS)):
            print(problem, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` does. Nothing may be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
