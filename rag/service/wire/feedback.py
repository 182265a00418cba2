"""What whoever asked says of an answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from rag.asked.log import LONGEST_COMMENT
from rag.service.wire.forms import Form


class FeedbackRequest(Form):
    """`entry`: of the `ragline` object of the answer. `good`: null takes back what was said."""

    entry: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    good: bool | None = Field(description="Whether the answer was good; null takes it back.")
    comment: Annotated[str, StringConstraints(max_length=LONGEST_COMMENT)] = ""
