"""How the window looks: one table of colours, a Gradio theme and a style sheet that read it.

No font, picture or script comes from elsewhere, so the window works offline.
"""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, sizes

from workbench.ui.colours import COLOURS as COLOURS
from workbench.ui.colours import colour_variables

_FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

_INK, _MUTED, _GRID, _SURFACE, _PAGE, _ACCENT, _BLOCKER = (
    f"var(--wb-{name})" for name in ("ink", "muted", "grid", "surface", "page", "aligned", "blocker")
)
_SOFT = "color-mix(in srgb, var(--wb-aligned) 10%, var(--wb-surface))"
_STRONG = "color-mix(in srgb, var(--wb-aligned) 88%, var(--wb-ink))"

# Gradio's variables -> ours. Each of ours has a dark value of its own, so both modes read the same name. What Gradio
# derives from another one of these is left to it.
_SURFACES = {
    "body_background_fill": _PAGE,
    "body_text_color": _INK,
    "body_text_color_subdued": _MUTED,
    "background_fill_primary": _SURFACE,
    "background_fill_secondary": _PAGE,
    "border_color_primary": _GRID,
    "border_color_accent": _ACCENT,
    "border_color_accent_subdued": _GRID,
    "color_accent_soft": _SOFT,
    "link_text_color": _ACCENT,
    "link_text_color_hover": _STRONG,
    "link_text_color_visited": _ACCENT,
    "link_text_color_active": _ACCENT,
    "code_background_fill": _PAGE,
    "block_background_fill": _SURFACE,
    "block_border_width": "1px",
    "block_shadow": "none",
    "block_label_background_fill": _SURFACE,
    "block_label_text_color": _MUTED,
    "block_title_text_color": _INK,
    "panel_background_fill": _SURFACE,
    "stat_background_fill": _SOFT,
    "table_border_color": _GRID,
    "table_even_background_fill": _SURFACE,
    "table_odd_background_fill": _SURFACE,
    "error_background_fill": _SURFACE,
    "error_border_color": _BLOCKER,
    "error_text_color": _BLOCKER,
    "error_icon_color": _BLOCKER,
}
_FIELDS = {
    "input_background_fill": _SURFACE,
    "input_background_fill_focus": _SURFACE,
    "input_border_color": "color-mix(in srgb, var(--wb-muted) 40%, var(--wb-surface))",
    "input_border_color_focus": _ACCENT,
    "input_border_width": "1px",
    "input_placeholder_color": _MUTED,
    "input_shadow": "none",
    "input_shadow_focus": f"0 0 0 3px {_SOFT}",
    "checkbox_background_color": _SURFACE,
    "checkbox_border_color": "color-mix(in srgb, var(--wb-muted) 60%, var(--wb-surface))",
    "checkbox_label_background_fill_selected": _SOFT,
    "checkbox_label_border_color_selected": _ACCENT,
    "checkbox_label_shadow": "none",
    "loader_color": _ACCENT,
    "slider_color": _ACCENT,
}
_BUTTONS = {
    "button_border_width": "1px",
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": _STRONG,
    "button_primary_border_color": _ACCENT,
    "button_primary_border_color_hover": _STRONG,
    "button_primary_text_color": _SURFACE,
    "button_primary_shadow": "none",
    "button_secondary_background_fill": _SURFACE,
    "button_secondary_background_fill_hover": _PAGE,
    "button_secondary_border_color": "color-mix(in srgb, var(--wb-muted) 40%, var(--wb-surface))",
    "button_secondary_border_color_hover": _MUTED,
    "button_secondary_text_color": _INK,
    "button_secondary_shadow": "none",
    "button_cancel_background_fill_hover": "color-mix(in srgb, var(--wb-blocker) 8%, var(--wb-surface))",
    "button_cancel_border_color": _BLOCKER,
    "button_cancel_border_color_hover": _BLOCKER,
    "button_cancel_text_color": _BLOCKER,
    "button_cancel_text_color_hover": _BLOCKER,
}


def css() -> str:
    """The style sheet of the window, with the colours in front, and behind it those of its own components."""
    sheets = ("theme", "chart", "lengths", "token_view", "memory_bar", "time_bar", "report", "sweep")
    return "\n".join(
        [colour_variables(), *(Path(__file__).with_name(f"{one}.css").read_text("utf-8") for one in sheets)]
    )


def theme() -> gr.themes.Base:
    """Gradio's own parts in the same colours: flat, thin lines, one colour for what can be clicked."""
    base = gr.themes.Base(
        primary_hue=colors.indigo,
        secondary_hue=colors.indigo,
        neutral_hue=colors.slate,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_md,
        font=_FONT,
        font_mono=_MONO,
    )
    base.name = "workbench"
    both = _SURFACES | _FIELDS | _BUTTONS
    return base.set(
        **both,
        **{f"{name}_dark": value for name, value in both.items()},
        color_accent=_ACCENT,
        block_title_text_weight="600",
        block_label_text_weight="500",
        block_info_text_size="13px",
        block_radius="10px",
        input_radius="8px",
        button_large_radius="8px",
        button_medium_radius="8px",
        button_small_radius="6px",
        button_large_text_size="*text_md",
        button_large_padding="10px 18px",
        button_large_text_weight="600",
        button_medium_text_weight="500",
        button_transform_hover="none",
        button_transform_active="none",
        layout_gap="16px",
        form_gap_width="0px",
        shadow_drop="none",
        shadow_drop_lg="0 8px 24px rgb(0 0 0 / 12%)",
        table_text_color=_INK,
        accordion_text_color=_INK,
    )
