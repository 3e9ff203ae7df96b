"""The commands and their flags."""

import argparse
from typing import Any

from workbench import __version__
from workbench.cli.data import check_data, convert_data, import_data, make_pairs
from workbench.cli.demo import demo
from workbench.cli.export import export
from workbench.cli.report import report
from workbench.cli.runs import best, list_presets, note, plan, queued, rename, runs, scale, train, trash
from workbench.cli.space import archive, deploy_space, unarchive
from workbench.cli.sweeps import list_sweeps, sweep
from workbench.cli.talk import chat
from workbench.core.chat import STRONGEST, Answerer
from workbench.core.data.formats import FORMATS
from workbench.core.data.formats.columns import MAPPED
from workbench.core.export.targets import TARGETS, ExportOptions
from workbench.core.hub_hardware import FOR_SPACES
from workbench.core.training.config import RunConfig
from workbench.jobs.best_of import PairSettings
from workbench.ui.serve import add_arguments, serve  # imports Gradio only when the window is opened


def parser() -> argparse.ArgumentParser:
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

    window = command("open", open_window, with_json=False)
    add_arguments(window)
    one = command("demo", demo)
    one.add_argument("--rlhf", action="store_true", help="also a reward model and RLOO against it, beside DPO")
    one.add_argument("--seed", type=int, default=17, help="of all runs (default: 17)")

    _with_training(command("train", train))
    _with_settings(command("plan", plan))
    _with_sweeps(command("sweep", sweep), command("sweeps", list_sweeps))
    command("presets", list_presets)
    command("runs", runs)
    _with_notes(command("note", note), command("rename", rename))
    _with_trash(command("trash", trash))
    _with_result(command("best", best), command("scale", scale))
    _with_export(command("export", export))
    _with_archive(command("archive", archive))
    command("unarchive", unarchive).add_argument("file", help="what `workbench archive` wrote")
    _with_space(command("deploy-space", deploy_space))
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
    _with_report(command("report", report))
    one = command("check", check_data)
    one.add_argument("data", help="a data file, or the name of a stored dataset")
    one.add_argument("--held-out", metavar="FILE", help="the rows to measure on: prompts that are in both are found")
    one.add_argument("--model", help="count the tokens of a stored dataset with this model's tokenizer")
    one.add_argument(
        "--reward", metavar="RUN", help="find the pairs of a stored dataset that a reward model would turn round"
    )
    one.add_argument("--max-length", type=length, default=RunConfig.model_fields["max_length"].default)
    _with_format(one)
    one = command("convert", convert_data)
    one.add_argument("data", help="a data file")
    one.add_argument("out", help="the file to write, .jsonl or .parquet")
    one.add_argument("--replace", action="store_true", help="write over a file that is there")
    _with_format(one)
    one = command("import", import_data)
    one.add_argument("file", help=".jsonl, .json, .csv, .tsv, .parquet or .arrow, also with .gz or .zst")
    one.add_argument("--name", help="name of the dataset (default: from the file's name)")
    _with_format(one)
    _with_pairs(command("pairs", make_pairs))
    return parser


def _with_result(of_step: argparse.ArgumentParser, of_strength: argparse.ArgumentParser) -> None:
    """Which step is the result of a run, and how strong it is."""
    of_step.add_argument("run", help="a run that has ended")
    of_step.add_argument("--last", action="store_true", help="the last step instead")
    of_strength.add_argument("run", help="a finished run, or a checkpoint as RUN@STAGE-STEP")
    of_strength.add_argument(
        "--strength",
        type=strength,
        required=True,
        help=f"what the adapter's update is scaled by, up to {STRONGEST}: below 1 is closer to the base model, above 1 goes further",
    )
    of_strength.add_argument("--name", help="name of the new run (default: a free one that tells run and strength)")


def open_window(options: argparse.Namespace) -> int:
    """Open the workbench in the browser."""
    serve(options)
    return 0


def mapped(text: str) -> tuple[str, str]:
    part, is_there, column = text.partition("=")
    if part not in MAPPED or not is_there or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=COLUMN. The parts are {', '.join(MAPPED)}")
    return part, column


def varied(text: str) -> tuple[str, str]:
    setting, is_there, values = text.partition("=")
    if not is_there or not setting.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not SETTING=VALUE,VALUE,..., such as dpo.beta=.05,.1,.3")
    return setting.strip(), values


def length(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens; it is a whole number above 0, such as 1024")
    return int(text)


def strength(text: str) -> float:
    try:
        return Answerer("run", float(text)).strength
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no strength; it is a number from 0 to {STRONGEST}") from None


def _with_training(one: argparse.ArgumentParser) -> None:
    _with_settings(one)
    one.add_argument("--queue", action="store_true", help="queue it until the device is free, and return at once")
    one.add_argument(
        "--branch-off",
        metavar="RUN[@STAGE-STEP]",
        help="continue from a checkpoint of an unfinished run (default: its newest)",
    )


def _with_notes(note: argparse.ArgumentParser, rename: argparse.ArgumentParser) -> None:
    note.add_argument("run", help="name of a run; `workbench runs` lists them")
    note.add_argument("--note", metavar="TEXT", help="in place of the note that is there")
    note.add_argument("--tag", metavar="TAG", action="append", default=[], help="add a tag; may be given several times")
    note.add_argument("--untag", metavar="TAG", action="append", default=[], help="take a tag away")
    rename.add_argument("run", help="name of a run")
    rename.add_argument("title", help='what the lists show before its name; "" for the name alone')


def _with_trash(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "run",
        nargs="?",
        help="a run that neither trains nor waits, also one that cannot be read (default: list the trash)",
    )
    one.add_argument("--restore", metavar="FOLDER", help="move a run out of the trash, by its folder there")
    one.add_argument("--empty", action="store_true", help="delete all that is in the trash, for good")
    one.add_argument("--yes", action="store_true", help="empty it without being asked")


def _with_export(one: argparse.ArgumentParser) -> None:
    one.add_argument("run", help="a run that finished or was stopped")
    one.add_argument(
        "target", choices=list(TARGETS), help="; ".join(f"{id}: {each.words}" for id, each in TARGETS.items())
    )
    one.add_argument("--out", metavar="DIR", help="the folder to write (default: RUN-TARGET here)")
    for setting, field in ExportOptions.model_fields.items():
        flag, used = f"--{setting.replace('_', '-')}", [id for id, each in TARGETS.items() if setting in each.options]
        words = f"{field.description} For: {', '.join(used)}."
        if isinstance(field.default, bool):
            one.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=words)
        else:
            one.add_argument(flag, type=type(field.default), default=field.default, help=words)


def _with_archive(one: argparse.ArgumentParser) -> None:
    one.add_argument("run", help="a run that is not training")
    one.add_argument("--out", metavar="FILE", help="the file to write (default: RUN.zip here)")
    one.add_argument("--logs", action="store_true", help="with the worker's log, which names folders of this machine")


def _with_space(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "space", nargs="?", default="workbench", help="NAME or OWNER/NAME of the Space (default: workbench)"
    )
    one.add_argument(
        "--hardware", choices=list(FOR_SPACES), default="cpu-basic", help="what it runs on (default: cpu-basic)"
    )
    one.add_argument(
        "--sleep", type=int, default=3600, help="seconds without a visit until paid hardware sleeps (default: 3600)"
    )
    one.add_argument("--public", action="store_true", help="anybody may open it (default: private)")
    one.add_argument("--run", metavar="RUN", action="append", default=[], help="a run that goes along, without its log")
    one.add_argument("--dry-run", action="store_true", help="print every file and what it costs, and send nothing")
    one.add_argument("--yes", action="store_true", help="send it without being asked")


def _with_pairs(one: argparse.ArgumentParser) -> None:
    one.add_argument("data", help="a stored dataset, the training prompts of which are answered")
    one.add_argument(
        "--reward", metavar="RUN", required=True, help="a finished reward run, which takes the best and the worst"
    )
    one.add_argument("--answerer", metavar="RUN", default="", help="the run that answers (default: the base model)")
    one.add_argument("--name", help="name of the new dataset (default: from both names)")
    for setting, field in PairSettings.model_fields.items():
        flag = f"--{setting.replace('_', '-')}"
        one.add_argument(flag, type=type(field.default), default=field.default, help=field.description)


def _with_format(one: argparse.ArgumentParser) -> None:
    one.add_argument("--format", choices=[format.id for format in FORMATS], help="instead of what is recognised")
    one.add_argument(
        "--option",
        metavar="ID",
        help="the choice that a format leaves: which answers become the pair, what a number means",
    )
    one.add_argument(
        "--map", type=mapped, action="append", metavar="PART=COLUMN",
        help=f"the column that holds a part ({', '.join(MAPPED)}); system, context, input and history alone add to what is recognised",
    )  # fmt: skip
    one.add_argument("--ignore", action="append", metavar="COLUMN", help="a column that is not to be used")


def _with_settings(one: argparse.ArgumentParser) -> None:
    one.add_argument("config", nargs="?", help="a JSON file of settings, such as a run's config.json")
    one.add_argument("--preset", metavar="ID", help="settings that go together, in place of a file; see `presets`")
    one.add_argument("--card", metavar="ID", help="the size of card that a preset is for (default: this machine's)")
    one.add_argument("--model", help="with --preset: demo, a Hugging Face id or a folder")
    one.add_argument(
        "--data", metavar="FILE", help="with --preset: a data file, which is stored first, or a stored dataset"
    )
    one.add_argument(
        "--reward",
        metavar="RUN",
        help="with a --preset that learns from rewards: the reward run that scores the answers",
    )
    one.add_argument(
        "--name", help="name of the run (default: the config's or preset's, with a number where it is taken)"
    )
    _with_format(one)


def _with_sweeps(one: argparse.ArgumentParser, listed: argparse.ArgumentParser) -> None:
    _with_settings(one)
    one.add_argument(
        "--vary", type=varied, required=True, metavar="SETTING=VALUE,VALUE,...",
        help="the setting and two to eight values of it, such as dpo.beta=.05,.1,.3",
    )  # fmt: skip
    listed.add_argument("id", nargs="?", help="one sweep, as the list names it (default: all)")


def _with_report(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run, or a checkpoint as RUN@STAGE-STEP; twice the same answers with two seeds",
    )
    one.add_argument("--reward", metavar="RUN", help="a run that trained a reward model, to score all answers")
    one.add_argument(
        "--judge", metavar="MODEL", help="a model that compares answers: a Hugging Face id, a folder or demo"
    )
    one.add_argument("--prompts", type=int, default=64, help="held-out prompts to ask (default: 64)")
    one.add_argument("--html", metavar="FILE", help="write it as one self-contained page")
    one.add_argument("--temperature", type=float, default=0.7)
    one.add_argument("--max-new-tokens", type=int, default=256)
    one.add_argument("--seed", type=int, default=17)
