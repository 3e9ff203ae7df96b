"""What is watched for while a run trains: every rule with its words, and the figure from which on it speaks.

Rewards are beta times a difference of log-probabilities; divided by beta they are nats, which mean the same at any beta.
"""

from dataclasses import dataclass

from workbench.core.severity import Severity


@dataclass(frozen=True)
class Rule:
    """One thing that can go wrong with a run.

    title: what is found, in words. meaning: what it does to the model. advice: what to do about it.
    limit: the figure from which on the rule speaks. why: what that figure counts, and the reason for it.
    ends: whether going on is pointless, so that the worker stops by itself and keeps the last good adapter.
    """

    title: str
    meaning: str
    advice: str
    severity: Severity
    limit: float
    why: str
    ends: bool = False


# Where a model is its own reference. Rounding stays far below both.
REFERENCE_LOSS = 0.002  # of the loss where that is above 1; that of ipo at a small beta is in the thousands
REFERENCE_NATS = 0.1  # between model and reference, for a whole answer

# A share of the steps. The first fifth is enough to judge whether a run has begun well; the warm-up is half of it.
FIRST_FIFTH = 0.2

RULES: dict[str, Rule] = {
    "wrong_reference": Rule(
        title="The run did not start from its reference",
        meaning="Every reward is measured against the wrong starting model, so every later number is misleading.",
        advice="Stop. This is a fault of the workbench or of a library: please report it, with the run's folder.",
        severity="blocker",
        limit=REFERENCE_LOSS,
        why="Between the loss before the first step and the one that a model has that is its own reference: ln 2 for sigmoid.",
        ends=True,
    ),
    "exploding": Rule(
        title="A step exploded",
        meaning="The weights were thrown far off. At best, what follows repairs the damage.",
        advice="Halve the learning rate and start again.",
        severity="blocker",
        limit=10,
        why="Gradient norm over the usual one of this run; noise between batches stays below three or four.",
        ends=True,
    ),
    "nothing_moves": Rule(
        title="Nothing moves",
        meaning="The steps change nothing: the adapter gets no gradient.",
        advice="Stop. Check whether chosen and rejected answers are the same; if they are not, the adapter is frozen.",
        severity="blocker",
        limit=3,
        why="Steps in a row, at a learning rate above 0, without any change. Even a tiny one would show in the last digits.",
    ),
    "repeated": Rule(
        title="Every step sees the same pairs",
        meaning="The model memorizes these few answers and learns nothing else.",
        advice="Look at the data: are its rows copies of each other, or fewer than one step takes?",
        severity="blocker",
        limit=0.005,
        why="How far the reference's log-probability of the chosen answers varies between 5 steps, as a share of it. "
        "Different pairs vary by several percent.",
    ),
    "not_learning": Rule(
        title="No preference learned so far",
        meaning="After a fifth of the steps the model prefers the chosen answer as often as a coin would.",
        advice="Check whether labels are shuffled or swapped. If the data is right, raise the learning rate.",
        severity="warning",
        limit=0.65,
        why="Upper end of the 95 % interval of the accuracy, while 50 % is inside it: published runs end between .65 and "
        ".75, and with fewer pairs nothing can be said yet. KTO: the margin that goes with it.",
    ),
    "hardly_moves": Rule(
        title="The model hardly moves",
        meaning="At this pace the run will end with what is still the base model.",
        advice="Raise the learning rate. Ten times as much is a usual next try.",
        severity="warning",
        limit=0.02,
        why="Nats by which an answer became more or less probable after a fifth of the steps: 2 % more or less.",
    ),
    "beta_too_low": Rule(
        title="Beta is too low to hold the model",
        meaning="The reference has no effect on the loss until the margin is hundreds of nats, and by then answers are broken.",
        advice="Take a beta that its loss is used with.",
        severity="warning",
        limit=0.005,
        why="Beta. The lowest of any recipe with known results is .01; for sigmoid_norm, which works per token, 2.",
    ),
    "beta_too_high": Rule(
        title="Beta holds the model where it was",
        meaning="The loss saturates before the answers change noticeably.",
        advice="Take a beta that its loss is used with.",
        severity="warning",
        limit=1.0,
        why="Nats of margin at which the loss is already saturated. With sigmoid at a beta up to .5 two nats are enough.",
    ),
    "too_easy": Rule(
        title="The pairs are separated at once",
        meaning="There is little to learn from them, or something other than quality gives the chosen answer away. "
        "What follows is overfitting.",
        advice="Look at the data: length, a fixed phrase, a broken answer. If it is as it should be, take fewer epochs, "
        "half the learning rate or a higher beta.",
        severity="warning",
        limit=1.0,
        why="Margin times beta within the first fifth of the steps, at an accuracy above .98: at 1 less than "
        "half of sigmoid's loss is left, and nothing of hinge's. Healthy runs are below .2 there.",
    ),
    "too_fast": Rule(
        title="The model diverges from the reference in its first steps",
        meaning="It has moved further from the reference than whole runs with known results. Soon its answers will be broken.",
        advice="Take a tenth of the learning rate. If it diverges again, look at the data for what gives chosen answers away.",
        severity="warning",
        limit=1.0,
        why="Nats of margin for each token within the first fifth of the steps. Ten published runs end, after all their steps, "
        "with 102 to 158 nats in answers of some hundred tokens.",
    ),
    "chosen_falls": Rule(
        title="The chosen answers become improbable",
        meaning="The model moves away from the chosen answers as well as from the rejected ones, towards text that "
        "nobody asked for. Falling a little is normal.",
        advice="Halve the learning rate, raise beta, add an SFT term, or take the loss apo_zero or sigmoid_norm.",
        severity="warning",
        limit=1.0,
        why="Nats per token lost against the reference. Ten published runs at beta .01 lost 215 to 370 nats in answers of "
        "some hundred tokens, and were fine.",
    ),
    "rate_too_high": Rule(
        title="The loss is above its start",
        meaning="It now prefers the rejected answers: worse than at the start. The steps overshoot.",
        advice="Halve the learning rate.",
        severity="warning",
        limit=0.07,
        why="Share by which the loss lies above its start, over several steps, further than the noise between batches "
        "explains.",
    ),
    "held_out_at_chance": Rule(
        title="It learns the training pairs only",
        meaning="Training accuracy rises, and on held-out pairs it stays at a coin toss: the model is overfitting, "
        "or the labels are noise.",
        advice="Look at the labels, add data, or take fewer epochs.",
        severity="warning",
        limit=0.1,
        why="Between the lowest training accuracy and the highest held-out accuracy that the counts allow (95 % each).",
    ),
    "reward_at_chance": Rule(
        title="The reward model scores by chance",
        meaning="On held-out pairs it scores the chosen answer higher no more often than a coin would: what is trained against "
        "it follows noise.",
        advice="Look at the labels, add data, raise the learning rate, or train longer. Do not train against it yet.",
        severity="warning",
        limit=0.5,
        why="Lowest held-out accuracy that the count of pairs allows (95 %), from half of the steps on.",
    ),
    "reward_is_length": Rule(
        title="The reward model rewards length",
        meaning="Where the chosen answer is the shorter one it is mostly wrong: it has learned that longer is better, and "
        "what is trained against it will write long answers.",
        advice="Add pairs whose chosen answer is the shorter one, or drop pairs that differ in length only. Watch length and "
        "the length-controlled win rate of what is trained against it.",
        severity="warning",
        limit=0.5,
        why="Highest accuracy on held-out pairs with a shorter chosen answer that their count allows (95 %).",
    ),
    "reward_saturated": Rule(
        title="The scores are far apart",
        meaning="The pairs are told apart with more than enough certainty, so the loss teaches nothing more; scores that far "
        "apart say more than the pairs do, and online training exploits that.",
        advice="End the run earlier, halve the learning rate, or centre the rewards with 0.01.",
        severity="info",
        limit=12,
        why="Held-out margin of raw scores: at 12 the model claims to be right in 99.999 % of cases.",
    ),
    "divergence_too_large": Rule(
        title="It has gone far from where it began",
        meaning="That far away the reward model judges answers that it never learned from, and a higher reward no longer means "
        "better answers (Gao et al. 2023).",
        advice="Raise beta, lower the learning rate, or end the run earlier. Compare answers and votes before you trust the reward.",
        severity="warning",
        limit=0.12,
        why="Nats per token from the reference, mean of five steps: at .1 the demo's answers lost facts, at .03 they kept them.",
    ),
    "no_spread": Rule(
        title="Most groups teach nothing",
        meaning="All answers to a prompt are worth the same, so none is better than the others and no gradient is left.",
        advice="Raise the sampling temperature or the group size, or choose a reward that tells the answers apart. Where the reward "
        "is at its highest already, the run is done.",
        severity="warning",
        limit=0.5,
        why="Share of groups without any spread, mean of five steps.",
    ),
    "length_explodes": Rule(
        title="Its answers grow and grow",
        meaning="The reward has a taste for length, or nothing rewards an end.",
        advice="Add a rule such as 0.5 length: 60, shorten the longest answer, or look at the reward model's accuracy where the "
        "chosen answer is the shorter one.",
        severity="warning",
        limit=1.8,
        why="Tokens of an answer, mean of five steps, over those of the first five.",
    ),
    "entropy_collapses": Rule(
        title="It always says the same",
        meaning="The policy is nearly certain of each token: it has stopped trying other answers, and cannot find better ones.",
        advice="Raise beta or the sampling temperature, or lower the learning rate, and start again.",
        severity="warning",
        limit=0.2,
        why="Entropy per token, mean of five steps, over that of the first five.",
    ),
    "over_optimised": Rule(
        title="Past its best",
        meaning="The held-out loss rises while the training margin still grows: from here on it overfits.",
        advice="End the run where the held-out loss was lowest.",
        severity="warning",
        limit=0.02,
        why="Share by which the held-out loss lies above its lowest in two evaluations after it.",
    ),
    "length_decides": Rule(
        title="Length gives the chosen answer away",
        meaning="The shortest way to a low loss is then to write longer (or shorter), whatever the text says.",
        advice="Balance the lengths of the data on the Data page.",
        severity="warning",
        limit=0.9,
        why="Share of pairs in which the chosen answer is the longer one, or the shorter one. Beyond 90 % length is all "
        "that there is to learn.",
    ),
    "seen_often": Rule(
        title="The same examples again and again",
        meaning="What is seen so often is memorized word for word.",
        advice="Take fewer epochs or fewer steps, or add data.",
        severity="warning",
        limit=10,
        why="How often the run sees each example. Recipes with known results go through their data one to three times.",
    ),
    "answers_alike": Rule(
        title="One answer to everything",
        meaning="The model learns to say this, whatever it is asked.",
        advice="Look at the data for an answer that was filled in.",
        severity="warning",
        limit=0.6,
        why="Share of the commonest answer. Data with two answers, such as yes and no, has about half of each.",
    ),
    "length_exploited": Rule(
        title="Answers become longer and longer",
        meaning="It has found that length pays.",
        advice="Balance the lengths of the data, take the loss sigmoid_norm, or end the run earlier.",
        severity="warning",
        limit=1.25,
        why="Tokens of the sample answers over those before the first step, most of them longer; 1.5 and more is a failure.",
    ),
    "repeats_itself": Rule(
        title="Answers repeat themselves",
        meaning="The model falls into loops: it was pushed so far that its language breaks down.",
        advice="Halve the learning rate, raise beta, or take fewer epochs.",
        severity="warning",
        limit=0.05,
        why="How much larger the share of repeated four-token sequences in the sample answers has become, in more than one "
        "of them.",
    ),
    "no_end": Rule(
        title="Answers without an end",
        meaning="The model does not see where an answer stops, and learns to go on and on.",
        advice="Raise max length; if that is not it, use a chat template that ends answers in the end token.",
        severity="warning",
        limit=0.05,
        why="Share of answers that are trained without an end token, or by which more sample answers surely hit their "
        "limit. Up to one in twenty is harmless.",
    ),
    "sft_stuck": Rule(
        title="SFT does not learn",
        meaning="The held-out loss is where it was: either the model knew all this before, or the steps are too small.",
        advice="Raise the learning rate. Ten times as much is a usual next try.",
        severity="warning",
        limit=0.002,
        why="Share by which the held-out loss has fallen after a fifth of the steps. Real runs fall by 1 to 30 %.",
    ),
    "sft_rises": Rule(
        title="SFT makes the model worse",
        meaning="The loss is higher than before the first step: the steps overshoot and break what the model knew.",
        advice="Halve the learning rate.",
        severity="blocker",
        limit=1.1,
        why="Held-out loss over that before the first step; new data can cost a few percent at first.",
    ),
    "sft_too_easy": Rule(
        title="SFT learned its answers almost at once",
        meaning="The answers are nearly all alike, or the model is overfitting.",
        advice="Look at the data for copies of one answer. If it is as it should be, take fewer epochs.",
        severity="warning",
        limit=0.05,
        why="Nats per token within the first quarter of the steps; text that varies costs ten times as much.",
    ),
    "by_heart": Rule(
        title="SFT is overfitting",
        meaning="It repeats the training answers, and knows less of any other.",
        advice="End it where the held-out loss was lowest, take fewer epochs, or add data.",
        severity="warning",
        limit=0.02,
        why="Share by which the held-out loss lies above its lowest in two evaluations after it; or a training loss of "
        "less than half the held-out one.",
    ),
}
