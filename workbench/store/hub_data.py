"""Preference data from the Hugging Face Hub, streamed: only what is read is downloaded, and no code of a dataset runs.

The `datasets` library is imported on first use, because that takes a second, and kept from loading torch.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workbench.core.data.formats import AS_RECOGNISED, ReadOptions
from workbench.core.data.messages import RawRow
from workbench.core.errors import WorkbenchError
from workbench.store import datasets
from workbench.store.datasets import About, Progress, Provenance, Take
from workbench.store.files import Limits, Rows
from workbench.store.sources import HubSource

# Each configuration costs several requests. Sets with more of them (one per language) have the same splits in each.
MAX_CONFIGS_ASKED = 20
TIMEOUT_SECONDS = 10
PARQUET_BRANCH = "refs/convert/parquet"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_PAGE = re.compile(r"(https?://)?(www\.)?huggingface\.co/datasets/")


@dataclass(frozen=True)
class HubFacts:
    """What the Hub says of a dataset. commit: the one that a branch, or no revision at all, stands for just now."""

    licence: str | None
    commit: str | None


class Hub(Protocol):
    """The four questions that are asked of the Hub."""

    def facts(self, id: str, revision: str | None) -> HubFacts: ...
    def configs(self, id: str, revision: str | None) -> list[str]: ...
    def splits(self, id: str, config: str, revision: str | None) -> list[str]: ...
    def stream(self, id: str, config: str, split: str, revision: str | None) -> tuple[Iterator[RawRow], int | None]: ...


class OnlineHub:
    """The Hub itself (or the one that HF_ENDPOINT names), asked as whoever `hf auth login` knows."""

    def facts(self, id: str, revision: str | None) -> HubFacts:
        """Also the quickest way to learn that the Hub or the dataset is out of reach: one request, no retries."""
        from huggingface_hub import HfApi

        info = HfApi().dataset_info(id, revision=revision, timeout=TIMEOUT_SECONDS)
        licences = (tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:"))
        return HubFacts(next(licences, None), info.sha)

    def configs(self, id: str, revision: str | None) -> list[str]:
        from datasets import get_dataset_config_names

        return list(get_dataset_config_names(id, revision=revision))

    def splits(self, id: str, config: str, revision: str | None) -> list[str]:
        from datasets import get_dataset_split_names

        return [str(split) for split in get_dataset_split_names(id, config, revision=revision)]

    def stream(self, id: str, config: str, split: str, revision: str | None) -> tuple[Iterator[RawRow], int | None]:
        from datasets import load_dataset

        with _without_torch():
            # Pictures and sounds stay the bytes that they are: nothing here looks at them.
            rows = load_dataset(id, config, split=split, revision=revision, streaming=True).decode(False)
        known = (rows.info.splits or {}).get(split)
        return iter(rows), known.num_examples if known else None


def parse_id(text: str) -> str:
    """The id owner/name in what a person typed or pasted. Raises WorkbenchError for anything else."""
    id = text.strip()
    if page := _PAGE.match(id):
        id = "/".join(re.split(r"[/?#]", id[page.end() :])[:2])
    if not _ID.fullmatch(id):
        raise WorkbenchError(
            f"{text.strip()[:120]!r} is not the id of a dataset. An id has the form owner/name, for example "
            "trl-lib/ultrafeedback_binarized."
        )
    return id


def configs_and_splits(id: str, revision: str | None = None, hub: Hub | None = None) -> dict[str, list[str]]:
    """Configuration -> its splits. Beyond MAX_CONFIGS_ASKED, a configuration is listed with the splits of the first."""
    id, hub = parse_id(id), hub or OnlineHub()
    if Path(id).exists():
        raise WorkbenchError(
            f"There is a folder {id} where the workbench was started, and it would be read in place of the dataset on "
            "the Hub. Start the workbench in another folder."
        )
    with _as_workbench_error(id, revision):
        hub.facts(id, revision)
        configs = hub.configs(id, revision)
        found = {config: hub.splits(id, config, revision) for config in configs[:MAX_CONFIGS_ASKED]}
    return {config: found.get(config) or found[configs[0]] for config in configs}


def stream_rows(
    id: str, config: str, split: str, revision: str | None = None, hub: Hub | None = None, limits: Limits | None = None
) -> Rows:
    """(row number from 1, row), downloaded as they are read, under the same limits as a file.

    Raises WorkbenchError for a configuration or split that there is not, and whenever the Hub says no.
    """
    id, hub = parse_id(id), hub or OnlineHub()
    there = configs_and_splits(id, revision, hub)
    if config not in there:
        raise WorkbenchError(f"{id} has no configuration {config!r}. It has: {', '.join(there)}.")
    if split not in there[config]:
        raise WorkbenchError(f"{id} ({config}) has no split {split!r}. It has: {', '.join(there[config])}.")
    return Rows(_numbered(hub, id, config, split, revision), ExitStack(), f"{id} ({split})", limits or Limits())


def add_split(
    source: HubSource,
    name: str,
    *,
    options: ReadOptions = AS_RECOGNISED,
    take: Take | None = None,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> About:
    """Store a split of a Hub dataset as a dataset of ours; see `datasets.add`."""
    source, hub = source.model_copy(update={"id": parse_id(source.id)}), hub or OnlineHub()
    datasets.check_free(name)
    with _as_workbench_error(source.id, source.revision):
        known = hub.facts(source.id, source.revision)
    provenance = Provenance(source.words, licence=known.licence, revision=known.commit or source.revision)
    with closing(stream_rows(source.id, source.config, source.split, source.revision, hub)) as rows:
        return datasets.add(rows, name, source=provenance, options=options, take=take, progress=progress)


def _numbered(hub: Hub, id: str, config: str, split: str, revision: str | None) -> Iterator[tuple[int, RawRow, float]]:
    with _as_workbench_error(id, revision):
        rows, total = hub.stream(id, config, split, revision)
        for number, row in enumerate(rows, start=1):
            yield number, row, min(1.0, number / total) if total else 0.0


@contextmanager
def _without_torch() -> Iterator[None]:
    """Keeps `datasets` (4.8) from loading torch, which it does to make its streams subclasses of a torch class."""
    from datasets import config

    there, config.TORCH_AVAILABLE = config.TORCH_AVAILABLE, config.TORCH_AVAILABLE and "torch" in sys.modules
    try:
        yield
    finally:
        config.TORCH_AVAILABLE = there


@contextmanager
def _as_workbench_error(id: str, revision: str | None) -> Iterator[None]:
    """Every way in which the Hub says no, as a WorkbenchError. Anything else is a bug and passes."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        words = _why(error, id, revision)
        if words is None:
            raise
        # The text of the library's own error can hold addresses with a signature, so it is not passed on.
        raise WorkbenchError(words) from None


def _why(error: Exception, id: str, revision: str | None) -> str | None:
    """What the library's error means for a person, by its class name, its words and its HTTP status."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if "OfflineModeIsEnabled" in kinds or "OfflineModeIsEnabled" in text:
        return (
            f"{id} cannot be read: HF_HUB_OFFLINE is set, so the Hub is not asked. Unset it and start again, or upload "
            "a file."
        )
    if "GatedRepoError" in kinds or "is a gated dataset" in text:
        return (
            f"{id} is gated: its owner asks you to accept terms. Accept them on "
            f"https://huggingface.co/datasets/{id}, run `hf auth login`, and try again."
        )
    if "RevisionNotFoundError" in kinds or text.startswith("Revision "):
        return f"{id} has no revision {revision!r}. Leave the revision empty for the newest."
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return (
            f"There is no dataset {id} on the Hub, or it is private. Look for a typing error; for a private dataset "
            "run `hf auth login` with an account that may read it."
        )
    if "scripts are no longer supported" in text:
        return (
            f"{id} can only be loaded by running its own program code, and that is never done. The Hub keeps a "
            f"converted copy of many such datasets: try the revision {PARQUET_BRANCH}."
        )
    if kinds & {"DataFilesNotFoundError", "EmptyDatasetError"}:
        return f"{id} holds no data files that can be read (JSON, CSV, Parquet). Look at its files on its page."
    if "HfHubHTTPError" in kinds or "HTTPStatusError" in kinds:
        status = getattr(getattr(error, "response", None), "status_code", None)
        wait = "Wait a few minutes and try again." if status in (429, 500, 502, 503, 504) else "Try again later."
        return f"The Hub refused to send {id} (HTTP status {status or 'unknown'}). {wait}"
    if kinds & {"ConnectionError", "TransportError", "TimeoutError", "Timeout", "LocalEntryNotFoundError"}:
        return (
            f"{id} cannot be read: the Hub cannot be reached. Check the network connection and try again; without one, "
            "upload a file or use the demo data."
        )
    if kinds & {"DatasetGenerationError", "CastError", "ArrowInvalid", "ArrowException", "FileFormatError"}:
        return (
            f"The files of {id} cannot be read as one table ({type(error).__name__}). Try another configuration, or "
            f"the revision {PARQUET_BRANCH}."
        )
    return None
