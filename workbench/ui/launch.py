"""How the window opens: theme, guard and limits in one place, for the command line, a Space and the tests."""

import os
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from workbench.core.errors import WorkbenchError
from workbench.store.home import home
from workbench.store.secrets import hub_home, token_files
from workbench.store.space import on_space
from workbench.ui import theme
from workbench.ui.chart import picture_scripts
from workbench.ui.environment import uploads
from workbench.ui.frame import FIRST_PAGE
from workbench.ui.guard import Guard, error_handler, rules_for
from workbench.ui.login import SHORTEST_PASSWORD, SlowLogin
from workbench.ui.packing import Packed
from workbench.ui.page_tree import IndexedTree
from workbench.ui.who_may import Visitors

HERE = "127.0.0.1"
UPLOAD_LIMIT = "500mb"


def launch_kwargs(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    user: str = "workbench",
    password: str | None = None,
    open_browser: bool = False,
    upload_limit: str = UPLOAD_LIMIT,
) -> dict[str, Any]:
    """Arguments for `Blocks.launch`.

    host: None listens where it should: on this machine only, or on every address of a Space.
    port: None takes 7860 or the next free one.
    Raises WorkbenchError where the window would be open to others without a password.
    """
    password = password or os.environ.get("WORKBENCH_PASSWORD") or None
    host = host or ("0.0.0.0" if on_space() else HERE)
    opened = host not in (HERE, "localhost")
    if (opened or share) and not password and not on_space():
        raise WorkbenchError(
            f"{'A share link' if share else f'Listening on {host}'} lets others use this machine, and there is no "
            "password. Set one with --password or WORKBENCH_PASSWORD, or leave the window on 127.0.0.1."
        )
    if (opened or share) and password and len(password) < SHORTEST_PASSWORD:
        raise WorkbenchError(
            f"The password has {len(password)} characters, and whoever guesses it can use this machine. Take one with "
            f"{SHORTEST_PASSWORD} or more; three words are easy to keep in mind."
        )
    rules = rules_for(opened, share)
    return {
        "server_name": host,
        "server_port": port,
        "share": share,
        "auth": (user, password) if password else None,
        "auth_message": "This workbench is protected by a password." if password else None,
        "inbrowser": open_browser,
        "app_kwargs": {
            "middleware": [
                Middleware(Guard, rules=rules),
                *([Middleware(SlowLogin)] if password else []),
                *([Middleware(Visitors)] if on_space() else []),
                Middleware(Packed),
                Middleware(IndexedTree),
            ],
            "exception_handlers": {Exception: error_handler(rules)},
        },
        "strict_cors": True,
        "allowed_paths": [],
        "blocked_paths": private_paths(),
        "max_file_size": upload_limit,
        # The history would keep every prompt and path in the browser.
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": False,
        # A second server of Gradio's in front of ours would answer without the guard.
        "ssr_mode": False,
        "num_workers": 0,
        "pwa": False,
        "show_error": False,
        "quiet": True,
        # Gradio would ask for the page once, and give up with words about share links where a busy machine takes three seconds.
        "_frontend": False,
        "footer_links": ["settings"],
        "favicon_path": str(Path(__file__).with_name("favicon.svg")),
        "theme": theme.theme(),
        "css": theme.css(),
        "head": picture_scripts() + FIRST_PAGE,
    }


def private_paths() -> list[str]:
    """Folders that are never handed out as files, whatever a handler returns: the user's, and the Hub's with its token.

    Downloads are copied into `uploads()` first.
    """
    ours = [str(path) for path in home().iterdir() if path != uploads()]
    planned = [
        str(home() / name)
        for name in ("runs", "datasets", "presets", "votes.jsonl", "sittings", "conversations", "workbench.log")
    ]
    return sorted({*ours, *planned, str(hub_home()), *map(str, token_files())})
