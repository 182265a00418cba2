"""Which key may go to which server. The operator says it, never a graph: a graph may come from anybody.

A graph names a variable and an address. Without this, whoever writes a graph could have any variable of the environment
sent to any address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from rag.core.errors import SpecError

VARIABLE = "RAGLINE_API_KEYS"
FILE = "api_keys"
WELL_KNOWN = {
    "OPENAI_API_KEY": "https://api.openai.com",
    "ANTHROPIC_API_KEY": "https://api.anthropic.com",
    "GEMINI_API_KEY": "https://generativelanguage.googleapis.com",
    "MISTRAL_API_KEY": "https://api.mistral.ai",
    "OPENROUTER_API_KEY": "https://openrouter.ai",
}
"""Variables that are named after the one service whose key they hold: sent there, a key comes to nobody who lacks it."""

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(\S+)")
_PORTS = {"http": 80, "https": 443}


def require_allowed(variable: str, url: str, *, by: str) -> None:
    """Return if the operator lets the key in `variable` go to the origin of `url`.

    Raises:
        SpecError: it is not allowed; says what to set. Or what is set cannot be read.
    """
    origin = origin_of(url)
    if WELL_KNOWN.get(variable) == origin or (variable, origin) in _allowed(os.environ):
        return
    clear = ""
    if urlsplit(origin).scheme == "http" and not is_here(url):
        clear = " The key would travel in the clear: use https, unless you trust all of the network between."
    raise SpecError(
        f"{by}: the graph wants the key in ${variable} sent to {origin}, and nobody has allowed that.{clear} If that "
        f"server should have it, set {VARIABLE}='{variable}={origin}' (more of them after commas), or put {variable}={origin} "
        f"into {_file(os.environ)}"
    )


def variable_for(url: str) -> str | None:
    """The variable that is set and whose key the operator lets go to the origin of `url`; None where there is none, and
    for what is no address.

    Raises:
        SpecError: what the operator has set cannot be read.
    """
    try:
        origin = origin_of(url)
    except ValueError:
        return None
    pairs = {*_allowed(os.environ), *WELL_KNOWN.items()}
    return min((name for name, to in pairs if to == origin and os.environ.get(name)), default=None)


def key_for(url: str) -> str | None:
    """The key that the operator lets go to the origin of `url`; None where there is none."""
    variable = variable_for(url)
    return os.environ.get(variable) if variable else None


def origin_of(url: str) -> str:
    """Scheme, name and port of an address, the port left out where it is the usual one.

    >>> origin_of("HTTPS://API.openai.com:443/v1"), origin_of("http://[::1]:8000/v1")
    ('https://api.openai.com', 'http://[::1]:8000')
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_here(url: str) -> bool:
    """Whether only this machine answers at an address."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allowed(environment: Mapping[str, str]) -> set[tuple[str, str]]:
    pairs = {_pair(entry, VARIABLE) for entry in environment.get(VARIABLE, "").split(",") if entry.strip()}
    file = _file(environment)
    for number, line in enumerate(_lines(file), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            pairs.add(_pair(line, f"{file}:{number}"))
    return pairs


def _lines(file: Path) -> list[str]:
    try:
        if file.stat().st_mode & 0o022:
            raise SpecError(f"others may write in {file}, which says where keys may be sent. Run: chmod 600 {file}")
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} cannot be read: {error}") from None


def _pair(entry: str, place: str) -> tuple[str, str]:
    """A variable and an origin. What stands there is not shown: somebody may have put a key in its place."""
    match = _LINE.fullmatch(entry.strip())
    try:
        if match and urlsplit(match[2]).scheme in _PORTS and urlsplit(match[2]).hostname:
            return match[1], origin_of(match[2])
    except ValueError:
        pass
    raise SpecError(f"{place}: an entry is VARIABLE=ORIGIN, such as OPENAI_API_KEY=https://api.openai.com; never a key")


def _file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ragline" / FILE
