"""What a graph says of the leg `pictures`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ragline_media.tower.packaged import TOWER

AUTO = "auto"
ENGLISH = "all-minilm-l6-v2"
"""The encoder where neither settings nor the vectors of texts name one."""


class PicturesSettings(BaseModel):
    """What sees pictures, and in whose space words find them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tower: str = Field(
        default=TOWER,
        description="What sees pictures: a packaged name, a folder of its weights, or one of a published layout.",
    )
    encoder: str = Field(
        default=AUTO,
        description="What reads questions: a packaged name, a folder or a hub id; auto is the tower itself where it reads texts,"
        " else that of the dense leg.",
    )
    projector: str | None = Field(
        default=None,
        description="A folder with what was fitted on pairs of pictures and captions; unset: pictures are told by tags.",
    )
