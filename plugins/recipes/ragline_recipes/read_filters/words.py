"""The words by which questions speak of documents, a table per language. A language more is one entry of `WORDS`.

All are in lower case. A phrase is words with one blank between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words of one language, or of several together.

    `since`, `after`, `before`, `until`: what stands before the end of a span of time. `within`: what stands before a time that
    is the whole span. `onwards`, `backwards`: what stands behind a time. `between` pairs what stands before the first time with
    what stands before the second. `months`: name -> 1 to 12.

    `documents`: what documents are called, and what their authors do. `by`, `of`: what stands between such a word and who
    wrote it, or where it came out. `says`: what stands between a question and the source that it asks: "according to".
    `wrote`: what stands behind an author; `did`: what stands before one of whom `wrote` follows,
    and `what` before one where nothing has to follow. `also`: what joins two names; `others`: what
    says behind one that others will do.
    `opening`: what a question that asks for files of a type begins with; `inside`: what stands before files in which something is
    looked for; `about`: what follows both.
    `named`: role of a field -> what people call it. `types`: what files of a type are called -> their endings.
    """

    since: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    until: frozenset[str] = frozenset()
    within: frozenset[str] = frozenset()
    onwards: frozenset[str] = frozenset()
    backwards: frozenset[str] = frozenset()
    between: frozenset[tuple[str, str]] = frozenset()
    months: Mapping[str, int] = field(default_factory=dict)
    documents: frozenset[str] = frozenset()
    by: frozenset[str] = frozenset()
    of: frozenset[str] = frozenset()
    says: frozenset[str] = frozenset()
    wrote: frozenset[str] = frozenset()
    did: frozenset[str] = frozenset()
    what: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    opening: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    named: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_SLIDES, _TABLES, _TEXTS = ("ppt", "pptx", "odp", "key"), ("xls", "xlsx", "ods", "csv"), ("doc", "docx", "odt", "rtf")
_MAILS = ("eml", "msg", "mbox")


def _set(text: str) -> frozenset[str]:
    return frozenset(phrase.strip().casefold() for phrase in text.split(","))


def _months(text: str) -> dict[str, int]:
    return {name: month for month, names in enumerate(text.split(","), start=1) for name in names.split()}


WORDS: Mapping[str, Words] = {
    "en": Words(
        since=_set("since, from, as of, starting in, starting from, not before, no earlier than, newer than or from"),
        after=_set("after, later than, newer than, more recent than"),
        before=_set("before, prior to, earlier than, older than"),
        until=_set("until, till, up to, through, no later than, not later than"),
        within=_set("in, in the year, during, dated, of"),
        onwards=_set("or later, or newer, onwards, onward, and later, and newer, and after, and onwards, or after"),
        backwards=_set("or earlier, or older, and earlier, and older, or before, and before"),
        between=frozenset(
            {("between", "and"), ("from", "to"), ("from", "until"), ("from", "through"), ("from", "till")}
        ),
        months=_months(
            "january jan,february feb,march mar,april apr,may,june jun,july jul,august aug,september sep sept,october oct,"
            "november nov,december dec"
        ),
        documents=_set(
            "article, articles, paper, papers, report, reports, document, documents, files, email, emails, e mail, e mails,"
            " message, messages, posts, posting, postings, publication, publications, news, memo, memos, letters,"
            " books, thesis, theses, essay, essays, blogs, newsletter, newsletters, press release,"
            " press releases, write, writes, wrote, written, writing, writings, publish, publishes, published, authored,"
            " posted, passages, texts, preprint, preprints, manuscript, manuscripts"
        ),
        by=_set("by, written by, authored by, published by, sent by, posted by, signed by"),
        of=_set("from, by, in, published in, published by, out of, on, released by"),
        says=_set("according to, as reported by, as told by"),
        wrote=_set(
            "wrote, writes, write, written, published, publish, publishes, authored, posted, post, s paper, s papers, s article,"
            " s articles, s book, s books, s report, s reports, s publications, s posts, s writings, s emails"
        ),
        did=_set("did, does, has, have, had"),
        what=_set("written by, authored by"),
        also=_set("and, or, and by, or by, and from, or from, either by, either"),
        others=_set("or others, and others, or other, and other, or similar, or someone else, or anyone else"),
        opening=_set(
            "find, find me, show, show me, list, give me, get, get me, search, search for, all, the, any, our, my, which, what,"
            " only, all the, are there, are there any"
        ),
        inside=_set(
            "in our, in the, in my, in all, in all the, in these, from our, from my, among the, among our, only in, only from"
        ),
        about=_set(
            "about, on, from, by, since, with, that, which, of, in, mention, mentions, mentioning, discuss, discussing, say, says,"
            " contain, containing, describe, describing, explain, explaining, published, written, before, after, between, for"
        ),
        named={
            **dict.fromkeys(("author", "authors", "writer", "writers", "author name"), "author"),
            **dict.fromkeys(("source", "sources", "outlet", "newspaper", "journal", "publisher", "magazine"), "source"),
            **dict.fromkeys(("folder", "directory", "folders", "file", "files"), "path"),
            **dict.fromkeys(("type", "kind", "format", "file type"), "type"),
            **dict.fromkeys(("year", "date", "dated"), "date"),
        },
        types={
            **dict.fromkeys(("pdf", "pdfs", "pdf files", "pdf documents"), ("pdf",)),
            **dict.fromkeys(("slides", "slide decks", "slide deck", "presentations", "powerpoints"), _SLIDES),
            **dict.fromkeys(("spreadsheets", "spreadsheet", "excel files", "excel sheets"), _TABLES),
            **dict.fromkeys(("word files", "word documents"), _TEXTS),
            **dict.fromkeys(("emails", "e mails", "mails"), _MAILS),
            **dict.fromkeys(("web pages", "webpages", "html pages", "html files"), ("html", "htm")),
            **dict.fromkeys(("markdown files", "markdown pages"), ("md", "markdown")),
            **dict.fromkeys(("csv files", "csvs"), ("csv",)),
        },
    ),
    "de": Words(
        since=_set("seit, ab, ab dem jahr, seit dem jahr, nicht vor"),
        after=_set("nach, nach dem jahr, später als, neuer als, jünger als"),
        before=_set("vor, vor dem jahr, früher als, älter als"),
        until=_set("bis, bis zum jahr, bis zum, bis einschließlich, nicht nach"),
        within=_set("im jahr, im jahre, in, im, aus, aus dem jahr, von, vom, aus dem jahre"),
        onwards=_set("oder später, oder neuer, und später, und neuer"),
        backwards=_set("oder früher, oder älter, und früher, und älter"),
        between=frozenset({("zwischen", "und"), ("von", "bis"), ("vom", "bis zum"), ("vom", "bis"), ("ab", "bis")}),
        months=_months(
            "januar jänner,februar,märz,april,mai,juni,juli,august,september,oktober okt,november,dezember dez"
        ),
        documents=_set(
            "artikel, artikeln, bericht, berichte, berichten, dokument, dokumente, dokumenten, datei, dateien, mail, mails, e mail,"
            " e mails, nachricht, nachrichten, meldung, meldungen, beitrag, beiträge, beiträgen, publikation, publikationen,"
            " veröffentlichung, veröffentlichungen, studie, studien, protokoll, protokolle, brief, briefe, buch, bücher,"
            " aufsatz, aufsätze, schrieb, schreibt, schreiben, geschrieben, veröffentlicht, veröffentlichte, publiziert,"
            " erschienen, erschien, verfasst, verfasste, autor, autorin"
        ),
        by=_set("von, geschrieben von, verfasst von, veröffentlicht von, vom autor, von der autorin"),
        of=_set("von, aus, in, im, bei, vom, der, aus der, aus dem, in der, von der"),
        says=_set("laut, nach angaben von, nach angaben der"),
        wrote=_set(
            "schrieb, schreibt, geschrieben, veröffentlichte, veröffentlicht, publizierte, publiziert, verfasste"
        ),
        did=_set("hat, hatte, haben"),
        what=_set("was schrieb, was schreibt, was veröffentlichte, was publizierte, was verfasste"),
        also=_set("und, oder, und von, oder von, und aus, oder aus"),
        others=_set("oder andere, oder anderen, und andere, und anderen, oder ähnliche, oder jemand anders"),
        opening=_set("finde, zeige, zeig mir, suche, alle, die, welche, nur, gibt es, liste, unsere, unseren"),
        inside=_set("in den, in allen, in unseren, in meinen, aus den, aus unseren, nur in, nur in den, unter den"),
        about=_set(
            "über, zu, zum, zur, von, aus, seit, mit, die, in denen, vor, nach, zwischen, für, erwähnen, nennen"
        ),
        named={
            **dict.fromkeys(("autor", "autorin", "autoren", "verfasser", "verfasserin"), "author"),
            **dict.fromkeys(("quelle", "quellen", "zeitung", "zeitschrift", "verlag"), "source"),
            **dict.fromkeys(("ordner", "verzeichnis", "datei", "dateien"), "path"),
            **dict.fromkeys(("typ", "art", "format", "dateityp"), "type"),
            **dict.fromkeys(("jahr", "datum"), "date"),
        },
        types={
            **dict.fromkeys(("pdf", "pdfs", "pdf dateien", "pdf dokumente", "pdf dokumenten"), ("pdf",)),
            **dict.fromkeys(("folien", "präsentationen", "foliensätze"), _SLIDES),
            **dict.fromkeys(("tabellen", "exceltabellen", "excel tabellen", "excel dateien"), _TABLES),
            **dict.fromkeys(("word dateien", "word dokumente"), _TEXTS),
            **dict.fromkeys(("mails", "e mails"), _MAILS),
        },
    ),
}

ROLES: Mapping[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "date": "published publication_date publication_year pub_date pubdate date year sent issued posted released "
        "release_date created created_at timestamp modified updated datum jahr",
        "author": "author authors creator creators writer from sender byline autor autoren verfasser",
        "source": "source sources outlet publisher journal newspaper magazine site quelle zeitschrift",
        "type": "type filetype file_type format doctype document_type media_type extension",
    }.items()
}
"""What a field is for -> names of such fields. Of several dates the first of these counts."""


def together(languages: tuple[str, ...] = ()) -> Words:
    """The words of some languages as one table; of all, where none is named. Of a word that two have, the first counts."""
    tables = [WORDS[language] for language in languages or WORDS]
    merged: dict[str, object] = {}
    for each in fields(Words):
        values = [getattr(table, each.name) for table in tables]
        if isinstance(values[0], Mapping):
            merged[each.name] = {key: value for one in reversed(values) for key, value in one.items()}
        else:
            merged[each.name] = frozenset().union(*values)
    return Words(**merged)  # type: ignore[arg-type]  # each by its own name
