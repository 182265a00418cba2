"""Test sets of one's own corpus: a model asks about drawn passages, and what cannot be used is dropped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Dataset
from rag.files import Progress, silent
from rag.graphs import index_identity
from rag.indexes import Index
from rag.types import Document
from ragline_lab.llms import NamedLLM
from ragline_lab.questions.elsewhere import Elsewhere, answered_here, lines_of
from ragline_lab.questions.legs_alone import Legs
from ragline_lab.questions.lines import Line, Side, line_key, read_line, sieved
from ragline_lab.questions.report import QuestionsReport, Yield
from ragline_lab.questions.words import NEAREST, Repeats, fault
from ragline_lab.questions.writer import QuestionWriter
from ragline_lab.questions.written import require_documents, write_set
from ragline_lab.resumed import Lines, resumed

BATCH = 16
"""Passages that the model is asked about together."""
TRIES = 10
"""Passages that may be looked at for every question wanted."""
PATIENCE = 128
"""Passages in a row that may give no question before the rest is not tried."""
_REPLY = 500
"""Characters of an unreadable reply that are kept."""


def make_questions(
    index: Index,
    model: NamedLLM,
    *,
    n: int,
    out: Path,
    seed: int = 0,
    depth: int = 50,
    check_answers: bool = False,
    elsewhere: Elsewhere | None = None,
    unanswerable: int = 0,
    corpus: Dataset | None = None,
    command: Sequence[str] = (),
    progress: Progress = silent,
) -> QuestionsReport:
    """Write a set of questions about an index, in the layout of BEIR. The same call goes on where it was stopped.

    Args:
        n: questions wanted; fewer, if the passages do not give so many.
        out: folder to write: corpus.jsonl, queries.jsonl, qrels/test.tsv, qa.jsonl, questions.json, lines.jsonl, run.json.
        depth: a passage that no leg finds within so many hits gives no question.
        check_answers: whether the model also has to answer each question from its passage as it did when it wrote it.
        elsewhere: where questions come from that the index does not answer; None makes none.
        unanswerable: how many of those are wanted.
        corpus: the data set that the index was made of. It is linked, and documents are judged; otherwise the index's
            passages are written and judged.
    Raises:
        SpecError: the index has no passage that can be asked about, or no question was kept; the corpus lacks a document of
            the index; or the folder is of another set.
    """
    legs, writer = Legs(index), QuestionWriter(model.llm)
    drawn = _drawn(index, n, seed)
    if corpus is not None:
        require_documents(corpus, {index.documents[row].parent for row in drawn.rows})
    if elsewhere is not None:
        elsewhere.require_checkable(writer)
    facts = {
        "index": index_identity(index),
        "model": dict(model.identity),
        "prompts": writer.prompt_hashes,
        "seed": seed,
        "depth": depth,
        "check of answers": check_answers,
        "source of unanswerable questions": None if elsewhere is None else elsewhere.identity,
        "bound of repetitions": NEAREST,
    }
    why = "Questions of two ways to make them would stand in one set."
    with resumed(out, facts, what="set of questions", why=why) as log:
        work, repeats = Lines(log, read_line, of="a set of questions"), Repeats(index)
        maker = _Maker(writer=writer, legs=legs, repeats=repeats, depth=depth, check_answers=check_answers)
        batches = _batches("own", drawn, index)
        own = _gathered(batches, maker.own, work, repeats, n=n, progress=progress, what="questions")
        others = _others(maker, work, repeats, elsewhere, n=unanswerable, seed=seed, progress=progress)
        report = _report(index, model, maker, drawn, own=own, others=others, elsewhere=elsewhere, out=out)
        made_by = {**facts, "n": n, "unanswerable": unanswerable, "command": list(command)}
        if elsewhere is not None:
            made_by["elsewhere"] = elsewhere.as_dict()
        write_set(report, made_by, index, corpus, out)
    return report


def _report(
    index: Index,
    model: NamedLLM,
    maker: _Maker,
    drawn: Drawn,
    *,
    own: Yield,
    others: Yield,
    elsewhere: Elsewhere | None,
    out: Path,
) -> QuestionsReport:
    """What came of it; an error where no question was kept."""
    report = QuestionsReport(
        index=index.name,
        model=model.name,
        out=str(out),
        depth=maker.depth,
        legs=maker.legs.names,
        compares_meanings="dense" in index.legs,
        passages=drawn.passages,
        short=drawn.short,
        own=own,
        elsewhere=None if elsewhere is None else elsewhere.name,
        others=others,
    )
    if not own.kept:
        raise SpecError(report.nothing_kept())
    return report


def _drawn(index: Index, n: int, seed: int) -> Drawn:
    drawn = draw(index, n=n * TRIES, seed=seed)
    if not drawn.rows:
        raise SpecError(
            f"index '{index.name}' has no passage that can be asked about: of {drawn.passages:,}, {drawn.short:,} are too "
            "short. Index longer texts, or larger chunks"
        )
    return drawn


Batch = Sequence[tuple[str, Any]]
"""Keys of lines, and what each line is made of."""


def _batches(side: Side, drawn: Drawn, index: Index) -> Iterator[Batch]:
    """Passages in the order of the draw."""
    for start in range(0, len(drawn.rows), BATCH):
        passages = index.documents.many(drawn.rows[start : start + BATCH])
        yield [(line_key(side, passage.doc_id), passage) for passage in passages]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """Makes lines of passages, or looks at lines that there are. Sieves stand in the order of `REASONS`."""

    writer: QuestionWriter
    legs: Legs
    repeats: Repeats
    depth: int
    check_answers: bool

    def own(self, passages: Sequence[Document]) -> list[Line]:
        """Questions about the own corpus."""
        by_id = {passage.doc_id: passage for passage in passages}
        lines = self._found(self._asked("own", passages))
        if self.check_answers:
            lines = sieved(lines, lambda some: self._answered_otherwise(some, by_id))
        return sieved(lines, self._repeated)

    def other(self, passages: Sequence[Document]) -> list[Line]:
        """Questions about another corpus, which the own one must not answer."""
        return self.unanswered(self._asked("other", passages))

    def unanswered(self, lines: Sequence[Line]) -> list[Line]:
        """The same of questions that there are."""
        return sieved(sieved(lines, lambda some: answered_here(some, self.legs, self.writer)), self._repeated)

    def _asked(self, side: Side, passages: Sequence[Document]) -> list[Line]:
        lines = []
        for passage, written in zip(passages, self.writer.write(passages), strict=True):
            line = Line(side=side, source=passage.doc_id, document=passage.parent)
            if not written.question:
                lines.append(replace(line, dropped="unreadable", reply=written.reply[:_REPLY]))
                continue
            dropped = fault(written.question, written.answer, passage)
            lines.append(replace(line, question=written.question, answer=written.answer, dropped=dropped))
        return lines

    def _found(self, lines: Sequence[Line]) -> list[Line]:
        going = [line for line in lines if not line.dropped]
        asked, sources = [line.question for line in going], [line.source for line in going]
        ranks = iter(self.legs.ranks(asked, sources, depth=self.depth) if going else ())
        with_ranks = [line if line.dropped else replace(line, ranks=next(ranks)) for line in lines]
        return sieved(with_ranks, lambda some: ["" if line.ranks else "not found" for line in some])

    def _answered_otherwise(self, lines: Sequence[Line], passages: Mapping[str, Document]) -> list[str]:
        agrees = self.writer.agrees(
            [line.question for line in lines],
            [line.answer for line in lines],
            [passages[line.source] for line in lines],
        )
        return ["" if each else "answered otherwise" for each in agrees]

    def _repeated(self, lines: Sequence[Line]) -> list[str]:
        return self.repeats.sieve([line.question for line in lines])


def _others(
    maker: _Maker,
    work: Lines[Line],
    repeats: Repeats,
    elsewhere: Elsewhere | None,
    *,
    n: int,
    seed: int,
    progress: Progress,
) -> Yield:
    """Questions that the own corpus does not answer."""
    if elsewhere is None or not n:
        return Yield()
    if elsewhere.index is None:
        lines = lines_of(elsewhere.items)
        batches: Iterator[Batch] = (
            [(line.key, line) for line in lines[start : start + BATCH]] for start in range(0, len(lines), BATCH)
        )
        make: Callable[[Sequence[Any]], list[Line]] = maker.unanswered
    else:
        batches, make = _batches("other", _drawn(elsewhere.index, n, seed), elsewhere.index), maker.other
    return _gathered(batches, make, work, repeats, n=n, progress=progress, what="unanswerable questions")


def _gathered(
    batches: Iterator[Batch],
    make: Callable[[Sequence[Any]], list[Line]],
    work: Lines[Line],
    repeats: Repeats,
    *,
    n: int,
    progress: Progress,
    what: str,
) -> Yield:
    """Lines batch by batch until `n` are kept, or too many in a row are not."""
    lines: list[Line] = []
    kept = streak = 0
    for batch in batches:
        known = [line for key, _ in batch if (line := work.get(key)) is not None]
        repeats.sieve([line.question for line in known if not line.dropped])  # they are in the way of later ones
        missing = [thing for key, thing in batch if work.get(key) is None]
        if missing:
            made = make(missing)
            work.add({line.key: line for line in made}, [line.as_record() for line in made])
        for key, _ in batch:
            line = work[key]
            lines.append(line)
            kept, streak = (kept, streak + 1) if line.dropped else (kept + 1, 0)
            if kept == n:
                break
        progress(what, kept, n)
        if kept == n or streak >= PATIENCE:
            break
    return Yield(
        wanted=n,
        kept=tuple(line for line in lines if not line.dropped),
        looked_at=len(lines),
        dropped=Counter(line.dropped for line in lines if line.dropped),
        gave_up=kept < n and streak >= PATIENCE,
    )


LEAST_CHARACTERS = 120
"""Passages with less text are not asked about: they rarely say enough."""
_SPARE = 4096
"""Passages that may be remembered beyond those that are wanted before the last are forgotten."""

_Place = tuple[int, bytes, bytes, int]
"""The how-many-th of its document a passage is, digests of document and passage, and its row. Sorted, that is the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Rows in the order of the draw. `passages`: of the index. `short`: passed over for want of text."""

    rows: tuple[int, ...]
    passages: int
    short: int


def draw(index: Index, *, n: int, seed: int) -> Drawn:
    """At most `n` passages, in one pass over all of them. Every document gives one before any gives a second.

    Order is by hashes of seed and ids. So the first of a larger draw are those of a smaller one, and a document more
    moves none of the others.
    """
    kept: list[_Place] = []
    seen = short = 0
    for row, passage in enumerate(index.documents):
        seen += 1
        if len(passage.text.strip()) < LEAST_CHARACTERS:
            short += 1
        else:
            kept.append((0, _digest(seed, passage.parent), _digest(seed, passage.doc_id), row))
            if len(kept) >= n + _SPARE:
                kept = sorted(_numbered(kept))[:n]
    rows = tuple(row for *_, row in sorted(_numbered(kept))[:n])
    return Drawn(rows=rows, passages=seen, short=short)


def _numbered(places: list[_Place]) -> Iterator[_Place]:
    """The same, each with how many of its document come before it.

    Those that were forgotten came behind all that were kept, so they change no number of these.
    """
    last, number = b"", 0
    for _, document, passage, row in sorted(places, key=lambda place: place[1:]):
        number = number + 1 if document == last else 0
        last = document
        yield number, document, passage, row


def _digest(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
