"""The rows of a stage as its trainer takes them."""

from typing import Any

from workbench.core.data.messages import PARTS
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


def with_something_to_learn(rows: Any) -> Any:
    """The rows of SFT of which a part of the answer is left within the longest example.

    TRL drops the others. Unsloth, which prepares the rows in its stead, keeps them, and a batch of only those has a
    loss of 0 / 0.
    """
    learned: list[bool] = []
    for some in rows.select_columns("labels").iter(1000):
        learned += [any(label != -100 for label in labels) for labels in some["labels"]]
    return rows if all(learned) else rows.select([number for number, learns in enumerate(learned) if learns])
