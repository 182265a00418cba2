"""Prompts that torch reads for llama.cpp.

llama.cpp comes as one build for all processors, and reads a prompt as fast as AVX2 allows. Where the processor multiplies
matrices of bfloat16 itself, torch reads the same weights several times as fast. Keys and values of what it read are handed
to llama.cpp, which writes on from there, by weights of a third of the size.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from generators.llm.plain_decoder import PlainDecoder
from generators.llm.slot_states import Rows, SlotStates
from rag.core.errors import MissingModel
from rag.core.memory import this_machine
from rag.core.stopping import unwanted
from rag.models import packaged_model, resolve
from rag.models.assembled import PartedFile
from rag.models.folder import home
from rag.models.packaged import PackagedModel
from rag.models.processor import bfloat16_pays

log = logging.getLogger(__name__)

Reader = Literal["auto", "torch", "llama.cpp"]

_AT_ONCE = 512
"""Tokens that go through the model together. Between two pieces it is asked whether they are still wanted."""

_PAYS_FROM = 1 << 28
"""Bytes of a GGUF file: llama.cpp reads a smaller one fast enough for what torch takes to load."""
_ROOM = 4
"""So many times its weights in bfloat16 a machine has to have in memory: they stay there beside all else."""


class TorchReader:
    """Reads with the decoder of a transformers folder on the processor. Safe to share between threads, which take turns.

    Args:
        folder: where the weights of the GGUF file lie, as `rag.models.gguf` converts them; asked for at first use.
        dtype: name of a torch data type.
    """

    def __init__(self, folder: Callable[[], Path], *, dtype: str = "bfloat16") -> None:
        self._folder, self._dtype, self._lock = folder, dtype, threading.RLock()
        self._decoder: PlainDecoder | None = None
        self._pairs = False

    def load(self) -> None:
        """Load now instead of at the first prompt.

        Raises:
            MissingModel: the weights are not there, or do not load.
        """
        with self._lock:
            self._loaded()

    def read(self, ids: Sequence[int]) -> SlotStates | None:
        """What llama.cpp would keep of these tokens; None where nobody wants them any more, or float16 cannot hold it."""
        import torch

        with self._lock, torch.inference_mode():
            decoder, layers = self._loaded(), list[Any]()
            for start in range(0, len(ids), _AT_ONCE):
                if unwanted():
                    return None
                layers = decoder.read(ids[start : start + _AT_ONCE], layers)
            keys = [self._rows(key, pairs=self._pairs) for key, _ in layers]
            values = [self._rows(value) for _, value in layers]
        if not all(np.isfinite(rows).all() for rows in (*keys, *values)):
            return None
        return SlotStates(ids=ids, keys=keys, values=values)

    def agrees(self, theirs: SlotStates) -> bool:
        """Whether llama.cpp read of some tokens what is read of them here.

        Some GGUF files keep rotary pairs side by side, others as halves of a head: it is found out here which.
        """
        for self._pairs in (False, True):
            ours = self.read(theirs.ids)
            if ours and ours.resembles(theirs):
                return True
        return False

    def _loaded(self) -> PlainDecoder:
        if self._decoder is None:
            self._decoder = PlainDecoder(self._folder(), self._dtype)
        return self._decoder

    @staticmethod
    def _rows(heads: Any, *, pairs: bool = False) -> Rows:
        """Torch [n_heads, n_tokens, width of a head] -> float16 [n_tokens, n_heads * width of a head]."""
        import torch

        rows = heads.transpose(0, 1)
        if pairs:
            rows = rows.unflatten(-1, (2, -1)).transpose(-1, -2)
        found: Rows = rows.flatten(1).to(torch.float16).numpy()
        return found


def reader_of(name: str, asked: Reader) -> TorchReader | None:
    """Who reads the prompts of a packaged GGUF file for llama.cpp; None where nobody does: for `auto`, where it does not pay.

    It pays where the processor multiplies bfloat16, and the machine has memory for the weights in it.
    """
    model = packaged_model(name)
    if (
        model is None
        or model.gguf is None
        or asked == "llama.cpp"
        or (asked == "auto" and not _pays(model, model.gguf))
    ):
        return None
    return TorchReader(partial(_folder, model))


def bfloat16_bytes(model: PackagedModel) -> int:
    """Of its weights."""
    return 2 * model.n_parameters


def _pays(model: PackagedModel, file: PartedFile) -> bool:
    ram = this_machine().ram
    return file.n_bytes >= _PAYS_FROM and not (ram and ram < _ROOM * bfloat16_bytes(model)) and bfloat16_pays()


def _folder(model: PackagedModel) -> Path:
    n_bytes = bfloat16_bytes(model)
    if not model.path.is_dir():
        if (free := shutil.disk_usage(home()).free) < 2 * n_bytes:
            raise MissingModel(f"to read faster takes {n_bytes:,} bytes of disk, and {free:,} are free")
        log.warning("model %s is laid out for faster reading, once: %s MB", model.name, f"{n_bytes / 1e6:,.0f}")
    return resolve(model.name, offline=True).path
