"""What the votes' statistics do to simulated voters.

    python tests/benchmarks/votes.py [--json] [--runs 20000] [--seed 1]

false_verdicts: two equal models and a look after each of 500 votes: the share of sittings that ever said "better" or "worse".
settled_by_150: a model that truly wins 65 %: the share that was settled within 150 votes.
raw_longer, controlled_longer: a model that is only longer, before voters who like length: its win rate, and that at equal length.
false_sentences: voters at random, looked at after 30, 60, ..., 150 votes: the share of whom the page ever said anything.
Beside them: false verdicts with ties and at equal length, intervals at equal length that miss a half, and after how many votes four
sittings in five are settled.
"""

import argparse
import json
import math
import random

import numpy as np

from workbench.core.votes.reading import sentences
from workbench.core.votes.result import Rate, at_equal_length, win_rate
from workbench.core.votes.vote import Vote

LOOKS = 500
SETTLED_WITHIN = 150
FITS, VOTES_OF_A_FIT = 200, 300
READERS, LOOKS_OF_A_READER = 400, (30, 60, 90, 120, 150)

SMALL_TALK = str.split(
    "sure here are some ideas that might help you with your garden today because plants need water light and good soil "
    "first you should check the weather then prepare a small plan which often saves money time energy and patience later "
    "perhaps someone nearby knows more about local rules prices seasons animals insects weeds tools fences paths"
)
STARTS = ("Sure,", "Well,", "Of course!", "Here", "First", "You", "I", "That", "Yes,", "No,")


def verdicts(looks: int) -> np.ndarray:
    """Whether a verdict is given, for every number of (twice the wins counted with ties as halves, votes)."""
    said = np.zeros((2 * looks + 1, looks + 1), dtype=bool)
    for total in range(1, looks + 1):
        for double in range(total, 2 * total + 1):
            wins, ties = divmod(double, 2)
            settled = win_rate(wins, ties, total - wins - ties).verdict != "not settled"
            said[[double, 2 * total - double], total] = settled
    return said


def ever(said: np.ndarray, wins: float, ties: float, looks: int, runs: int, dice: np.random.Generator) -> np.ndarray:
    """The share of sittings with a verdict at any look up to each one."""
    drawn = dice.random((runs, looks))
    points = np.where(drawn < wins, 2, np.where(drawn < wins + ties, 1, 0)).cumsum(axis=1)
    hit = said[points, np.arange(1, looks + 1)]
    return np.maximum.accumulate(hit, axis=1).mean(axis=0)


def longer(dice: random.Random, effect: float = 1.0) -> tuple[float, Rate]:
    """Win rate, raw and at equal length, of a model that is as good as the other, and half again as long."""
    ratios = [dice.gauss(0.6, 0.5) for _ in range(VOTES_OF_A_FIT)]
    scores = [float(dice.random() < 1 / (1 + math.exp(-effect * ratio))) for ratio in ratios]
    return sum(scores) / len(scores), at_equal_length(scores, ratios)


def false_controlled(dice: random.Random, runs: int) -> float:
    """Equal models, lengths that do not matter, a look after each 40 votes to 500."""
    wrong = 0
    for _ in range(runs):
        ratios = [dice.gauss(0.0, 0.5) for _ in range(LOOKS)]
        scores = [float(dice.random() < 0.5) for _ in range(LOOKS)]
        wrong += any(at_equal_length(scores[:n], ratios[:n]).verdict != "not settled" for n in range(20, LOOKS + 1, 40))
    return wrong / runs


def answer(dice: random.Random) -> str:
    words = [dice.choice(STARTS), *dice.choices(SMALL_TALK, k=dice.randint(8, 60))]
    text = " ".join(words)
    return text if dice.random() < 0.6 else text + "\n\n- " + "\n- ".join(dice.choices(SMALL_TALK, k=3))


def random_voter(dice: random.Random) -> list[Vote]:
    found = []
    for number in range(LOOKS_OF_A_READER[-1]):
        prompt = [{"role": "user", "content": f"Question {number}"}]
        choice = dice.choices(("left", "right", "tie", "both_bad"), (45, 45, 5, 5))[0]
        found.append(
            Vote(
                prompt=prompt,
                left=answer(dice),
                right=answer(dice),
                vote=choice,
                left_model="",
                right_model="a",
                base="m",
            )
        )
    return found


def measure(runs: int, seed: int) -> dict[str, float]:
    numbers = np.random.default_rng(seed)
    dice = random.Random(seed)
    said = verdicts(LOOKS)
    fits = [longer(dice) for _ in range(FITS)]
    spoke = sum(
        any(sentences(votes[:look]) for look in LOOKS_OF_A_READER)
        for votes in (random_voter(dice) for _ in range(READERS))
    )
    by_rate = {rate: ever(said, rate, 0.0, LOOKS, runs, numbers) for rate in (0.65, 0.7, 0.75)}
    found = {
        "false_verdicts": ever(said, 0.5, 0.0, LOOKS, runs, numbers)[-1],
        "settled_by_150": by_rate[0.65][SETTLED_WITHIN - 1],
        "raw_longer": sum(raw for raw, _ in fits) / FITS,
        "controlled_longer": sum(controlled.rate for _, controlled in fits) / FITS,
        "false_sentences": spoke / READERS,
        "false_verdicts_with_ties": ever(said, 0.35, 0.3, LOOKS, runs, numbers)[-1],
        "false_verdicts_at_equal_length": false_controlled(dice, FITS // 2),
        "controlled_interval_misses": sum(not rate.low <= 0.5 <= rate.high for _, rate in fits) / FITS,
    }
    for rate, settled in by_rate.items():
        enough = np.flatnonzero(settled >= 0.8)
        found[f"votes_for_80_percent_at_{rate:.0%}"] = float(enough[0] + 1) if enough.size else math.inf
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only the figures, as one line of JSON")
    parser.add_argument("--runs", type=int, default=20_000, help="simulated sittings")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    found = measure(chosen.runs, chosen.seed)
    if chosen.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:36} {value:8.4f}")


if __name__ == "__main__":
    main()
