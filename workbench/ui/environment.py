"""What this process is told before Gradio and the Hub library are imported, because they read it only then."""

import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from workbench.core import masking
from workbench.core.errors import WorkbenchError
from workbench.store import secrets
from workbench.store.home import home

DAY = 86_400.0  # seconds
# Gradio takes these from the environment when an argument is left out, and each of them opens the window further.
_WIDENING = (
    "GRADIO_SHARE",
    "GRADIO_SERVER_NAME",
    "GRADIO_ALLOWED_PATHS",
    "GRADIO_MCP_SERVER",
    "GRADIO_LOCAL_DEV_MODE",
    "GRADIO_RUN_HISTORY",
    "GRADIO_NUM_WORKERS",
)


def uploads() -> Path:
    """The one folder that the window may hand out files from: uploads, and downloads that were copied into it."""
    return home() / "uploads"


def export_folder() -> Path:
    """Where files wait for their download, in the one folder that the window hands files out from. Old ones go."""
    folder = uploads() / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > DAY:
            file.unlink(missing_ok=True)
    return folder


def log_file() -> Path:
    """Where everything goes that is not meant for the user's eyes at once."""
    return home() / "workbench.log"


def prepare() -> None:
    """Set the environment of this process and its children, and start the log.

    Raises WorkbenchError where the environment asks for something that the workbench will not do.
    """
    if os.environ.get("GRADIO_VIBE_MODE"):
        raise WorkbenchError(
            "GRADIO_VIBE_MODE is set. It lets anyone who can open the window run code on this machine, "
            "so the workbench does not start with it. Unset it and start again."
        )
    masking.know(secrets.known)
    for name in _WIDENING:
        os.environ.pop(name, None)
    _keep_own_address_from_proxies()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads())
    uploads().mkdir(exist_ok=True)
    _start_log(log_file())


def _keep_own_address_from_proxies() -> None:
    """Gradio asks its own window whether it is there, and a proxy for what lies outside does not know this machine's."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [one for one in os.environ.get(name, "").split(",") if one]
        if known != ["*"]:
            os.environ[name] = ",".join(dict.fromkeys([*known, "localhost", "127.0.0.1"]))


class _WithoutTokens(logging.Formatter):
    """A record as text, with access tokens taken out."""

    def format(self, record: logging.LogRecord) -> str:
        return masking.masked(super().format(record))


def _start_log(path: Path) -> None:
    """Send the workbench's records to `path`, and to no earlier place."""
    logger = logging.getLogger("workbench")
    for handler in [h for h in logger.handlers if isinstance(h, RotatingFileHandler)]:
        logger.removeHandler(handler)
        handler.close()
    file = RotatingFileHandler(path, maxBytes=2_000_000, backupCount=1, encoding="utf-8", delay=True)
    file.setFormatter(_WithoutTokens("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(file)
    logger.setLevel(logging.INFO)
