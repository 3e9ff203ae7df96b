"""A dataset ranked by a reward model: both answers of each training pair are scored, and the doctor tells what that found."""

from collections.abc import Iterator
from itertools import islice

from workbench.core.data.doctor.pair_rewards import PairRewards
from workbench.core.data.messages import Message
from workbench.core.errors import WorkbenchError
from workbench.jobs import lanes
from workbench.jobs.app_state import AppState
from workbench.jobs.child import Progress
from workbench.store import datasets
from workbench.store.datasets import About
from workbench.store.datasets.reading import stream
from workbench.store.reward_models import open_reward_model

AT_ONCE = 256  # pairs that are read and sent to the child together: it holds no more, and a cancel waits for no more


def rank(app: AppState, name: str, reward: str, progress: Progress) -> PairRewards:
    """Have a reward model score the training pairs of a dataset, and keep that: the next examination has it.

    What `progress` raises ends it, and nothing is kept. Raises WorkbenchError for another kind of data, and as
    `lanes.reward_many`.
    """
    about, scorer = datasets.about(name), open_reward_model(reward)
    if about.kind != "preference":
        raise WorkbenchError(
            f"{about.title} holds no pairs: a reward model ranks pairs of a chosen and a rejected answer."
        )
    found: list[float] = []
    for scores in _scored(app, about, reward, progress):
        found += scores
    rewards = PairRewards(
        reward=reward, agreement=scorer.agreement, chosen=tuple(found[::2]), rejected=tuple(found[1::2])
    )
    datasets.keep_rewards(name, rewards, about)
    return rewards


def _scored(app: AppState, about: About, reward: str, progress: Progress) -> Iterator[list[float]]:
    """Rewards of the chosen and the rejected answer of one pair after the other, some pairs at a time."""
    rows, done = stream(about.name, "train", version=about.version), 0
    while batch := list(islice(rows, AT_ONCE)):
        conversations: list[list[Message]] = [
            [*row["prompt"], *row[part]] for row in batch for part in ("chosen", "rejected")
        ]
        scores: dict[int, float] = {}
        for one in lanes.reward_many(app, reward, conversations):
            if isinstance(one, str):
                progress(done / about.train_rows, one)
                continue
            scores[one[0]] = one[1]
            pairs = done + len(scores) // 2
            progress(pairs / about.train_rows, f"{pairs:,} of {about.train_rows:,} pairs scored")
        if len(scores) < len(conversations):
            raise WorkbenchError("Scoring was stopped before its end, so nothing was kept. Begin it again.")
        done += len(batch)
        yield [scores[place] for place in range(len(conversations))]
