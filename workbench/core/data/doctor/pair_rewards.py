"""What a reward model says of the pairs of a dataset, and the pairs that it would turn round."""

from workbench.core.best_of import LEAST_GAP
from workbench.core.data.doctor.findings import Found, Remedy
from workbench.core.exact import Exact


class PairRewards(Exact):
    """Standardised rewards of the training pairs from the first on. reward: name of the reward model. agreement: how often it
    is right on held-out pairs of its own data, as a sentence; "" where that is not known."""

    reward: str
    agreement: str = ""
    chosen: tuple[float, ...]
    rejected: tuple[float, ...]


def wrong_way(rewards: PairRewards) -> Found | None:
    """The pairs of which the rejected answer scores clearly higher, the clearest first."""
    gaps = [rejected - chosen for chosen, rejected in zip(rewards.chosen, rewards.rejected, strict=True)]
    rows = sorted((row for row, gap in enumerate(gaps) if gap >= LEAST_GAP), key=lambda row: -gaps[row])
    if not rows:
        return None
    first, count = rows[0], f"{len(rows):,} pair{'' if len(rows) == 1 else 's'}"
    evidence = (
        f"In {len(rows):,} of {len(gaps):,} training pairs the reward model {rewards.reward} scores the rejected answer higher, by "
        f"{LEAST_GAP:g} standard deviations or more; the clearest is row {first + 1:,} (chosen {rewards.chosen[first]:+.2f}, "
        f"rejected {rewards.rejected[first]:+.2f})."
    )
    if 2 * len(rows) > len(gaps):
        evidence += " That is most of them: check whether chosen and rejected are swapped, or the reward model learned the opposite."
    done = f"{count}: wrong-way pairs by the reward model {rewards.reward}"
    numbers = tuple(sorted(rows))
    drop = Remedy(action="drop", label=f"Drop {count}", words=f"Dropped {done}", rows=numbers)
    swap = Remedy(action="swap", label=f"Swap {count}", words=f"Swapped chosen and rejected of {done}", rows=numbers)
    return Found(rows, f"{evidence} {rewards.agreement}".strip(), len(gaps), drop, other=swap)
