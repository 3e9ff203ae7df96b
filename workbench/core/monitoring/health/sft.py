"""Rules for SFT."""

from workbench.core.monitoring.health.curve import (
    WINDOW,
    Curve,
    ends_at,
    found_by,
    has,
    mean,
    newest_loss,
    past_its_best,
    rounded,
    start_and_now,
)
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import FIRST_FIFTH, RULES
from workbench.core.monitoring.metrics import Row


def sft_stuck(curve: Curve) -> RunFinding | None:
    """By the held-out loss, which is measured on the same rows each time and so has little noise."""
    start, now = start_and_now(curve)
    if curve.progress < FIRST_FIFTH or not curve.warmed_up or start is None or now is None:
        return None
    if now["step"] < FIRST_FIFTH * curve.steps / 2 or _fallen(start, now) >= RULES["sft_stuck"].limit:
        return None
    if now["eval_loss"] > start["eval_loss"] * (1 + RULES["sft_stuck"].limit):
        return None  # it moves, the wrong way
    return found_by(
        "sft_stuck",
        curve,
        f"At step {now['step']} of {curve.steps} the held-out loss is {now['eval_loss']:.4f}; before the first step it was "
        f"{start['eval_loss']:.4f}.",
        changes={f"{curve.stage}.learning_rate": rounded(10 * curve.rate)},
    )


def _fallen(start: Row, now: Row) -> float:
    return float(1 - now["eval_loss"] / start["eval_loss"]) if start["eval_loss"] else 0.0


def sft_rises(curve: Curve) -> RunFinding | None:
    """By the held-out loss, or by training losses that leave no doubt between two evaluations."""
    start, now = start_and_now(curve)
    limit = RULES["sft_rises"].limit
    first, last = curve.trained[:3], curve.trained[-3:]
    if start and now and now["eval_loss"] > limit * start["eval_loss"]:
        before, after, what = start["eval_loss"], now["eval_loss"], "held-out"
    elif len(curve.moved) >= 3 and all(has(row, "loss") for row in (*first, *last)):
        before, after, what = mean(first, "loss"), min(row["loss"] for row in last), "training"
        if after <= 2 * limit * before:
            return None
    else:
        return None
    return found_by(
        "sft_rises",
        curve,
        f"At step {curve.step} the {what} loss is {after:.3f} nats per token; it began at {before:.3f}.",
        changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 2)},
    )


def sft_too_easy(curve: Curve) -> RunFinding | None:
    """Next to no loss when the run has hardly begun."""
    last = curve.moved_until(0.25)[-3:]
    if len(last) < 3 or not all(has(row, "loss") for row in last):
        return None
    loss = mean(last, "loss")
    if loss >= RULES["sft_too_easy"].limit:
        return None
    words = f"At step {last[-1]['step']} of {curve.steps} the loss was {loss:.3f} nats per token."
    return found_by("sft_too_easy", curve, words)


def by_heart(curve: Curve) -> RunFinding | None:
    """Held-out past its minimum by two evaluations, or far above the training loss on rows seen again and again."""
    best = past_its_best(curve, RULES["by_heart"].limit)
    if best is not None:
        step = int(best["step"])
        return found_by(
            "by_heart",
            curve,
            f"The held-out loss was lowest at step {step}, {best['eval_loss']:.3f}; now it is "
            f"{newest_loss(curve):.3f}.",
            advice=ends_at(step),
            changes={f"{curve.stage}.max_steps": step},
            from_step=step,
        )
    rows = [row for row in curve.moved[-WINDOW:] if has(row, "loss", "epoch")]
    _, now = start_and_now(curve)
    if now is None or len(rows) < WINDOW or rows[-1]["epoch"] < 2 or mean(rows, "loss") > now["eval_loss"] / 2:
        return None
    return found_by(
        "by_heart",
        curve,
        f"The training loss is {mean(rows, 'loss'):.3f}, the held-out loss {now['eval_loss']:.3f}, and the training rows "
        f"were seen {rows[-1]['epoch']:.0f} times.",
        changes={f"{curve.stage}.epochs": 2.0, f"{curve.stage}.max_steps": 0},
    )
