"""Questions and their answers in SQLite: who asked, what was read and cited, and whether it was good.

It knows no HTTP and no models. An entry is written as a whole or not at all, also when the process is killed in the middle.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rag.core.access import NOBODY, Asker
from rag.core.database import Database, Form, storable
from rag.core.errors import SpecError

FORM = Form(
    kind="questions",
    tables=(
        "CREATE TABLE questions (position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, asked_s REAL NOT NULL,"
        " user TEXT NOT NULL, tenant TEXT NOT NULL, door TEXT NOT NULL, graph TEXT NOT NULL, generation TEXT NOT NULL,"
        " question TEXT NOT NULL, answer TEXT NOT NULL, status TEXT NOT NULL, passages TEXT NOT NULL, cited TEXT NOT NULL,"
        " counts TEXT NOT NULL, seconds REAL NOT NULL, good INTEGER, comment TEXT NOT NULL DEFAULT '')",
        "CREATE INDEX questions_by_time ON questions (asked_s)",
        "CREATE INDEX questions_by_user ON questions (tenant, user, asked_s)",
    ),
)
_COLUMNS = (
    "id, asked_s, user, tenant, door, graph, generation, question, answer, status, passages, cited, counts, seconds, good,"
    " comment"
)
LONGEST_COMMENT = 2_000


class UnknownEntry(Exception):
    """No such entry, or another asker's: nobody learns which of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A question and what came of it.

    `passages`: doc_ids of what the answer was written from, in order; `cited`: those that it cites. `good`: what whoever asked
    says of the answer; None where nobody said anything.
    """

    question: str
    answer: str
    status: str
    passages: tuple[str, ...] = ()
    cited: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)
    seconds: float = 0.0
    user: str = ""
    tenant: str = ""
    door: str = ""
    graph: str = ""
    generation: str = ""
    id: str = ""
    asked_s: float = 0.0
    good: bool | None = None
    comment: str = ""

    @classmethod
    def of(cls, answer: Mapping[str, Any], *, asker: Asker | None = None, **more: Any) -> Entry:
        """What is kept of an answer as plain data (`rag.pipeline.as_json.answer_json`). `more`: other fields."""
        who = asker or NOBODY
        return cls(
            question=answer["question"],
            answer=answer["answer"],
            status=answer["status"],
            passages=tuple(each["doc_id"] for each in answer["passages"]),
            cited=tuple(dict.fromkeys(each["doc_id"] for each in answer["citations"])),
            counts=dict(answer["outcome"]["counts"]),
            user=who.user,
            tenant=who.tenant,
            **more,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "id": self.id,
            "asked": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.asked_s)),
            **({"user": self.user} if self.user else {}),
            **({"tenant": self.tenant} if self.tenant else {}),
            "door": self.door,
            "graph": self.graph,
            "generation": self.generation,
            "question": self.question,
            "answer": self.answer,
            "status": self.status,
            "passages": list(self.passages),
            "cited": list(self.cited),
            "counts": dict(self.counts),
            "seconds": self.seconds,
            "good": self.good,
            "comment": self.comment,
        }


class QuestionLog:
    """Entries in one file. Many threads may use it, and several processes; close it at the end.

    Args:
        path: the file; made if absent, readable by its owner alone.
        max_age_s: entries that are older go; None keeps them.
        max_entries: most entries; the oldest go first.
        clock: seconds since the epoch.
    Raises:
        SpecError: the path is no file of questions, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_age_s: float | None = None,
        max_entries: int = 1_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_entries < 1 or (max_age_s is not None and not max_age_s > 0):
            raise ValueError(
                f"questions: max_entries must be at least 1 and max_age_s above 0, got {max_entries} and {max_age_s}"
            )
        self._max_age_s, self._max_entries, self._clock = max_age_s, max_entries, clock
        self._database = Database(path, FORM)

    @classmethod
    def existing(cls, path: Path) -> Self:
        """One that is there, for whoever looks at it: SpecError says what makes one, where there is none."""
        if not path.is_file():
            raise SpecError(
                f"no file of questions at '{path}'. It is made by rag ask, chat or serve with --log '{path}'"
            )
        return cls(path)

    def add(self, entry: Entry) -> str:
        """Keep an entry; the id by which it is rated: 128 random bits in hex, which no command line takes for an option."""
        made, now = secrets.token_hex(16), self._clock()
        texts = (entry.user, entry.tenant, entry.door, entry.graph, entry.generation, entry.question, entry.answer)
        lists = (json.dumps(entry.passages), json.dumps(entry.cited), json.dumps(dict(entry.counts)))
        row = (made, now, *map(storable, texts), entry.status, *lists, entry.seconds)
        with self._database.transaction() as database:
            database.execute(
                "INSERT INTO questions (id, asked_s, user, tenant, door, graph, generation, question, answer, status,"
                f" passages, cited, counts, seconds) VALUES ({', '.join('?' * len(row))})",
                row,
            )
            if self._max_age_s is not None:
                database.execute("DELETE FROM questions WHERE asked_s <= ?", (now - self._max_age_s,))
            database.execute(
                "DELETE FROM questions WHERE position <= (SELECT max(position) FROM questions) - ?",
                (self._max_entries,),
            )
        return made

    def entries(
        self, *, asker: Asker | None = None, since_s: float = 0.0, newest: int | None = None
    ) -> Iterator[Entry]:
        """Entries, oldest first.

        Args:
            asker: those that this user asked alone; None means everybody's, which is for whoever keeps the file.
            since_s: those since then, seconds since the epoch.
            newest: the last so many of them.
        """
        wanted, given = ["asked_s >= ?"], list[object]([since_s])
        if asker is not None:
            wanted.append("tenant = ? AND user = ?")
            given += [asker.tenant, asker.user]
        where = " AND ".join(wanted)
        first = 0
        if newest is not None:
            places = self._database.read(
                f"SELECT position FROM questions WHERE {where} ORDER BY position DESC LIMIT ?", (*given, newest)
            )
            if not places:
                return
            first = places[-1][0] - 1
        while rows := self._database.read(
            f"SELECT position, {_COLUMNS} FROM questions WHERE {where} AND position > ? ORDER BY position LIMIT 500",
            (*given, first),
        ):
            first = rows[-1][0]
            yield from (_entry(row[1:]) for row in rows)

    def rate(self, id: str, *, good: bool | None, comment: str = "", asker: Asker | None = None) -> None:
        """Say what an answer was worth; None takes it back.

        Args:
            asker: who says it: whoever asked, and no other. None is whoever keeps the file.
        Raises:
            UnknownEntry: it is not there (any more), or somebody else's.
        """
        who = "" if asker is None else " AND tenant = ? AND user = ?"
        given = () if asker is None else (asker.tenant, asker.user)
        with self._database.transaction() as database:
            touched = database.execute(
                f"UPDATE questions SET good = ?, comment = ? WHERE id = ?{who}",
                (None if good is None else int(good), storable(comment[:LONGEST_COMMENT]), id, *given),
            )
            if touched.rowcount != 1:
                raise UnknownEntry

    def forget(self, matches: Callable[[Entry], bool]) -> int:
        """Take out every entry that matches, whoever's; how many. The file keeps no copy of them.

        Raises:
            SpecError: another process holds the file for too long, or there is no room to write it again. What was not
                taken out is still there.
        """
        with self._database.erasing() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM questions")
            going = [entry.id for entry in map(_entry, rows) if matches(entry)]
            database.executemany("DELETE FROM questions WHERE id = ?", [(each,) for each in going])
        return len(going)

    def close(self) -> None:
        """End the connection."""
        self._database.close()


def _entry(row: Sequence[Any]) -> Entry:
    named: dict[str, Any] = dict(zip(_COLUMNS.split(", "), row, strict=True))
    for name in ("passages", "cited"):
        named[name] = tuple(json.loads(named[name]))
    good = named.pop("good")
    return Entry(**named | {"counts": json.loads(named["counts"]), "good": None if good is None else bool(good)})
