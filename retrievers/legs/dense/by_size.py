"""`structure: auto`: how vectors are kept, by how many bytes they are. The numbers stand here alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrievers.legs.protocol import Choice

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Vectors of up to `most_bytes` as float32, None for any number, and how they are kept. `why`: half a sentence."""

    most_bytes: int | None
    structure: str
    storage: str
    why: str


BY_SIZE: tuple[Size, ...] = (
    Size(
        most_bytes=400_000_000,  # 260,416 vectors of 384 numbers
        structure="flat",
        storage="float32",
        why="a search looks at each of them, in some ten milliseconds, and misses none",
    ),
    Size(
        most_bytes=None,
        structure="rabitq",
        storage="float32",
        why="a search reads short codes, and then the vectors of a few",
    ),
)
"""In order of size; the last one has no bound. Chosen by `benchmarks.million_vectors` (docs/reference/results.md).

Of a million vectors rabitq finds as many true neighbours as hnsw, is built seventeen times as fast, and keeps a
twenty-sixth of the bytes in memory. ivf_pq takes longer to search for the same, and int8 alone is slower than both."""


def by_size(sizes: Sequence[Size], *, rows: int, dim: int) -> Choice:
    """How so many vectors of so many numbers are kept."""
    n_bytes = rows * dim * 4
    size = next(size for size in sizes if size.most_bytes is None or n_bytes <= size.most_bytes)
    bound = "" if size.most_bytes is None else f"up to {_megabytes(size.most_bytes)}, "
    return Choice(
        facts={"structure": size.structure, "storage": size.storage},
        why=f"{rows:,} vectors of {dim:,} numbers are {_megabytes(n_bytes)}; {bound}{size.why}",
    )


def _megabytes(n_bytes: int) -> str:
    """Bytes as a sentence says them.

    >>> _megabytes(1_600_000_000), _megabytes(7_961_088)
    ('1,600 MB', '7.96 MB')
    """
    megabytes = n_bytes / 1e6
    return f"{megabytes:,.0f} MB" if megabytes >= 10 else f"{megabytes:,.3g} MB"
