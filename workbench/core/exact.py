"""The base of values that are stored, or handed from one process to another."""

from pydantic import BaseModel, ConfigDict


class Exact(BaseModel):
    """A value with the fields that it names and no others, which nobody changes once it was passed on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
