"""A network that hears what is no speech: sounds -> how probable each of its classes is. It is YAMNet's kind, in a file that is
named (TensorFlow Lite), with the names of its classes in another one; neither is shipped.

It is shown patches of 96 steps of a hundredth of a second of 64 bands, as YAMNet was taught (Plakal and Ellis, 2020): windows of 25
ms, bands of mel from 125 to 7,500 Hz, log(x + .001).
"""

from __future__ import annotations

import csv
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError, need
from rag.reading import Reader, ReadError
from ragline_media.sound.waves import RATE, pieces
from ragline_media.tower.tower import Features

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

INSTALL = "pip install './plugins/media[sounds]' in a clone of ragline"
MOST_BYTES = 64 << 20
"""Of the file of a model."""
STEPS, BANDS = 96, 64
_HOP, _WINDOW, _FFT = RATE // 100, RATE // 40, 512
_PATCHES = 8
"""Of one sound, spread over its first five minutes."""
_LEAST = 1e-6
"""Of a probability."""


class SoundTower:
    """Safe to share between threads.

    Args:
        model: a file that takes [1, 96, 64] and says a probability of each class.
        names: a table (CSV) of its classes in their order, with a column `display_name`, as AudioSet's is published.
        sha256: of the model, where it is to be the one that an index was built with.
    """

    def __init__(self, model: str, names: str, *, sha256: str | None = None) -> None:
        self.model, self.names, self._expected = model, names, sha256
        self._lock = Lock()
        self._network: Interpreter | None = None

    def describe(self) -> dict[str, Any]:
        """All that decides what is heard. Loads no weights, but hashes them."""
        return {
            "tower": self.model,
            "names": self.names,
            "tower_sha256": sha256(self._weights).hexdigest(),
            "names_sha256": sha256("\n".join(self.class_names).encode()).hexdigest(),
        }

    @cached_property
    def class_names(self) -> list[str]:
        """In small letters, in the order of what the network says."""
        table = _bytes_of(self.names, "names of classes").decode("utf-8", "replace").splitlines()
        found = [row["display_name"].lower() for row in csv.DictReader(table) if row.get("display_name")]
        if not found:
            raise SpecError(f"'{self.names}' has no column `display_name`. Name the table of the model's classes")
        return found

    def features(self, sounds: Sequence[bytes]) -> Features:
        """What the network says of each sound, in order, in the mean over its patches: probabilities, and their logs as classes.

        Raises:
            SpecError: one is no sound that is read here, or the file is no such model.
        """
        heard = [np.mean([self._said(patch) for patch in _patches(sound)], axis=0) for sound in sounds]
        probable = np.array(heard, dtype=np.float32).reshape(len(sounds), len(self.class_names))
        return Features(probable, np.log(np.maximum(probable, _LEAST)))

    def release(self) -> None:
        self._network = None

    @property
    def _weights(self) -> bytes:
        return _bytes_of(self.model, "a model that hears")

    def _said(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            network = self._network = self._network or self._loaded()
            [given], [told] = network.get_input_details(), network.get_output_details()
            network.set_tensor(given["index"], patch[None])
            network.invoke()
            said: NDArray[np.float32] = np.asarray(network.get_tensor(told["index"]), dtype=np.float32)[0]
            return said

    def _loaded(self) -> Interpreter:
        need("ai_edge_litert", by="hearing sounds", line=INSTALL)
        from ai_edge_litert.interpreter import Interpreter

        weights = self._weights
        if self._expected not in (None, sha256(weights).hexdigest()):
            raise SpecError(
                f"'{self.model}' is not the model that the index was built with. Bring that one, or build anew"
            )
        try:
            network = Interpreter(model_content=weights, num_threads=1)
            network.allocate_tensors()
            shapes = [
                [*map(int, each["shape"])] for each in (*network.get_input_details(), *network.get_output_details())
            ]
        except (ValueError, RuntimeError) as cause:
            raise SpecError(f"'{self.model}' is no model of TensorFlow Lite ({str(cause)[:200]})") from cause
        if shapes != (wanted := [[1, STEPS, BANDS], [1, len(self.class_names)]]):
            raise SpecError(
                f"'{self.model}' takes and gives {shapes}, and with '{self.names}' these should be {wanted}"
            )
        return network


def _bytes_of(name: str, what: str) -> bytes:
    """Of a file, which has to be there and not too large."""
    path = Path(name).expanduser()
    if not name or not path.is_file():
        raise SpecError(f"'{name}' is no file, and should be {what}. Name it in `index.sounds`")
    if path.stat().st_size > MOST_BYTES:
        raise SpecError(f"'{name}' has {path.stat().st_size:,} bytes; {what} has at most {MOST_BYTES:,}")
    return path.read_bytes()


def _patches(sound: bytes) -> NDArray[np.float32]:
    """float32 [n, 96, 64]. It is decoded in the process that parses."""
    need("av", by="hearing sounds", line=INSTALL)
    try:
        with tempfile.TemporaryDirectory(prefix="ragline-heard-") as folder:
            file = Path(folder) / "sound"
            file.write_bytes(sound)
            made = _reader().call(f"{__name__}:patches_in", file)
    except ReadError as cause:
        raise SpecError(f"a sound cannot be heard: {cause}") from None
    return np.frombuffer(b64decode(made), np.float32).reshape(-1, STEPS, BANDS)


@cache
def _reader() -> Reader:
    return Reader()


def patches_in(data: bytes) -> str:
    """The patches of a sound, as text. Runs in the process that parses.

    Raises:
        ReadError: it is no sound that is read here, or damaged.
    """
    return b64encode(patches_of(next(pieces(data)).samples).tobytes()).decode("ascii")


def patches_of(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n, 96, 64], at most eight: of a sound made as loud as others, and repeated where it is shorter than a second.

    Args:
        samples: float32 [n], 16,000 a second, n above 0.
    """
    loudest = float(np.abs(samples).max())
    even = np.resize(samples * np.float32(0.8 / loudest if loudest else 1.0), max(len(samples), RATE))
    n = (STEPS - 1) * _HOP + _WINDOW
    starts = np.arange(0, len(even) - n + 1, STEPS // 2 * _HOP)
    kept = starts[np.linspace(0, len(starts) - 1, min(len(starts), _PATCHES)).round().astype(int)]
    return np.stack([log_mel(even[start : start + n]) for start in kept])


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [steps, 64]: log(x + .001) of the bands of each window."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    around = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    spectrum = np.abs(np.fft.rfft(windows * around, _FFT))
    return np.log(spectrum @ _bands() + 1e-3).astype(np.float32)


@cache
def _bands() -> NDArray[np.float64]:
    """[257, 64]: triangles, evenly apart in mel."""
    mel = 1127 * np.log1p(np.linspace(0, RATE / 2, _FFT // 2 + 1) / 700)[:, None]
    first, last = 1127 * np.log1p(np.array([125.0, 7500.0]) / 700)
    edges = np.linspace(first, last, BANDS + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    bands: NDArray[np.float64] = np.maximum(0, np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle)))
    return bands
