"""What was asked and answered, kept where somebody switched it on: to look at, to rate, to learn from, and to forget."""

from rag.asked.log import Entry, QuestionLog, UnknownEntry

__all__ = ["Entry", "QuestionLog", "UnknownEntry"]
