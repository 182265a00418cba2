"""A scan by computed tomography as Merlin wants it: a file of NIfTI -> float32 [1, depth, height, width]."""

from __future__ import annotations

import io
import zlib
from gzip import GzipFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError, need

_VOXELS = (224, 224, 160)
"""From left to right, from back to front, and up."""
_MILLIMETRES = (1.5, 1.5, 3.0)
"""From one voxel to the next."""
_LEAST, _MOST = 1e-3, 1e3
"""Millimetres that are believed."""
_LOWEST, _HIGHEST = -1000.0, 1000.0
"""Hounsfield units that become 0 and 1."""
LARGEST_BYTES, LARGEST_VOXELS = 1 << 30, 1 << 28
"""Of a file, unpacked."""


def volume_of(content: bytes) -> NDArray[np.float32]:
    """float32 [1, 160, 224, 224] of a `.nii` or `.nii.gz`: turned to right, front and up, brought to 1.5 x 1.5 x 3 mm between
    neighbours, -1000 to 1000 Hounsfield units to 0 to 1, and of that the middle, with 0 around where there is less.

    Raises:
        SpecError: it is no such file, larger than is read, or has no sizes.
        MissingDependency: nibabel is not there.
    """
    need("nibabel", by="reading volumes", line="pip install './plugins/media[volumes]' in a clone of ragline")
    values, millimetres = _read(_unpacked(content))
    for axis in range(3):
        values = _spaced(values, axis, millimetres[axis])
    if not np.isfinite(values).all():
        raise _unread("it has numbers that are not finite")
    values = np.clip((values - _LOWEST) / (_HIGHEST - _LOWEST), 0, 1)
    lacking = [wanted - n for wanted, n in zip(_VOXELS, values.shape, strict=True)]
    values = np.pad(values, [(each // 2, each - each // 2) for each in lacking])
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)


def _unpacked(content: bytes) -> bytes:
    if content[:2] == b"\x1f\x8b":
        try:
            content = GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as cause:
            raise _unread(cause) from cause
    if len(content) > LARGEST_BYTES:
        raise _unread(f"it is larger than {LARGEST_BYTES:,} bytes")
    if content[344:348] != b"n+1\0":
        raise _unread("it does not say that it is NIfTI")
    return content


def _read(content: bytes) -> tuple[NDArray[np.float32], list[float]]:
    """What was measured, to the right, to the front and up; and millimetres between neighbours."""
    import nibabel.affines
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    library: Any = nibabel  # some of it has no types
    try:
        image = library.Nifti1Image.from_bytes(content)
        shape, affine = image.shape[:3], image.affine
        if len(shape) != 3 or any(n != 1 for n in image.shape[3:]) or not np.prod(shape, dtype=float) > 0:
            raise ValueError(f"its shape is {image.shape}, and not one of three directions")
        if np.prod(shape, dtype=float) > LARGEST_VOXELS:
            raise ValueError(f"it has more than {LARGEST_VOXELS:,} voxels")
        sizes, turns = library.affines.voxel_sizes(affine), library.io_orientation(affine)
        if not np.isfinite(turns).all() or not ((sizes > _LEAST) & (sizes < _MOST)).all():
            raise ValueError(f"its voxels lie {sizes.tolist()} millimetres apart")
        values = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
        turned = library.apply_orientation(values, turns)
    except (OSError, ValueError, TypeError, ImageFileError, HeaderDataError, WrapStructError) as cause:
        raise _unread(f"{type(cause).__name__}: {str(cause)[:200]}") from cause
    return turned, [float(sizes[axis]) for axis in np.argsort(turns[:, 0])]


def _spaced(values: NDArray[np.float32], axis: int, millimetres: float) -> NDArray[np.float32]:
    """The middle of one direction, read between its voxels where those wanted lie; of those, no more than are wanted."""
    step, n, wanted = _MILLIMETRES[axis] / millimetres, values.shape[axis], _VOXELS[axis]
    there = round((n - 1) / step + 1)
    first = max(there // 2 - wanted // 2, 0)
    at = np.minimum(np.arange(first, min(first + wanted, there)) * step, n - 1)
    below = np.floor(at).astype(np.intp)
    share = (at - below).astype(np.float32).reshape([-1 if each == axis else 1 for each in range(3)])
    above = np.minimum(below + 1, n - 1)
    found: NDArray[np.float32] = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return found


def _unread(cause: object) -> SpecError:
    return SpecError(f"a volume cannot be read: {cause}. It must be a .nii or .nii.gz of one scan")
