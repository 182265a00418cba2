"""`rag remove`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from rag.cli.console import plain_data, say, say_json
from rag.cli.options import consenting, indexed
from rag.cli.outputs import writable
from rag.cli.progress import progress_bar
from rag.cli.sources import say_chosen, say_losses, with_consent
from rag.core.errors import SpecError
from rag.erasure import Receipt, erase_from_index
from rag.indexing import remove_from_index


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("targets", nargs="+", metavar="WHAT", help="a source, a file or a document, by name or id")
    indexed(parser, needed=True)
    consenting(parser)
    receipt_help = (
        "also out of kept states, cached indexes and --also; then look for them everywhere, and write that down"
    )
    parser.add_argument("--receipt", type=Path, metavar="FILE", help=receipt_help)
    also_help = "with --receipt: conversations of `rag serve`, a folder of `rag batch`, traces, or any other place"
    parser.add_argument(
        "--also", action="append", type=Path, default=[], metavar="PATH", help=f"{also_help}; again: one more"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Take sources and documents out of an index, with a receipt out of all that was made of it."""
    if given.receipt is not None:
        return _with_receipt(given)
    if given.also:
        raise SpecError("rag remove: --also goes with --receipt FILE, which tells what was found there")
    with progress_bar() as progress:
        report = with_consent(
            lambda most_lost: remove_from_index(given.targets, given.index, most_lost=most_lost, progress=progress),
            given,
        )
    if given.json:
        say_json(plain_data(asdict(report)))
        return 0
    say_losses(report)
    say(f"{report.n_units:,} passages of {report.n_documents:,} documents are left in {given.index}")
    say_chosen(report)
    return 0


def _with_receipt(given: Namespace) -> int:
    out = writable(given.receipt, option="--receipt")
    with progress_bar() as progress:
        receipt = with_consent(
            lambda most_lost: erase_from_index(
                given.targets, given.index, also=given.also, most_lost=most_lost, progress=progress
            ),
            given,
        )
    try:
        receipt.write(out)
    except OSError as cause:
        say_json(plain_data(asdict(receipt)))
        raise SpecError(
            f"--receipt '{out}' cannot be written ({cause.strerror}): it is printed here instead. What it tells is done"
        ) from cause
    if given.json:
        say_json(plain_data(asdict(receipt)))
    else:
        _say_receipt(receipt)
        say(f"receipt: {out}")
    return 0 if receipt.clean else 1


def _say_receipt(receipt: Receipt) -> None:
    n = len(receipt.documents)
    say(
        f"{n:,} {'document' if n == 1 else 'documents'} taken out; {receipt.n_marks:,} stretches of their bytes looked for"
    )
    if receipt.gone_before:
        say(
            f"  {len(receipt.gone_before):,} were removed earlier, and the index does not know any more what they said: "
            "they are looked for by their ids alone"
        )
    for place in receipt.places:
        say(f"  {place.path} ({place.kind}): {place.done}; {place.n_files:,} files, {place.n_bytes:,} bytes read")
        for name, marks in place.left.items():
            say(f"    still there: {marks:,} in {name}")
        if place.taught:
            say(f"    what {len(place.taught):,} of them taught stays in the model: delete it, and teach it anew")
        for trouble in place.unread:
            say(f"    not read: {trouble}")
    for generation in receipt.held:
        say(f"  {generation} is still open in another process: close it, and the next build removes it")
    if receipt.unmarked:
        say(
            f"  {len(receipt.unmarked):,} passages say nothing that what stays does not say too, so nobody can look for them"
        )
    say("nothing of them is left there" if receipt.clean else "NOT all of it is gone: see above")
