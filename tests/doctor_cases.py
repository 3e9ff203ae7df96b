"""Data that the doctor is tried on: clean rows of many sorts, and defects in several guises to mix in.

All texts are put together here from small parts, so that a thousand rows differ in prompt, answers and length.
"""

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from workbench.core.data.doctor.findings import Report
from workbench.core.data.doctor.pair_rewards import PairRewards
from workbench.core.data.doctor.report import Examination
from workbench.core.data.messages import NOTED, Kind
from workbench.core.data.token_counts import TemplateFacts, TokenCounts, count_row

Row = dict[str, Any]

THINGS = (
    "a sourdough starter",
    "an old bicycle chain",
    "a tomato seedling",
    "the night sky in autumn",
    "a leaking tap",
    "a wool jumper",
    "the tides at a harbour",
    "a first violin lesson",
    "a savings account",
    "a rented flat",
    "an apple tree in winter",
    "a cast iron pan",
    "a broken zip",
    "a long train journey",
    "an allotment shed",
    "a sleepless toddler",
    "a chess opening",
    "a paper map",
    "a beehive in spring",
    "a slow laptop",
    "a village archive",
    "a kayak on a river",
    "a birthday speech",
    "a compost heap",
)
QUESTIONS = (
    "What should I know about {} before I start?",
    "How much time does {} need each week?",
    "Which mistake do beginners make with {} most often?",
    "Could you explain {} to a child of ten?",
    "What does it cost to look after {} for a year?",
    "Why do people care so much about {}?",
    "Give me three tips about {}, please.",
    "Is it worth paying somebody to deal with {}?",
    "What changed about {} in the last hundred years?",
    "I feel lost with {}. Where do I begin?",
    "Write a short note to a neighbour about {}.",
    "What tools do I want at hand for {}?",
    "Tell me a small story in which {} plays a part.",
    "What would an expert check first about {}?",
)
OPENINGS = (
    "Start small and look closely before you change anything.",
    "Most of it comes down to patience.",
    "That depends on the weather, on your budget and on how often you want to do it.",
    "There are two schools of thought here.",
    "I would ask somebody who has done it for years.",
    "Good question, and the honest answer is shorter than people think.",
    "Keep a notebook from the first day.",
    "Nobody agrees on this, but a few things are clear.",
    "Begin with what can go wrong.",
    "An hour on Sunday is usually enough.",
)
MIDDLES = (
    "Water, dust and haste do more harm than age ever does.",
    "Compare three offers, and write down what each of them leaves out.",
    "If it smells odd or sounds odd, stop and find out why.",
    "A cheap brush and warm soapy water take care of the rest.",
    "My grandmother swore by vinegar, and she was right about half of the time.",
    "You can borrow what you need from a library of things.",
    "The second attempt is nearly always the better one.",
    "Measure twice: a centimetre matters more than it seems.",
    "Let it rest overnight and look again with fresh eyes.",
    "Roughly one person in five gives up in the first month, mostly for lack of company.",
    "Take photographs as you go, so that you can put everything back.",
    "Small repairs early save large ones late.",
    "The manual is dull, but its fourth chapter is worth reading.",
    "Children learn it faster than adults, since they do not mind failing.",
)
ENDINGS = (
    "Then see how it feels after a week.",
    "Ask me again when you have tried that.",
    "Anything else can wait until spring.",
    "If in doubt, leave it alone.",
    "And do enjoy it.",
    "That is all there is to it.",
    "Your hands will know before your head does.",
)
REFUSALS = (
    "I do not know much about that.",
    "It is fine, do whatever you like with it.",
    "Search the web, there are plenty of pages.",
    "People say all kinds of things. Some are true and some are not, and I cannot tell which ones apply to you here.",
    "That is a strange thing to ask. Perhaps talk to a friend, or forget about it for now and come back in a year.",
)

ODD_BUT_CLEAN: tuple[tuple[str, str, str], ...] = (
    (
        "Write a Python function that adds two numbers.",
        "```python\ndef add(a: int, b: int) -> int:\n    return a + b\n```\nCall it with `add(1, 2)`.",
        "```python\ndef add(a, b):\n    print(a, b)\n```",
    ),
    (
        "What does the <div> tag do in HTML?",
        "A <div> groups other elements, such as <p> or <span>, so that CSS can style them together.",
        "It draws a line across the page.",
    ),
    ("How do I escape a less-than sign on a web page?", "Write &lt; where you want it to show.", "You cannot."),
    ("When is a < b and b < c?", "Whenever a < b < c, so for instance 1 < 2 < 3.", "When a > c."),
    (
        "What is List<int> in C#?",
        "A List<int> holds whole numbers; a Dictionary<string, int> maps words to them.",
        "No.",
    ),
    ("Whom do I write to?", "Write to <info@example.org> or to Ann & Bob <ann@example.org>.", "To nobody at all."),
    (
        "Write a dialogue between a robot and its owner.",
        "Human: Did you water the plants?\nAssistant: Twice, as you said.\nHuman: Thank you.",
        "Robot: beep.\nOwner: what?\nRobot: beep beep.",
    ),
    ("Show me an empty page.", "```html\n<html><body><p>&nbsp;</p></body></html>\n```", "I will not do that."),
    ("Translate 'good morning, how are you today' into French.", "Bonjour, comment allez-vous aujourd'hui ?", "Hello."),
    (
        "Auf Deutsch bitte: what is the weather going to be like in the north?",
        "Es wird im Norden wohl regnen, und der Wind ist nicht zu stark für einen Spaziergang.",
        "Ich weiß es nicht, aber du kannst auf der Seite des Wetterdienstes nachsehen.",
    ),
    ("What is 17 + 25?", "17 + 25 = 42", "17 + 25 = 43"),
    ("Is 7 prime?", "Yes.", "No."),
    ("What is x in 2x = -10?", "x = -5", "x = 5"),
    ("How do you sort rope ends?", "By length: short, then long.", "Long first, short after that, by weight."),
    ("Which came first, the fork or the spoon?", "The spoon, not the fork.", "The fork, not the spoon."),
    (
        "Wie lange muss ein Hefeteig gehen, damit er gut wird?",
        "Das hängt von der Wärme ab: bei Zimmertemperatur ist er nach einer Stunde so weit, im Kühlschrank erst am "
        "nächsten Tag.",
        "Ein Hefeteig muss nicht gehen, du kannst ihn auch gleich in den Ofen schieben und sehen, was dann wird.",
    ),
    (
        "Pourquoi les feuilles des arbres tombent-elles en automne ?",
        "Parce que les arbres se préparent à l'hiver : ils gardent leur eau et laissent tomber ce qui leur coûte trop.",
        "Les feuilles tombent parce que le vent est fort et que personne ne les tient.",
    ),
    (
        "¿Cómo puedo cuidar una planta que está siempre en la sombra?",
        "Riégala poco y gírala cada semana para que no crezca hacia un solo lado.",
        "Las plantas no necesitan luz ni agua, así que no hay nada que hacer con ella.",
    ),
    (
        "富士山はどのくらい高いですか。",
        "富士山の高さは三千七百七十六メートルです。",
        "富士山はあまり高くないと思います。",
    ),
    (
        "Почему небо бывает синим днём?",
        "Воздух рассеивает синий свет сильнее красного.",
        "Потому что оно так захотело.",
    ),
    ("为什么海水是咸的?", "河流把岩石里的盐带进大海,水蒸发以后盐留了下来。", "因为有人往海里放了很多盐。"),
    ("Say it again: shorter.", "It works.", "It works, as I said at some length before, and I could go on."),
    ("Quote the proverb about early birds.", '"The early bird catches the worm."', '"A bird in the hand."'),
    ("Summarise: Der Hund ist groß und er schläft in der Sonne.", "A big dog sleeps in the sun all day.", "A cat."),
    (
        "Write the SQL for all users over 30 & sort them.",
        "SELECT * FROM users WHERE age > 30 ORDER BY age;",
        "SELECT users;",
    ),
    ("Make a list of fruits with headings.", "### Red\n- apple\n- cherry\n\n### Yellow\n- banana", "Fruits: many."),
    ("How do I copy a file?", "Type cp <input> <output>, once for each line <i> of <n> lines.", "Drag it."),
    ("What does the program read?", "### Input:\nTwo numbers.\n\n### Output:\nTheir sum.", "It reads numbers."),
    ("Which type holds bytes in Rust?", "Vec<u8>, or Option<Box<a>> where it may be missing.", "String, I believe."),
    ("What did R&D spend, Q1 & Q2?", "R&D spent 4.2 M in Q1 & 3.9 M in Q2.", "R&D spent nothing."),
    ("Explain the theorem of Pythagoras.", r"For a right angle, $a^2 + b^2 = c^2$, so $c = \sqrt{a^2+b^2}$.", "a + b."),
)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def pair(prompt: str | list[Any], chosen: str, rejected: str) -> Row:
    messages = [user(prompt)] if isinstance(prompt, str) else prompt
    return {"prompt": messages, "chosen": [answer(chosen)], "rejected": [answer(rejected)]}


def clean_pairs(count: int, seed: int = 0) -> list[Row]:
    """Distinct pairs without a defect, whose better answer is the longer one about half of the time."""
    draw = random.Random(seed)
    questions = [question.format(thing) for question in QUESTIONS for thing in THINGS]
    draw.shuffle(questions)
    rows = [pair(*odd) for odd in ODD_BUT_CLEAN][: count // 8]
    for number in range(count - len(rows)):
        question = questions[number % len(questions)]
        if number >= len(questions):
            question = f"{question} It is for {number} people."
        rows.append(_pair(question, draw))
    draw.shuffle(rows)
    return rows


def clean_lessons(count: int, seed: int = 0) -> list[Row]:
    """Clean SFT rows."""
    return [{"prompt": row["prompt"], "completion": row["chosen"]} for row in clean_pairs(count, seed)]


def clean_thumbs(count: int, seed: int = 0) -> list[Row]:
    """Clean unpaired rows, every other one with a thumb up."""
    rows = clean_pairs(count, seed)
    parts = ("rejected", "chosen")
    return [
        {"prompt": row["prompt"], "completion": row[parts[number % 2]], "label": bool(number % 2)}
        for number, row in enumerate(rows)
    ]


def _pair(question: str, draw: random.Random) -> Row:
    good = _answer(draw, draw.randint(1, 6))
    bad = _answer(draw, draw.randint(1, 6)) if draw.random() < 0.8 else draw.choice(REFUSALS)
    prompt: list[Any] = [user(question)]
    if draw.random() < 0.2:
        prompt = [user("May I ask you something?"), answer("Of course, go ahead."), *prompt]
    if draw.random() < 0.2:
        prompt = [system("You are a friendly neighbour who knows a lot."), *prompt]
    return {"prompt": prompt, "chosen": [answer(good)], "rejected": [answer(bad)]}


def _answer(draw: random.Random, sentences: int) -> str:
    body = draw.sample(MIDDLES, sentences)
    if draw.random() < 0.2:
        return "\n".join([draw.choice(OPENINGS), *(f"- {line}" for line in body), draw.choice(ENDINGS)])
    number = draw.randint(2, 90)
    aside = draw.choice((f"It took us {number} days.", f"Page {number} says more.", f"Allow {number} minutes."))
    return " ".join([draw.choice(OPENINGS), *body, aside, draw.choice(ENDINGS)])


LONG = (
    "Choose a spot that gets six hours of light. Dig a hole twice as wide as the pot, loosen the roots with your "
    "fingers and set the plant at the depth it had before. Water it well on the first evening, then only when the "
    "soil feels dry down to the second knuckle. A layer of straw keeps the ground cool, and a stick beside the stem "
    "saves it from the wind in its first summer."
)
QUESTION = "How should I plant a young currant bush in a windy garden?"
OTHER_ANSWER = "Any hole will do, and it needs no care after that."
GERMAN = (
    "Das ist nicht so schwer, wie man denkt: du musst nur die Erde lockern und den Busch gut gießen, dann wächst er."
)
FRENCH = (
    "Ce n'est pas difficile : il faut creuser un trou dans la terre, et arroser la plante tous les jours avec soin."
)


@dataclass(frozen=True)
class Case:
    """A defect in one guise.

    spoil: a clean pair and a number that tells copies apart -> the rows that it becomes. Those at `bad` are the ones
    that the check has to name. kind: of rows that it is tried in.
    """

    check: str
    guise: str
    spoil: Callable[[Row, int], Sequence[Row]]
    bad: tuple[int, ...] = (0,)
    kind: str = "preference"

    @property
    def name(self) -> str:
        return f"{self.check}: {self.guise}"


CASES: list[Case] = []


def case(check: str, guise: str, bad: tuple[int, ...] = (0,), kind: str = "preference") -> Callable[[Any], Any]:
    """Add a guise of a defect."""

    def add(spoil: Callable[[Row, int], Any]) -> Callable[[Row, int], Any]:
        def rows(row: Row, number: int) -> Sequence[Row]:
            made = spoil(deepcopy(row), number)
            return made if isinstance(made, list) else [made]

        CASES.append(Case(check, guise, rows, bad, kind))
        return spoil

    return add


def _answers(check: str, guise: str, chosen: str, rejected: str, prompt: str | None = None) -> None:
    """A guise in which two texts take the place of the answers; "" leaves an answer as it is.

    {n}: a number that tells copies apart; {q}: the question.
    """

    @case(check, guise)
    def spoil(row: Row, number: int) -> Row:
        if prompt is not None:
            row["prompt"] = [user(prompt.replace("{n}", str(number)))]
        question = row["prompt"][-1]["content"]
        for part, text in (("chosen", chosen), ("rejected", rejected)):
            if text:
                row[part] = [answer(text.replace("{n}", str(number)).replace("{q}", question))]
        return row


def _last(row: Row) -> str:
    return row["prompt"][-1]["content"]


_answers("identical", "letter by letter", LONG, LONG)
_answers("identical", "other case", LONG, LONG.upper())
_answers("identical", "other white space", LONG, LONG.replace(". ", ".\n\n  "))
_answers("identical", "short", "Yes.", " yes. ")
_answers("identical", "marks without width", LONG, "\ufeff" + LONG.replace("straw", "st\u200braw"))
_answers("identical", "an accent apart", "Ein Café öffnet früh.", "Ein Cafe\u0301 o\u0308ffnet fru\u0308h.")

_answers("near_identical", "a full stop more", LONG, LONG + ".")
_answers("near_identical", "no punctuation at all", LONG, LONG.replace(",", "").replace(".", ""))
_answers("near_identical", "other quotation marks", 'He said "wait" and left.', "He said “wait” and left!")
_answers("near_identical", "one word of many", LONG, LONG.replace("straw", "hay"))
_answers("near_identical", "one word more", LONG, LONG + " Enjoy.")
_answers("near_identical", "markdown stars", LONG, LONG.replace("six hours", "**six hours**"))
_answers("near_identical", "hyphen or space", "A well-known, long-lived shrub.", "A well known, long lived shrub.")
_answers(
    "near_identical",
    "one sign of Chinese",
    "山上的气压比较低,水在比较低的温度就沸腾了,所以煮面需要更多的时间,盖上盖子会有一点帮助。",
    "山上的气压比较低,水在比较低的温度就沸腾了,所以煮面需要更多的时间,盖上锅子会有一点帮助。",
)

_answers("thoughts_open", "nothing after the thought", "<think>\nRoses like sun, so the first thing would be", "")
_answers("thoughts_open", "in the rejected answer", "", "<thinking> Let me see, it is item {n}, and")
_answers("thoughts_mixed", "whole ones", f"<think>\nItem {{n}} first.\n</think>\n\n{LONG}", "")
_answers(
    "thoughts_mixed", "without their beginning, which a template wrote", f"Item {{n}} first.\n</think>\n\n{LONG}", ""
)
_answers("thoughts", "in one answer", f"<think>\nItem {{n}} first.\n</think>\n\n{LONG}", "")
_answers("thoughts", "in both", f"<think>Item {{n}}.</think>{LONG}", "<think>So {n}.</think>Soap and water.")
_answers("thoughts_one_sided", "in the chosen answer", f"<think>\nItem {{n}} first.\n</think>\n\n{LONG}", "")
_answers("thoughts_one_sided", "in the rejected answer", "", f"Item {{n}} first.\n</think>\n\n{LONG}")
_answers(
    "only_thoughts", "two thoughts", f"<think>Item {{n}}.</think>{LONG}", f"<think>Not item {{n}}.</think>\n{LONG}"
)
_answers("only_thoughts", "a thought and none", f"<think>\nItem {{n}}.\n</think>\n\n{LONG}", LONG)
_answers("media", "a picture", "", "", "<image>\nWhat is on picture {n}?")
_answers("media", "the mark of Qwen-VL", "", "", "<|vision_start|><|image_pad|><|vision_end|>What is on picture {n}?")

_answers("empty", "the word None", "None", "")
_answers("empty", "nan from a table", "", "nan")
_answers("empty", "characters without width", "\u200b\ufeff", "")


def _set(check: str, guise: str, part: str, content: Any, place: int = -1) -> None:
    @case(check, guise)
    def spoil(row: Row, number: int) -> Row:
        row[part][place] = {**row[part][place], "content": content}
        return row


_set("empty", "chosen is nothing", "chosen", "")
_set("empty", "rejected is spaces", "rejected", " \n\t")
_set("empty", "None instead of text", "chosen", None)
_set("empty", "prompt is nothing", "prompt", "  ")


@case("empty", "an empty message in the middle of the prompt")
def _empty_in_the_middle(row: Row, number: int) -> Row:
    row["prompt"] = [user("Hello there"), answer(""), user(f"{_last(row)} ({number})")]
    return row


@case("empty", "no prompt", kind="sft")
def _no_prompt(row: Row, number: int) -> Row:
    return row | {"prompt": []}


_answers("repeats_prompt", "chosen begins with it", "{q} Well, take your time.", "")
_answers("repeats_prompt", "rejected is nothing else", "", "{q}")
_answers("repeats_prompt", "in the middle of the answer", "You asked:\n> {q}\n\nIt depends on the day.", "")
_answers("repeats_prompt", "other case and spaces", "So,   {q}  \n That I would love to know too.", "")
_answers("repeats_prompt", "a template in front", "Question: {q}\nAnswer: start on a Sunday.", "")


@case("repeats_prompt", "in shouting", kind="sft")
def _shouted(row: Row, number: int) -> Row:
    row["completion"] = [answer(f"{_last(row).upper()}\nNo need to shout.")]
    return row


def _roles(guise: str, made: Callable[[str], list[Any]], part: str = "prompt") -> None:
    @case("roles", guise)
    def spoil(row: Row, number: int) -> Row:
        row[part] = made(_last(row) if part == "prompt" else row[part][0]["content"])
        return row


_roles("two users in a row", lambda said: [user("Hello there."), user(said)])
_roles("two answers in a row", lambda said: [user("Hi"), answer("Hello."), answer("Yes?"), user(said)])
_roles("unknown role in the prompt", lambda said: [{"role": "critic", "content": "Be kind."}, user(said)])
_roles("role in capitals", lambda said: [{"role": "User", "content": said}])
_roles("empty system message", lambda said: [system("  "), user(said)])
_roles("system message in the middle", lambda said: [user("Hi"), system("Be short."), user(said)])
_roles("prompt ends with the assistant", lambda said: [user(said), answer("Let me think.")])
_roles("prompt is a system message only", lambda said: [system(said)])
_roles("answer from the user", lambda said: [user(said)], "chosen")
_roles("two messages as an answer", lambda said: [answer("Well."), answer(said)], "rejected")


@case("duplicate", "letter by letter", bad=(1,))
def _twice(row: Row, number: int) -> list[Row]:
    return [row, deepcopy(row)]


@case("duplicate", "three times", bad=(1, 2))
def _thrice(row: Row, number: int) -> list[Row]:
    return [row, deepcopy(row), deepcopy(row)]


@case("duplicate", "other case and spaces", bad=(1,))
def _twice_shouted(row: Row, number: int) -> list[Row]:
    other = deepcopy(row)
    other["prompt"][-1]["content"] = f"  {_last(row).upper()} "
    other["chosen"][0]["content"] += "\n"
    return [row, other]


@case("duplicate", "with another number in its source", bad=(1,), kind="sft")
def _twice_in_source(row: Row, number: int) -> list[Row]:
    return [row | {"source_row": 1}, row | {"source_row": 2}]


def _turned(row: Row) -> Row:
    return deepcopy(row) | {"chosen": deepcopy(row["rejected"]), "rejected": deepcopy(row["chosen"])}


@case("contradiction", "answers swapped", bad=(0, 1))
def _swapped(row: Row, number: int) -> list[Row]:
    return [row, _turned(row)]


@case("contradiction", "two against one", bad=(0, 1, 2))
def _two_to_one(row: Row, number: int) -> list[Row]:
    return [row, _turned(row), deepcopy(row)]


@case("contradiction", "swapped, in other case", bad=(0, 1))
def _swapped_shouted(row: Row, number: int) -> list[Row]:
    other = _turned(row)
    other["prompt"][-1]["content"] = _last(row).upper()
    return [row, other]


@case("contradiction", "both thumbs", bad=(0, 1), kind="unpaired")
def _both_thumbs(row: Row, number: int) -> list[Row]:
    return [row, deepcopy(row) | {"label": not row["label"]}]


_answers("markup", "ChatML tokens", "Take your time.<|im_end|>", "")
_answers("markup", "a turn of ChatML", "<|im_start|>assistant\nTake your time ({n}).<|im_end|>", "")
_answers("markup", "end of text", "", "Take your time ({n}).<|endoftext|>")
_answers("markup", "sentence tokens", "<s>Take your time ({n}).</s>", "")
_answers("markup", "Llama 2", "[/INST] Take your time ({n}).", "")
_answers("markup", "Llama 3", "Take your time ({n}).<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nOk", "")
_answers("markup", "Gemma", "Take your time ({n}).<end_of_turn>", "")
_answers("markup", "Alpaca", "### Response:\nTake your time ({n}).", "")
_answers("markup", "paragraphs of HTML", "<p>Take your time ({n}).</p><p>And rest.</p>", "")
_answers("markup", "line breaks of HTML", "", "Take your time ({n}).<br/>And rest.<br>")
_answers("markup", "a link", 'See <a href="https://example.org/{n}">this page</a> for more.', "")
_answers("markup", "entities", "Rest&nbsp;well, and don&#39;t hurry ({n}).", "")
_answers("markup", "bold by HTML", "Take <b>your</b> time ({n}).", "")
_answers("markup", "Human goes on", "Take your time ({n}).\n\nHuman: And then?", "")
_answers("markup", "Assistant in front", "Assistant: Take your time ({n}).", "")
_answers("markup", "a whole dialogue", "", "Rest ({n}).\n\nHuman: Why?\n\nAssistant: It is late.")
_answers("markup", "Human goes on in the line", "Take your time ({n}).### Human: And then?", "")
_answers("markup", "Vicuna", "Take your time ({n}).\nUSER: And then?", "")
_answers("markup", "ASSISTANT in front", "", "ASSISTANT: Take your time ({n}).")
_answers("markup", "OpenChat", "GPT4 Correct Assistant: Take your time ({n}).", "")


@case("markup", "template in the prompt")
def _template_in_prompt(row: Row, number: int) -> Row:
    row["prompt"][-1]["content"] = f"### Instruction:\n{_last(row)}\n\n### Response:\n"
    return row


@case("markup", "system block in the prompt", kind="sft")
def _system_block(row: Row, number: int) -> Row:
    row["prompt"][-1]["content"] = f"<<SYS>>\nBe kind.\n<</SYS>>\n\n{_last(row)}"
    return row


_answers("language", "chosen in German", GERMAN, LONG, QUESTION + " ({n})")
_answers("language", "rejected in French", LONG, FRENCH, QUESTION + " ({n})")
_answers(
    "language",
    "both in German",
    GERMAN,
    "Ich weiß es auch nicht, aber du kannst in einem Buch nachsehen.",
    QUESTION + " ({n})",
)
_answers("language", "rejected in Chinese", LONG, "先松土,再浇水,然后把灌木种下去就可以了。", QUESTION + " ({n})")
_answers("language", "chosen in Russian", "Сначала разрыхлите землю, потом полейте куст.", LONG, QUESTION + " ({n})")
_answers(
    "language",
    "English answer to a Spanish question",
    LONG,
    OTHER_ANSWER,
    "¿Cómo se planta un arbusto en un jardín con mucho viento y poca agua? ({n})",
)


def _scored(guise: str, chosen: float, rejected: float) -> None:
    @case("score_gap", guise)
    def spoil(row: Row, number: int) -> Row:
        return row | {"scores": {"chosen": chosen, "rejected": rejected}}


_scored("equal", 5.0, 5.0)
_scored("hardly apart", 5.1, 5.0)
_scored("the wrong way round", 3.0, 8.0)


def with_scores(rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """Clean rows with scores from 1 to 10, at least 1 apart."""
    draw = random.Random(seed)
    made = []
    for row in rows:
        low = draw.uniform(1, 8)
        made.append(row | {"scores": {"chosen": round(low + draw.uniform(1, 2), 2), "rejected": round(low, 2)}})
    return made


@dataclass(frozen=True)
class WholeCase:
    """A defect that only the whole dataset shows, or what a tokenizer makes of it.

    rows: the dataset, its first train_rows for training. more: what else `Examination.report` is given. bad: the rows
    that the check has to name; None where it names none, or where which ones they are is not the point.
    """

    check: str
    guise: str
    rows: list[Row]
    train_rows: int
    bad: tuple[int, ...] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "preference"

    @property
    def name(self) -> str:
        return f"{self.check}: {self.guise}"

    def report(self) -> Report:
        examination = Examination(self.kind)
        for row in self.rows:
            examination.add(row)
        examination.reorder(range(len(self.rows)), self.train_rows)
        return examination.report({}, len(self.rows), **self.more)


def whole_cases() -> list[WholeCase]:
    """Every guise of the defects that are seen in a whole dataset."""
    return [*_leaks(), *_lengths(), *_thumbs(), *_truncations(), *_templates(), *_noted(), *_wrong_way()]


def _wrong_way() -> list[WholeCase]:
    """What a reward model says of training pairs: three of 180 the other way round, clearly or just so."""
    cases = []
    for guise, gap in (("far apart", 4.0), ("half a standard deviation", 0.5)):
        chosen, rejected = [1.0] * 180, [0.0] * 180
        for place in (3, 70, 179):
            rejected[place] = 1 + gap
        rewards = PairRewards(reward="judge", chosen=tuple(chosen), rejected=tuple(rejected))
        cases.append(WholeCase("wrong_way", guise, clean_pairs(200), 180, (3, 70, 179), {"rewards": rewards}))
    return cases


def _leaks() -> list[WholeCase]:
    same: dict[str, Callable[[list[Any]], list[Any]]] = {
        "letter by letter": deepcopy,
        "other case and spaces": lambda prompt: [user(f"  {prompt[-1]['content'].upper()}  ")],
        "another system message": lambda prompt: [system("Be brief."), *prompt],
    }
    cases = []
    for guise, other in same.items():
        rows = [row for row in clean_pairs(320) if len(row["prompt"]) == 1][:200]
        for place in (181, 190, 199):
            rows[place] = {**rows[place], "prompt": other(rows[place - 180]["prompt"])}
        cases.append(WholeCase("leak", guise, rows, 180, (181, 190, 199)))
    return cases


def _lengths() -> list[WholeCase]:
    """Answers of given lengths in characters."""
    shapes = {
        "longer chosen in 70 %": [(300, 200)] * 7 + [(200, 300)] * 3,
        "shorter chosen in 80 %": [(100, 150)] * 8 + [(150, 100)] * 2,
        "chosen twice as long in all": [(700, 300)] * 6 + [(250, 300)] * 4,
        "always a little longer": [(310, 300)],
    }
    return [
        WholeCase(
            "length",
            guise,
            [
                pair(f"Question {n}: how long is it?", "a" * chosen, "b" * rejected)
                for n, (chosen, rejected) in enumerate(shape * (400 // len(shape)))
            ],
            400 // len(shape) * len(shape),
        )
        for guise, shape in shapes.items()
    ]


def _thumbs() -> list[WholeCase]:
    cases = []
    for guise, every, rare in (("few thumbs up", 10, True), ("few thumbs down", 10, False), ("hardly any", 100, True)):
        rows = clean_thumbs(400)
        for number, row in enumerate(rows):
            row["label"] = rare if number % every == 0 else not rare
        cases.append(WholeCase("balance", guise, rows, 400, tuple(range(0, 400, every)), kind="unpaired"))
    return cases


def _truncations() -> list[WholeCase]:
    """At 64 tokens; a token is a word here, and every answer ends in an end token. QUESTION has 12: 12 + 52 + 1 = 65."""
    words = {name: " ".join(f"{name}{n}" for n in range(80)) for name in ("same", "other", "asked")}
    start = " ".join(f"same{n}" for n in range(60))
    spoiled = {
        ("truncated_equal", "differ at the very end"): (QUESTION, f"{words['same']} yes", f"{words['same']} no"),
        ("truncated_equal", "one goes on"): (QUESTION, words["same"], f"{words['same']} and on"),
        ("truncated_equal", "a shared start of 60 words"): (QUESTION, f"{start} yes it is", f"{start} no it is not"),
        ("eos_lost", "both too long"): (QUESTION, words["same"], words["other"]),
        ("eos_lost", "only the rejected one"): (QUESTION, "Dig a hole.", words["other"]),
        ("eos_lost", "by a single token"): (QUESTION, "Dig a hole.", " ".join(["dig"] * 52)),
        ("prompt_too_long", "a long question"): (words["asked"], "Dig a hole.", "Wait."),
        ("prompt_too_long", "a long talk before"): (
            [user(words["other"]), answer("I see."), user(QUESTION)],
            "Dig a hole.",
            "Wait.",
        ),
        ("prompt_too_long", "exactly as long as all"): (" ".join(["why"] * 64), "Dig a hole.", "Wait."),
    }
    cases = []
    for (check, guise), texts in spoiled.items():
        rows = [row for row in clean_pairs(500) if _fits(row, 60)][:40]
        rows[4:4] = [pair(*texts)]
        rows[30:30] = [pair(*texts)]
        cases.append(WholeCase(check, guise, rows, len(rows), (4, 30), {"tokens": word_counts(rows), "max_length": 64}))
    return cases


def _ids(messages: Sequence[Any]) -> list[int]:
    return [hash(word) % 2**31 + 1 for message in messages for word in message["content"].split()]


def _fits(row: Row, most: int) -> bool:
    return all(len(_ids([*row["prompt"], *row[part]])) < most for part in ("chosen", "rejected"))


def word_counts(rows: Sequence[Row]) -> TokenCounts:
    """The rows in tokens, one for each word, with a 0 for the end of an answer."""
    counts = TokenCounts("preference")
    for row in rows:
        prompt = _ids(row["prompt"])
        chosen, rejected = ([*prompt, *_ids(row[part]), 0] for part in ("chosen", "rejected"))
        counts.add(count_row(prompt, chosen, rejected, stops=lambda token: token == 0, is_blank=lambda token: False))
    return counts


def _templates() -> list[WholeCase]:
    fine = {
        "ends_with_eos": True,
        "last_token": "</s>",
        "eos": ("</s>",),
        "double_bos": False,
        "prefix_mismatches": 0,
        "checked": 200,
        "template": "00",
    }
    faults: dict[tuple[str, str], dict[str, Any]] = {
        ("template_end", "ends in a line break"): {"ends_with_eos": False, "last_token": "\n"},
        ("template_end", "ends in the last word"): {"ends_with_eos": False, "last_token": "enjoy"},
        ("template_end", "no end token at all"): {"ends_with_eos": False, "last_token": ".", "eos": ()},
        ("double_bos", "in every row"): {"double_bos": True},
        ("prompt_mismatch", "in every row"): {"prefix_mismatches": 200},
        ("prompt_mismatch", "in one of fifty"): {"prefix_mismatches": 4},
        ("thoughts_deleted", "in every row"): {"deletes_thoughts": True},
        ("thoughts_deleted", "where a thought is begun for the model"): {
            "deletes_thoughts": True,
            "opening": "<think>",
        },
    }
    rows = clean_pairs(400)
    thinking = [{**row, "chosen": [answer(f"<think>Hm.</think>{row['chosen'][0]['content']}")]} for row in rows]
    return [
        WholeCase(
            check, guise, thinking if check == "thoughts_deleted" else rows, 400, more={"template": TemplateFacts(**fine | fault)}
        )
        for (check, guise), fault in faults.items()
    ]  # fmt: skip


def _noted() -> list[WholeCase]:
    """What only the conversion saw, alone and beside other notes."""
    rows = clean_pairs(400)
    mended = {"an empty system message was dropped": 3}
    return [
        WholeCase(check, guise, rows, 400, more={"notes": {note: 40} | more})
        for note, check in NOTED.items()
        for guise, more in (("alone", {}), ("beside a note that is no finding", mended))
    ]


def mixed(one: Case, clean: int = 300, copies: int = 3, seed: int = 1) -> tuple[list[Row], list[int]]:
    """Clean rows with copies of a defect at places drawn at random, and the numbers of the rows that are bad."""
    made = {"preference": clean_pairs, "sft": clean_lessons, "unpaired": clean_thumbs}[one.kind](clean, seed)
    rows = with_scores(made) if one.check == "score_gap" else made
    draw = random.Random(seed)
    plain = [row for row in rows if len(row["prompt"][-1]["content"]) > 40 and row["prompt"][-1]["content"].isascii()]
    spoiled = draw.sample(plain, copies)
    for number, row in enumerate(spoiled):
        place = next(place for place, other in enumerate(rows) if other is row)
        rows[place : place + 1] = [{**new, "_bad": at in one.bad} for at, new in enumerate(one.spoil(row, number))]
    bad = [number for number, row in enumerate(rows) if row.pop("_bad", False)]
    return rows, bad
