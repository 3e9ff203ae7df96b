"""Work on data in a child process: its result, its limits, its end; and that nothing is left of what did not end well."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from workbench.core.errors import WorkbenchError
from workbench.jobs import preparing
from workbench.jobs.child import ProcessLimits
from workbench.jobs.preparing import Cancelled
from workbench.store import datasets

MB = 1024**2
PREVIEW = {"do": "preview", "source": {"where": "file", "path": "/data/my pairs.jsonl"}}
ON_STORED = {"do": "examine", "name": "mine"}


def pair(i):
    return {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"}


def file_of(tmp_path, rows):
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"where": "file", "path": str(file)}


def worker(program):
    """A child that reads its request and then does what a test wants; `say` sends an event."""
    start = "import json, os, signal, sys, time\nrequest = json.loads(sys.stdin.readline())\n"
    say = "def say(event, **more): print(json.dumps({'event': event, **more}), flush=True)\n"
    return [sys.executable, "-c", start + say + program]


def refusal(request, program, **limits):
    with pytest.raises(WorkbenchError) as refused:
        preparing.run(request, worker=worker(program), limits=ProcessLimits(**limits))
    return str(refused.value)


def eventually(is_so, seconds=5.0):
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(0.02)
    return is_so()


def test_a_file_is_looked_at_stored_checked_and_written_by_the_child(tmp_path):
    source, said = file_of(tmp_path, [pair(i) for i in range(1200)]), []
    seen = datasets.Preview.model_validate(preparing.run({"do": "preview", "source": source}))
    assert (seen.account.rows, seen.account.used, seen.rows[0]) == (1000, 1000, pair(0))
    request = {"do": "import", "source": source, "name": "mine", "take": {"how": "first", "n": 900, "seed": 3}}
    about = datasets.About.model_validate(preparing.run(request, progress=lambda *at: said.append(at)))
    assert about == datasets.about("mine")
    assert (about.kept, about.seed, about.source) == (900, 3, "upload: pairs.jsonl")
    assert all(0 <= fraction <= 1 for fraction, _ in said)
    assert said[-1] == (1.0, "900 rows stored")
    assert preparing.run({"do": "check", "source": source})["rows"] == 1200
    target = tmp_path / "out.jsonl"
    preparing.run({"do": "convert", "source": source, "target": str(target)})
    assert len(target.read_text().splitlines()) == 1200
    assert preparing.run({"do": "split", "name": "mine", "share": 0.5, "seed": 1})["kept"] == 900
    assert preparing.run({"do": "examine", "name": "mine"})["rows"] == 900


def test_rows_that_the_workbench_has_itself_are_sent_along():
    source = {"where": "rows", "words": "written by hand", "rows": [pair(i) for i in range(30)]}
    about = preparing.run({"do": "import", "source": source, "name": "by-hand"})
    assert (about["source"], about["kept"]) == ("written by hand", 30)


def test_progress_is_told_and_the_result_comes_last():
    said = []
    program = "say('progress', fraction=0.5, text='2 rows read'); time.sleep(0.3); say('done', result=request['do'])"
    assert preparing.run(ON_STORED, worker=worker(program), progress=lambda *at: said.append(at)) == "examine"
    # Again and again, so that whoever wants to cancel is heard while there is no news.
    assert said.count((0.5, "2 rows read")) > 2


def test_what_a_person_can_put_right_comes_as_words_and_a_bug_whole():
    program = "say('error', problems=['No prompt.', 'No answer.'])"
    assert refusal(ON_STORED, program) == "No prompt.\nNo answer."
    with pytest.raises(RuntimeError, match="ZeroDivisionError: one by none"):
        preparing.run(ON_STORED, worker=worker("say('error', trace='ZeroDivisionError: one by none')"))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        preparing.run(ON_STORED, worker=worker("1 / 0"))


def test_too_much_memory_ends_the_work():
    said = refusal(PREVIEW, "held = b'x' * 300_000_000; time.sleep(60)", memory=200 * MB)
    assert said == (
        "Reading my pairs.jsonl needed more than 0.2 GB of memory and was stopped. Nothing was stored. "
        "Split the file, or get it from its source again."
    )
    assert "The work on mine needed more than 0.2 GB" in refusal(
        ON_STORED, "say('error', memory=True)", memory=200 * MB
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory that is asked for")
def test_memory_that_is_asked_for_all_at_once_is_not_given(tmp_path):
    """A file that says its one text takes 64 GB is refused by the system, before anybody could look."""
    request = {"do": "preview", "source": file_of(tmp_path, [pair(0)])}
    program = (
        "from workbench.engine import prepare\n"
        "prepare.TASKS['preview'] = lambda source, progress: bytearray(64 * 1024**3)\n"
        "prepare.main()"
    )
    with pytest.raises(WorkbenchError, match="Reading pairs.jsonl needed more than 1.5 GB of memory and was stopped."):
        preparing.run(request, worker=[sys.executable, "-c", program])


def test_work_that_takes_too_long_or_says_nothing_is_ended():
    said = refusal(PREVIEW, "time.sleep(60)", seconds=0.5)
    assert "Reading my pairs.jsonl took longer than 0.5 seconds and was stopped." in said
    talks = "\nwhile True: say('progress', fraction=0.1, text='reading'); time.sleep(0.05)"
    assert "took longer than 1 seconds and was stopped" in refusal(PREVIEW, talks, seconds=1)
    assert "made no progress for 0.5 seconds and was stopped" in refusal(PREVIEW, "time.sleep(60)", silence=0.5)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_child_that_dies_without_a_word_is_told_in_words():
    said = refusal(PREVIEW, "os.kill(os.getpid(), signal.SIGKILL)")
    assert "Reading my pairs.jsonl ended unexpectedly (signal 9, most often because memory ran out)." in said
    crashed = refusal(PREVIEW, "os.kill(os.getpid(), signal.SIGSEGV)")
    assert "ended unexpectedly (signal 11). Nothing was stored. Split the file, or get it" in crashed
    half_a_line = 'sys.stdout.write(\'{"event": "do\'); sys.stdout.flush(); os._exit(3)'
    assert "ended unexpectedly (exit code 3)" in refusal(PREVIEW, half_a_line)


def test_a_progress_that_raises_ends_the_work_at_once():
    began = time.monotonic()
    children = []

    def progress(fraction, text):
        children.extend(psutil.Process().children())
        raise Cancelled

    with pytest.raises(Cancelled, match="Cancelled. Nothing was stored."):
        preparing.run(ON_STORED, worker=worker("time.sleep(60)"), progress=progress)
    assert time.monotonic() - began < 5
    assert children and not any(child.is_running() for child in children)


def test_a_cancelled_import_leaves_nothing(tmp_path, home):
    """Ended while it converts, when its draft is already there."""
    source = file_of(tmp_path, [pair(i) for i in range(40_000)])
    drafts = []

    def cancel(fraction, text):
        drafts.extend(home.glob("datasets/.draft-*"))
        if drafts:
            raise Cancelled

    with pytest.raises(Cancelled):
        preparing.run({"do": "import", "source": source, "name": "mine"}, progress=cancel)
    assert drafts and list((home / "datasets").iterdir()) == []
    assert preparing.run({"do": "preview", "source": source})["total_is_exact"] is False


def test_a_child_ends_when_its_window_is_gone(tmp_path):
    """Nobody is left to end it; the line that it was asked on is closed."""
    program = (
        "import time\nfrom workbench.engine import prepare\n"
        "prepare.TASKS['preview'] = lambda progress: time.sleep(60)\n"
        "prepare.main()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(b'{"do": "preview", "memory": 1000000000}\n')
    child.stdin.flush()
    time.sleep(0.5)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(timeout=5) == 0
    child.stdout.close()


def test_the_child_needs_neither_torch_nor_the_libraries_around_it():
    program = (
        "import sys; import workbench.engine.prepare;"
        "print({'torch', 'transformers', 'datasets', 'pandas', 'gradio'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
