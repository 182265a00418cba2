"""Where a collection is: `milvus://host:19530/notes`, or a path where the server is a library: `milvus+lite:///data/a.db/notes`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import unquote, urlsplit

from rag.errors import IndexProblem, did_you_mean
from rag.indexes import SERVERS, key_for

_COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
"""What every server takes, with room for what generations are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """`place`: host and port, or an absolute path. As text it is what `parse` reads, and holds no key."""

    scheme: str
    place: str
    collection: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address.

        Raises:
            IndexProblem: it is none, names no collection, or holds a password.
        """
        scheme, _, rest = text.partition("://")
        scheme = scheme.lower()
        shown = _without_password(text)
        if scheme not in SERVERS:
            raise IndexProblem(f"index '{shown}': there is no server '{scheme}'. {did_you_mean(scheme, SERVERS)}")
        place, _, collection = unquote(rest).rpartition("/")
        if SERVERS.get(scheme).embedded:
            if not PurePosixPath(place).is_absolute():
                raise IndexProblem(
                    f"index '{shown}': after {scheme}:// comes an absolute path, then the collection: "
                    f"{scheme}:///data/file/notes"
                )
        else:
            if "@" in place:
                raise IndexProblem(
                    f"index '{shown}': an address holds no user and no key. The key comes from the environment: "
                    "docs/several_machines.md says how"
                )
            if not place or "/" in place or not _has_good_port(place):
                raise IndexProblem(
                    f"index '{shown}': after {scheme}:// come a host, a port and a collection: {scheme}://host:port/notes"
                )
        if not _COLLECTION.fullmatch(collection):
            raise IndexProblem(
                f"index '{shown}': a collection is named by letters without accents, digits and _, at most 128 of them, and "
                f"does not begin with a digit; got {collection[:80]!r}"
            )
        return cls(scheme=scheme, place=place, collection=collection)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place.replace('%', '%25')}/{self.collection}"

    @property
    def path(self) -> Path | None:
        """Where the data lies, if the server is a library in this process."""
        return Path(self.place) if SERVERS.get(self.scheme).embedded else None

    def url(self, default_port: int) -> str:
        """The server over HTTP."""
        parts = urlsplit(f"//{self.place}")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        transport = "https" if self.scheme.endswith("+https") else "http"
        return f"{transport}://{host}:{parts.port or default_port}"

    def key(self, default_port: int) -> str | None:
        """The key that the operator lets go to this server; None where there is none."""
        return key_for(self.url(default_port))


def _has_good_port(place: str) -> bool:
    try:
        parts = urlsplit(f"//{place}")
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//", text)[:300]
