"""Many pictures: how fast they are seen, and an index of ten thousand built and asked.

Crops of the photos of COCO, each another one of 192 to 320 pixels a side, written as JPEG: for speed alone, since they show next to
nothing apart. First some hundred of them as often as `--seconds` lasts: decoded and made small by ours and by what open_clip has
for its networks, and seen by EfficientNet-Lite0. Then `rag index` of the folder, in a process of its own whose peak of memory is
told, and questions by `retrieve.pictures` with one thread.

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.many_pictures [--pictures 10000] [--questions 200] [--seconds 10]
        [--record]
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import pictures, records
from rag import load_pipeline
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.tower import Tower, opened_picture, pixels_of

NAME = "many_pictures"
SIDE = 192
_AT_ONCE = 64
GRAPH = {
    "version": 1,
    "nodes": {"seen": {"use": "retrieve.pictures", "in": "query", "k": 10}},
    "output": "seen",
}


def crops(n: int) -> Iterator[bytes]:
    """Stretches of photos, drawn the same way each time."""
    photos = [*pictures("coco", records("coco"))]
    opened = cache(lambda place: Image.open(io.BytesIO(photos[place])).convert("RGB"))  # of few crops few photos
    drawn = np.random.default_rng(0)
    for _ in range(n):
        photo = opened(int(drawn.integers(len(photos))))
        width, height = (int(drawn.integers(min(SIDE, side), min(320, side) + 1)) for side in photo.size)
        left, top = (int(drawn.integers(side - own + 1)) for side, own in zip(photo.size, (width, height), strict=True))
        out = io.BytesIO()
        photo.crop((left, top, left + width, top + height)).save(out, "JPEG", quality=90)
        yield out.getvalue()


def a_second(work: Callable[[Sequence[bytes]], object], some: Sequence[bytes], seconds: float) -> float:
    """Pictures a second, by going through them until the time is over; the first round is not counted."""
    work(some)
    begun, n = perf_counter(), 0
    while (passed := perf_counter() - begun) < seconds:
        work(some)
        n += len(some)
    return n / passed


def speeds(some: Sequence[bytes], seconds: float) -> Iterator[dict[str, Any]]:
    """A line for each way, on all cores."""
    import open_clip

    tower = Tower(TOWER)
    theirs = open_clip.image_transform(SIDE, is_train=False)
    ways: dict[str, Callable[[Sequence[bytes]], object]] = {
        "made small, ours": lambda some: np.stack([pixels_of(opened_picture(each), SIDE) for each in some]),
        "made small, open_clip": lambda some: torch.stack([theirs(Image.open(io.BytesIO(each))) for each in some]),
        "seen": tower.features,
    }
    for way, work in ways.items():
        yield {"way": way, "n": len(some), "side": SIDE, "pictures_per_s": round(a_second(work, some, seconds), 1)}


def built(folder: Path, index: Path) -> dict[str, Any]:
    """Of `rag index`, in a process of its own."""
    begun = perf_counter()
    subprocess.run(
        [sys.executable, "-m", "rag", "index", str(folder), "--index", str(index)],
        check=True,
        capture_output=True,
    )
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    size = sum(each.stat().st_size for each in index.rglob("*") if each.is_file()) / 1e6
    return {"build_s": round(seconds, 1), "build_mib": round(peak), "index_mb": round(size, 1)}


def asked(index: Path, n: int) -> dict[str, Any]:
    """Milliseconds of a question in words, one thread."""
    torch.set_num_threads(1)
    captions = [text for each in records("coco") for text in each["captions"]["en"]][:n]
    with load_pipeline(GRAPH, index=index) as pipeline:
        pipeline.search(captions[0], k=10)
        times = []
        for caption in captions:
            begun = perf_counter()
            found = pipeline.search(caption, k=10)
            times.append(1000 * (perf_counter() - begun))
            assert found.hits
    p50, p95 = np.percentile(times, [50, 95])
    return {"questions": len(times), "p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000, help="how many are indexed")
    parser.add_argument("--questions", type=int, default=200, help="how many are asked")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each way of seeing runs")
    parser.add_argument("--record", action=Record, help="keep the lines")
    options = parser.parse_args(arguments)
    lines = list(speeds([*crops(min(_AT_ONCE, options.pictures))], options.seconds))
    with tempfile.TemporaryDirectory(prefix="ragline-many-") as place:
        folder, index = Path(place) / "crops", Path(place) / "index"
        folder.mkdir()
        for number, data in enumerate(crops(options.pictures)):
            (folder / f"IMG_{number:05}.jpg").write_bytes(data)
        lines.append(
            {"way": "indexed", "n": options.pictures, **built(folder, index), **asked(index, options.questions)}
        )
    for line in lines:
        print("  ".join(f"{key} {value}" for key, value in line.items()))
        if options.record:
            record(NAME, line)


if __name__ == "__main__":
    main()
