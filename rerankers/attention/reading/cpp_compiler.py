"""Whether there is what torch.compile builds its code with. Imports nothing heavy."""

from __future__ import annotations

import os
import shutil
import sys


def require_compiler() -> None:
    """Raises:
    ValueError: there is no C++ compiler where torch.compile looks for one.
    """
    command = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(command) is None:
        raise ValueError(
            f"rerank.attention: compiled: true needs a C++ compiler, and there is no {command}. Install it, name another one "
            "in the environment variable CXX, or set compiled: false."
        )
