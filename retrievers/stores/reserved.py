"""A mapped array whose room on the disk is taken before anything is written to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


def reserved_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.float32]]:
    """A new writable float32 array in the .npy file `path`, all zeros.

    A map of a sparse file dies of SIGBUS when the disk fills up, without a word. Taking the room first makes that an
    OSError here.

    Raises:
        OSError: there is no room; the file is removed again.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return array
