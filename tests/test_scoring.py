"""What a reward model is used for: a number under each answer, best of n, pairs, and data ranked by it."""

import csv
import io
import json
import sys
import threading
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fake_child import PREAMBLE
from made_runs import finished, reward_run
from test_answerers import elsewhere

from workbench.cli import main
from workbench.core.best_of import Candidate, best, best_and_worst
from workbench.core.chat import Answered, Answerer, Sampling, Talk
from workbench.core.data.doctor.pair_rewards import PairRewards, wrong_way
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.jobs import best_of as best_of_jobs
from workbench.jobs import lanes, ranking
from workbench.jobs.app_state import AppState
from workbench.jobs.best_of import PairSettings, PairsWanted, best_of, candidates_of, make_pairs
from workbench.jobs.chat import Chat
from workbench.jobs.grid import Grid, as_csv, as_json_lines, means_of, new_grid
from workbench.store import conversations, datasets
from workbench.store.datasets import Provenance
from workbench.store.reward_models import open_reward_model, reward_models
from workbench.ui.compare.compare_tab import CompareTab
from workbench.ui.compare.grid_view import grid_html
from workbench.ui.data.data_tab import DataTab

# An answer tells its prompt and seed; the reward is 2 for "kind", minus the number of the seed, and what "give x" says. "nan"
# is scored with NaN. Between two answers to "slow" it waits for a stop.
FAKE = (
    PREAMBLE
    + """
import re
model = json.loads(sys.argv[1])["model"]["name"]
say(event="ready", facts={"device": "CPU", "title": model, "parameters": 1, "precision": "nf4"})
def reward(text):
    if "nan" in text: return float("nan")
    told = re.search(r"give (-?[0-9.]+)", text)
    seed = re.search(r"seed ([0-9]+)", text)
    return float(told[1]) if told else 2.0 * ("kind" in text) - (float(seed[1]) if seed else 0)
while (request := asked.get()) is not None:
    stop.clear()
    if request["do"] == "reward":
        for item, messages in reversed(list(enumerate(request["conversations"]))):
            assert messages[-1]["role"] == "assistant" and request["adapter"].endswith("adapter")
            if stop.is_set(): break
            say(event="part", item=item, reward=reward(messages[-1]["content"]))
    elif request["do"] == "ask_many":
        for p, prompt in enumerate(request["prompts"]):
            words, ended = prompt[-1]["content"], "end"
            if words == "slow": stop.wait(20)
            if stop.is_set(): break
            if words == "cut": ended = "limit"
            for a, who in enumerate(request["answerers"]):
                text = f"{'kind ' if who['adapter'] else ''}{words} seed {request['seeds'][p]}"
                text = "" if words == "silent" else "same" if words == "same" else text
                say(event="part", answered=dict(prompt=p, answerer=a, text=text, tokens=3, ended=ended, repetition=0.0, asked=4))
    elif request["do"] == "ask":
        for n, lane in enumerate(request["lanes"]):
            text = f"{'kind' if lane['adapter'] else 'plain'} {lane['messages'][-1]['content']}"
            say(event="part", lane=n, text=text, tokens=3, first_token=0.1, per_second=1.0, asked=7, ended="end", context=12)
    say(event="done", result={"verified": True})
"""
)


@pytest.fixture
def app(monkeypatch):
    one = AppState()
    one.chat, one.beside = (Chat([sys.executable, "-c", FAKE], f"{name}.log") for name in ("chat", "beside"))
    monkeypatch.setattr(lanes, "fit_now", lambda *models: True)
    yield one
    one.close()


def prompts(*questions):
    return [[{"role": "user", "content": question}] for question in questions]


def answered(*texts):
    return [[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": text}] for text in texts]


def scored(work):
    """Place -> reward, of what is no word on the way."""
    return dict(one for one in work if not isinstance(one, str))


def stored(*questions, name="mine", chosen="good", rejected="bad"):
    rows = [{"prompt": one, "chosen": chosen.format(one), "rejected": rejected.format(one)} for one in questions]
    return datasets.add(enumerate(rows, 1), name, source=Provenance("a test"))


def test_the_best_answer_has_the_highest_reward_and_came_to_its_end():
    said = [Candidate("a", 0.1), Candidate("b", 2.0), Candidate("c", 2.0), Candidate("long", 9.0, ended=False)]
    assert best(said).text == "b", "the first of equals"
    assert best([Candidate("long", 9.0, ended=False), Candidate("  ", 10.0)]).text == "long"
    assert best([]) is None and best([Candidate(" ", 1.0)]) is None


@pytest.mark.parametrize(
    ("said", "pair"),
    [
        ([("a", 0.0), ("b", 1.0), ("c", -0.5)], ("b", "c")),
        ([("a", 0.0), ("b", 0.49)], None),
        ([("a", 0.0), ("b", 0.5)], ("b", "a")),
        ([("a", 0.0), ("a ", 3.0)], None),
        ([("a", 0.0), ("", -3.0)], None),
        ([("a", 0.0)], None),
    ],
)
def test_a_pair_is_the_best_and_the_worst_where_they_lie_apart(said, pair):
    found = best_and_worst([Candidate(*one) for one in said])
    assert (found and tuple(one.text for one in found)) == pair


def test_a_cut_off_answer_is_rejected_and_never_chosen():
    cut = Candidate("cut", 9.0, ended=False)
    assert best_and_worst([cut, Candidate("a", 0.0)]) is None
    chosen, rejected = best_and_worst([Candidate("cut", -9.0, ended=False), Candidate("a", 0.0)])
    assert (chosen.text, rejected.text) == ("a", "cut")
    assert best_and_worst([cut, cut]) is None
    assert best_and_worst([Candidate("a", 1.0), Candidate("b", 1.0)], least=0) is None, "no difference is no pair"


def test_conversations_are_scored_after_words_about_loading(app):
    reward_run()
    said = list(lanes.reward_many(app, "judge", answered("kind", "give 0.25", "plain")))
    assert scored(said) == {0: 2.0, 1: 0.25, 2: 0.0}
    assert all("base model of the reward model judge" in one for one in said if isinstance(one, str))
    assert app.chat.model == ModelRef() and not app.beside.is_open
    assert scored(lanes.reward_many(app, "judge", [])) == {}


@pytest.mark.parametrize("fit", [True, False])
def test_a_reward_model_on_another_base_scores_in_a_process_of_its_own(app, tmp_path, monkeypatch, fit):
    monkeypatch.setattr(lanes, "fit_now", lambda *models: fit)
    finished("first")
    other = elsewhere(tmp_path)
    reward_run(model=other.model_dump())
    list(lanes.ensure_loaded(app, "first"))
    assert scored(lanes.reward_many(app, "judge", answered("kind"))) == {0: 2.0}
    assert app.beside.is_open is fit
    assert (app.beside if fit else app.chat).model == other
    assert app.chat.model == (ModelRef() if fit else other)


def test_a_process_with_another_base_model_refuses_and_names_both(app, tmp_path):
    reward_run(model=elsewhere(tmp_path).model_dump())
    app.chat.start(ModelRef())
    app.chat.wait(20)
    with pytest.raises(WorkbenchError, match="judge was trained on other, and demo model is loaded"):
        list(app.chat.reward_many(open_reward_model("judge"), answered("kind")))


def test_a_score_that_is_no_number_is_told_and_the_model_stays_usable(app):
    reward_run()
    with pytest.raises(WorkbenchError, match="judge gave an answer the score nan, which is no number"):
        scored(lanes.reward_many(app, "judge", answered("kind", "nan")))
    assert scored(lanes.reward_many(app, "judge", answered("kind"))) == {0: 2.0}


def test_what_is_no_finished_reward_model_is_named():
    finished("first")
    run = reward_run()
    assert [one.name for one in reward_models()] == ["judge"]
    assert open_reward_model("judge").agreement.startswith(
        "On 80 held-out pairs of its own data it agrees with the label in 95%"
    )
    with pytest.raises(WorkbenchError, match="first is no reward model: .* Reward models: judge"):
        open_reward_model("first")
    (run.adapter / "reward.json").write_text('{"mean": 0.0, "std": 0.0}')
    with pytest.raises(WorkbenchError, match=r"judge cannot be used\. reward\.json: std is 0"):
        open_reward_model("judge")
    (run.adapter / "reward.json").unlink()
    with pytest.raises(WorkbenchError, match=r"reward\.json is missing"):
        open_reward_model("judge")
    assert reward_models() == []
    (run.adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(WorkbenchError, match="The reward model judge is not finished"):
        open_reward_model("judge")


def compare():
    with gr.Blocks():
        return CompareTab()


def test_there_is_nothing_to_choose_without_a_reward_run():
    finished("first")
    assert compare().reward.which.visible is False
    reward_run()
    tab = compare()
    assert tab.reward.which.visible and [value for _, value in tab.reward.which.choices] == ["", "judge"]


def test_a_number_stands_under_each_last_answer_with_how_to_read_it(app):
    finished("first")
    reward_run()
    tab = compare()
    talk = Talk(right=Answerer("first"), sampling=Sampling().model_dump())
    *_, last = tab.chat.converse(tab.who, app, talk, "hello")
    told, judged = drained(tab.chat.rewards(tab.who, app, last[tab.chat.talk], "judge"))
    left, right = (str(told[-1][tab.chat.lanes.said[side]]) for side in ("left", "right"))
    assert "reward +0.00" in left and "reward +2.00" in right
    assert "0 is an average held-out answer, 1 is one standard deviation better; it says nothing about facts" in str(
        told[-1][tab.chat.rewarded]
    )
    assert conversations.read(judged.id) == judged and judged.rewarded_by == "judge"
    told, judged = drained(tab.chat.rewards(tab.who, app, judged, ""))
    assert "reward" not in str(told[-1][tab.chat.lanes.said["right"]]) and told[-1][tab.chat.rewarded] == ""
    assert judged.rewarded_by == "" and judged.turns[-1].answers.right.reward is None


def drained(work):
    """All that a generator gives, and what it gives back."""
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return told, end.value


def test_the_table_has_a_column_of_rewards_their_means_and_files_with_them(app):
    """The base's answers to seed 5 get -5, the run's kind ones 2 - 5 = -3."""
    finished("first")
    reward_run()
    many = compare().many
    grid = new_grid(app, prompts("a", "b"), (Answerer(), Answerer("first")), Sampling(seed=5))
    *_, last = many.fill(app, grid, "judge")
    assert [means_of(grid, side).reward for side in (0, 1)] == [-5, -3]
    shown = str(grid_html(grid))
    assert shown.count("−5.00") == 3 and shown.count("−3.00") == 3 and "Mean reward" in shown
    assert "it says nothing about facts" in shown
    lines = [json.loads(line) for line in as_json_lines(grid).splitlines()]
    assert [one["answers"][1]["reward"] for one in lines] == [-3, -3] and lines[0]["answers"][0][
        "rewarded_by"
    ] == "judge"
    table = list(csv.DictReader(io.StringIO(as_csv(grid))))
    assert [(row["left_reward"], row["right_reward"]) for row in table] == [("-5.0", "-3.0")] * 2
    with open(last[many.files["jsonl"]]["value"], encoding="utf-8") as file:
        assert json.loads(file.readline())["answers"][0]["reward"] == -5
    plain = new_grid(app, prompts("a"), (Answerer(), Answerer("first")), Sampling())
    list(many.fill(app, plain))
    assert "reward" not in as_json_lines(plain) + as_csv(plain) + str(grid_html(plain)).lower()


def test_five_strengths_have_the_reward_of_the_model_beside_their_own(app, monkeypatch):
    finished("first")
    reward_run()
    many = compare().many
    grid = new_grid(app, prompts("a"), [Answerer("first", one) for one in (0.5, 1.0)], Sampling(seed=1))
    pictures = list(many.fill_strengths(app, grid, "judge"))
    assert [means_of(grid, place).reward for place in (0, 1)] == [1, 1]
    assert "Mean reward" in pictures[-1][many.strengths]["value"]


def test_a_reward_model_that_is_gone_is_told_before_anything_is_asked(app):
    finished("first")
    many = compare().many
    grid = new_grid(app, prompts("a"), (Answerer(), Answerer("first")), Sampling())
    with pytest.raises(WorkbenchError, match="no run called gone"):
        list(many.fill(app, grid, "gone"))
    assert not grid.answers


def test_best_of_takes_the_answer_that_the_reward_model_likes_most(app):
    """Seeds 17 to 20: the reward falls with the seed, so the first of four answers is the best."""
    reward_run()
    found = [
        one
        for one in best_of(app, prompts("a", "silent", "b"), Answerer(), "judge", 4, Sampling())
        if not isinstance(one, str)
    ]
    assert [(place, one.text, one.reward) for place, one in found] == [(0, "a seed 17", -17), (2, "b seed 17", -17)]


def test_the_bare_base_model_is_that_of_the_reward_model(app, tmp_path):
    """Another model is loaded, and would answer otherwise."""
    other = elsewhere(tmp_path)
    reward_run(model=other.model_dump())
    app.chat.start(ModelRef())
    app.chat.wait(20)
    list(best_of(app, prompts("a"), Answerer(), "judge", 2, Sampling()))
    assert other in (app.chat.model, app.beside.model)


def wanted(name="made", answerer="", **numbers):
    return PairsWanted("mine", Answerer(answerer), "judge", name, PairSettings(**numbers))


def nothing(fraction, words):
    assert 0 <= fraction <= 1 and words


def test_pairs_are_the_best_and_worst_of_each_prompt_and_say_where_they_are_from(app):
    """Of the seeds 17 to 19 the first is best (-17) and the last worst (-19). "same" says the same with every seed."""
    reward_run()
    about = stored(*(f"question {n}" for n in range(20)), "same")
    told = []
    made = make_pairs(app, wanted(answers=3, prompts=100), lambda *now: told.append(now), threading.Event())
    asked = {row["prompt"][-1]["content"] for row in datasets.read("mine", "train")}
    assert about.train_rows == len(asked) == made.asked == made.prompts
    assert made.about.kept == len(asked - {"same"}) and made.about.kind == "preference"
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told) and told[-1][0] == 1
    row = datasets.row("made", 0, extras=True)
    question = row["prompt"][-1]["content"]
    assert (
        row["chosen"][0]["content"] == f"{question} seed 17" and row["rejected"][0]["content"] == f"{question} seed 19"
    )
    assert row["scores"] == {"chosen": -17, "rejected": -19}
    told_of_row = json.loads(row["provenance"])
    assert (told_of_row["reward_model"], told_of_row["prompts_of"], told_of_row["answered_by"]) == (
        "judge",
        "mine",
        "base",
    )
    assert made.about.source.startswith(
        "best and worst of 3 answers of base to prompts of mine, by the reward model judge"
    )
    assert f"{made.about.kept:,} pairs of {made.prompts:,} prompts" in made.words


def test_a_stop_keeps_the_pairs_of_what_was_answered_and_a_cancel_keeps_nothing(app):
    reward_run()
    stored(*(f"question {n}" for n in range(20)), "slow")
    stop = threading.Event()

    def after_some(fraction, words):
        if words.startswith("9 of"):
            stop.set()

    made = make_pairs(app, wanted(answers=2), after_some, stop)
    assert 2 <= made.about.kept <= made.prompts < made.asked and "stopped before the other" in made.words

    def cancel(fraction, words):
        if words.startswith("9 of"):
            raise best_of_jobs.preparing.Cancelled

    with pytest.raises(WorkbenchError, match="Cancelled"):
        make_pairs(app, wanted("other", answers=2), cancel, threading.Event())
    assert "other" not in datasets.names() and not app.chat.is_answering


def test_only_prompts_with_all_their_answers_make_pairs():
    """Of the second prompt one answer was stopped, of the third one has no reward yet."""
    seen = Answered(0, 0, "x", 3, "end", 0.0, 4)
    texts = ["a", "b", "c", "d", "e", "f"]
    answers = {
        (place, 0): Answered(place, 0, text, 3, "stopped" if text == "d" else "end", 0.0, 4)
        for place, text in enumerate(texts)
    }
    drawn = Grid(
        prompts(*"112233"), (Answerer(),), answers=answers, rewards={(0, 0): 1.0, (1, 0): 0.0, (2, 0): 1.0, (4, 0): 1.0}
    )
    assert [[one.text for one in found] for found in candidates_of(drawn, 2)] == [["a", "b"], [], []] and seen


@pytest.mark.parametrize(
    ("questions", "numbers", "words"),
    [
        (("same", "same ", "Same"), {}, "none made a pair"),
        ((*"abcdef",), {"least_gap": 9.9}, r"differ by less than 9\.9 standard deviations"),
    ],
)
def test_no_pair_is_told_with_what_to_change(app, questions, numbers, words):
    reward_run()
    stored(*(f"{one}" for one in questions), *("same" for _ in range(2)), "other")
    with pytest.raises(WorkbenchError, match=words):
        make_pairs(app, wanted(**{"least_gap": 5.0} | numbers), nothing, threading.Event())
    with pytest.raises(WorkbenchError, match="There is a dataset called mine already"):
        make_pairs(app, wanted("mine"), nothing, threading.Event())


def test_pairs_that_a_reward_model_would_turn_round_are_a_finding_with_two_remedies():
    """Gaps of -1, 0.5, 0.49 and 3: the second and the fourth are wrong-way, the fourth first."""
    rewards = PairRewards(reward="judge", agreement="It agrees.", chosen=(1, 0, 0, -1), rejected=(0, 0.5, 0.49, 2))
    found = wrong_way(rewards)
    assert list(found.rows) == [3, 1] and found.whole == 4
    assert found.evidence == (
        "In 2 of 4 training pairs the reward model judge scores the rejected answer higher, by 0.5 standard deviations or more; the "
        "clearest is row 4 (chosen -1.00, rejected +2.00). It agrees."
    )
    assert (found.remedy.action, found.remedy.label, found.remedy.rows) == ("drop", "Drop 2 pairs", (1, 3))
    assert (found.other.action, found.other.label) == ("swap", "Swap 2 pairs")
    assert wrong_way(PairRewards(reward="judge", chosen=(1,), rejected=(0,))) is None
    most = wrong_way(PairRewards(reward="judge", chosen=(0, 0, 0), rejected=(1, 1, 0)))
    assert "check whether chosen and rejected are swapped" in most.evidence


def ranked(app):
    """A dataset of which every fifth pair is the wrong way round for the judge; the numbers of these training rows."""
    reward_run()
    rows = [
        {
            "prompt": f"question {n}",
            "chosen": f"{n} give {-1 if n % 5 == 0 else 1}",
            "rejected": f"{n} give {1 if n % 5 == 0 else -1}",
        }
        for n in range(60)
    ]
    datasets.add(enumerate(rows, 1), "mine", source=Provenance("a test"))
    told = []
    ranking.rank(app, "mine", "judge", lambda *now: told.append(now))
    assert told[-1] == (1, f"{datasets.about('mine').train_rows} of {datasets.about('mine').train_rows} pairs scored")
    found = next(one for one in datasets.examine("mine").findings if one.check == "wrong_way")
    wrong = [n for n, row in enumerate(datasets.read("mine", "train")) if "give -1" in row["chosen"][0]["content"]]
    assert sorted(found.rows) == wrong and found.severity == "warning"
    assert "On 80 held-out pairs of its own data it agrees with the label in 95%" in found.evidence
    assert "a reward model can be wrong" in found.advice.lower() and "blind to what it did not learn" in found.advice
    return wrong


def test_wrong_way_pairs_are_dropped(app):
    wrong, before = ranked(app), datasets.about("mine")
    after = datasets.apply_remedy("mine", "wrong_way")
    assert (
        after.kept == before.kept - len(wrong) and "wrong-way pairs by the reward model judge" in after.steps[-1].words
    )
    assert not any("give -1" in row["chosen"][0]["content"] for row in datasets.read("mine", "train"))
    report = datasets.report("mine")
    assert "reward model" in report.not_checked["wrong_way"], "the new version was not ranked"


def test_wrong_way_pairs_are_swapped_and_their_scores_with_them(app):
    wrong, before = ranked(app), datasets.read("mine", "train")
    datasets.apply_remedy("mine", "wrong_way", other=True)
    after = datasets.read("mine", "train")
    for n, (old, new) in enumerate(zip(before, after, strict=True)):
        sides = ("rejected", "chosen") if n in wrong else ("chosen", "rejected")
        assert (new["chosen"], new["rejected"]) == tuple(old[side] for side in sides)
    ranking.rank(app, "mine", "judge", nothing)
    assert "wrong_way" in datasets.examine("mine").passed


def test_a_second_remedy_is_only_done_where_there_is_one():
    rows = [{"prompt": f"q {n}", "chosen": "yes", "rejected": "no"} for n in range(30)]
    datasets.add(enumerate([*rows, rows[0]], 1), "mine", source=Provenance("a test"))
    with pytest.raises(WorkbenchError, match="nothing to fix about duplicate"):
        datasets.apply_remedy("mine", "duplicate", other=True)


def test_data_without_pairs_is_not_ranked_and_a_changed_dataset_keeps_no_rewards(app):
    reward_run()
    with pytest.raises(WorkbenchError, match="holds no pairs"):
        ranking.rank(app, "demo-sft", "judge", nothing)
    stored(*(f"question {n}" for n in range(20)))

    def change(fraction, words):
        if words.startswith("3 of"):
            datasets.delete_rows("mine", [0])

    with pytest.raises(WorkbenchError, match="mine was changed in the meantime"):
        ranking.rank(app, "mine", "judge", change)
    assert "wrong_way" in datasets.examine("mine").not_checked


def test_rewards_of_another_length_or_damaged_ones_are_passed_over(app):
    ranked(app)
    file = datasets.path("mine", "train").parent / "rewards.json"
    for text in ("{", '{"reward": "judge", "chosen": [1.0], "rejected": [0.0]}'):
        file.write_text(text)
        assert "wrong_way" in datasets.examine("mine").not_checked


def test_the_data_page_offers_ranking_and_pairs_once_there_is_a_reward_model():
    with gr.Blocks():
        tab = DataTab()
    about = datasets.about("demo-preferences")

    def visible():
        ranks, makes = tab.doctor.ranking.updates(about, None), tab.pairs.updates(about, "", "")
        return [
            shown["visible"]
            for shown in (ranks[tab.doctor.ranking.row], makes[tab.pairs.what], makes[tab.pairs.nothing])
        ]

    assert visible() == [False, False, True]
    reward_run()
    assert visible() == [True, True, False]
    assert tab.pairs.updates(about, "gone", "gone")[tab.pairs.reward]["value"] == "judge"
    assert tab.pairs.updates(about, "gone", "gone")[tab.pairs.answerer]["value"] == ""
    answers = datasets.about("demo-sft")
    assert tab.doctor.ranking.updates(answers, None)[tab.doctor.ranking.row]["visible"] is False


def test_the_page_makes_pairs_and_goes_to_them(app):
    reward_run()
    stored(*(f"question {n}" for n in range(20)))
    with gr.Blocks():
        tab = DataTab()
    request: Any = SimpleNamespace(session_hash="tab")
    *pictures, last = tab.pairs.made(app, tab.shown, request, wanted(answers=2))
    assert any(tab.pairs.work.bar in one for one in pictures)
    assert last[tab.shown.seen].startswith("made@1@") and "Stored as made" in last[tab.pairs.said]
    told = []
    with pytest.raises(WorkbenchError, match="There is a dataset called made already"):
        for one in tab.pairs.made(app, tab.shown, request, wanted(answers=2)):
            told.append(one)
    assert told[-1][tab.pairs.keep]["visible"] == "hidden" == told[-2][tab.pairs.work.cancel]["visible"]


@pytest.fixture
def command_line(app, monkeypatch):
    """The commands with the pretended model."""
    from workbench.cli import data

    monkeypatch.setattr(data, "AppState", lambda: app)


def test_pairs_on_the_command_line(command_line, capsys):
    reward_run()
    stored(*(f"question {n}" for n in range(20)))
    assert main(["pairs", "mine", "--reward", "judge", "--answers", "2", "--name", "made", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["kept"]) == ("made", said["prompts"]) and said["kind"] == "preference"
    assert main(["pairs", "mine", "--reward", "judge", "--answers", "1"]) == 1
    assert "Answers per prompt" in capsys.readouterr().err
    assert main(["pairs", "mine", "--reward", "nobody"]) == 1
    assert "no run called nobody" in capsys.readouterr().err


def test_a_stored_dataset_is_ranked_on_the_command_line(command_line, app, capsys, tmp_path):
    wrong = ranked(app)
    capsys.readouterr()
    assert main(["check", "mine", "--reward", "judge", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = next(one for one in said["findings"] if one["check"] == "wrong_way")
    assert found["count"] == len(wrong) and [one["row"] - 1 for one in found["examples"]] == wrong[:5]
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    assert main(["check", str(file), "--reward", "judge"]) == 1
    assert "--reward ranks the pairs of a stored dataset" in capsys.readouterr().err
