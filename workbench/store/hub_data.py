"""Preference data from the Hugging Face Hub, streamed: only what is read is downloaded, and no code of a dataset runs.

The `datasets` library is imported on first use, because that takes a second, and kept from loading torch.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.core.data.formats import AS_RECOGNISED, ReadOptions
from workbench.core.data.messages import RawRow
from workbench.core.errors import WorkbenchError
from workbench.store import datasets
from workbench.store.datasets import About, Progress, Provenance, Take
from workbench.store.files import Limits, Rows
from workbench.store.hub_errors import hub_errors
from workbench.store.sources import HubSource

# Each configuration costs several requests. Sets with more of them (one per language) have the same splits in each.
MAX_CONFIGS_ASKED = 20
TIMEOUT_SECONDS = 10

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_PAGE = re.compile(r"(https?://)?(www\.)?huggingface\.co/datasets/")


@dataclass(frozen=True)
class HubFacts:
    """What the Hub says of a dataset. commit: the one that a branch, or no revision at all, stands for just now."""

    licence: str | None
    commit: str | None


class Hub:
    """The four questions that are asked of the Hub (or the one that HF_ENDPOINT names), as whoever `hf auth login` knows."""

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
    id, hub = parse_id(id), hub or Hub()
    if Path(id).exists():
        raise WorkbenchError(
            f"There is a folder {id} where the workbench was started, and it would be read in place of the dataset on "
            "the Hub. Start the workbench in another folder."
        )
    with hub_errors("dataset", id, revision):
        hub.facts(id, revision)
        configs = hub.configs(id, revision)
        found = {config: hub.splits(id, config, revision) for config in configs[:MAX_CONFIGS_ASKED]}
    return {config: found.get(config) or found[configs[0]] for config in configs}


def stream_rows(id: str, config: str, split: str, revision: str | None = None, hub: Hub | None = None) -> Rows:
    """(row number from 1, row), downloaded as they are read, under the same limits as a file.

    Raises WorkbenchError for a configuration or split that there is not, and whenever the Hub says no.
    """
    id, hub = parse_id(id), hub or Hub()
    there = configs_and_splits(id, revision, hub)
    if config not in there:
        raise WorkbenchError(f"{id} has no configuration {config!r}. It has: {', '.join(there)}.")
    if split not in there[config]:
        raise WorkbenchError(f"{id} ({config}) has no split {split!r}. It has: {', '.join(there[config])}.")
    return Rows(_numbered(hub, id, config, split, revision), ExitStack(), f"{id} ({split})", Limits())


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
    source, hub = source.model_copy(update={"id": parse_id(source.id)}), hub or Hub()
    datasets.check_free(name)
    with hub_errors("dataset", source.id, source.revision):
        known = hub.facts(source.id, source.revision)
    provenance = Provenance(source.words, licence=known.licence, revision=known.commit or source.revision)
    with closing(stream_rows(source.id, source.config, source.split, source.revision, hub)) as rows:
        return datasets.add(rows, name, source=provenance, options=options, take=take, progress=progress)


def _numbered(hub: Hub, id: str, config: str, split: str, revision: str | None) -> Iterator[tuple[int, RawRow, float]]:
    with hub_errors("dataset", id, revision):
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
