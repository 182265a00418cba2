"""What was asked and answered, kept where somebody switched it on: to look at, to rate, to learn from, and to forget."""

from rag.asked.log import LONGEST_COMMENT, Entry, QuestionLog, UnknownEntry

__all__ = ["LONGEST_COMMENT", "Entry", "QuestionLog", "UnknownEntry"]
