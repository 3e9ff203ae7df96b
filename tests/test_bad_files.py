"""Each bad file is refused in words, soon, by a child process; nothing is stored of it and this process lives on."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bad_files import BAD

from workbench.core.errors import WorkbenchError
from workbench.jobs import preparing
from workbench.jobs.child import Child

# The promise is 3 s; a machine that does other work meanwhile may need longer.
SOON = 10.0

# What the import says, a look at the first rows says too; so of the early ones every third is looked at.
LOOKED_AT = [name for i, (name, bad) in enumerate(BAD.items()) if bad.late or i % 3 == 0]
ATTEMPTS = [*((name, "import") for name in BAD), *((name, "preview") for name in LOOKED_AT)]

# A child for each takes a third of a second to start, so only a sixth of the imports go the whole way, and what
# unpacks to far more. The other attempts share a child, under the same limits.
ALONE = [(name, "import") for i, name in enumerate(BAD) if i % 6 == 0 or name.startswith("bomb")]
TOGETHER = [one for one in ATTEMPTS if one not in ALONE]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def attempts(tmp_path_factory, home):
    """(file, task) -> (what was said, seconds until then). Two at a time, and bombs one after the other: they keep a core busy."""
    folder = tmp_path_factory.mktemp("bad")
    files = {name: bad.put(folder / name) for name, bad in BAD.items()}

    def request(name, task):
        asked = {"do": task, "source": {"where": "file", "path": str(files[name])}}
        return asked if task == "preview" else asked | {"name": "bad"}

    def alone(attempt):
        began = time.monotonic()
        try:
            said = preparing.run(request(*attempt))
        except WorkbenchError as error:
            said = str(error)
        return said, time.monotonic() - began

    def together(attempts):
        child = Child(preparing.WORKER, "bad-files.log", preparing.LEAN)
        try:
            return [asked(child, *attempt) for attempt in attempts]
        finally:
            child.end()

    def asked(child, *attempt):
        began = time.monotonic()
        try:
            child.send(request(*attempt) | {"memory": preparing.USUAL.memory})
            said = child.wait("done")["result"]
        except WorkbenchError as error:
            said = str(error)
        return said, time.monotonic() - began

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as both:
        patch.setenv("WORKBENCH_HOME", str(home))
        shared = both.submit(together, TOGETHER)
        quiet = [attempt for attempt in ALONE if not attempt[0].startswith("bomb")]
        said = dict(zip(quiet, both.map(alone, quiet), strict=True)) | dict(zip(TOGETHER, shared.result(), strict=True))
        return said | {attempt: alone(attempt) for attempt in ALONE if attempt not in said}


@pytest.mark.parametrize(("name", "task"), ATTEMPTS)
def test_a_bad_file_is_refused_in_words_and_soon(attempts, name, task):
    said, seconds = attempts[name, task]
    if task == "preview" and BAD[name].late:
        assert said["account"]["rows"] == 1000
    else:
        assert BAD[name].words in said
    assert seconds < SOON


def test_nothing_is_stored_of_any_of_them(attempts, home):
    assert len(ALONE) >= 20
    assert list((home / "datasets").iterdir()) == []
