"""Files of questions (`--log`): an entry that quotes or cites documents that go is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.erasure.keeper import Keeper
from rag.erasure.leaving import Leaving
from rag.erasure.sessions import beside, has_tables


class QuestionsKeeper(Keeper):
    """Entries stand alone, so those of other documents stay."""

    name = "questions"

    def recognises(self, path: Path) -> bool:
        """Whether a path is a file of questions.

        Raises:
            SpecError: it is a database that cannot be opened now, as reading one takes room beside it.
        """
        return has_tables(path, {"questions"})

    def places(self, path: Path) -> Sequence[Path]:
        return beside(path)

    def erase(self, path: Path, leaving: Leaving) -> str:
        from rag.asked import Entry, QuestionLog

        def goes(entry: Entry) -> bool:
            texts = (entry.question, entry.answer, entry.comment)
            return any(map(leaving.in_text, texts)) or leaving.names_any((*entry.passages, *entry.cited))

        log = QuestionLog(path)
        try:
            n = log.forget(goes)
        finally:
            log.close()
        return f"{n:,} questions taken out"
