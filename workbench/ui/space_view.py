"""What a Space shows above its pages: where this is, who you are here, and for visitors a demo to ask."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.utils import get_space

from workbench.core.situation import TITLES, Situation
from workbench.jobs import situation
from workbench.jobs.app_state import AppState
from workbench.jobs.visits import EACH, LONGEST_QUESTION, Visits, newest_demo_run
from workbench.store.home import home
from workbench.store.space import outlives_space
from workbench.ui import who_may
from workbench.ui.inputs import Window
from workbench.ui.parts import Html, conversation, join, notice, page_head, text
from workbench.ui.updates import QUIET, Updates, shown_if

REMEMBERED = 5  # questions of a visitor that stay on the page

Talked = list[tuple[str, str, str]]
"""Question, answer of the base model, answer of the run; only in the visitor's session."""


class Banner:
    """What this Space is and, where it has visitors, who is the owner. sign_in: None where nobody can sign in."""

    def __init__(self) -> None:
        self.words = gr.HTML(elem_id="wb-space")
        self.sign_in: gr.LoginButton | None = None
        # Gradio mocks it on a machine of one's own, with a token of that machine (CVE-2026-27167): so only where it is real.
        if situation.now().can_sign_in and get_space():
            who_may.for_visitors(gr.LoginButton._check_login_status)
            self.sign_in = gr.LoginButton("Sign in as the owner", icon=None, size="sm", elem_id="wb-sign-in")


class VisitorChat:
    """One question at a time to the demo model, for whoever visits."""

    def __init__(self) -> None:
        with gr.Column(visible=False, elem_id="wb-visit") as self.whole:
            gr.HTML(
                page_head(
                    "Ask the demo model",
                    f"A small model that comes with the workbench, before and after training. {EACH} questions a minute, short "
                    "answers; they stay in this browser tab and are not stored.",
                )
            )
            self.said = gr.HTML(elem_id="wb-visit-said")
            with gr.Row(elem_classes="wb-ask"):
                self.question = gr.Textbox(
                    show_label=False, placeholder="What is a comet?", max_lines=1, max_length=LONGEST_QUESTION, scale=5,
                    elem_id="wb-visit-question",
                )  # fmt: skip
                self.send = gr.Button("Ask", variant="primary", scale=1, elem_id="wb-visit-ask")
        self.talked: gr.State = gr.State([])

    def wire(self, visits: Visits) -> None:
        @who_may.for_visitors
        def ask_demo(question: str, talked: Talked, request: gr.Request) -> Iterator[Updates]:
            yield {self.said: said_html(talked, text("The question is on its way ..."))}
            now = (question.strip(), "", "")
            for answers in visits.ask(str(request.session_hash), question):
                if isinstance(answers, str):
                    yield {self.said: said_html(talked, text(answers))}
                    continue
                now = (now[0], answers[0].text, answers[1].text if answers[1] else "")
                yield {self.said: said_html([*talked, now])}
            yield {self.talked: [*talked, now][-REMEMBERED:], self.question: ""}

        gr.on(
            [self.send.click, self.question.submit], ask_demo, [self.question, self.talked],
            [self.said, self.talked, self.question], **QUIET,
        )  # fmt: skip


def wire_roles(window: Window, banner: Banner, chat: VisitorChat, closed: Sequence[Block], app: AppState) -> None:
    """Whenever the page is opened: a visitor gets the demo and locked controls, the owner all pages.

    closed: pages and parts of pages that are the owner's as a whole.
    """
    chat.wire(app.visits)

    @who_may.for_visitors
    @who_may.draws_roles
    def draw_roles(request: gr.Request) -> Updates:
        here = situation.now()
        name = who_may.signed_in(who_may.scope_of(request))
        owner = here.is_owner(name)
        roles: Updates = {
            banner.words: banner_html(here, name, outlives_space(home())),
            chat.whole: shown_if(not owner),
            # A page of the tabs stays where it is told to hide, so it cannot be opened either.
            **{part: gr.update(visible=owner, interactive=owner) for part in pages},
            **{part: shown_if(owner) for part in closed if part not in pages},
        }
        return roles if owner else roles | {one: gr.update(interactive=False) for one in locked}

    pages = [part for part in closed if isinstance(part, gr.Tab)]
    within = {id for part in closed for id in _ids_in(part)}
    locked = [
        block
        for block in window.blocks.values()
        if block._id in window.closed_to_visitors - within and "interactive" in block.get_config()
    ]
    window.load(draw_roles, None, [banner.words, chat.whole, *closed, *locked], **QUIET)


def _ids_in(block: Any) -> set[int]:
    return {block._id}.union(*[_ids_in(child) for child in getattr(block, "children", ())])


def banner_html(here: Situation, name: str | None, is_kept: bool) -> Html:
    """name: of whoever is signed in. is_kept: what is stored outlives the Space."""
    if here.is_owner(name):
        return join(_owner_html(here, name), storage_html(is_kept))
    owners = " or ".join(sorted(here.owners))
    told = "You look at the runs and ask the demo model."
    if name:
        told += f" You are signed in as {name}, and the owner is {owners}."
    how = (
        "Sign in as the owner"
        if here.can_sign_in
        else "Nobody can sign in, because `hf_oauth: true` is missing in its README:"
    )
    rest = (
        f"{how} to train, bring data, compare, export or change anything."
        if here.can_sign_in
        else f"{how} nobody can train or change anything here."
    )
    return notice(
        "info", f"You are visiting {owners}'s workbench", f"{told} {rest} Duplicate this Space to have your own."
    )


def _owner_html(here: Situation, name: str | None) -> Html:
    about = [f"It runs on {here.hardware}." if here.hardware else ""]
    if here.has_visitors:
        about.append(
            f"You are signed in as {name}, its owner, and may do everything. Visitors look, and ask the demo model."
        )
        if here.is_hidden is None:
            about.append("Whether it is private is not known, so it counts as public.")
    else:
        about.append("Strangers cannot open it. Whoever can may do everything here.")
    if here.kind == "zero-gpu":
        about.append("The chat answers on the processor: what is lent of the card does not reach a process of its own.")
    about += ["Hardware that is paid for is billed while it runs: set a sleep time in its settings.", here.no_training]
    return notice("info", TITLES[here.kind], " ".join(words for words in about if words))


def storage_html(is_kept: bool) -> Html:
    """Whether runs outlive this Space. Nothing where they do."""
    if is_kept:
        return Html("")
    return notice(
        "warning",
        "Runs end with this Space",
        "Its disk is lost whenever it restarts, sleeps or is built anew, and no bucket is mounted.",
        "Attach a Storage Bucket at /data in the Space's settings, or download each run as an archive from the Watch page.",
    )


def said_html(talked: Talked, note: Html | None = None) -> Html:
    """What a visitor asked and was answered, newest last, and a line below it."""
    trained = newest_demo_run()
    shown = []
    for question, base, aligned in talked:
        asked = {"role": "user", "content": question}
        lanes = [conversation([asked, {"role": "assistant", "content": base}], "base", "demo model, untrained")]
        if aligned:
            said = [asked, {"role": "assistant", "content": aligned}]
            lanes.append(conversation(said, "aligned", f"after training: {trained}"))
        shown.append(Html(f'<div class="wb-visit-turn">{join(*lanes)}</div>'))
    return join(*shown, note or Html(""))
