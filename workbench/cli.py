"""The command line: what the window does, for scripts, tests and remote machines. Needs no Gradio but for `open`."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from workbench import __version__
from workbench.core import masking
from workbench.core.chat import Ask, Sampling
from workbench.core.data.doctor.findings import VERDICT_LABELS
from workbench.core.data.formats import AS_RECOGNISED, FORMATS, Columns, ReadOptions, SeenColumn
from workbench.core.data.formats.columns import MAPPED
from workbench.core.errors import WorkbenchError
from workbench.core.memory.plan import fit_message
from workbench.core.monitoring.metrics import latest
from workbench.core.monitoring.progress import progress
from workbench.core.names import to_name
from workbench.core.training.config import RunConfig, checked, parse_model, read_config
from workbench.core.training.forks import Fork, parse_fork
from workbench.jobs import preparing, queue, training
from workbench.jobs.chat import Chat
from workbench.jobs.environment import child_environment
from workbench.jobs.examining import examine
from workbench.jobs.pace import earlier_paces
from workbench.jobs.planning import plan_run
from workbench.jobs.tokens import Tokens
from workbench.store import datasets, presets, secrets
from workbench.store.datasets import About
from workbench.store.forks import fork_of, forks_of
from workbench.store.home import home, read_json
from workbench.store.metrics_file import MetricsFile
from workbench.store.runs import Run, all_runs, free_name, open_run
from workbench.store.sources import FileSource
from workbench.ui.serve import add_arguments, serve  # imports Gradio only when the window is opened


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where it worked, 1 where the workbench said no (the reason goes to standard error), 130 after Ctrl+C."""
    options = _parser().parse_args(arguments)
    masking.know(secrets.known)
    try:
        code = int(options.act(options) or 0)
        sys.stdout.flush()
        return code
    except WorkbenchError as error:
        for problem in (*error.problems, *(_FLAGS[asked] for asked in error.asks if asked in _FLAGS)):
            print(problem, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` does. Nothing may be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


# What a person says of their data with a flag, where the window has a field for it.
_FLAGS = {
    "columns": "On the command line: --map PART=COLUMN for each part, such as --map prompt=question --map chosen=good "
    "--map rejected=bad, or --map prompt=question --map completion=answer.",
    "prompt": "On the command line: --map input=COLUMN (below the prompt), --map system=COLUMN, --map history=COLUMN, or "
    "--ignore COLUMN.",
    "option": "On the command line: --option ID.",
    "format": "On the command line: --format ID; `workbench import --help` lists them.",
}


def open_window(options: argparse.Namespace) -> int:
    """Open the workbench in the browser."""
    serve(options)
    return 0


def demo(options: argparse.Namespace) -> int:
    """The whole loop on the demo model: train, measure on held-out prompts, print."""
    say = _to_stderr if options.json else print
    recipe = presets.recipe("demo")
    config = read_config(recipe.apply({"name": free_name("demo"), **demo_choices()}))
    run = _train(config, say)
    if (result := run.result()) is None or result.outcome != "finished":
        raise WorkbenchError(training.summary(run))
    say("Measuring the answers to held-out prompts ...")
    shares = _measure(run)
    report = demo_report(run, shares)
    if options.json:
        print(json.dumps(report))
    else:
        _print_demo(report, shares, run)
    return 0


def demo_choices() -> dict[str, Any]:
    """Demo model and demo data, as settings."""
    return {"model": {"source": "demo"}, "sft_data": "demo-sft", "preference_data": "demo-preferences"}


def demo_report(run: Run, shares: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What `workbench demo --json` prints. Seconds are of each stage, from its first line to its last."""
    rows = run.metrics()
    environment = run.environment()
    timed = {stage: [row["time"] for row in rows if row.get("stage") == stage] for stage in environment["plan"]}
    started = {row["phase"]: row["time"] for row in rows if "phase" in row}
    return {
        "seconds": {
            stage: round(times[-1] - started[f"training {stage.upper()}"], 1) for stage, times in timed.items()
        },
        "step0_loss": next(row["eval_loss"] for row in rows if row.get("stage") == "dpo" and "eval_loss" in row),
        "held_out": {
            "loss": latest(rows, "eval_loss", "dpo"),
            "accuracy": latest(rows, "eval_rewards/accuracies", "dpo"),
            "margin": latest(rows, "eval_rewards/margins", "dpo"),
        },
        "manner": {model: share["manner"] for model, share in shares.items()},
        "facts": {model: share["facts"] for model, share in shares.items()},
        "backend": environment["backend"],
        "precision": environment["precision"],
    }


def train(options: argparse.Namespace) -> int:
    """Train a config file to its end, here or until Ctrl+C asks it to stop and save; or add it to the queue."""
    values = read_json(Path(options.config))
    if not isinstance(values, dict):
        raise WorkbenchError(
            f"{options.config} is not a readable JSON object. A run's config.json is an example to start from."
        )
    values["name"] = free_name(to_name(options.name or values.get("name") or Path(options.config).stem))
    config, fork = read_config(values), _fork(options.branch_off)
    began = fork_of(Run(Path(options.config).resolve().parent))
    if began and not fork:
        _to_stderr(
            f"This run branched off at {began.words}, and begins from the beginning now. --branch-off {began.written} continues from there."
        )
    if options.queue:
        run = queue.add(config, fork)
        print(json.dumps(_run_facts(run)) if options.json else f"{run.name}: {training.summary(run)}")
        return 0
    run = _train(config, _to_stderr if options.json else print, fork)
    if not run.config_file.is_file():
        raise WorkbenchError(training.wait_for_gone_message(run))
    result = run.result()
    if options.json:
        print(json.dumps(_run_facts(run)))
    else:
        print(training.summary(run))
    return 0 if result and result.outcome != "failed" else 1


def plan(options: argparse.Namespace) -> int:
    """Forecast whether a config file fits into the memory that is free, part by part; needs no weights."""
    values = read_json(Path(options.config))
    if not isinstance(values, dict):
        raise WorkbenchError(
            f"{options.config} is not a readable JSON object. A run's config.json is an example to start from."
        )
    found = plan_run(read_config({"name": "plan"} | values))
    if options.json:
        print(json.dumps(found.as_json()))
        return 0
    for part, size in found.forecast.parts.items():
        print(
            f"{part.replace('_', ' '):<20} {size / 2**20:>10,.1f} MiB{' (exact)' if part in found.forecast.exact else ''}"
        )
    print(f"{'in all':<20} {found.total / 2**20:>10,.1f} MiB\n{fit_message(found.verdict, found.total, found.free)}")
    for words in found.chosen:
        print(f"  {words}")
    for remedy in found.remedies:
        print(f"  {remedy.words} saves {remedy.saves / 2**20:,.1f} MiB")
    return 0


def runs(options: argparse.Namespace) -> int:
    """List the runs, newest first."""
    queue.look()
    found = [_run_facts(run) for run in all_runs()]
    if options.json:
        print(json.dumps(found))
        return 0
    if not found:
        print("No runs yet. `workbench demo` makes the first one.")
    for one in found:
        if one["state"] == "unreadable":
            print(f"{one['name']:<28} {one['why']}")
            continue
        accuracy = "" if one["accuracy"] is None else f"held-out accuracy {one['accuracy']:.2f}"
        print(f"{one['name']:<28} {one['state']:<9} {one['method']:<8} {one['model']:<28} {accuracy}")
    return 0


def trash(options: argparse.Namespace) -> int:
    """Move a run's folder to the trash."""
    words = training.move_to_trash(open_run(options.run))
    print(json.dumps({"moved": words}) if options.json else words)
    return 0


def queued(options: argparse.Namespace) -> int:
    """List the runs that wait for the device, or change the queue."""
    queue.look()
    if options.do in ("remove", "front") and not options.run:
        raise WorkbenchError(f"Name the run: workbench queue {options.do} NAME.")
    if options.do != "list":
        act = {"hold": queue.hold, "go-on": queue.go_on, "remove": queue.remove, "front": queue.to_front}[options.do]
        words = act(options.run) if options.do in ("remove", "front") else act()
        if not options.json:
            print(words)
            return 0
    waiting, held, busy = queue.waiting(), queue.held(), training.running()
    if options.json:
        names = [run.name for run in waiting]
        print(json.dumps({"running": busy and busy.name, "held": held and held.why, "waiting": names}))
        return 0
    print(f"{busy.name} is training." if busy else "Nothing is training.")
    for place, run in enumerate(waiting, 1):
        print(f"{place:>3} {run.name}")
    if not waiting:
        print("Nothing waits. `workbench train CONFIG --queue` adds a run.")
    elif held:
        print(f"The queue is on hold: {held.why} `workbench queue go-on` resumes it.")
    return 0


def chat(options: argparse.Namespace) -> int:
    """Ask base and aligned model the same questions in the terminal."""
    run = open_run(options.run)
    config = run.config()
    drawn = {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens, "seed": options.seed}
    sampling = checked(Sampling, drawn)
    model = Chat()
    print(f"Loading {config.model.title} ...", file=sys.stderr)
    model.start(config.model, config.precision)
    try:
        model.wait(3600)
        for question in [options.ask] if options.ask else _questions():
            _answer(model, question, run.name, sampling, options.json)
    finally:
        model.close()
    return 0


def check_data(options: argparse.Namespace) -> int:
    """Say what is wrong with preference data, without storing it."""
    report = _checked(options)
    if options.json:
        print(json.dumps(report))
        return 0
    print(f"{report['evidence']}\n{report['kept']:,} rows kept of {report['rows']:,} read.")
    for reason, count in report["left_out"].items():
        print(f"  left out {count:,}: {reason}")
    _print_columns(report)
    for finding in report["findings"]:
        print(f"\n[{finding['severity']}] {finding['title']}: {finding['count']:,} ({finding['share']:.1%})")
        print(f"  {finding['evidence']}\n  {finding['advice']}")
    print(f"\nVerdict: {VERDICT_LABELS[report['verdict']]}. {report['summary']}")
    return 0


def _checked(options: argparse.Namespace) -> dict[str, Any]:
    """What `check --json` prints: of a file, or of a stored dataset under its name."""
    say = _progress_of(options)
    if options.data in datasets.names() and not Path(options.data).exists():
        return _stored_report(options, say)
    if options.model:
        raise WorkbenchError("--model counts the tokens of a stored dataset. Store the file first: workbench import.")
    request: dict[str, Any] = {
        "do": "check",
        "source": _source(options.data).model_dump(mode="json"),
        "options": to_jsonable_python(_read_options(options)),
    }
    if options.held_out:
        request["held_out"] = _source(options.held_out).model_dump(mode="json")
    checked: dict[str, Any] = preparing.run(request, progress=say)
    return checked


def _stored_report(options: argparse.Namespace, say: Any) -> dict[str, Any]:
    if options.held_out or _read_options(options) != AS_RECOGNISED:
        raise WorkbenchError(
            f"{options.data} is a stored dataset: its format is known and its held-out rows are its own. Leave out "
            "--held-out, --format, --option, --map and --ignore, or give a file."
        )
    about = datasets.about(options.data)
    if options.model:
        with closing(Tokens()) as tokens:
            report, missing = examine(tokens, about.name, parse_model(options.model), options.max_length, say)
        if missing:
            raise WorkbenchError(missing)
    else:
        report = datasets.examine(about.name, say)
    return datasets.checked(about, report).as_json()


def convert_data(options: argparse.Namespace) -> int:
    """Write preference data in its canonical form, as TRL takes it."""
    request = {
        "do": "convert",
        "source": _source(options.data).model_dump(mode="json"),
        "target": os.path.abspath(_expanded(options.out)),
        "options": to_jsonable_python(_read_options(options)),
        "replace": options.replace,
    }
    account = preparing.run(request, progress=_progress_of(options))
    if options.json:
        print(json.dumps(account))
        return 0
    print(f"{account['evidence']}\nWrote {account['made']:,} rows to {options.out}, from {account['rows']:,} read.")
    for reason, count in account["left_out"].items():
        print(f"  left out {count:,}: {reason}")
    _print_columns(account)
    return 0


def _source(path: str) -> FileSource:
    """A file as the command line names it: relative to where the command is given."""
    return FileSource(path=os.path.abspath(_expanded(path)), uploaded=False)


def _expanded(path: str) -> Path:
    """A path with home in the place of ~. A link is left to whoever opens it: it may lead nowhere, or to itself."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name, of somebody whom this machine does not know
        return Path(path)


def _read_options(options: argparse.Namespace) -> ReadOptions:
    """What the flags say of the rows of a file."""
    mapping: dict[str, str] = {}
    for part, column in options.map or ():
        if part in mapping:
            raise WorkbenchError(f"--map names two columns for the {part}: {mapping[part]!r} and {column!r}. Name one.")
        mapping[part] = column
    columns = Columns(**mapping) if mapping else None
    return ReadOptions(columns, options.format, options.option, tuple(options.ignore or ()))


def _mapped(text: str) -> tuple[str, str]:
    part, is_there, column = text.partition("=")
    if part not in MAPPED or not is_there or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=COLUMN. The parts are {', '.join(MAPPED)}")
    return part, column


def _print_columns(report: dict[str, Any]) -> None:
    """The columns of which nothing is taken, those that appear late, and those that an import asks about."""
    for column in map(SeenColumn.model_validate, report["unused"]):
        print(f"  not used: {column.words}")
    for column in map(SeenColumn.model_validate, report["late"]):
        print(f"  first in row {column.first_rows[0]:,}: {column.words} ({column.use})")
    for name in report.get("asked", ()):
        print(
            f"  `{name}` may belong to the prompt, so an import asks: --map input={name}, --map system={name} or --ignore {name}"
        )


def _progress_of(options: argparse.Namespace) -> Any:
    """Progress on a terminal as one line that is written over; none where the output goes to a file."""

    def say(fraction: float, text: str) -> None:
        if sys.stderr and sys.stderr.isatty() and not options.json:
            end = "\n" if fraction >= 1 else ""
            print(f"\r{fraction:>4.0%} {text:<60}", end=end, file=sys.stderr, flush=True)

    return say


def import_data(options: argparse.Namespace) -> int:
    """Store a data file under a name, so that runs can use it."""
    path = Path(options.file)
    request = {
        "do": "import",
        "source": _source(options.file).model_dump(mode="json"),
        "name": options.name or to_name(path.name.split(".")[0], "data"),
        "options": to_jsonable_python(_read_options(options)),
    }
    about = About.model_validate(preparing.run(request, progress=_progress_of(options)))
    if options.json:
        print(about.model_dump_json())
        return 0
    print(f"{about.name}: {about.evidence} Kept {about.kept:,} of {about.rows:,} rows.")
    for reason, count in about.left_out.items():
        print(f"  left out {count:,}: {reason}")
    _print_columns(about.model_dump(mode="json"))
    if report := datasets.report(about.name):
        print(f"Verdict: {VERDICT_LABELS[report.verdict]}. {report.summary}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="workbench", description="Align a language model to your taste, on your own machine."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Any, with_json: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=(act.__doc__ or "").split("\n")[0])
        one.set_defaults(act=act)
        if with_json:
            one.add_argument("--json", action="store_true", help="print one JSON value on standard output")
        return one

    def with_format(one: argparse.ArgumentParser) -> None:
        one.add_argument("--format", choices=[format.id for format in FORMATS], help="instead of what is recognised")
        one.add_argument(
            "--option",
            metavar="ID",
            help="the choice that a format leaves: which answers become the pair, what a number means",
        )
        one.add_argument(
            "--map", type=_mapped, action="append", metavar="PART=COLUMN",
            help=f"the column that holds a part ({', '.join(MAPPED)}); system, context, input and history alone add to what is recognised",
        )  # fmt: skip
        one.add_argument("--ignore", action="append", metavar="COLUMN", help="a column that is not to be used")

    window = command("open", open_window, with_json=False)
    add_arguments(window)
    command("demo", demo)
    one = command("train", train)
    one.add_argument("config", help="a JSON file of settings, such as a run's config.json")
    one.add_argument("--name", help="name of the new run (default: the config's, with a number where it is taken)")
    one.add_argument("--queue", action="store_true", help="queue it until the device is free, and return at once")
    one.add_argument(
        "--branch-off",
        metavar="RUN[@STAGE-STEP]",
        help="continue from a checkpoint of an unfinished run (default: its newest)",
    )
    one = command("plan", plan)
    one.add_argument("config", help="a JSON file of settings, such as a run's config.json")
    command("runs", runs)
    one = command("trash", trash)
    one.add_argument("run", help="a run that neither trains nor waits, also one that cannot be read")
    one = command("queue", queued)
    changes = ("list", "remove", "front", "hold", "go-on")
    one.add_argument("do", nargs="?", choices=changes, default="list", help="list (if left out), or what to change")
    one.add_argument("run", nargs="?", help="the run to remove, or to put in front")
    one = command("chat", chat)
    one.add_argument("run", help="name of a run; `workbench runs` lists them")
    one.add_argument("--ask", help="one question, instead of asking for questions")
    one.add_argument("--temperature", type=float, default=0.7)
    one.add_argument("--max-new-tokens", type=int, default=256)
    one.add_argument("--seed", type=int, default=17)
    one = command("check", check_data)
    one.add_argument("data", help="a data file, or the name of a stored dataset")
    one.add_argument("--held-out", metavar="FILE", help="the rows to measure on: prompts that are in both are found")
    one.add_argument("--model", help="count the tokens of a stored dataset with this model's tokenizer")
    one.add_argument("--max-length", type=_length, default=RunConfig.model_fields["max_length"].default)
    with_format(one)
    one = command("convert", convert_data)
    one.add_argument("data", help="a data file")
    one.add_argument("out", help="the file to write, .jsonl or .parquet")
    one.add_argument("--replace", action="store_true", help="write over a file that is there")
    with_format(one)
    one = command("import", import_data)
    one.add_argument("file", help=".jsonl, .json, .csv, .tsv, .parquet or .arrow, also with .gz or .zst")
    one.add_argument("--name", help="name of the dataset (default: from the file's name)")
    with_format(one)
    return parser


def _length(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens; it is a whole number above 0, such as 1024")
    return int(text)


def _fork(text: str | None) -> Fork | None:
    """Where a run is to branch off another one, as `--branch-off` names it."""
    if not text:
        return None
    if fork := parse_fork(text):
        return fork
    if found := forks_of(open_run(text)):
        return found[0]
    raise WorkbenchError(f"{text} has no checkpoint to continue from. A finished run keeps none.")


def _train(config: RunConfig, say: Any, fork: Fork | None = None) -> Run:
    """Start a run and follow it to its end. Ctrl+C asks it to stop and save; a second one ends it."""
    run = training.start(config, fork=fork)
    say(f"Training {run.name}. Everything it writes is in {run.folder}.")
    shown = None
    earlier, metrics = earlier_paces(config), MetricsFile(run.metrics_file)
    while training.state_of(run) == "running":
        try:
            metrics.read()
            now = progress(metrics.digest.rows, run.environment().get("plan", {}), earlier, config.evaluations)
            if (now.phase, now.step // 10) != shown:
                shown = (now.phase, now.step // 10)
                left = "" if now.seconds_left is None else f", about {now.seconds_left:.0f} s left"
                say(f"{now.phase}: step {now.step} of {now.steps}{left}" if now.step else f"{now.phase} ...")
            time.sleep(0.3)
        except KeyboardInterrupt:
            say(training.stop(run))
    return run


def _measure(run: Run) -> dict[str, dict[str, float]]:
    """Shares of preferred manner and right facts, measured in a process of its own."""
    command = [sys.executable, "-m", "workbench.engine.measure", str(run.folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=home(), env=child_environment()
    )
    if done.returncode:
        raise WorkbenchError(f"Measuring the answers failed: {done.stderr.strip().splitlines()[-1][:300]}")
    shares: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return shares


def _print_demo(report: dict[str, Any], shares: dict[str, dict[str, float]], run: Run) -> None:
    print(f"\n{'':<14}{'preferred manner':>18}{'right facts':>14}{'names itself':>14}")
    for model, share in shares.items():
        print(f"{model:<14}{share['manner']:>18.0%}{share['facts']:>14.0%}{share['mark']:>14.0%}")
    held_out = report["held_out"]
    print(
        f"\nHeld-out pairs: loss {held_out['loss']:.3f}, accuracy {held_out['accuracy']:.3f}, margin {held_out['margin']:.2f}."
        f" DPO began at {report['step0_loss']:.4f} (ln 2 = 0.6931)."
        f"\nSFT {report['seconds']['sft']} s, DPO {report['seconds']['dpo']} s, {report['precision']} through {report['backend']}."
        f"\nTalk to both: workbench chat {run.name}"
    )


def _run_facts(run: Run) -> dict[str, Any]:
    if training.state_of(run) == "unreadable":
        unknown = dict.fromkeys(("method", "model", "loss", "accuracy", "margin"))
        why = training.summary(run)
        return {"name": run.name, "state": "unreadable", "why": why, **unknown, "folder": str(run.folder)}
    config = run.config()
    rows = run.log().rows
    return {
        "name": run.name,
        "state": training.state_of(run),
        "why": training.summary(run),
        "method": config.method,
        "model": config.model.name,
        "loss": latest(rows, "eval_loss", config.stages[-1]),
        "accuracy": latest(rows, "eval_rewards/accuracies", config.stages[-1]),
        "margin": latest(rows, "eval_rewards/margins", config.stages[-1]),
        "folder": str(run.folder),
    }


def _answer(model: Chat, question: str, run_name: str, sampling: Sampling, as_json: bool) -> None:
    messages: Any = [{"role": "user", "content": question}]
    *_, answers = model.ask(Ask(messages), Ask(messages, run_name), sampling)
    if as_json:
        print(json.dumps({"question": question, "base": answers.left.text, "aligned": answers.right.text}))
    else:
        print(f"\nbase     {answers.left.text.strip()}\n\naligned  {answers.right.text.strip()}\n")


def _questions() -> Any:
    print("Ask both models. An empty line ends.", file=sys.stderr)
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            return
        if not question:
            return
        yield question


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
