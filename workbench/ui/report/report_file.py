"""A report as one file that needs nothing else: no script, no picture, nothing from a network."""

from pathlib import Path

from workbench.core.report.card import card_of
from workbench.core.report.material import Material
from workbench.ui.colours import colour_variables
from workbench.ui.parts import escape, page_head
from workbench.ui.report.report_html import report_html

# What the frame of the window gives a page otherwise.
_FRAME = """
body { margin: 0; background: var(--wb-page); color: var(--wb-ink); font: 15px/1.55 ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 48px; }
main > * + * { margin-top: 20px; }
*, *::before { box-sizing: border-box; }
@media print { details > summary { list-style: none; } }
"""


def report_file(material: Material) -> str:
    """The whole page. Nothing in it can run: the policy forbids scripts, and all text is escaped."""
    title = f"Report: {card_of(material).title}"
    sheets = "".join((Path(__file__).parent.parent / f"{name}.css").read_text("utf-8") for name in ("theme", "report"))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<style>{colour_variables(by_system=True)}{sheets}{_FRAME}</style></head><body><main>"
        f"{page_head(title, 'What was measured, how sure it is, and what it does not say.')}{report_html(material, None)}"
        "</main></body></html>\n"
    )
