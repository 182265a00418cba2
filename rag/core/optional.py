"""Libraries that may be absent: checked without importing them, with the install line in the error."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rag.core.errors import MissingDependency


def need(module: str, *, by: str, extra: str = "", line: str = "") -> None:
    """Do nothing if `module` can be imported.

    Args:
        line: the command that installs it, where no extra of ours does.

    Raises:
        MissingDependency: it cannot; the message says which component asked and what to run.
    """
    if find_spec(module) is None:
        raise MissingDependency(f"{by} needs {module}, which is not installed. Run: {line or install_line(extra)}")


def need_system_library(name: str, *, by: str, package: str) -> None:
    """Do nothing if the system's loader finds a shared library, such as `libgomp.so.1`.

    Raises:
        MissingDependency: it does not; names the package of Debian that has it.
    """
    import ctypes

    try:
        ctypes.CDLL(name)
    except OSError:
        raise MissingDependency(
            f"{by} needs {name} of the system, which is not installed. On Debian and Ubuntu: apt-get install {package}"
        ) from None


def install_line(extra: str = "") -> str:
    """The command that installs ragline with an extra, from where it was installed: a folder, a file or an address.

    No package index has it, so a name alone is of no use.
    """
    # here, as every command imports this module and these cost it 30 ms
    import json
    import shlex
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    extras = f"[{extra}]" if extra else ""
    try:
        said = json.loads(distribution("ragline").read_text("direct_url.json") or "{}")
        url, editable = said["url"], bool(said.get("dir_info", {}).get("editable"))
        vcs = said.get("vcs_info")
    except (PackageNotFoundError, ValueError, KeyError, TypeError):
        return _from_clone(extras)
    if urlsplit(url).scheme == "file" and vcs is None:
        return f"pip install {'-e ' if editable else ''}{shlex.quote(unquote(urlsplit(url).path) + extras)}"
    address = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
    return f"pip install {shlex.quote(f'ragline{extras} @ {address}')}"


def _from_clone(extras: str) -> str:
    """Where nothing says what it was installed from: out of the clone that this file lies in, or of any."""
    import shlex

    home = Path(__file__).resolve().parents[2]
    if (home / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{home}{extras}')}"
    return f"pip install -e {shlex.quote(f'.{extras}')} (in a clone of ragline)"
