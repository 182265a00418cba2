"""Measures by hand, and files of published sets as their authors lay them out."""

from __future__ import annotations

import io
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.errors import SpecError
from ragline_media.evaluation.captioned import read_captioned
from ragline_media.evaluation.composed import ComposedQuestion, average_precision_at, measured, read_composed
from ragline_media.evaluation.measures import (
    binding_bias,
    concept_counts,
    geometry,
    label_accuracy,
    label_vectors,
    linear_cka,
    pair_scores,
    read_label_languages,
    trend,
)

FILES: dict[str, tuple[list[dict[str, Any]], ComposedQuestion]] = {
    "fashioniq": (
        [{"target": "B1", "candidate": "B0", "captions": ["is red", "has no sleeves"]}],
        ComposedQuestion(qid="1", reference="B0", changes=("is red", "has no sleeves"), right=frozenset({"B1"})),
    ),
    "cirr": (
        [
            {
                "pairid": 12,
                "reference": "dev-1",
                "target_hard": "dev-2",
                "target_soft": {"dev-2": 1.0},
                "caption": "two dogs in place of one",
                "img_set": {"id": 3, "members": ["dev-1", "dev-2", "dev-3"]},
            }
        ],
        ComposedQuestion(
            qid="12",
            reference="dev-1",
            changes=("two dogs in place of one",),
            right=frozenset({"dev-2"}),
            subset=frozenset({"dev-2", "dev-3"}),
        ),
    ),
    "circo": (
        [
            {
                "id": 7,
                "reference_img_id": 10,
                "target_img_id": 11,
                "gt_img_ids": [11, 12],
                "relative_caption": "at night",
                "shared_concept": "a bridge",
            }
        ],
        ComposedQuestion(qid="7", reference="10", changes=("at night",), right=frozenset({"11", "12"})),
    ),
    "genecis": (
        [
            {
                "reference": {"image_id": 5, "instance_bbox": [1, 2, 3, 4]},
                "target": {"image_id": 6, "instance_bbox": [0, 0, 9, 9]},
                "gallery": [{"val_image_id": 8}],
                "condition": "color",
            }
        ],
        ComposedQuestion(
            qid="1",
            reference="5:1,2,3,4",
            changes=("color",),
            right=frozenset({"6:0,0,9,9"}),
            subset=frozenset({"6:0,0,9,9", "8"}),
        ),
    ),
}


@pytest.mark.parametrize("layout", FILES)
def test_questions_of_a_picture_and_a_change(tmp_path: Path, layout: str) -> None:
    records, question = FILES[layout]
    (tmp_path / "q.json").write_text(json.dumps(records))
    assert read_composed(tmp_path / "q.json", layout=layout) == [question]


@pytest.mark.parametrize("layout", FILES)
def test_a_file_of_another_set_is_told(tmp_path: Path, layout: str) -> None:
    others = [records for name, (records, _) in FILES.items() if name != layout]
    for records in (*others, [{}], [3], [None]):
        (tmp_path / "q.json").write_text(json.dumps(records))
        with pytest.raises(SpecError, match="record 1 is none of"):
            read_composed(tmp_path / "q.json", layout=layout)
    (tmp_path / "q.json").write_text("{}")
    with pytest.raises(SpecError, match="a list of records"):
        read_composed(tmp_path / "q.json", layout=layout)
    (tmp_path / "q.json").write_text("[")
    with pytest.raises(SpecError, match="cannot be read"):
        read_composed(tmp_path / "q.json", layout=layout)
    with pytest.raises(SpecError, match="Known: fashioniq, cirr"):
        read_composed(tmp_path / "q.json", layout="coco")


def test_two_questions_by_hand() -> None:
    """The reference is no find. Of the first question the right one is second, and first among its few; of the second two of
    three right ones come first and third."""
    first = ComposedQuestion(
        qid="1", reference="r", changes=("x",), right=frozenset({"b"}), subset=frozenset({"b", "c"})
    )
    second = ComposedQuestion(qid="2", reference="r", changes=("x",), right=frozenset({"a", "c", "z"}))
    found = measured([first, second], {"1": ["r", "a", "b", "c"], "2": ["a", "r", "b", "c"]})
    assert found["R@1"] == 0.5
    assert found["R@5"] == 1.0
    assert found["subset R@1"] == 1.0
    assert found["mAP@5"] == pytest.approx((1 + 2 / 3) / 3)
    assert measured([first], {})["R@50"] == 0.0
    with pytest.raises(ValueError, match="no question"):
        measured([], {})


def test_precision_has_as_many_to_find_as_fit() -> None:
    assert average_precision_at(["a", "b"], {"a", "b", "c"}, 2) == 1.0
    assert average_precision_at(["x", "a"], {"a"}, 2) == 0.5
    assert average_precision_at(["x"], {"a"}, 5) == 0.0
    assert average_precision_at([], set(), 5) == 0.0


# ---- pictures with captions


def packed(path: Path, parts: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_pictures_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "sky.csv"
    path.write_text(
        'filepath,title,title_multi_objects\na/1.jpg,"a harbour, seen from above",x\na/2.jpg,,\n', "utf-8-sig"
    )
    [found] = read_captioned(path, layout="skyscript")
    assert (found.name, found.caption, found.media) == ("a/1.jpg", "a harbour, seen from above", None)
    with pytest.raises(SpecError, match="no column caption and no image_path"):
        list(read_captioned(path, layout="quilt"))
    path.write_bytes(b"image_path,caption\n\xff,\xff\n")
    with pytest.raises(SpecError, match="cannot be read as a table"):
        list(read_captioned(path, layout="quilt"))


def test_pictures_of_a_tar_file(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "rs3-val-0000.tar",
        {"0.img_content": b"p0", "0.img_name": b"port.jpg", "0.caption": b"a port", "1.img_content": b"p1"},
    )
    [found] = read_captioned(path, layout="rs5m")
    assert (found.name, found.caption, found.media) == ("port.jpg", "a port", b"p0")


def test_pictures_under_some_terms(tmp_path: Path) -> None:
    parts = {}
    for number, terms in enumerate(("CC BY", "NO-CC CODE", "CC BY")):
        parts |= {
            f"d/{number}.jpg": b"p",
            f"d/{number}.txt": f"figure {number}".encode(),
            f"d/{number}.json": json.dumps({"article_license": terms}).encode(),
        }
    path = packed(tmp_path / "figures.tar", parts)
    assert [each.name for each in read_captioned(path, layout="biomedica")] == ["0", "1", "2"]
    assert [each.name for each in read_captioned(path, layout="biomedica", terms=["CC BY"])] == ["0", "2"]
    with pytest.raises(SpecError, match=r"no \.img_content, but jpg, json, txt"):
        list(read_captioned(path, layout="rs5m"))


def test_tar_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.tar").write_bytes(b"<html>")
    with pytest.raises(SpecError, match="cannot be read as a tar file"):
        list(read_captioned(tmp_path / "no.tar", layout="rs5m"))
    monkeypatch.setattr("ragline_media.evaluation.captioned.MOST_BYTES", 3)
    path = packed(tmp_path / "big.tar", {"0.img_content": b"1234"})
    with pytest.raises(SpecError, match="4 bytes; at most 3"):
        list(read_captioned(path, layout="rs5m"))
    with pytest.raises(SpecError, match="Known: skyscript"):
        list(read_captioned(path, layout="laion"))


# ---- pairs


def test_pairs_by_hand() -> None:
    """All four right; texts right alone, for medium 1 is nearer to both texts; nothing ahead where all is equal."""
    items = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.4], [0.6, 0.7]], [[0.3, 0.3], [0.3, 0.3]]])
    found = pair_scores(items)
    assert (found.text, found.media, found.group) == pytest.approx((2 / 3, 1 / 3, 1 / 3))
    with pytest.raises(ValueError, match=r"\[n, 2, 2\]"):
        pair_scores(np.zeros((0, 2, 2)))


def test_by_chance_a_quarter_a_quarter_and_a_sixth() -> None:
    found = pair_scores(np.random.default_rng(0).random((40_000, 2, 2)))
    assert (found.text, found.media, found.group) == pytest.approx((0.25, 0.25, 1 / 6), abs=0.01)


def test_binding_by_hand() -> None:
    shares = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    assert binding_bias(shares, np.array([0, 0]), np.array([1, 1])) == pytest.approx((0.5 - 0.3) / 2)
    with pytest.raises(ValueError, match="different values"):
        binding_bias(shares, np.array([0, 1]), np.array([1, 1]))


# ---- frequency, labels, geometry


def test_a_trend_by_hand() -> None:
    """Through (0, 0), (1, 1), (2, 1) and (3, 2): the slope is 3 / 5, and of the squares 2 it leaves 1 / 5."""
    counts = {"a": 1, "b": 10, "c": 100, "d": 1_000, "e": 0}
    accuracy = {"a": 0.0, "b": 1.0, "c": 1.0, "d": 2.0, "e": 1.0}
    found = trend(accuracy, counts)
    assert (found.slope, found.offset, found.r2) == pytest.approx((0.6, 0.1, 0.9))
    assert found.n == 4
    with pytest.raises(ValueError, match="2 of 5 occur"):
        trend(accuracy, {"a": 3, "b": 4})


def test_a_planted_slope_is_found() -> None:
    drawn = np.random.default_rng(1)
    counts = {str(n): int(count) for n, count in enumerate(drawn.integers(1, 100_000, 290))}
    accuracy = {name: 0.1 + 0.15 * math.log10(count) + 0.02 * drawn.normal() for name, count in counts.items()}
    assert trend(accuracy, counts).slope == pytest.approx(0.15, rel=0.05)


def test_concepts_are_whole_words() -> None:
    captions = ["Cats and a cat", "concatenate", "the CAT.", "a cat-flap", "c++ code"]
    assert concept_counts(captions, ["cat", "c++", "dog"]) == {"cat": 3, "c++": 1, "dog": 0}


def test_labels_by_hand() -> None:
    def encode(texts: Any) -> Any:
        return np.array([[float("cat" in text), float("dog" in text), 0.1 * len(text)] for text in texts], np.float32)

    vectors = label_vectors(encode, ["cat", "dog"], ["a {}", "a photo of a {}"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])
    media = np.eye(3, dtype=np.float32)[:2]
    assert label_accuracy(media, vectors, [0, 1]) == 1.0
    assert label_accuracy(media, vectors, [1, 1]) == 0.5
    with pytest.raises(ValueError, match="each with one"):
        label_vectors(encode, ["cat"], ["a photo"])
    with pytest.raises(ValueError, match="do not fit"):
        label_accuracy(media, vectors, [0])


def test_labels_in_many_languages(tmp_path: Path) -> None:
    path = tmp_path / "babel.json"
    path.write_text(json.dumps({"de": [[0, 7], ["Schleie", "Hahn"]]}))
    assert read_label_languages(path) == {"de": ([0, 7], ["Schleie", "Hahn"])}
    for broken, said in ((["x"], "no file of labels"), ({"de": [[0], ["a", "b"]]}, "de has not as many names")):
        path.write_text(json.dumps(broken))
        with pytest.raises(SpecError, match=said):
            read_label_languages(path)


def test_a_space_by_hand() -> None:
    v = np.eye(2)
    same = geometry(v, v)
    assert (same.gap, same.alignment, same.relative_alignment) == pytest.approx((0, 0, 0))
    assert same.uniformity == pytest.approx(math.log((2 + 4 * math.exp(-4)) / 6))
    crossed = geometry(v, v[::-1])
    assert (crossed.alignment, crossed.relative_alignment) == pytest.approx((2, 2))
    with pytest.raises(ValueError, match="n above 1"):
        geometry(v[:1], v[:1])


def test_how_alike_two_networks_are() -> None:
    """Against centred Gram matrices; a turn, a scale and a shift of a side change nothing."""
    draw = np.random.default_rng(4)
    x, noise = draw.normal(size=(40, 5)), draw.normal(size=(40, 3))
    y = x[:, :3] + 0.5 * noise
    middle = np.eye(40) - 1 / 40
    k, own = middle @ (x @ x.T) @ middle, middle @ (y @ y.T) @ middle
    assert linear_cka(x, y) == pytest.approx(float((k * own).sum() / np.linalg.norm(k) / np.linalg.norm(own)))
    turn = np.linalg.qr(draw.normal(size=(5, 5)))[0]
    assert linear_cka(3 * x @ turn + 7, y) == pytest.approx(linear_cka(x, y))
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(x, y) > linear_cka(x, y[draw.permutation(40)])
    for one, other in ((x, y[:3]), (x[:1], y[:1]), (np.ones((4, 2)), x[:4])):
        with pytest.raises(ValueError, match="linear_cka"):
            linear_cka(one, other)
