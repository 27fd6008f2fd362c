"""What all blocks of params.yaml share."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Pooling = Literal["avg", "max"]


class Block(BaseModel):
    """A block: every field is required, unknown ones are refused, numbers are finite, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def entry(description: str, **limits: Any) -> Any:
    """A required field: what it is, its unit, where its value comes from ([paper], [lineage], [ours])."""
    return Field(..., description=description, **limits)


def optional(description: str, default: Any = None, **limits: Any) -> Any:
    """A field that may be left out."""
    return Field(default, description=description, **limits)
