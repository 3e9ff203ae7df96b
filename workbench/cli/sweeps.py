"""Commands on sweeps: queue one, and list what came of them."""

import argparse
from typing import Any

from workbench.cli.printing import answer
from workbench.cli.wanted import wanted_config
from workbench.core.monitoring.sweep_result import figure_label, reading
from workbench.core.training.sweep import Sweep, title_of, value_label
from workbench.jobs import queue, sweeps
from workbench.store import sweeps as stored


def sweep(options: argparse.Namespace) -> int:
    """Queue a config file or a preset several times, with another value of one setting each."""
    config = wanted_config(options)
    setting, values = options.vary
    found = sweeps.add(sweeps.plan(config.model_dump(), setting, values, config.name))

    def in_words() -> None:
        print(f"The sweep {found.id} over {title_of(setting)} is in the queue:")
        for member in found.members:
            print(f"  {value_label(member.value):<14} {member.run}")
        print(f"`workbench sweeps {found.id}` tells what came of it.")

    return answer(options, _facts(found), in_words)


def list_sweeps(options: argparse.Namespace) -> int:
    """List the sweeps, newest first, with what came of each value."""
    queue.look()
    found = [stored.read(options.id)] if options.id else stored.all_sweeps()

    def in_words() -> None:
        if not found:
            print("No sweeps yet. `workbench sweep CONFIG --vary dpo.beta=.05,.1,.3` queues one.")
        for one in found:
            _print(one)

    return answer(options, [_facts(one) for one in found], in_words)


def _print(found: Sweep) -> None:
    points = sweeps.points(found)
    print(f"{found.id}  {title_of(found.setting)} ({found.setting})")
    for one in points:
        figures = "  ".join(f"{result.name} {figure_label(result, figure)}" for result, figure in one.figures.items())
        print(f"  {one.label:<14} {one.state:<10} {one.run:<32} {figures}")
    print(
        f"  {reading(points, found)}{' Margins are in nats: divided by beta.' if sweeps.has_several_betas(found) else ''}"
    )


def _facts(found: Sweep) -> dict[str, Any]:
    """A sweep for --json. Each figure is its value and the ends of its interval, null where there is none."""
    points = [
        {
            "value": one.value,
            "run": one.run,
            "state": one.state,
            **{result.name: list(figure) for result, figure in one.figures.items()},
        }
        for one in sweeps.points(found)
    ]
    return {"id": found.id, "time": found.time, "setting": found.setting, "points": points}
