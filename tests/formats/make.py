"""Writes the corpus of data files and expected.json: python tests/formats/make.py

Each case is a file of rows and what has to come of it, worked by hand: nothing here is computed by the workbench.
The texts are our own.
"""

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent

# (question, good answer, bad answer, answer in between)
TALK = (
    (
        "Why is the sky blue?",
        "Air scatters blue light more than red light.",
        "It mirrors the sea.",
        "It is about light.",
    ),
    ("How long do I boil an egg, roughly?", "Six minutes for soft, ten for hard.", "An hour.", "Some minutes."),
    ('What does "ergo" mean?', 'It is Latin for "therefore".', "It is a kind of chair.", "It is Latin."),
    ("Wie heißt die Hauptstadt von Österreich?", "Sie heißt Wien.", "Keine Ahnung.", "Es ist eine Stadt an der Donau."),
    (
        "Write a loop in Python.",
        "```python\nfor i in range(3):\n    print(i)\n```",
        "loop()",
        "for i in range(3): pass",
    ),
    ("Name two primes, please.", "2 and 3", "4 and 6", "2, perhaps; and 9"),
    ("My plant is yellow; what now?", "Water it less and give it light.", "Paint it green.", "It needs care."),
    ("Is 0.999... equal to 1?", "Yes: their difference is smaller than any number.", "No, it is less.", "Nearly."),
    ("Cheer me up 🙂", "A cloud went to school to be a bit brighter. ☁️", "No.", "Ha."),
    ("Who wrote Faust?", "Goethe wrote the best known one.", "Shakespeare.", "A poet."),
    ("What is\nthe longest river?", "The Nile or the Amazon, by how one measures.", "The Rhine.", "One of two."),
    ("Convert 5 km to miles.", "About 3.1 miles.", "50 miles.", "Around 3."),
)
ROWS = len(TALK)
Row = dict[str, Any]

SAME = "chosen and rejected are identical"
TOOL = "a tool call, or what a tool answered"
TOOLS_NOTE = "the separate list of tools is not in the prompt"
MEDIA_NOTE = "a picture, sound or video was not used"
THOUGHTS_NOTE = "thoughts in a column of their own were not used"
NO_CHOSEN, NO_REJECTED = "empty chosen answer", "empty rejected answer"


@dataclass
class Case:
    """A file and what has to come of it.

    option: the one that is taken; ask: it is the one that a person chooses. kept: canonical rows. used: source rows that
    are in them. left_out: reason -> source rows. first: the first canonical row. says: words of the evidence.
    unknown: no format is recognised. text: the file itself, where it is not the plain form of its rows.
    """

    file: str
    rows: list[Row] = field(repr=False)
    text: str = field(default="", kw_only=True, repr=False)
    format: str = ""
    kind: str = "preference"
    first: Row | None = None
    kept: int = ROWS
    used: int = ROWS
    left_out: dict[str, int] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    option: str = ""
    ask: str | None = None
    notes: dict[str, int] = field(default_factory=dict)
    unknown: bool = False


CASES: list[Case] = []


def case(file: str, rows: list[Row], format: str = "", **expected: Any) -> None:
    CASES.append(Case(file, rows, format, **expected))


def each(make: Callable[..., Row]) -> list[Row]:
    return [make(*talk) for talk in TALK]


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


def system(text: str) -> Row:
    return {"role": "system", "content": text}


def human(text: str) -> Row:
    return {"from": "human", "value": text}


def gpt(text: str) -> Row:
    return {"from": "gpt", "value": text}


SKY, GOOD, BAD, SOSO = TALK[0]
ASKED = [user(SKY)]
PAIR = {"prompt": ASKED, "chosen": [answer(GOOD)], "rejected": [answer(BAD)]}
LESSON = {"prompt": ASKED, "completion": [answer(GOOD)]}
BRIEF = {**PAIR, "prompt": [system("Be brief."), *ASKED]}


def scored(chosen: float, rejected: float, pair: Row = PAIR) -> Row:
    return {**pair, "scores": {"chosen": chosen, "rejected": rejected}}


def text_pairs() -> None:
    plain = each(lambda q, g, b, s: {"prompt": q, "chosen": g, "rejected": b})
    case("text.jsonl", plain, "text-pairs", first=PAIR, says=["`prompt`", "`chosen`", "`rejected`"])
    case("text.csv", plain, "text-pairs", first=PAIR)
    case("text.tsv", plain, "text-pairs", first=PAIR)
    case("text.parquet", plain, "text-pairs", first=PAIR)
    case("text.jsonl.gz", plain, "text-pairs", first=PAIR)
    case("text.jsonl.zst", plain, "text-pairs", first=PAIR)
    case("text.arrow", plain, "text-pairs", first=PAIR)
    broken = [
        *plain,
        {"prompt": "Who am I?", "chosen": "You.", "rejected": None},
        {"prompt": "Who am I?", "chosen": " ", "rejected": "Me."},
        {"prompt": "", "chosen": "You.", "rejected": "Me."},
        {"prompt": "Who am I?", "chosen": "You.", "rejected": "You. \n"},
        {"prompt": "Who am I?", "chosen": 7, "rejected": "Me."},
        {"question": "Who am I?"},
    ]
    left_out = {NO_REJECTED: 1, NO_CHOSEN: 2, "empty prompt": 1, SAME: 1, "not text": 1}
    case("text_with_broken_rows.json", broken, "text-pairs", first=PAIR, left_out=left_out)
    orca = each(lambda q, g, b, s: {"system": "", "question": q, "chosen": g, "rejected": b})
    orca[0]["system"] = "Be brief."
    case("orca.jsonl", orca, "text-pairs", first=BRIEF, says=["`question`", "`system`"])
    some = each(lambda q, g, b, s: {"prompt": q, "chosen": g, "rejected": b})
    some[0]["system"] = "Be brief."
    case("system_in_some_rows.jsonl", some, "text-pairs", first=BRIEF, says=["`system`"])
    titled = each(lambda q, g, b, s: {"ID": q[:3], "User Input": q, "Chosen Response": g, "Rejected-Response": b})
    case("titles.csv", titled, "text-pairs", first=PAIR, says=["`User Input`", "`Chosen Response`"])
    liked = each(lambda q, g, b, s: {"query": q, "preferred": g, "dispreferred": b, "source": "ours"})
    case("preferred.jsonl", liked, "text-pairs", first=PAIR)
    models = each(
        lambda q, g, b, s: {
            "instruction": q,
            "chosen": "model-1",
            "rejected": "model-2",
            "response_chosen": g,
            "response_rejected": b,
        }
    )
    case("names_of_models_in_chosen.jsonl", models, "text-pairs", first=PAIR, says=["`response_chosen`"])
    stack = each(lambda q, g, b, s: {"qid": 1, "question": q, "response_j": g, "response_k": b})
    case("stack_exchange.jsonl", stack, "text-pairs", first=PAIR, says=["`response_j`", "better"])
    rated = each(
        lambda q, g, b, s: {"prompt": q, "chosen": g, "rejected": b, "chosen-rating": 4.5, "rejected-rating": 2}
    )
    case("ratings_beside.jsonl", rated, "text-pairs", first=scored(4.5, 2.0), says=["`chosen-rating`"])
    case("ratings_beside.csv", rated, "text-pairs", first=scored(4.5, 2.0))
    more = each(lambda q, g, b, s: {"instruction": q, "input": "", "chosen": g, "rejected": b})
    more[0]["input"] = "Answer a child."
    first = {**PAIR, "prompt": [user(f"{SKY}\n\nAnswer a child.")]}
    case("instruction_with_input.json", more, "text-pairs", first=first, says=["`input`"])
    asked = each(lambda q, g, b, s: {"prompt": f"\n\nHuman: {q}\n\nAssistant:", "chosen": f" {g}", "rejected": f" {b}"})
    case("prompt_as_dialogue.jsonl", asked, "text-pairs", first=PAIR)
    lost = each(lambda q, g, b, s: {"prompt": q, "y_w": g, "y_l": b})
    case("winner_and_loser.jsonl", lost, "text-pairs", first=PAIR, says=["`y_w`"])
    steps = each(lambda q, g, b, s: {"trajectory": [{"from": "user", "value": q}], "chosen": g, "rejected": b})
    case("trajectory.json", steps, "sharegpt-pairs", first=PAIR, says=["`trajectory`"])


def message_pairs() -> None:
    inside = each(lambda q, g, b, s: {"chosen": [user(q), answer(g)], "rejected": [user(q), answer(b)]})
    says = ["`chosen`", "share their first turn"]
    case("messages_inside.jsonl", inside, "message-pairs", first=PAIR, says=says)
    case("messages_inside.parquet", inside, "message-pairs", first=PAIR, says=says)
    written = [{column: json.dumps(value) for column, value in row.items()} for row in inside]
    case("messages_as_json.csv", written, "message-pairs", first=PAIR, says=["written as text"])
    python = [{column: repr(value) for column, value in row.items()} for row in inside]
    case("messages_as_python.csv", python, "message-pairs", first=PAIR, says=["written as text"])
    numpy = [{column: repr(value).replace("}, {", "}\n {") for column, value in row.items()} for row in inside]
    reason = "messages written as text that cannot be read: save them as JSON"
    case("messages_as_numpy.csv", numpy, "message-pairs", kept=0, used=0, left_out={reason: ROWS})
    beside = each(lambda q, g, b, s: {"prompt": [user(q)], "chosen": [answer(g)], "rejected": [answer(b)]})
    case("messages_beside.jsonl", beside, "message-pairs", first=PAIR, says=["`prompt` stands beside"])
    both = each(
        lambda q, g, b, s: {
            "prompt": q, "prompt_id": "x", "chosen": [user(q), answer(g)], "rejected": [user(q), answer(b)],
            "messages": [user(q), answer(g)], "score_chosen": 8.5, "score_rejected": 6.0,
        }
    )  # fmt: skip
    both.append({**both[1], "prompt": "Something else"})
    reason = "the prompt column and the prompt inside the answers differ"
    case("binarised.parquet", both, "message-pairs", first=scored(8.5, 6.0), left_out={reason: 1})
    opener = [user("Hi"), answer("Hello")]
    broken = [
        {"chosen": [system(""), *opener, *ASKED, answer(GOOD)], "rejected": [system(""), *opener, *ASKED, answer(BAD)]},
        *inside[1:],
        {"chosen": [*ASKED, *ASKED, answer("a")], "rejected": [*ASKED, *ASKED, answer("b")]},
        {"chosen": [*ASKED, answer("a")], "rejected": [user("?"), answer("b")]},
        {"chosen": [*ASKED, {"role": "tool", "content": "a"}], "rejected": [*ASKED, answer("b")]},
        {"chosen": ASKED, "rejected": [*ASKED, answer("b")]},
        {"chosen": [answer("Hi"), *ASKED, answer("a")], "rejected": [answer("Hi"), *ASKED, answer("b")]},
        {"chosen": [*ASKED, {"role": "assistant", "content": None}], "rejected": [*ASKED, answer("b")]},
        {"chosen": [*ASKED, system("Be nice."), answer("a")], "rejected": [*ASKED, system("Be nice."), answer("b")]},
    ]
    left_out = {
        "two messages in a row from the same role": 1,
        "the conversations differ before the last answer": 1,
        TOOL: 1,
        "no assistant answer at the end": 1,
        "the conversation begins with the assistant": 1,
        NO_CHOSEN: 1,
        "a system message that is not the first": 1,
    }
    first = {**PAIR, "prompt": [*opener, *ASKED]}
    notes = {"an empty system message was dropped": 1}
    case("messages_with_broken_rows.jsonl", broken, "message-pairs", first=first, left_out=left_out, notes=notes)
    openai = each(
        lambda q, g, b, s: {
            "input": {"messages": [user(q)]},
            "preferred_output": [answer(g)],
            "non_preferred_output": [answer(b)],
        }
    )
    case("openai_preferences.jsonl", openai, "message-pairs", first=PAIR)
    parts = each(
        lambda q, g, b, s: {
            "prompt": [{"role": "User", "content": [{"type": "text", "text": q}]}],
            "chosen": {"role": "Assistant", "content": g}, "rejected": {"role": "Assistant", "content": b},
        }
    )  # fmt: skip
    case("content_in_parts.json", parts, "message-pairs", first=PAIR, says=["single messages"])


def dialogues() -> None:
    def talk(q: str, a: str) -> str:
        return f"\n\nHuman: {q}\n\nAssistant: {a}"

    rows = each(lambda q, g, b, s: {"chosen": talk(q, g), "rejected": talk(q, b)})
    rows[0] = {"chosen": talk("Hi", "Hello") + talk(SKY, GOOD), "rejected": talk("Hi", "Hello") + talk(SKY, BAD)}
    rows += [
        {"chosen": talk(SKY, GOOD), "rejected": talk(SKY, GOOD)},
        {"chosen": talk(SKY, ""), "rejected": talk(SKY, BAD)},
    ]
    first = {**PAIR, "prompt": [user("Hi"), answer("Hello"), *ASKED]}
    says = ["dialogues of Human and Assistant", "first 1 to 3 turns"]
    left_out = {SAME: 1, NO_CHOSEN: 1}
    case("dialogues.jsonl.gz", rows, "dialogue-pairs", first=first, says=says, left_out=left_out)
    case("dialogues.csv", rows, "dialogue-pairs", first=first, says=says, left_out=left_out)

    def chatml(q: str, a: str) -> str:
        return f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n"

    marked = each(lambda q, g, b, s: {"chosen": chatml(q, g), "rejected": chatml(q, b)})
    case("dialogues_in_chatml.jsonl", marked, "dialogue-pairs", first=PAIR)


def sharegpt_pairs() -> None:
    factory = each(lambda q, g, b, s: {"conversations": [human(q)], "chosen": gpt(g), "rejected": gpt(b)})
    factory[0]["conversations"] = [{"from": "system", "value": "Be brief."}, human(SKY)]
    case(
        "sharegpt_factory.json", factory, "sharegpt-pairs", first=BRIEF, says=["`from` and `value`", "`conversations`"]
    )
    whole = each(lambda q, g, b, s: {"chosen": [human(q), gpt(g)], "rejected": [human(q), gpt(b)]})
    whole.append({"chosen": [human("?"), gpt("a")], "rejected": [human("?"), {"from": "function", "value": "b"}]})
    left_out = {TOOL: 1}
    case("sharegpt_whole.parquet", whole, "sharegpt-pairs", first=PAIR, left_out=left_out)
    text = each(lambda q, g, b, s: {"id": 1, "conversation": [human(q)], "chosen": g, "rejected": b})
    case("sharegpt_with_text.jsonl", text, "sharegpt-pairs", first=PAIR, says=["`conversation`"])
    named = each(
        lambda q, g, b, s: {
            "messages": [{"from": "prompter", "value": q}],
            "chosen": [{"from": "chatgpt", "value": g}], "rejected": [{"from": "bing", "value": b}],
        }
    )  # fmt: skip
    case("sharegpt_other_roles.jsonl", named, "sharegpt-pairs", first=PAIR)


FOUR = ["best-worst", "best-second", "best-random", "all"]


def scored_answers() -> None:
    def ultra(q: str, g: str, b: str, s: str) -> Row:
        texts = ((s, 6.5), (g, 8.5), (b, 2.0))
        completions = [
            {"model": f"m{i}", "response": text, "overall_score": score, "annotations": {"honesty": {"Rating": "4"}}}
            for i, (text, score) in enumerate(texts)
        ]
        return {"source": "ours", "instruction": q, "models": ["m0", "m1", "m2"], "completions": completions}

    rows = each(ultra)
    tied = ultra("Tied?", "Yes", "No", "So")
    for completion in tied["completions"]:
        completion["overall_score"] = 5.0
    alone = ultra("Alone?", "Yes", "No", "So")
    alone["completions"] = alone["completions"][:1]
    unscored = ultra("Unscored?", "Yes", "No", "So")
    unscored["completions"][0]["overall_score"] = None
    rows += [tied, alone, unscored]
    expected = {
        "kept": ROWS + 1, "used": ROWS + 1, "options": FOUR, "says": ["`completions`", "`overall_score`", "highest"],
        "left_out": {"both answers have the same score": 1, "fewer than two answers with a score": 1},
        "notes": {"an answer without a text or a score was skipped": 1},
    }  # fmt: skip
    case("ultrafeedback.jsonl", rows, "scored-answers", first=scored(8.5, 2.0), option="best-worst", **expected)
    case("ultrafeedback.parquet", rows, "scored-answers", first=scored(8.5, 2.0), option="best-worst", **expected)
    second = scored(8.5, 6.5, {**PAIR, "rejected": [answer(SOSO)]})
    case("ultrafeedback_second.jsonl", rows, "scored-answers", first=second, ask="best-second", **expected)
    # Three answers make three pairs; the row that lost one makes one.
    all_pairs = {**expected, "kept": 3 * ROWS + 1}
    case("ultrafeedback_all.jsonl", rows, "scored-answers", first=second, ask="all", **all_pairs)

    def nectar(q: str, g: str, b: str, s: str) -> Row:
        answers = [
            {"answer": b, "model": "m", "rank": 7.0},
            {"answer": g, "model": "m", "rank": 1.0},
            {"answer": s, "model": "m", "rank": 3.0},
        ]
        return {"prompt": f"\n\nHuman: {q}\n\nAssistant: ", "answers": answers, "turns": 1, "num_responses": 3}

    says = ["`rank`", "the lowest is the best"]
    expected = {"option": "best-worst", "options": FOUR, "says": says}
    case("nectar.json", each(nectar), "scored-answers", first=scored(-1.0, -7.0), **expected)
    cells = [{k: json.dumps(v) if k == "answers" else v for k, v in row.items()} for row in each(nectar)]
    case("nectar.csv", cells, "scored-answers", first=scored(-1.0, -7.0), **expected)
    lists = each(lambda q, g, b, s: {"prompt": q, "responses": [b, s, g], "scores": [1, 2, 3]})
    lists.append({"prompt": "Uneven?", "responses": ["a", "b"], "scores": [1]})
    left_out = {"fewer than two answers with a score": 1}
    expected = {"option": "best-worst", "options": FOUR, "says": ["`scores`"], "left_out": left_out}
    expected["notes"] = {}
    case("responses_and_scores.jsonl", lists, "scored-answers", first=scored(3.0, 1.0), **expected)
    columns = each(lambda q, g, b, s: {"question": q, "answers": {"text": [b, g], "score": [-3, 12]}})
    expected = {"option": "best-worst", "options": FOUR, "says": ["`score`"]}
    case("answers_as_object_of_lists.parquet", columns, "scored-answers", first=scored(12.0, -3.0), **expected)
    # The scores make pairs of what would else be a list of answers to imitate the first of.
    singular = each(lambda q, g, b, s: {"prompt": q, "response": [b, g], "scores": [0.1, 0.9]})
    expected["says"] = ["`response` holds 2 answers"]
    case("response_and_scores.jsonl", singular, "scored-answers", first=scored(0.9, 0.1), **expected)
    # A row for each answer; the last question has one answer alone, and the one before it two that are equally good.
    rated = [
        {"prompt": q, "response": text, "helpfulness": score, "verbosity": 2}
        for q, g, b, s in TALK
        for text, score in ((b, 0), (g, 4), (s, 2))
    ]
    rated += [{"prompt": "Tied?", "response": text, "helpfulness": 3, "verbosity": 1} for text in ("Yes", "No")]
    rated.append({"prompt": "Alone?", "response": "Yes", "helpfulness": 4, "verbosity": 1})
    says = ["`response` is one answer to `prompt` with its `helpfulness`", "13 prompts of the first 39 rows"]
    left_out = {"an answer that is in none of the pairs": 12, "both answers have the same score": 2}
    left_out["the only answer to its prompt"] = 1
    helped = {"used": 24, "left_out": left_out, "options": FOUR, "says": says, "option": "best-worst"}
    case("an_answer_in_each_row.jsonl.gz", rated, "scored-answers", first=scored(4.0, 0.0), **helped)
    alone = {**helped, "kept": 36, "used": 36, "option": "", "ask": "all"}
    alone["left_out"] = {"both answers have the same score": 2, "the only answer to its prompt": 1}
    second = scored(4.0, 2.0, {**PAIR, "rejected": [answer(SOSO)]})
    case("an_answer_in_each_row_all.csv", rated, "scored-answers", first=second, **alone)
    voted = each(
        lambda q, g, b, s: {"question": q, "answers": [{"text": b, "pm_score": 1}, {"text": g, "pm_score": 6}]}
    )
    expected["says"] = ["`pm_score`"]
    case("stack_exchange_scored.jsonl", voted, "scored-answers", first=scored(6.0, 1.0), **expected)


WOVEN = "a conversation was built from the list of its questions and the list of its answers"
NEITHER, NO_CHOICE = "neither answer was preferred", "no choice between the two answers"
HALF = ["index", "one-first"]


def swapped(rows: list[Row], first: str, second: str, choice: str, other: Any) -> list[Row]:
    """Every second row the other way round, so that a fixed guess would be wrong for half of them."""
    return [
        {**row, first: row[second], second: row[first], choice: other} if i % 2 else row for i, row in enumerate(rows)
    ]


def choices() -> None:
    shp = each(
        lambda q, g, b, s: {"history": q, "human_ref_A": g, "human_ref_B": b, "labels": 1, "score_A": 30, "score_B": 2}
    )
    shp = [
        {**row, "human_ref_A": row["human_ref_B"], "human_ref_B": row["human_ref_A"], "labels": 0, "score_A": 2, "score_B": 30}
        if i % 2 else row for i, row in enumerate(shp)
    ]  # fmt: skip
    expected = {"options": HALF, "option": "one-first", "says": ["`labels`", "1 means that the first answer is better"]}
    case("shp.jsonl", shp, "choice-pairs", first=scored(30.0, 2.0), **expected)
    case("shp.tsv", shp, "choice-pairs", first=scored(30.0, 2.0), **expected)
    without = [{k: v for k, v in row.items() if not k.startswith("score")} for row in shp]
    case("shp_without_scores.parquet", without, "choice-pairs", first=PAIR, **{**expected, "says": ["as in SHP"]})
    summaries = each(
        lambda q, g, b, s: {
            "info": {"id": "1", "post": q, "title": "Ask", "subreddit": "ask"}, "worker": "w", "choice": 1,
            "summaries": [{"text": b, "policy": "sup"}, {"text": g, "policy": "ref"}],
        }
    )  # fmt: skip
    summaries.append({**summaries[0], "summaries": summaries[0]["summaries"] * 2})
    summaries[1]["summaries"].reverse()
    summaries[1]["choice"] = 0
    first = {**PAIR, "prompt": [user(f"SUBREDDIT: r/ask\n\nTITLE: Ask\n\nPOST: {SKY}\n\nTL;DR:")]}
    expected = {"options": HALF, "option": "index", "says": ["`summaries`", "0 means that the first answer is better"]}
    expected["left_out"] = {"not exactly two answers": 1}
    case("summaries.jsonl", summaries, "choice-pairs", first=first, **expected)
    cells = [{**row, "summaries": json.dumps(row["summaries"]), "info": row["info"]["post"]} for row in summaries]
    cells = [{"prompt": row.pop("info"), **row} for row in cells]
    case("summaries_as_json.csv", cells, "choice-pairs", first=PAIR, **expected)
    flags = each(
        lambda q, g, b, s: {
            "prompt": q, "response_a": g, "response_b": b, "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0,
        }
    )  # fmt: skip
    flags = swapped(flags, "response_a", "response_b", "winner_model_a", 0)
    flags = [{**row, "winner_model_b": 1 - row["winner_model_a"]} for row in flags]
    tie = {**flags[0], "winner_model_a": 0, "winner_tie": 1}
    left_out = {"both answers have the same score": 1}
    says = ["`winner_model_a`"]
    case("arena_flags.csv", [*flags, tie], "choice-pairs", first=scored(1.0, 0.0), left_out=left_out, says=says)
    # Each cell is a list of what one side said, written as JSON; a null stands for an answer that was lost.
    told = [
        {**row, **{c: json.dumps([row[c]]) for c in ("prompt", "response_a", "response_b")}} for row in [*flags, tie]
    ]
    told[0] |= {c: json.dumps(["Hi", row]) for c, row in (("prompt", SKY),)}
    told[0] |= {"response_a": json.dumps(["Hello", GOOD]), "response_b": json.dumps(["Hello", BAD])}
    told.append({**told[1], "response_a": "[null]"})
    first = scored(1.0, 0.0, {**PAIR, "prompt": [user("Hi"), answer("Hello"), *ASKED]})
    left_out = {**left_out, "not text": 1}
    notes = {WOVEN: ROWS}
    case("arena_lists.csv", told, "choice-pairs", first=first, left_out=left_out, notes=notes, says=says)
    ones = each(lambda q, g, b, s: {"prompt": q, "responses": [g, b], "best": 1})
    asking = {"nobody has said which answer the numbers mean": ROWS}
    case(
        "list_with_ones_only.jsonl", ones, "choice-pairs", kept=0, used=0, left_out=asking,
        options=["index", "one-first", "ordinal"], says=["choose what it means"],
    )  # fmt: skip
    case(
        "list_counted_from_one.jsonl", ones, "choice-pairs", first=PAIR, ask="ordinal",
        options=["index", "one-first", "ordinal"],
    )  # fmt: skip
    arena = each(
        lambda q, g, b, s: {
            "model_a": "x", "model_b": "y", "winner": "model_a",
            "conversation_a": [user(q), answer(g)], "conversation_b": [user(q), answer(b)],
        }
    )  # fmt: skip
    arena = swapped(arena, "conversation_a", "conversation_b", "winner", "model_b")
    arena += [{**arena[0], "winner": "tie"}, {**arena[0], "winner": "tie (bothbad)"}, {**arena[0], "winner": "model_c"}]
    left_out = {NEITHER: 2, "a choice that names neither answer": 1}
    case("arena.json", arena, "choice-pairs", first=PAIR, left_out=left_out, says=["`winner`"])
    case("arena.parquet", arena, "choice-pairs", first=PAIR, left_out=left_out)
    safe = each(
        lambda q, g, b, s: {
            "prompt": q,
            "response_0": b,
            "response_1": g,
            "better_response_id": 1,
            "is_response_0_safe": True,
        }
    )
    safe = swapped(safe, "response_0", "response_1", "better_response_id", 0)
    expected = {"options": HALF, "option": "index", "says": ["as the answers are numbered"]}
    case("better_response_id.jsonl", safe, "choice-pairs", first=PAIR, **expected)
    farm = each(lambda q, g, b, s: {"instruction": q, "input": "", "output_1": b, "output_2": g, "preference": 2})
    farm = swapped(farm, "output_1", "output_2", "preference", 1)
    case("output_1_and_2.json", farm, "choice-pairs", first=PAIR, options=["ordinal"], option="ordinal")
    steps = each(lambda q, g, b, s: {"context": [user(q)], "response1": g, "response2": b, "overall_preference": -2})
    steps = swapped(steps, "response1", "response2", "overall_preference", 3)
    steps.append({**steps[0], "overall_preference": 0})
    expected = {"options": ["negative-first", "positive-first"], "option": "negative-first", "left_out": {NEITHER: 1}}
    case("preference_in_steps.jsonl", steps, "choice-pairs", first=PAIR, says=["HelpSteer"], **expected)
    words = each(lambda q, g, b, s: {"Question": q, "Answer A": g, "Answer B": b, "Preferred": "A"})
    words = swapped(words, "Answer A", "Answer B", "Preferred", "b ")
    words += [{**words[0], "Preferred": ""}, {**words[0], "Preferred": "Tie"}]
    case("letters.csv", words, "choice-pairs", first=PAIR, left_out={NO_CHOICE: 1, NEITHER: 1}, says=["`Preferred`"])
    itself = each(lambda q, g, b, s: {"prompt": q, "response_a": b, "response_b": g, "preferred_response": g})
    case("the_answer_itself.jsonl", itself, "choice-pairs", first=PAIR)
    named = each(
        lambda q, g, b, s: {
            "prompt": q,
            "response_a": b,
            "response_b": g,
            "chosen": "response_b",
            "rejected": "response_a",
        }
    )
    case("chosen_names_a_column.jsonl", named, "choice-pairs", first=PAIR)
    only_scores = each(
        lambda q, g, b, s: {"question": {"full_text": q}, "answer_0": b, "answer_1": g, "score_0": -0.5, "score_1": 0.5}
    )
    only_scores.append({**only_scores[0], "score_0": 0.0, "score_1": 0.0})
    left_out = {"both answers have the same score": 1}
    case(
        "two_scores.jsonl",
        only_scores,
        "choice-pairs",
        first=scored(0.5, -0.5),
        left_out=left_out,
        says=["higher score"],
    )
    by_score = each(
        lambda q, g, b, s: {"prompt": q, "response_a": g, "response_b": b, "label": 0, "score_a": 5, "score_b": 3}
    )
    by_score = [
        {**row, "response_a": row["response_b"], "response_b": row["response_a"], "label": 1, "score_a": 3, "score_b": 5}
        if i % 2 else row for i, row in enumerate(by_score)
    ]  # fmt: skip
    expected = {"options": HALF, "option": "index", "says": ["higher score"]}
    case("label_that_scores_explain.jsonl", by_score, "choice-pairs", first=scored(5.0, 3.0), **expected)
    unclear = each(lambda q, g, b, s: {"prompt": q, "response_a": g, "response_b": b, "label": 1})
    unclear = swapped(unclear, "response_a", "response_b", "label", 0)
    reason = {"nobody has said which answer the numbers mean": ROWS}
    expected = {"options": HALF, "says": ["choose"]}
    case("label_unclear.jsonl", unclear, "choice-pairs", kept=0, used=0, left_out=reason, **expected)
    expected = {"options": HALF, "says": ["as you chose"], "ask": "one-first"}
    case("label_said_by_hand.jsonl", unclear, "choice-pairs", first=PAIR, **expected)
    votes = each(lambda q, g, b, s: {"prompt": [user(q)], "left": g, "right": b, "vote": "left"})
    votes = swapped(votes, "left", "right", "vote", "right")
    votes += [{**votes[0], "vote": "tie"}, {**votes[0], "vote": "both_bad"}]
    both: Row = {"options": ["pairs", "thumbs"]}
    case("votes.jsonl", votes, "votes", first=PAIR, left_out={NEITHER: 2}, says=["`vote`"], option="pairs", **both)
    # As thumbs each of the twelve votes gives two rows, and so do two bad answers; an ideal answer is one more.
    ideal = [
        *votes,
        {**votes[0], "vote": "tie", "ideal": GOOD},
        {**votes[0], "vote": "both_bad", "ideal": "Light scatters."},
    ]
    kept: Row = {"kind": "unpaired", "first": {**LESSON, "label": True}, "kept": 24 + 2 + 1 + 3, "used": ROWS + 3}
    case("votes_as_thumbs.jsonl", ideal, "votes", ask="thumbs", left_out={NEITHER: 1}, **both, **kept)


TREES = ["best-worst", "adjacent", "all"]


def node(text: str, rank: int | None = None, replies: tuple[Row, ...] = (), role: str = "assistant") -> Row:
    return {"text": text, "role": role, "rank": rank, "deleted": False, "replies": list(replies)}


def trees() -> None:
    rows = each(
        lambda q, g, b, s: {
            "message_tree_id": q[:4], "tree_state": "ready_for_export",
            "prompt": node(q, None, (node(s, 1), node(b, 2), node(g, 0)), "prompter"),
        }
    )  # fmt: skip
    # A second question below the best answer, with two ranked answers of its own.
    rows[0]["prompt"]["replies"][2]["replies"] = [
        node("And at night?", None, (node("It is dark.", 0), node("Green.", 1)), "prompter")
    ]
    rows.append(
        {
            "message_tree_id": "x",
            "tree_state": "ready_for_export",
            "prompt": node("Alone?", None, (node("Yes", 0),), "prompter"),
        }
    )
    left_out = {"no two answers to the same question that have ranks": 1}
    expected = {"options": TREES, "left_out": left_out, "says": ["`prompt`", "0, the best"]}
    case("trees.jsonl", rows, "oasst-trees", first=scored(0.0, -2.0), option="best-worst", kept=ROWS + 1, **expected)
    # Three answers make two pairs of neighbours.
    first = scored(0.0, -1.0, {**PAIR, "rejected": [answer(SOSO)]})
    case("trees_adjacent.jsonl.gz", rows, "oasst-trees", first=first, ask="adjacent", kept=2 * ROWS + 1, **expected)
    case("tree_messages.csv", messages(), "oasst-messages", first=scored(0.0, -2.0), **of_messages("best-worst"))
    case("tree_messages.parquet", messages(), "oasst-messages", first=scored(0.0, -2.0), **of_messages("best-worst"))


def messages() -> list[Row]:
    """One row per message: 12 trees of a question and 3 answers, a tree without ranks, and what hangs on no tree."""

    def said(id: str, parent: str | None, text: str, role: str, rank: int | None, deleted: bool = False) -> Row:
        return {
            "message_id": id,
            "parent_id": parent,
            "text": text,
            "role": role,
            "rank": rank,
            "deleted": deleted,
            "lang": "en",
        }

    rows = []
    for i, (q, g, b, s) in enumerate(TALK):
        rows += [said(f"q{i}", None, q, "prompter", None), said(f"s{i}", f"q{i}", s, "assistant", 1)]
        rows += [said(f"b{i}", f"q{i}", b, "assistant", 2), said(f"g{i}", f"q{i}", g, "assistant", 0)]
    rows += [
        said("alone", None, "Alone?", "prompter", None), said("only", "alone", "Yes.", "assistant", None),
        said("orphan", "gone", "Hm.", "assistant", 0), said("child", "orphan", "Why?", "prompter", None),
        said("q0", None, "Twice?", "prompter", None), said("none", "q1", "?", "assistant", None),
        said("bad", "q2", "spam", "assistant", 3, deleted=True),
    ]  # fmt: skip
    return rows


def of_messages(option: str) -> Row:
    """36 of 55 rows are in 12 pairs; the 12 answers in the middle are in none."""
    left_out = {
        "an answer that is in none of the pairs": ROWS,
        "a question without two ranked answers": 1,
        "the only answer to its prompt": 1,
        "a message whose parent is missing": 2,
        "a message with an id that another one has": 1,
        "an answer without a rank": 1,
        "a deleted message": 1,
    }
    return {
        "option": option,
        "options": TREES,
        "kept": ROWS,
        "used": 3 * ROWS,
        "left_out": left_out,
        "says": ["`parent_id`"],
    }


THREE = ["thumbs", "pairs", "liked"]


def thumbs() -> None:
    rows = [row for q, g, b, s in TALK for row in (
        {"prompt": q, "completion": g, "label": True}, {"prompt": q, "completion": b, "label": False},
    )]  # fmt: skip
    rows += [
        {"prompt": "One more?", "completion": "Yes", "label": True},
        {"prompt": "None?", "completion": "Hm", "label": None},
    ]
    first = {**LESSON, "label": True}
    expected = {"options": THREE, "says": ["`label` is a thumb", "13 up and 12 down"]}
    none = {"no thumb up or down": 1}
    kept = {"kept": 25, "used": 25, "left_out": none}
    case("thumbs.jsonl", rows, "thumbs", kind="unpaired", first=first, option="thumbs", **kept, **expected)
    case("thumbs.csv", rows, "thumbs", kind="unpaired", first=first, option="thumbs", **kept, **expected)
    alone = {**none, "no disliked answer to the same prompt to pair it with": 1}
    case(
        "thumbs_as_pairs.jsonl", rows, "thumbs", first=PAIR, ask="pairs", kept=ROWS, used=24, left_out=alone, **expected
    )
    disliked = {**none, "a disliked answer": 12}
    kept = {"kept": 13, "used": 13, "left_out": disliked}
    case("thumbs_liked.parquet", rows, "thumbs", kind="sft", first=LESSON, ask="liked", **kept, **expected)
    words = [
        {"question": r["prompt"], "answer": r["completion"], "feedback": {True: "👍", False: "👎"}.get(r["label"], "?")}
        for r in rows
    ]
    kept = {"kept": 25, "used": 25, "left_out": none}
    case("thumbs_as_signs.json", words, "thumbs", kind="unpaired", first=first, option="thumbs", options=THREE, **kept)
    factory = [{"conversations": [human(r["prompt"]), gpt(r["completion"])], "kto_tag": r["label"]} for r in rows[:24]]
    kept = {"kept": 24, "used": 24}
    case(
        "thumbs_on_conversations.jsonl",
        factory,
        "thumbs",
        kind="unpaired",
        first=first,
        option="thumbs",
        options=THREE,
        **kept,
    )

    safe = [
        row
        for q, g, b, s in TALK
        for row in ({"prompt": q, "response": g, "is_safe": True}, {"prompt": q, "response": b, "is_safe": False})
    ]
    safety = {"says": ["`is_safe` is a thumb", "12 up and 12 down"], "options": THREE}
    case("thumbs_on_safety.jsonl.gz", safe, "thumbs", kind="unpaired", first=first, option="thumbs", **kept, **safety)
    picked = [
        {"user_prompt": r["prompt"], "model_response": r["completion"], "score": 9, "if_chosen": r["label"]}
        for r in rows[:24]
    ]
    says = ["`if_chosen` is a thumb"]
    case(
        "thumbs_of_picked.parquet",
        picked,
        "thumbs",
        first=PAIR,
        ask="pairs",
        kept=ROWS,
        used=24,
        options=THREE,
        says=says,
    )
    named = [{"prompt": r["prompt"], "response": r["completion"]} for r in rows[:24]]
    named = [{**n, "label": "chosen" if r["label"] else "rejected"} for n, r in zip(named, rows, strict=False)]
    case("thumbs_as_words.csv", named, "thumbs", kind="unpaired", first=first, option="thumbs", options=THREE, **kept)


def lessons() -> None:
    sft = {"kind": "sft", "first": LESSON}
    messages = each(lambda q, g, b, s: {"messages": [user(q), answer(g)]})
    messages += [{"messages": [user("Hm?")]}, {"messages": []}]
    left_out = {"no assistant answer at the end": 1, "empty answer": 1}
    case("sft_messages.jsonl", messages, "messages", left_out=left_out, says=["`messages`"], **sft)
    case("sft_messages.parquet", messages, "messages", left_out=left_out, **sft)
    written = [{"messages": json.dumps(row["messages"])} for row in messages[:ROWS]]
    case("sft_messages_as_json.tsv", written, "messages", says=["written as text"], **sft)
    shared = each(lambda q, g, b, s: {"id": q[:2], "conversations": [human(q), gpt(g)]})
    shared.append({"id": "x", "conversations": [gpt("Hello."), human("Hi"), gpt("Yes?")]})
    left_out = {"the conversation begins with the assistant": 1}
    case("sharegpt.json", shared, "sharegpt", says=["`from` and `value`"], left_out=left_out, **sft)
    case("sharegpt.jsonl.gz", shared, "sharegpt", left_out=left_out, **sft)
    case("prompt_completion.jsonl", each(lambda q, g, b, s: {"prompt": q, "completion": g}), "prompt-completion", **sft)
    case("prompt_response.csv", each(lambda q, g, b, s: {"prompt": q, "response": g}), "prompt-completion", **sft)
    rated = each(lambda q, g, b, s: {"question": q, "answer": g, "rating": 4})
    rated[1]["rating"] = 1
    case("question_answer.tsv", rated, "prompt-completion", says=["`rating` is not used"], **sft)
    seen = each(lambda q, g, b, s: {"question": q, "answer": g, "image": "a.png", "is_safe": False})
    notes = {MEDIA_NOTE: ROWS}
    says = ["`is_safe` and `image` are not used"]
    case("question_with_picture.jsonl", seen, "prompt-completion", says=says, notes=notes, **sft)
    several = each(lambda q, g, b, s: {"question": q, "answers": [g, s]})
    case("question_answers.parquet", several, "prompt-completion", says=["the first of several"], **sft)
    flan = each(lambda q, g, b, s: {"inputs": q, "targets": g, "task": "questions"})
    case("inputs_targets.parquet", flan, "prompt-completion", says=["`targets`"], **sft)
    turns = each(lambda q, g, b, s: {"conversations": [q, g], "source": "ours"})
    turns[0]["conversations"] = ["Hi", "Hello", SKY, GOOD]
    turns.append({"conversations": ["Anybody there?", "Yes.", "Who?"], "source": "ours"})
    first = {**LESSON, "prompt": [user("Hi"), answer("Hello"), *ASKED]}
    left_out = {"no assistant answer at the end": 1}
    says = ["texts, taken as the turns of user and assistant"]
    case("turns_as_texts.jsonl", turns, "messages", kind="sft", first=first, left_out=left_out, says=says)
    case("input_output.jsonl", each(lambda q, g, b, s: {"input": q, "output": g}), "prompt-completion", **sft)
    alpaca = each(lambda q, g, b, s: {"instruction": q, "input": "", "output": g})
    case("alpaca.json", alpaca, "alpaca", says=["`input`"], **sft)
    case("alpaca.csv", alpaca, "alpaca", **sft)
    history = [{**row, "history": []} for row in alpaca]
    history[0]["history"] = [["Hi", "Hello"]]
    first = {**LESSON, "prompt": [user("Hi"), answer("Hello"), *ASKED]}
    case("alpaca_with_history.json", history, "alpaca", kind="sft", first=first)
    dolly = each(lambda q, g, b, s: {"instruction": q, "context": "", "response": g, "category": "open_qa"})
    dolly[0]["context"] = "A child asks."
    first = {**LESSON, "prompt": [user(f"{SKY}\n\nA child asks.")]}
    case("dolly.jsonl", dolly, "dolly", kind="sft", first=first, says=["`context`"])
    text = each(lambda q, g, b, s: {"text": f"### Human: {q}### Assistant: {g}"})
    case("text_with_turns.parquet", text, "plain-text", says=["all 12 rows"], **sft)
    below = each(lambda q, g, b, s: {"text": f"Below is a task.\n\n### Instruction:\n{q}\n\n### Response:\n{g}"})
    first = {**LESSON, "prompt": [system("Below is a task."), *ASKED]}
    case("text_with_instruction.jsonl", below, "plain-text", kind="sft", first=first)
    llama = each(lambda q, g, b, s: {"text": f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{q} [/INST] {g} </s>"})
    case(
        "text_for_llama.jsonl",
        llama,
        "plain-text",
        kind="sft",
        first={**LESSON, "prompt": [system("Be brief."), *ASKED]},
    )
    lines = each(lambda q, g, b, s: {"text": f"User: {q}\nAssistant: {g}"})
    lines.append({"text": "Once upon a time there was a sky."})
    left_out = {"plain text without a question: not used for chat models": 1}
    case("text_in_lines.csv", lines, "plain-text", left_out=left_out, says=["12 of 13"], **sft)
    story = each(lambda q, g, b, s: {"text": g, "source": "ours"})
    left_out = {"plain text without a question: not used for chat models": ROWS}
    case(
        "plain_text.jsonl",
        story,
        "plain-text",
        kind="sft",
        kept=0,
        used=0,
        left_out=left_out,
        says=["give each text a question"],
    )


def strangers() -> None:
    def unknown(file: str, make: Callable[..., Row]) -> None:
        case(file, each(make), unknown=True, kept=0, used=0)

    unknown("no_text_ratings.csv", lambda q, g, b, s: {"user_id": 1, "item_id": 2, "rating": 4, "timestamp": 1000})
    unknown("no_text_embeddings.jsonl", lambda q, g, b, s: {"id": q[:2], "embedding": [0.1, 0.2, 0.3]})
    unknown("no_text_numbers.parquet", lambda q, g, b, s: {"x": 1.0, "y": 2.0, "label": 1})
    unknown("no_text_urls.csv", lambda q, g, b, s: {"url": "https://example.org/a", "width": 10})
    unknown("only_a_class.jsonl", lambda q, g, b, s: {"text": g, "label": 1})
    unknown("only_premises.tsv", lambda q, g, b, s: {"premise": g, "hypothesis": b, "label": 0})
    unknown("only_search.jsonl", lambda q, g, b, s: {"anchor": q, "positive": g, "negative": b})
    unknown("only_translations.jsonl", lambda q, g, b, s: {"translation": {"en": g, "de": b}})
    unknown("only_one_answer_of_two.jsonl", lambda q, g, b, s: {"prompt": q, "chosen": g})
    unknown(
        "only_four_options.csv",
        lambda q, g, b, s: {"question": q, "option_a": g, "option_b": b, "option_c": s, "label": "A"},
    )
    unknown("only_two_answers.jsonl", lambda q, g, b, s: {"prompt": q, "response_a": g, "response_b": b})
    unknown(
        "only_names_of_models.csv",
        lambda q, g, b, s: {
            "prompt": q,
            "chosen": "m-1",
            "rejected": "m-2",
            "response_a": g + " So.",
            "response_b": s + " So.",
        },
    )
    unknown("only_a_letter.jsonl", lambda q, g, b, s: {"question": q, "answer_a": g, "answer_b": b, "answer": "a"})
    unknown("only_choices.jsonl", lambda q, g, b, s: {"question": q, "choices": [g, b, s, "?"], "answer": "A"})
    scale = each(lambda q, g, b, s: {"prompt": q, "response_a": g, "response_b": b, "preference": 5})
    scale = [{**row, "preference": 1 + i % 5} for i, row in enumerate(scale)]
    case("only_a_scale.jsonl", scale, unknown=True, kept=0, used=0)


NOT_TRAINED = "marked in the source as not to be trained on: loss false or weight 0"
UNSAID = "nobody has said which answer is the better one"
UNSAID_NUMBERS = "nobody has said which answer the numbers mean"
NO_PARTNER = {"no disliked answer to the same prompt to pair it with": 1}


def rejected_beside() -> None:
    """ms-swift: nothing is called chosen."""
    swift = each(lambda q, g, b, s: {"messages": [user(q), answer(g)], "rejected_response": b})
    swift[0]["messages"] = [system("Be brief."), *ASKED, answer(GOOD)]
    swift += [
        {"messages": [user("?"), answer("a")], "rejected_response": None},
        {"messages": [user("?"), answer("a")], "rejected_response": "a"},
    ]
    left_out = {NO_REJECTED: 1, SAME: 1}
    says = ["`messages` ends with the chosen answer", "`rejected_response`"]
    case("swift.jsonl", swift, "rejected-beside", first=BRIEF, says=says, left_out=left_out)
    several = each(lambda q, g, b, s: {"messages": [user(q), answer(g)], "rejected_response": [b, s]})
    says = ["each of which makes a pair"]
    case("swift_several.jsonl", several, "rejected-beside", first=PAIR, says=says, kept=2 * ROWS)
    whole = each(lambda q, g, b, s: {"messages": [user(q), answer(g)], "rejected_messages": [user(q), answer(b)]})
    whole[1]["rejected_messages"] = whole[1]["rejected_messages"][1:]
    case("swift_messages.json", whole, "rejected-beside", first=PAIR, says=["`rejected_messages`"])
    cells = [{k: json.dumps(v) if k == "messages" else v for k, v in row.items()} for row in swift[1:ROWS]]
    case("swift_as_json.csv", cells, "rejected-beside", kept=ROWS - 1, used=ROWS - 1, first=EGGS)
    asked = each(lambda q, g, b, s: {"system": "", "query": q, "response": g, "rejected_response": b, "history": []})
    asked[0] |= {"system": "Be brief.", "history": [["Hi", "Hello"]]}
    first = {**PAIR, "prompt": [system("Be brief."), user("Hi"), answer("Hello"), *ASKED]}
    says = ["`query` is answered by `response`, which is chosen", "`rejected_response`", "`history`"]
    case("swift_query.jsonl", asked, "rejected-beside", first=first, says=says)
    plain = each(lambda q, g, b, s: {"prompt": q, "completion": g, "rejected": b})
    case("completion_and_rejected.parquet", plain, "rejected-beside", first=PAIR)
    for good, bad in (
        ("good", "bad"), ("correct_answer", "incorrect_answer"), ("positive", "negative"), ("right_answer", "hallucinated_answer"),
    ):  # fmt: skip
        rows = each(lambda q, g, b, s, good=good, bad=bad: {"question": q, good: g, bad: b})
        case(f"{good}_and_{bad}.csv", rows, "text-pairs", first=PAIR, says=[f"`{good}` and `{bad}`"])
    search = each(lambda q, g, b, s: {"query": q, "positive": g, "negative": b})
    says = ["passages that a search should find"]
    case(
        "search_or_answers.jsonl", search, "text-pairs", kept=0, used=0, left_out={UNSAID: ROWS}, options=["answers"],
        says=says,
    )  # fmt: skip
    case("search_said_by_hand.jsonl", search, "text-pairs", first=PAIR, ask="answers", options=["answers"])


EGGS = {
    "prompt": [user(TALK[1][0])],
    "chosen": [answer(TALK[1][1])],
    "rejected": [answer(TALK[1][2])],
}


def both(label: str, up: Any, down: Any, **more: Any) -> list[Row]:
    return [
        {"prompt": q, "response": text, label: value, **more}
        for q, g, b, s in TALK
        for text, value in ((g, up), (b, down))
    ]


def other(reading: str) -> list[str]:
    return [f"{option}-{reading}" for option in THREE]


def thumbs_otherwise() -> None:
    kept: Row = {"kind": "unpaired", "first": {**LESSON, "label": True}, "kept": 24, "used": 24}
    voted = both("upvotes", 5, 0)
    voted = [{**row, "downvotes": 1 if row["upvotes"] else 4} for row in voted]
    voted.append({**voted[0], "upvotes": 2, "downvotes": 2})
    tie = {"no thumb up or down": 1}
    says = ["`upvotes` and `downvotes` are the votes for and against it: 12 up and 12 down"]
    case("votes_up_and_down.csv", voted, "thumbs", options=THREE, option="thumbs", says=says, left_out=tie, **kept)
    liked = [{**row, "dislikes": 3 - row["likes"]} for row in both("likes", 3, 0)]
    case("likes.parquet", liked, "thumbs", options=THREE, option="thumbs", **kept)
    made_up = both("hallucination", False, True)
    says = ["`hallucination` is a thumb for it, true being down"]
    inverted = {"options": other("inverted"), "option": "thumbs-inverted", "says": says}
    case("hallucinations.jsonl", made_up, "thumbs", **inverted, **kept)
    asked: Row = {"kept": 0, "used": 0}
    unsaid = {UNSAID: 24}
    harm = both("is_harmful", 0, 1)
    both_ways = {"options": [*other("inverted"), "all"], "says": ["so say which"]}
    case("harmful.csv", harm, "thumbs", kind="unpaired", left_out=unsaid, **both_ways, **asked)
    case("harmful_said.csv", harm, "thumbs", ask="pairs-inverted", first=PAIR, used=24, **both_ways | {"says": []})
    classes = both("label", 0, 1)
    either = {"options": [*THREE, *other("inverted")], "says": ["whether 1 is the good or the bad class"]}
    case("label_of_a_class.jsonl", classes, "thumbs", kind="unpaired", left_out=unsaid, **either, **asked)
    liked = {**either, "kind": "sft", "kept": ROWS, "used": ROWS, "left_out": {"a disliked answer": ROWS}}
    case("label_of_a_class_said.jsonl", classes, "thumbs", ask="liked-inverted", first=LESSON, **liked)
    signs = both("rating", 1, -1)
    signs.append({**signs[0], "rating": 0})
    signed = {"options": other("signed"), "option": "thumbs-signed", "says": ["0 neither"], "left_out": tie}
    case("ratings_of_one.jsonl", signs, "thumbs", **signed, **kept)
    middle = both("rating", 1, 0)
    either = {"options": [*THREE, *other("signed")], "says": ["say what 0 means"], "left_out": unsaid}
    case("ratings_without_minus.jsonl", middle, "thumbs", kind="unpaired", **either, **asked)
    # A Gradio app with its own buttons, and one with the one that is there by itself.
    words = both("flag", "Good", "Incorrect", timestamp="2026-01-01 10:00:00")
    case("flagged_in_words.csv", words, "thumbs", options=THREE, option="thumbs", **kept)
    some = both("flag", "", "look at this")
    flagged = {"options": [*other("flagged"), "all"], "says": ["if a flag means that the answer is bad"]}
    case("flagged.csv", some, "thumbs", kind="unpaired", left_out=unsaid, **flagged, **asked)
    liked = {**flagged, "kind": "sft", "kept": ROWS, "used": ROWS, "left_out": {"a disliked answer": ROWS}}
    case("flagged_said.csv", some, "thumbs", ask="liked-flagged", first=LESSON, **liked)
    every = both("flag", "", "")
    either = {"options": ["thumbs-down", "all"], "says": ["empty in all rows"]}
    case("flagged_without_a_word.csv", every, "thumbs", kind="unpaired", left_out=unsaid, **either, **asked)


def choices_otherwise() -> None:
    named = each(
        lambda q, g, b, s: {
            "prompt": q,
            "model_a": "m-1",
            "model_b": "m-2",
            "response_a": g,
            "response_b": b,
            "winner": "m-1",
        }
    )
    named = [
        {**row, "model_a": "m-2", "model_b": "m-1", "response_a": row["response_b"], "response_b": row["response_a"]}
        if i % 2 else row for i, row in enumerate(named)
    ]  # fmt: skip
    named += [{**named[0], "winner": "tie"}, {**named[0], "winner": "m-3"}, {**named[0], "model_b": "m-1"}]
    left_out = {NEITHER: 1, "a choice that names neither answer": 2}
    case("winner_by_model.jsonl", named, "choice-pairs", first=PAIR, says=["`winner`"], left_out=left_out)
    called = each(lambda q, g, b, s: {"prompt": q, "gpt_response": b, "llama_response": g, "winner": "llama"})
    called = swapped(called, "gpt_response", "llama_response", "winner", "GPT")
    case("columns_by_model.csv", called, "choice-pairs", first=PAIR)
    bare = each(lambda q, g, b, s: {"prompt": q, "gpt": b, "llama": g, "winner": "llama", "source": "ours"})
    case("columns_named_after_models.csv", swapped(bare, "gpt", "llama", "winner", "gpt"), "choice-pairs", first=PAIR)
    ranks = each(lambda q, g, b, s: {"prompt": q, "response_a": b, "response_b": g, "rank_a": 2, "rank_b": 1})
    says = ["the one with the lower rank"]
    case("two_ranks.jsonl", ranks, "choice-pairs", first=scored(-1.0, -2.0), says=says)
    # Ranks say that the first of (so-so, bad, good) is second, as an order they would make it the worst.
    listed = each(lambda q, g, b, s: {"prompt": q, "responses": [s, b, g], "ranking": [2, 3, 1]})
    by = [f"{option}-by-{how}" for how in ("rank", "order") for option in FOUR]
    case(
        "ranking_or_order.jsonl", listed, "scored-answers", kept=0, used=0, options=by,
        left_out={UNSAID_NUMBERS: ROWS}, says=["may be the rank of each answer"],
    )  # fmt: skip
    case(
        "ranking_said.jsonl", listed, "scored-answers", ask="best-worst-by-rank", first=scored(-1.0, -3.0), options=by,
    )  # fmt: skip
    ordered = each(lambda q, g, b, s: {"prompt": q, "responses": [s, b, g], "ranking": [2, 0, 1]})
    case("order_said.jsonl", ordered, "scored-answers", ask="best-worst-by-order", first=scored(0.0, -2.0), options=by)
    named_so = [
        {"order": row.pop("ranking"), **row}
        for row in each(lambda q, g, b, s: {"prompt": q, "responses": [s, b, g], "ranking": [3, 1, 2]})
    ]
    expected = {"options": FOUR, "option": "best-worst", "says": ["from the best to the worst"]}
    case("order.parquet", named_so, "scored-answers", first=scored(0.0, -2.0), **expected)

    def ultra(q: str, g: str, b: str, s: str) -> Row:
        marks = {aspect: {"Rating": "1"} for aspect in ("helpfulness", "honesty")}
        return {
            "instruction": q,
            "completions": [
                {"response": s, "overall_score": 6, "fine-grained_score": 3.5},
                {"response": g, "overall_score": 10, "fine-grained_score": 4.75},
                {"response": b, "overall_score": 10, "fine-grained_score": 1.0, "annotations": marks},
                {"response": b + " Really.", "overall_score": 2, "fine-grained_score": 1.5},
            ],
        }  # fmt: skip

    ten = each(ultra)
    note = {"an answer was skipped: overall_score 10 with fine-grained ratings of 2 or less": ROWS}
    first = scored(10.0, 2.0, {**PAIR, "rejected": [answer(BAD + " Really.")]})
    expected = {"options": FOUR, "option": "best-worst", "notes": note}
    case("ultrafeedback_tens.jsonl", ten, "scored-answers", first=first, **expected)


def beside_the_text() -> None:
    """Marks of the loss, tools, thoughts and media."""
    sft: Row = {"kind": "sft", "first": LESSON}
    marked = each(lambda q, g, b, s: {"messages": [user(q), {**answer(g), "loss": True}]})
    marked[0]["messages"] = [user("Hi"), {**answer("Hello"), "loss": False}, *ASKED, {**answer(GOOD), "loss": True}]
    marked.append({"messages": [user("?"), {**answer("Hm"), "loss": False}]})
    marked.append({"messages": [user("?"), {**answer("Hm"), "weight": 0}]})
    first = {**LESSON, "prompt": [user("Hi"), answer("Hello"), *ASKED]}
    case("messages_without_loss.jsonl", marked, "messages", kind="sft", first=first, left_out={NOT_TRAINED: 2})
    weighed = each(lambda q, g, b, s: {"prompt": q, "completion": g, "weight": 1.0})
    weighed += [{**weighed[0], "completion": BAD, "weight": 0.0}]
    case("rows_without_weight.csv", weighed, "prompt-completion", left_out={NOT_TRAINED: 1}, **sft)
    tools = each(
        lambda q, g, b, s: {
            "tools": [{"type": "function", "function": {"name": "look_up"}}],
            "messages": [user(q), answer(g)],
        }
    )
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    tools += [
        {
            "tools": [],
            "messages": [
                user("?"),
                {**answer(""), "tool_calls": [call]},
                {"role": "tool", "content": "3"},
                answer("3"),
            ],
        },
        {"tools": [], "messages": [user("?"), {"role": "assistant", "content": None, "tool_calls": [call]}]},
    ]
    case("tools.jsonl", tools, "messages", left_out={TOOL: 2}, notes={TOOLS_NOTE: ROWS}, **sft)
    thinking = each(lambda q, g, b, s: {"messages": [user(q), {**answer(g), "reasoning_content": "Hm."}]})
    thinking[1]["messages"][1]["content"] = [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": TALK[1][1]},
    ]
    thinking[2]["messages"][1].pop("reasoning_content")
    case("reasoning_content.jsonl", thinking, "messages", notes={THOUGHTS_NOTE: ROWS - 1}, **sft)
    beside = each(lambda q, g, b, s: {"question": q, "reasoning": "Hm.", "answer": g})
    case("reasoning_beside.csv", beside, "prompt-completion", notes={THOUGHTS_NOTE: ROWS}, **sft)
    seen = each(lambda q, g, b, s: {"messages": [user(q), answer(g)], "images": ["a.png"], "audios": []})
    parts = [{"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": "What is it?"}]
    seen.append({"messages": [{"role": "user", "content": parts}, answer("A cat.")], "images": ["a.png"], "audios": []})
    left_out = {"a picture, sound or video inside a message": 1}
    case("pictures.jsonl", seen, "messages", notes={MEDIA_NOTE: ROWS}, left_out=left_out, **sft)


def other_shapes() -> None:
    sft: Row = {"kind": "sft", "first": LESSON}
    parts = each(lambda q, g, b, s: {"messages": [
        {"role": "user", "content": [{"type": "text", "value": q}]},
        {"role": "assistant", "content": [{"type": "text", "text": {"value": g, "annotations": []}}]},
    ]})  # fmt: skip
    case("parts_with_value.jsonl", parts, "messages", **sft)
    lists = each(lambda q, g, b, s: {"prompt": q, "chosen": [g], "rejected": [b]})
    case("answers_in_lists.jsonl", lists, "text-pairs", first=PAIR, says=["text in lists or objects"])
    objects = each(
        lambda q, g, b, s: {"prompt": q, "chosen": {"text": g, "model": "m"}, "rejected": {"text": b, "model": "n"}}
    )
    case("answers_in_objects.jsonl", objects, "text-pairs", first=PAIR)
    one = each(lambda q, g, b, s: {"prompt": q, "response": {"text": g}})
    case("an_answer_in_an_object.jsonl", one, "prompt-completion", **sft)
    numbers = [{"prompt": f"{n} + {n}?", "chosen": 2 * n, "rejected": n} for n in range(1, 13)]
    first = {"prompt": [user("1 + 1?")], "chosen": [answer("2")], "rejected": [answer("1")]}
    case("answers_as_numbers.jsonl", numbers, "text-pairs", first=first, says=["as numbers"])
    sums = [{"question": f"{n} + {n}?", "answer": 2 * n} for n in range(1, 13)]
    first = {"prompt": [user("1 + 1?")], "completion": [answer("2")]}
    case("an_answer_as_number.jsonl", sums, "prompt-completion", kind="sft", first=first)
    talks = each(lambda q, g, b, s: {"system": "", "conversation": [{"human": q, "assistant": g}]})
    talks[0] = {
        "system": "Be brief.",
        "conversation": [{"human": "Hi", "assistant": "Hello"}, {"human": SKY, "assistant": GOOD}],
    }
    first = {**LESSON, "prompt": [system("Be brief."), user("Hi"), answer("Hello"), *ASKED]}
    says = ["a list of questions and answers (`human`, `assistant`)"]
    case("human_and_assistant.jsonl", talks, "exchanges", kind="sft", first=first, says=says)
    tuner = each(lambda q, g, b, s: {"conversation": [{"system": "Be brief.", "input": q, "output": g}]})
    first = {**LESSON, "prompt": [system("Be brief."), *ASKED]}
    case("input_and_output.json", tuner, "exchanges", kind="sft", first=first)
    case("human_beside_assistant.csv", each(lambda q, g, b, s: {"human": q, "assistant": g}), "exchanges", **sft)
    empty = each(lambda q, g, b, s: {"instruction": "", "input": q, "output": g})
    case("empty_instruction.json", empty, "alpaca", **sft)


def exports() -> None:
    def said(role: str, text: str) -> Row:
        return {"role": role, "parts": [{"text": text}]}

    gemini = each(lambda q, g, b, s: {"contents": [said("user", q), said("model", g)]})
    gemini[0]["systemInstruction"] = {"role": "system", "parts": [{"text": "Be brief."}]}
    gemini.append(
        {"contents": [said("user", "?"), {"role": "model", "parts": [{"functionCall": {"name": "look_up"}}]}]}
    )
    gemini.append(
        {"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": "a.png"}}]}, said("model", "A cat.")]}
    )
    first = {**LESSON, "prompt": [system("Be brief."), *ASKED]}
    left_out = {TOOL: 1, "a picture, sound or video inside a message": 1}
    case("gemini.jsonl", gemini, "gemini", kind="sft", first=first, left_out=left_out, says=["Gemini"])
    tuned = each(
        lambda q, g, b, s: {
            "contents": [said("user", q)],
            "completions": [
                {"score": 0.0, "completion": said("model", b)},
                {"score": 1.0, "completion": said("model", g)},
            ],
        }
    )
    tuned.append({**tuned[0], "completions": tuned[0]["completions"][:1]})
    left_out = {"fewer than two answers with a score": 1}
    case("gemini_pairs.jsonl", tuned, "gemini-pairs", first=scored(1.0, 0.0), left_out=left_out)
    each_or_last: Row = {"kind": "sft", "options": ["each", "last"], "first": LESSON}
    pairs = [["<|BEGIN-VISIBLE-CHAT|>", "How can I help?"], *([q, g] for q, g, *_ in TALK)]
    chat = {"internal": pairs, "visible": pairs, "metadata": {}}
    greeted = {"a greeting before the first question was left out": 1}
    webui: Row = {**each_or_last, "used": 1, "text": json.dumps(chat, indent=4), "says": ["text-generation-webui"]}
    case("webui.json", [chat], "webui-chat", option="each", notes=greeted, **webui)
    tavern = [{"user_name": "Ada", "character_name": "Bo", "create_date": "2026-01-01", "chat_metadata": {}}]
    tavern += [{"name": "Bo", "is_user": False, "is_system": False, "mes": "Welcome!"}]
    for q, g, *_ in TALK:
        tavern.append({"name": "Ada", "is_user": True, "is_system": False, "mes": q, "send_date": "2026-01-01"})
        tavern.append({"name": "Bo", "is_user": False, "is_system": False, "mes": g, "swipes": [g], "swipe_id": 0})
    tavern[5]["extra"] = {"reasoning": "Hm."}
    tavern.insert(4, {"name": "System", "is_user": False, "is_system": True, "mes": "A note."})
    tavern.append({"name": "Ada", "is_user": True, "is_system": False, "mes": "Still there?"})
    left_out = {
        "the head of a chat, which is no message": 1, "the conversation begins with the assistant": 1,
        "a message that was hidden from the model": 1, "no assistant answer at the end": 1,
    }  # fmt: skip
    noted = {THOUGHTS_NOTE: 1}
    expected = {"used": 24, "left_out": left_out, "notes": noted, "option": "each"}
    case("sillytavern.jsonl", tavern, "sillytavern", **expected, **each_or_last)
    chats = each(chatgpt)
    picture = chats[1]["mapping"]["u"]["message"]["content"]
    picture |= {
        "content_type": "multimodal_text",
        "parts": [{"content_type": "image_asset_pointer"}, *picture["parts"]],
    }
    chats.append(
        {
            "title": "Empty",
            "current_node": "root",
            "mapping": {"root": {"id": "root", "message": None, "parent": None, "children": []}},
        }
    )
    left_out = {"no assistant answer at the end": 1}
    expected = {"left_out": left_out, "notes": {MEDIA_NOTE: 1}, "says": ["the branch shown last"]}
    case("chatgpt.json", chats, "chatgpt-export", option="each", **expected, **each_or_last)


def chatgpt(q: str, g: str, b: str, s: str) -> Row:
    """A conversation of the export: the answer was asked for twice, and the second one is shown."""

    def node(id: str, parent: str | None, children: list[str], role: str = "", text: str = "", **metadata: Any) -> Row:
        content = {"content_type": "text", "parts": [text]}
        said = {"id": id, "author": {"role": role}, "content": content, "metadata": metadata, "recipient": "all"}
        return {"id": id, "message": said if role else None, "parent": parent, "children": children}

    nodes = (
        node("root", None, ["hidden"]),
        node("hidden", "root", ["u"], "system", "", is_visually_hidden_from_conversation=True),
        node("u", "hidden", ["first", "second"], "user", q),
        node("first", "u", [], "assistant", b),
        node("second", "u", [], "assistant", g),
    )
    return {
        "title": q[:9],
        "create_time": 1.7e9,
        "current_node": "second",
        "mapping": {one["id"]: one for one in nodes},
    }


RATED_CHAT = "a rating without the chat that it is of"
WEBUI = ["thumbs", "pairs", "liked"]


def webui_rating(
    number: int, rating: Any, rated: str, others: list[str], asked: str = "", before: list[str] | None = None
) -> Row:
    """As Open WebUI exports it: the chat by ids, where the other answers to the question have the same parent."""
    earlier = before or []
    path = [*earlier, asked or TALK[number][0]]
    said: Row = {}
    parent = None
    for at, text in enumerate(path):
        role = "assistant" if at % 2 else "user"
        said[f"m{at}"] = {
            "id": f"m{at}",
            "parentId": parent,
            "childrenIds": [f"m{at + 1}"],
            "role": role,
            "content": text,
        }
        parent = f"m{at}"
    answers = {f"a{at}": text for at, text in enumerate([rated, *others])}
    said[parent]["childrenIds"] = list(answers)
    for id, text in answers.items():
        said[id] = {
            "id": id, "parentId": parent, "childrenIds": [], "role": "assistant", "content": text, "model": f"model-{id}",
            "done": True,
        }  # fmt: skip
    data = {"rating": rating, "model_id": "model-a0", "reason": "", "comment": "", "tags": ["General"]}
    data |= {"sibling_model_ids": [f"model-a{at + 1}" for at in range(len(others))]} if others else {}
    chat = {"title": "A chat", "models": ["model-a0"], "history": {"messages": said, "currentId": "a0"}}
    return {
        "id": f"feedback-{number}", "user_id": "u", "version": 0, "type": "rating", "data": data,
        "meta": {"arena": False, "model_id": "model-a0", "message_id": "a0", "message_index": 2, "chat_id": f"chat-{number}"},
        "snapshot": {"chat": {"id": f"chat-{number}", "user_id": "u", "title": "A chat", "chat": chat}},
        "created_at": 1763000000 + number, "updated_at": 1763000000 + number,
    }  # fmt: skip


def feedback() -> None:
    """What people thought of answers in other programs. The rows are made up, in the form that the programs write."""
    numbers = range(ROWS)
    up = [webui_rating(n, 1, TALK[n][1], [TALK[n][2]]) for n in numbers]
    down = [webui_rating(n, -1, TALK[n][2], [TALK[n][1]]) for n in numbers]
    every_second = [(up, down)[n % 2][n] for n in numbers]
    case(
        "open_webui_feedback.json", every_second, "open-webui-feedback", first=PAIR, options=WEBUI, option="pairs",
        says=["6 up and 6 down", "12 of them beside other answers"],
    )  # fmt: skip
    thumbs: Row = {"kind": "unpaired", "first": {**LESSON, "label": True}, "options": WEBUI}
    alone = [webui_rating(n, "1" if n % 2 == 0 else -1, TALK[n][1 + n % 2], []) for n in numbers]
    unrated = webui_rating(0, None, GOOD, [])
    bare = {**alone[0], "snapshot": None}
    tool = webui_rating(0, 1, f'<details type="tool_calls" done="true">look</details>\n{GOOD}', [])
    out = {"no thumb up or down": 1, RATED_CHAT: 1, TOOL: 1}
    case(
        "open_webui_thumbs.json", [*alone, unrated, bare, tool], "open-webui-feedback", option="thumbs", left_out=out,
        says=["0 of them beside"], **thumbs,
    )  # fmt: skip
    # A thought is folded away in a block, and what was said before belongs to the prompt.
    thought = webui_rating(
        0, 1, f'<details type="reasoning" done="true">\n> Hm.\n</details>\n{GOOD}', [], before=["Hi", "Hello"]
    )
    first = {"prompt": [user("Hi"), answer("Hello"), *ASKED], "completion": [answer(GOOD)]}
    disliked = [webui_rating(n, -1, TALK[n][2], []) for n in numbers]
    case(
        "open_webui_liked.jsonl", [thought, *disliked], "open-webui-feedback", ask="liked", kind="sft", first=first,
        options=WEBUI, kept=1, used=1, left_out={"a disliked answer": ROWS}, notes={THOUGHTS_NOTE: 1},
    )  # fmt: skip
    # Of two ratings of answers to one question both are used in one pair; a rating alone makes none.
    two = [up[0], {**webui_rating(0, -1, GOOD, [BAD]), "meta": {**up[0]["meta"], "message_id": "a1"}}]
    two[1]["snapshot"] = up[0]["snapshot"]
    case(
        "open_webui_both_rated.json", [*two, *up[1:4], alone[4]], "open-webui-feedback", first=PAIR, options=WEBUI,
        option="pairs", kept=4, used=5, left_out={"the only answer to its prompt": 1},
    )  # fmt: skip

    def chat(number: int, text: str, rating: str) -> Row:
        return {
            "id": number, "prompt": TALK[number // 2][0], "response": text, "sent_at": "2026-01-01T10:00:00.000Z",
            "attachments": [], "workspace": "Ours", "username": "unknown user", "rating": rating,
        }  # fmt: skip

    rows = [
        chat(2 * n + place, text, rating)
        for n, talk in enumerate(TALK)
        for place, (text, rating) in enumerate(((talk[1], "GOOD"), (talk[2], "BAD")))
    ]
    # Most answers have no thumb.
    unsaid = [chat(2 * n, TALK[n][3], "--") for n in numbers] * 3
    says = ["12 up, 12 down and 36 without one", "answers that were made anew are not in the export"]
    out = {"no thumb up or down": 3 * ROWS}
    kept: Row = {"kind": "unpaired", "first": {**LESSON, "label": True}, "kept": 24, "used": 24}
    case(
        "anythingllm.json",
        [*rows, *unsaid],
        "anythingllm",
        options=THREE,
        option="thumbs",
        says=says,
        left_out=out,
        **kept,
    )
    table = [{name: value for name, value in row.items() if name != "attachments"} for row in [*rows, *unsaid]]
    case("anythingllm.csv", table, "anythingllm", ask="pairs", first=PAIR, options=THREE, used=24, left_out=out)
    only = [row for row in rows if row["rating"] == "GOOD"]
    seen = {**only[0], "attachments": [{"type": "image", "image": "data:image/png;base64,AA=="}]}
    first_liked: Row = {"kind": "unpaired", "first": {**LESSON, "label": True}, "kept": 13, "used": 13}
    case(
        "anythingllm_liked_only.json", [*only, seen], "anythingllm", options=THREE, option="thumbs",
        notes={MEDIA_NOTE: 1}, **first_liked,
    )  # fmt: skip


def tables_of_pandas() -> None:
    """What df.to_json writes without and with `orient`."""
    rows = each(lambda q, g, b, s: {"prompt": q, "chosen": g, "rejected": b})
    names = list(rows[0])
    columns = {name: {str(i): row[name] for i, row in enumerate(rows)} for name in names}
    cells = [list(row.values()) for row in rows]
    table = {"schema": {"fields": [{"name": name, "type": "string"} for name in names]}, "data": rows}
    made: dict[str, Any] = {
        "columns": columns, "index": {str(i): row for i, row in enumerate(rows)}, "table": table,
        "split": {"columns": names, "index": list(range(ROWS)), "data": cells},
    }  # fmt: skip
    for orient, value in made.items():
        text = json.dumps(value, ensure_ascii=False, indent=1 if orient == "columns" else None)
        case(f"pandas_{orient}.json", rows, "text-pairs", first=PAIR, text=text)
    numbered = [{f"column {at}": cell for at, cell in enumerate(row, 1)} for row in cells]
    text = json.dumps(cells, ensure_ascii=False)
    case("pandas_values.json", numbered, unknown=True, kept=0, used=0, text=text)


def turns_and_columns() -> None:
    """What stands in other columns and belongs to the prompt, and texts that are conversations or only look so."""
    opener = [user("Hi"), answer("Hello")]
    behind = {"prompt": [*opener, *ASKED]}
    before = {**PAIR, **behind}
    rows = each(lambda q, g, b, s: {"prompt": q, "chat_history": [["Hi", "Hello"]], "chosen": g, "rejected": b})
    says = ["`chat_history` holds the turns before the prompt"]
    case("history_beside_pairs.jsonl", rows, "text-pairs", first=before, says=says)
    rows = each(lambda q, g, b, s: {"prompt": q, "context": opener, "chosen": g, "rejected": b})
    case(
        "context_of_messages_beside_pairs.parquet", rows, "text-pairs", first=before, says=["`context` holds the turns"]
    )
    rows = [
        {"prompt": q, "history": opener, "completion": text, "label": text == g}
        for q, g, b, s in TALK
        for text in (g, b)
    ]
    first = {**LESSON, **behind, "label": True}
    counts = {"kept": 24, "used": 24, "options": THREE, "option": "thumbs"}
    case("history_beside_thumbs.jsonl", rows, "thumbs", kind="unpaired", first=first, **counts)
    rows = each(lambda q, g, b, s: {"prompt": q, "history": opener, "responses": [b, g], "scores": [1, 3]})
    case(
        "history_beside_scores.jsonl", rows, "scored-answers", first=scored(3.0, 1.0, before), options=FOUR, option="best-worst",
    )  # fmt: skip
    rows = each(lambda q, g, b, s: {"prompt": q, "context": opener, "response_a": g, "response_b": b, "winner": "a"})
    rows = swapped(rows, "response_a", "response_b", "winner", "b")
    case("context_of_messages_beside_choices.jsonl", rows, "choice-pairs", first=before)
    # The conversation says prompt and answer again, so that only its first two turns are news.
    rows = each(lambda q, g, b, s: {"prompt": q, "messages": [*opener, user(q), answer(g)], "chosen": g, "rejected": b})
    case("conversation_beside_prompt.jsonl", rows, "text-pairs", first=before, says=["`messages` holds the turns"])
    parts = [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]
    rows = each(lambda q, g, b, s: {"system": parts, "prompt": q, "chosen": g, "rejected": b})
    case("system_in_parts.jsonl", rows, "text-pairs", first={**PAIR, "prompt": [system("Be\nbrief."), *ASKED]})
    rows = each(
        lambda q, g, b, s: {
            "system": "Be brief.",
            **{part: f"\n\nHuman: {q}\n\nAssistant: {text}" for part, text in (("chosen", g), ("rejected", b))},
        }
    )
    case("system_beside_dialogues.jsonl", rows, "dialogue-pairs", first=BRIEF, says=["`system` is the system message"])
    rows = each(lambda q, g, b, s: {"prompt": q, "document": "The sky.", "chosen": g, "rejected": b})
    below = {"prompt": [user(f"{SKY}\n\nThe sky.")]}
    case("prompt_with_document.jsonl", rows, "text-pairs", first={**PAIR, **below}, says=["sometimes with `document`"])
    rows = each(lambda q, g, b, s: {"question": q, "context": "The sky.", "answer": g, "label": True})
    first = {**LESSON, **below, "label": True}
    counts = {"kind": "unpaired", "options": THREE, "option": "thumbs"}
    case("question_with_context_and_thumb.jsonl", rows, "thumbs", first=first, says=["`context` goes below"], **counts)
    rows = each(lambda q, g, b, s: {"instruction": "Answer a child.", "question": q, "output": g})
    first = {**LESSON, "prompt": [user(f"Answer a child.\n\n{SKY}")]}
    case("instruction_with_question.json", rows, "alpaca", kind="sft", first=first)
    rows = each(
        lambda q, g, b, s: {"prompt": "Write an FAQ.", "chosen": f"Q: {q}\nA: {g}", "rejected": f"Q: {q}\nA: {b}"}
    )
    faq = {"chosen": [answer(f"Q: {SKY}\nA: {GOOD}")], "rejected": [answer(f"Q: {SKY}\nA: {BAD}")]}
    case("answers_that_are_faqs.jsonl", rows, "text-pairs", first={"prompt": [user("Write an FAQ.")], **faq})

    def talks(file: str, write: Callable[[str, str], str], first: Row = PAIR) -> None:
        rows = each(lambda q, g, b, s: {"chosen": write(q, g), "rejected": write(q, b)})
        case(file, rows, "dialogue-pairs", first=first)

    talks("dialogues_with_a_system_line.jsonl", lambda q, a: f"System: Be brief.\nUser: {q}\nAssistant: {a}", BRIEF)
    talks("dialogues_of_vicuna.jsonl", lambda q, a: f"Be brief. USER: {q} ASSISTANT: {a}</s>", BRIEF)
    talks("dialogues_in_single_lines.jsonl", lambda q, a: f"Human: {q}\nAssistant: {a}")
    rows = each(
        lambda q, g, b, s: {
            "prompt": f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n",
            "chosen": g, "rejected": b,
        }
    )  # fmt: skip
    case("prompt_in_chatml.jsonl", rows, "text-pairs", first=BRIEF)


def write(file: Path, rows: list[Row]) -> None:
    kind = file.name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[-1]
    columns = dict.fromkeys(column for row in rows for column in row)
    if kind == "parquet":
        pq.write_table(pa.table({column: [row.get(column) for row in rows] for column in columns}), file)
    elif kind == "arrow":
        arrow = pa.table({column: [row.get(column) for row in rows] for column in columns})
        with pa.ipc.new_stream(file, arrow.schema) as out:
            out.write_table(arrow)
    elif kind in ("csv", "tsv"):
        with open(file, "w", encoding="utf-8", newline="") as out:
            table = csv.DictWriter(out, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = "[\n" + ",\n".join(lines) + "\n]\n" if kind == "json" else "".join(f"{line}\n" for line in lines)
        data = text.encode()
        # Without a time in the header, so that the same rows are the same bytes.
        packed = {".gz": gzip.compress(data, mtime=0), ".zst": pa.compress(data, "zstd", asbytes=True)}
        file.write_bytes(packed.get(file.suffix, data))


def main() -> None:
    for add in (
        text_pairs,
        message_pairs,
        dialogues,
        sharegpt_pairs,
        scored_answers,
        choices,
        trees,
        thumbs,
        lessons,
        strangers,
        rejected_beside,
        thumbs_otherwise,
        choices_otherwise,
        beside_the_text,
        other_shapes,
        exports,
        feedback,
        tables_of_pandas,
        turns_and_columns,
    ):
        add()
    for old in FOLDER.iterdir():
        if old.suffix not in (".py", "") and old.name != "expected.json":
            old.unlink()
    expected = {}
    for one in CASES:
        write(FOLDER / one.file, one.rows) if not one.text else (FOLDER / one.file).write_text(
            one.text, encoding="utf-8"
        )
        facts = asdict(one)
        del facts["file"], facts["rows"], facts["text"]
        expected[one.file] = facts | {"read": len(one.rows)}
    assert len(expected) == len(CASES)
    lines = [f"{json.dumps(file)}: {json.dumps(facts, ensure_ascii=False)}" for file, facts in expected.items()]
    (FOLDER / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{len(expected)} files")


if __name__ == "__main__":
    main()
