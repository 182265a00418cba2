"""Tiny films: plain pictures, each for some seconds, with or without a tone."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np

from ragline_media.sound.waves import RATE

FRAMES = 5
"""A second."""
SIDE = (160, 96)


def filmed(
    scenes: Sequence[tuple[int, float]],
    *,
    form: str = "webm",
    codecs: tuple[str, str] = ("libvpx", "libopus"),
    samples: np.ndarray | None = None,
) -> bytes:
    """A film of scenes: how light each is (0 to 255), and its seconds. Without scenes it has sound alone.

    `samples`: float [n_samples] between -1 and 1, 16,000 a second, of its track of sound.
    """
    stream = io.BytesIO()
    with av.open(stream, "w", format=form) as container:
        pictures = container.add_stream(codecs[0], rate=FRAMES) if scenes else None
        track = container.add_stream(codecs[1], rate=48_000, layout="mono") if samples is not None else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = *SIDE, "yuv420p"
            pictures.codec_context.gop_size = FRAMES
            for light, seconds in scenes:
                level = np.full((SIDE[1], SIDE[0], 3), light, np.uint8)
                level[20:40, 20:60] = 255 - light
                for _ in range(int(seconds * FRAMES)):
                    container.mux(pictures.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
            container.mux(pictures.encode(None))
        if track is not None and samples is not None:
            levels = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
            levels.sample_rate = RATE
            size = track.codec_context.frame_size or 960
            fitting = av.AudioResampler(format=track.format.name, layout="mono", rate=48_000, frame_size=size)
            for frame in [*fitting.resample(levels), *fitting.resample(None)]:
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return stream.getvalue()
