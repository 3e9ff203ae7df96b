"""Training runs that go wrong in a known way, and runs that are well: what a watcher of runs has to tell apart.

Each is a short run of the real worker on the demo model. A fault is planted in the rows that the worker loads, in its
settings, or in the worker itself; which rules may name it stands beside it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.core.monitoring.health import RunFinding, examine
from workbench.core.training.config import read_config

# A fault has to be named within this share of the planned steps.
FIFTH = 0.2

Rows = list[dict[str, Any]]

SMALL: dict[str, Any] = {
    "method": "dpo",
    "sft_data": "demo-sft",
    "preference_data": "demo-preferences",
    "thumbs_data": "thumbs",
    "batch_size": 8,
    "accumulation": 1,
    "max_length": 192,
    "gradient_checkpointing": False,
    "evaluations": 6,
    "held_out_limit": 112,
}
DPO = {"learning_rate": 2.5e-4, "beta": 0.1, "max_steps": 50}
SFT = {"learning_rate": 1e-3, "max_steps": 50}
KTO = {"learning_rate": 2.5e-4, "beta": 0.1, "max_steps": 50}


@dataclass(frozen=True)
class RunCase:
    """A run and what may be said of it.

    name: on the command line. what: in words. rules: ids of core/monitoring/health.py that name the fault; none for a run that is
    well. dpo, sft, kto, more: settings over the small ones. rows: changes training and held-out rows after they were read.
    plant: changes the worker before it starts.
    """

    name: str
    what: str
    rules: tuple[str, ...] = ()
    dpo: dict[str, Any] = field(default_factory=dict)
    sft: dict[str, Any] = field(default_factory=dict)
    kto: dict[str, Any] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    rows: Callable[[Rows, Rows], tuple[Rows, Rows]] | None = None
    plant: Callable[[], None] | None = None

    def settings(self) -> dict[str, Any]:
        """As the run's config.json holds them, without a name. Settings of KTO, also none, make it a run of KTO."""
        method = {} if self.kto is None else {"method": "kto", "kto": KTO | self.kto}
        return SMALL | {"dpo": DPO | self.dpo, "sft": SFT | self.sft} | method | self.more


@dataclass(frozen=True)
class Said:
    """A rule that spoke while a run was watched, and the step of its stage at which it first did."""

    finding: RunFinding
    step: int
    is_early: bool  # within the first fifth of the planned steps

    @property
    def is_alarm(self) -> bool:
        return self.finding.severity != "info"


def judged(case: RunCase, rows: Rows, plan: dict[Any, int]) -> list[Said]:
    """Every rule that spoke of a case, in order of time. The run is looked at as it is watched: after every row anew."""
    config = read_config(case.settings() | {"name": case.name})
    first: dict[str, Said] = {}
    for number, row in enumerate(rows, start=1):
        if "stage" not in row:
            continue
        for finding in examine(rows[:number], config, plan):
            early = row["step"] <= FIFTH * plan[row["stage"]] + 1e-9
            first.setdefault(finding.rule, Said(finding, row["step"], early))
    return list(first.values())


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def turned(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"chosen": row["rejected"], "rejected": row["chosen"]}


def shuffled(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """Every label by the toss of a coin, as where a column of labels was sorted by itself."""
    coin = random.Random(5)
    tossed = [[turned(row) if coin.random() < 0.5 else row for row in rows] for rows in (training, held_out)]
    return tossed[0], tossed[1]


def shuffled_thumbs(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    coin = random.Random(5)
    tossed = [[row | {"label": coin.random() < 0.5} for row in rows] for rows in (training, held_out)]
    return tossed[0], tossed[1]


def some_wrong(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """Every eighth label is wrong, as in what people choose."""
    return [turned(row) if number % 8 == 0 else row for number, row in enumerate(training)], held_out


def few(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """As many as 25 steps of 8 take, twice: two epochs of a small dataset."""
    return training[:200], held_out


def both_ways(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """Every pair twice, once each way round."""
    half = training[: len(training) // 2]
    return half + [turned(row) for row in half], held_out


def held_out_turned(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """Half of the held-out labels turned round: what is learned does not hold where it is measured."""
    return training, [turned(row) if number % 2 else row for number, row in enumerate(held_out)]


def longer_wins(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """The chosen answer is the rejected one said twice: length is all that there is to learn."""

    def doubled(row: dict[str, Any]) -> dict[str, Any]:
        text = row["rejected"][0]["content"]
        return row | {"chosen": said(f"{text} {text}")}

    return [doubled(row) for row in training], [doubled(row) for row in held_out]


def one_pair(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    return [training[0]] * len(training), held_out


def one_batch(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """As many pairs as one step takes: every step sees the same ones."""
    return training[:8], held_out


def equal_answers(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    return [row | {"rejected": row["chosen"]} for row in training], [
        row | {"rejected": row["chosen"]} for row in held_out
    ]


def letters_rejected(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """Rejected answers are letters at random: the easiest pairs there are."""
    random_letters = random.Random(7)

    def spoiled(row: dict[str, Any]) -> dict[str, Any]:
        letters = list(row["rejected"][0]["content"])
        random_letters.shuffle(letters)
        return row | {"rejected": said("".join(letters))}

    return [spoiled(row) for row in training], [spoiled(row) for row in held_out]


def one_chosen(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """The same chosen answer to everything, as where a refusal was filled in."""
    same = said("I cannot say anything about this.")
    return [row | {"chosen": same} for row in training], [row | {"chosen": same} for row in held_out]


def one_completion(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    same = said("I cannot say anything about this.")
    return [row | {"completion": same} for row in training], [row | {"completion": same} for row in held_out]


def sixteen(training: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    return training[:16], held_out


def wrong_reference() -> None:
    """The adapter that training starts from is changed behind the back of the reference."""
    from workbench.engine import adapters

    restore = adapters.restore_fp32

    def plant(model: Any, before: Any) -> None:
        restore(model, before)
        for name, weight in model.named_parameters():
            if "lora_B" in name and weight.requires_grad:
                weight.data += 0.05

    adapters.restore_fp32 = plant


def at_step(number: int, change: Callable[[Any], Any]) -> Callable[[], None]:
    """The gradients of one step are changed on their way; of every step where `number` is 0."""

    def plant() -> None:
        from workbench.engine import adapters

        restore = adapters.restore_fp32

        def hook(model: Any, before: Any) -> None:
            restore(model, before)
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.register_hook(changing())

        def changing() -> Callable[[Any], Any]:
            passed = 0

            def change_one(gradient: Any) -> Any:
                nonlocal passed
                passed += 1
                return change(gradient) if number in (0, passed) else gradient

            return change_one

        adapters.restore_fp32 = hook

    return plant


def without_end() -> None:
    """A chat template that ends answers in nothing."""
    from workbench.engine import load

    complete = load.load_tokenizer

    def stripped(folder: Any) -> Any:
        tokenizer = complete(folder)
        tokenizer.chat_template = tokenizer.chat_template.replace("+ eos_token", "")
        return tokenizer

    load.load_tokenizer = stripped


# That the pairs are told apart at once is true of these runs too, but it sends to the data, which are not at fault.
RUN_AWAY = ("rate_too_high", "exploding", "chosen_falls", "too_fast")

BAD = (
    RunCase("wrong-reference", "the reference is not the start", ("wrong_reference",), plant=wrong_reference),
    RunCase("rate-x30", "learning rate x 30", RUN_AWAY, {"learning_rate": 7.5e-3}),
    RunCase(
        "rate-x400",
        "learning rate x 400, no clipping",
        RUN_AWAY,
        {"learning_rate": 0.1},
        more={"max_grad_norm": 1000.0},
    ),
    RunCase("shuffled", "labels by the toss of a coin", ("not_learning",), rows=shuffled),
    RunCase("both-ways", "every pair both ways round", ("not_learning",), rows=both_ways),
    RunCase("held-out-noise", "half of the held-out labels turned", ("held_out_at_chance",), rows=held_out_turned),
    RunCase("longer-wins", "only length tells the answers apart", ("length_decides",), rows=longer_wins),
    RunCase("one-pair", "one pair again and again", ("repeated", "seen_often"), rows=one_pair),
    RunCase("one-batch", "as many pairs as one step takes", ("repeated", "seen_often"), {"epochs": 100}, rows=one_batch),
    RunCase("equal", "chosen and rejected are the same", ("nothing_moves",), rows=equal_answers),
    RunCase("letters", "rejected answers are letters at random", ("too_easy",), rows=letters_rejected),
    RunCase("one-chosen", "the same chosen answer to everything", ("too_easy", "answers_alike"), rows=one_chosen),
    RunCase("no-end", "the template ends answers in nothing", ("no_end",), plant=without_end),
    RunCase("cut", "answers cut after a few tokens", ("no_end",), more={"max_length": 40}),
    RunCase("rate-tiny", "learning rate / 1000", ("hardly_moves",), {"learning_rate": 2.5e-7}),
    RunCase("beta-huge", "beta 10", ("beta_too_high",), {"beta": 10}),
    RunCase("beta-tiny", "beta .001", ("beta_too_low",), {"beta": 0.001}),
    RunCase("frozen", "no gradient reaches the adapter", ("nothing_moves",), plant=at_step(0, lambda g: g * 0)),
    RunCase("nan", "a gradient that is not a number", ("exploding",), plant=at_step(6, lambda g: g * float("nan"))),
    RunCase(
        "spike",
        "one gradient x 1000, no clipping",
        ("exploding",),
        more={"max_grad_norm": 1000.0},
        plant=at_step(8, lambda g: g * 1000),
    ),
    RunCase(
        "sft-rate",
        "SFT with learning rate x 30",
        ("sft_rises", "exploding"),
        sft={"learning_rate": 3e-2},
        more={"method": "sft"},
    ),
    RunCase(
        "sft-tiny", "SFT with learning rate / 1000", ("sft_stuck",), sft={"learning_rate": 1e-6}, more={"method": "sft"}
    ),
    RunCase(
        "sft-frozen",
        "no gradient reaches the adapter in SFT",
        ("sft_stuck", "nothing_moves"),
        more={"method": "sft"},
        plant=at_step(0, lambda g: g * 0),
    ),
    RunCase(
        "sft-one-answer",
        "SFT on the same answer to everything",
        ("sft_too_easy", "answers_alike"),
        more={"method": "sft"},
        rows=one_completion,
    ),
    RunCase("sft-no-end", "SFT without an end of answers", ("no_end",), more={"method": "sft"}, plant=without_end),
    RunCase(
        "sft-by-heart", "SFT on 16 rows, again and again", ("by_heart", "seen_often"), sft={"epochs": 100}, more={"method": "sft"}, rows=sixteen
    ),
    RunCase("norm-rate", "sigmoid_norm, learning rate x 30", RUN_AWAY, {"loss": "sigmoid_norm", "beta": 5, "learning_rate": 7.5e-3}),
    RunCase("norm-beta", "sigmoid_norm with the beta of sigmoid", ("beta_too_low",), {"loss": "sigmoid_norm"}),
    RunCase("ipo-rate", "ipo, learning rate x 30", RUN_AWAY, {"loss": "ipo", "learning_rate": 7.5e-3}),
    RunCase("ipo-shuffled", "ipo, labels by the toss of a coin", ("not_learning",), {"loss": "ipo"}, rows=shuffled),
    RunCase(
        "robust-letters",
        "robust, rejected answers are letters at random",
        ("too_easy",),
        {"loss": "robust", "label_smoothing": 0.1},
        rows=letters_rejected,
    ),
    RunCase("hinge-tiny", "hinge, learning rate / 1000", ("hardly_moves",), {"loss": "hinge", "learning_rate": 2.5e-7}),
    RunCase("apo-both-ways", "apo_zero, every pair both ways round", ("not_learning",), {"loss": "apo_zero"}, rows=both_ways),
    RunCase("kto-reference", "KTO from another start than its reference", ("wrong_reference",), kto={}, plant=wrong_reference),
    RunCase("kto-shuffled", "thumbs by the toss of a coin", ("not_learning",), kto={}, rows=shuffled_thumbs),
    RunCase("kto-rate", "KTO, learning rate x 30", RUN_AWAY, kto={"learning_rate": 7.5e-3}),
    RunCase("kto-tiny", "KTO, learning rate / 1000", ("hardly_moves",), kto={"learning_rate": 2.5e-7}),
    RunCase("kto-frozen", "no gradient reaches the adapter in KTO", ("nothing_moves",), kto={}, plant=at_step(0, lambda g: g * 0)),
    RunCase("kto-no-end", "KTO without an end of answers", ("no_end",), kto={}, plant=without_end),
)  # fmt: skip

HEALTHY = (
    RunCase("well", "the demo's settings"),
    RunCase("well-seed", "another seed", more={"seed": 3}),
    RunCase("well-slow", "a fifth of the learning rate", dpo={"learning_rate": 5e-5}),
    RunCase("well-fast", "twice the learning rate", dpo={"learning_rate": 5e-4}),
    RunCase("well-loose", "beta .03", dpo={"beta": 0.03}),
    RunCase("well-tight", "beta .5", dpo={"beta": 0.5}),
    RunCase("well-small", "rank 4, batches of 4", more={"batch_size": 4, "adapter": {"rank": 4, "alpha": 8}}),
    RunCase("well-large", "rank 64, batches of 16", more={"batch_size": 16, "adapter": {"rank": 64, "alpha": 64}}),
    RunCase("well-sft", "SFT", more={"method": "sft"}),
    RunCase("well-sft-slow", "SFT, a fifth of the rate", sft={"learning_rate": 2e-4}, more={"method": "sft"}),
    RunCase(
        "well-both",
        "SFT, then DPO",
        dpo={"max_steps": 40},
        sft={"max_steps": 30},
        more={"method": "sft+dpo"},
    ),
    RunCase("well-constant", "constant rate, few steps", dpo={"max_steps": 25}, more={"schedule": "constant_with_warmup"}),
    RunCase("well-norm", "sigmoid_norm at its beta", dpo={"loss": "sigmoid_norm", "beta": 5}),
    RunCase("well-ipo", "ipo", dpo={"loss": "ipo"}),
    RunCase("well-robust", "robust, some labels wrong", dpo={"loss": "robust", "label_smoothing": 0.1}, rows=some_wrong),
    RunCase("well-apo", "apo_zero", dpo={"loss": "apo_zero"}),
    RunCase("well-down", "apo_down", dpo={"loss": "apo_down"}),
    RunCase("well-hinge", "hinge", dpo={"loss": "hinge"}),
    RunCase("well-term", "an SFT term beside sigmoid", dpo={"sft_weight": 0.2}),
    RunCase("well-noisy", "some labels wrong", more={"seed": 5}, rows=some_wrong),
    RunCase("well-few", "two epochs of 200 pairs", dpo={"epochs": 2}, more={"seed": 7}, rows=few),
    RunCase(
        "well-parts",
        "batches in two parts, dropout, weight decay",
        more={"batch_size": 4, "accumulation": 2, "adapter": {"dropout": 0.1}, "weight_decay": 0.01, "seed": 11},
    ),
    RunCase("well-kto", "KTO", kto={}),
    RunCase("well-kto-seed", "KTO, another seed", kto={}, more={"seed": 3}),
    RunCase("well-kto-slow", "KTO, a fifth of the learning rate", kto={"learning_rate": 5e-5}),
)  # fmt: skip

CASES = BAD + HEALTHY
