"""The document around a page's body: no script, no font, and nothing that is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rag.errors import SpecError
from ragline_lab.pages.escaping import escaped
from ragline_lab.pages.style import STYLE


def document(title: str, body: Iterable[str]) -> str:
    """A whole page as text. The title is escaped here; the parts of the body are HTML, below the heading."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{escaped(title)}</title>",
            f"<style>\n{STYLE}</style>",
            "<body>",
            f"<h1>{escaped(title)}</h1>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def write_page(target: Path, text: str, *, advice: str) -> None:
    """Write a page.

    Args:
        advice: what to do where it cannot be, for the message.
    Raises:
        SpecError: the file cannot be written.
    """
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        why = error.strerror or str(error)
        raise SpecError(f"'{target}' cannot be written ({why}); {advice}") from None
