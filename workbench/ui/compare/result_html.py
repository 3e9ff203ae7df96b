"""What a sitting found: the win rate with its interval, what the votes say of the voter, and the rounds as a tree."""

from collections.abc import Sequence

from workbench.core.chat import BASE, Answerer
from workbench.core.votes import reading
from workbench.core.votes.result import Rate, Result, Standing, Verdict, result, standings
from workbench.core.votes.sitting import Sitting
from workbench.core.votes.vote import Vote
from workbench.jobs import rounds
from workbench.store import votes
from workbench.ui.parts import Branch, Html, NoticeKind, card, facts, interval, join, notice, outline, table, text

_TONES: dict[Verdict, NoticeKind] = {"better": "good", "worse": "warning", "not settled": "info"}
_VERDICTS: dict[Verdict, str] = {
    "better": "{second} is better than {first}",
    "worse": "{second} is worse than {first}",
    "not settled": "Not settled: {second} against {first}",
}


def result_html(sitting: Sitting, given: Sequence[Vote]) -> Html:
    """Of the votes of one sitting; nothing before the first one."""
    if not given:
        return Html("")
    said = reading.sentences(given)
    says = card("What your votes say", *map(text, said)) if said else Html("")
    if sitting.purpose == "teach":
        return says
    first, second = sitting.answerers[:2]
    return join(measured_html(result(given, second, first), first, second), says, standings_html(sitting.base))


def measured_html(found: Result, first: Answerer, second: Answerer) -> Html:
    """How the second answerer, the right side, did against the first."""
    verdict = found.raw.verdict
    title = _VERDICTS[verdict].format(first=first.label, second=second.label)
    rows = [
        ("Wins, ties, losses", f"{found.wins}, {found.ties}, {found.losses}"),
        ("Its answers are", f"{found.longer:.2f} times as long"),
    ]
    if found.both_bad:
        rows.append(("Of the ties both bad", f"{found.both_bad}"))
    bars = [interval("Win rate", found.raw.rate, found.raw.low, found.raw.high)]
    if at_equal := found.at_equal_length:
        bars.append(interval("At equal length", at_equal.rate, at_equal.low, at_equal.high))
    more = f"About {found.more} more votes like these would settle it. " if found.more else ""
    how = (
        f"{more}Better means a win rate above 55 % with the whole interval above 50 %; ties count half. The interval holds though you "
        "look after each vote. It speaks of one voter and these prompts."
    )
    return card("Which is better?", notice(_TONES[verdict], title), facts(rows), *bars, text(how))


def standings_html(base: str) -> Html:
    """All that measuring sittings compared on one base model, where that is more than two."""
    given = [vote for vote in votes.all_votes() if vote.base_of("left") == vote.base_of("right") == base]
    found = standings(given, BASE)
    if len(found) < 3:
        return Html("")
    rows = [(one.answerer.label, one.votes, _rate(one.raw, one), _rate(one.at_equal_length, one)) for one in found]
    columns = ("Answers", "Votes", "Chance to win against the base model", "At equal length")
    return card(
        "All runs that were measured",
        table(columns, rows),
        text("Bradley-Terry over the votes of all measuring sittings."),
    )


def chains_html() -> Html:
    """The rounds of training that went on from one another; nothing where there are none."""
    found = rounds.chains()
    if not found:
        return Html("")
    return card("Rounds", outline([_branch(one) for one in found]))


def _branch(one: rounds.Round) -> Branch:
    words = f"{one.name} · learned from {one.data}" if one.data else one.name
    return words, [_branch(later) for later in one.later]


def _rate(rate: Rate, one: Standing) -> str:
    return "the measure" if one.answerer == BASE else f"{rate.rate:.0%} ({rate.low:.0%} to {rate.high:.0%})"
