"""Sounds that are no speech: what their captions find, and pictures by way of captions.

The network is YAMNet's, of the data; its classes come beside texts by tags, or by a ridge regression on the sounds of train of two
sets. A sound of `tux` has a picture that was never shown beside it to anything here. Captions may be described by a model: the mean
of what it says that each sounds like stands in the place of its vector (ReCLAP).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plugins.train.benchmarks.tower_features import Read, lines, texts
from rag.evaluate import mean_interval
from rag.protocols import LLM
from ragline_media.methods.described import described, label_vector
from ragline_media.methods.vectors import through_texts
from ragline_media.sound.network import SoundTower
from ragline_media.tower.fitting import spoken
from ragline_media.tower.joint import concepts_for
from ragline_media.tower.space import Projector, inputs, tags
from ragline_train.losses.towers import Towers

_SETS = ("tux", "instruments")
_AMONG = (1, 5)
DESCRIPTIONS = 3
"""Of a label, each in two scenes; the paper has five, each in ten."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Sounds of both sets: their records, captions, and vectors by each way."""

    rows: list[tuple[str, dict[str, Any]]]
    said: list[str]
    ways: dict[str, NDArray[np.float32]]

    def asked(self, name: str) -> tuple[list[int], list[str], NDArray[np.bool_]]:
        """Places of a set's sounds in dev, their captions, each once, and which is whose."""
        dev = [n for n, (own, line) in enumerate(self.rows) if own == name and line["split"] == "dev"]
        captions = list(dict.fromkeys(self.said[n] for n in dev))
        return dev, captions, np.array([[self.said[n] == caption for caption in captions] for n in dev])


def hear(data: Path) -> Heard:
    """All sounds of both sets."""
    network = SoundTower(
        str(data / "models" / "yamnet_spectra_in.tflite"), str(data / "labels" / "yamnet_class_map.csv")
    )
    rows = [(name, line) for name in _SETS for line in _sounds_of(data / name)]
    archives = {each: zipfile.ZipFile(each) for each in {data / name / line["archive"] for name, line in rows}}
    heard = network.features([archives[data / name / line["archive"]].read(line["media"]) for name, line in rows])
    concepts = concepts_for(network, texts, dim=384)
    said = [spoken(line["captions"]["en"][0]) for _, line in rows]
    train = np.array([line["split"] == "train" for _, line in rows])
    projector = Projector.fit(inputs(heard, concepts)[train], texts(said)[train])
    return Heard(rows, said, {"tags": tags(heard, concepts), "fitted": projector(inputs(heard, concepts))})


def sounds(data: Path, known: Read, towers: Towers) -> Iterator[dict[str, Any]]:
    """Lines of sounds to captions by set and way; then of sounds to pictures, straight and through captions."""
    heard = hear(data)
    for name in _SETS:
        dev, captions, right = heard.asked(name)
        for way, vectors in heard.ways.items():
            yield _line(name, way, vectors[dev] @ texts(captions).T, right, captions=len(captions))
    yield from _pictures(known, towers, [line for _, line in heard.rows], heard.ways)


def in_words(data: Path, llm: LLM) -> Iterator[dict[str, Any]]:
    """Lines of sounds to captions by set, as they are and described."""
    heard = hear(data)
    for name in _SETS:
        dev, captions, right = heard.asked(name)
        told = described(llm, captions, descriptions=DESCRIPTIONS)
        facts = {"captions": len(captions), "texts": sum(len(each.texts) for each in told)}
        facts["failed"] = sum(each.failed for each in told)
        ways = {
            "as they are": texts(captions),
            "described": np.array(
                [label_vector(lambda some: texts(list(some)), each.label, each.texts) for each in told]
            ),
        }
        for way, labels in ways.items():
            yield _line(name, f"tags, labels {way}", heard.ways["tags"][dev] @ labels.T, right, **facts)


def _pictures(
    known: Read, towers: Towers, rows: list[dict[str, Any]], ways: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    places = [n for n, each in enumerate(known.pictures) if each.set == "tux" and each.split == "dev"]
    keys = [known.pictures[n].key for n in places]
    dev = [n for n, line in enumerate(rows) if line["split"] == "dev" and line.get("image") in keys]
    if not dev:
        return
    captions = sorted({caption for n in places for caption in known.pictures[n].captions})
    with torch.no_grad():
        seen = towers.media(torch.from_numpy(known.whole[places])).numpy()
    right = np.array([[key == rows[n]["image"] for key in keys] for n in dev])
    for way, vectors in ways.items():
        yield _line("pictures of tux", f"{way}, straight", vectors[dev] @ seen.T, right, captions=len(captions))
        for k in (1, 3):
            found = through_texts(vectors[dev], texts(captions), seen, k=k)
            yield _line("pictures of tux", f"{way}, through {k}", found, right, captions=len(captions))


def _line(
    name: str, way: str, scores: NDArray[np.floating[Any]], right: NDArray[np.bool_], **facts: Any
) -> dict[str, Any]:
    order = np.argsort(-scores, axis=1, kind="stable")
    made: dict[str, Any] = {"sounds": name, "way": way, "n": len(right), "among": right.shape[1], **facts}
    for k in _AMONG:
        found = np.take_along_axis(right, order[:, :k], axis=1).any(axis=1).astype(np.float64)
        ends = mean_interval(found.tolist())
        chance = 1 - np.prod([1 - right.sum(axis=1) / (right.shape[1] - drawn) for drawn in range(k)], axis=0)
        made[f"R@{k}"] = round(float(found.mean()), 4)
        made[f"interval@{k}"] = [round(ends.low, 4), round(ends.high, 4)]
        made[f"chance@{k}"] = round(float(chance.mean()), 4)
    return made


def _sounds_of(folder: Path) -> list[dict[str, Any]]:
    return [
        line
        for line in lines(folder, "pairs")
        if line["kind"] == "audio" and line.get("role") == "sound" and line["split"] in ("train", "dev")
        if line["captions"].get("en")
    ]
