"""Whether a merged model answers as the run does: what is measured, and from which figure on it counts as different."""

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core.exact import Exact
from workbench.core.export.exported import Check, Differing
from workbench.core.export.targets import WeightType


@dataclass(frozen=True)
class Tolerance:
    """logits: the largest difference of any logit. kl: in nats per token."""

    logits: float
    kl: float


TOLERANCES: dict[WeightType, Tolerance] = {
    "fp32": Tolerance(1e-3, 1e-6),
    "fp16": Tolerance(0.125, 2e-4),
    "bf16": Tolerance(1.0, 1e-2),
}
"""Some times what `tests/benchmarks/merging.py` measured where nothing was wrong, and far below what a lost layer does. Rounding to
bf16 moved logits by 0.1 (the demo, 5 layers) to 0.33 (28 layers), with KL of 4e-5 to 1.4e-3; deeper models add to it. fp16 has three
bits more: an eighth of the difference, a 64th of the KL. In fp32 only the order of sums differs: 3e-5 and 1e-11."""


class AnswerPair(Exact):
    """The greedy answers to one prompt. gap: how much likelier the run found its own token than the other one where they part,
    as a difference of logits; None where they are the same."""

    prompt: str
    of_run: str
    of_export: str
    gap: float | None = None


class Comparison(Exact):
    """A model against the merged one on the same tokens. logits: largest absolute difference. kl: mean over the tokens, nats."""

    logits: float
    kl: float
    answers: list[AnswerPair]

    @property
    def same(self) -> int:
        return sum(pair.gap is None for pair in self.answers)

    @property
    def differing(self) -> tuple[Differing, ...]:
        return tuple(Differing(one.prompt, one.of_run, one.of_export) for one in self.answers if one.gap is not None)


class Measured(Exact):
    """What was found of a merged model that was loaded anew.

    tokens: of the answers, at which logits were compared. templated: prompts that its tokenizer renders into the very tokens
    of training, of `prompts`. changed: KL between the run and its base model without the adapter. whole: against the base model
    in the precision that `arithmetic` names with the adapter beside it. trained: against the base model as it was loaded for
    training; None where that is the same thing. trained_in: its precision. weights: of the model.
    """

    prompts: int
    tokens: int
    templated: int
    changed: float
    arithmetic: WeightType
    whole: Comparison
    trained: Comparison | None
    trained_in: str
    weights: int


def checks(found: Measured, precision: WeightType) -> list[Check]:
    """Each comparison with its figure and its tolerance."""
    limit, whole = TOLERANCES[precision], found.whole
    over = f"over {found.tokens:,} tokens of {found.prompts} prompts"
    of_all = f"{found.templated} of {found.prompts} prompts become the very tokens of training"
    close = whole.logits <= limit.logits and whole.kl <= limit.kl
    logits = (
        f"differ by {whole.logits:.2g} at most (tolerance {limit.logits:g}), KL {whole.kl:.2g} nats per token (tolerance "
        f"{limit.kl:g}) {over}; the adapter itself moved the base model by {found.changed:.2g}"
    )
    return [
        Check("Chat template and tokenizer", of_all, found.templated == found.prompts),
        Check(f"Logits in {precision} against base and adapter in {found.arithmetic}", logits, close),
        _answers(found, limit),
        *_as_trained(found),
    ]


def _answers(found: Measured, limit: Tolerance) -> Check:
    """Where two tokens are as good as equally likely, rounding decides: only what parts elsewhere is another model."""
    gaps = [one.gap for one in found.whole.answers if one.gap is not None]
    words = f"{found.whole.same} of {len(found.whole.answers)} are identical"
    if gaps:
        words += f"; the others part where the two tokens are {max(gaps):.2g} logits apart or less"
    return Check("Greedy answers", words, all(gap <= 2 * limit.logits for gap in gaps), found.whole.differing)


def _as_trained(found: Measured) -> Sequence[Check]:
    """How far the base model's quantisation in training is from the one that was merged. It is no fault of the merge, so it is
    told and not judged."""
    other = found.trained
    if other is None:
        return []
    words = (
        f"the run trained on weights in {found.trained_in}, and these are the base model's own: logits differ by {other.logits:.2g} at "
        f"most, KL {other.kl:.2g} nats per token, {other.same} of {len(other.answers)} greedy answers are identical. That comes "
        "from the quantisation of the base model, not from the merge"
    )
    return [Check("As it was trained", words, None, other.differing)]
