"""What a person says of the rows of a source, where they are not to be read as they are recognised."""

from dataclasses import dataclass

from workbench.core.data.formats.columns import Columns


@dataclass(frozen=True)
class ReadOptions:
    """How rows are to be read; what is left out is as recognised. See `recognise`.

    mapping: columns named by hand; where it names no answers, it only adds to what is recognised. format, option: ids.
    ignore: columns that are not to be used, as if they were not there.
    """

    mapping: Columns | None = None
    format: str | None = None
    option: str | None = None
    ignore: tuple[str, ...] = ()

    @property
    def by_hand(self) -> Columns | None:
        """A mapping that names the answers; without them it only adds to what is recognised."""
        return self.mapping if self.mapping and not self.mapping.only_adds else None


AS_RECOGNISED = ReadOptions()
