"""Datasets that a run can train on: canonical rows in two Parquet files, and about.json, which says where from.

A dataset is a folder: train.parquet, held_out.parquet, left_out.jsonl (examples of what could not be used), report.json
(what the doctor says of it) and about.json, written last. That is its version 1. Each change makes another one beside
it, in versions/2, versions/3, ...; current.json says which of them is in use. A dataset, like each of its versions, is
there whole or not at all: it grows in a draft folder, which is then renamed.

Row numbers count from 0 over the training rows and then the held-out rows of a version.
"""

from workbench.store.datasets.abouts import About, about, all_abouts, damaged, write_about
from workbench.store.datasets.changes import (
    add_row,
    apply_remedy,
    change,
    copy,
    create_by_hand,
    delete_rows,
    edit_row,
    examine,
    keep_rewards,
    redo,
    split_again,
    undo,
    versions,
)
from workbench.store.datasets.checking import check, checked
from workbench.store.datasets.exporting import convert_file, export, sweep_beside
from workbench.store.datasets.folders import DEMO_FOLDERS, check_free, delete, free_name, names, path, sweep_drafts
from workbench.store.datasets.importing import Provenance, Take, add, mix
from workbench.store.datasets.previewing import Preview, preview
from workbench.store.datasets.reading import left_out_examples, read, report, row, search, thumbs
from workbench.store.datasets.source import Account, Progress
from workbench.store.datasets.tables import fingerprint, write_rows

__all__ = [
    "DEMO_FOLDERS",
    "About",
    "Account",
    "Preview",
    "Progress",
    "Provenance",
    "Take",
    "about",
    "add",
    "add_row",
    "all_abouts",
    "damaged",
    "apply_remedy",
    "change",
    "check",
    "check_free",
    "checked",
    "convert_file",
    "copy",
    "create_by_hand",
    "delete",
    "delete_rows",
    "edit_row",
    "examine",
    "export",
    "fingerprint",
    "free_name",
    "keep_rewards",
    "left_out_examples",
    "mix",
    "names",
    "path",
    "preview",
    "read",
    "redo",
    "report",
    "row",
    "search",
    "split_again",
    "sweep_beside",
    "sweep_drafts",
    "thumbs",
    "undo",
    "versions",
    "write_about",
    "write_rows",
]
