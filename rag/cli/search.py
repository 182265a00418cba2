"""`rag search`."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from rag.cli.asking import asking, question_of, read_line
from rag.cli.console import plain, say, say_json, warn, write
from rag.cli.options import (
    GRAPH_HELP,
    NO_SERVER_HELP,
    PATIENCE_S,
    calibrated,
    filtered,
    indexed,
    permitted,
    positive,
    running,
)
from rag.cli.running_server import answers
from rag.core.registry import Registry
from rag.core.snippets import Snippet
from rag.core.words import meant_line

IN_TERMINAL = Registry("in_terminal", {})
"""Name -> a class that keeps `InTerminal`."""

_MOST = 8
"""Parts of a stage that `--explain` shows; the others are added up in one line. --json has all."""
_WIDEST = 40


class InTerminal(Protocol):
    """Shows contents of hits. Made with the addresses of the indexes, once there is a hit with contents. Whether stdout is a
    terminal, it looks itself."""

    def shown(self, content: Mapping[str, Any]) -> str:
        """What is written to show one, control characters and all; empty where it cannot be."""


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("query", nargs="?", help="unset, or -: what stdin says")
    indexed(parser, needed=True, several=True)
    parser.add_argument("-k", type=positive, default=10, help="passages to show (default: 10)")
    parser.add_argument("--graph", default="hybrid", metavar="G", help=GRAPH_HELP)
    filtered(parser)
    permitted(parser)
    calibrated(parser, answers=False)
    parser.add_argument(
        "--facets", type=names, default=(), metavar="A,B", help="also count documents by the values of these fields"
    )
    parser.add_argument("--explain", action="store_true", help="also say of what parts each score is the sum")
    parser.set_defaults(model=None, url=None, patience=PATIENCE_S, asking=())  # for a server that has the same graph
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--no-server", action="store_true", help=NO_SERVER_HELP)
    running(parser)


def run(args: Namespace) -> int:
    """Print the ranking of one query."""
    beside = asking(args)
    wanted: dict[str, Any] = {"command": "search", "text": question_of(args.query, beside), "k": args.k, **beside}
    if args.explain:
        wanted["explain"] = True
    if args.facets:
        wanted["facets"] = args.facets
    [event] = answers(args, wanted)
    ranking = event["document"]
    if args.json:
        say_json({"graph": args.graph, "index": args.index, **ranking})
        return 0
    for warning in event["warnings"]:
        warn(warning)
    if ranking["query"] != wanted["text"]:
        say(plain(f"asked: {ranking['query']}"))
    if "near" in ranking:
        say(meant_line(ranking["near"]))
    if "read" in ranking:
        say(plain(read_line(ranking["read"])))
    if not ranking["hits"]:
        warn("nothing found")
    if "missed_at_most" in ranking["outcome"]["counts"]:
        warn(ranking["outcome"]["detail"])
    held = any(hit.get("contents") for hit in ranking["hits"])
    drawers = [*IN_TERMINAL.each(lambda _, made: made(args.index))] if held else []
    for hit in ranking["hits"]:
        others = f" (and {hit['duplicates']} nearly the same)" if hit.get("duplicates") else ""
        worth = f"  relevance {hit['relevance']:.2f}" if "relevance" in hit else ""
        say(f"{hit['rank']:>3}. {hit['score']:.4f}{worth}  {place(hit)}{others}")
        marks = tuple((mark["start"], mark["end"]) for mark in hit["snippet"]["marks"])
        shown = Snippet(text=hit["snippet"]["text"], marks=marks).marked("*", "*")
        if shown.strip() or not hit.get("contents"):
            say(textwrap.fill(plain(shown), 100, initial_indent="     ", subsequent_indent="     "))
        for line in _contents(hit.get("contents", ())):
            say(f"     {line}")
        for content in hit.get("contents", ()) if drawers else ():
            write("".join(drawer.shown(content) for drawer in drawers))
        if picked := ", ".join(dict.fromkeys(span["text"] for span in hit.get("spans", ()))):
            say(textwrap.fill(plain(f"picked out: {picked}"), 100, initial_indent="     ", subsequent_indent="     "))
        for line in _explanation(hit.get("explained", ())):
            say(f"     {line}")
    for line in _counts(ranking.get("facets", {})):
        say(line)
    return 0


def names(given: str) -> tuple[str, ...]:
    """Names with commas between them, each once."""
    return tuple(dict.fromkeys(filter(None, (name.strip() for name in given.split(",")))))


def _counts(facets: Mapping[str, Any]) -> Iterator[str]:
    """A line for each field: its values with their documents, the most frequent first."""
    for field, facet in facets.items():
        values = [f"{plain(str(one['value']))} {one['documents']:,}" for one in facet["values"]]
        more = [f"and {facet['others']:,} more"] if facet["others"] else []
        yield textwrap.fill(
            f"{plain(field)}: {', '.join([*values, *more]) or 'no document'}", 100, subsequent_indent="  "
        )


def place(hit: Mapping[str, Any]) -> str:
    """Where a passage stands: the index if there are several, source, page, headings; doc_id where that says more."""
    position = hit["position"]
    index = f"{position['index_name']}: " if "index_name" in position else ""
    parts = [index + str(position.get("source") or hit["doc_id"])]
    if position.get("page") is not None:
        parts.append(f"page {position['page']}{' (read by OCR)' if position.get('ocr') else ''}")
    if hit["title"]:
        parts.append(hit["title"])
    return " · ".join(parts)


def _contents(contents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each: of a recording, from when to when; of a caption that no person wrote, by whom it is."""
    held: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for each in contents:
        held.setdefault((each["kind"], each.get("media_type", ""), each["sha256"]), []).append(each.get("metadata", {}))
    for (kind, media_type, sha256), told in held.items():
        ends = [told[0].get("start"), told[-1].get("end")]
        when = "-".join(f"{int(end // 60)}:{int(end % 60):02d}" for end in ends if isinstance(end, int | float))
        by = f"(caption by {plain(said)})" if (said := str(told[0].get("caption_by", ""))) else ""
        yield " ".join(filter(None, (f"[{kind}", when, by, media_type, f"{sha256[:16]}]")))


def _explanation(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each stage and for each part: how much, what of the query, what of the document, and how."""
    return [line for stage in stages for line in _stage(stage)]


def _stage(stage: Mapping[str, Any]) -> list[str]:
    asked = f", asked {stage['query']!r}," if "query" in stage else ""
    name = f"{stage['node']} ({stage['use']}){asked} {stage['score']:.4f}"
    if stage["parts"] is None:
        return [f"{name}: {stage['use']} cannot take its scores apart"]
    parts = stage["parts"]
    shown, left = parts[:_MOST], parts[_MOST:]
    amounts = [f"{part['score']:.4f}" for part in shown]
    asked_width = max((len(_short(part["of_query"])) for part in shown), default=0)
    width = max(map(len, amounts), default=0)
    lines = [f"{name} is"]
    for amount, part in zip(amounts, shown, strict=True):
        met = "" if part["of_document"] == part["of_query"] else _short(part["of_document"]) or "not in it"
        beside = "  ".join(filter(None, (met, part["how"])))
        lines.append(f"  {amount:>{width}}  {_short(part['of_query']):<{asked_width}}  {beside}".rstrip())
    if left:
        lines.append(f"  {sum(part['score'] for part in left):>{width}.4f}  of {len(left):,} more")
    return lines


def _short(text: str) -> str:
    """On one line, and not too long for a table."""
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 3]}..."
