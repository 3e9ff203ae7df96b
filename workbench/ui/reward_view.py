"""How good a reward model is, and what an online run did with its reward, as the Watch page tells of them."""

from statistics import fmean

from workbench.core.monitoring.metrics import GENERATING
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS
from workbench.store.run_files import RewardFacts
from workbench.store.runs import Run
from workbench.ui.parts import Html, card, facts, interval, join, notice, signed, table, text

FROZEN_NAMES = {"base": "base model", "reference": "reference", "reward": "reward model"}


TIMED = 10  # steps of which a mean is told


def reward_html(run: Run, config: RunConfig, log: RunLog) -> Html:
    """Of a reward model how good it is, of an online run what judged it; nothing of other runs."""
    stage = config.stages[-1]
    if METHODS[stage].scores:
        found = run.reward_facts()
        return quality_html(found) if found else Html("")
    return online_html(run, config, stage, log) if METHODS[stage].online else Html("")


def quality_html(found: RewardFacts) -> Html:
    """Accuracy with its interval, margin, calibration, and whether it judges by length."""
    if found.accuracy is None:
        return Html("")
    pairs: list[tuple[str, object]] = [
        ("Spread", f"raw scores have a mean of {signed(found.mean)} and a standard deviation of {found.std:.2f}")
    ]
    if found.margin is not None:
        words = f"chosen answers score {found.margin:.2f} higher than rejected ones, {found.margin / found.std:.1f} standard deviations"
        pairs.append(("Margin", words))
    if found.shorter_accuracy is not None:
        pairs.append(
            (
                "Where the chosen answer is shorter",
                f"right in {found.shorter_accuracy:.0%} of {found.shorter_pairs:,} pairs",
            )
        )
    rows = [[f"{one.predicted:.0%} sure", f"right in {one.actual:.0%}", f"{one.pairs:,}"] for one in found.calibration]
    calibration = [table(["When it is", "it is", "Pairs"], rows, "Does it know how sure it may be?")] if rows else []
    return card(
        "How good is this reward model?",
        interval(f"Right on {found.pairs:,} held-out pairs", found.accuracy, found.low, found.high),
        text("It is right where it scores the chosen answer higher. Half would be chance."),
        facts(pairs),
        *calibration,
        text(
            "It scores answers and writes none, so there are no sample answers to read. A reward that anybody sees is standardised: 0 "
            "is an average held-out answer, 1 a standard deviation better. What it learned is what its pairs prefer, which need not "
            "be what is true."
        ),
    )


def online_html(run: Run, config: RunConfig, stage: Stage, log: RunLog) -> Html:
    """What judged, with each part of the reward at the start and now, the divergence, and what stayed as it was."""
    rows = [row for row in log.rows if row.get("stage") == stage and row.get("eval_reward") is not None]
    pairs: list[tuple[str, object]] = [("Judged by", " + ".join(config.own(stage).judges()))]
    parts: list[Html] = []
    if rows:
        first, last = rows[0], rows[-1]
        keys = [key for key in last if key.startswith("eval_rewards/") and key.endswith("/mean")]
        names = {"eval_reward": "reward"} | ({key: key.split("/")[1] for key in keys} if len(keys) > 1 else {})
        lines = [
            [name, signed(first[key]), signed(last[key]), signed(last[key] - first[key])]
            for key, name in names.items()
            if first.get(key) is not None and last.get(key) is not None
        ]
        now = f"Step {last['step']:,}"
        parts.append(table(["Held-out prompts", "Start", now, "Change"], lines))
        if (kl := last.get("eval_kl")) is not None:
            pairs.append(("Divergence from the reference", f"{kl:.3f} nats per token"))
    if timed := [row for row in log.rows if row.get(GENERATING) and row.get("step_time")][-TIMED:]:
        step, generating = (fmean(row[key] for row in timed) for key in ("step_time", GENERATING))
        pairs.append(("Time of a step", f"{step:.1f} s, of which {generating / step:.0%} to write the answers"))
    frozen = run.environment().get("frozen", {})
    *most, one_more = [FROZEN_NAMES.get(one, one) for one in frozen.get("before", {})] or [""]
    names_of = f"{', '.join(most)} and {one_more}" if most else one_more
    if names_of and frozen.get("unchanged") is None:
        pairs.append(("Unchanged", f"{names_of}: compared byte by byte when the run ends"))
    elif names_of and frozen["unchanged"]:
        pairs.append(("Unchanged", f"✓ {names_of} are the same, byte for byte, as before the first step"))
    changed = (
        [notice("blocker", "What must stay as it is has changed", "Its rewards and its divergence mean nothing.")]
        if frozen.get("unchanged") is False
        else []
    )
    return join(*changed, card("What did its reward do?", *parts, facts(pairs)))
