"""The rows of a stage as its trainer takes them."""

from pathlib import Path
from typing import Any

from workbench.core.data.messages import PARTS, prompt_key
from workbench.core.errors import WorkbenchError
from workbench.core.training.config import RunConfig, Stage
from workbench.core.training.methods import METHODS
from workbench.store import datasets

# Which rows are held out for measuring, and KTO's neighbours, stay the same from run to run: so that runs with different
# seeds can be compared, and share what is known of their reference.
ORDER_SEED = 17


def data_of(config: RunConfig, stage: Stage) -> str:
    """Name of the dataset of a stage of a config that can be run."""
    name = config.data_of(stage)
    assert name, "read_config refuses a config without the data that its stages need"
    return name


def load_rows(config: RunConfig, stage: Stage, described: datasets.About | None = None) -> tuple[Any, Any]:
    """Training and held-out rows of a stage in TRL's conversational form, as datasets.Dataset, in memory.

    described: the version to take; the one in use where it is left out.

    Of a preference dataset, the chosen answers are used. A dataset too small to hold anything out is measured on its
    own first rows.
    """
    import pyarrow.parquet
    from datasets import Dataset

    if METHODS[stage].online:
        return _prompts(config, stage, described)
    name = data_of(config, stage)
    described = described or datasets.about(name)
    # Numbers and scores that are stored beside the parts of a row are not for the trainer.
    columns = list(PARTS[described.kind])
    parts = {
        # Both sides of one version, whatever is changed on the Data page meanwhile.
        split: Dataset(pyarrow.parquet.read_table(datasets.path(name, split, described.version), columns=columns))
        for split in ("train", "held_out")
    }
    if METHODS[stage].imitates and "chosen" in parts["train"].column_names:
        parts = {
            split: rows.rename_column("chosen", "completion").remove_columns("rejected")
            for split, rows in parts.items()
        }
    training, held_out = parts["train"], parts["held_out"]
    if not len(training):
        raise WorkbenchError(f"The dataset {name} has no training rows. Look at it on the Data page.")
    if not len(held_out):
        held_out = training
    if METHODS[stage].smallest_batch > 1:
        # TRL goes through them in order, and a batch with only one thumb teaches little.
        training = training.shuffle(seed=ORDER_SEED)
    return training, held_out.shuffle(seed=ORDER_SEED).select(range(min(len(held_out), config.held_out_limit)))


# Held-out prompts that are answered at an evaluation: each is read in a moment, but answered token by token.
MOST_ANSWERED = 32


def _prompts(config: RunConfig, stage: Stage, described: datasets.About | None) -> tuple[Any, Any]:
    """Training and held-out prompts, each once, in one column `prompt`."""
    from datasets import Dataset

    name = data_of(config, stage)
    described = described or datasets.about(name)
    found = []
    for split in ("train", "held_out"):
        rows = _prompts_in(datasets.path(name, split, described.version))
        found.append(list({prompt_key(prompt): prompt for prompt in rows}.values()))
    training, held_out = found
    if not training:
        raise WorkbenchError(f"The dataset {name} has no training rows. Look at it on the Data page.")
    measured = Dataset.from_dict({"prompt": held_out or training}).shuffle(seed=ORDER_SEED)
    count = min(len(measured), config.held_out_limit, MOST_ANSWERED)
    return Dataset.from_dict({"prompt": training}), measured.select(range(count))


def _prompts_in(file: Path) -> list[list[dict[str, str]]]:
    import pyarrow.parquet

    prompts: list[list[dict[str, str]]] = pyarrow.parquet.read_table(file, columns=["prompt"])["prompt"].to_pylist()
    return prompts


def with_something_to_learn(rows: Any) -> Any:
    """The rows of SFT of which a part of the answer is left within the longest example.

    TRL drops the others. Unsloth, which prepares the rows in its stead, keeps them, and a batch of only those has a
    loss of 0 / 0.
    """
    learned: list[bool] = []
    for some in rows.select_columns("labels").iter(1000):
        learned += [any(label != -100 for label in labels) for labels in some["labels"]]
    return rows if all(learned) else rows.select([number for number, learns in enumerate(learned) if learns])
