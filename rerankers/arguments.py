"""The check of a window that slides over a ranking."""

from __future__ import annotations


def require_windows(by: str, *, window: int, stride: int, most: int | None = None) -> None:
    """Raise ValueError unless windows of this size overlap and hold at least 2 passages, and at most `most`."""
    if window < 2:
        raise ValueError(f"{by}: window must be at least 2, got {window}")
    if most is not None and window > most:
        raise ValueError(f"{by}: window must be at most {most}, got {window}: there are no more letters")
    if not 1 <= stride < window:
        raise ValueError(
            f"{by}: stride must be at least 1 and below window ({window}), got {stride}: "
            "windows that do not overlap cannot carry a passage upward"
        )
