"""Colours that can be read, and told apart by colour-blind eyes; nothing that comes from elsewhere."""

import re
from itertools import combinations, product

import pytest

from workbench.ui import theme
from workbench.ui.theme import COLOURS

TEXT = ("chosen", "rejected", "base", "aligned", "warning", "blocker", "ink", "muted")
MODES = {"light": 0, "dark": 1}

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
COLOUR_BLIND = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: str) -> tuple[float, ...]:
    """#rrggbb as linear RGB, 0 to 1 (IEC 61966-2-1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio, 1 to 21."""
    lights = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def lab(rgb: tuple[float, ...]) -> tuple[float, float, float]:
    """Linear RGB as CIE L*a*b* under D65."""
    r, g, b = (min(max(part, 0.0), 1.0) for part in rgb)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: str, other: str, eyes: str) -> float:
    """CIE 1976 colour difference as these eyes see it; 2.3 is just noticeable."""
    seen = [
        lab(
            tuple(sum(weight * part for weight, part in zip(row, linear(c), strict=True)) for row in COLOUR_BLIND[eyes])
        )
        for c in (one, other)
    ]
    return sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5


def test_black_on_white_has_the_highest_contrast() -> None:
    """(1 + 0.05) / (0 + 0.05) = 21"""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == pytest.approx(1)


@pytest.mark.parametrize(("name", "ground", "mode"), list(product(TEXT, ("surface", "page"), MODES)))
def test_text_can_be_read_on_every_ground(name: str, ground: str, mode: str) -> None:
    """WCAG AA: at least 4.5:1."""
    assert contrast(COLOURS[name][MODES[mode]], COLOURS[ground][MODES[mode]]) >= 4.5


@pytest.mark.parametrize(
    ("pair", "eyes", "mode"), list(product((("chosen", "rejected"), ("base", "aligned")), COLOUR_BLIND, MODES))
)
def test_what_shares_a_chart_is_told_apart_by_all_eyes(pair: tuple[str, str], eyes: str, mode: str) -> None:
    """At least 20: nearly ten times what is just noticeable."""
    one, other = (COLOURS[name][MODES[mode]] for name in pair)
    assert difference(one, other, eyes) >= 20


@pytest.mark.parametrize("mode", MODES)
def test_six_runs_in_one_chart_are_told_apart_by_all_eyes_and_seen_on_it(mode: str) -> None:
    """WCAG for what is no text: at least 3:1."""
    runs = [COLOURS[f"run{place}"][MODES[mode]] for place in range(1, 7)]
    apart = {(*pair, eyes): difference(*pair, eyes) for pair in combinations(runs, 2) for eyes in COLOUR_BLIND}
    assert min(apart.values()) >= 20, min(apart, key=apart.__getitem__)
    assert min(contrast(one, COLOURS["surface"][MODES[mode]]) for one in runs) >= 3


def test_every_colour_is_a_variable_in_both_modes() -> None:
    for name, (light, dark) in COLOURS.items():
        assert theme.colour_variables().count(f"--wb-{name}: {light};") >= 1
        assert theme.colour_variables().count(f"--wb-{name}: {dark};") >= 1


def test_the_style_sheet_uses_no_colour_that_is_not_in_the_table() -> None:
    own = {"tone", "side", "hue", "shade", "depth"}  # set by the sheets themselves
    known = set(COLOURS) | own
    assert set(re.findall(r"var\(--wb-([a-z0-9]+)", theme.css())) <= known
    sheet = theme.css().removeprefix(theme.colour_variables())
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?=[^{]*})", sheet)


def test_nothing_is_fetched_from_elsewhere() -> None:
    made = theme.theme()
    everything = theme.css() + made._get_theme_css() + "".join(made._stylesheets)
    # The name of the SVG format, in pictures that are written out in the sheet, is never opened.
    everything = everything.replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?:|//[a-z]|@import|@font-face", everything)
