"""The tables of docs/reference/scale.md: sums worked by hand, and codes as our stores make them."""

from __future__ import annotations

from typing import Any

import pytest

from docs.scale import NOT_MEASURED, VECTORS, scale_page

PAGE = "Before.\n<!-- table: {} -->\nan old table\n<!-- end -->\nAfter.\n"


def line(asked: int = 1_000_000, **other: Any) -> dict[str, Any]:
    return {
        "name": "bm25",
        "kept": "postings",
        "asked": asked,
        "passages": asked,
        "encode_s": 0.0,
        "leg_s": 90.0,
        "documents_s": 30.0,
        "build_peak_bytes": 200 * 2**20,
        "documents_bytes": 500 * asked,
        "files": {"lexical/postings": 400 * asked, "encoded.npy": 100 * asked},
        "hot_bytes": 400 * asked,
        "answer": {"peak": 0, "anonymous": 2 * 2**30, "mapped": 50 * 2**20},
        "p50_s": 0.0025,
        "commit": "0123456789ab",
        "machine": {"cpu": "a processor", "cores": 2},
        **other,
    }


def rows(name: str, *lines: dict[str, Any]) -> list[list[str]]:
    """Cells of a table, without its head."""
    page = scale_page(PAGE.format(name), lines)
    assert "an old table" not in page
    assert page.endswith("<!-- end -->\nAfter.\n")
    table = [text for text in page.splitlines() if text.startswith("|")]
    return [[cell.strip() for cell in text.strip("|").split("|")] for text in table[2:]]


@pytest.mark.parametrize("name", ["costs", "memory", "one_machine"])
def test_what_was_not_measured_is_said_to_be(name: str) -> None:
    assert NOT_MEASURED in scale_page(PAGE.format(name), [])


def test_a_page_written_twice_is_the_same() -> None:
    once = scale_page(PAGE.format("costs"), [line()])
    assert scale_page(once, [line()]) == once


def test_costs_are_those_of_a_million() -> None:
    [documents, bm25] = rows("costs", line(500_000, encode_s=1800.0, leg_s=30.0, documents_s=60.0))
    assert documents == ["documents", "", "500,000", "", "2.00", "0.50", ""]
    assert bm25 == ["bm25", "postings", "500,000", "1.00", "1.00", "0.50", "2.5"]


def test_seconds_of_a_busy_machine_are_not_told() -> None:
    [documents, bm25] = rows("costs", line(busy=True))
    assert documents == ["documents", "", "1,000,000", "", "-", "0.50", ""]
    assert bm25 == ["bm25", "postings", "1,000,000", "-", "-", "0.50", "-"]


def test_the_machine_and_the_commit_are_named_once() -> None:
    page = scale_page(PAGE.format("costs"), [line(), line(kept="another")])
    assert page.count("\nMeasured on 2 cores of a processor, commit 0123456789ab.\n") == 1


def test_memory_grows_between_two_sizes() -> None:
    small = line(100_000, build_peak_bytes=200 * 2**20 - 90_000_000)
    assert rows("memory", small, line()) == [["bm25", "postings", "1,000,000", "200", "100 bytes", "2,048", "50"]]


def test_a_later_line_of_the_same_size_takes_the_place_of_the_earlier() -> None:
    assert rows("memory", line(build_peak_bytes=1), line())[0][3] == "200"


def test_one_machine_ends_where_its_memory_does() -> None:
    # (22 - 2) GiB / 400 bytes = 53.7 million; times 1,000 bytes with documents = 54 GB; times 10 ms = 6.21 days
    [cells] = rows("one_machine", line(encode_s=10_000.0))
    assert cells == ["bm25", "postings", "400", "53.7", "54", "6.21"]


def test_sums_on_paper() -> None:
    table = rows("on_paper", line())
    # 104 bytes x 10^9 in memory; with 1,536 of the vectors on the disk; 104 GB are less than 254 GiB
    assert table[3] == ["ivf_pq float32", "d / 4 + 8 = 104", "10", "164", "1", "104", "1,640", "1"]
    assert table[0][-1] == "6"  # 1,536 GB / 272.7 GB
    assert table[-1][-2:] == ["500", "0"]


@pytest.mark.parametrize("dim", [256, 384])
def test_codes_take_the_bytes_that_the_page_counts(dim: int) -> None:
    faiss = pytest.importorskip("faiss")
    from retrievers.stores.coarse import IvfPq, RaBitQ

    quantizer = faiss.IndexFlatIP(dim)
    product = IvfPq().codes(quantizer, dim, 4).code_size
    bits = faiss.extract_index_ivf(RaBitQ().codes(quantizer, dim, 4)).code_size
    assert (product + 8, bits + 8) == (VECTORS["ivf_pq float32"][1](dim), VECTORS["rabitq float32"][1](dim))
