"""A row as the model sees it: its tokens through the chat template, and what is read, learned from and cut."""

from workbench.core.data.token_counts import ThoughtsFate, TokenLane, TokenPiece, View
from workbench.ui import parts
from workbench.ui.parts import Html, Lane

_LANES: dict[str, Lane] = {"chosen": "chosen", "rejected": "rejected"}


def view_html(view: View) -> Html:
    """A row's lanes, one below the other. The prompt, which they share, is shown once."""
    cut_words = f"cut at {view.max_length:,} tokens"
    strips = [
        parts.token_strip(
            lane.pieces if place == 0 else _without_prompt(lane),
            _LANES[lane.part],
            _title(lane, len(view.lanes) > 1),
            cut_words,
            _note(lane, view.left_out),
        )
        for place, lane in enumerate(view.lanes)
    ]
    return parts.join(*_warning(view), *_forgotten(view), *strips)


def _title(lane: TokenLane, is_pair: bool) -> str:
    counts = [f"prompt {lane.prompt:,}", f"{lane.part if is_pair else 'answer'} {lane.trained:,} trained"]
    if lane.cut:
        counts.append(f"{lane.cut:,} cut")
    return " · ".join(counts)


_THOUGHTS: dict[ThoughtsFate, str] = {
    "none": "",
    "kept": "The thoughts of this answer are trained on.",
    "deleted": "The chat template deletes the thoughts of this answer.",
    "after a closed one": "With Thinking off the prompt ends with a thought that is over already, and this answer's own follow it.",
    "an empty one added": "The chat template writes an empty thought before this answer, which has none.",
}


def _note(lane: TokenLane, left_out: bool) -> str:
    if left_out:
        return ""
    return f"{_end_note(lane)} {_THOUGHTS[lane.thoughts]}".strip()


def _end_note(lane: TokenLane) -> str:
    if lane.stops:
        return ""
    if lane.cut:
        return "The end of the answer is cut off, so the model does not learn here where to stop."
    return "The answer does not end in a token that the model stops at, so it does not learn here where to stop."


def _warning(view: View) -> list[Html]:
    if not view.left_out:
        return []
    return [
        parts.notice(
            "warning",
            "This row is left out of training",
            f"Its prompt alone fills {view.max_length:,} tokens, so nothing of the answers would be left to learn from.",
            "Raise max length on the Train page, or shorten the prompt.",
        )
    ]


def _forgotten(view: View) -> list[Html]:
    if not view.forgets:
        return []
    words = "This model's chat template leaves the thoughts of earlier answers out, in training as in a chat."
    return [parts.notice("info", "Earlier thoughts are not in the prompt", words)]


def _without_prompt(lane: TokenLane) -> list[TokenPiece]:
    rest = [piece for piece in lane.pieces if piece.kind != "prompt"]
    # A gap within the prompt goes with it; one after it stays.
    first = next((place for place, piece in enumerate(rest) if piece.kind != "skipped"), len(rest))
    same = TokenPiece(text=f"… the same prompt, {lane.prompt:,} tokens …", kind="skipped", tokens=lane.prompt)
    return [same, *rest[first:]]
