"""The colours of the window, of charts and of files made for a browser."""

# Meaning -> (light, dark). One colour has one meaning in charts, chats, tables and notices, and is never the only
# sign of it. Each becomes the CSS variable --wb-NAME, and each that colours text has 4.5:1 on surface and page.
# Chosen and rejected, base and aligned stay apart for colour-blind eyes: tests/test_theme.py measures it.
COLOURS = {
    "chosen": ("#0a7a80", "#4fd8cf"),  # teal: chosen, preferred; good
    "rejected": ("#be123c", "#fb5b7d"),  # rose: rejected
    "base": ("#5b6779", "#b4bcc8"),  # slate: base model, reference
    "aligned": ("#4338ca", "#8b87f8"),  # indigo: aligned model, policy; what can be clicked
    "warning": ("#9a5b00", "#fbbf24"),  # amber: warning
    "blocker": ("#b42318", "#f97066"),  # red: stop
    "ink": ("#1a2230", "#e7eaf0"),  # text
    "muted": ("#5a6473", "#9aa4b3"),  # text of less weight
    "grid": ("#e4e7ec", "#2a303b"),  # lines: borders, axes
    "surface": ("#ffffff", "#161a22"),  # cards, charts
    "page": ("#f7f8fa", "#0e1117"),  # what cards lie on
    # Runs in one chart, in their order. The first keeps its own colour. Any two differ for colour-blind eyes too.
    "run1": ("#4338ca", "#8b87f8"),
    "run2": ("#af820e", "#eae626"),
    "run3": ("#1a9c7c", "#9de570"),
    "run4": ("#e94ec9", "#e98da1"),
    "run5": ("#a21827", "#d83e41"),
    "run6": ("#491570", "#79f4f6"),
}


def colour_variables(by_system: bool = False) -> str:
    """The colours as CSS variables, for light and for dark. by_system: as the reader's system has it, in a file without Gradio."""
    light = " ".join(f"--wb-{name}: {pair[0]};" for name, pair in COLOURS.items())
    dark = " ".join(f"--wb-{name}: {pair[1]};" for name, pair in COLOURS.items())
    if by_system:
        return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    return f":root {{ {light} }}\n:root.dark, :root .dark {{ {dark} }}"
