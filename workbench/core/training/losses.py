"""The losses of DPO that TRL 1.14 knows: when to use each, what its paper used, and where it starts.

A policy that starts from its reference has log-ratios of 0, so that most losses begin at a number that follows from the
formula alone. A run that begins elsewhere has another reference than its page says.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

LN_2 = math.log(2)  # -log sigmoid(0)

LossId = Literal[
    "sigmoid",
    "sigmoid_norm",
    "ipo",
    "robust",
    "apo_zero",
    "apo_down",
    "hinge",
    "exo_pair",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "discopop",
]


@dataclass(frozen=True)
class Loss:
    """One loss. `id` is TRL's name for it."""

    id: LossId
    title: str
    use: str  # when to use it, in a sentence
    source: str
    beta: float | None  # what its paper used; None where the paper names none for language models
    start: Callable[[float, float], float | None]  # (beta, label smoothing) -> loss where policy = reference
    up_front: bool = False
    smooths: bool = False  # whether label smoothing has a part in it
    smoothing: float = 0.0  # what its paper used


def _ln_2(beta: float, smoothing: float) -> float:
    """-log sigmoid(beta * 0); with labels smoothed, (1 - e) ln 2 + e ln 2 is the same."""
    return LN_2


def _one(beta: float, smoothing: float) -> float:
    """apo: 1 - sigmoid(0) + sigmoid(0); hinge: relu(1 - 0)."""
    return 1.0


def _two_ln_2(beta: float, smoothing: float) -> float:
    """bco: both answers at -log sigmoid(0); nca: 1 + 1/2 + 1/2 of it."""
    return 2 * LN_2


def _ipo(beta: float, smoothing: float) -> float:
    """(0 - 1 / (2 beta)) squared: how far away the margin is that it wants."""
    return (1 / (2 * beta)) ** 2


def _sppo(beta: float, smoothing: float) -> float:
    """(0 - 1 / (2 beta)) squared for the chosen answer, and as much for the rejected one."""
    return 2 * (1 / (2 * beta)) ** 2


def _exo(beta: float, smoothing: float) -> float | None:
    """KL from (1/2, 1/2) to (1 - e, e); infinite at e = 0, which TRL refuses."""
    return -LN_2 - 0.5 * math.log(smoothing * (1 - smoothing)) if smoothing else None


def _discopop(beta: float, smoothing: float) -> float:
    """Half of the logistic loss, ln 2, and half of the exponential one, exp(0)."""
    return (LN_2 + 1) / 2


LOSSES = (
    Loss(
        "sigmoid",
        "Sigmoid: the DPO of the paper",
        "The one to begin with: most published recipes use it.",
        "Rafailov et al. 2023, eq. 7",
        0.1,
        _ln_2,
        up_front=True,
    ),
    Loss(
        "sigmoid_norm",
        "Length-normalised sigmoid",
        "When the chosen answers are longer, and the aligned model's answers grow with them.",
        "Lambert et al. 2024 (Tulu 3), section 5: length-normalised DPO",
        5.0,
        _ln_2,
        up_front=True,
    ),
    Loss(
        "ipo",
        "IPO",
        "When DPO overfits: it aims at a fixed margin instead of an ever larger one.",
        "Azar et al. 2023, eq. 17",
        None,
        _ipo,
        up_front=True,
    ),
    Loss(
        "robust",
        "Robust DPO",
        "When a known share of the labels is wrong: label smoothing is that share.",
        "Chowdhury et al. 2024, section 3.1",
        0.01,
        _ln_2,
        up_front=True,
        smooths=True,
        smoothing=0.1,
    ),
    Loss(
        "apo_zero",
        "APO zero",
        "When the chosen answers are better than what the model says now: it raises them and lowers the rejected ones.",
        "D'Oosterlinck et al. 2024, eq. 7",
        0.1,
        _one,
        up_front=True,
    ),
    Loss(
        "apo_down",
        "APO down",
        "When the model's own answers are better than the chosen ones: it lowers both, the rejected one more.",
        "D'Oosterlinck et al. 2024, eq. 8",
        0.1,
        _one,
    ),
    Loss(
        "hinge",
        "Hinge (SLiC)",
        "When pairs that are separated well enough should no longer count.",
        "Zhao et al. 2023 (SLiC-HF), section 2",
        None,
        _one,
    ),
    Loss(
        "exo_pair",
        "EXO",
        "When the model should settle on the best answers rather than cover all good ones; it needs label smoothing.",
        "Ji et al. 2024, eq. 16",
        0.1,
        _exo,
        smooths=True,
        smoothing=0.001,
    ),
    Loss(
        "nca_pair",
        "NCA",
        "When the probability of the chosen answers must not fall.",
        "Chen et al. 2024 (noise contrastive alignment), section 4.1",
        0.01,
        _two_ln_2,
    ),
    Loss(
        "bco_pair",
        "BCO",
        "When each answer should be judged by itself, as good or bad; best with answers that differ clearly in worth.",
        "Jung et al. 2024, section 4",
        0.01,
        _two_ln_2,
    ),
    Loss(
        "sppo_hard",
        "SPPO",
        "For rounds of pairs that the model itself wrote and a judge compared.",
        "Wu et al. 2024, eq. 4.7, with hard labels",
        0.001,
        _sppo,
    ),
    Loss(
        "aot",
        "AOT",
        "When chosen answers should be better as a whole, though not each within its own pair; takes large batches.",
        "Melnyk et al. 2024, section 3: paired",
        None,
        _ln_2,
        smooths=True,
    ),
    Loss(
        "aot_unpaired",
        "AOT, unpaired",
        "As AOT, where chosen and rejected answers do not belong together.",
        "Melnyk et al. 2024, section 3: unpaired",
        None,
        _ln_2,
        smooths=True,
    ),
    Loss(
        "discopop",
        "DiscoPOP",
        "For trying a loss that a language model found: logistic for most pairs, exponential for those it has wrong.",
        "Lu et al. 2024, eq. 5",
        0.05,
        _discopop,
    ),
)
"""Those that matter most first."""


def find_loss(ident: str) -> Loss:
    """The loss that TRL calls so."""
    return next(one for one in LOSSES if one.id == ident)


def kto_start(desirable_weight: float, undesirable_weight: float, liked: int, disliked: int) -> float:
    """KTO's loss where policy = reference: 1 - sigmoid(beta * (0 - 0)) = 1/2 of the mean weight of the answers.

    liked, disliked: answers that the loss is the mean of. Ethayarajh et al. 2024, eq. 7.
    """
    return 0.5 * (desirable_weight * liked + undesirable_weight * disliked) / (liked + disliked)


def kto_weights_advice(desirable_weight: float, undesirable_weight: float, liked: int, disliked: int) -> str:
    """What to set where thumbs up and down do not weigh about the same in all; "" where they do.

    Ethayarajh et al. 2024, eq. 8: weight times number of the liked to that of the disliked between 1:1 and 4:3.
    """
    if not liked or not disliked:
        missing = "liked" if disliked else "disliked"
        return (
            f"There is no {missing} answer among them. KTO needs both; add some, or train with SFT on the liked ones."
        )
    ratio = desirable_weight * liked / (undesirable_weight * disliked)
    if 0.99 <= ratio <= 4 / 3 + 0.01:
        return ""
    if liked > disliked:
        low, high = (desirable_weight * liked / disliked * share for share in (3 / 4, 1))
        change = f"the weight of disliked answers to {low:.2g} to {high:.2g}"
    else:
        low, high = (undesirable_weight * disliked / liked * share for share in (1, 4 / 3))
        change = f"the weight of liked answers to {low:.2g} to {high:.2g}"
    return (
        f"{liked:,} liked and {disliked:,} disliked answers weigh {ratio:.2g} to 1; 1 to 1.33 works best. Set {change}."
    )
