"""Blind sittings on disk, one file each, so that a reload or a new window goes on where one left off.

Which matches have a vote is told by votes.jsonl, never here: a sitting is written when it is made and when answers come in.
"""

from datetime import UTC, datetime

from filelock import FileLock

from workbench.core.errors import WorkbenchError
from workbench.core.votes.sitting import Sitting, next_match, seated, vote_on_match
from workbench.core.votes.vote import Choice, Vote
from workbench.store import votes
from workbench.store.home import folder_in_home, home, write_json, writing
from workbench.store.ids import checked_id
from workbench.store.records import Damaged, Record

_SITTING: Record[Sitting] = Record(Sitting)
_LOCK_SECONDS = 30


def save(sitting: Sitting) -> Sitting:
    """Write a sitting down whole, with matches for whatever is answered by now. Returns it as it was stored.

    What another window stored of it stays: only answers that are new are added.
    """
    with FileLock(home() / "sittings.lock", timeout=_LOCK_SECONDS), writing("The sitting"):
        file = folder_in_home("sittings") / f"{checked_id(sitting.id, 'sitting')}.json"
        before = _SITTING.read(file)
        if before:
            sitting = _with_answers(before, sitting)
        else:
            sitting = sitting.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="seconds")})
        sitting = seated(sitting)
        write_json(file, sitting.model_dump(mode="json"))
    return sitting


def read(id: str) -> Sitting:
    """A stored sitting. Raises WorkbenchError where there is none, and where its file is damaged."""
    try:
        found = _SITTING.read(folder_in_home("sittings") / f"{checked_id(id, 'sitting')}.json")
        _check(found)
    except Damaged as error:
        raise WorkbenchError(*[f"The sitting {id} cannot be read. {problem}" for problem in error.problems]) from None
    if found is None:
        raise WorkbenchError(f"There is no sitting {id}. It may have been deleted.")
    return found


def all_sittings() -> tuple[list[Sitting], list[str]]:
    """Every sitting, the newest first, and what is wrong with the files that hold none."""
    found: list[Sitting] = []
    problems: list[str] = []
    for file in sorted(folder_in_home("sittings").glob("*.json"), reverse=True):
        try:
            found.append(read(file.stem))
        except WorkbenchError as error:
            problems += error.problems
    return found, problems


def voted(sitting: Sitting) -> dict[int, Vote]:
    """The votes of a sitting by the number of their match."""
    return {vote.match: vote for vote in votes.of_sitting(sitting.id) if vote.match is not None}


def now_at(sitting: Sitting) -> int | None:
    """Number of the match to show next; None where all that are there have a vote."""
    return next_match(sitting, voted(sitting))


def give(sitting: Sitting, number: int, choice: Choice, ideal: str = "", id: str = "") -> Vote:
    """Vote on a match. id: of a vote that may be sent again, so that it counts once. Returns it as it holds now."""
    if not 0 <= number < len(sitting.matches):
        raise WorkbenchError(
            f"The sitting has {len(sitting.matches)} pairs of answers, and none with the number {number}."
        )
    votes.add(vote_on_match(sitting, number, choice, ideal).model_copy(update={"id": id}))
    return voted(sitting)[number]


def _check(sitting: Sitting | None) -> None:
    """Raises Damaged where the parts of a sitting do not fit each other."""
    if sitting is None:
        return
    answerers = len(sitting.answerers)
    if any(len(question.answers) != answerers for question in sitting.questions):
        raise Damaged(f"{sitting.id}.json: a question has not one answer of each of the {answerers} answerers.")
    if sitting.bases and len(sitting.bases) != answerers:
        raise Damaged(f"{sitting.id}.json: not one base model is named for each of the {answerers} answerers.")
    if any(question.rewards and len(question.rewards) != answerers for question in sitting.questions):
        raise Damaged(f"{sitting.id}.json: a question has not one reward for each of the {answerers} answerers.")
    if any({*turn} != {"role", "content"} for question in sitting.questions for turn in question.prompt):
        raise Damaged(f"{sitting.id}.json: a prompt is no list of messages with a role and a content.")
    if any(not question.prompt for question in sitting.questions):
        raise Damaged(f"{sitting.id}.json: a question has no prompt.")
    numbers = [(match.question, match.first, match.second) for match in sitting.matches]
    fits = all(0 <= q < len(sitting.questions) and 0 <= a < answerers and 0 <= b < answerers for q, a, b in numbers)
    if not fits:
        raise Damaged(f"{sitting.id}.json: a pair names a question or an answerer that is not there.")


def _with_answers(before: Sitting, now: Sitting) -> Sitting:
    """The stored sitting with the questions and answers that came in since. What has matches is never changed."""
    questions = [
        old if number in before.asked else new
        for number, (old, new) in enumerate(zip(before.questions, now.questions, strict=False))
    ]
    return before.model_copy(update={"questions": [*questions, *now.questions[len(before.questions) :]]})
