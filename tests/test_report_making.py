"""How a report is made, kept, shown and written to files. The models are made-up ones."""

import json
import math
import re

import gradio as gr
import pytest
from made_runs import finished

from workbench.cli import main
from workbench.core.chat import BASE, Answered, Answerer, Score, TokenScore
from workbench.core.errors import WorkbenchError
from workbench.core.report.card import card_of
from workbench.core.report.material import RewardModel
from workbench.core.training.config import ModelRef
from workbench.core.votes.vote import Vote
from workbench.jobs import lanes
from workbench.jobs import reports as making
from workbench.jobs.app_state import AppState
from workbench.store import reports, votes
from workbench.store.runs import Run, open_run, readable_runs
from workbench.ui.compare.compare_tab import CompareTab
from workbench.ui.report.figures import Bar, forest
from workbench.ui.report.report_file import report_file
from workbench.ui.report.report_html import report_html

HOSTILE = '<img src=x onerror="window.hacked=1"></style><script>window.hacked=1</script>'


@pytest.fixture
def app():
    one = AppState()
    yield one
    one.close()


@pytest.fixture
def models(monkeypatch):
    """Runs answer kindly and at length, the base curtly; every token of a run is twice as likely; kind answers get a reward of
    1 more; a judge prefers kind ones. `heard` is what was asked of whom."""
    heard = []

    def ask_many(app, prompts, answerers, sampling, seeds=None):
        yield "Loading the base model ..."
        for number, prompt in enumerate(prompts):
            for place, who in enumerate(answerers):
                heard.append((who.name, prompt[-1]["content"], sampling.seed, sampling.temperature))
                text = f"Of course, it is {who.name}. {HOSTILE}" if who.name else "Whatever."
                yield Answered(number, place, text, 20 if who.name else 10, "end", 0.0, 9)

    def score_many(app, items):
        for place, item in enumerate(items):
            heard.append(("score", item.answer, item.answerer.name, item.ended))
            yield place, Score([TokenScore("x", -1.0, -1.0 - math.log(2))] * 40, 0.1)

    def reward_many(app, reward, conversations):
        yield "Loading the reward model ..."
        for place, turns in enumerate(conversations):
            assert turns[-1]["role"] == "assistant"
            yield place, float("Of course" in turns[-1]["content"]) + place / 1e5

    def ask_base_many(app, model, prompts, sampling):
        for place, prompt in enumerate(prompts):
            first, second = prompt[0]["content"].split("Answer B:")
            letter = "A" if "Of course" in first.split("Answer A:")[1] else "B"
            yield Answered(place, 0, letter, 1, "end", 0.0, 9)

    for name, fake in locals().items():
        if name.endswith("_many"):
            monkeypatch.setattr(lanes, name, fake)
    monkeypatch.setattr(Run, "is_reward", property(lambda run: run.name == "scorer"))
    return heard


def made(app, *names, **changes):
    for name in {"scorer", *names} - {run.name for run in readable_runs()}:
        finished(name)
    return list(making.make(app, making.Wanted(names, **{"prompts": 32, **changes})))


def test_a_report_measures_everything_and_is_kept(app, models):
    steps = made(app, "first", "second", reward="scorer", judge=ModelRef(source="demo"))
    found = steps[-1].material
    assert reports.read(found.id) == found and not found.stopped and not found.missing
    card = card_of(found)
    assert [side.label for side in card.sides] == ["base", "first", "second"]
    first = card.judgements[0]
    assert (
        first.verdict.outcome == "better"
        and "Scores higher with the reward model scorer: 100%" in first.verdict.headline
    )
    assert first.comparison.win("judge").raw.rate == 1, "it is held against no votes yet, so it decides nothing"
    assert card.judgements[2].verdict.outcome == "no difference"
    assert card.sides[1].estimates["kl"].value == pytest.approx(0.5 - 1 + math.log(2), abs=1e-5)
    assert card.sides[0].estimates["neutral"].value == pytest.approx(2 * math.e)
    assert card.sides[1].estimates["neutral"].value == pytest.approx(math.e)
    assert len(card.frontier) == 3 and found.is_demo and found.facts[0] and found.data == "demo-preferences"
    assert {one[3] for one in models if one[0] == "first"} == {0.7, 1.0}, "the KL is of answers drawn at temperature 1"
    words = [step.words for step in steps]
    assert any("Loading the reward model" in one for one in words) and any("(part 5 of 5)" in one for one in words)


def test_the_same_run_twice_answers_with_two_seeds(app, models):
    found = made(app, "first", "first")[-1].material
    assert [one.seed for one in found.subjects] == [17, 17, 18]
    assert [side.label for side in card_of(found).sides] == ["base", "first, seed 17", "first, seed 18"]
    assert {(name, seed) for name, _, seed, at in models if name in ("", "first") and at == 0.7} == {
        ("", 17), ("first", 17), ("first", 18)
    }  # fmt: skip


def test_the_model_card_of_the_run_tells_what_was_found(app, models):
    finished("first")
    card = open_run("first").adapter / "README.md"
    card.write_text("# first\n\n## Limits\n\nSome.\n", encoding="utf-8")
    made(app, "first", reward="scorer")
    assert "Against base: Scores higher with the reward model scorer: 100%" in card.read_text("utf-8")


def test_what_a_part_cannot_measure_is_said_and_the_others_are_kept(app, models, monkeypatch):
    def broken(app, items):
        raise WorkbenchError("Another question is being answered.")
        yield

    monkeypatch.setattr(lanes, "score_many", broken)
    found = made(app, "first", reward="scorer")[-1].material
    assert len(found.missing) == 2 and "The KL from the base model could not be measured: Another" in found.missing[0]
    assert "kl" not in card_of(found).sides[1].estimates and "reward" in card_of(found).sides[1].estimates


def test_a_stop_keeps_what_there_is_and_begins_nothing_more(app, models, monkeypatch):
    monkeypatch.setattr(lanes, "stop", lambda app: None)
    seen = []
    for now in making.make(app, making.Wanted([finished("first").name], prompts=32)):
        seen.append(now)
        if "20 of 64" in now.words:
            making.stop(app)
    found = reports.read(seen[-1].material.id)
    assert found.stopped and not any(one.log_ratios for one in found.subjects)
    assert "stopped before everything was measured" in card_of(found).notes[0]


def test_answers_that_were_stopped_are_none(app, models, monkeypatch):
    def half(app, prompts, answerers, sampling, seeds=None):
        for number in range(10):
            for place in range(len(answerers)):
                yield Answered(number, place, "No.", 2, "end" if number < whole else "stopped", 0.0, 9)

    monkeypatch.setattr(lanes, "ask_many", half)
    whole = 9
    found = made(app, "first")[-1].material
    assert found.stopped and [sum(map(bool, one.said)) for one in found.subjects] == [9, 9]
    whole = 0
    assert made(app, "first")[-1].material.id == "" and len(reports.listed()) == 1, (
        "without an answer there is no report"
    )


def test_what_fails_midway_keeps_what_was_answered(app, models, monkeypatch):
    def failing(app, prompts, answerers, sampling, seeds=None):
        for number in range(9):
            yield from (Answered(number, place, "No.", 2, "end", 0.0, 9) for place in range(len(answerers)))
        raise WorkbenchError("Out of memory.")

    monkeypatch.setattr(lanes, "ask_many", failing)
    found = reports.read(made(app, "first")[-1].material.id)
    assert found.stopped and found.missing == ["Only 18 of 64 answers could be had: Out of memory."]


def test_many_prompts_are_asked_some_at_a_time(app, models):
    found = made(app, "first", prompts=80)[-1].material
    assert all(all(one.said) for one in found.subjects) and not found.stopped
    asked = [words for name, words, _, at in models if name == "first" and at == 0.7]
    assert asked == [prompt[-1]["content"] for prompt in found.prompts]


def test_what_cannot_be_compared_is_refused_with_a_reason(app, models):
    for wanted, why in (
        (making.Wanted([]), "at least one run"),
        (making.Wanted(["first"] * 9), "at most 7 runs"),
        (making.Wanted(["first"], prompts=3), "from 8 to 600"),
        (making.Wanted(["first"], reward="second"), "is no reward model"),
        (making.Wanted(["nobody"]), "no run called nobody"),
    ):
        for name in ("first", "second"):
            if name not in {run.name for run in readable_runs()}:
                finished(name)
        with pytest.raises(WorkbenchError, match=why):
            list(making.make(app, wanted))
    assert reports.listed() == []


def test_blind_votes_on_two_are_of_the_second_one(app, models):
    """18 of 24 measuring votes are for the run, on whichever side it stood; one that taught does not count."""
    for number in range(25):
        sides = (
            {"left_by": BASE, "right_by": Answerer("first")}
            if number % 2
            else {"left_by": Answerer("first"), "right_by": BASE}
        )
        liked = "right" if (number % 4 < 3) == bool(number % 2) else "left"
        purpose = "teach" if number == 24 else "measure"
        prompt = [{"role": "user", "content": f"Question {number}?"}]
        votes.add(
            Vote(
                prompt=prompt, left="No.", right="Yes.", vote=liked, left_model=sides["left_by"].name, base="demo",
                right_model=sides["right_by"].name, purpose=purpose, sitting="one", match=number, **sides,
            )
        )  # fmt: skip
    (judgement,) = card_of(made(app, "first")[-1].material).judgements
    win = judgement.comparison.win("votes")
    assert (win.raw.rate, win.count) == (0.75, 24)
    assert re.search(
        r"By your votes: preferred in 75% .* of 24 blind votes, which settles nothing", judgement.verdict.reasons[0]
    )


def test_a_judge_is_held_against_votes_first(app, models):
    for number in range(30):
        kind, curt = f"Of course {number}.", f"Whatever {number}."
        sides = {"left": kind, "right": curt} if number % 2 else {"left": curt, "right": kind}
        prompt = [{"role": "user", "content": f"Question {number}?"}]
        liked = "left" if sides["left"] == kind else "right"
        votes.add(Vote(prompt=prompt, vote=liked, left_model="", right_model="first", base="demo", **sides))
    found = made(app, "first", judge=ModelRef(source="demo"))[-1].material
    assert (found.judge.voted, found.judge.decided, found.judge.agreed) == (30, 30, 30)
    assert card_of(found).judgements[0].verdict.headline.startswith("Preferred by the judge")
    page = report_html(found)
    assert page.index("How the judge agrees with you") < page.index("first against base")


def test_reports_on_disk_are_read_with_care(app, models, home):
    found = made(app, "first", reward="scorer")[-1].material
    file = home / "reports" / f"{found.id}.json"
    whole = file.read_text("utf-8")
    for text, why in (
        (whole[:200], "not whole JSON"),
        ("[]", "the whole of it is a list"),
        (json.dumps(json.loads(whole) | {"version": 2}), "newer version"),
        (json.dumps(json.loads(whole) | {"prompts": []}), "do not fit together"),
        (whole.replace('"tokens": 10', '"tokens": -1', 1), "tokens"),
        (whole.replace('"reward": 0.0', '"reward": NaN', 1), "reward"),
    ):
        assert text != whole
        file.write_text(text, encoding="utf-8")
        with pytest.raises(WorkbenchError, match=why):
            reports.read(found.id)
        assert "cannot be read" in reports.listed()[0][0]
    early = {"subjects": json.loads(whole)["subjects"], "prompts": json.loads(whole)["prompts"], "of the future": 1}
    file.write_text(json.dumps(early), encoding="utf-8")
    assert card_of(reports.read(found.id)).sides[1].label == "first"
    file.write_text(whole, encoding="utf-8")
    assert reports.read(found.id) == found
    with pytest.raises(WorkbenchError, match="no name of a report"):
        reports.read("../../etc/passwd")


def test_the_page_and_the_file_show_hostile_text_as_text(app, models):
    found = made(app, "first", "second", reward="scorer", judge=ModelRef(source="demo"))[-1].material
    hostile = found.model_copy(
        update={
            "base": HOSTILE,
            "data": HOSTILE,
            "missing": [HOSTILE],
            "judge": found.judge.model_copy(update={"title": HOSTILE}),
            "reward": RewardModel(name=HOSTILE, data=[HOSTILE]),
            "prompts": [[{"role": "user", "content": HOSTILE}], *found.prompts[1:]],
            "facts": [[HOSTILE], *found.facts[1:]],
            "subjects": [one.model_copy(update={"method": HOSTILE, "data": [HOSTILE]}) for one in found.subjects],
        }
    )
    page = report_file(hostile)
    assert "<script" not in page and "<img" not in page and "&lt;img src=x onerror=" in page
    assert page.count("</style>") == 1 and "http" not in page.replace("http-equiv", "")
    assert page.count("<svg") == 4 and "Reward over KL" in page and "Content-Security-Policy" in page
    assert "<script" not in report_html(hostile)
    shown = forest([Bar(HOSTILE, 0.5, 0.4, 0.6)])
    assert "<script" not in shown and "<img" not in shown


def test_the_file_has_all_answers_and_the_page_some(app, models):
    found = made(app, "first")[-1].material
    assert "Answers to 12 of 32 prompts" in report_html(found) and "Answers to 32 prompts" in report_file(found)
    lone = found.model_copy(update={"subjects": [replace_said(one) for one in found.subjects]})
    assert "Answers to" not in report_html(lone)


def replace_said(one):
    return one.model_copy(update={"said": [None] * len(one.said)})


def test_the_view_shows_progress_each_part_and_both_files(app, models):
    finished("first"), finished("scorer")
    with gr.Blocks():
        view = CompareTab().report
    pictures = list(view.fill(app, making.Wanted(["first"], prompts=32, reward="scorer")))
    assert pictures[0][view.stop]["visible"] is True and pictures[-1][view.stop]["visible"] == "hidden"
    assert sum(view.shown in one for one in pictures) == 5, "after each of four parts, and with the files"
    last = pictures[-1]
    assert "Scores higher with the reward model scorer" in last[view.shown]
    with open(last[view.json]["value"], encoding="utf-8") as file:
        assert json.load(file)["subjects"][1]["answerer"]["name"] == "first"
    with open(last[view.html]["value"], encoding="utf-8") as file:
        assert file.read().startswith("<!doctype html>")
    assert last[view.earlier]["visible"] and last[view.earlier]["value"] == reports.listed()[0][1]
    assert "Scores higher" in view._open(reports.listed()[0][1])[view.shown]


def test_the_view_says_no_and_ends_its_bar(app, models):
    with gr.Blocks():
        view = CompareTab().report
    shown = []
    with pytest.raises(WorkbenchError, match="at least one run"):
        for one in view.fill(app, making.Wanted([])):
            shown.append(one)
    assert shown[-1][view.stop]["visible"] == "hidden" == shown[-1][view.progress]["visible"]


def test_the_command_prints_words_or_json_and_writes_a_page(models, home, capsys, tmp_path):
    finished("first"), finished("scorer")
    page = tmp_path / "page.html"
    assert main(["report", "first", "--reward", "scorer", "--prompts", "16", "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "first against base" in out and "Scores higher with the reward model scorer: 100%" in out
    assert "It cannot say:" in out and "Perplexity of a neutral text" in out
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert main(["report", "first", "first", "--prompts", "16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["card"]["judgements"][2]["verdict"]["outcome"] == "no difference"
    assert len(found["measured"]["prompts"]) == 16
    assert main(["report", "nobody"]) == 1 and "no run called nobody" in capsys.readouterr().err
