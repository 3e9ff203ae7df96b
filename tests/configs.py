"""Small configs for tests."""

from typing import Any

from workbench.core.training.config import RunConfig, read_config


def demo_config(name: str = "a-run", **changes: Any) -> RunConfig:
    """A run on the demo model and data, short enough for a test."""
    small = {
        "name": name,
        "method": "sft+dpo",
        "sft_data": "demo-sft",
        "preference_data": "demo-preferences",
        "batch_size": 8,
        "accumulation": 1,
        "max_length": 192,
        "gradient_checkpointing": False,
        "evaluations": 2,
        "held_out_limit": 16,
        "samples": 0,
        "sft": {"learning_rate": 1e-3, "max_steps": 4},
        "dpo": {"learning_rate": 2e-4, "max_steps": 4},
    }
    return read_config(small | changes)
