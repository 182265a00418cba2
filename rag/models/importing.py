"""transformers, imported by one thread at a time."""

from __future__ import annotations

import threading
from typing import Any

_IMPORTING = threading.Lock()


def import_transformers() -> Any:
    """The module, with what loads models and tokenizers ready.

    It imports its parts when they are first asked for, and not safely from two threads at once: a question that comes while
    a server loads would find a class missing.
    """
    with _IMPORTING:
        import transformers

        for name in ("AutoTokenizer", "AutoModelForCausalLM", "DynamicCache", "PreTrainedModel"):
            getattr(transformers, name)
    return transformers
