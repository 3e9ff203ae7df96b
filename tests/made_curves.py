"""Curves made up from a seed, of which it is known what they do: to see how often a reading is wrong.

Each is drawn from a family: a course, its noise, how many steps and evaluations there are, where the run is by now. What may be
said of it stands beside it. Nothing here was fitted to what the readings say.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workbench.core.monitoring.readings import Reading, Series, every_stage, losses, online, preference


@dataclass(frozen=True)
class Made:
    """A reading of a made-up curve. claims: those that are true of it."""

    family: str
    reading: Reading
    claims: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return self.reading.claim in self.claims


def series(points: list[tuple[int, float | None]], origin: float | None = None) -> Series:
    return Series.of(points).shown(0, 1.0, origin)


class _Run:
    """How long a run is, where it is by now, and when it was evaluated."""

    def __init__(self, draw: random.Random, least: float = 0.5):
        """least: the share of its steps that it has at least taken."""
        self.draw = draw
        self.steps = draw.randint(30, 500)
        self.now = round(self.steps * draw.uniform(least, 1.0))
        self.each = max(3, round(self.steps / draw.randint(6, 14)))

    def training(self, course: Callable[[float], float], noise: Callable[[float], float]) -> Series:
        """course: by the share of the run's steps. noise: its standard deviation, by the value."""
        found = []
        for step in range(1, self.now + 1):
            value = course(step / self.steps)
            found.append((step, value + self.draw.gauss(0, noise(value))))
        return series(found, 0.0 if course(0) == 0 else None)

    def held_out(self, course: Callable[[float], float], noise: float = 0.0) -> Series:
        steps = [0, *range(self.each, self.now + 1, self.each)]
        return series(
            [(step, course(step / self.steps) + (self.draw.gauss(0, noise) if step else 0.0)) for step in steps]
        )


def towards(start: float, end: float, pace: float) -> Callable[[float], float]:
    """An exponential approach."""
    return lambda t: end + (start - end) * math.exp(-t / pace)


def turns(start: float, best: float, end: float, at: float) -> Callable[[float], float]:
    """There and back: from start to best, then to end."""
    return lambda t: start + (best - start) * min(1, t / at) if t <= at else best + (end - best) * (t - at) / (1 - at)


def made_curves(seed: int) -> Iterator[Made]:
    draw = random.Random(seed)
    for family in (_losses, _margins, _accuracies, _sides, _per_token, _every_stage, _online):
        for name, reading, claims in family(draw):
            yield Made(name, reading, claims)


def _losses(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    start = draw.uniform(0.3, 3.0)
    noise = draw.uniform(0.02, 0.15) * start
    run = _Run(draw)
    floor, pace = draw.uniform(0.35, 0.9) * start, draw.uniform(0.1, 0.6)
    held = towards(start, floor + 0.1 * (start - floor), pace)
    fell = losses.loss(run.training(towards(start, floor, pace), lambda _: noise), run.held_out(held, 0.003 * start))
    yield "loss falls", fell, ("falls",)
    run = _Run(draw, 0.75)  # so that two evaluations lie clearly behind the turn
    falling = run.training(towards(start, 0.2 * start, 0.4), lambda _: noise)
    course = turns(start, draw.uniform(0.5, 0.85) * start, draw.uniform(0.9, 1.4) * start, draw.uniform(0.1, 0.25))
    yield "loss overfits", losses.loss(falling, run.held_out(course, 0.003 * start)), ("past its best", "rises")
    run = _Run(draw)
    still = losses.loss(run.training(lambda _: start, lambda _: noise), run.held_out(lambda _: start, 0.0005 * start))
    yield "loss is flat", still, ("flat",)
    run = _Run(draw)
    up = towards(start, draw.uniform(1.3, 5.0) * start, 0.3)
    yield "loss rises", losses.loss(run.training(up, lambda _: noise), run.held_out(up, 0.01 * start)), ("rises",)
    run = _Run(draw)
    alone = run.training(towards(start, floor, pace), lambda _: noise / 2)
    yield "loss without held-out", losses.loss(alone, series([(0, start)])), ("falls",)
    gone = Series.of([*zip(alone.steps, alone.values, strict=True), (alone.steps[-1] + 1, None)])
    yield "loss is lost", losses.loss(gone, series([(0, start)])), ("broken",)
    few = series([(step, start) for step in range(1, draw.randint(2, 5))])
    yield "loss has begun", losses.loss(few, series([(0, start)])), ("early",)


def _margins(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    def uneven(value: float) -> float:
        return 0.3 + 0.3 * abs(value)

    for name, share, claims in (
        ("margin grows", draw.uniform(0.45, 0.95), ("grows",)),
        ("margin stays behind", draw.uniform(-0.05, 0.12), ("behind",)),
    ):
        run, most, pace = _Run(draw), draw.uniform(5, 40), draw.uniform(0.15, 0.6)
        course = towards(0, most, pace)
        held = run.held_out(lambda t, course=course, share=share: share * course(t), 0.02 * share * most)
        below = ("inverted",) if share * course(run.now / run.steps) < -0.3 else ()  # which is true of it too
        yield name, preference.margin(run.training(course, uneven), held, 0.5), (*claims, *below)
    run, best = _Run(draw, 0.75), draw.uniform(3, 15)
    back = turns(0, best, draw.uniform(-0.2, 0.45) * best, draw.uniform(0.1, 0.25))
    growing = run.training(towards(0, 3 * best, 0.4), uneven)
    found = preference.margin(growing, run.held_out(back, 0.02 * best), 0.5)
    yield "margin turns", found, ("turned", "behind", "inverted")
    run = _Run(draw)
    still = run.training(lambda _: 0.0, lambda _: draw.uniform(0.1, 0.6))
    yield "margin is flat", preference.margin(still, run.held_out(lambda _: 0.0, 0.05), 0.5), ("flat",)
    run = _Run(draw)
    down = towards(0, -draw.uniform(3, 30), 0.3)
    yield (
        "margin is inverted",
        preference.margin(run.training(down, uneven), run.held_out(down, 0.1), 0.5),
        ("inverted",),
    )
    run, most = _Run(draw), draw.uniform(5, 40)
    alone = run.training(towards(0, most, 0.3), uneven)
    yield "margin without held-out", preference.margin(alone, series([(0, 0.0)]), 0.5), ("grows",)
    run = _Run(draw)
    far = towards(0, draw.uniform(150, 400), 0.1)
    found = preference.margin(run.training(far, uneven), run.held_out(far), 0.5, most=90.0)
    yield "margin runs away", found, ("runs away",)


def _accuracies(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    def measured(share: float, pairs: int) -> float:
        return sum(draw.random() < share for _ in range(pairs)) / pairs

    def found(training: float, held: float, pairs: int) -> Reading:
        steps = series([(step, measured(training, 16)) for step in range(1, draw.randint(20, 200))])
        return preference.accuracy(steps, series([(0, 0.5), (50, measured(held, pairs))]), pairs, 16)

    yield "accuracy is good", found(0.8, draw.uniform(0.66, 0.9), draw.randint(150, 500)), ("above",)
    yield "accuracy is chance", found(0.55, 0.5, draw.randint(40, 500)), ("chance",)
    yield "accuracy is wrong", found(0.4, draw.uniform(0.15, 0.34), draw.randint(150, 500)), ("below",)
    yield "accuracy in training only", found(draw.uniform(0.9, 1.0), 0.5, draw.randint(200, 500)), ("memorizes",)


def _sides(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    tokens = draw.uniform(30, 300)

    def both(chosen: float, rejected: float, pace: float = 0.3) -> tuple[Series, Series]:
        run = _Run(draw)
        size = 0.02 * max(abs(chosen), abs(rejected), 5)
        if draw.random() < 0.5:
            return run.held_out(towards(0, chosen, pace), size), run.held_out(towards(0, rejected, pace), size)
        noisy = 6 * size
        return (
            run.training(towards(0, chosen, pace), lambda _: noisy),
            run.training(towards(0, rejected, pace), lambda _: noisy),
        )

    def read(chosen: float, rejected: float) -> Reading:
        return preference.sides(*both(chosen, rejected), 0.5, 0.1, tokens)

    fall = draw.uniform(8, 40)
    yield "rejected falls", read(draw.uniform(-0.02, 0.02) * fall, -fall), ("rejected falls", "both fall", "both part")
    yield "they part", read(draw.uniform(0.3, 0.8) * fall, -fall), ("both part",)
    yield "both fall", read(-draw.uniform(0.2, 0.6) * min(fall, tokens), -fall - 0.3 * tokens), ("both fall",)
    yield "chosen rises", read(fall, draw.uniform(0.1, 0.4) * fall), ("chosen rises",)
    yield "chosen is displaced", read(-draw.uniform(1.6, 4) * tokens, -draw.uniform(4.5, 6) * tokens), ("displaced",)
    yield "wrong way round", read(-fall, draw.uniform(0.2, 1.0) * fall), ("inverted",)
    together = draw.uniform(0.3, 0.7) * tokens
    yield "they fall together", read(-together, -together), ("together", "inverted", "displaced")
    yield "nothing moves", read(0.0, 0.0), ("flat",)


def _per_token(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    def both(chosen: tuple[float, float], rejected: tuple[float, float]) -> tuple[Series, Series]:
        run = _Run(draw)
        return run.held_out(towards(*chosen, 0.25), 0.002), run.held_out(towards(*rejected, 0.25), 0.002)

    at, fall = -draw.uniform(0.3, 1.5), draw.uniform(0.15, 0.6)
    yield "tokens part", preference.probabilities(*both((at, at), (at, at - fall))), ("part", "both fall")
    yield "tokens both fall", preference.probabilities(*both((at, at - 0.3 * fall), (at, at - fall))), ("both fall",)
    yield "tokens together", preference.probabilities(*both((at, at - fall), (at, at - fall))), ("together", "inverted")
    yield "tokens are flat", preference.probabilities(*both((at, at), (at, at))), ("flat",)
    yield "drift is small", preference.drift(*both((0, 0.05), (0, -draw.uniform(0, 0.2)))), ("close",)
    yield "drift is clear", preference.drift(*both((0, -0.1), (0, -draw.uniform(0.45, 1.5)))), ("moved",)
    yield "drift is far", preference.drift(*both((0, -draw.uniform(1.5, 4)), (0, -5))), ("far",)


def _every_stage(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    def entropy(end: float) -> Reading:
        run, start = _Run(draw), draw.uniform(0.3, 2.5)
        course = towards(start, end * start, 0.15)
        return every_stage.entropy(run.training(course, lambda _: 0.05 * start), run.held_out(course, 0.005 * start))

    yield "entropy is even", entropy(draw.uniform(0.85, 1.15)), ("even",)
    yield "entropy falls", entropy(draw.uniform(0.3, 0.55)), ("surer",)
    yield "entropy collapses", entropy(draw.uniform(0.01, 0.1)), ("collapsed",)
    yield "entropy rises", entropy(draw.uniform(1.6, 3.0)), ("rises",)
    run, pace = _Run(draw), draw.uniform(100, 20_000)
    yield "speed is even", every_stage.speed(run.training(lambda _: pace, lambda _: 0.15 * pace)), ("even",)
    slow = draw.uniform(0.2, 0.5)
    yield "speed drops", every_stage.speed(_second_half_slow(run, pace, slow)), ("slower",)
    size = draw.uniform(1, 60)
    steady = run.training(towards(0.6 * size, size, 0.02), lambda _: 0.002 * size)
    yield "memory fits", every_stage.memory(steady, 1.2 * size), ("fits",)
    yield "memory is over", every_stage.memory(steady, 0.7 * size), ("over",)
    leak = run.training(lambda t: size * (0.5 + draw.uniform(0.9, 1.0) * t), lambda _: 0.005 * size)
    yield "memory grows", every_stage.memory(leak, None), ("grows",)
    norm = draw.uniform(0.1, 5)
    even = [(step, norm * math.exp(draw.gauss(0, 0.3))) for step in range(1, run.now + 1)]
    yield "gradient is even", every_stage.gradient(Series.of(even, len(even))), ("even",)
    place = draw.randrange(8, len(even))
    jumped = [(step, 25 * value if number == place else value) for number, (step, value) in enumerate(even)]
    yield "gradient jumps", every_stage.gradient(Series.of(jumped, len(even))), ("jumps",)
    zero = Series.of([(step, 0.0) for step, _ in even])
    yield "gradient is none", every_stage.gradient(zero), ("zero",)
    grows = [(step, value * (1 + 30 * step / run.now)) for step, value in even]
    yield "gradient grows", every_stage.gradient(Series.of(grows, len(even))), ("grows", "jumps")


def _second_half_slow(run: _Run, pace: float, slow: float) -> Series:
    from_step = run.now * run.draw.uniform(0.6, 0.75)
    values = [
        (step, (slow if step > from_step else 1) * pace * run.draw.gauss(1, 0.1)) for step in range(1, run.now + 1)
    ]
    return series([(step, value) for step, value in values])


def _online(draw: random.Random) -> Iterator[tuple[str, Reading, tuple[str, ...]]]:
    def reward(end: float, held: float) -> Reading:
        run = _Run(draw)
        training, held_out = towards(0.5, end, 0.3), towards(0.5, held, 0.3)
        return online.reward(run.training(training, lambda _: 0.25), run.held_out(held_out, 0.02))

    up = draw.uniform(1.2, 4)
    yield "reward rises", reward(up, 0.9 * up), ("rises",)
    yield "reward is flat", reward(0.5, 0.5), ("flat",)
    yield "reward falls", reward(-1.0, -draw.uniform(0.2, 1.0)), ("falls",)
    run = _Run(draw)
    for name, end, claims in (
        ("divergence is small", draw.uniform(0.005, 0.05), ("close",)),
        ("divergence is large", draw.uniform(0.2, 1.0), ("far",)),
    ):
        course = towards(0, end, 0.15)
        noisy = run.training(course, lambda value: 0.1 * abs(value))
        yield name, online.divergence(noisy, run.held_out(course)), claims
    tokens = draw.uniform(20, 400)
    for name, times, claims in (
        ("length is even", draw.uniform(0.85, 1.12), ("even",)),
        ("length grows", draw.uniform(2.3, 5), ("grows", "longer")),
        ("length shrinks", draw.uniform(0.1, 0.35), ("shorter",)),
    ):
        course = towards(tokens, times * tokens, 0.15)
        yield name, online.length(run.training(course, lambda _: 0.08 * tokens)), claims
    sure = run.training(lambda _: 0.97, lambda _: 0.005)
    yield "answers end", online.ending(sure, run.held_out(lambda _: 0.98, 0.005)), ("end",)
    cut = towards(0.97, draw.uniform(0.1, 0.6), 0.15)
    yield "answers are cut", online.ending(run.training(cut, lambda _: 0.02), run.held_out(cut, 0.01)), ("fewer",)
    some = run.training(lambda _: draw.uniform(0, 0.2), lambda _: 0.02)
    yield "groups differ", online.spread(some, Series()), ("enough",)
    none = run.training(towards(0.1, draw.uniform(0.75, 1), 0.15), lambda _: 0.05)
    yield "groups are alike", online.spread(none, Series()), ("little",)
