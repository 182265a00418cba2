"""What libraries do unasked and are told not to: to report that they are used, and to draw bars.

Those that count their users read a variable when they are imported or started, and child processes inherit it. What the user has
set stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

USAGE_REPORTS_OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def usage_reports_off() -> None:
    """Set what is not set yet. `import rag` calls this."""
    for name, value in USAGE_REPORTS_OFF.items():
        os.environ.setdefault(name, value)


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """transformers draws its own bar on every load, to a terminal or not; ours tells of loading already."""
    from transformers.utils import logging

    noise: Any = logging
    shown = noise.is_progress_bar_enabled()
    noise.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            noise.enable_progress_bar()
