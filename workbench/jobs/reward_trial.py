"""The reward of an online run tried on real answers before the run is started: drawn as training draws them, from where it starts."""

from collections.abc import Iterator, Sequence

from workbench.core.chat import Answered, Answerer, Sampling
from workbench.core.data.messages import Message, message
from workbench.core.errors import WorkbenchError
from workbench.core.reward_trial import Group, Judged
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.forks import Fork
from workbench.core.training.methods import METHODS
from workbench.core.training.reward_rules import parse_rules
from workbench.core.training.settings import RlooSettings
from workbench.core.votes.sitting import held_out_prompts
from workbench.jobs import lanes, preparing
from workbench.jobs.app_state import AppState
from workbench.store import datasets
from workbench.store.runs import check_reward

PROMPTS, ANSWERS = 2, 4
LOOKED_THROUGH = 200  # held-out rows

MODEL = "reward model"
"""The part of the reward that a run gives, as training calls it in the names of its metrics."""


def try_reward(app: AppState, config: RunConfig, fork: Fork | None = None) -> Iterator[str | list[Group]]:
    """Words on what is going on, then groups of answers with their rewards; [] where it was stopped before one was whole.

    Raises WorkbenchError where there is no reward that can be tried here, and as `lanes.ask_many`.
    """
    stage = next(one for one in config.stages if METHODS[one].online)
    own = config.own(stage)
    assert isinstance(own, RlooSettings), "asked of methods that answer by themselves"
    rules = parse_rules(own.rules)
    if not (own.reward_run or rules):
        raise WorkbenchError(
            f"{own.reward_model or 'No reward'} can be tried here: a reward model of the Hub is loaded when the run begins. Its first "
            "evaluation shows what it says."
            if own.reward_model
            else "There is no reward to try yet. Choose a reward model, or write a rule."
        )
    check_reward(config)
    prompts = _prompts(config, stage)
    repeated = [prompt for prompt in prompts for _ in range(ANSWERS)]
    sampling = Sampling(
        temperature=own.temperature, top_p=1.0, max_new_tokens=min(own.answer_tokens, 4096), seed=config.seed
    )
    seeds = [(config.seed + place) % 2**31 for place in range(len(repeated))]
    start = Answerer(fork.written if fork else config.start_from or "")
    answers: dict[int, Answered] = {}
    for one in lanes.ask_many(app, repeated, [start], sampling, seeds, config.model):
        if isinstance(one, Answered) and one.ended != "stopped":
            answers[one.prompt] = one
        yield one if isinstance(one, str) else f"{len(answers)} of {len(repeated)} answers"
    whole = [
        place
        for place in range(0, len(repeated), ANSWERS)
        if all(other in answers for other in range(place, place + ANSWERS))
    ]
    places = [other for place in whole for other in range(place, place + ANSWERS)]
    said = [[*repeated[place], message("assistant", answers[place].text.strip())] for place in places]
    parts: list[dict[str, float]] = [{} for _ in said]
    if own.reward_run and said:
        for scored in lanes.reward_many(app, own.reward_run, said):
            if isinstance(scored, str):
                yield scored
            else:
                parts[scored[0]][MODEL] = scored[1]
                yield f"{sum(MODEL in one for one in parts)} of {len(said)} answers scored"
        if not all(MODEL in one for one in parts):
            whole = []
    if rules and said:
        texts = [str(one[-1]["content"]) for one in said]
        by_rule = preparing.run({"do": "rules", "text": own.rules, "answers": texts})
        for rule, values in zip(rules, by_rule, strict=True):
            for found, value in zip(parts, values, strict=True):
                found[rule.name] = value
    weights = ({MODEL: 1.0} if own.reward_run else {}) | {rule.name: rule.weight for rule in rules}
    judged = [
        Judged(str(one[-1]["content"]), answers[place].ended == "limit", found)
        for place, one, found in zip(places, said, parts, strict=True)
    ]
    yield [
        Group(str(repeated[place][-1]["content"]), judged[at * ANSWERS : (at + 1) * ANSWERS], weights)
        for at, place in enumerate(whole)
    ]


def _prompts(config: RunConfig, stage: Stage) -> Sequence[list[Message]]:
    name = config.data_of(stage) or ""
    rows = datasets.read(name, "held_out", LOOKED_THROUGH) or datasets.read(name, "train", LOOKED_THROUGH)
    return held_out_prompts([row["prompt"] for row in rows], PROMPTS, config.seed)
