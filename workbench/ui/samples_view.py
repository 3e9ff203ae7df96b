"""Sample answers of a run as HTML: what the model said before the first step, and what it says now."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.training.methods import stage_title
from workbench.ui.parts import Html, Lane, card, conversation, empty, join, signed, text

# More would be a wall of text; all of them are in samples.jsonl.
SHOWN = 4

TITLE_LENGTH = 160  # characters of a prompt

Line = Mapping[str, Any]


def samples_html(samples: Sequence[Line], is_reward: bool = False) -> Html:
    """The first prompts of the stage that was answered last, each with its answers at the start and now.

    is_reward: of a run that writes none.
    """
    if is_reward:
        return empty("A reward model writes no answers", "It scores them: how well stands above the curves.")
    if not samples:
        return empty(
            "No sample answers yet",
            "The model answers a few held-out prompts at each evaluation, unless Sample answers is set to 0.",
        )
    stage, step = samples[-1]["stage"], samples[-1]["step"]
    start = [one for one in samples if (one["stage"], one["step"]) == (stage, 0)]
    now = [one for one in samples if (one["stage"], one["step"]) == (stage, step)]
    then = {str(one["prompt"]): one for one in start}
    pairs = [_pair(then.get(str(one["prompt"])), one) for one in now[:SHOWN]]
    count = f"{len(pairs)} of {len(now)} prompts" if len(now) > len(pairs) else f"{len(now)} prompts"
    words = f"{count}, the likeliest answers, in {stage_title(stage)}. All of them are in samples.jsonl in the run's folder."
    return join(*pairs, text(words))


def _pair(then: Line | None, now: Line) -> Html:
    """One prompt with two answers side by side."""
    lanes = [] if then is None else [_answer(then, "base", "before the first step")]
    lanes += [_answer(now, "aligned", f"after step {now['step']:,}")] if now["step"] or then is None else []
    asked = str(now["prompt"][-1]["content"])
    title = asked if len(asked) <= TITLE_LENGTH else f"{asked[:TITLE_LENGTH]} …"
    return card(title, Html(f'<div class="wb-row-answers">{join(*lanes)}</div>'))


def _answer(one: Line, lane: Lane, title: str) -> Html:
    notes = [f"reward {signed(one['reward'])}"] if "reward" in one else []
    notes += [f"{one['tokens']} tokens"]
    notes += ["cut: its end was not reached"] if one["hit_limit"] else []
    notes += [f"{one['repetition']:.0%} repeated"] if one["repetition"] >= 0.01 else []
    return conversation([{"role": "assistant", "content": one["answer"]}], lane, title, note=", ".join(notes))
