"""Hostile pages beside the window and hostile text in it, in a real browser; and what a reload or a restart leaves.

All tests share one window, whose model says what it is asked, and one server that stands for the outside.
"""

import http.server
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import ACTS, strings
from made_runs import finished
from playwright.sync_api import Page, expect
from windows import Window

from workbench.store import votes
from workbench.store.presets import models

SOON = 30_000
BACK = 20_000  # milliseconds; about 4,000 on an idle machine
GETS_THAT_ACT = (
    "logout",
    "monitoring",
    "gradio_api/startup-events",
    "gradio_api/deep_link?session_hash=guessed",
    "gradio_api/heartbeat/guessed",
    "gradio_api/queue/data?session_hash=guessed",
    "gradio_api/upload_progress?upload_id=guessed",
)
SIZES = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))
EVIL = "evil.example"  # the browser resolves it to this machine, see conftest.py


class Outside(http.server.ThreadingHTTPServer):
    """A web server that belongs to somebody else: every page is `page`, and what was asked of it is noted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str] = []
        self.page = ""
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Outside)
        self.server.asked.append(self.path)
        body = self.server.page.encode("utf-8", "replace") if self.path == "/" else b""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "home"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the window that all tests here share."""
    monkeypatch.setenv("WORKBENCH_HOME", str(shared_home))
    return shared_home


@pytest.fixture(scope="module")
def window(shared_home: Path) -> Iterator[Window]:
    one = Window(shared_home, ("tests/browser/talking_window.py",))
    one.start()
    yield one
    one.close()


@pytest.fixture
def texts(outside: Outside) -> list[str]:
    return strings(outside.address)


@pytest.fixture
def watched(page: Page, window: Window, outside: Outside) -> Iterator[Page]:
    """The window's page; a dialog, a script that ran, or a request to anywhere else fails the test."""
    outside.asked.clear()
    page.set_default_timeout(SOON)
    elsewhere: list[str] = []
    page.on("dialog", lambda dialog: (elsewhere.append(f"dialog {dialog.message}"), dialog.dismiss()))
    own = (window.address, "data:", "blob:")
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(own) else None)
    page.goto(window.address)
    yield page
    assert page.evaluate("window.ran") is None
    assert elsewhere == [] and outside.asked == []


def open_page(page: Page, name: str) -> None:
    page.locator("#wb-pages").get_by_role("tab", name=name).click()


def as_shown(text: str) -> str:
    """What no page can carry is shown as the replacement character."""
    return text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")


def fits(page: Page, name: str) -> None:
    """Nothing stands out of the window to the right, at both widths and in both modes."""
    for width, mode in SIZES:
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", mode == "dark")
        page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # The frame of the window clips what is too wide, so that it can be lost without a bar to scroll to it.
        lost = page.evaluate(
            """() => {
                const scrolls = one => one && (/auto|scroll/.test(getComputedStyle(one).overflowX) || scrolls(one.parentElement));
                return [...document.querySelectorAll('#wb-status *, #wb-pages .tabitem *, .toast-body *')].filter(
                    one => one.getClientRects().length && one.getBoundingClientRect().right > innerWidth + 1 && !scrolls(one)
                ).map(one => one.outerHTML.slice(0, 200));
            }"""
        )
        assert lost == [], f"{name} at {width}"
    page.set_viewport_size({"width": 1280, "height": 900})


# Hostile pages.


def forged(port: int) -> dict[str, str]:
    """What a page may try, as JavaScript. Each would change the model that is chosen, or store an upload."""
    body = json.dumps({"data": ["folder", models()[0].id, "", "/forged"]})
    act, upload = (f"http://127.0.0.1:{port}/gradio_api/{path}" for path in ("call/use", "upload"))
    blank = "return fetch(%r, {method: 'POST', mode: 'no-cors', credentials: 'include', %s})"
    form = "const form = new FormData(); form.append('files', new Blob(['x']), 'forged.jsonl');"
    post = (
        "const form = document.createElement('form'); form.method = 'POST'; form.target = '_blank'; form.action = %r;"
        "form.enctype = %r; const field = document.createElement('input'); field.name = %r; field.value = '\"}';"
        "form.append(field); document.body.append(form); form.submit();"
    )
    return {
        "text": blank % (act, f"headers: {{'Content-Type': 'text/plain'}}, body: {body!r}"),
        "untyped": blank % (act, f"body: new Blob([{body!r}])"),
        "json": f"return fetch({act!r}, {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: {body!r}}})",
        "beacon": f"return navigator.sendBeacon({act!r}, {body!r})",
        "upload": f"{form} {blank % (upload, 'body: form')}",
        "form": post % (act, "text/plain", f'{body[:-1]}, "x": "'),
        "multipart form": post % (upload, "multipart/form-data", "files"),
        "plain form": post % (act, "application/x-www-form-urlencoded", "data"),
    }


def files_of(home: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and when it changed, but the log, which may say what was refused."""
    found = {str(path): path.stat() for path in home.rglob("*") if path.is_file() and path.name != "workbench.log"}
    return {path: (one.st_size, one.st_mtime_ns) for path, one in found.items()}


def tried(page: Page, script: str) -> str:
    """Run a script on a page to its end; how it ended."""
    wrapped = f"async () => {{ try {{ const made = await (async () => {{ {script} }})(); return String(made); }} catch (error) {{ return 'failed'; }} }}"
    return str(page.evaluate(wrapped))


def chosen_model(home: Path) -> str:
    file = home / "choices.json"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def test_our_own_page_can_do_what_hostile_pages_try(watched: Page, window: Window, home: Path) -> None:
    """So the requests below are such that would do something."""
    attacks = forged(window.port)
    assert tried(watched, f"return (await (async () => {{ {attacks['json']} }})()).status") == "200"
    until = time.monotonic() + 10
    while "/forged" not in chosen_model(home) and time.monotonic() < until:
        time.sleep(0.05)
    assert "/forged" in chosen_model(home)
    (home / "choices.json").unlink()
    tried(watched, attacks["upload"])
    assert [path.name for path in (home / "uploads").rglob("forged*")] == ["forged.jsonl"]
    assert tried(watched, "return (await (await fetch('/config')).text()).includes('components')") == "true"


@pytest.mark.parametrize("name", [EVIL, "127.0.0.1", "localhost"])
def test_a_page_from_elsewhere_changes_nothing(page: Page, window: Window, outside: Outside, home: Path, name) -> None:
    """On another site, or served by another program on this machine."""
    answers: dict[tuple[str, str], set[int]] = {}
    page.context.on(
        "response",
        lambda one: answers.setdefault((one.request.method, one.url.partition(f":{window.port}/")[2]), set()).add(
            one.status
        ),
    )
    outside.page = "<p>A page like any other."
    page.goto(f"http://{name}:{outside.server_port}/")
    before = files_of(home)
    for script in forged(window.port).values():
        tried(page, script)
    for path in GETS_THAT_ACT:
        page.evaluate(
            "url => { for (const [tag, at] of [['img', 'src'], ['script', 'src'], ['iframe', 'src'], ['object', 'data']]) {"
            "const one = document.createElement(tag); one[at] = url; document.body.append(one); } }",
            f"{window.address}{path}",
        )
    page.wait_for_timeout(1000)
    assert files_of(home) == before
    posted = {path for method, path in answers if method == "POST"}
    assert {"gradio_api/call/use", "gradio_api/upload"} <= posted
    assert {place: found for place, found in answers.items() if place[0] == "POST" and found != {403}} == {}
    for one in page.context.pages[1:]:
        one.close()


@pytest.mark.parametrize("name", [EVIL, "127.0.0.1", "localhost"])
def test_a_page_from_elsewhere_reads_nothing(page: Page, window: Window, outside: Outside, name: str) -> None:
    outside.page = "<p>A page like any other."
    page.goto(f"http://{name}:{outside.server_port}/")
    for path in ("", "config", "gradio_api/info", "gradio_api/startup-events", "theme.css"):
        url = f"{window.address}{path}"
        for how in ("{}", "{credentials: 'include'}", "{mode: 'no-cors'}"):
            # Gradio lets other pages on this machine read an answer; what ours says to them is no.
            read = tried(
                page, f"const said = await fetch({url!r}, {how}); return said.ok && (await said.text()).length"
            )
            assert read in ("failed", "false", "0"), f"{path} {how}"


def test_a_name_that_is_bound_to_this_machine_anew_reaches_nothing(page: Page, window: Window, home: Path) -> None:
    """DNS rebinding: to the browser it is one and the same site, so only the name tells."""
    before = files_of(home)
    answer = page.goto(f"http://{EVIL}:{window.port}/")
    assert answer and answer.status == 400 and "gradio" not in page.content()
    assert tried(page, "return (await fetch('/config')).status") == "400"
    for script in forged(window.port).values():
        script = script.replace("127.0.0.1", EVIL).replace("'no-cors'", "'cors'")
        if "fetch(" in script:
            assert tried(page, f"return (await (async () => {{ {script} }})()).status") == "400"
    assert files_of(home) == before


def test_the_window_is_not_shown_inside_a_page_from_elsewhere(
    page: Page, window: Window, outside: Outside, home: Path
) -> None:
    """Clickjacking: the frame is see-through, and a click meant for the page would go to "Try it"."""
    outside.page = (
        f"<iframe id=hidden src='{window.address}' style='position:fixed;inset:0;width:100%;height:100%;opacity:.01'></iframe>"
        f"<iframe id=shown src='{outside.address}/empty' name=shown></iframe>"
    )
    before = files_of(home)
    page.goto(f"http://{EVIL}:{outside.server_port}/")
    page.wait_for_timeout(500)
    framed, other = (page.locator(f"#{one}").element_handle().content_frame() for one in ("hidden", "shown"))
    assert framed and other
    assert other.url == f"{outside.address}/empty"  # a page without our headers can be framed
    assert framed.url.startswith("chrome-error:") and framed.locator("gradio-app, .gradio-container").count() == 0
    for x in (300, 700, 1100):
        page.mouse.click(x, 250)
    assert files_of(home) == before


# Hostile text.


def test_the_hostile_texts_do_act_where_they_are_taken_for_html(page: Page, outside: Outside, texts: list[str]) -> None:
    """So nothing that the tests below see is due to texts that do nothing anyway."""
    outside.asked.clear()
    page.on("dialog", lambda dialog: dialog.dismiss())
    outside.page = "<p>A careless page."
    page.goto(f"{outside.address}/")
    page.evaluate(
        "texts => { for (const text of texts) { const place = document.createElement('div'); place.innerHTML = text;"
        " document.body.append(place); } }",
        [text for text in texts if not text.startswith(("<meta", "<base"))],  # they would lead the page away
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") == 1
    assert len({path for path in outside.asked if re.fullmatch(r"/[a-z](\..+)?", path)}) >= 6
    assert page.evaluate("document.documentElement.scrollWidth") > 1280


def test_hostile_questions_and_answers_are_only_text_and_a_vote_on_them_is_kept(
    watched: Page, texts: list[str], home: Path
) -> None:
    open_page(watched, "5 Compare")
    watched.get_by_role("button", name="System prompt").click()
    watched.locator("#wb-compare-system textarea").fill("\n".join(texts[:8]))
    asked = ["\n".join(texts[start::4]) for start in range(4)]
    for number, question in enumerate(asked, 1):
        watched.locator("#wb-compare-question textarea").fill(question)
        watched.locator("#wb-compare-send").click()
        expect(watched.locator("#wb-lane-right .wb-said")).to_have_count(number, timeout=SOON)
        expect(watched.locator("#wb-lane-right .wb-note")).to_contain_text("tok/s", timeout=SOON)
        expect(watched.locator("#wb-vote-left")).to_be_enabled(timeout=SOON)  # the answer is at its end
    for lane in ("left", "right"):
        shown = watched.locator(f"#wb-lane-{lane} .wb-words").evaluate_all("all => all.map(one => one.textContent)")
        assert shown == [as_shown(question.strip()) for question in asked for _ in range(2)]
    watched.locator("#wb-vote-left").click()
    expect(watched.locator("#wb-compare-voted")).to_contain_text("1 vote is waiting", timeout=SOON)
    assert [one.left for one in votes.all_votes()] == [as_shown(asked[-1].strip())]
    fits(watched, "compare")


def test_many_hostile_prompts_and_their_answers_are_only_text(watched: Page, texts: list[str]) -> None:
    """Of each text the first line, as one prompt: in the table of both answers, and in the file of it."""
    lines = list(dict.fromkeys(as_shown(text).split("\n")[0].strip() for text in texts))
    open_page(watched, "5 Compare")
    watched.get_by_role("tab", name="Many prompts").click()
    for start in (0, 32):
        asked = lines[start : start + 32]
        watched.get_by_label("A list").check()
        watched.locator("#wb-many-list textarea").fill("\n".join(asked))
        watched.locator("#wb-many-count").get_by_label("32").check()
        watched.locator("#wb-many-ask").click()
        shown = watched.locator(".wb-answers tbody .wb-words")
        expect(shown.first).to_have_text(asked[0], timeout=SOON)
        expect(shown).to_have_count(3 * len(asked), timeout=SOON)
        assert shown.evaluate_all("all => all.map(one => one.textContent)") == [one for one in asked for _ in range(3)]
        fits(watched, f"many-{start}")


def rows_of(texts: list[str]) -> list[dict[str, Any]]:
    """Rows whose conversation has every text as a message of its own, and a row for each text.

    Four of the first kind: the split goes by the prompt, which holds a port, and now and then one of them is held out.
    """
    words = [as_shown(text) for text in texts]  # a file with half a character in it is refused
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(words)]
    turns += [{"role": "assistant", "content": "Well."}] if len(turns) % 2 else []
    chosen, rejected = ([{"role": "assistant", "content": words[place]}] for place in (0, 1))
    rows = [
        {"prompt": [*turns, {"role": "user", "content": f"And {number}?"}], "chosen": chosen, "rejected": rejected}
        for number in range(4)
    ]
    for text in words:
        asked, answer = [{"role": "user", "content": text}], [{"role": "assistant", "content": f"Yes {text}"}]
        rows.append({"prompt": asked, "chosen": answer, "rejected": [{"role": "assistant", "content": f"No {text}"}]})
    return rows


def bring(page: Page, file: Path) -> None:
    """Upload a file on the Data page."""
    open_page(page, "2 Data")
    page.locator("#wb-data-bring").click()
    page.locator("#wb-data-file input[type=file]").set_input_files(file)


def test_hostile_rows_columns_and_file_names_are_only_text(watched: Page, texts: list[str], tmp_path: Path) -> None:
    file = tmp_path / f'<img src=x onerror="{ACTS}">.jsonl'
    file.write_text("".join(json.dumps(row) + "\n" for row in rows_of(texts)), encoding="utf-8")
    bring(watched, file)
    expect(watched.locator("#wb-data-meaning")).to_contain_text("preference pairs", timeout=SOON)
    expect(watched.locator("#wb-data-meaning .wb-words").nth(2)).to_have_text(texts[2])
    watched.locator("#wb-data-name textarea, #wb-data-name input").fill("hostile")
    fits(watched, "bring")
    watched.locator("#wb-data-store").click()
    expect(watched.locator("#wb-data-line")).to_contain_text(re.compile(r"\d+ pairs · upload"), timeout=SOON)
    expect(watched.locator("#wb-data-findings")).to_be_visible(timeout=SOON)
    fits(watched, "check")
    watched.locator("#wb-data-views").get_by_role("tab", name="Rows", exact=True).click()
    row = watched.locator("#wb-data-row .wb-words")
    expect(row.first).to_be_visible(timeout=SOON)
    asked = [as_shown(text).strip() for text in texts]
    expect(row.nth(len(asked) - 1)).to_be_visible(
        timeout=SOON
    )  # of the dataset that was shown before, a row is shorter
    shown = [text.strip() for text in row.evaluate_all("all => all.map(one => one.textContent)")]
    assert asked[2:] == shown[2 : len(asked)]
    fits(watched, "rows")


def test_hostile_columns_that_nobody_knows_are_only_text(watched: Page, texts: list[str], tmp_path: Path) -> None:
    file = tmp_path / "odd.jsonl"
    odd = {as_shown(text)[:2000]: as_shown(text) for text in texts}
    file.write_text(json.dumps(odd) + "\n" + json.dumps(odd) + "\n", encoding="utf-8")
    bring(watched, file)
    expect(watched.locator("#wb-data-meaning")).to_contain_text("These columns are not known", timeout=SOON)
    watched.locator("#wb-column-prompt input").click()
    expect(watched.get_by_role("option").first).to_be_visible()
    watched.keyboard.press("Escape")
    fits(watched, "columns")


def hostile_run(texts: list[str], name: str) -> Any:
    """A run that ended, whose model, files and samples say hostile things."""
    words = [as_shown(text) for text in texts]
    run = finished(name, model={"source": "folder", "name": f"/models/{words[5]}"})
    run.write_result("failed", "\n".join(words))
    steps = [
        {"stage": "sft", "step": step, "steps": 4, "loss": 2 - step / 4, "time": float(step)} for step in range(1, 5)
    ]
    run.metrics_file.write_text("".join(json.dumps(one) + "\n" for one in steps))
    run.log_file.write_text("\n".join(words).replace("\n\n", "\n"), encoding="utf-8")
    versions = {text: text for text in words[:10]}
    run.write_environment({"versions": versions, "why": "\n".join(words), "precision": words[6]})
    run.write_chosen({"words": words})
    run.adjust({}, "\n".join(words))
    facts = {"stage": "sft", "tokens": 1, "hit_limit": False, "repetition": 0.0}
    samples = [
        {**facts, "step": step, "prompt": [{"role": "user", "content": text}], "answer": text}
        for step in (0, 4)
        for text in ("\n".join(words[:20]), "\n".join(words[20:]))
    ]
    run.samples_file.write_text("".join(json.dumps(one) + "\n" for one in samples), encoding="utf-8")
    return run


def test_a_run_that_says_hostile_things_is_only_text_on_every_page(watched: Page, texts: list[str]) -> None:
    run = hostile_run(texts, "hostile")
    open_page(watched, "4 Watch")
    expect(watched.locator("#wb-watch-head")).to_contain_text("hostile failed", timeout=SOON)
    for part in ("Sample answers", "Worker log", "Settings, versions and files"):
        watched.get_by_role("button", name=part).click()
    expect(watched.locator("#wb-watch-samples .wb-words")).to_have_count(4, timeout=SOON)
    said = watched.locator("#wb-watch-samples .wb-words").evaluate_all("all => all.map(one => one.textContent)")
    assert said[0] == "\n".join(as_shown(text) for text in texts[:20])
    assert watched.locator("#wb-watch-head .wb-notice p").nth(1).text_content() == "\n".join(map(as_shown, texts))
    expect(watched.locator("#wb-watch-log textarea")).to_have_value(re.compile("<<<<<"))
    fits(watched, "watch")
    open_page(watched, "5 Compare")
    expect(watched.locator("#wb-compare-right input")).to_have_value(re.compile("hostile"), timeout=SOON)
    fits(watched, "compare-lanes")
    shutil.rmtree(run.folder)  # the next test has runs of its own


def test_hostile_text_in_an_error_is_only_text(watched: Page, texts: list[str]) -> None:
    words = " ".join(as_shown(text) for text in texts if len(text) < 1_000).replace("\n", " ").replace("\0", "")
    watched.get_by_label("Hugging Face id").check()
    watched.locator("#wb-model-hub input, #wb-model-hub textarea").fill(words)
    watched.locator("#wb-model-load").click()
    expect(watched.locator(".toast-body").last).to_contain_text(texts[0], timeout=SOON)
    open_page(watched, "3 Train")
    name = watched.locator("#wb-train-name input, #wb-train-name textarea")
    name.fill(words)
    watched.locator("#wb-train-start").click()
    refusal = watched.locator(".toast-body", has_text="Name of the run is")  # Gradio puts alike ones together
    expect(refusal).to_contain_text(texts[0], timeout=10_000)
    fits(watched, "errors")


# A page that is loaded again, and a window that is started again.


def test_a_reload_during_an_import_leaves_nothing_half_and_says_so(page: Page, window: Window, home: Path) -> None:
    page.set_default_timeout(SOON)
    file = home.parent / "long.jsonl"
    row = '{"prompt": "What is %d?", "chosen": "' + "A long answer. " * 20 + '", "rejected": "No %d."}\n'
    file.write_text("".join(row % (number, number) for number in range(60_000)), encoding="utf-8")
    page.goto(window.address)
    bring(page, file)
    expect(page.locator("#wb-data-meaning")).to_contain_text("Evidence", timeout=SOON)
    page.locator("#wb-data-store").click()
    expect(page.locator("#wb-data-meaning .wb-bar")).to_be_visible(timeout=SOON)
    page.reload()
    expect(page.locator("#wb-data-untold")).to_contain_text("Storing long was ended", timeout=SOON)
    expect(page.locator("#wb-data-untold")).to_contain_text("Nothing was stored")
    expect(page.locator("#wb-data-line")).to_contain_text("·")
    assert not list((home / "datasets").glob("long")) and not list((home / "datasets").glob(".draft-*"))


def test_an_open_tab_comes_back_whole_after_the_window_was_started_again(page: Page, window: Window) -> None:
    """Gradio loads the page again once the window answers, which it asks every 2 seconds."""
    page.set_default_timeout(SOON)
    first = finished("first")
    first.write_result("finished", "Finished. It went well.")
    page.goto(window.address)
    open_page(page, "4 Watch")
    head, runs = page.locator("#wb-watch-head"), page.locator("#wb-watch-run input")
    expect(head).to_contain_text("first is finished", timeout=SOON)
    window.kill()
    second = finished("second")
    second.write_result("finished", "Finished. This one too.")
    window.start()
    expect(head).to_contain_text("second is finished", timeout=BACK)
    expect(page.locator("#wb-status")).to_contain_text("nothing is training")
    expect(runs).to_have_value(re.compile("second"))
    runs.click()
    assert [one.strip(" ✓\n") for one in page.get_by_role("option").all_inner_texts()] == [
        "second · finished",
        "first · finished",
    ]
    page.keyboard.press("Escape")
    second.write_result("stopped", "Stopped by hand.")
    expect(head).to_contain_text("second was stopped", timeout=SOON)
    expect(page.locator(".toast-body")).to_have_count(0)
