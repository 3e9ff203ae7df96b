"""The prompt of a row from which nothing else is taken: of a list of questions, or of data with answers."""

from workbench.core.data.formats.column_names import CONVERSATIONS, PROMPTS, plain_name
from workbench.core.data.messages import (
    LeftOut,
    Message,
    RawRow,
    half_character,
    message,
    read_messages,
    written_messages,
)

_COLUMNS = (*PROMPTS[: PROMPTS.index("history")], *CONVERSATIONS, "text")


def prompt_in(row: RawRow) -> list[Message] | None:
    """What a row asks, up to and with the last question; None where no column holds one."""
    by_name = {plain_name(str(column)): value for column, value in row.items()}
    for name in _COLUMNS:
        prompt = _prompt(by_name.get(name))
        if prompt:
            return prompt
    return None


def _prompt(value: object) -> list[Message] | None:
    try:
        if isinstance(value, str) and written_messages(value) is None:
            turns = [message("user", value.strip())]
        else:
            turns = read_messages(value)
    except LeftOut:
        return None
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    broken = any(not turn["content"].strip() or half_character(turn["content"]) for turn in turns)
    return None if broken else turns
