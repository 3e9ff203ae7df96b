"""How the window opens: theme, guard and limits in one place, for the command line, a Space and the tests."""

from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from workbench.store.home import home
from workbench.store.secrets import hub_home, token_files
from workbench.store.space import on_space
from workbench.ui import theme
from workbench.ui.chart import picture_scripts
from workbench.ui.environment import uploads
from workbench.ui.frame import FIRST_PAGE
from workbench.ui.guard import Guard, error_handler, rules_for
from workbench.ui.listening import listening
from workbench.ui.login import SlowLogin
from workbench.ui.packing import Packed
from workbench.ui.page_tree import IndexedTree
from workbench.ui.who_may import Visitors

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

    host, share, password: as for `listening`, which raises WorkbenchError. port: None takes 7860 or the next free one.
    """
    at = listening(host, share, password)
    rules = rules_for(at.opened, share)
    return {
        "server_name": at.host,
        "server_port": port,
        "share": share,
        "auth": (user, at.password) if at.password else None,
        "auth_message": "This workbench is protected by a password." if at.password else None,
        "inbrowser": open_browser,
        "app_kwargs": {
            "middleware": [
                Middleware(Guard, rules=rules),
                *([Middleware(SlowLogin)] if at.password else []),
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
