"""Opens the window: for `python app.py`, for the command line, and on a Space."""

from __future__ import annotations

import argparse
import atexit
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.core.errors import WorkbenchError
from workbench.ui.environment import prepare
from workbench.ui.listening import check_free, listening

if TYPE_CHECKING:
    import gradio as gr

# Gradio is imported inside the functions: it has to see what `prepare` sets, and `--help` should not wait for it.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the window, for any parser that opens it."""
    parser.add_argument("--port", type=int, help="7860, or the next free one, if left out")
    parser.add_argument("--host", help="address to listen on; 127.0.0.1, for this machine only, if left out")
    parser.add_argument("--share", action="store_true", help="open a public link through Gradio; needs a password")
    parser.add_argument("--user", default="workbench", help="name to log in with, where there is a password")
    parser.add_argument(
        "--password",
        help="password to log in with; WORKBENCH_PASSWORD keeps it out of the list of processes",
    )
    parser.add_argument("--open", action="store_true", help="open the browser as well")


def window() -> gr.Blocks:
    """The window, built and not yet open."""
    prepare()
    from workbench.jobs.app_state import AppState
    from workbench.jobs.deploy import bring_runs
    from workbench.ui.shell import build
    from workbench.ui.zero_gpu import declare_function

    declare_function()
    bring_runs()
    app = AppState()
    atexit.register(app.close)
    return build(app)


def window_or_exit() -> gr.Blocks:
    """The window, for a module that others import. Where it cannot be built, it says why in a sentence and exits with 1."""
    with _said_in_a_sentence():
        return window()


def check(arguments: argparse.Namespace) -> None:
    """Raise WorkbenchError where the arguments cannot be followed. It takes no time: Gradio is not needed for it."""
    at = listening(arguments.host, arguments.share, arguments.password)
    check_free(at.host, arguments.port)


def serve(arguments: argparse.Namespace, blocks: gr.Blocks | None = None) -> None:
    """Open the window and stay until it is closed.

    Raises WorkbenchError where the arguments cannot be followed.
    """
    prepare()
    check(arguments)
    from workbench.ui.launch import launch_kwargs

    kwargs = launch_kwargs(
        host=arguments.host,
        port=arguments.port,
        share=arguments.share,
        user=arguments.user,
        password=arguments.password,
        open_browser=arguments.open,
    )
    blocks = blocks or window()
    try:
        _, address, public = blocks.launch(**kwargs, prevent_thread_lock=True)
    except OSError:  # all of those that Gradio tries, or the one that was free a moment ago
        taken = f"Port {arguments.port} is" if arguments.port else "The ports from 7860 on are"
        raise WorkbenchError(f"{taken} taken by another program. Choose another with --port.") from None
    print(f"The workbench is open at {address}  (Ctrl+C closes it)", flush=True)
    if arguments.share and public:
        print(f"Others reach it at {public}", flush=True)
    blocks.block_thread()


def arguments_or_exit() -> argparse.Namespace:
    """The command line. Where it cannot be followed, it says why in a sentence and exits."""
    parser = argparse.ArgumentParser(description="The alignment workbench: load, bring data, train, watch, compare.")
    add_arguments(parser)
    arguments = parser.parse_args()
    with _said_in_a_sentence():
        check(arguments)
    return arguments


def serve_or_exit(arguments: argparse.Namespace, blocks: gr.Blocks) -> None:
    """Open the window and stay until it is closed. What stands in the way is said in a sentence, and exits with 1."""
    with _said_in_a_sentence():
        serve(arguments, blocks)


@contextmanager
def _said_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
