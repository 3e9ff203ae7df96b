"""Chat in the terminal."""

import argparse
import json
import sys
from typing import Any

from workbench.core.chat import Answerer, Ask, Sampling
from workbench.core.training.config import checked
from workbench.jobs.chat import Chat
from workbench.store.runs import open_run


def chat(options: argparse.Namespace) -> int:
    """Ask base and aligned model the same questions in the terminal."""
    run = open_run(options.run)
    config = run.config()
    drawn = {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens, "seed": options.seed}
    sampling = checked(Sampling, drawn)
    model = Chat()
    print(f"Loading {config.model.title} ...", file=sys.stderr)
    model.start(config.model, config.precision)
    try:
        model.wait(3600)
        for question in [options.ask] if options.ask else _questions():
            _answer(model, question, run.name, sampling, options.json)
    finally:
        model.close()
    return 0


def _answer(model: Chat, question: str, run_name: str, sampling: Sampling, as_json: bool) -> None:
    messages: Any = [{"role": "user", "content": question}]
    *_, answers = model.ask(Ask(messages), Ask(messages, Answerer(run_name)), sampling)
    if as_json:
        print(json.dumps({"question": question, "base": answers.left.text, "aligned": answers.right.text}))
    else:
        print(f"\nbase     {answers.left.text.strip()}\n\naligned  {answers.right.text.strip()}\n")


def _questions() -> Any:
    print("Ask both models. An empty line ends.", file=sys.stderr)
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            return
        if not question:
            return
        yield question
