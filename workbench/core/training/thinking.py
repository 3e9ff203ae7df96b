"""The switch by which some chat templates have a model think before it answers, or answer at once."""

SWITCHES = ("enable_thinking", "thinking")
"""What templates call it: the first in Qwen3, SmolLM3 and GLM 4.5, the second in DeepSeek V3.1 and Granite 3."""


def may_switch(template: str) -> bool:
    """Whether a chat template names a switch at all. Whether it heeds it is seen by rendering."""
    return any(name in template for name in SWITCHES)


def switched(on: bool) -> dict[str, bool]:
    """What a chat template is given with a conversation, besides its messages."""
    return dict.fromkeys(SWITCHES, on)


def with_default(template: str, on: bool) -> str:
    """A chat template that writes as if it had been given `switched(on)`, wherever it is given no switch.

    What renders rows in training (TRL, Unsloth in its stead, the samples) then needs to be told nothing. Of two defaults
    the one that was set last counts.
    """
    value = str(on).lower()
    return "".join(f"{{% set {name} = {name} | default({value}) %}}\n" for name in SWITCHES) + template


def no_switch_message(title: str) -> str:
    """Why a model cannot be trained with thinking on."""
    return (
        f"Thinking is on, but the chat template of {title} has no switch for it. Turn Thinking off on the Train page: "
        "such a model is trained on the answers as they are."
    )
