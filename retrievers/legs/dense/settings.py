"""What a graph may say of the dense leg: `index.dense`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from retrievers.stores import STRUCTURES


def _known(structure: str) -> str:
    if structure not in STRUCTURES:
        names = [repr(name) for name in STRUCTURES]
        expected = " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
        raise PydanticCustomError("unknown_structure", "Input should be {expected}", {"expected": expected})
    return structure


def _listed(schema: dict[str, Any]) -> None:
    schema["enum"] = list(STRUCTURES)


Structure = Annotated[str, AfterValidator(_known), Field(json_schema_extra=_listed)]
"""A name of the table `STRUCTURES`."""


class DenseSettings(BaseModel):
    """Vectors: who encodes, and how they are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoder: str = Field(
        default="all-minilm-l6-v2",
        description="A packaged model, a sentence-transformers folder, or a hub id.",
    )
    revision: str | None = Field(default=None, description="Hub revision.")
    structure: Structure = "flat"
    storage: Literal["float32", "int8"] = Field(
        default="float32", description="int8: faiss scalar quantisation; recall against float32 is measured when built."
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Data type of the encoder. auto: bfloat16 where the processor is fast at it."
    )
