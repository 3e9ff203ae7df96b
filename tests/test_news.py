"""What the browser tells of while nobody looks: a run ended, or needs a person; nothing that a person just did."""

import json
import time

from configs import demo_config
from made_runs import create_run, finished

from workbench.jobs import queue
from workbench.jobs.news import News, Seen, look, news
from workbench.jobs.survey import Survey
from workbench.store import gone


def surveyed(**states):
    """A survey of runs that exist, with these states."""
    from workbench.store.runs import Run, runs_folder

    return Survey(tuple(Run(runs_folder() / name) for name in states), states)


def between(before, after):
    return news(look(surveyed(**before)), look(surveyed(**after)), surveyed(**after))


def test_a_run_that_ends_is_told_of_with_how_it_ended():
    run = finished("first")
    run.write_result("finished", "Finished. It prefers the chosen answer.")
    assert between({"first": "running"}, {"first": "finished"}) == [
        News("first is finished", "Finished. It prefers the chosen answer.")
    ]
    run.write_result("failed", "The loss became nan.")
    assert between({"first": "running"}, {"first": "failed"}) == [News("first failed", "The loss became nan.")]


def test_a_run_that_began_and_ended_between_two_looks_is_told_of_too():
    """A page that is not looked at asks once a minute; one of the queue may be done by then."""
    for name in ("one", "two", "three"):
        finished(name).write_result("finished", "Finished.")
    before = {"one": "running", "two": "queued", "three": "queued"}
    found = between(before, {"one": "finished", "two": "finished", "three": "running"})
    assert [one.title for one in found] == ["one is finished", "two is finished"]


def test_what_a_person_did_is_no_news():
    create_run(demo_config("first"))
    assert between({"first": "running"}, {"first": "paused"}) == []
    assert between({"first": "queued"}, {}) == [], "it was taken out of the queue"
    assert between({}, {"first": "finished"}) == [], "an archive was brought"


def test_a_run_that_lost_its_folder_is_told_of():
    create_run(demo_config("first"))
    gone.note("first", "Its folder was deleted while it trained.", 4711, 1.0)
    assert between({"first": "running"}, {})[0].title == "first is gone"


def test_a_finding_that_makes_the_result_worthless_needs_a_person_and_is_told_of_once():
    run = create_run(demo_config("first"))
    going_on = {"first": "running"}
    before = look(surveyed(**going_on))
    for severity in ("warning", "blocker"):
        run.note_finding({"severity": severity, "title": f"A {severity}", "advice": "Halve the rate."})
    now = look(surveyed(**going_on))
    assert news(before, now, surveyed(**going_on)) == [News("first: A blocker", "Halve the rate.")]
    assert news(now, look(surveyed(**going_on)), surveyed(**going_on)) == []
    with open(run.folder / "findings.jsonl", "a") as file:
        file.write('{"severity": "bloc')
    assert news(now, look(surveyed(**going_on)), surveyed(**going_on)) == []


def test_a_queue_that_stops_by_itself_is_told_of(monkeypatch):
    create_run(demo_config("waits"))
    before = look(surveyed(waits="queued"))
    monkeypatch.setattr(queue, "held", lambda: queue.Hold(why="The disk has 3 MB free."))
    assert news(before, look(surveyed(waits="queued")), surveyed(waits="queued")) == [
        News("The queue waits for you", "The disk has 3 MB free.")
    ]


def test_a_look_at_a_thousand_runs_costs_a_tick_next_to_nothing():
    states = {f"run-{number}": "finished" for number in range(1000)}
    survey = surveyed(**states)
    begun = time.perf_counter()
    for _ in range(10):
        assert look(survey) == Seen()
    assert (time.perf_counter() - begun) / 10 < 0.02, "seconds; it takes under a millisecond on a quiet machine"
    assert json.dumps(sorted(look(survey).going_on)) == "[]"
