"""All runs as a list: what is told of each, notes, the family, the trash, and that nothing is read twice."""

import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from configs import demo_config
from drawn import starts, train
from made_runs import create_run, finished, reward_run

from workbench import cli
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring import run_list
from workbench.core.monitoring.metrics import latest
from workbench.core.monitoring.run_list import Relation, RunFacts, RunRow, WinRate
from workbench.core.training.forks import Fork
from workbench.core.votes.vote import Vote
from workbench.jobs import archives, deploy, processes, survey, training
from workbench.jobs import trash as trash_of_home
from workbench.jobs.app_state import AppState
from workbench.jobs.run_rows import RunRows, facts_of
from workbench.store import datasets, records, run_notes, signed_facts, trash, votes
from workbench.store.datasets import Provenance
from workbench.store.metrics_file import ending
from workbench.store.runs import Run, all_runs, open_run
from workbench.ui.all_runs import run_table, trash_view
from workbench.ui.all_runs.notes_view import NotesView
from workbench.ui.all_runs.run_table import RunTable, cells, clicked_run
from workbench.ui.all_runs.trash_view import TrashView
from workbench.ui.compare.reward_choice import reward_choices
from workbench.ui.compare.who_answers import WhoAnswers, who_choices
from workbench.ui.report import report_view
from workbench.ui.run_actions import run_choices

RECORDED = Path(__file__).parent / "runs" / "healthy-demo.jsonl"


def row(name: str, made: float = 0.0, state: str = "finished", won: WinRate | None = None, **facts) -> RunRow:
    return RunRow(name, state, made, RunFacts(**facts), won)


def listed() -> dict[str, RunRow]:
    return {one.name: one for one in RunRows().now(survey.survey()).rows}


# Order, search and family


def test_rows_are_sorted_by_a_number_and_whatever_has_none_comes_last():
    rows = [
        row("a", results={"accuracy": 0.5}),
        row("b"),
        row("c", results={"accuracy": 0.9}),
        row("d", results={"loss": 1.0}),
    ]
    assert [one.name for one in run_list.sorted_by(rows, "accuracy")] == ["c", "a", "b", "d"]
    assert [one.name for one in run_list.sorted_by(rows, "loss")] == ["d", "a", "b", "c"]
    won = [row("x", won=WinRate(0.0, 0.0, 0.2, 20)), row("y"), row("z", won=WinRate(0.6, 0.4, 0.7, 20))]
    assert [one.name for one in run_list.sorted_by(won, "win_rate")] == ["z", "x", "y"], "a rate of 0 is a rate"


def test_every_order_sorts_a_run_of_which_nothing_is_known():
    for order in run_list.SORTS:
        assert len(run_list.sorted_by([row("a"), row("b", title="B", beta=0.1)], order)) == 2


def test_rows_are_found_by_all_words_wherever_they_stand_and_by_state_and_tag():
    rows = [
        row("one", title="Best so far", tags=("Keep",), note="beta .1 on the new pairs"),
        row("two", state="failed", method="DPO", data="pairs"),
    ]
    assert [one.name for one in run_list.fitting(rows, "PAIRS best")] == ["one"]
    assert [one.name for one in run_list.fitting(rows, "pairs")] == ["one", "two"]
    assert [one.name for one in run_list.fitting(rows, "", "failed")] == ["two"]
    assert [one.name for one in run_list.fitting(rows, "", "", "Keep")] == ["one"]
    assert run_list.fitting(rows, "pairs nowhere") == []


def test_a_family_is_a_tree_by_weights_with_judges_and_what_is_gone_named():
    rows = [
        row("sft", 1, method="SFT"),
        row("judge", 2, method="Reward model"),
        row("dpo", 3, method="DPO", relations=(Relation("continued", "sft"),)),
        row("rloo", 4, method="RLOO", relations=(Relation("continued", "sft"), Relation("reward", "judge"))),
        row("late", 5, method="DPO", relations=(Relation("branched", "lost", "step 20"),)),
        row("alone", 6),
    ]
    assert run_list.family(rows, "rloo") == [
        (
            "sft: SFT",
            [
                ("dpo: DPO; continued from sft", []),
                ("rloo: RLOO; continued from sft; rewarded by judge ← this run", []),
            ],
        ),
        ("judge: Reward model; rewards rloo", []),
    ]
    below = [("late: DPO; branched off lost, step 20 ← this run", [])]
    assert run_list.family(rows, "late") == [("lost (gone)", below)]
    assert run_list.family(rows, "late", {"lost"}) == [("lost (in the trash)", below)]
    assert run_list.family(rows, "alone") == []


def test_runs_that_come_from_each_other_end_in_a_list_and_not_in_a_loop():
    rows = [row("a", 1, relations=(Relation("continued", "b"),)), row("b", 2, relations=(Relation("continued", "a"),))]
    ((words, below),) = run_list.family(rows, "a")
    assert words.startswith("a:") and below[0][0].startswith("b:") and below[0][1] == []


def test_of_a_large_family_the_nearest_are_told_and_the_others_counted():
    """The run, what it came from, and 38 of the 98 others that did."""
    rows = [row("start", 0), *(row(f"run-{n}", n + 1, relations=(Relation("continued", "start"),)) for n in range(99))]
    (_, below), (words, _) = run_list.family(rows, "run-0")
    assert len(below) == 39 and below[0][0].endswith("← this run") and words == "and 60 more"


def test_a_chain_of_a_thousand_runs_is_told_in_its_nearest_part():
    rows = [row(f"run-{n}", n, relations=(Relation("continued", f"run-{n - 1}"),)) for n in range(1, 1000)]
    assert run_list.family(rows, "run-999")[-1] == ("and 960 more", [])


# What the files say


def test_the_ending_of_a_recorded_run_is_what_reading_all_of_it_gives():
    run = create_run(demo_config("recorded"))
    run.metrics_file.write_bytes(RECORDED.read_bytes())
    rows = run.metrics()
    keys = ["eval_loss", "eval_rewards/accuracies", "eval_rewards/margins"]
    values, seconds = ending(run.metrics_file, "dpo", keys)
    assert values == {key: latest(rows, key, "dpo") for key in keys}
    times = [one["time"] for one in rows if "time" in one]
    assert seconds == pytest.approx(times[-1] - times[0])


def write_lines(run: Run, *lines: dict) -> None:
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def step(number: int, at: float, **numbers: float) -> dict:
    return {"stage": "dpo", "step": number, "steps": 40, "time": at, **numbers}


def test_a_pause_is_no_work_and_steps_that_were_gone_back_behind_do_not_count():
    """100 s until the pause, 3,900 s away, 50 s from there on: 150 s. The loss of step 30 was taken back."""
    run = create_run(demo_config("paused"))
    went_on = {"phase": "resuming", "resumed": 20, "stage": "dpo", "time": 5000.0}
    write_lines(
        run, step(1, 1000.0, loss=0.7), step(20, 1080.0, eval_loss=0.6), step(30, 1100.0, eval_loss=0.1), went_on, step(21, 5050.0, loss=0.5)
    )  # fmt: skip
    assert ending(run.metrics_file, "dpo", ["eval_loss"]) == ({"eval_loss": 0.6}, 150.0)


def test_a_run_whose_result_is_its_best_step_is_listed_with_what_that_reached():
    run = finished("better", method="dpo", sft_data=None)
    write_lines(run, step(20, 10.0, eval_loss=0.5), step(40, 20.0, eval_loss=0.6))
    assert facts_of(run).results == {"loss": 0.6}
    (run.adapter / "step.json").write_text('{"stage": "dpo", "step": 20}')
    assert facts_of(run).results == {"loss": 0.5}


def test_the_time_of_a_branch_begins_where_it_branched_off():
    run = create_run(demo_config("branch"))
    write_lines(
        run,
        step(1, 10.0),
        {"phase": "branched off", "forked": {"run": "x", "stage": "dpo", "step": 1}},
        step(2, 500.0),
        step(3, 530.0),
    )
    assert ending(run.metrics_file, "dpo", [])[1] == 30.0


def test_a_file_of_megabytes_is_read_at_its_ends_only():
    run = create_run(demo_config("long"))
    filler = json.dumps(step(2, 2.0, loss=0.5)) + "\n"
    with open(run.metrics_file, "w") as file:
        file.write(json.dumps(step(1, 1.0)) + "\n" + filler * 200_000 + json.dumps(step(3, 61.0, eval_loss=0.4)) + "\n")
    began = time.perf_counter()
    assert ending(run.metrics_file, "dpo", ["eval_loss"]) == ({"eval_loss": 0.4}, 60.0)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "torn", [b"", b"{", b'{"time": 1.2.3}\n', b'"resumed"\n"time"', b'\xff"time": 1\n"resumed": 1', b'"time": .']
)
def test_whatever_stands_in_the_metrics_nothing_is_raised(torn):
    run = create_run(demo_config("torn"))
    run.metrics_file.write_bytes(torn)
    assert ending(run.metrics_file, "dpo", ["eval_loss"])[0] == {}


def blind(number: int, run: str, choice: str, swapped: bool = False, base: str = "demo") -> Vote:
    sides = {"left_model": "", "right_model": run} if swapped else {"left_model": run, "right_model": ""}
    return Vote(
        prompt=[{"role": "user", "content": f"{number}"}], left="a", right="b", vote=choice, base=base, purpose="measure",
        sitting="20260101-000000-abcdef", match=number, **sides,
    )  # fmt: skip


def test_a_win_rate_counts_blind_votes_against_the_own_base_model():
    """Two wins, a tie and a loss: 2.5 of 4. Votes on another base model or in the open chat do not count."""
    model = finished("voted").config().model.name
    finished("other")
    for number, (choice, swapped) in enumerate([("left", False), ("right", True), ("tie", False), ("right", False)]):
        votes.add(blind(number, "voted", choice, swapped, model))
    votes.add(blind(9, "voted", "left", base="another/model"))
    votes.add(blind(10, "voted", "left", base=model).model_copy(update={"purpose": None}))
    rows = listed()
    assert rows["voted"].win_rate.rate == 0.625 and rows["voted"].win_rate.votes == 4
    assert rows["other"].win_rate is None
    assert cells(rows["voted"])[6].startswith("62% (")


def test_a_run_knows_what_it_continued_was_judged_by_and_was_voted_on(home):
    finished("start")
    reward_run("judge")
    given = [
        {"prompt": [{"role": "user", "content": f"{n}"}], "left": "x", "right": f"y{n}", "vote": "left", "provenance": {"left": {"name": "start"}, "right": {"name": ""}}}
        for n in range(3)
    ]  # fmt: skip
    words = votes.source_of(given)
    assert words == "votes from the Compare page on answers of start" and votes.voted_on(words) == ("start",)
    assert votes.voted_on("votes from the Compare page") == () == votes.voted_on("a file on answers of start")
    rows = [{"prompt": f"p{n}", "chosen": "yes", "rejected": "no"} for n in range(12)]
    datasets.add(enumerate(rows, 1), "voted-pairs", source=Provenance(words))
    own = {"reward_run": "judge", "learning_rate": 1e-3, "answer_tokens": 32}
    online = create_run(demo_config("online", method="rloo", sft_data=None, start_from="start", rloo=own))
    assert facts_of(online).relations == (Relation("continued", "start"), Relation("reward", "judge"))
    taught = create_run(demo_config("taught", method="dpo", sft_data=None, preference_data="voted-pairs"))
    assert facts_of(taught).relations == (Relation("votes", "start"),)


def test_a_run_knows_whose_answers_were_voted_on_also_where_votes_were_mixed_with_other_data(home):
    """Votes on a second round are mixed with a mixture of votes on the first one and data of a file."""

    def pairs(name: str, source: str) -> None:
        rows = [{"prompt": f"{name} {n}", "chosen": "yes", "rejected": "no"} for n in range(12)]
        datasets.add(enumerate(rows, 1), name, source=Provenance(source))

    of = "votes from the Compare page on answers of "
    pairs("votes-1", f"{of}start, other_2")
    pairs("votes-2", f"{of}second")
    pairs("file", "upload: mixed, with.jsonl")
    both = datasets.mix("both", "votes-1", "file")
    assert votes.voted_on(both.source) == ("start", "other_2"), "no word of a title is a run"
    mixed = datasets.mix("mixed", "votes-2", "both")
    assert mixed.source == f"{of}second, mixed with both ({of}start, other_2)"
    turned = datasets.mix("turned", "file", "votes-2")
    assert votes.voted_on(turned.source) == ("second",)
    run = create_run(demo_config("taught", method="dpo", sft_data=None, preference_data="mixed"))
    assert facts_of(run).relations == tuple(Relation("votes", name) for name in ("second", "start", "other_2"))
    assert votes.voted_on(f"upload: {of}start") == ()


def test_a_run_that_cannot_be_read_is_listed_with_its_size():
    run = finished("broken")
    run.config_file.write_text("[]")
    found = listed()["broken"]
    assert found.state == "unreadable" and found.facts.bytes > 0 and found.facts.method == ""


# Read once


def test_rows_are_the_same_until_something_changes():
    first, rows = finished("first"), RunRows()
    finished("second")
    for run in all_runs():
        run.write_result("finished", "Finished.")
    before = rows.now(survey.survey())
    assert rows.now(survey.survey()) is before
    run_notes.write_notes(first, note="Remember.")
    after = rows.now(survey.survey())
    assert after.version > before.version
    assert {one.name: one.facts.note for one in after.rows} == {"first": "Remember.", "second": ""}


def test_the_first_list_reads_each_file_of_a_run_once(monkeypatch):
    """A thousand runs that this version never saw are listed within a second."""
    for name in ("one", "two"):
        run = finished(name)
        run.write_chosen({"changes": {"optimizer": "adamw_torch"}})
        run.write_environment({"plan": {"sft": 4, "dpo": 4}})
        run_notes.write_notes(run, note="Remember.")
        run.write_result("finished", "Finished.")
    time.sleep(0.15)  # what just changed may change again unseen, and is read again
    monkeypatch.setattr(records, "_kept", {})
    forget_process(monkeypatch)
    read: list[tuple[str, str]] = []
    parse = records.parse

    def noted(path):
        read.append((Path(path).parent.name, Path(path).name))
        return parse(path)

    monkeypatch.setattr(records, "parse", noted)
    rows = RunRows().now(survey.survey()).rows
    assert [one.facts.note for one in rows] == ["Remember."] * 2
    files = ("chosen.json", "config.json", "environment.json", "notes.json", "result.json")
    assert sorted(read) == [(name, file) for name in ("one", "two") for file in files]


@pytest.fixture
def few_are_kept(monkeypatch) -> None:
    """What is kept for the next process is kept of any number of runs."""
    for module in ("workbench.jobs.survey", "workbench.jobs.run_rows"):
        monkeypatch.setattr(f"{module}.WORTH_KEEPING", 1)


def forget_process(monkeypatch) -> None:
    monkeypatch.setattr(survey, "_known", {})
    monkeypatch.setattr(survey, "_kept_of", [])


@pytest.mark.usefixtures("few_are_kept")
def test_another_process_reads_only_what_changed_since(monkeypatch):
    for name in ("one", "two"):
        finished(name).write_result("finished", "Finished.")
    time.sleep(0.15)  # a file that just changed may change again unseen, so nothing of it is kept
    survey.survey()
    RunRows().now(survey.survey())
    forget_process(monkeypatch)
    read: list[str] = []
    one_run = survey._read
    monkeypatch.setattr(survey, "_read", lambda run, signature: read.append(run.name) or one_run(run, signature))
    monkeypatch.setattr(
        "workbench.jobs.run_rows.facts_of", lambda run, sources: read.append(f"{run.name}'s facts") or RunFacts()
    )
    (open_run("two").folder / "result.json").write_text('{"outcome": "stopped", "why": "Stopped."}')
    states = survey.survey().states
    rows = {row.name: row for row in RunRows().now(survey.survey()).rows}
    assert states == {"one": "finished", "two": "stopped"}
    assert "one" not in read and "one's facts" not in read and {"two", "two's facts"} <= set(read)
    assert rows["one"].facts.method == "SFT, then DPO"


@pytest.mark.usefixtures("few_are_kept")
@pytest.mark.parametrize("damage", ["", "[]", '{"version": 1}', '{"version": VERSION, "facts": {"one": [[1], 3]}}'])
def test_what_was_kept_and_is_damaged_or_of_another_version_is_read_again(damage, monkeypatch, home):
    finished("one").write_result("finished", "Finished.")
    (home / "cache").mkdir()
    for name in ("survey", "run-facts"):
        (home / "cache" / f"{name}.json").write_text(damage.replace("VERSION", str(signed_facts._version())))
    forget_process(monkeypatch)
    assert survey.survey().states == {"one": "finished"}
    assert listed()["one"].facts.base


def test_of_many_ended_runs_a_part_is_looked_into_each_time_and_new_files_are_seen_at_once(monkeypatch):
    monkeypatch.setattr(survey, "LOOKED_INTO", 2)
    for number in range(9):
        finished(f"run-{number}").write_result("finished", "Finished.")
    time.sleep(0.15)
    survey.survey()
    open_run("run-3").write_result("stopped", "Stopped.")  # in place of the file
    open_run("run-4").forget_end()
    states = survey.survey().states
    assert (states["run-3"], states["run-4"]) == ("stopped", "lost")
    (open_run("run-5").folder / "result.json").write_text("[]")  # in the file itself
    looks = [survey.survey().states["run-5"] for _ in range(5)]
    assert looks[-1] == "unreadable"


# Notes


def test_a_title_is_shown_with_the_name_and_everything_that_names_the_run_stays_true():
    run = finished("plain")
    later = create_run(demo_config("later", start_from="plain"))
    run_notes.write_notes(run, title="  Best\n so far ")
    app = AppState()
    assert ("Best so far · plain · lost", "plain") in run_choices(app)
    assert listed()["plain"].label == "Best so far · plain"
    assert facts_of(later).relations == (Relation("continued", "plain"),)
    assert open_run("plain").folder == run.folder
    run_notes.write_notes(run, title="")
    assert listed()["plain"].label == "plain"


def test_a_title_is_shown_wherever_a_run_is_chosen(monkeypatch):
    """Who answers, where training starts, what judges, the runs of a report, and the trash."""
    judge, plain = reward_run("judge"), finished("plain")
    monkeypatch.setattr(
        "workbench.ui.train_fields.forks_of_model", lambda model: [Fork("plain", "dpo", 40)] if model else []
    )
    for run, title in ((judge, "Kindness"), (plain, "Best so far")):
        run_notes.write_notes(run, title=title)

    def choices(found: gr.Dropdown) -> list[str]:
        return [label for label, _ in found.choices]

    assert [label for label, _ in who_choices()][1:] == ["Best so far · plain (demo model)"]
    assert choices(starts(None))[1:] == ["Best so far · plain, as it ended", "Best so far · plain, at DPO step 40"]
    fields = train().fields
    (judges,) = fields.reward_updates(None).values()
    assert choices(judges)[1] == "Kindness · judge"
    assert reward_choices()[1][0] == "Kindness · judge (demo model)"
    assert report_view._run_choices()[0][0] == "Best so far · plain (demo model)"
    assert report_view._reward_choices()[1] == ("Kindness · judge", "judge")
    trash.throw_away(plain)
    (thrown,) = trash.content().runs
    assert trash_view._label(thrown).startswith("Best so far · plain, thrown away ")


def test_a_title_that_was_just_given_is_offered_at_the_next_tick():
    run, app, held = finished("plain"), AppState(), []

    class Clock:
        def each_second(self, happens, _inputs, _outputs):
            held.append(happens)

    with gr.Blocks():
        who = WhoAnswers()
        who.wire(SimpleNamespace(clock=Clock()), app)
    (tick,) = held
    before = tuple(app.survey().states.items())
    assert tick(before) == {}
    run_notes.write_notes(run, title="Best so far")
    app.look_again()
    assert "Best so far · plain (demo model)" in dict(tick(before)[who.left.who]["choices"])


def test_what_is_not_given_stays_and_tags_are_kept_once_in_their_order():
    run = finished("noted")
    run_notes.write_notes(run, note="why")
    found = run_notes.write_notes(run, tags=["keep, Beta  sweep", "KEEP", ""])
    assert (found.note, found.tags) == ("why", ("keep", "Beta sweep"))
    assert run_notes.write_notes(run, tags=[]).tags == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"title": "x" * 81}, "81 characters, and 80"),
        ({"note": "x" * 4001}, "4,001 characters, and 4,000"),
        ({"tags": [f"tag {n}" for n in range(13)]}, "13 tags, and 12"),
        ({"tags": ["t" * 33]}, "longer than 32"),
        ({"title": "OTHER"}, "other is called 'OTHER' already"),
        ({"title": "its title"}, "other is called 'its title' already"),
    ],
)
def test_what_cannot_be_stored_is_told_and_nothing_is_stored(given, why):
    run_notes.write_notes(finished("other"), title="Its title")
    run = finished("noted")
    run_notes.write_notes(run, note="before")
    with pytest.raises(WorkbenchError, match=why):
        run_notes.write_notes(run, **given)
    assert run_notes.notes_of(run).model_dump() == {"title": "", "note": "before", "tags": ()}


def test_notes_that_cannot_be_read_are_told_and_never_written_over():
    run = finished("damaged")
    (run.folder / "notes.json").write_text('{"note": "half')
    assert "notes.json is not whole JSON" in run.notes()[0]
    assert listed()["damaged"].facts.note == ""
    with pytest.raises(WorkbenchError, match="Nothing was stored"):
        run_notes.write_notes(run, title="new")
    assert (run.folder / "notes.json").read_text() == '{"note": "half'


def test_text_that_no_file_holds_is_stored_without_it():
    run = finished("odd")
    found = run_notes.write_notes(run, title="a\ud800\0b", note="line\n\x1b[31mline")
    assert (found.title, found.note) == ("a?b", "line\n[31mline")


def test_notes_go_along_in_an_archive(tmp_path):
    run = finished("taken")
    run.write_result("finished", "Finished.")
    run_notes.write_notes(run, title="Mine", tags=["keep"])
    assert "notes.json" in archives.pack("taken", tmp_path / "taken.zip")
    assert run_notes.notes_of(archives.unpack(tmp_path / "taken.zip")).title == "Mine"


def test_notes_do_not_go_into_a_space(tmp_path):
    run_notes.write_notes(finished("taken"), note="For my eyes only.")
    (upload,) = deploy.packed_runs(["taken"], tmp_path)
    with zipfile.ZipFile(upload.source) as archive:
        assert "config.json" in archive.namelist() and "notes.json" not in archive.namelist()


# Trash


def test_a_run_comes_back_out_of_the_trash_as_it_was():
    finished("one").write_result("finished", "Finished.")
    before = sorted(path.name for path in open_run("one").folder.iterdir())
    training.move_to_trash(open_run("one"))
    (thrown,) = trash.content().runs
    assert (thrown.name, thrown.place) == ("one", "one") and thrown.bytes > 100 and time.time() - thrown.time < 60
    run, words = trash_of_home.restore("one")
    assert words == "one is among the runs again." and survey.survey().states == {"one": "finished"}
    assert sorted(path.name for path in run.folder.iterdir()) == before
    assert trash.content() == trash.Content()


def test_a_run_whose_name_is_taken_comes_back_under_another_and_it_is_said():
    for _ in range(2):
        training.move_to_trash(finished("one"))
    finished("one")
    assert {one.place: one.name for one in trash.content().runs} == {"one": "one", "one-2": "one"}
    run, words = trash_of_home.restore("one-2")
    assert run.name == "one-2" and "runs that name one mean that one" in words
    assert run.config().name == "one-2"


def test_a_run_that_an_earlier_version_threw_away_comes_back_too(home):
    (home / "trash").mkdir(parents=True)
    os.rename(finished("old").folder, home / "trash" / "old")
    assert [one.name for one in trash.content().runs] == ["old"]
    assert trash_of_home.restore("old")[0].name == "old"


@pytest.mark.parametrize("place", ["nothing", "../runs/kept", "/etc", "", "a\0b"])
def test_only_what_lies_in_the_trash_is_taken_back(place):
    kept = finished("kept")
    with pytest.raises(WorkbenchError, match="no run"):
        trash_of_home.restore(place)
    assert kept.config_file.is_file()


def test_to_empty_the_trash_deletes_what_is_in_it_and_nothing_that_a_link_leads_to(home, tmp_path):
    kept = finished("kept")
    training.move_to_trash(finished("gone"))
    os.symlink(kept.folder, home / "trash" / "link")
    os.symlink(kept.folder, home / "trash" / "gone" / "link")
    (home / "trash" / "talk.json").write_text("{}")
    assert trash_of_home.empty().startswith("1 run and 2 other files, ")
    assert list((home / "trash").iterdir()) == [] and kept.has_adapter
    assert trash_of_home.empty() == "The trash is empty already."


# The page and the command line


@pytest.fixture
def table(monkeypatch) -> Iterator[tuple]:
    """The list as a tab shows it: what a tick gives, and what the tab holds then."""
    app, part, held = AppState(), RunTable.__new__(RunTable), {}
    clocked: list = []

    class Clock:
        def each_second(self, happens, inputs, outputs):
            clocked.append((happens, inputs))

    class Frame:
        clock = Clock()

    with gr.Blocks():
        part.__init__()
        run, family, is_open = gr.Dropdown(allow_custom_value=True), gr.HTML(), gr.State(False)
        part.wire(run, family, is_open, Frame(), app)
    happens, inputs = clocked[0]
    held.update({one: one.value for one in inputs})
    held[is_open] = True

    def tick(**changes) -> dict:
        held.update({getattr(part, name): value for name, value in changes.items()})
        app.look_again()
        updates = happens(*[held[one] for one in inputs])
        held.update({one: value for one, value in updates.items() if one in inputs and isinstance(one, gr.State)})
        return updates

    yield part, tick, (held, is_open)
    app.close()


def test_the_list_is_read_when_it_is_open_and_sent_when_it_changed(table):
    part, tick, (held, is_open) = table
    run = finished("one")
    finished("two")
    held[is_open] = False
    assert tick() == {}
    held[is_open] = True
    assert {line[0] for line in tick()[part.rows]} == {"one", "two"}
    assert tick() == {}
    run_notes.write_notes(run, tags=["keep"])
    assert tick()[part.tag]["choices"] == [("Any", ""), ("keep", "keep")]
    assert [line[0] for line in tick(tag="keep")[part.rows]] == ["one"]
    assert "None of the 2 runs fits" in tick(words="nothing like it")[part.found]


def test_many_runs_are_shown_a_page_at_a_time(table, monkeypatch):
    monkeypatch.setattr(run_table, "PAGE", 2)
    part, tick, _ = table
    for name in "abc":
        finished(name)
    updates = tick(order="name")
    assert [line[0] for line in updates[part.rows]] == ["a", "b"]
    assert updates[part.later]["visible"] is True and updates[part.earlier]["visible"] == "hidden"
    assert "1 to 2 of 3 runs" in updates[part.found]


def click(value) -> gr.SelectData:
    return gr.SelectData(None, {"index": [0, 0], "value": "x", "row_value": value})


def test_a_click_names_the_run_whatever_its_title_says():
    run = finished("real")
    run_notes.write_notes(run, title="not · other")
    assert clicked_run(click([listed()["real"].label, "finished"])) == "real"
    for odd in (None, [], [""], [{"a": 1}], "real", ["../etc"]):
        with pytest.raises(WorkbenchError):
            clicked_run(click(odd))


def handlers(draw: Callable[[], object]) -> dict[str, Callable]:
    """What a part of the page does, by the names of its endpoints."""
    with gr.Blocks() as page:
        draw()
    return {str(fn.api_name): fn.fn for fn in page.fns.values()}


def test_what_is_written_on_a_run_is_stored_and_the_choice_shows_its_title():
    finished("one")
    app = AppState()
    with gr.Blocks():
        run = gr.Dropdown(allow_custom_value=True)
    view: list[NotesView] = []

    def draw() -> None:
        run.render()
        view.append(NotesView())
        view[0].wire(run, app)

    updates = handlers(draw)["note"]("one", "Best", "keep, keep, demo", "Why.")
    assert run_notes.notes_of(open_run("one")).model_dump() == {
        "title": "Best",
        "note": "Why.",
        "tags": ("keep", "demo"),
    }
    assert updates[run]["choices"] == [("Best · one · lost", "one")]
    assert view[0].updates("one")[view[0].tags] == "keep, demo"
    assert view[0].updates("nothing")[view[0].note] == "" == view[0].updates(None)[view[0].note]


def test_the_trash_asks_once_more_before_it_deletes_and_gives_runs_back():
    app = AppState()
    with gr.Blocks():
        run = gr.Dropdown(allow_custom_value=True)
    views: list[TrashView] = []

    def draw() -> None:
        run.render()
        views.append(TrashView())
        views[0].wire(run, app)

    acts = handlers(draw)
    view = views[0]
    assert view.updates()[view.empty]["visible"] == "hidden" and "empty" in view.updates()[view.told]
    training.move_to_trash(finished("one"))
    shown = view.updates()
    assert shown[view.place]["value"] == "one" and shown[view.sure]["visible"] == "hidden"
    assert acts["ask"]()[view.sure]["value"].startswith("Delete 1 run, ") and trash.content().runs
    assert acts["restore"]("one")[run].value == "one" and open_run("one").has_adapter
    with pytest.raises(WorkbenchError, match="Choose a run of the trash"):
        acts["restore"](None)
    training.move_to_trash(open_run("one"))
    assert acts["empty_trash"]()[view.restore]["visible"] == "hidden" and not trash.content().runs


def test_what_a_person_wrote_is_text_in_every_list():
    run = finished("marked")
    create_run(demo_config("child", start_from="marked"))
    run_notes.write_notes(run, title="<img src=x onerror=alert(1)>")
    html = run_table.family_html(RunRows().now(survey.survey()).rows, "child")
    assert "<img" not in html and "&lt;img" in html


def test_runs_as_json_carry_the_columns_of_the_list(capsys):
    finished("one")
    assert cli.main(["note", "one", "--note", "Why not.", "--tag", "keep", "--tag", "demo"]) == 0
    assert cli.main(["note", "one", "--untag", "DEMO"]) == 0
    assert cli.main(["rename", "one", "The first"]) == 0
    capsys.readouterr()
    assert cli.main(["runs", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["title"], told["note"], told["tags"]) == ("The first", "Why not.", ["keep"])
    assert told["data"] and told["bytes"] > 0 and told["win_rate"] is None and told["from"] == []
    assert cli.main(["runs"]) == 0
    assert "The first #keep" in capsys.readouterr().out


def test_the_trash_from_a_terminal(capsys, monkeypatch):
    finished("one")
    assert cli.main(["trash", "one"]) == 0
    assert cli.main(["trash"]) == 0
    assert "In the trash: 1 run, " in capsys.readouterr().out
    assert cli.main(["trash", "--restore", "one"]) == 0 and open_run("one").has_adapter
    assert cli.main(["trash", "one"]) == 0
    assert cli.main(["trash", "one", "--empty"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.main(["trash", "--empty"]) == 1
    assert "add --yes" in capsys.readouterr().err and trash.content().runs
    assert cli.main(["trash", "--empty", "--yes"]) == 0
    assert trash.content() == trash.Content()


def test_a_run_that_trains_is_listed_with_what_it_logged_last():
    run, rows = create_run(demo_config("busy", method="dpo", sft_data=None)), RunRows()
    run.write_worker(os.getpid(), processes.started(os.getpid()))
    write_lines(run, step(1, 10.0, **{"eval_rewards/accuracies": 0.5}))
    first = rows.now(survey.survey()).rows[0]
    write_lines(
        run, step(1, 10.0, **{"eval_rewards/accuracies": 0.5}), step(9, 70.0, **{"eval_rewards/accuracies": 0.75})
    )
    second = rows.now(survey.survey()).rows[0]
    assert (first.state, first.facts.results["accuracy"], second.facts.results["accuracy"]) == ("running", 0.5, 0.75)
    assert cells(second)[4:8] == (75.0, None, "", 1.0)
