"""Rules for every stage."""

import math
import statistics
from collections.abc import Sequence

from workbench.core.monitoring.health.curve import FEWEST, WINDOW, Curve, finite, found_by, has, rounded
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import RULES
from workbench.core.monitoring.metrics import Row
from workbench.core.statistics import wilson

# Steps in a row: at half the scale each time, from 65,536 down to 256.
OVERFLOWS = 8


def exploding(curve: Curve) -> RunFinding | None:
    """A number that is not finite, or a gradient far above the usual ones of this run.

    A jump that clipping scaled down to an ordinary step is told without ending the run, and forgotten when the run goes
    on well.
    """
    norms: list[float] = []
    lost, early = 0, 0.0
    for place, row in enumerate(curve.trained):
        norm = row.get("grad_norm")
        # In fp16 a few gradients overflow while the trainer looks for their scale; it leaves these steps out.
        lost = 0 if finite(row, "grad_norm") else lost + 1
        if not finite(row, "loss") or lost > OVERFLOWS:
            what = "gradient" if finite(row, "loss") else "loss"
            return _blown_up(curve, row, f"At step {row['step']} the {what} is not a number.", True)
        if norm is None:
            continue
        if len(norms) >= WINDOW:
            # The first ones count besides all: at the end of a good run gradients are small, and any hard pair jumps out.
            if len(norms) <= 2 * WINDOW:
                early = statistics.median(norms)
            usual = early
            if norm > RULES["exploding"].limit * usual:
                usual = max(usual, statistics.median(norms))
            if norm > RULES["exploding"].limit * usual > 0:
                applied = min(norm, curve.config.max_grad_norm)
                after = curve.trained[place : place + 3]
                harmed = applied > RULES["exploding"].limit * usual or _jumped(curve.trained[:place], after)
                if not harmed and place + 2 * WINDOW < len(curve.trained):
                    continue
                held = "" if harmed else f" Clipping held the step to {applied:g}."
                words = f"At step {row['step']} the gradient norm is {norm:.3g}, and {usual:.3g} is usual in this run.{held}"
                return _blown_up(curve, row, words, harmed)
        norms.append(float(norm))
    return None


def _blown_up(curve: Curve, row: Row, evidence: str, harmed: bool) -> RunFinding:
    before = int(row["step"]) - 1
    back = f"from a checkpoint of step {before} or earlier where one is kept, otherwise from the beginning"
    finding = found_by(
        "exploding",
        curve,
        evidence,
        advice=f"Halve the learning rate and start again, {back}." if before else "",
        changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 2)},
        from_step=before or None,
    )
    later = {"step": int(row["step"]), "severity": "blocker" if harmed else "warning", "stop": harmed}
    return finding.model_copy(update=later)


def _jumped(before: Sequence[Row], after: Sequence[Row]) -> bool:
    """Whether the loss is twice what it ever was."""
    known = [row["loss"] for row in before if has(row, "loss")]
    return bool(known) and any(row["loss"] > 2 * max(known) for row in after if has(row, "loss"))


def nothing_moves(curve: Curve) -> RunFinding | None:
    """Steps that leave no trace in any digit."""
    needed = int(RULES["nothing_moves"].limit)
    last = curve.moved[-needed:]
    if len(last) < needed:
        return None
    if all(row.get("grad_norm") == 0 for row in last):
        return found_by("nothing_moves", curve, f"The gradient was exactly 0 in the last {needed} steps.")
    rewards = [row.get(f"rewards/{side}") for row in last for side in ("chosen", "rejected")]
    if curve.method.has_reference and all(reward == 0 for reward in rewards):
        return found_by("nothing_moves", curve, f"All rewards were exactly 0 in the last {needed} steps.")
    if curve.method.has_reference and curve.has_pairs and all(row.get("rewards/margins") == 0 for row in last):
        return found_by(
            "nothing_moves",
            curve,
            f"Chosen and rejected answers had the same reward to the last digit in the last {needed} steps, as answers "
            "that are equal have.",
        )
    return None


def seen_often(curve: Curve) -> RunFinding | None:
    """Counted before the first step."""
    examples = curve.facts.get("answers/examples")
    if not examples:
        return None
    times = curve.steps * curve.config.effective_batch / examples
    if times <= RULES["seen_often"].limit:
        return None
    steps = max(1, math.floor(3 * examples / curve.config.effective_batch))
    return found_by(
        "seen_often",
        curve,
        f"{curve.steps:,} steps of {curve.config.effective_batch} see each of the {examples:,.0f} different examples "
        f"{times:.0f} times.",
        changes={f"{curve.stage}.max_steps": steps},
    )


def answers_alike(curve: Curve) -> RunFinding | None:
    """Counted before the first step."""
    share = curve.facts.get("answers/commonest", 0.0)
    if share <= RULES["answers_alike"].limit or curve.facts.get("answers/examples", 0.0) < FEWEST:
        return None
    return found_by("answers_alike", curve, f"{share:.0%} of the answers to imitate are the same one, token by token.")


def no_end(curve: Curve) -> RunFinding | None:
    """Trained answers without an end token, or sample answers that hit their limit more often than chance explains."""
    limit = RULES["no_end"].limit
    without = 1 - curve.facts.get("answers/ended", 1.0)
    if without > limit:
        words = f"{without:.0%} of the answers that are trained on do not end in a token at which the model stops."
        return found_by("no_end", curve, words, severity="blocker" if without >= 0.5 else None)
    start, now = sampled(curve)
    if start is None or now is None:
        return None
    lowest, _ = wilson(now["samples/at_limit"], int(now["samples/answers"]))
    if lowest - start["samples/at_limit"] <= limit:
        return None
    return found_by(
        "no_end",
        curve,
        f"{now['samples/at_limit']:.0%} of {now['samples/answers']:.0f} sample answers run into their limit; before the "
        f"first step it was {start['samples/at_limit']:.0%}.",
    )


def sampled(curve: Curve) -> tuple[Row | None, Row | None]:
    """The sample answers before the first step and the last ones, in numbers; None where one of them is not known."""
    rows = [row for row in curve.others if has(row, "samples/answers")]
    if len(rows) < 2 or rows[0]["step"] != 0 or not has(rows[-1], "samples/longer", "samples/repeats_more"):
        return None, None
    return rows[0], rows[-1]


def length_exploited(curve: Curve) -> RunFinding | None:
    """By the sample answers: longer in all, and most of them longer than the answer to the same prompt was.

    Not for SFT, which is asked to write as long as its data do.
    """
    start, now = sampled(curve)
    if start is None or now is None or not start["samples/tokens"]:
        return None
    ratio = now["samples/tokens"] / start["samples/tokens"]
    most, _ = wilson(now["samples/longer"], int(now["samples/answers"]))
    if ratio <= RULES["length_exploited"].limit or most <= 0.5:
        return None
    words = (
        f"{now['samples/longer']:.0%} of {now['samples/answers']:.0f} sample answers are longer than before the first "
        f"step: {now['samples/tokens']:.0f} tokens on average, {ratio:.2f} times the {start['samples/tokens']:.0f} of then."
    )
    return found_by("length_exploited", curve, words, severity="blocker" if ratio > 1.5 else None)


def repeats_itself(curve: Curve) -> RunFinding | None:
    """By the sample answers: more runs of four tokens said again, in more answers than one that went wrong."""
    start, now = sampled(curve)
    if start is None or now is None:
        return None
    more = now["samples/repetition"] - start["samples/repetition"]
    several, _ = wilson(now["samples/repeats_more"], int(now["samples/answers"]))
    if more <= RULES["repeats_itself"].limit or several <= 0.05:
        return None
    return found_by(
        "repeats_itself",
        curve,
        f"{now['samples/repetition']:.0%} of the text in the sample answers repeats earlier words; before the first "
        f"step it was {start['samples/repetition']:.0%}. {now['samples/repeats_more']:.0%} of "
        f"{now['samples/answers']:.0f} answers do it more than then.",
        changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 2)},
    )
