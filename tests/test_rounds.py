"""Sittings whose answers are made in advance, and the rounds of training that their votes make. The model is a made-up one."""

import json
from dataclasses import replace

import gradio as gr
import pytest
from drawn import handler
from made_runs import finished

from workbench.core.chat import BASE, Answer, Answered, Answerer, Answers, Sampling, Score, Talk, TokenScore, Turn
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.core.votes.sitting import Question
from workbench.core.votes.vote import Vote
from workbench.jobs import lanes, rounds
from workbench.jobs import sittings as jobs
from workbench.jobs.app_state import AppState
from workbench.jobs.grid import new_grid
from workbench.store import datasets, sittings, votes
from workbench.ui.compare import result_html
from workbench.ui.compare.sitting_view import NOBODY, SittingView, told_html
from workbench.ui.compare.talk import vote_on
from workbench.ui.parts import escape
from workbench.ui.shell import build

HOSTILE = '<img src=x onerror="window.hacked=1">'
FIRST = Answerer("first")


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, str, int]]:
    """Who was asked what with which seed. The base answers curtly, a run kindly; seeds and sides differ."""
    heard: list[tuple[str, str, int]] = []

    def ask_many(app, prompts, answerers, sampling, seeds=None):
        yield "Loading the base model ..."
        for number, prompt in enumerate(prompts):
            for place, who in enumerate(answerers):
                seed = seeds[number] if seeds else sampling.seed
                words = prompt[-1]["content"]
                heard.append((who.name, words, seed))
                text = f"Gladly. {words} {HOSTILE} {seed}{'!' * place}" if who.name else f"No. {seed}"
                yield Answered(number, place, text, 4, "end", 0.0, 9)

    def score_many(app, items):
        for place, item in enumerate(items):
            yield place, Score([TokenScore("x", len(item.answer) / 10, 0.0)], 0.1)

    monkeypatch.setattr(lanes, "ask_many", ask_many)
    monkeypatch.setattr(lanes, "score_many", score_many)
    return heard


def begun(purpose="measure", answerers=(BASE, FIRST), count=12):
    prompts = jobs.prompts_for(purpose, answerers, count, seed=0)
    sitting = jobs.begin(AppState(), purpose, answerers, prompts, Sampling(seed=5), "Be brief.")
    steps = list(jobs.make_answers(AppState(), sitting.id))
    return sittings.read(sitting.id), steps


def test_a_measuring_sitting_asks_held_out_prompts_and_a_teaching_one_those_that_were_trained_on(asked):
    finished("first")
    parts = {"measure": "held_out", "teach": "train"}
    for purpose, split in parts.items():
        known = {row["prompt"][-1]["content"] for row in datasets.read("demo-preferences", split)}
        prompts = jobs.prompts_for(purpose, [BASE, FIRST], 30, seed=0)
        assert len(prompts) == 30 and {prompt[-1]["content"] for prompt in prompts} <= known
        assert prompts == jobs.prompts_for(purpose, [BASE, FIRST], 30, seed=0)


def given(prompt, purpose, base="demo", right=FIRST):
    return Vote(
        prompt=[dict(turn) for turn in prompt], left="No.", right="Gladly.", vote="right", left_model="", right_model=right.name,
        base=base, purpose=purpose, left_by=BASE, right_by=right,
    )  # fmt: skip


def test_what_was_voted_on_to_be_trained_on_does_not_measure_any_more(asked):
    finished("first")
    at_first = jobs.prompts_for("measure", [BASE, FIRST], 10, seed=0)
    seen = at_first[0]
    taught = given(seen, "teach")
    votes.add(taught)
    count = len(jobs.prompts_for("measure", [BASE, FIRST], 1000, seed=0))
    assert seen not in jobs.prompts_for("measure", [BASE, FIRST], 1000, seed=0)
    votes.add(given(at_first[1], "measure"))
    assert len(jobs.prompts_for("measure", [BASE, FIRST], 1000, seed=0)) == count


def test_the_standings_compare_only_what_answers_with_the_same_base_model(asked):
    for name in ("first", "second"):
        finished(name)
    for base in ("demo", "other"):
        for name in ("first", "second") if base == "demo" else ("first",):
            for number in range(8):
                votes.add(
                    given([{"role": "user", "content": f"{base} {name} {number}"}], "measure", base, Answerer(name))
                )
    assert "second" in result_html.standings_html("demo")
    assert result_html.standings_html("other") == "", "two of them are no table"


def test_answers_are_made_some_at_a_time_stored_and_gone_on_with(asked, monkeypatch):
    finished("first")
    sitting, steps = begun()
    assert [step.answered for step in steps if not step.words] == [8, 12]
    assert len(sitting.matches) == 12 and len(asked) == 24
    assert {seed for _, _, seed in asked} == {5}, "both sides draw with the same random numbers"
    assert sitting.questions[0].prompt[0] == {"role": "system", "content": "Be brief."}
    assert list(jobs.make_answers(AppState(), sitting.id)) == [], "nothing is asked twice"

    def stopped(app, prompts, answerers, sampling, seeds=None):
        yield Answered(0, 0, "No.", 1, "end", 0.0, 9)
        yield Answered(0, 1, "Gladly.", 1, "end", 0.0, 9)
        yield Answered(1, 0, "N", 1, "stopped", 0.0, 9)

    later = jobs.begin(
        AppState(), "measure", [BASE, FIRST], jobs.prompts_for("measure", [BASE, FIRST], 5, seed=0), Sampling()
    )
    ask_many = lanes.ask_many
    monkeypatch.setattr(lanes, "ask_many", stopped)
    list(jobs.make_answers(AppState(), later.id))
    assert sum(None not in one.answers for one in sittings.read(later.id).questions) == 1
    monkeypatch.setattr(lanes, "ask_many", ask_many)
    list(jobs.make_answers(AppState(), later.id))
    assert sum(None not in one.answers for one in sittings.read(later.id).questions) == 5


def test_drafts_of_one_model_have_seeds_of_their_own_and_a_teaching_sitting_knows_their_rewards(asked):
    finished("first")
    sitting, _ = begun("teach", [FIRST, FIRST], 4)
    assert {seed for _, _, seed in asked} == {5, 6}
    assert all(one.seeds == [5, 6] and len(set(one.answers)) == 2 and one.rewards for one in sitting.questions)


OTHER = ModelRef(source="hub", name="owner/other")


def test_over_two_base_models_every_row_names_the_model_and_the_run_of_both_answers(asked):
    finished("first")
    finished("theirs", model=OTHER)
    sitting, _ = begun("teach", [FIRST, Answerer("theirs")], 6)
    vote_through(sitting)
    rounds.add_votes(sitting.id, "two-models")
    rows = [row for split in ("train", "held_out") for row in datasets.read("two-models", split, extras=True)]
    told = [json.loads(row["provenance"]) for row in rows]
    assert len(told) == 6
    for one in told:
        assert {(one[part]["name"], one[part]["base"]) for part in ("chosen", "rejected")} == {
            ("first", "demo"), ("theirs", "owner/other"),
        }  # fmt: skip
        assert "base" not in one, "there is not one for both"


def test_a_vote_in_the_chat_and_one_on_many_prompts_name_both_base_models(asked):
    finished("first")
    finished("theirs", model=OTHER)
    sides = Answerer("theirs"), FIRST
    said = Answers(Answer("No.", ended="end"), Answer("Gladly.", ended="end"))
    given = vote_on(Talk((Turn("Why?", said),), *sides), "right", lanes.base_names(AppState(), sides))
    assert (given.base_of("left"), given.base_of("right")) == ("owner/other", "demo")
    grid = new_grid(AppState(), [[{"role": "user", "content": "Why?"}]], sides, Sampling())
    questions = [Question(prompt=[{"role": "user", "content": "Why?"}], answers=["No.", "Gladly."])]
    assert jobs.begin_with(questions, sides, grid.bases, Sampling()).bases == ["owner/other", "demo"]


def test_where_only_the_base_model_answers_the_one_that_is_loaded_is_named_and_not_the_one_that_is_chosen(asked):
    app = AppState()
    prompts = [[{"role": "user", "content": "Why?"}]]
    assert jobs.begin(app, "teach", [BASE, BASE], prompts, Sampling()).bases == ["demo", "demo"], "the chosen one"
    app.chat.model, app.chat.state = OTHER, "ready"
    assert jobs.begin(app, "teach", [BASE, BASE], prompts, Sampling()).bases == ["owner/other", "owner/other"]
    grid = new_grid(app, prompts, [BASE, BASE], Sampling())
    assert grid.bases == ["owner/other", "owner/other"] and not grid.is_demo


def test_a_vote_over_two_base_models_is_in_the_standings_of_neither(asked):
    """Base, first and second answer with one model and are a table; what answers with another one is not in it."""
    for name, base in (("first", ""), ("second", ""), ("theirs", "owner/other")):
        finished(name)
        for number in range(8):
            prompt = [{"role": "user", "content": f"{name} {number}"}]
            votes.add(given(prompt, "measure", "demo", Answerer(name)).model_copy(update={"right_base": base}))
    shown = result_html.standings_html("demo")
    assert "second" in shown and "theirs" not in shown


@pytest.mark.parametrize("source", ["list", "file"])
def test_several_answers_to_prompts_of_ones_own_are_picked_from_without_any_data(asked, tmp_path, monkeypatch, source):
    """Of three lines two are asked; each has two answers of the base model, from two seeds, of which one wins a vote."""
    file = tmp_path / "mine.txt"
    file.write_text("Why?\nHow?\nWhen?", encoding="utf-8")
    monkeypatch.setattr(datasets, "read", None)
    own = {"wb_blind_list": "Why?\n\nHow?\nWhy?\nWhen?", "wb_blind_file": str(file), "wb_blind_count": 2}
    drafts = {"wb_blind_purpose": "teach", "wb_blind_between": "two", "wb_blind_source": source, **own}
    list(handler(build(AppState()), "wb-blind-list", "wb-blind-making")(**drafts))
    (sitting,), _ = sittings.all_sittings()
    assert [one.prompt[0]["content"] for one in sitting.questions] == ["Why?", "How?"]
    assert sitting.purpose == "teach" and sitting.answerers == [BASE, BASE] and len(sitting.matches) == 2
    given = sittings.give(sitting, 0, "left")
    ((_, row),) = votes.rows(sitting.id)
    assert row["vote"] == "left" and given.left != given.right
    assert {one["base"] for one in (row["provenance"]["left"], row["provenance"]["right"])} == {"demo"}


def test_a_measuring_sitting_asks_held_out_prompts_whatever_stands_in_the_hidden_list(asked):
    finished("first")
    start = handler(build(AppState()), "wb-blind-list", "wb-blind-making")
    list(start(wb_blind_source="list", wb_blind_list="Why?", wb_blind_count=10, wb_compare_right="first"))
    (sitting,), _ = sittings.all_sittings()
    known = {row["prompt"][-1]["content"] for row in datasets.read("demo-preferences", "held_out")}
    assert sitting.purpose == "measure" and {one.prompt[-1]["content"] for one in sitting.questions} <= known


def vote_through(sitting, kindly=True):
    for number in range(len(sitting.matches)):
        match = sitting.matches[number]
        kind = "right" if sitting.answerers[match.sides[1]].name else "left"
        sittings.give(sitting, number, kind if kindly else "both_bad")


def test_the_page_shows_no_name_before_the_vote_goes_on_where_it_was_and_tells_the_result(asked):
    finished("first")
    sitting, _ = begun(count=24)
    with gr.Blocks():
        view = SittingView()
    shown = view._updates(sitting)
    assert shown[view.number] == 0
    pair = "".join(
        str(shown[part]) for part in (view.booth.prompt, view.booth.left, view.booth.right, view.booth.progress)
    )
    assert "first" not in pair and "base" not in pair.replace("wb-base", "")
    assert HOSTILE not in pair and str(escape(HOSTILE)) in pair
    given = sittings.give(sitting, 0, "tie")
    assert "first" in told_html(sitting, given) and view._updates(sitting, given)[view.number] == 1
    votes.undo(given.id)
    assert view._updates(sitting)[view.number] == 0

    vote_through(sitting)
    entered = view._enter("")
    assert entered[view.new.earlier]["visible"], "there is a sitting to choose"
    ended = view._updates(sitting)
    assert ended[view.number] == NOBODY
    assert "first is better than base" in ended[view.result] and "Win rate: 100%" in ended[view.result]
    assert not ended[view.round.all]["visible"], "held-out prompts are not trained on"


def test_votes_of_a_teaching_sitting_become_the_next_round(asked):
    finished("first")
    sitting, _ = begun("teach", count=40)
    with gr.Blocks():
        view = SittingView()
    assert "Win rate" not in view._updates(sitting)[view.result]
    vote_through(sitting)
    assert view._updates(sitting)[view.round.all]["visible"]
    about = rounds.add_votes(sitting.id, "mine")
    assert about.kind == "preference" and 30 <= about.kept <= 40, "the same question with the same answers is one pair"
    proposal = rounds.next_round("first", "mine")
    config = proposal.config
    assert (config.name, config.method, config.preference_data) == ("first-round-2", "dpo", "mine")
    assert proposal.start_from == config.start_from == "first" and config.sft_data is None
    assert config.effective_batch == 4 and 80 <= config.dpo.epochs * about.train_rows / 4 < 100

    mixed = rounds.add_votes(sitting.id, "more", mixed_with="demo-preferences")
    trained = datasets.about("demo-preferences").train_rows
    assert mixed.name == "more-mixed" and trained < mixed.kept <= trained + 40
    with pytest.raises(WorkbenchError, match="cannot be mixed"):
        rounds.add_votes(sitting.id, "third", mixed_with="demo-sft")


def test_a_round_is_measured_with_the_held_out_prompts_of_the_data_before_its_votes(asked):
    first = finished("first")
    sitting, _ = begun("teach", count=20)
    vote_through(sitting)
    rounds.add_votes(sitting.id, "mine")
    finished("second").write_config(
        first.config().model_copy(update={"name": "second", "start_from": "first", "preference_data": "mine"})
    )
    prompts = jobs.prompts_for("measure", [BASE, Answerer("second")], 40, seed=0)
    assert prompts == jobs.prompts_for("measure", [BASE, FIRST], 40, seed=0) and len(prompts) == 40


def test_two_bad_answers_are_thumbs_for_kto_and_no_pair(asked):
    finished("first")
    sitting, _ = begun("teach", count=10)
    vote_through(sitting, kindly=False)
    with pytest.raises(WorkbenchError, match="None of the 10 rows"):
        rounds.add_votes(sitting.id, "none")
    about = rounds.add_votes(sitting.id, "bad", "thumbs")
    assert about.kind == "unpaired" and 12 <= about.kept <= 20
    assert rounds.next_round("first", "bad").config.method == "kto"
    assert rounds.next_round("", "bad").start_from is None


def test_rounds_are_a_tree(asked):
    first = finished("first")
    for name, start in (("first-round-2", "first"), ("first-round-3", "first-round-2"), ("other", None)):
        config = first.config().model_copy(update={"name": name, "start_from": start})
        finished(name).write_config(config)
    (tree,) = rounds.chains()
    assert tree.name == "first" and tree.later[0].name == "first-round-2"
    assert tree.later[0].later == [replace(tree.later[0].later[0], name="first-round-3")]
    page = result_html.chains_html()
    assert page.index("first-round-2") < page.index("first-round-3") and "other" not in page
    assert rounds.next_round("first-round-3", "demo-preferences").config.name == "first-round-4"
