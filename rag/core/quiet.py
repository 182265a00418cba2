"""No usage reports: the libraries that count their users are told not to, before any of them is imported.

Each reads its variable when it is imported or started, and child processes inherit them. What the user has set stays.
"""

from __future__ import annotations

import os

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
