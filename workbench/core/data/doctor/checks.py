"""What the doctor looks for: every check with its words, and the shares from which on it matters."""

from dataclasses import dataclass

from workbench.core.data.messages import Kind
from workbench.core.severity import Severity

ALL_KINDS: tuple[Kind, ...] = ("preference", "sft", "unpaired")
PAIRS: tuple[Kind, ...] = ("preference",)

NEEDS_TOKENS = "needs the tokenizer of a model"
NEEDS_REWARDS = "needs a reward model, under Rank"


@dataclass(frozen=True)
class Check:
    """One thing to look for.

    title: its name in a list. effect: what it does to training. advice: what to do about it.
    warning, blocker: the share of rows, 0 to 1, from which on it has that severity; 0 means any row at all, None never.
    why: the reason for these two. kinds: the datasets that it makes sense for.
    """

    title: str
    effect: str
    advice: str
    warning: float | None
    blocker: float | None
    why: str
    kinds: tuple[Kind, ...] = ALL_KINDS

    def severity(self, share: float) -> Severity:
        """How much a share of affected rows matters. share: more than 0."""
        if self.blocker is not None and share >= self.blocker:
            return "blocker"
        return "warning" if self.warning is not None and share >= self.warning else "info"


CHECKS: dict[str, Check] = {
    "identical": Check(
        title="Identical answers",
        effect="The model is asked to prefer an answer to itself. The two gradients cancel, so the row costs time and "
        "teaches nothing, and it pulls the accuracy towards a coin toss.",
        advice="Drop these rows.",
        warning=0,
        blocker=0.1,
        why="One is a slip; a tenth of all pairs says that something went wrong when the data was made.",
        kinds=PAIRS,
    ),
    "near_identical": Check(
        title="Nearly identical answers",
        effect="Almost everything cancels, and what is left is a strong push on a comma or a single word.",
        advice="Look at a few. Where the small difference is not the point, drop them.",
        warning=0.01,
        blocker=0.5,
        why="A few do no harm; some datasets differ in one word on purpose, so only a majority is a reason to stop.",
        kinds=PAIRS,
    ),
    "truncated_equal": Check(
        title="Equal after truncation",
        effect="Cut at max length, both answers are the same tokens: the row costs memory and time and "
        "teaches nothing.",
        advice="Raise max length, or drop these rows.",
        warning=0,
        blocker=0.1,
        why="Nothing else finds these rows, and none of them can teach anything.",
        kinds=PAIRS,
    ),
    "eos_lost": Check(
        title="Answers that lose their end",
        effect="The answer is cut before its end token, so the model does not see there where to stop. With many such "
        "rows it learns to go on and on.",
        advice="Raise max length, or drop these rows.",
        warning=0.05,
        blocker=0.5,
        why="Up to one row in twenty is harmless, as the others show the end often enough.",
    ),
    "prompt_too_long": Check(
        title="Prompts too long to train on",
        effect="The prompt alone fills max length, so the trainer drops the row without a word.",
        advice="Raise max length, or drop these rows, so that the number of rows you see is the one you train on.",
        warning=0.05,
        blocker=0.5,
        why="Below one row in twenty the data stays what it was.",
    ),
    "empty": Check(
        title="Empty text",
        effect="An empty chosen answer teaches the model to say nothing; an empty rejected one or an empty prompt "
        "teaches that any text is better than none.",
        advice="Drop these rows.",
        warning=0,
        blocker=0.1,
        why="No empty text is ever wanted; a tenth of all rows says that a column was mapped wrongly.",
    ),
    "repeats_prompt": Check(
        title="Answers that repeat the prompt",
        effect="The model learns to say the question again before it answers, or to take it for its answer.",
        advice="Look at a few: often a template glued prompt and answer together. Then drop them.",
        warning=0.01,
        blocker=0.3,
        why="A quotation now and then is natural; beyond one in a hundred it is a habit that the model picks up.",
    ),
    "roles": Check(
        title="Broken roles",
        effect="Chat templates expect user and assistant in turn. A broken order is rendered wrongly, or refused when "
        "training starts.",
        advice="Drop these rows.",
        warning=0,
        blocker=0.1,
        why="A single one can end a training when its template refuses it.",
    ),
    "duplicate": Check(
        title="Duplicate rows",
        effect="Rows that come twice count twice: the model overfits on them sooner than on the rest.",
        advice="Keep the first of each and drop the rest.",
        warning=0.01,
        blocker=0.5,
        why="A few repeats do not show in a run; one in a hundred begins to weigh.",
    ),
    "contradiction": Check(
        title="Contradictions",
        effect="One row says A is better than B, another says B is better than A. The two cancel, and the accuracy "
        "that can be reached falls.",
        advice="Drop both sides, or keep the row that you agree with and delete the other by hand.",
        warning=0,
        blocker=0.1,
        why="Every one of them is noise for certain; a tenth says that labels were swapped.",
        kinds=("preference", "unpaired"),
    ),
    "leak": Check(
        title="Prompts in both training and held-out rows",
        effect="The held-out accuracy is measured on prompts that were trained on, so it looks better than it is.",
        advice="Split again: rows with the same prompt then stay on one side.",
        warning=0,
        blocker=0.5,
        why="A held-out set is worth having only while it is unseen. With half of it seen it measures nothing.",
    ),
    "length": Check(
        title="Length gives the preferred answer away",
        effect="The shortest way to a low loss is then to write longer (or shorter), whatever the text says. It is the "
        "most common way in which a preference run goes wrong.",
        advice="Balance the lengths, or train with a loss that divides by length.",
        warning=None,
        blocker=None,
        why="Practice: longer in more than 65 % of pairs, or more than half as long again in all, shows in the result. "
        "Beyond 90 % length is all that there is to learn.",
        kinds=PAIRS,
    ),
    "balance": Check(
        title="Unbalanced labels",
        effect="With nearly all thumbs on one side the loss can fall by saying the same of every answer.",
        advice="Weight the rarer thumb higher when you train, or add rows of that kind.",
        warning=None,
        blocker=None,
        why="KTO works well while neither thumb is more than about four times as common as the other.",
        kinds=("unpaired",),
    ),
    "markup": Check(
        title="Markup left in the text",
        effect="The model learns to write these tags. Template tokens are worse: they end or begin a turn in the "
        "middle of an answer.",
        advice="Take the markup out. Code is left as it is.",
        warning=0.01,
        blocker=0.3,
        why="Below one in a hundred a model hardly copies it; a third says that the text was never cleaned.",
    ),
    "language": Check(
        title="Mixed languages",
        effect="The model learns to answer in another language than it was asked in, or to take the language for what "
        "makes an answer better.",
        advice="Look at a few, then drop those that were not meant so.",
        warning=0.02,
        blocker=0.3,
        why="The language is guessed, so one row in fifty is left to chance.",
    ),
    "score_gap": Check(
        title="Scores that do not support the label",
        effect="Where two answers are about as good, the label is mostly noise, and training on noise blunts the rest. Where "
        "the rejected one has the higher score, either the scores or the labels are swapped.",
        advice="Look at a few. Drop these pairs, or bring the data again where scores or labels are swapped.",
        warning=0.05,
        blocker=0.5,
        why="Some close calls are in every dataset; with a majority of them the labels say little.",
        kinds=PAIRS,
    ),
    "wrong_way": Check(
        title="Wrong-way pairs by the reward model",
        effect="Where the reward model is right, these pairs teach the opposite of the others, and the accuracy that can be "
        "reached falls.",
        advice="Look at some first. A reward model can be wrong, and it is blind to what it did not learn, such as facts. Drop "
        "the pairs, or swap chosen and rejected where you agree with it.",
        warning=0.02,
        blocker=None,
        why="A reward model errs in a few pairs of any data, and its word alone is no reason to stop.",
        kinds=PAIRS,
    ),
    "score_conflict": Check(
        title="Scores that contradict themselves",
        effect="A known fault of UltraFeedback: a score of 1 was read as 10, so that a poor answer would be the chosen one.",
        advice="Nothing needs to be done: these answers were skipped, and their prompts use the others.",
        warning=0.05,
        blocker=None,
        why="A known flaw that is handled; where it is common, this is not the published set.",
        kinds=PAIRS,
    ),
    "tools": Check(
        title="Tools that are not trained on",
        effect="Only what system, user and assistant say is trained on. A row with a tool call or its result is left out; "
        "a separate list of tools is not put into the prompt, so the model learns to answer without it.",
        advice="To train a model to call tools, use a program that renders tools with the model's template.",
        warning=0,
        blocker=None,
        why="What the data was made for is missing from it, whatever the number.",
    ),
    "media": Check(
        title="Pictures, sounds and videos that are not trained on",
        effect="Only text is trained on. The model learns to answer about a picture that it was not shown, which teaches it "
        "to make things up; a mark such as <image> is read as text.",
        advice="Drop these rows, or train a model for pictures with a program that loads them.",
        warning=0,
        blocker=0.5,
        why="An answer about something unseen is never wanted; with half of the rows the data is of another kind.",
    ),
    "thoughts_unused": Check(
        title="Thoughts that are not trained on",
        effect="Thoughts in a column of their own are not part of the answer: the model learns the answers without thinking first.",
        advice="To train on them, put them into the answers as the model's template writes them (<think>...</think>) and "
        "import the data again.",
        warning=0,
        blocker=None,
        why="It is a choice that should be known, whatever the number.",
    ),
    "thoughts_deleted": Check(
        title="A template that deletes thoughts",
        effect="The model's chat template takes the thoughts out of the answers, so they are not trained on: the model "
        "learns to answer at once, and a reasoning model unlearns to think.",
        advice="Use a model whose template keeps thoughts in the last answer, or data without thoughts.",
        warning=0,
        blocker=None,
        why="The template does it to every row with thoughts.",
    ),
    "thoughts_open": Check(
        title="Thoughts without an end",
        effect="The answer begins to think and never comes to its answer, most likely because it was cut off when it was "
        "made. The model learns to think until it is stopped.",
        advice="Drop these rows.",
        warning=0,
        blocker=0.1,
        why="None of them holds an answer; with a tenth of them the data was cut throughout.",
    ),
    "thoughts": Check(
        title="Answers with thoughts",
        effect="The model is trained on the thoughts as on the rest of the answer, as far as its chat template writes them: it "
        "learns to think, and its answers become longer.",
        advice="Where that is wanted, turn Thinking on on the Train page, if the model's chat template has that switch.",
        warning=None,
        blocker=None,
        why="It is what such data is for; it should only be known.",
    ),
    "thoughts_one_sided": Check(
        title="Pairs of which one answer thinks",
        effect="What differs most between the two answers is that one of them thinks: the model learns whether to think, and "
        "little of what to answer.",
        advice="Drop these rows, or take the thoughts out of both answers.",
        warning=0.01,
        blocker=None,
        why="A few do no harm; it may be the point of the data, so it is no reason to stop.",
        kinds=PAIRS,
    ),
    "thoughts_mixed": Check(
        title="Thoughts in some answers only",
        effect="The model learns to think now and then, without a word in the prompt that says when.",
        advice="Keep the rows of one kind, or say in the system message whether to think.",
        warning=0.05,
        blocker=None,
        why="A few are an oversight; some models are trained on both on purpose, with a mark in the prompt.",
    ),
    "only_thoughts": Check(
        title="Pairs that differ only in their thoughts",
        effect="Both answers say the same: what is learned is how to think, not what to answer. Where the template deletes "
        "thoughts, the two are the same tokens and teach nothing.",
        advice="Keep them if this is intended, and check that the template keeps thoughts; otherwise drop them.",
        warning=0.01,
        blocker=None,
        why="It may be the point of the data, so it is no reason to stop.",
        kinds=PAIRS,
    ),
    "template_end": Check(
        title="Chat template without an end",
        effect="The answers do not end in a token at which the model stops. It will not learn to stop, and its answers "
        "run on until they are cut off.",
        advice="Use the instruct version of the model, or a chat template that ends an answer in its end token.",
        warning=0,
        blocker=0.01,
        why="Fewer than 99 % of the answers with an end is a fault of the template, never of the data.",
    ),
    "double_bos": Check(
        title="Duplicate BOS token",
        effect="Text that begins with two BOS tokens is unlike anything the model was trained on, and its answers "
        "get worse for it.",
        advice="Use a chat template that leaves the BOS token to the tokenizer, or the other way round.",
        warning=0,
        blocker=0,
        why="It is in every row or in none.",
    ),
    "prompt_mismatch": Check(
        title="Prompts that change when an answer follows",
        effect="The template or the tokenizer renders the prompt alone in another way than with its answer. Some "
        "tokens of the prompt are then trained on as if they were the answer.",
        advice="Look at such a row as the model sees it. If the template is at fault, use another one.",
        warning=0.01,
        blocker=0.5,
        why="Now and then two tokens merge where prompt and answer meet; beyond 1 % it is the template.",
    ),
    "unusable": Check(
        title="Rows that could not be used",
        effect="They are not in the dataset, so they are not trained on. What is left may be another choice than you "
        "think.",
        advice="Read the reasons. If a column was taken for another one, bring the data again with columns chosen by hand.",
        warning=0.1,
        blocker=0.5,
        why="With a tenth gone the reasons deserve a look; with half of it gone the data was hardly understood.",
    ),
    "late_column": Check(
        title="Columns that appear late",
        effect="What the rows are was recognised from the first 200 of them. A column that first appears later may change "
        "what the later rows mean.",
        advice="Look at these rows. If the column belongs to the prompt, bring the data again and say so.",
        warning=None,
        blocker=None,
        why="A column that joins the prompt is only mentioned; one of which nothing is taken deserves a look.",
    ),
    "few_rows": Check(
        title="Few rows",
        effect="A small dataset is overfitted quickly, and its held-out accuracy is a rough guess.",
        advice="Train for one or two epochs, and add rows when you can.",
        warning=None,
        blocker=None,
        why="Under 50 rows are enough to try it out; from about 300 on a preference begins to hold for new prompts.",
    ),
}


def check_title(check: str) -> str:
    """The name of a check for people."""
    return CHECKS[check].title
