"""Raw rows of each known format become one canonical row, or are left out for a reason that is counted."""

import ast
import contextlib
import json
import random
import time
from pathlib import Path

import pytest

import workbench.core
from workbench.core.data.formats import (
    FORMATS,
    Columns,
    ReadOptions,
    by_hand,
    check_columns,
    convert,
    gather,
    recognise,
)
from workbench.core.data.formats.transcripts import transcript
from workbench.core.data.messages import REASONS, LeftOut, dialogue, prompt_key, read_messages, shared_turns
from workbench.core.data.split import prompt_digest, sides
from workbench.core.errors import WorkbenchError


def user(text):
    return {"role": "user", "content": text}


def answer(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


QUESTION = [user("Why is the sky blue?")]
GOOD, BAD = [answer("It scatters blue light.")], [answer("No idea.")]
PAIR = {"prompt": QUESTION, "chosen": GOOD, "rejected": BAD}
LESSON = {"prompt": QUESTION, "completion": GOOD}
SKY, SCATTERS, NO_IDEA = QUESTION[0]["content"], GOOD[0]["content"], BAD[0]["content"]

GUISES = {
    "prompt, chosen and rejected as text": (
        {"prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA},
        "text-pairs",
        PAIR,
    ),
    "text with white space around it": (
        {"prompt": f"{SKY}\n", "chosen": f" {SCATTERS}", "rejected": f"{NO_IDEA} "},
        "text-pairs",
        PAIR,
    ),
    "question with an empty system (orca)": (
        {"system": "", "question": SKY, "chosen": SCATTERS, "rejected": NO_IDEA},
        "text-pairs",
        PAIR,
    ),
    "prompt with a system (truthy)": (
        {"system": "Be brief.", "prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA},
        "text-pairs",
        {**PAIR, "prompt": [system("Be brief."), *QUESTION]},
    ),
    "instruction with chosen_response and rejected_response": (
        {"instruction": SKY, "chosen_response": SCATTERS, "rejected_response": NO_IDEA},
        "text-pairs",
        PAIR,
    ),
    "a dialogue as prompt that ends where the answer goes": (
        {"prompt": f"\n\nHuman: {SKY}\n\nAssistant:", "chosen": f" {SCATTERS}", "rejected": NO_IDEA},
        "text-pairs",
        PAIR,
    ),
    "messages with the prompt inside both": (
        {"chosen": QUESTION + GOOD, "rejected": QUESTION + BAD},
        "message-pairs",
        PAIR,
    ),
    "messages with the prompt inside both and as text beside them (ultrafeedback_binarized)": (
        {
            "prompt": SKY,
            "prompt_id": "1",
            "chosen": QUESTION + GOOD,
            "rejected": QUESTION + BAD,
            "messages": QUESTION + GOOD,
        },
        "message-pairs",
        PAIR,
    ),
    "messages with the prompt as text beside them": (
        {"prompt": SKY, "chosen": GOOD, "rejected": BAD},
        "message-pairs",
        PAIR,
    ),
    "messages with the prompt as messages beside them": (
        {"prompt": QUESTION, "chosen": GOOD, "rejected": BAD},
        "message-pairs",
        PAIR,
    ),
    "a prompt beside that says more than the one inside": (
        {"prompt": [system("Be brief."), *QUESTION], "chosen": QUESTION + GOOD, "rejected": QUESTION + BAD},
        "message-pairs",
        {**PAIR, "prompt": [system("Be brief."), *QUESTION]},
    ),
    "messages with an empty system message": (
        {"chosen": [system(""), *QUESTION, *GOOD], "rejected": [system(""), *QUESTION, *BAD]},
        "message-pairs",
        PAIR,
    ),
    "a dialogue of one turn (hh-rlhf)": (
        {
            "chosen": f"\n\nHuman: {SKY}\n\nAssistant: {SCATTERS}",
            "rejected": f"\n\nHuman: {SKY}\n\nAssistant: {NO_IDEA}",
        },
        "dialogue-pairs",
        PAIR,
    ),
    "a dialogue of two turns (hh-rlhf)": (
        {
            "chosen": f"\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: {SKY}\n\nAssistant: {SCATTERS}",
            "rejected": f"\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: {SKY}\n\nAssistant: {NO_IDEA}",
        },
        "dialogue-pairs",
        {**PAIR, "prompt": [user("Hi"), answer("Hello"), *QUESTION]},
    ),
    "SFT messages": ({"messages": QUESTION + GOOD}, "messages", LESSON),
    "SFT messages of several turns": (
        {"messages": [user("Hi"), answer("Hello"), *QUESTION, *GOOD]},
        "messages",
        {**LESSON, "prompt": [user("Hi"), answer("Hello"), *QUESTION]},
    ),
    "prompt and completion as text": ({"prompt": SKY, "completion": SCATTERS}, "prompt-completion", LESSON),
    "prompt and completion as messages": ({"prompt": QUESTION, "completion": GOOD}, "prompt-completion", LESSON),
    "Alpaca without an input": ({"instruction": SKY, "input": "", "output": SCATTERS}, "alpaca", LESSON),
    "Alpaca with an input": (
        {"instruction": "Translate.", "input": "ciel", "output": "sky"},
        "alpaca",
        {"prompt": [user("Translate.\n\nciel")], "completion": [answer("sky")]},
    ),
}


@pytest.mark.parametrize("guise", GUISES)
def test_each_guise_is_recognised_and_becomes_the_canonical_row(guise):
    row, format, canonical = GUISES[guise]
    found = recognise([row])
    assert found.format == format
    assert found.kind == ("preference" if "chosen" in canonical else "sft")
    assert convert(row, found).rows == [canonical]


def test_the_evidence_says_what_was_seen():
    """[user, assistant, user] are the same in both, then the answers differ: 3 shared."""
    before = [user("Hi"), answer("Hello"), *QUESTION]
    found = recognise([{"chosen": before + GOOD, "rejected": before + BAD}])
    assert found.evidence == "`chosen` and `rejected` are lists of messages that share their first 3 turns."


def test_a_few_broken_rows_do_not_hide_the_format():
    good = {"prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA}
    assert recognise([good, good, {**good, "rejected": None}]).format == "text-pairs"


def test_what_most_rows_are_wins():
    pair = {"prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA}
    lesson = {"messages": QUESTION + GOOD}
    assert recognise([pair, lesson, lesson]).format == "messages"


@pytest.mark.parametrize(
    "rows", [[], [{}], [{"a": "b"}], [{"chosen": "x", "rejected": "y"}], [{"prompt": SKY, "chosen": "x"}]]
)
def test_unknown_rows_are_not_guessed_at(rows):
    assert recognise(rows) is None


TEXTS = Columns(prompt="prompt", chosen="chosen", rejected="rejected")
WHOLE = Columns(chosen="chosen", rejected="rejected")
TWICE = [*QUESTION, *QUESTION]
REFUSED = [
    ({"prompt": SKY, "chosen": SCATTERS, "rejected": " "}, TEXTS, "empty rejected answer"),
    ({"prompt": SKY, "chosen": None, "rejected": NO_IDEA}, TEXTS, "empty chosen answer"),
    ({"prompt": " ", "chosen": SCATTERS, "rejected": NO_IDEA}, TEXTS, "empty prompt"),
    ({"chosen": SCATTERS, "rejected": NO_IDEA}, TEXTS, "empty prompt"),
    ({"prompt": SKY, "chosen": SCATTERS, "rejected": f"{SCATTERS}\n"}, TEXTS, "chosen and rejected are identical"),
    ({"prompt": SKY, "chosen": 7, "rejected": NO_IDEA}, TEXTS, "not text"),
    ({"prompt": SKY, "chosen": [user(SKY)], "rejected": BAD}, TEXTS, "no assistant answer at the end"),
    ({"prompt": SKY, "chosen": [answer("")], "rejected": BAD}, TEXTS, "empty chosen answer"),
    (
        {"prompt": "Another question", "chosen": QUESTION + GOOD, "rejected": QUESTION + BAD},
        TEXTS, "the prompt column and the prompt inside the answers differ",
    ),
    (
        {"chosen": [user("a"), *GOOD], "rejected": [user("b"), *BAD]},
        WHOLE, "the conversations differ before the last answer",
    ),
    ({"chosen": TWICE + GOOD, "rejected": TWICE + BAD}, WHOLE, "two messages in a row from the same role"),
    (
        {"chosen": [*QUESTION, system("x"), *GOOD], "rejected": [*QUESTION, system("x"), *BAD]},
        WHOLE, "a system message that is not the first",
    ),
    (
        {"chosen": [{"role": "tool", "content": "x"}, *GOOD], "rejected": GOOD},
        WHOLE, "a tool call, or what a tool answered",
    ),
    ({"chosen": "x", "rejected": "y"}, WHOLE, "no prompt: the text is not a dialogue of Human and Assistant"),
    ({"chosen": QUESTION + GOOD + BAD, "rejected": QUESTION + GOOD + GOOD}, WHOLE, "the prompt does not end with a user message"),
    ({"messages": QUESTION}, Columns(messages="messages"), "no assistant answer at the end"),
    ({"messages": "hello"}, Columns(messages="messages"), "no prompt: the text is not a dialogue of Human and Assistant"),
    ({"messages": GOOD}, Columns(messages="messages"), "empty prompt"),
    ({"messages": [user(["a picture"]), *GOOD]}, Columns(messages="messages"), "not text"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "columns", "reason"), REFUSED)
def test_a_row_without_a_signal_is_left_out_for_a_reason(row, columns, reason):
    with pytest.raises(LeftOut) as out:
        convert(row, by_hand(columns))
    assert out.value.reason.partition(" (")[0] == reason


def test_columns_named_by_hand_work_like_a_format():
    mapping = Columns(prompt="q", chosen="better", rejected="worse", system="role")
    row = {"q": SKY, "better": SCATTERS, "worse": NO_IDEA, "role": "Be brief."}
    assert convert(row, by_hand(mapping)).rows == [{**PAIR, "prompt": [system("Be brief."), *QUESTION]}]
    assert convert({"q": SKY, "a": SCATTERS}, by_hand(Columns(prompt="q", completion="a"))).rows == [LESSON]


def test_a_mapping_that_cannot_work_is_refused_with_every_reason():
    with pytest.raises(WorkbenchError) as refused:
        check_columns(Columns(prompt="q", chosen="good"), ["question", "good"])
    assert refused.value.problems == (
        "There is no column 'q' for the prompt. The file has: question, good.",
        "No column is named for the rejected answer. A preference needs both, chosen and rejected.",
    )
    with pytest.raises(WorkbenchError, match="both 'good'"):
        check_columns(Columns(prompt="q", chosen="good", rejected="good"), ["q", "good"])
    with pytest.raises(WorkbenchError, match="No column is named for the answers"):
        check_columns(Columns(prompt="q"), ["q"])
    check_columns(Columns(prompt="q", completion="a"), ["q", "a"])


def test_a_thumb_named_by_hand_makes_unpaired_rows():
    mapping = Columns(prompt="q", completion="a", label="ok")
    check_columns(mapping, ["q", "a", "ok"])
    assert by_hand(mapping).kind == "unpaired"
    row = {"q": SKY, "a": SCATTERS, "ok": "no"}
    assert convert(row, by_hand(mapping)).rows == [{**LESSON, "label": False}]


def test_a_reason_that_the_doctor_does_not_know_cannot_be_raised():
    assert set(REASONS.values()) == {"identical", "empty", "roles", "score_gap", "unusable", "tools", "media"}
    with pytest.raises(AssertionError):
        LeftOut("something else")


def test_every_reason_in_the_code_is_one_that_the_doctor_knows():
    core = Path(workbench.core.__file__).parent
    trees = [
        ast.parse(file.read_text(encoding="utf-8"))
        for file in [core / "data/messages.py", *core.glob("data/formats/*.py")]
    ]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [
        node.args[0].value
        for node in calls
        if ast.unparse(node.func) == "LeftOut" and isinstance(node.args[0], ast.Constant)
    ]
    assert len(raised) > 20
    assert set(raised) <= set(REASONS)
    texts = {node.value for tree in trees[1:] for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    texts |= {*raised, "empty answer", "empty chosen answer", "empty rejected answer"}
    assert set(REASONS) <= texts


@pytest.mark.parametrize("id", [format.id for format in FORMATS])
def test_a_format_that_does_not_fit_is_refused_with_what_it_needs(id):
    with pytest.raises(WorkbenchError) as refused:
        recognise([{"url": "a", "width": 3}], ReadOptions(format=id))
    assert id in str(refused.value) and "url, width" in str(refused.value) and "by hand" in str(refused.value)


def test_a_format_can_be_chosen_instead_of_the_one_that_is_recognised():
    row = {"prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA, "messages": QUESTION + GOOD, "response": "Light."}
    assert recognise([row]).format == "text-pairs"
    thumb = {"prompt": SKY, "completion": SCATTERS, "label": 1}
    assert recognise([thumb]).format == "thumbs"
    assert recognise([thumb], ReadOptions(format="prompt-completion")).kind == "sft"
    with pytest.raises(WorkbenchError, match="no format 'csv'"):
        recognise([row], ReadOptions(format="csv"))
    with pytest.raises(WorkbenchError, match="has none"):
        recognise([row], ReadOptions(option="all"))
    with pytest.raises(WorkbenchError, match="thumbs, pairs, liked"):
        recognise([thumb], ReadOptions(option="best"))


FOUR = {"prompt": SKY, "responses": ["a", "b", "c", "d"], "scores": [3, 9, 1, 9]}


def texts(option, row=FOUR, seed=17):
    pairs = convert(row, recognise([row], ReadOptions(option=option)), seed).rows
    return [pair["chosen"][0]["content"] + pair["rejected"][0]["content"] for pair in pairs]


def test_which_two_of_several_answers_become_the_pair_is_an_option():
    """b and d share the best score, so of the 6 pairs they are none, and the next below b is a."""
    assert texts("best-worst") == ["bc"]
    assert texts("best-second") == ["ba"]
    assert texts("all") == ["ba", "bc", "da", "dc", "ac"]
    drawn = {texts("best-random", seed=seed)[0] for seed in range(20)}
    assert drawn == {"ba", "bc"}
    assert all(texts("best-random", seed=seed) == texts("best-random", seed=seed) for seed in range(5))


def test_more_answers_than_all_pairs_can_be_made_of_are_left_out():
    many = {"prompt": SKY, "responses": [str(i) for i in range(51)], "scores": list(range(51))}
    assert texts("best-worst", many) == ["500"]
    with pytest.raises(LeftOut, match="more than 50 answers"):
        texts("all", many)


def test_a_scale_is_not_a_thumb_even_where_most_rows_have_its_lowest_step():
    """The last of 10 answers has 5 of 5 points, so the others' 1 is no thumb up."""
    rows = [{"prompt": f"{SKY} {i}", "response": SCATTERS, "rating": 1} for i in range(9)] + [
        {"prompt": SKY, "response": NO_IDEA, "rating": 5}
    ]
    assert recognise(rows).format == "prompt-completion"
    assert recognise(rows[:9]).format == "prompt-completion"
    assert "`rating` is not used" in recognise(rows).evidence


def labelled(values, **more):
    return [{"prompt": SKY, "response_a": SCATTERS, "response_b": NO_IDEA, "label": value, **more} for value in values]


@pytest.mark.parametrize(
    ("values", "options", "taken"),
    [
        ([0, 1], ["index", "one-first"], ""),
        ([1, 1], ["index", "one-first", "ordinal"], ""),
        ([True, False], ["index", "one-first"], ""),
        ([1, 2], ["ordinal"], "ordinal"),
        (["1", "2"], ["ordinal"], "ordinal"),
        ([0, 1, 2], ["ordinal-or-tie", "index-or-tie"], ""),
        ([-1, 0, 1], ["negative-first", "positive-first"], ""),
        (["a", "b"], [], ""),
    ],
)
def test_numbers_mean_an_answer_only_where_nothing_else_is_possible(values, options, taken):
    found = recognise(labelled(values))
    assert ([option.id for option in found.options], found.option) == (options, taken)
    if options and not taken:
        with pytest.raises(LeftOut, match="nobody has said"):
            convert(labelled(values)[0], found)


def test_what_a_person_says_of_the_numbers_decides():
    """1 on the first answer: by "one-first" it is chosen, by "index" the second is."""
    row = labelled([1])[0]
    assert convert(row, recognise(labelled([0, 1]), ReadOptions(option="one-first"))).rows == [PAIR]
    other = {**PAIR, "chosen": BAD, "rejected": GOOD}
    assert convert(row, recognise(labelled([0, 1]), ReadOptions(option="index"))).rows == [other]


def test_scores_that_contradict_the_names_of_the_columns_decide_nothing():
    """In SHP 1 means the first answer, but in these 10 rows the second has the higher score."""
    rows = [{"history": SKY, "human_ref_A": "a", "human_ref_B": "b", "labels": 1, "score_A": 1, "score_B": 5}] * 10
    assert recognise(rows).option == ""
    assert recognise([{**row, "score_A": 9} for row in rows]).option == "one-first"


def test_chosen_and_rejected_that_only_name_an_answer_are_no_answers():
    row = {"prompt": SKY, "response_a": NO_IDEA, "response_b": SCATTERS, "winner": "model_b", "loser": "model_a"}
    found = recognise([row])
    assert (found.format, convert(row, found).rows) == ("choice-pairs", [PAIR])


def test_a_choice_that_can_be_read_as_either_answer_is_left_out():
    """The choice "B" gives the text of the first answer, and names the second."""
    row = {"prompt": "Which letter?", "response_a": "B", "response_b": "A", "preferred_response": "B"}
    how = recognise([{**row, "response_a": "C"}, {**row, "response_b": "D", "response_a": "E"}])
    with pytest.raises(LeftOut, match="names neither"):
        convert(row, how)


def test_scores_that_prefer_the_rejected_answers_are_pointed_out():
    """In 2 of 3 rows the rejected answer has the higher score."""
    row = {"prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA, "chosen_score": 1, "rejected_score": 2}
    found = recognise([row, row, {**row, "chosen_score": 3}])
    assert "in 2 of 3 rows the rejected answer has the higher one" in found.evidence
    assert "swapped" not in recognise([{**row, "chosen_score": 3}, row]).evidence


def test_a_part_that_only_some_rows_have_is_not_lost():
    """One of four rows has a system message, another a score; both are kept, and the format is that of all four."""
    row = {"prompt": SKY, "chosen": SCATTERS, "rejected": NO_IDEA}
    rows = [row, row, {**row, "system": "Be brief."}, {**row, "score_chosen": 2, "score_rejected": 1}]
    how = recognise(rows)
    assert convert(rows[2], how).rows == [{**PAIR, "prompt": [system("Be brief."), *QUESTION]}]
    assert convert(rows[3], how).rows == [{**PAIR, "scores": {"chosen": 2.0, "rejected": 1.0}}]


def test_two_forms_of_a_format_are_not_mixed_up():
    """Two rows name their answer in a column, one has it at the end of its messages: it has no such column."""
    row = {"prompt": SKY, "completion": SCATTERS, "label": True}
    rows = [row, row, {"messages": QUESTION + GOOD, "label": True}]
    how = recognise(rows)
    assert how.mapping == Columns(prompt="prompt", completion="completion", label="label")
    with pytest.raises(LeftOut, match="empty answer"):
        convert(rows[2], how)


def gathered(rows, **chosen):
    how = recognise(rows, ReadOptions(**chosen))
    return list(gather(enumerate(rows, start=1), how)), how


def test_scored_answers_in_rows_of_their_own_are_paired_by_their_prompt():
    """Scores 1, 3 and 2 to one question: the second against the first, and the third is in no pair."""
    rows = [{"prompt": SKY, "response": text, "score": score} for text, score in (("a", 1), ("b", 3), ("c", 2))]
    (found,), how = gathered(rows)
    assert (how.format, how.kind, how.option, found[2]) == ("scored-answers", "preference", "best-worst", 3)
    made = convert(found[1], how)
    scores = {"chosen": 3.0, "rejected": 1.0}
    assert made.rows == [{"prompt": QUESTION, "chosen": [answer("b")], "rejected": [answer("a")], "scores": scores}]
    assert made.left_out == ("an answer that is in none of the pairs",)


def test_scored_answers_to_different_prompts_have_no_rival_and_are_imitated():
    rows = [{"prompt": f"{SKY} {i}", "response": SCATTERS, "score": i} for i in range(4)]
    how = recognise(rows)
    assert (how.format, how.kind) == ("prompt-completion", "sft") and "`score` is not used" in how.evidence


def test_an_answer_that_is_a_list_in_json_stays_a_text():
    """Only where the prompt is such a list too is it the half of a conversation."""
    row = {"prompt": "Sort b and a as a list.", "chosen": '["a", "b"]', "rejected": '["b", "a"]'}
    made = convert(row, recognise([row]))
    assert made.rows[0]["chosen"] == [answer('["a", "b"]')] and made.notes == ()


def test_a_question_of_one_word_is_not_its_own_list_of_turns():
    """A single text is no conversation, so the row is not taken for one."""
    assert recognise([{"conversations": ["Why is the sky blue?"]}]) is None


def test_answers_to_one_prompt_are_paired_each_once():
    """Two liked and one disliked answer to the same question: one pair, and one answer is left over."""
    rows = [{"prompt": SKY, "completion": text, "label": ok} for text, ok in (("a", True), ("b", True), ("c", False))]
    (found,), how = gathered(rows, option="pairs")
    number, row, count = found
    assert (number, count) == (1, 3)
    made = convert(row, how)
    assert made.rows == [{"prompt": QUESTION, "chosen": [answer("a")], "rejected": [answer("c")]}]
    assert made.left_out == ("no disliked answer to the same prompt to pair it with",)


def said(id, parent, role, rank=None):
    return {"message_id": id, "parent_id": parent, "text": f"text {id}", "role": role, "rank": rank}


def test_a_conversation_deeper_than_100_turns_is_cut_and_the_rest_is_counted():
    """A chain of 130 messages: 100 are in the tree, none of them in a pair; 30 are too deep."""
    rows = [said(str(i), str(i - 1) if i else None, ("prompter", "assistant")[i % 2]) for i in range(130)]
    found, how = gathered(rows)
    assert [count for _, _, count in found] == [100, *[1] * 30]
    assert len(convert(found[0][1], how).left_out) == 100
    with pytest.raises(LeftOut, match="more than 100 turns deep"):
        convert(found[-1][1], how)


def test_messages_in_a_circle_hang_on_no_tree():
    rows = [said("a", "b", "prompter"), said("b", "a", "assistant", 0)]
    found, how = gathered(rows)
    assert [count for _, _, count in found] == [1, 1]
    with pytest.raises(LeftOut, match="whose parent is missing"):
        convert(found[0][1], how)


def test_a_prompt_is_the_path_from_the_root_to_the_answers():
    """q -> a -> r -> (b better than c); a is the only answer to q."""
    rows = [said("q", None, "prompter"), said("a", "q", "assistant"), said("r", "a", "prompter")]
    rows += [said("c", "r", "assistant", 1), said("b", "r", "assistant", 0)]
    ((_, row, count),), how = gathered(rows)
    made = convert(row, how)
    assert count == 5 and made.left_out == ()
    assert made.rows[0]["prompt"] == [user("text q"), answer("text a"), user("text r")]
    assert (made.rows[0]["chosen"], made.rows[0]["rejected"]) == ([answer("text b")], [answer("text c")])


def test_no_cell_however_odd_ends_in_anything_but_a_reason():
    """Every format of the table, on rows whose cells are of the wrong kind, 40,000 times with seed 17."""
    draw = random.Random(17)
    odd = [None, "", 0, -1, 1.5, float("nan"), True, b"x", "[", "{'role': ", "[{'role': 'user'", "a", [], {}, [None], [[]],
           [1], [{}], ["a", "b"], QUESTION, GOOD, QUESTION + GOOD, {"role": "user"}, {"messages": 3}, {"text": "t"},
           {"replies": [{}, 3], "text": None, "role": 4}, [{"from": 1, "value": []}], [{"text": "t", "score": "7"}] * 2]  # fmt: skip
    names = ("prompt", "chosen", "rejected", "system", "input", "history", "messages", "conversations", "completion",
             "label", "response_a", "response_b", "winner", "choice", "vote", "left", "right", "answers", "scores",
             "message_id", "parent_id", "text", "role", "rank", "instruction", "output", "context", "score_a", "score_b")  # fmt: skip
    converted = 0
    for _ in range(40_000 // len(FORMATS)):
        row = {name: draw.choice(odd) for name in draw.sample(names, 12)}
        for format in FORMATS:
            try:
                how = recognise([row], ReadOptions(format=format.id))
                for _, one, _ in gather([(1, {**row, draw.choice(names): draw.choice(odd)})], how):
                    converted += len(convert(one, how).rows)
            except (LeftOut, WorkbenchError):
                continue
    assert converted > 20


@pytest.mark.parametrize(
    "piece",
    [" ", "\n", "###", "### ", "<|im_start|>user\n", "\n\nHuman:", "User:\n", "[INST]", "[{'role': ", "[{'role':["],
)
def test_a_million_of_anything_is_read_in_a_moment(piece):
    """A pattern that goes back and forth over a million spaces would take hours."""
    text = piece * (1_000_000 // len(piece))
    row = {"prompt": SKY, "text": text, "messages": text, "chosen": text, "rejected": SCATTERS}
    began = time.monotonic()
    for format in (None, "dialogue-pairs", "message-pairs", "plain-text"):
        with contextlib.suppress(LeftOut, WorkbenchError):
            convert(row, recognise([row], ReadOptions(format=format)))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "text",
    [
        f"\n\nHuman: {SKY}\n\nAssistant: {SCATTERS}",
        f"<|im_start|>user\n{SKY}<|im_end|>\n<|im_start|>assistant\n{SCATTERS}<|im_end|>",
        f"<s>[INST] {SKY} [/INST] {SCATTERS} </s>",
        f"### Instruction:\n{SKY}\n\n### Response:\n{SCATTERS}",
        f"### Human: {SKY}### Assistant: {SCATTERS}",
        f"User: {SKY}\nAssistant: {SCATTERS}",
        f"Q: {SKY}\nA: {SCATTERS}",
        f"Human: {SKY}\nAssistant: {SCATTERS}",
        f"USER: {SKY} ASSISTANT: {SCATTERS}</s>",
    ],
)
def test_a_conversation_written_as_one_text_is_read_turn_by_turn(text):
    assert transcript(text) == QUESTION + GOOD


@pytest.mark.parametrize(
    "text", ["", "The sky is blue.", "User: Hi", "He said:\nUser: Hi\nAssistant: Yes", "[INST]" * 50_000]
)
def test_a_text_without_a_question_and_an_answer_is_no_conversation(text):
    assert transcript(text) is None


@pytest.mark.parametrize(
    "cell",
    [
        [{"from": "human", "value": SKY}, {"from": "gpt", "value": SCATTERS}],
        [{"role": "prompter", "content": SKY}, {"role": "Assistant", "content": SCATTERS}],
        [{"role": "user", "content": [{"type": "text", "text": SKY}]}, *GOOD],
        {"messages": QUESTION + GOOD},
        str(QUESTION + GOOD),
        json.dumps([{"content": m["content"], "role": m["role"]} for m in QUESTION + GOOD]),
    ],
)
def test_messages_are_read_in_every_guise(cell):
    assert read_messages(cell) == QUESTION + GOOD


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("[{'role': 'user', 'content': 'a'}\n {'role': 'assistant', 'content': 'b'}]", "messages written as text"),
        ('[{"role": "user", "content": "\\ud800"}]', "messages written as text"),
        ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], "a picture, sound or video inside a message"),
        ([{"role": "user"}], "not text"),
        ('[{"role": "a list of rooms"}]', "not text"),
        ("[1, 2]", "not text"),
    ],
)
def test_messages_that_cannot_be_read_are_left_out(cell, reason):
    with pytest.raises(LeftOut, match=reason):
        read_messages(cell)


@pytest.mark.parametrize(
    ("more", "before"),
    [
        ({"history": [[SKY, SCATTERS]]}, [*QUESTION, *GOOD]),  # the same question, asked twice
        (
            {"messages": [user("Hi"), answer("Hello"), *QUESTION, answer("Another answer.")]},
            [user("Hi"), answer("Hello")],
        ),
        ({"messages": [*QUESTION, *GOOD]}, []),
        ({"conversation": [*QUESTION, answer("Another answer.")]}, []),
        ({"history": []}, []),
        ({"context": [user("Hi"), answer("Hello"), *QUESTION]}, [user("Hi"), answer("Hello")]),
        ({"previous_turns": ["Hi", "Hello"]}, [user("Hi"), answer("Hello")]),
        ({"history": "User: Hi\nAssistant: Hello"}, [user("Hi"), answer("Hello")]),
    ],
)
def test_turns_beside_a_prompt_come_before_it_once(more, before):
    row = {"prompt": SKY, "chosen": SCATTERS + " So.", "rejected": NO_IDEA, **more}
    assert convert(row, recognise([row])).rows[0]["prompt"] == [*before, *QUESTION]


def test_a_text_below_the_prompt_is_never_taken_for_a_part_of_it():
    """The letter a stands in the instruction by chance; the text of 43 letters was put there."""
    row = {"instruction": "Is this a vowel?", "input": "a", "output": "Yes."}
    assert convert(row, recognise([row])).rows[0]["prompt"] == [user("Is this a vowel?\n\na")]
    document = "The sky is blue because of scattered light."
    row = {"prompt": f"Make it short: {document}", "document": document, "completion": "Blue."}
    assert convert(row, recognise([row])).rows[0]["prompt"] == [user(row["prompt"])]


def test_an_answer_that_is_json_stays_an_answer():
    """A list of objects is a fine answer to "Give me JSON"; only messages are read as messages."""
    row = {"prompt": SKY, "chosen": '[{"value": 3}]', "rejected": '{"role": "admin"}'}
    (pair,) = convert(row, recognise([row])).rows
    assert (pair["chosen"], pair["rejected"]) == ([answer('[{"value": 3}]')], [answer('{"role": "admin"}')])


def test_a_dialogue_is_read_turn_by_turn():
    assert dialogue("\n\nHuman: a\n\nb\n\nAssistant: c") == [user("a\n\nb"), answer("c")]
    assert dialogue("The Human: asked") is None
    assert dialogue("") is None


def test_shared_turns_never_count_the_last_answer():
    assert shared_turns(QUESTION + GOOD, QUESTION + BAD) == 1
    assert shared_turns(QUESTION + GOOD, QUESTION + GOOD) == 1
    assert shared_turns(GOOD, BAD) == 0
    assert shared_turns([], []) == 0


def test_case_spaces_and_system_make_no_new_prompt():
    assert prompt_key([user("Why  is the SKY blue?\n")]) == prompt_key(
        [system("Be brief."), user("why is the sky blue?")]
    )
    assert prompt_key([user("a")]) != prompt_key([user("b")])


def rows_about(*prompts):
    return [{"prompt": [user(p)], "completion": [answer(str(i))]} for i, p in enumerate(prompts)]


def split_by_prompt(rows, share, seed):
    """(training rows, held-out rows)."""
    held_out = sides([prompt_digest(row["prompt"], seed) for row in rows], share)
    return tuple([row for row, held in zip(rows, held_out, strict=True) if held is side] for side in (False, True))


@pytest.mark.parametrize("seed", range(20))
def test_a_prompt_is_never_on_both_sides(seed):
    """60 rows on 30 prompts, each prompt twice and once in capitals."""
    rows = rows_about(*(f"question {i}" for i in range(30)), *(f"QUESTION  {i}" for i in range(30)))
    train, held_out = split_by_prompt(rows, 0.2, seed)
    keys = [{prompt_key(row["prompt"]) for row in side} for side in (train, held_out)]
    assert not keys[0] & keys[1]
    assert len(train) + len(held_out) == 60
    assert train and held_out
    assert (train, held_out) == split_by_prompt(rows, 0.2, seed)


def test_the_share_is_about_what_was_asked_for():
    """1,000 prompts at 10 %: 100 expected, standard deviation sqrt(1000 * .1 * .9) = 9.5; 4 of them are 38."""
    train, held_out = split_by_prompt(rows_about(*(str(i) for i in range(1000))), 0.1, 17)
    assert abs(len(held_out) - 100) < 38


def test_a_prompt_stays_on_its_side_when_the_data_grows():
    small, large = rows_about(*map(str, range(100))), rows_about(*map(str, range(200)))
    _, held_out = split_by_prompt(small, 0.2, 17)
    _, more = split_by_prompt(large, 0.2, 17)
    assert [row for row in more if row in small] == held_out


@pytest.mark.parametrize("share", [0.001, 0.999])
@pytest.mark.parametrize("seed", range(5))
def test_two_prompts_give_one_to_each_side(share, seed):
    train, held_out = split_by_prompt(rows_about("a", "b", "a"), share, seed)
    assert {len(train), len(held_out)} == {1, 2}


@pytest.mark.parametrize("seed", range(30))
def test_chance_never_holds_out_much_of_a_small_dataset(seed):
    """10 prompts at 10 %: at least 1, at most twice the share, which is 2."""
    _, held_out = split_by_prompt(rows_about(*"abcdefghij"), 0.1, seed)
    assert len(held_out) in (1, 2)


def test_one_prompt_is_trained_on():
    rows = rows_about("a", "A ")
    assert split_by_prompt(rows, 0.999, 17) == (rows, [])
    assert split_by_prompt([], 0.1, 17) == ([], [])
