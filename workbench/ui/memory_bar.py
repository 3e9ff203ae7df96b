"""The memory of a run as a bar against what is free, with the verdict in words and the changes that make it fit."""

from workbench.core.memory.plan import Plan, Remedy, fit_message, in_gigabytes, part_label, verdict
from workbench.ui.parts import Html, NoticeKind, escape, join, notice

_KINDS: dict[str, NoticeKind] = {"fits": "good", "tight": "warning", "no": "blocker"}
_TITLES = {"fits": "Fits", "tight": "Tight", "no": "Does not fit"}
# Part -> its look: slate for the base model, indigo for what is trained, grey for what passes. Shades tell apart.
_LOOKS = {
    "weights_4bit": "base",
    "weights": "base",
    "embeddings": "base-light",
    "reward": "base-lighter",
    "adapter": "aligned",
    "gradients": "aligned-light",
    "optimizer": "aligned-lighter",
    "activations": "passing",
    "logits": "passing-light",
    "answers": "passing-lighter",
    "reference": "passing-lighter",
    "context": "context",
}


def memory_bar(plan: Plan) -> Html:
    """A plan as the Train page shows it."""
    kind, title = _KINDS[plan.verdict], _TITLES[plan.verdict]
    words = f"{fit_message(plan.verdict, plan.total, plan.free)} Most is needed {plan.forecast.moment}."
    return Html(
        f'<section class="wb-fit">{join(notice(kind, title, words), _bar(plan), _legend(plan), _remedies(plan), _chosen(plan))}</section>'
    )


def _bar(plan: Plan) -> Html:
    """As long as the larger of what is needed and what is free, with a mark at what is free."""
    whole = max(plan.total, plan.free, 1)
    pieces = "".join(
        f'<span class="wb-memory-part wb-memory-{_LOOKS[part]}" style="width:{100 * size / whole:.3f}%"></span>'
        for part, size in plan.forecast.parts.items()
        if size
    )
    label = f"{in_gigabytes(plan.total)} needed, {in_gigabytes(plan.free)} free"
    mark = f'<span class="wb-memory-free" style="left:{100 * plan.free / whole:.3f}%"></span>'
    return Html(f'<div class="wb-memory-bar" role="img" aria-label="{escape(label)}">{pieces}{mark}</div>')


def _legend(plan: Plan) -> Html:
    exact = set(plan.forecast.exact)
    rows = "".join(
        f'<li><span class="wb-memory-key wb-memory-{_LOOKS[part]}" aria-hidden="true"></span>'
        f"<span>{escape(part_label(part))}</span>"
        f'<span class="wb-number">{escape(("" if part in exact else "up to ") + in_gigabytes(size))}</span></li>'
        for part, size in plan.forecast.parts.items()
        if size
    )
    return Html(f'<ul class="wb-memory-legend">{rows}</ul>')


def _remedies(plan: Plan) -> Html:
    together = [one for one in plan.remedies if not one.enough]
    alone = [one for one in plan.remedies if one.enough]
    # Changes that are listed where nothing is enough do not make it fit, and the page must not say that they do.
    enough = verdict(plan.total - sum(one.saves for one in together), plan.free) == "fits"
    heading = "Together these make it fit" if enough else "These save most, and are not enough"
    return join(
        _list(heading, together), _list("Either of these is enough" if together else "What makes it fit", alone)
    )


def _chosen(plan: Plan) -> Html:
    """What the run leaves open, and what it becomes on this machine."""
    rows = "".join(f"<li>{escape(words)}</li>" for words in plan.chosen)
    return Html(
        f'<div class="wb-memory-remedies"><h4>Decided for this machine</h4><ul>{rows}</ul></div>' if rows else ""
    )


def _list(heading: str, remedies: list[Remedy]) -> Html:
    if not remedies:
        return Html("")
    rows = "".join(
        f"<li>{escape(one.words)} <b>{escape('saves ' + in_gigabytes(one.saves))}</b></li>" for one in remedies
    )
    return Html(f'<div class="wb-memory-remedies"><h4>{escape(heading)}</h4><ul>{rows}</ul></div>')
