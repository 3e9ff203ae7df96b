"""What live charts cost a browser: ours, Gradio's own LinePlot, and uPlot, the same numbers in each. Prints a table.

    python tests/benchmarks/dashboard.py [--seconds 60] [--ways ours LinePlot uPlot] [--uplot uPlot.iife.min.js]

Eight charts of four runs with 250 points each, a new point in every line at each tick of two seconds, in a headless Chromium that
draws without a graphics card. Measured is the page's main thread from the time when all is drawn. working: the share of the
time in which it does anything at all (a page without a chart is measured too: that is Gradio's own part). cpu: the same in
processor time, which other programs disturb less. blocked: the share that lies in tasks over 50 ms, less 50 ms of each, as
"total blocking time" counts. freeze: the longest task; 0 where none took 50 ms. heap: after a collection, at the end.
kept: a zoom, and a line that was switched off, are still there at the end; "-" where there is no such thing, or it is lost at
each update.

uPlot comes from npm (`npm pack uplot`; dist/uPlot.iife.min.js): it is left out without --uplot. The exit status is 1 where ours
is over one of the limits.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import gradio as gr  # noqa: E402
import pandas as pd  # noqa: E402
from browser.conftest import _QUIET, browser_program  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from workbench.ui.chart import CHARTS_CLASS, packed, picture  # noqa: E402
from workbench.ui.explained_view import explained_html  # noqa: E402
from workbench.ui.launch import launch_kwargs  # noqa: E402

CHARTS, RUNS, POINTS, TICK = 8, 4, 250, 2.0
MOST_BLOCKED, MOST_FREEZE, MOST_HEAP = 0.05, 100.0, 80.0  # a share, ms, MB
WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: 'longtask', buffered: false });
}"""
U_PLOT = """
let plot = null;
const show = () => {
  const chart = JSON.parse(props.value || '{}');
  if (!chart.lines) return;
  const data = [chart.lines[0].points.map((one) => one[0]), ...chart.lines.map((line) => line.points.map((one) => one[1]))];
  if (plot) { plot.setData(data, false); plot.redraw(); return; }
  const series = chart.lines.map((line, place) => ({ label: line.run, stroke: ['#4338ca', '#af820e', '#1a9c7c', '#e94ec9'][place] }));
  const options = { width: 520, height: 260, title: chart.title, scales: { x: { time: false } }, series: [{}, ...series] };
  plot = new uPlot(options, data, element.firstElementChild);
};
watch('value', show);
show();
"""


@dataclass(frozen=True)
class Cost:
    working: float
    cpu: float
    blocked: float
    freeze: float  # ms
    heap: float  # MB
    kept: str


def value(place: int, ticks: int) -> dict[str, Any]:
    """A chart of losses that fall with some noise, which is the same in every browser. ticks: how many came so far."""
    lines = [
        {
            "name": "training", "role": f"run{run + 1}", "style": "solid", "weight": "thick", "run": f"run-{run}",
            "points": [
                [step, round(math.exp(-step / 300) + 0.05 * math.sin(97.0 * step * (run + 2)) + 0.1 * run, 4)]
                # From the first step to one that is further at each tick, as a long run is thinned out.
                for step in (round((point + 1) * (POINTS + ticks) / POINTS) for point in range(POINTS))
            ],
        }
        for run in range(RUNS)
    ]  # fmt: skip
    return {
        "id": f"chart-{place}", "title": f"Chart {place}", "measure": "loss", "unit": "", "x": "step", "log": True,
        "lines": lines, "references": [], "marks": [], "reading": f"Tick {ticks}.",
    }  # fmt: skip


def frame_of(chart: dict[str, Any]) -> pd.DataFrame:
    rows = [(x, y, line["run"]) for line in chart["lines"] for x, y in line["points"]]
    return pd.DataFrame(rows, columns=["step", "loss", "run"])


def ours(place: int) -> gr.HTML:
    return picture("chart", f"chart-{place}", explanation=explained_html("dpo-loss"))


def line_plot(place: int) -> gr.LinePlot:
    return gr.LinePlot(
        None, x="step", y="loss", color="run", title=f"Chart {place}", elem_id=f"chart-{place}", height=300
    )


def u_plot(place: int) -> gr.HTML:
    return gr.HTML(html_template="<div></div>", js_on_load=U_PLOT, apply_default_css=False, elem_id=f"chart-{place}")


WAYS: dict[str, tuple[Callable[[int], Any] | None, Callable[[dict[str, Any]], Any], str]] = {
    "none": (None, packed, ""),
    "ours": (ours, packed, "canvas"),
    "LinePlot": (line_plot, frame_of, "canvas, svg.marks"),
    "uPlot": (u_plot, packed, "canvas"),
}
"""Name -> the component, what a tick sends it, and by what it is seen to be drawn."""


def measured(way: str, browser: Browser, seconds: float, head: str) -> Cost:
    draw, send, mark = WAYS[way]
    ticks = [0]

    def tick() -> list[Any]:
        ticks[0] += 1
        return [send(value(place, ticks[0])) for place in range(CHARTS)] if draw else []

    with gr.Blocks() as blocks:
        with gr.Column(elem_classes=CHARTS_CLASS):
            shown = [draw(place) for place in range(CHARTS)] if draw else []
        gr.Timer(TICK).tick(tick, None, shown, show_progress="hidden", queue=False)
    options = launch_kwargs()
    _, url, _ = blocks.launch(prevent_thread_lock=True, **(options | {"head": options["head"] + head}))
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}?__theme=light")
    if draw:
        page.locator(f"#chart-{CHARTS - 1} :is({mark})").first.wait_for()
    if way == "ours":
        zoom_and_hide(page)
    page.wait_for_timeout(3 * TICK * 1000)
    cost = watched(page, seconds, way)
    context.close()
    blocks.close()
    return cost


def zoom_and_hide(page: Page) -> None:
    page.locator("#chart-0 .wb-chart-line").first.click()
    box = page.locator("#chart-0 canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.99 * box["width"], box["y"] + 90, steps=4)
    page.mouse.up()
    page.mouse.move(2, 2)


def watched(page: Page, seconds: float, way: str) -> Cost:
    page.evaluate(WATCH)
    chromium = page.context.new_cdp_session(page)
    chromium.send("Performance.enable")

    def now() -> dict[str, float]:
        return {one["name"]: one["value"] for one in chromium.send("Performance.getMetrics")["metrics"]}

    before, began = now(), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    after, took = now(), time.monotonic() - began
    tasks: list[float] = page.evaluate("window.tasks")
    chromium.send("HeapProfiler.collectGarbage")
    kept = "-"
    if way == "ours":
        hidden = page.locator("#chart-0 .wb-chart-line").first.get_attribute("aria-pressed") == "false"
        zoomed = page.locator("#chart-0").get_by_role("button", name="whole run").is_visible()
        kept = "both" if hidden and zoomed else "LOST"
    return Cost(
        (after["TaskDuration"] - before["TaskDuration"]) / took,
        (after.get("ThreadTime", 0.0) - before.get("ThreadTime", 0.0)) / took,
        sum(max(0.0, one - 50) for one in tasks) / 1000 / took,
        max(tasks, default=0.0),
        now()["JSHeapUsedSize"] / 1e6,
        kept,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each way; 600 for the limits")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--uplot", type=Path, help="uPlot.iife.min.js")
    options = parser.parse_args()
    os.environ |= {"WORKBENCH_HOME": tempfile.mkdtemp(prefix="dashboard-"), "GRADIO_ANALYTICS_ENABLED": "False"}
    library = options.uplot.read_text("utf-8") if options.uplot else ""
    costs: dict[str, Cost] = {}
    titles = ("working", "cpu", "blocked", "freeze", "heap", "kept")
    print(f"{'':<10}{''.join(f'{title:>10}' for title in titles)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=list(_QUIET))
        for way in options.ways:
            if way == "uPlot" and not library:
                continue
            one = costs[way] = measured(
                way, browser, options.seconds, f"<script>{library}</script>" if way == "uPlot" else ""
            )
            cells = (
                f"{one.working:.1%}", f"{one.cpu:.1%}", f"{one.blocked:.1%}", f"{one.freeze:.0f} ms", f"{one.heap:.1f} MB", one.kept,
            )  # fmt: skip
            print(f"{way:<10}{''.join(f'{cell:>10}' for cell in cells)}", flush=True)
        browser.close()
    own = costs.get("ours")
    too_much = own and (
        own.blocked > MOST_BLOCKED or own.freeze > MOST_FREEZE or own.heap > MOST_HEAP or own.kept != "both"
    )
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
