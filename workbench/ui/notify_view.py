"""A notification of the browser when a run ends or needs a person, for whoever asked for it and looks elsewhere."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import gradio as gr

from workbench.jobs.app_state import AppState
from workbench.jobs.news import Seen, look, news
from workbench.ui.frame import Frame
from workbench.ui.ticks import Clock
from workbench.ui.updates import QUIET, Updates

OFF, ON = "Notify me when a run ends", "Notifications are on · turn off"
NOT_HERE, BLOCKED = "This browser gives no notifications here", "This browser blocks notifications of this page"

# The browser remembers it, for all tabs of this window.
_SHOW = f"""() => {{
    if (!('Notification' in window) || !window.isSecureContext) return '{NOT_HERE}';
    return localStorage.getItem('wb-notify') === 'on' && Notification.permission === 'granted' ? '{ON}' : '{OFF}';
}}"""
_TURN = f"""async () => {{
    if (!('Notification' in window) || !window.isSecureContext) return '{NOT_HERE}';
    if (localStorage.getItem('wb-notify') === 'on' && Notification.permission === 'granted') {{
        localStorage.removeItem('wb-notify');
        return '{OFF}';
    }}
    if (await Notification.requestPermission() !== 'granted') return '{BLOCKED}';
    localStorage.setItem('wb-notify', 'on');
    return '{ON}';
}}"""


class Notifier:
    """What tells the browser. It lies outside of the pages: one that was never opened is not there."""

    def __init__(self) -> None:
        self.told = gr.HTML(
            "", html_template="<span></span>", js_on_load=Path(__file__).with_name("notify.js").read_text("utf-8"),
            visible="hidden", apply_default_css=False, elem_id="wb-notify",
        )  # fmt: skip

    def wire(self, clock: Clock, app: AppState) -> None:
        seen = gr.State(None)

        def tell(before: Seen | None) -> Updates:
            """Nothing on the first look: what ended before the page was opened is no news."""
            survey = app.survey()
            now = look(survey)
            if now == before:
                return {}
            found = news(before, now, survey) if before else []
            if not found:
                return {seen: now}
            return {seen: now, self.told: json.dumps({"at": time.time(), "news": [asdict(one) for one in found]})}

        clock.each_second(tell, [seen], [self.told, seen])


class NotifyButton:
    """Whether this browser is to tell. It asks the person for permission at the first click."""

    def __init__(self) -> None:
        self.button = gr.Button(OFF, size="sm", elem_id="wb-notify-me")

    def wire(self, frame: Frame) -> None:
        self.button.click(None, None, self.button, js=_TURN, **QUIET)
        frame.opened["watch"].select(None, None, self.button, js=_SHOW, **QUIET)

    def wire_load(self, window: gr.Blocks) -> None:
        """A page that is loaded again opens without being selected."""
        window.load(None, None, self.button, js=_SHOW, **QUIET)
