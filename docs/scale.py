"""The tables of `reference/scale.md`, from the lines that `benchmarks.scale` recorded, and sums on paper that need none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

NOT_MEASURED = "*Not measured yet:* `python -m benchmarks.scale --record`."
DIM = 384
MACHINE_GIB, LEFT_GIB = 24, 2
"""Memory of the machine, and what of it stays free for the system and for pages of documents."""
LARGE_GIB = 256
ON_PAPER = (100_000_000, 1_000_000_000)
VECTORS: Mapping[str, tuple[str, Callable[[int], float], bool]] = {
    "flat float32": ("4 d", lambda d: 4 * d, False),
    "flat int8": ("d", lambda d: d, True),
    "hnsw float32": ("4 d + 4 x 64 + 16", lambda d: 4 * d + 272, False),
    "ivf_pq float32": ("d / 4 + 8", lambda d: d / 4 + 8, True),
    "rabitq float32": ("d / 8 + 8 + 8", lambda d: d / 8 + 16, True),
}
"""How vectors are kept -> bytes of a vector that a search may read, as a formula and a function of its numbers, and
whether the vectors themselves are another 4 d bytes on the disk."""

Line = Mapping[str, Any]


def scale_page(page: str, lines: Sequence[Line]) -> str:
    """The page with every table between `<!-- table: NAME -->` and `<!-- end -->` written again.

    Raises:
        KeyError: no table has this name.
    """
    marked = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    largest = _largest(lines)
    return marked.sub(lambda m: m[1] + "\n".join(TABLES[m[2]](largest)) + "\n" + m[3], page)


def _largest(lines: Iterable[Line]) -> list[list[Line]]:
    """Of each way its newest line of every size, the largest first."""
    newest = {(line["name"], line["kept"], line["asked"]): line for line in lines}
    ways: dict[tuple[str, str], list[Line]] = {}
    for (name, kept, _), line in newest.items():
        ways.setdefault((name, kept), []).append(line)
    return [sorted(sizes, key=lambda line: -int(line["passages"])) for sizes in ways.values()]


def _costs(ways: Sequence[Sequence[Line]]) -> list[str]:
    """Of a million passages: hours, gigabytes, and seconds of a question as they were measured."""
    if not ways:
        return [NOT_MEASURED]
    table = [
        "| leg | kept as | passages measured | hours of the model | minutes of the rest | GB on disk | p50 of a question, ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    widest = max((sizes[0] for sizes in ways), key=lambda line: int(line["passages"]))
    n = widest["passages"]
    table.append(
        f"| documents | | {n:,} | | {_seconds(widest, 'documents_s', 60)} | {widest['documents_bytes'] / n / 1e3:.2f} | |"
    )
    for line, *_ in ways:
        n = line["passages"]
        p50 = "-" if line.get("busy") else f"{1e3 * line['p50_s']:.1f}"
        table.append(
            f"| {line['name']} | {line['kept']} | {n:,} | {_seconds(line, 'encode_s', 3600)} | {_seconds(line, 'leg_s', 60)}"
            f" | {sum(line['files'].values()) / n / 1e3:.2f} | {p50} |"
        )
    return [*table, "", *_where(sizes[0] for sizes in ways)]


def _where(lines: Iterable[Line]) -> list[str]:
    """Machines and commits, one a line."""
    places = {(line["machine"]["cores"], line["machine"]["cpu"], line["commit"]) for line in lines}
    return [f"Measured on {cores} cores of {cpu}, commit {commit}." for cores, cpu, commit in sorted(places)]


def _memory(ways: Sequence[Sequence[Line]]) -> list[str]:
    """Peaks and what an answer holds, and their growth where two sizes were measured."""
    if not ways:
        return [NOT_MEASURED]
    table = [
        "| leg | kept as | passages measured | to build, MiB | more for each passage | to answer, MiB | mapped, MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for sizes in ways:
        line = sizes[0]
        growth = _growth(sizes, lambda each: each["build_peak_bytes"])
        table.append(
            f"| {line['name']} | {line['kept']} | {line['passages']:,} | {_mib(line['build_peak_bytes'])}"
            f" | {'' if growth is None else f'{growth:,.0f} bytes'} | {_mib(line['answer']['anonymous'])}"
            f" | {_mib(line['answer']['mapped'])} |"
        )
    return table


def _one_machine(ways: Sequence[Sequence[Line]]) -> list[str]:
    """Passages whose leg stays in memory, and what else they take."""
    if not ways:
        return [NOT_MEASURED]
    table = [
        f"| leg | kept as | bytes of a passage that searches read | passages in {MACHINE_GIB} GiB, millions"
        " | their GB on disk, with documents | days of the model |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for sizes in ways:
        line = sizes[0]
        n = line["passages"]
        each = line["hot_bytes"] / n + max(0.0, _growth(sizes, lambda each: each["answer"]["anonymous"]) or 0.0)
        passages = ((MACHINE_GIB - LEFT_GIB) * 2**30 - line["answer"]["anonymous"]) / each
        disk = passages * (sum(line["files"].values()) + line["documents_bytes"]) / n / 1e9
        days = _seconds(line, "encode_s", 86_400, passages=passages)
        table.append(
            f"| {line['name']} | {line['kept']} | {each:,.0f} | {passages / 1e6:,.1f} | {disk:,.0f} | {days} |"
        )
    return table


def _on_paper(ways: Sequence[Sequence[Line]]) -> list[str]:
    """Vectors by formula; words and documents by what was measured of them."""
    sizes = " | ".join(f"{_short(n)}: GB in memory | GB on disk | machines of {LARGE_GIB} GiB" for n in ON_PAPER)
    table = [
        f"| kept as | bytes of a passage in memory | {sizes} |",
        "| --- | ---: " + "| ---: " * 3 * len(ON_PAPER) + "|",
    ]
    for kept, (formula, bytes_of, apart) in VECTORS.items():
        each = bytes_of(DIM)
        table.append(f"| {kept} | {formula} = {each:,.0f} |{_sums(each, each + 4 * DIM * apart)}")
    words = next((sizes[0] for sizes in ways if sizes[0]["name"] == "bm25"), None)
    if words is None:
        return [*table, "| bm25, documents | not measured yet |" + " |" * 3 * len(ON_PAPER)]
    n = words["passages"]
    each = words["hot_bytes"] / n
    documents = words["documents_bytes"] / n
    return [
        *table,
        f"| bm25 | measured: {each:,.0f} |{_sums(each, each)}",
        f"| documents | read for hits alone; measured: {documents:,.0f} on disk |{_sums(0, documents)}",
    ]


def _sums(memory: float, disk: float) -> str:
    """Bytes a passage times passages; machines are rounded up."""
    cells = []
    for n in ON_PAPER:
        machines = -(-memory * n // ((LARGE_GIB - LEFT_GIB) * 2**30))
        cells.append(f" {memory * n / 1e9:,.0f} | {disk * n / 1e9:,.0f} | {machines:,.0f} |")
    return "".join(cells)


def _growth(sizes: Sequence[Line], size_of: Callable[[Line], int]) -> float | None:
    """Bytes for each passage, between the smallest size and the largest."""
    if len(sizes) < 2:
        return None
    large, small = sizes[0], sizes[-1]
    return (size_of(large) - size_of(small)) / (int(large["passages"]) - int(small["passages"]))


def _seconds(line: Line, part: str, unit: float, *, passages: float = 1e6) -> str:
    """Of so many passages, in a unit of so many seconds; a dash where a busy machine measured them."""
    return "-" if line.get("busy") else f"{passages * line[part] / line['passages'] / unit:,.2f}"


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f}"


def _short(n: int) -> str:
    return f"{n // 10**9}B" if n >= 10**9 else f"{n // 10**6}M"


TABLES: Mapping[str, Callable[[Sequence[Sequence[Line]]], list[str]]] = {
    "costs": _costs,
    "memory": _memory,
    "one_machine": _one_machine,
    "on_paper": _on_paper,
}
