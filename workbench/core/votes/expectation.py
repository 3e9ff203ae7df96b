"""What so many votes can be expected to move, said before a round is trained on them."""

from bisect import bisect_right

# (rows, what they have done): a table of practice for models of about 4 billion parameters, one team's experience.
_ROWS = (
    (0, "too few to move a model on purpose; they show that the round works"),
    (50, "enough for a small change of manner (tone, length, form), seldom of what the model knows"),
    (300, "usually a change that one sees"),
    (1000, "usually a stable change"),
)
# (true win rate, votes that settle it four times in five: where one looks after each vote, and where one looks only once).
POWER = ((0.75, 50, 29), (0.70, 79, 47), (0.65, 140, 85), (0.60, 329, 194))


def expectation(rows: int) -> str:
    """A sentence for "train round 2 on these": what so many rows from votes can be expected to move, and to show."""
    what = _ROWS[bisect_right([least for least, _ in _ROWS], rows) - 1][1]
    said = f"{rows:,} {'row' if rows == 1 else 'rows'} from votes: {what}."
    rate = next((rate for rate, votes, _ in reversed(POWER) if rows >= votes), None)
    if rate is None:
        return f"{said} To show that a round wins 75%, count on {POWER[0][1]} votes."
    return f"{said} As many votes afterwards settle it four times in five if the new round wins {rate:.0%}."
