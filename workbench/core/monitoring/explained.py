"""What each chart shows, for somebody who sees it for the first time."""

from dataclasses import dataclass

Sketch = tuple[tuple[float, float], ...]
"""A line to be drawn small: points from (0, 0), at the left and below, to (1, 1)."""


@dataclass(frozen=True)
class Explanation:
    """A chart in words. formula: in plain text. source: where it is defined. good, bad: what to look for, with a sketch of each."""

    what: str
    formula: str
    source: str
    good: str
    bad: str
    sketch_good: Sketch
    sketch_bad: Sketch


_FALLS = ((0.0, 0.95), (0.15, 0.6), (0.3, 0.42), (0.5, 0.3), (0.75, 0.23), (1.0, 0.2))
_FALLS_AND_RISES = ((0.0, 0.9), (0.15, 0.55), (0.35, 0.35), (0.55, 0.4), (0.8, 0.6), (1.0, 0.8))
_RISES_AND_LEVELS = ((0.0, 0.1), (0.15, 0.35), (0.3, 0.55), (0.5, 0.7), (0.75, 0.78), (1.0, 0.8))
_RISES_FASTER = ((0.0, 0.05), (0.3, 0.1), (0.55, 0.25), (0.75, 0.5), (0.9, 0.8), (1.0, 1.0))
_RISES_AND_FALLS = ((0.0, 0.1), (0.15, 0.45), (0.35, 0.65), (0.55, 0.6), (0.8, 0.4), (1.0, 0.2))
_STAYS = ((0.0, 0.5), (0.15, 0.54), (0.3, 0.47), (0.5, 0.52), (0.7, 0.48), (0.85, 0.53), (1.0, 0.5))
_COLLAPSES = ((0.0, 0.85), (0.15, 0.8), (0.3, 0.6), (0.4, 0.3), (0.55, 0.1), (0.75, 0.05), (1.0, 0.04))
_SAGS = ((0.0, 0.85), (0.2, 0.82), (0.4, 0.75), (0.6, 0.69), (0.8, 0.66), (1.0, 0.65))
_SPIKES = ((0.0, 0.25), (0.3, 0.22), (0.5, 0.26), (0.55, 0.98), (0.6, 0.45), (0.8, 0.6), (1.0, 0.7))

EXPLAINED: dict[str, Explanation] = {
    "sft-loss": Explanation(
        what="How surprised the model is by the answers of the data, per token. At 0 it would write each of them word for word.",
        formula="L = -(1/T) * sum over the T answer tokens of log p(token | what stands before it)",
        source="TRL documentation, SFT Trainer: Computing the loss; Ouyang et al. 2022, section 3.5",
        good="Both curves fall, fast at first and then slowly, and stay close together.",
        bad="Held-out falls, turns and rises while training goes on falling: the model memorizes its examples.",
        sketch_good=_FALLS,
        sketch_bad=_FALLS_AND_RISES,
    ),
    "dpo-loss": Explanation(
        what="How far the model is from preferring the chosen answer of every pair. It is computed from the margin alone, so it falls "
        "as the margin grows.",
        formula="DPO: L = -log sigmoid(beta * [log p(chosen)/p_ref(chosen) - log p(rejected)/p_ref(rejected)]); other losses put "
        "another function in place of -log sigmoid, ORPO and SimPO have no p_ref",
        source="Rafailov et al. 2023, eq. 7; Hong et al. 2024, eq. 6; Meng et al. 2024, eq. 6",
        good="It leaves its start, ln 2 for most losses, and falls; held-out falls more slowly and levels off.",
        bad="Held-out turns and rises: overfitting. Or nothing moves: the steps are too small, or the labels are noise.",
        sketch_good=_FALLS,
        sketch_bad=_FALLS_AND_RISES,
    ),
    "kto-loss": Explanation(
        what="How far the model is from raising every liked answer and lowering every disliked one, each judged by itself.",
        formula="L = w * (1 - sigmoid(+-[beta * log p(answer)/p_ref(answer) - z])), + for liked, - for disliked; z is beta times an "
        "estimate of the divergence",
        source="Ethayarajh et al. 2024, eq. 7",
        good="It leaves its start, one half of the mean weight, and falls; held-out follows more slowly.",
        bad="Held-out turns and rises, or both stay where they began.",
        sketch_good=_FALLS,
        sketch_bad=_FALLS_AND_RISES,
    ),
    "reward-loss": Explanation(
        what="How far the reward model is from scoring the chosen answer of every pair clearly higher.",
        formula="L = -log sigmoid(score(chosen) - score(rejected))",
        source="Ouyang et al. 2022, eq. 1; Bradley and Terry 1952",
        good="Both curves fall from about ln 2 and level off close together.",
        bad="Held-out rises while training falls: it has memorized which answers were chosen.",
        sketch_good=_FALLS,
        sketch_bad=_FALLS_AND_RISES,
    ),
    "reward": Explanation(
        what="What its own answers are worth to the reward model and the rules, on average, without the cost of divergence.",
        formula="mean of r(prompt, answer) over answers that the model writes now",
        source="Ahmadian et al. 2024, section 2; Ouyang et al. 2022, eq. 2",
        good="It rises and levels off, and the held-out prompts rise with it.",
        bad="It rises without an end while answers get odd: the reward is exploited. Or it falls: the steps are too large.",
        sketch_good=_RISES_AND_LEVELS,
        sketch_bad=_RISES_FASTER,
    ),
    "divergence": Explanation(
        what="How much likelier the model's own answers have become than they were to its reference, per token.",
        formula="KL = mean over its own answer tokens of log p(token) - log p_ref(token)",
        source="Ouyang et al. 2022, eq. 2; Gao et al. 2023",
        good="It rises slowly and levels off below about 0.1.",
        bad="It rises faster and faster: the reward no longer holds where the model has gone.",
        sketch_good=_RISES_AND_LEVELS,
        sketch_bad=_RISES_FASTER,
    ),
    "answer-length": Explanation(
        what="Tokens of the answers that the model writes while it learns.",
        formula="mean number of tokens up to the end token, or to the limit",
        source="TRL documentation, RLOO Trainer: Logged metrics; Singhal et al. 2023",
        good="It stays near where it began, or settles at another length.",
        bad="It grows and grows: the reward has a taste for length, or nothing rewards an end.",
        sketch_good=_STAYS,
        sketch_bad=_RISES_FASTER,
    ),
    "ending": Explanation(
        what="Share of its answers that end by themselves. The others are cut at the longest answer, and are judged unfinished.",
        formula="1 - (answers cut at the limit) / (all answers)",
        source="TRL documentation, RLOO Trainer: Logged metrics, completions/clipped_ratio",
        good="Close to 100 %, all the way.",
        bad="It falls: answers run on until they are cut, and the reward sees only their beginning.",
        sketch_good=((0.0, 0.93), (0.2, 0.95), (0.4, 0.94), (0.6, 0.96), (0.8, 0.95), (1.0, 0.96)),
        sketch_bad=_COLLAPSES,
    ),
    "spread": Explanation(
        what="How much the rewards of several answers to one prompt differ. The method learns from these differences alone.",
        formula="standard deviation of the rewards; share of groups whose standard deviation is 0",
        source="Ahmadian et al. 2024, eq. 6: each reward less the mean of the others in its group",
        good="The spread stays well above 0, and few groups have none.",
        bad="The spread goes to 0 and the share of groups without any to 1: nothing is left to learn from.",
        sketch_good=_SAGS,
        sketch_bad=_COLLAPSES,
    ),
    "margin": Explanation(
        what="How much more the model has come to favour chosen over rejected answers, in the units of its loss: beta times nats. "
        "Of a reward model: how much higher it scores them.",
        formula="margin = r(chosen) - r(rejected), with r = beta * log p(answer)/p_ref(answer); ORPO and SimPO: beta * log p per token",
        source="Rafailov et al. 2023, eq. 5 and section 5.1",
        good="It grows and levels off, and held-out follows at some distance.",
        bad="Training grows on while held-out stays or falls: overfitting. Below 0 it prefers the rejected answers.",
        sketch_good=_RISES_AND_LEVELS,
        sketch_bad=_RISES_AND_FALLS,
    ),
    "margin-nats": Explanation(
        what="The margin without beta, so that runs with another beta can be compared: how many nats the chosen answers have gained "
        "over the rejected ones.",
        formula="margin / beta = log p(chosen)/p_ref(chosen) - log p(rejected)/p_ref(rejected)",
        source="Rafailov et al. 2023, eq. 5, divided by beta",
        good="It grows and levels off. With beta 0.1 some 10 to 30 nats are usual, with beta 0.01 some 100 and more.",
        bad="It grows ever faster in the first steps: the model diverges, and its answers will be broken.",
        sketch_good=_RISES_AND_LEVELS,
        sketch_bad=_RISES_FASTER,
    ),
    "accuracy": Explanation(
        what="Share of pairs in which the chosen answer has the higher reward. The area around the held-out line is where the true "
        "share lies with 95 % certainty: few held-out pairs make it wide.",
        formula="accuracy = share of pairs with r(chosen) > r(rejected); area: Wilson interval of so many pairs",
        source="TRL documentation, DPO Trainer: Logged metrics; Wilson 1927",
        good="Held-out rises clearly above one half and levels off; 65 to 75 % is usual for real data.",
        bad="Training rises to 100 % while held-out stays at one half: it learns the training pairs only.",
        sketch_good=_RISES_AND_LEVELS,
        sketch_bad=_STAYS,
    ),
    "rewards": Explanation(
        what="The two sides of the margin: what has become of the chosen answers, and what of the rejected ones.",
        formula="r(answer) = beta * log p(answer)/p_ref(answer); of a reward model: its raw score",
        source="Rafailov et al. 2023, eq. 5; Pal et al. 2024, section 3",
        good="The two part, most of it by the rejected answers falling. The chosen ones falling a little is normal.",
        bad="Both fall far, nearly together: the model moves to text that nobody asked for.",
        sketch_good=_SAGS,
        sketch_bad=_COLLAPSES,
    ),
    "log-probabilities": Explanation(
        what="How likely the model finds the chosen and the rejected answers, per token. 0 would be certainty; each nat less makes a "
        "token 2.7 times less likely.",
        formula="log p(answer) / number of its tokens",
        source="Meng et al. 2024, eq. 4; Razin et al. 2024",
        good="Chosen stays about where it began, or falls a little; rejected falls further.",
        bad="Chosen falls as far as rejected: likelihood displacement, the probability goes to something else.",
        sketch_good=_SAGS,
        sketch_bad=_COLLAPSES,
    ),
    "drift": Explanation(
        what="How far the model has moved from its reference on the answers of the data, per token. Above 0 an answer has become "
        "likelier than it was, below 0 less likely.",
        formula="log p(answer)/p_ref(answer) / number of its tokens",
        source="Rafailov et al. 2024 (direct alignment), section 3; Razin et al. 2024",
        good="Both lines stay within some tenths of a nat of 0.",
        bad="A line goes beyond 1 nat per token: the language of the answers breaks.",
        sketch_good=_SAGS,
        sketch_bad=_COLLAPSES,
    ),
    "entropy": Explanation(
        what="How open the next token is to the model, on average over the answers. 0: it is certain; ln 2: a coin toss between two.",
        formula="H = mean over tokens of -sum over the vocabulary of p * log p",
        source="Shannon 1948; TRL documentation: Logged metrics, entropy",
        good="It changes slowly; falling somewhat is normal, as the model becomes surer of what is wanted.",
        bad="It collapses: the model always says the same. Or it rises far above its start: its language falls apart.",
        sketch_good=_SAGS,
        sketch_bad=_COLLAPSES,
    ),
    "score-spread": Explanation(
        what="How far the scores of held-out answers lie from each other. The scale of a reward model is its own; online training "
        "divides by it or feels it as the weight of the reward.",
        formula="standard deviation of the scores of all held-out answers, chosen and rejected",
        source="Ouyang et al. 2022, section 3.5; Gao et al. 2023",
        good="It grows at first and levels off.",
        bad="It grows and grows while accuracy stays: certainty rises, knowledge does not.",
        sketch_good=_RISES_AND_LEVELS,
        sketch_bad=_RISES_FASTER,
    ),
    "learning-rate": Explanation(
        what="The size of each step.",
        formula="given by the schedule: up in the warm-up, then down; step = rate * direction",
        source="Transformers documentation: Schedules; Loshchilov and Hutter 2017",
        good="It rises in the first steps and falls to nothing at the end, so that the run settles.",
        bad="It is still at its highest where the run ends: the last steps leave the weights where chance put them.",
        sketch_good=((0.0, 0.0), (0.1, 0.95), (0.3, 0.85), (0.5, 0.6), (0.7, 0.3), (0.85, 0.1), (1.0, 0.0)),
        sketch_bad=((0.0, 0.9), (0.5, 0.9), (1.0, 0.9)),
    ),
    "gradient-norm": Explanation(
        what="How strongly the examples of a step pull at the weights, before clipping.",
        formula="square root of the sum of all squared gradients",
        source="Pascanu et al. 2013, section 3.2",
        good="Even, or falling slowly. Single higher steps are cut by clipping and do no harm.",
        bad="A jump to many times its usual height after which the loss is worse, or a rise without an end.",
        sketch_good=_STAYS,
        sketch_bad=_SPIKES,
    ),
    "speed": Explanation(
        what="Tokens that go through training each second, evaluations and checkpoints left out.",
        formula="tokens of the steps between two logged rows / seconds that these steps took",
        source="measured by the workbench; the trainer counts the tokens (num_tokens)",
        good="Even. Steps with longer answers have more tokens and take longer.",
        bad="It falls and stays low: the machine is shared, too hot, or out of memory and swapping.",
        sketch_good=_STAYS,
        sketch_bad=((0.0, 0.85), (0.2, 0.83), (0.4, 0.86), (0.5, 0.5), (0.6, 0.3), (0.8, 0.27), (1.0, 0.29)),
    ),
    "memory": Explanation(
        what="What the run has of the card's memory, or of the machine's where there is no card, against what was forecast.",
        formula="card: the most that tensors took since the row before; without a card: resident memory of the process",
        source="PyTorch documentation: torch.cuda.max_memory_allocated; the forecast: core/memory/forecast.py of the workbench",
        good="It rises in the first steps and then stays below the forecast.",
        bad="It grows from step to step: something is kept that should be let go, and the run will end for want of memory.",
        sketch_good=((0.0, 0.2), (0.1, 0.68), (0.25, 0.72), (0.5, 0.72), (0.75, 0.73), (1.0, 0.73)),
        sketch_bad=((0.0, 0.2), (0.2, 0.4), (0.4, 0.53), (0.6, 0.68), (0.8, 0.83), (1.0, 0.98)),
    ),
}
"""By the id of the chart; every chart has one."""
