"""A turn of a conversation and its pieces, in OpenAI's format."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rag.doors import inside
from rag.types import Content
from ragline_serve.service.wire.forms import MOST_PARTS, ForeignForm, Listed, Text


class TextPart(ForeignForm):
    """A piece of a message that is text."""

    type: Literal["text"]
    text: Text


class PictureAddress(ForeignForm):
    """Where a picture is: in the request itself. Nothing is fetched."""

    url: str = Field(pattern=r"^data:image/[a-z0-9.+-]{1,60};base64,", description="data:image/png;base64,...")
    detail: Literal["auto", "low", "high"] | None = None


class PicturePart(ForeignForm):
    """A piece of a message that is a picture."""

    type: Literal["image_url"]
    image_url: PictureAddress

    @property
    def content(self) -> Content:
        head, _, data = self.image_url.url.partition(",")
        return inside("picture", head.removeprefix("data:").removesuffix(";base64"), data)


class Sound(ForeignForm):
    """Sound, in base64."""

    data: str = Field(min_length=1)
    format: Literal["wav", "mp3"]


class SoundPart(ForeignForm):
    """A piece of a message that is sound."""

    type: Literal["input_audio"]
    input_audio: Sound

    @property
    def content(self) -> Content:
        return inside("sound", f"audio/{self.input_audio.format}", self.input_audio.data)


Part = Annotated[TextPart | PicturePart | SoundPart, Field(discriminator="type")]


class ChatMessage(ForeignForm):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | Annotated[Listed[Part], Field(max_length=MOST_PARTS)] | None = None

    @property
    def is_system(self) -> bool:
        """Whether it is the application's word, not its user's."""
        return self.role in ("system", "developer")

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def contents(self) -> tuple[Content, ...]:
        """Pieces that are no text.

        Raises:
            ValueError: one is not base64.
        """
        parts = () if isinstance(self.content, str) else self.content or ()
        return tuple(part.content for part in parts if not isinstance(part, TextPart))
