"""What words have to find on real pictures: bars that were set before, on dev splits, by the packaged models."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.media.benchmarks.bed import SETS, Words, seen
from plugins.media.benchmarks.found_by_words import ENGLISH, aerial, rows
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.tower import Tower

pytestmark = [pytest.mark.data, pytest.mark.models, pytest.mark.slow]


def test_words_find_photos_emoji_and_scenes(eval_data: Path) -> None:
    if not (eval_data / "multimodal" / "coco").is_dir():
        pytest.skip("the evaluation data has no folder multimodal")
    tower, words = Tower(TOWER), Words(ENGLISH)
    sets = {name: seen(name, tower, toned=False) for name in SETS}  # a skin tone is no scene, and none is asked for
    found = {(line["set"], line["way"]): line for line in rows(words, sets)}
    assert found["coco", "fitted"]["captions"] == 140
    assert found["coco", "fitted"]["recall@5"] >= 0.85
    assert found["coco", "tags"]["recall@5"] == pytest.approx(0.73, abs=0.03)
    assert found["emoji om", "fitted"]["pictures"] == 247
    assert found["emoji om", "fitted"]["recall@1"] >= found["emoji om", "tags"]["recall@1"] + 0.10
    assert aerial(words, seen("aerial", tower))["accuracy"] >= 0.75
