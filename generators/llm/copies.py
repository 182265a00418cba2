"""One copy of the same weights in this process, however many models name them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from generators.llm.loading import Loaded
from rag.core.memory import place
from rag.models import weight_files

_copies: WeakValueDictionary[Hashable, Loaded] = WeakValueDictionary()
_loading = threading.Lock()


def copy_mark(folder: Path, *, device: str, dtype: Any) -> Hashable:
    """A key that is equal for models that can share one copy: same unchanged weight files, device and data type."""
    real = folder.resolve()
    files = [(file, file.stat()) for file in weight_files(real) if file.is_file()]
    state = tuple((file.name, stat.st_size, stat.st_mtime_ns) for file, stat in files)
    return str(real), place(device), str(dtype), state


def one_copy(mark: Hashable, load: Callable[[], Loaded]) -> Loaded:
    """The copy that this process still holds, else a fresh one. A copy lives as long as something holds it."""
    with _loading:
        copy = _copies.get(mark)
        if copy is None:
            copy = _copies[mark] = load()
        return copy
