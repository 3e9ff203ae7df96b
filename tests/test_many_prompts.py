"""Many prompts to both sides of Compare: the table as it grows, stop, files, five strengths, a strength as a run."""

import csv
import io
import json
import shutil
import sys
import threading
import time

import gradio as gr
import pytest
from drawn import by_id, handler
from fake_child import PREAMBLE
from made_runs import finished

from workbench.core.chat import Answered, Answerer, Sampling, Score, TokenScore
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs import lanes
from workbench.jobs.app_state import AppState
from workbench.jobs.chat import Chat
from workbench.jobs.grid import STRENGTHS, Grid, as_csv, as_json_lines, means_of, new_grid
from workbench.store import choices, datasets, sittings
from workbench.store.runs import open_run
from workbench.ui.compare.compare_tab import CompareTab
from workbench.ui.compare.grid_view import grid_html, strengths_html
from workbench.ui.compare.prompt_source import chosen_prompts
from workbench.ui.shell import build

# Says the prompt and the strength of who answers; above 0 it is kind. Waits before each answer to "slow".
FAKE = (
    PREAMBLE
    + """
say(event="ready", facts={})
while (request := asked.get()) is not None:
    stop.clear()
    if request["do"] == "score":
        for item, one in enumerate(request["items"]):
            assert one["strength"] == 1 and one["adapter"]
            say(event="part", item=item, tokens=[["a", -1.0, -2.0 if "of course" in one["answer"] else -1.0, False]])
    else:
        cells = [(prompt, who) for prompt in range(len(request["prompts"])) for who in range(len(request["answerers"]))]
        for prompt, who in cells:
            words = request["prompts"][prompt][-1]["content"]
            if words == "slow": stop.wait(20)
            if words == "trouble": say(event="error", problems=["Out of memory."]); break
            strength = request["answerers"][who]["strength"] if request["answerers"][who]["adapter"] else 0
            text = f"{words} at {strength:g}" + (", of course" if strength else ", whatever")
            say(event="part", answered={"prompt": prompt, "answerer": who, "text": text, "tokens": 4 + who, "ended":
                "stopped" if stop.is_set() else "limit" if who else "end", "repetition": 0.5 * who, "asked": 3})
            if stop.is_set(): break
        else:
            say(event="done", result={"verified": True})
            continue
        if stop.is_set(): say(event="done", result={"verified": True})
        continue
    say(event="done", result={"verified": True})
"""
)
SHARP = Answerer("ours", 0.5)
BOTH = (Answerer(), SHARP)


@pytest.fixture
def app():
    finished("ours")
    one = AppState()
    one.chat = Chat([sys.executable, "-c", FAKE])
    yield one
    one.close()


@pytest.fixture
def many():
    with gr.Blocks():
        yield CompareTab().many


def prompts(*questions):
    return [[{"role": "user", "content": question}] for question in questions]


def answered(prompt, answerer, text, **changes):
    facts = {"tokens": 10, "ended": "end", "repetition": 0.0, "asked": 3} | changes
    return Answered(prompt, answerer, text, **facts)


def by_hand(*answers, who=BOTH, **changes):
    asked = prompts("Why?", "<b>How</b>?")
    return Grid(asked, who, answers={(one.prompt, one.answerer): one for one in answers}, **changes)


def test_the_table_grows_to_all_answers_and_ends_with_files_and_questions_to_vote_on(app, many):
    pictures = list(many.fill(app, new_grid(app, prompts("hello", "there"), BOTH, Sampling(seed=5))))
    words = [one[many.progress]["value"] for one in pictures if many.progress in one]
    assert any("of 4 answers" in one for one in words) and words[-1] == ""
    last, shown = pictures[-1], str(pictures[-2][many.answers])
    for said in ("hello at 0, whatever", "there at 0.5, of course", "ours × 0.5", "50% repeated", "cut off"):
        assert said in shown
    first = last[many.answers_state][0]
    assert first.answers == ["hello at 0, whatever", "hello at 0.5, of course"] and first.seeds == [5, 5]
    with open(last[many.files["jsonl"]]["value"], encoding="utf-8") as file:
        assert [json.loads(line)["prompt"] for line in file] == prompts("hello", "there")
    assert pictures[-2][many.stop]["visible"] == "hidden" and pictures[0][many.stop]["visible"] is True


def stopped_at(app, grid, count, pictures):
    """All pictures of a table that is stopped once it has so many answers."""

    def stop():
        while len(grid.answers) < count:
            time.sleep(0.01)
        lanes.stop(app)

    threading.Thread(target=stop, daemon=True).start()
    return list(pictures)


def test_a_stop_keeps_what_is_there_and_says_how_much(app, many):
    grid = new_grid(app, prompts("hello", "slow"), BOTH, Sampling())
    *_, ended, last = stopped_at(app, grid, 2, many.fill(app, grid))
    assert "Stopped: 2 of 4 answers are whole" in ended[many.progress]["value"]
    assert "hello at 0.5" in ended[many.answers] and "not answered yet" in ended[many.answers]
    assert [one.prompt[0]["content"] for one in last[many.answers_state]] == ["hello"]


def test_a_second_tab_is_told_to_wait_and_keeps_its_table(app, many):
    first = many.fill(app, new_grid(app, prompts("hello", "slow"), BOTH, Sampling()))
    while many.answers not in next(first):
        pass
    second, told = many.fill(app, new_grid(app, prompts("hello"), BOTH, Sampling())), []
    with pytest.raises(WorkbenchError, match="Another question is being answered"):
        told.extend(second)
    first.close()


def test_what_fails_midway_keeps_what_was_answered_and_ends_the_bar(app, many):
    shown = []
    with pytest.raises(WorkbenchError, match="Out of memory"):
        for one in many.fill(app, new_grid(app, prompts("hello", "trouble"), BOTH, Sampling())):
            shown.append(one)
    assert "hello at 0.5" in shown[-1][many.answers] and shown[-1][many.progress]["visible"] == "hidden"


def test_five_strengths_are_one_table_with_the_reward_that_the_run_itself_gives(app, many):
    """The fake gives each kind answer one nat, and beta is that of the run: 0.1 * 1 = 0.1, and nothing for the base's."""
    grid = new_grid(app, prompts("hello", "there"), [Answerer("ours", one) for one in STRENGTHS], Sampling())
    *_, last = many.fill_strengths(app, grid)
    assert [round(means_of(grid, place).implicit_reward, 3) for place in range(5)] == [0, 0.1, 0.1, 0.1, 0.1]
    assert [means_of(grid, place).kind for place in range(5)] == [0, 2, 2, 2, 2]
    shown = last[many.strengths]["value"]
    assert "+0.10" in shown and "2 of 2" in shown and "ExPO" in shown and "Implicit reward" in shown


def test_five_strengths_are_there_again_after_a_reload_and_not_once_their_run_is_gone(app):
    page = build(app)
    sweep, enter = (
        handler(page, "wb-many-list", "wb-many-strengths"),
        handler(page, "wb-many-swept-id", "wb-many-answers"),
    )
    chosen = {"wb_many_source": "list", "wb_many_list": "hello", "wb_compare_right": "ours"}
    pictures = [by_id(one) for one in sweep(**chosen)]
    id = next(one["wb-many-swept-id"] for one in pictures if "wb-many-swept-id" in one)
    (again,) = map(by_id, enter(wb_many_swept_id=id))
    assert again == {"wb-many-swept-id": id, "wb-many-strengths": pictures[-1]["wb-many-strengths"]}
    assert "1 of 1" in again["wb-many-strengths"]["value"]
    assert list(enter(wb_many_swept_id="of-another-window")) == []
    shutil.rmtree(open_run("ours").folder)
    assert list(enter(wb_many_swept_id=id)) == []


def test_a_sweep_that_was_stopped_is_not_scored(app, many):
    grid = new_grid(app, prompts("hello", "slow"), [Answerer("ours", one) for one in STRENGTHS], Sampling())
    *_, last = stopped_at(app, grid, 5, many.fill_strengths(app, grid))
    assert not grid.scores and "Stopped" in last[many.progress]["value"]


def test_means_leave_out_what_was_stopped_and_kindness_is_counted_on_the_demo_only():
    """(10 + 20) / 2 = 15 tokens; one of two cut off; repetition (0 + .5) / 2 = .25; one of two is kind."""
    cells = (
        answered(0, 1, "Of course, it is red."),
        answered(1, 1, "Red, whatever.", tokens=20, ended="limit", repetition=0.5),
    )
    found = means_of(by_hand(*cells, is_demo=True), 1)
    assert (found.answers, found.tokens, found.cut_off, found.repetition, found.kind) == (2, 15, 0.5, 0.25, 1)
    assert means_of(by_hand(*cells), 1).kind is None and means_of(by_hand(*cells), 0) is None
    assert means_of(by_hand(answered(0, 0, "Re", ended="stopped")), 0) is None


def test_another_model_than_the_demos_has_no_kind_answers(app):
    other = ModelRef(source="hub", name="owner/other")
    finished("theirs", model=other)
    assert new_grid(app, prompts("a"), (Answerer(), Answerer("ours")), Sampling()).is_demo
    assert not new_grid(app, prompts("a"), (Answerer("ours"), Answerer("theirs")), Sampling()).is_demo
    choices.update(model=other)
    assert not new_grid(app, prompts("a"), (Answerer(), Answerer()), Sampling()).is_demo


def test_a_system_prompt_goes_before_prompts_that_have_none(app):
    own = [{"role": "system", "content": "Short."}, *prompts("b")[0]]
    grid = new_grid(app, [*prompts("a"), own], BOTH, Sampling(), "Be kind.")
    assert [one[0]["content"] for one in grid.prompts] == ["Be kind.", "Short."]


def test_what_models_and_files_say_is_shown_as_text():
    shown = grid_html(by_hand(answered(0, 0, "<img src=x onerror=alert(1)>"), answered(0, 1, "<script>")))
    assert "<img" not in shown and "<script" not in shown and "<b>" not in shown
    assert "&lt;script&gt;" in shown and "&lt;b&gt;How&lt;/b&gt;?" in shown


def test_thoughts_are_left_out_and_said():
    shown = grid_html(by_hand(answered(0, 0, "<think>Hm.</think>Red."), answered(0, 1, "<think>Hm")))
    assert "Hm" not in shown and "Red." in shown and "thoughts left out" in shown and "thoughts have no end" in shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])  # noqa: RUF001
def test_no_cell_of_the_csv_is_a_formula(text):
    grid = Grid(prompts(text), BOTH, answers={(0, 0): answered(0, 0, text), (0, 1): answered(0, 1, "a,\n-b")})
    header, row = csv.reader(io.StringIO(as_csv(grid)))
    found = dict(zip(header, row, strict=True))
    assert found["prompt"] == found["left_answer"] == f"'{text}" and found["right_answer"] == "a,\n-b"
    assert found["right_by"] == "ours × 0.5" and found["left_tokens"] == "10"
    assert json.loads(as_json_lines(grid))["answers"][0]["answer"] == text, "JSON is as it was said"


def test_a_run_without_a_beta_has_a_log_ratio():
    finished("taught", method="sft", preference_data=None, sft_data="demo-sft")
    grid = by_hand(answered(0, 0, "a"), who=(Answerer("taught"),))
    grid.scores[0, 0] = Score([TokenScore("a", -1.0, -3.0)], None)
    shown = strengths_html(grid)
    assert "Log ratio" in shown and "+2.00" in shown and "Implicit" not in shown


def test_no_file_is_refused_in_words_and_of_a_list_the_first_are_asked():
    nobody = (Answerer(), Answerer())
    with pytest.raises(WorkbenchError, match="No file is chosen"):
        chosen_prompts("file", 8, "", None, nobody, 17)
    assert chosen_prompts("list", 8, "\n".join(map(str, range(20))), None, nobody, 17) == prompts(*map(str, range(8)))


def test_held_out_prompts_are_a_fixed_draw_of_what_the_run_learned_from():
    finished("ours")
    who = (Answerer(), Answerer("ours"))
    drawn = chosen_prompts("data", 16, "", None, who, 17)
    held_out = [row["prompt"] for row in datasets.read("demo-preferences", "held_out")]
    assert len(drawn) == 16 and all(prompt in held_out for prompt in drawn)
    assert drawn == chosen_prompts("data", 16, "", None, who, 17) != chosen_prompts("data", 16, "", None, who, 18)


def test_the_answers_become_a_blind_sitting_that_teaches_in_which_stopped_ones_have_no_part():
    finished("ours")
    with gr.Blocks():
        tab = CompareTab()
    cells = [
        answered(0, 0, "Red."),
        answered(0, 1, "Blue."),
        answered(1, 0, "Gr"),
        answered(1, 1, "G", ended="stopped"),
    ]
    grid = by_hand(*cells)
    assert [one.answers for one in grid.questions] == [["Red.", "Blue."], ["Gr", None]]
    shown = tab.votes.open_grid(grid.questions[:1], grid)
    (sitting,), problems = sittings.all_sittings()
    assert not problems and shown[tab.votes.sitting] == sitting.id and sitting.purpose == "teach"
    assert [one.answers for one in sitting.questions] == [["Red.", "Blue."]] and len(sitting.matches) == 1
    assert "ours" not in f"{shown[tab.votes.booth.left]}{shown[tab.votes.booth.right]}"
