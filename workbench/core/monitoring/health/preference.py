"""Rules for DPO with any of its losses, and for KTO: both compare the model with the reference that it started from.

Chosen and rejected answers are, in KTO, those with a thumb up and down; the trainer logs them under the same names.
"""

import math
import statistics

from workbench.core.monitoring.health.curve import (
    FEWEST,
    WINDOW,
    Curve,
    ends_at,
    found_by,
    has,
    held_out_count,
    mean,
    newest_loss,
    past_its_best,
    rounded,
)
from workbench.core.monitoring.health.finding import RunFinding
from workbench.core.monitoring.health.rules import FIRST_FIFTH, RULES
from workbench.core.monitoring.health.start import loss_label, wrong_start
from workbench.core.statistics import wilson
from workbench.core.training.losses import find_loss

# A share of the chosen answers' tokens: when it would write so many fewer of them itself, answers are hardly text any more.
WRITTEN_LESS = 0.2

# Standard errors above 0 from which on a mean margin is no chance: two runs in a hundred without a preference have that.
CLEARLY = 2.0

# Betas below these do not hold the model. What a token's margin counts for is another scale: Tulu 3 takes 5, SimPO 2 to
# 10. The beta of ipo and sppo_hard is a margin to aim at; .01 and .001 are published, and the loss grows all the way there.
LOWEST_PER_TOKEN = 0.5
WITHOUT_LOWEST = ("ipo", "sppo_hard")


def wrong_reference(curve: Curve) -> RunFinding | None:
    """Rafailov et al. 2023, eq. 7: with equal log-ratios the loss is -log sigmoid(0) = ln 2, and every reward is 0.

    The other losses have other starts (core/training/losses.py); where data have a part in it, as in KTO, the rewards must do.
    """
    first = next((row for row in curve.measured if row["step"] == 0), None)
    if first is None:
        return None
    told = wrong_start(first, curve.beta, curve.own.start_loss())
    return found_by("wrong_reference", curve, told) if told else None


def repeated(curve: Curve) -> RunFinding | None:
    """The reference's log-probability of the chosen answers does not depend on training, only on which ones a step sees."""
    rows = [row for row in curve.trained if has(row, "logps/chosen", "rewards/chosen")][:WINDOW]
    if len(rows) < WINDOW:
        return None
    reference = [row["logps/chosen"] - curve.nats(row, "rewards/chosen") for row in rows]
    spread = (max(reference) - min(reference)) / max(1e-9, abs(statistics.fmean(reference)))
    if spread > RULES["repeated"].limit:
        return None
    return found_by(
        "repeated",
        curve,
        f"In {WINDOW} steps of {curve.config.effective_batch} examples the reference gave the {_chosen(curve)} answers "
        f"{statistics.fmean(reference):.1f} nats each time, within {spread:.1%}.",
    )


def not_learning(curve: Curve) -> RunFinding | None:
    """Training examples of the last fifth of all steps and the last held-out ones, taken together.

    Silent where the margins say that it learns: they see a preference that an accuracy is too coarse for. Every loss
    raises the mean margin, also those that sort a batch first or lower both sides.
    """
    if curve.progress < FIRST_FIFTH or not curve.warmed_up:
        return None
    keys = ("rewards/margins", "rewards/accuracies") if curve.has_pairs else ("rewards/margins",)
    window = curve.window(math.ceil(FIRST_FIFTH * curve.steps))
    rows = [row for row in curve.moved[-window:] if has(row, *keys)]
    if len(rows) < WINDOW:
        return None
    seen = len(rows) * curve.config.effective_batch
    sums = [mean(rows, key) * seen for key in keys]
    last = next((row for row in reversed(curve.measured) if row["step"] > 0), None)
    if last and has(last, *(f"eval_{key}" for key in keys)):
        measured = held_out_count(last)
        sums = [one + measured * last[f"eval_{key}"] for one, key in zip(sums, keys, strict=True)]
        seen += measured
    # Means of a batch vary by a pair's own spread over the root of the batch. That grows as the model moves, so the last
    # batches tell what it is now. A difference of two means, of half of the answers each, varies by as much.
    of_a_batch = statistics.stdev(row["rewards/margins"] for row in rows[-WINDOW:])
    spread = of_a_batch * math.sqrt(curve.config.effective_batch)
    margin, error = sums[0] / seen, spread / math.sqrt(seen)
    if seen < FEWEST or margin > CLEARLY * error:
        return None
    if curve.has_pairs:
        told = _like_a_coin(sums[1] / seen, seen)
    else:
        told = _side_by_side(curve, margin, CLEARLY * error, spread / 2, seen)
    if told is None:
        return None
    words, turned = told
    return found_by("not_learning", curve, f"After {curve.step} of {curve.steps} steps {words}", advice=turned)


def _like_a_coin(accuracy: float, pairs: int) -> tuple[str, str] | None:
    """Evidence, and what to do about labels that are turned round; None where the accuracy may be one that learns."""
    low, high = wilson(accuracy, pairs)
    if low > 0.5 or high > RULES["not_learning"].limit:
        return None
    turned = "It prefers the rejected answers: check whether chosen and rejected are swapped."
    return (
        f"the chosen answer wins in {accuracy:.0%} of {pairs:,} pairs (95 % interval: {low:.0%} to {high:.0%}). A coin "
        "gives 50 %.",
        turned if high < 0.5 else "",
    )


def _side_by_side(curve: Curve, margin: float, give: float, spread: float, answers: int) -> tuple[str, str] | None:
    """The same of single answers, which have no accuracy: in their own standard deviations (`spread`).

    Where answers spread alike, a margin of d gives an accuracy of Phi(d / root 2), and .545 gives the .65 that counts as
    learning in `not_learning`.
    """
    most = (margin + give) / spread if spread else 0.0
    if most > math.sqrt(2) * statistics.NormalDist().inv_cdf(RULES["not_learning"].limit):
        return None
    turned = "It prefers the disliked answers: check whether the labels are swapped."
    return (
        f"the liked answers are {margin / curve.beta:.2g} nats ahead of the disliked ones, give or take "
        f"{give / curve.beta:.2g}, in {answers:,} answers.",
        turned if margin < -give else "",
    )


def hardly_moves(curve: Curve) -> RunFinding | None:
    """Told by nats: a model that moves by a hair can have any accuracy."""
    rows = [row for row in curve.moved[-WINDOW:] if has(row, "rewards/chosen", "rewards/rejected")]
    if curve.progress < FIRST_FIFTH or not curve.warmed_up or len(rows) < WINDOW:
        return None
    sides = ("rewards/chosen", "rewards/rejected")
    most = max(abs(curve.nats(row, side)) for row in rows for side in sides)
    if most >= RULES["hardly_moves"].limit:
        return None
    return found_by(
        "hardly_moves",
        curve,
        f"After {curve.step} of {curve.steps} steps at up to {curve.rate:g} no batch of answers is more than {most:.2g} "
        "nats more or less probable than at the start.",
        changes={f"{curve.stage}.learning_rate": rounded(10 * curve.rate)},
    )


def beta_too_low(curve: Curve) -> RunFinding | None:
    """A setting, with what it does in this run. Silent where beta is a margin to aim at: see WITHOUT_LOWEST."""
    loss = curve.loss_id
    lowest = LOWEST_PER_TOKEN if loss == "sigmoid_norm" else RULES["beta_too_low"].limit
    row = next((row for row in reversed(curve.moved) if has(row, "rewards/margins")), None)
    if row is None or loss in WITHOUT_LOWEST or curve.beta >= lowest:
        return None
    each = " for each token" if loss == "sigmoid_norm" else ""
    margin = curve.nats(row, "rewards/margins")
    so_far = f"so far it is {margin:.2g} for a whole answer" if each else f"so far it is {margin:.2g}"
    return found_by(
        "beta_too_low",
        curve,
        f"Beta is {curve.beta:g}; there the loss begins to saturate at a margin of {1 / curve.beta:,.0f} nats{each}, "
        f"and {so_far}.",
        advice=f"Take a beta near {_usual_beta(curve):g}.",
        changes={f"{curve.stage}.beta": _usual_beta(curve)},
    )


def _usual_beta(curve: Curve) -> float:
    """What the paper of its loss used, or that of the DPO paper."""
    return (find_loss(curve.loss_id).beta if curve.loss_id else None) or 0.1


def beta_too_high(curve: Curve) -> RunFinding | None:
    """A loss that saturates while the model has hardly moved."""
    last = [
        row for row in curve.moved[-3:] if has(row, "loss", "rewards/margins", "rewards/chosen", "rewards/rejected")
    ]
    felt = [curve.felt(row) for row in last]
    known = [one for one in felt if one is not None]
    if len(known) < 3:
        return None
    nats = mean(last, "rewards/margins") / curve.beta
    if statistics.fmean(known) < 1 or not 0 < nats < RULES["beta_too_high"].limit:
        return None
    return found_by(
        "beta_too_high",
        curve,
        f"The loss is saturated already, at {mean(last, 'loss'):.3f}, and the margin is only {nats:.2g} nats: beta is "
        f"{curve.beta:g}.",
        advice=f"Take a beta near {_usual_beta(curve):g}.",
        changes={f"{curve.stage}.beta": _usual_beta(curve)},
    )


def too_soon(curve: Curve) -> RunFinding | None:
    """Within the first fifth: a margin that no data explains, as what the answers are takes longer to learn than that; or a
    loss that is content when the run has hardly begun. By each of three rows where there is no accuracy.
    """
    last = curve.moved_until(FIRST_FIFTH)[-3:]
    if len(last) < 3 or not all(has(row, "rewards/margins") for row in last):
        return None
    nats = mean(last, "rewards/margins") / curve.beta
    at = f"At step {last[-1]['step']} of {curve.steps}"
    if curve.tokens and nats > RULES["too_fast"].limit * curve.tokens:
        return found_by(
            "too_fast",
            curve,
            f"{at} the margin was {nats:.0f} nats, {nats / curve.tokens:.1f} for each token of an answer.",
            changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 10)},
        )
    needed = ("loss", "rewards/chosen", "rewards/rejected", *(["rewards/accuracies"] if curve.has_pairs else []))
    if not all(has(row, *needed) for row in last) or beta_too_high(curve):
        return None
    felt = [one for row in last if (one := curve.felt(row)) is not None]
    if len(felt) < 3 or (curve.has_pairs and mean(last, "rewards/accuracies") <= 0.98):
        return None
    if (statistics.fmean(felt) if curve.has_pairs else min(felt)) <= RULES["too_easy"].limit:
        return None
    told = f"the accuracy was {mean(last, 'rewards/accuracies'):.0%}, the loss" if curve.has_pairs else "the loss was"
    return found_by(
        "too_easy",
        curve,
        f"{at} {told} {mean(last, 'loss'):.3f} and the margin {nats:.0f} nats.",
        changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 2)},
    )


def chosen_falls(curve: Curve) -> RunFinding | None:
    """Likelihood displacement (Razin et al. 2024): by nats per token, and by what the model would write itself."""
    last = [row for row in curve.moved if has(row, "rewards/chosen")][-2:]
    if len(last) < 2:
        return None
    tokens = curve.tokens
    fall = -mean(last, "rewards/chosen") / curve.beta
    per_token = fall / tokens if tokens else 0.0
    before, now = _written_itself(curve)
    gone = fall > 0 and before - now > WRITTEN_LESS
    if per_token <= RULES["chosen_falls"].limit and not gone and not _falls_for_nothing(curve, tokens):
        return None
    words = [f"The {_chosen(curve)} answers lost {fall:.0f} nats against the reference"]
    words += [f"{per_token:.1f} for each token"] if tokens else []
    words += [f"of their tokens the model would write {now:.0%} itself, at first {before:.0%}"] if gone else []
    return found_by(
        "chosen_falls",
        curve,
        f"{', '.join(words)}.",
        changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 2)},
        from_step=_before_the_fall(curve, tokens),
        severity="blocker" if gone and before - now > 2 * WRITTEN_LESS else None,
    )


def _chosen(curve: Curve) -> str:
    return "chosen" if curve.has_pairs else "liked"


def _written_itself(curve: Curve) -> tuple[float, float]:
    """Share of the chosen tokens that the model itself would write next: at the start and now."""
    shares = [row["mean_token_accuracy"] for row in curve.trained if has(row, "mean_token_accuracy")]
    return (statistics.fmean(shares[:3]), statistics.fmean(shares[-2:])) if len(shares) >= WINDOW else (0.0, 0.0)


def _falls_for_nothing(curve: Curve, tokens: float | None) -> bool:
    """Whether the chosen answers fell by a tenth of a nat per token between two windows, and the margin gained nothing.

    apo_down is meant to lower both sides.
    """
    rows = [row for row in curve.moved[-2 * WINDOW :] if has(row, "rewards/chosen", "rewards/margins")]
    if len(rows) < 2 * WINDOW or not tokens or curve.loss_id == "apo_down":
        return False
    before, now = rows[:WINDOW], rows[WINDOW:]
    fall = (mean(before, "rewards/chosen") - mean(now, "rewards/chosen")) / curve.beta
    gain = (mean(now, "rewards/margins") - mean(before, "rewards/margins")) / curve.beta
    return fall > tokens / 10 and gain < fall / 10


def _before_the_fall(curve: Curve, tokens: float | None) -> int | None:
    """The last step at which the chosen answers had lost less than a quarter of what is too much."""
    most = RULES["chosen_falls"].limit / 4 * (tokens or 1)
    steps = [
        row["step"] for row in curve.moved if has(row, "rewards/chosen") and -curve.nats(row, "rewards/chosen") < most
    ]
    return int(steps[-1]) if steps else None


def rate_too_high(curve: Curve) -> RunFinding | None:
    """Above its start further than the noise between batches explains, and not on training batches alone.

    Not by the training loss of KTO, which goes with the share of thumbs up in a batch.
    """
    start = curve.start_loss
    if start is None:
        return None
    limit = RULES["rate_too_high"].limit * start
    held_out = [row["eval_loss"] for row in curve.measured if row["step"] > 0 and has(row, "eval_loss")]
    if held_out and held_out[-1] < start:
        return None
    over = [loss - start for loss in held_out[-2:]]
    measured = len(over) == 2 and min(over) > limit
    trained = _above_the_noise(curve, start) if curve.has_pairs else 0.0
    if not measured and trained <= limit:
        return None
    return found_by(
        "rate_too_high",
        curve,
        f"The loss is {held_out[-1] if measured else start + trained:.3f}; where nothing was preferred it was "
        f"{loss_label(start)}.",
        changes={f"{curve.stage}.learning_rate": rounded(curve.rate / 2)},
    )


def _above_the_noise(curve: Curve, start: float) -> float:
    """How far the last training losses lie above the start; 0 where that may be the noise between batches."""
    window = curve.window(curve.steps // 20)
    losses = [row["loss"] for row in curve.moved[-window:] if has(row, "loss")]
    if len(losses) < window:
        return 0.0
    above = statistics.fmean(losses) - start
    return above if above > 3 * statistics.stdev(losses) / math.sqrt(len(losses)) else 0.0


def held_out_at_chance(curve: Curve) -> RunFinding | None:
    """Intervals of both accuracies, so that few pairs say little."""
    measured = next((row for row in reversed(curve.measured) if row["step"] > 0), None)
    rows = [row for row in curve.moved[-2 * WINDOW :] if has(row, "rewards/accuracies")]
    if measured is None or len(rows) < WINDOW or not has(measured, "eval_rewards/accuracies"):
        return None
    held_out = held_out_count(measured)
    pairs = len(rows) * curve.config.effective_batch
    if held_out < 20 or pairs < WINDOW * 8:
        return None
    trained = mean(rows, "rewards/accuracies")
    lowest, _ = wilson(trained, pairs)
    low, highest = wilson(measured["eval_rewards/accuracies"], held_out)
    if low > 0.5 or lowest - highest < RULES["held_out_at_chance"].limit:
        return None
    return found_by(
        "held_out_at_chance",
        curve,
        f"It prefers the chosen answer in {trained:.0%} of the last {pairs:,} training pairs, and in "
        f"{measured['eval_rewards/accuracies']:.0%} of {held_out:,} held-out pairs.",
    )


def over_optimised(curve: Curve) -> RunFinding | None:
    """The held-out loss past its minimum by two evaluations, while the training margin grows."""
    best = past_its_best(curve, RULES["over_optimised"].limit)
    if best is None:
        return None
    rows = [row for row in curve.moved if has(row, "rewards/margins")]
    then = [row for row in rows if row["step"] <= best["step"]][-WINDOW:]
    if not then or mean(rows[-WINDOW:], "rewards/margins") <= mean(then, "rewards/margins"):
        return None
    step = int(best["step"])
    return found_by(
        "over_optimised",
        curve,
        f"The held-out loss was lowest at step {step}, {best['eval_loss']:.3f}; now it is "
        f"{newest_loss(curve):.3f}, and the training margin went from "
        f"{mean(then, 'rewards/margins') / curve.beta:.1f} to {mean(rows[-WINDOW:], 'rewards/margins') / curve.beta:.1f} nats.",
        advice=ends_at(step),
        changes={f"{curve.stage}.max_steps": step},
        from_step=step,
    )


def length_decides(curve: Curve) -> RunFinding | None:
    """Seen in the data before the first step; the doctor of the data says the same."""
    if curve.facts.get("answers/examples", 0.0) < FEWEST:
        return None
    for side in ("longer", "shorter"):
        share = curve.facts.get(f"answers/chosen_{side}", 0.0)
        if share > RULES["length_decides"].limit:
            return found_by(
                "length_decides", curve, f"The chosen answer is the {side} one in {share:.0%} of the pairs."
            )
    return None
