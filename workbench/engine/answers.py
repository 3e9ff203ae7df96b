"""What the examples of a stage are like, as they are trained on: for the rules about a run's health."""

from os.path import commonprefix
from typing import Any

from workbench.core.monitoring.health import answer_facts

# So many rows say what all are like; the tokens of a whole large dataset would not fit into memory as Python's numbers.
MOST_ROWS = 4000

Tokens = list[list[int]]


def stage_facts(rows: Any, max_length: int, ends: set[int]) -> dict[str, float]:
    """See `answer_facts`. rows: a trainer's dataset, tokenised by TRL. ends: tokens at which the model stops."""
    if rows.column_names == ["prompt"]:  # of a method that answers by itself
        return {}
    every = max(1, -(-len(rows) // MOST_ROWS))
    looked_at = rows.select(range(0, len(rows), every))
    facts = answer_facts(*answers(looked_at, max_length), ends)
    if "answers/examples" in facts:
        facts["answers/examples"] *= len(rows) / len(looked_at)
    return facts


def answers(rows: Any, most: int) -> tuple[Tokens, Tokens, Tokens | None]:
    """Tokens of prompts, chosen and rejected answers, cut at `most` tokens with their prompt.

    SFT and KTO have single answers, which stand where the chosen ones are.
    """
    if "prompt_ids" in rows.column_names:
        prompts = list(rows["prompt_ids"])
        room = [max(0, most - len(ids)) for ids in prompts]
        sides = [
            [ids[:left] for ids, left in zip(rows[part], room, strict=True)]
            for part in ("chosen_ids", "rejected_ids", "completion_ids")
            if part in rows.column_names
        ]
        return prompts, sides[0], sides[1] if len(sides) == 2 else None
    if "chosen_ids" in rows.column_names:  # of a reward model: whole conversations, alike up to the answers
        both = list(zip(rows["chosen_ids"], rows["rejected_ids"], strict=True))
        begins = [len(commonprefix(pair)) for pair in both]
        chosen, rejected = ([pair[side][at:] for pair, at in zip(both, begins, strict=True)] for side in (0, 1))
        return [pair[0][:at] for pair, at in zip(both, begins, strict=True)], chosen, rejected
    if "chosen_input_ids" in rows.column_names:
        prompts = list(rows["prompt_input_ids"])
        chosen, rejected = (
            [ids[len(prompt) : most] for ids, prompt in zip(rows[f"{part}_input_ids"], prompts, strict=True)]
            for part in ("chosen", "rejected")
        )
        return prompts, chosen, rejected
    cut = [list(zip(row["input_ids"][:most], row["labels"][:most], strict=True)) for row in rows]
    asked, answered = (
        [[token for token, label in one if (label == -100) == is_prompt] for one in cut] for is_prompt in (True, False)
    )
    return asked, answered, None
