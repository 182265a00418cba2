"""Bitext mining: worked by hand, against brute force, and by the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.cli import main
from rag.types import Query
from ragline_train.bitext import By, Pair, mine, pairs
from tests.tiny_models import tiny_sentence_model

Vectors = NDArray[np.float32]


def at(*degrees: float) -> Vectors:
    """Unit vectors in the plane."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def places(found: Sequence[Pair]) -> list[tuple[int, int]]:
    return [(pair.left, pair.right) for pair in found]


def by_brute_force(left: Vectors, right: Vectors, *, k: int, by: By, mutual: bool) -> list[tuple[int, int, float]]:
    """The definition, pair by pair, over all cosines at once."""
    unit = [side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-30) for side in (left, right)]
    cosines = (unit[0] @ unit[1].T).astype(np.float64)
    n, m = cosines.shape
    near_left = [sorted(range(m), key=lambda y, x=x: (-cosines[x, y], y))[:k] for x in range(n)]  # type: ignore[misc]
    near_right = [sorted(range(n), key=lambda x, y=y: (-cosines[x, y], x))[:k] for y in range(m)]  # type: ignore[misc]
    worth = np.zeros_like(cosines)
    for x in range(n):
        for y in range(m):
            mean = np.mean([cosines[x, z] for z in near_left[x]]) + np.mean([cosines[z, y] for z in near_right[y]])
            worth[x, y] = cosines[x, y] if by == "cosine" else cosines[x, y] / max(mean / 2, 0.01)
    forward = {(x, max(near_left[x], key=lambda y, x=x: worth[x, y])) for x in range(n)}  # type: ignore[misc]
    backward = {(max(near_right[y], key=lambda x, y=y: worth[x, y]), y) for y in range(m)}  # type: ignore[misc]
    kept = forward & backward if mutual else forward | backward
    found: list[tuple[int, int, float]] = []
    for x, y in sorted(kept, key=lambda pair: (-worth[pair], pair)):
        free = all(x != other_x and y != other_y for other_x, other_y, _ in found)
        if free and cosines[x, y] > 0:
            found.append((x, y, worth[x, y]))
    return found


def test_a_margin_worked_by_hand() -> None:
    """Left at 0 and 90 degrees, right at 10 and 60: cosines .9848 .5 / .1736 .8660."""
    [first, second] = pairs(at(0, 90), at(10, 60), k=2)
    rows, columns = [(0.9848 + 0.5) / 2, (0.1736 + 0.8660) / 2], [(0.9848 + 0.1736) / 2, (0.5 + 0.8660) / 2]
    assert places([first, second]) == [(0, 0), (1, 1)]
    assert first.cosine == pytest.approx(0.9848, abs=1e-4)
    assert first.margin == pytest.approx(0.9848 / ((rows[0] + columns[0]) / 2), abs=1e-3)
    assert second.margin == pytest.approx(0.8660 / ((rows[1] + columns[1]) / 2), abs=1e-3)


def test_a_text_that_is_near_to_everything_wins_by_cosine_and_loses_by_margin() -> None:
    """Right 1 lies between all left ones. Left 0 is nearer to it than to right 0, which nothing else is near to."""
    left, right = at(0, 40, 50), at(-32, 30)
    assert (0, 1) not in places(pairs(left, right, k=3))
    assert places(pairs(left, right, k=3))[0] == (0, 0)
    assert places(pairs(left, right, k=3, by="cosine"))[0] == (1, 1)
    assert places(pairs(at(0), right, k=3, by="cosine")) == [(0, 1)]


def test_each_row_is_in_one_pair_at_most_and_mutual_asks_both_sides() -> None:
    left, right = at(0, 5, 90), at(2)
    assert places(pairs(left, right, k=1, by="cosine")) == [(0, 0)]
    assert places(pairs(at(0, 20), at(4, 90), k=1, by="cosine", mutual=True)) == [(0, 0)]
    assert places(pairs(at(0, 20), at(4, 90), k=1, by="cosine")) == [(0, 0), (1, 1)]


def test_ties_go_to_the_first() -> None:
    left = right = np.ones((3, 2), np.float32)
    assert places(pairs(left, right, k=1)) == [(0, 0)]
    assert places(pairs(left, right, k=2, block=1)) == [(0, 0)]


def test_rows_without_a_direction_and_opposite_ones_are_in_no_pair() -> None:
    left, right = np.array([[0, 0], [1, 0]], np.float32), np.array([[-1, 0], [0, 0]], np.float32)
    assert pairs(left, right) == []
    assert pairs(left, right[:0]) == pairs(left[:0], right) == []


def test_lengths_of_vectors_do_not_count() -> None:
    left, right = at(0, 40, 90), at(10, 60, 80)
    scaled = pairs(left * np.float32(7), right * np.array([[0.1], [3], [100]], np.float32), k=2)
    plain = pairs(left, right, k=2)
    assert places(scaled) == places(plain)
    assert [one.margin for one in scaled] == pytest.approx([one.margin for one in plain], rel=1e-5)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"block": 0}])
def test_sizes_below_one_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pairs(at(0), at(0), **wrong)  # type: ignore[arg-type]


def test_vectors_of_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2\] and \[1, 3\]"):
        pairs(at(0), np.ones((1, 3), np.float32))


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    k=st.integers(1, 6),
    by=st.sampled_from(["margin", "cosine"]),
    mutual=st.booleans(),
    block=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
)
def test_blocks_give_what_brute_force_gives(
    sizes: tuple[int, int], k: int, by: By, mutual: bool, block: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    left, right = (chance.standard_normal((n, 5)).astype(np.float32) for n in sizes)
    found = pairs(left, right, k=k, by=by, mutual=mutual, block=block)
    wanted = by_brute_force(left, right, k=k, by=by, mutual=mutual)
    assert places(found) == [(x, y) for x, y, _ in wanted]
    assert [pair.worth(by) for pair in found] == pytest.approx([value for *_, value in wanted], rel=1e-4)


def test_whole_numbers_tie_exactly_whatever_the_block() -> None:
    """Vectors of one 1: cosines are 0 or 1 to the bit, and most are equal."""
    chance = np.random.default_rng(0)
    left, right = (np.eye(6, dtype=np.float32)[chance.integers(0, 6, 40)] for _ in range(2))
    wanted = pairs(left, right, k=3, block=100)
    assert len(wanted) >= 6
    for block in (1, 7, 39):
        assert pairs(left, right, k=3, block=block) == wanted


def encode(texts: Sequence[str]) -> Vectors:
    """A text is an angle."""
    return at(*map(float, texts))


def test_texts_are_paired_from_a_threshold_on() -> None:
    left, right = (
        [Query(qid=f"{side}{n}", text=text) for n, text in enumerate(texts)]
        for side, texts in (("a", ["0", "90"]), ("b", ["10", "50"]))
    )
    by_cosine = mine(left, right, encode=encode, by="cosine")
    assert [(pair.left.qid, pair.right.qid) for pair in by_cosine] == [("a0", "b0")]
    assert len(mine(left, right, encode=encode, by="cosine", least=0.7)) == 2
    by_margin = mine(left, right, encode=encode, k=2)
    assert all(pair.margin >= 1.06 for pair in by_margin)
    assert len(mine(left, right, encode=encode, k=2, least=0.0)) == 2


def test_the_command_writes_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = tiny_sentence_model(tmp_path / "encoder")
    (tmp_path / "a.txt").write_text("a b c\nd e f\n")
    lines = [{"id": "y", "text": "d e f"}, {"id": "x", "text": "a b c"}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "pairs.jsonl"
    command = [
        "bitext",
        str(tmp_path / "a.txt"),
        str(tmp_path / "b.jsonl"),
        "--encoder",
        str(encoder),
        "--out",
        str(out),
    ]
    assert main([*command, "--by", "cosine", "--least", "0.999", "--mutual"]) == 0
    assert "2 and 2 texts; 2 pairs of cosine 0.999 or more" in capsys.readouterr().out
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(pair["left"], pair["right"]) for pair in written} == {("1", "x"), ("2", "y")}
    assert all(pair["left_text"] == pair["right_text"] and pair["cosine"] > 0.999 for pair in written)
    assert main([*command, "--least", "9", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"left": 2, "right": 2, "pairs": 0, "by": "margin", "least": 9.0}
    assert out.read_text() == ""


def test_the_command_refuses_a_file_without_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("\n")
    (tmp_path / "b.txt").write_text("x\n")
    command = ["bitext", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--encoder", "x", "--out"]
    assert main([*command, str(tmp_path / "out.jsonl")]) == 2
    assert "has no texts" in capsys.readouterr().err
    assert main([*command, str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err
