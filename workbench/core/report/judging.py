"""What a judge model is asked, and how its verdict is read: two answers in both orders, of which only agreeing ones count."""

import re
from collections.abc import Sequence
from typing import Literal

from workbench.core.data.messages import Message
from workbench.core.data.thoughts import without_thoughts

# Longer answers are cut for the judge: both and the question must fit into what it can read.
_LONGEST = 3000  # characters

# The letter, and then an end of what is said of it: "A good answer" names none.
_VERDICT = re.compile(
    r"\W*(?:(?:the )?(?:better )?(?:answer|verdict)(?: is)?[\s:*]*)?([AB])(?=\s*(?:$|[.,:;)\]!*\"'\n-]|is\b|because\b))",
    re.I,
)

Letter = Literal["A", "B"]


def judge_question(asked: Sequence[Message], first: str, second: str) -> str:
    """The question to the judge: which of two answers is better, to be answered with one letter."""
    question = (
        "\n".join(f"{turn['role']}: {turn['content']}" for turn in asked) if len(asked) > 1 else asked[0]["content"]
    )
    return (
        "Which of these two answers to a question is better: more helpful, more correct, in a better manner? Their order means "
        f"nothing, and neither does their length.\n\nQuestion:\n{_cut(question)}\n\nAnswer A:\n{_cut(first)}\n\nAnswer B:\n{_cut(second)}"
        "\n\nReply with one letter, A or B."
    )


def verdict_in(reply: str) -> Letter | None:
    """The letter that a reply begins with; None where it names none, so that nothing is read into it."""
    found = _VERDICT.match(without_thoughts(reply))
    if found is None:
        return None
    return "A" if found[1].upper() == "A" else "B"


def preferred(in_order: Letter | None, swapped: Letter | None) -> float | None:
    """1 where the second answer is preferred in both orders, 0 where the first one is; None where the verdicts differ."""
    if in_order is None or swapped is None or in_order == swapped:
        return None
    return 1.0 if in_order == "B" else 0.0


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
