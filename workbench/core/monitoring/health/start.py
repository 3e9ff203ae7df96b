"""Whether a stage with a reference starts from it: the one check that the worker and the rules about health share."""

import math

from workbench.core.monitoring.health.rules import REFERENCE_LOSS, REFERENCE_NATS
from workbench.core.monitoring.metrics import Row
from workbench.core.training.losses import LN_2


def wrong_start(measured: Row, beta: float, start_loss: float | None) -> str:
    """What shows, in an evaluation before the first step, that the policy is not its own reference; "" where nothing does.

    Rafailov et al. 2023, eq. 5 and 7: a reward is beta times a log-ratio, and all log-ratios are 0. start_loss: what the
    formula of the loss then gives; None where the data have a part in it.
    """
    loss = measured.get("eval_loss")
    # KTO logs a side of the rewards only where the held-out answers have that thumb.
    rewards = [measured.get(f"eval_rewards/{side}") for side in ("chosen", "rejected")]
    nats = [abs(reward) / beta for reward in rewards if reward is not None]
    number = math.nan if loss is None else float(loss)
    is_number = math.isfinite(number)
    right = start_loss is None or (is_number and abs(number - start_loss) <= REFERENCE_LOSS * max(1.0, start_loss))
    if is_number and right and nats and max(nats) <= REFERENCE_NATS:
        return ""
    said = f"{number:.4f}" if is_number else "not a number"
    far = f"{max(nats):.4f}" if nats else "an unknown number of"
    wanted = "that should be 0" if start_loss is None else f"they should be {loss_label(start_loss)} and 0"
    return f"Before the first step the loss is {said}, and an answer is up to {far} nats away from the reference; {wanted}."


def loss_label(loss: float) -> str:
    """The start of a loss, by its name where it has one."""
    return f"ln 2 = {LN_2:.4f}" if abs(loss - LN_2) < 1e-9 else f"{loss:.4f}"
