"""A model folder -> a decoder and its tokenizer, ready to run, once a process; and what can be known without loading."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from weakref import WeakValueDictionary

from generators.llm.turns import TurnLock
from rag.core.errors import MissingModel, SpecError
from rag.core.memory import place
from rag.core.quiet import no_progress_bar
from rag.models import weight_files
from rag.models.importing import import_transformers
from rag.models.processor import bfloat16_pays

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from torch import Tensor

DType = Literal["auto", "float32", "bfloat16"]

_ATTENTION = "ragline_grouped"
_WINDOW_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
_copies: WeakValueDictionary[Hashable, Loaded] = WeakValueDictionary()
_loading = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Loaded:
    """A decoder and its tokenizer. `ends`: ids after which the model has said all it has to say. `lock`: held, in
    turns, by whoever runs the model or changes how it attends."""

    model: Any
    tokenizer: Any
    ends: frozenset[int]
    lock: TurnLock = field(default_factory=TurnLock)

    @property
    def vocabulary(self) -> int:
        """Logits per position."""
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def can_step_back(self) -> bool:
        """Whether every layer's cache is keys and values; a recurrent state cannot be cropped."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

        layers = DynamicCache(config=self.model.config).layers
        return all(
            isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)
            for layer in layers
        )

    def cache(self, *, croppable: bool = False) -> Any:
        """An empty key/value cache.

        A croppable one is made without the config: layers with a sliding window would drop what cropping needs.
        Their mask still slides.
        """
        from transformers import DynamicCache

        from generators.llm.growing import growing

        return growing(DynamicCache() if croppable else DynamicCache(config=self.model.config))

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def context_window(folder: Path) -> int:
    """Tokens that the model was made for, from config.json.

    Raises:
        MissingModel: the file does not say.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("text_config") or {}):
        for key in _WINDOW_KEYS:
            if isinstance(part.get(key), int):
                return int(part[key])
    raise MissingModel(f"'{folder / 'config.json'}' has none of {', '.join(_WINDOW_KEYS)}: is it a decoder?")


def choose_device(device: str) -> str:
    """A torch device; `auto` is a CUDA device where there is one, else the processor."""
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device.startswith("cuda") and not available:
        raise SpecError(f"llm.transformers: device '{device}' is not here; use 'cpu' or 'auto'")
    return device


def choose_dtype(dtype: DType, device: str) -> Any:
    """A torch data type; `auto` is bfloat16 where the device is faster in it, else float32."""
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    on_gpu = device.startswith("cuda")
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else bfloat16_pays()
    return torch.bfloat16 if fast else torch.float32


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer alone. Code that the folder brings along is never run.

    Raises:
        MissingModel: transformers cannot load it.
    """
    with _explained(folder):
        return import_transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load(folder: Path, *, tokenizer: Any, device: str, dtype: Any) -> Loaded:
    """Read the weights. Code that the folder brings along is never run, pickled weights are never read.

    Raises:
        MissingModel: transformers cannot load the folder.
    """
    auto = import_transformers().AutoModelForCausalLM
    with _explained(folder), no_progress_bar():
        model = auto.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True)
    placed = cast(Any, model).to(device).eval()
    share_keys(placed)
    return Loaded(model=placed, tokenizer=tokenizer, ends=_ends(model, tokenizer))


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


def share_keys(model: Any) -> None:
    """Let a model on a processor read a key once for all heads that share it, if it attends by torch's kernel.

    transformers repeats keys and values for every query head of a group wherever there is a mask, which it must on GPUs:
    their fast kernels take no group beside a mask. On processors torch's kernel takes both, and gives the same numbers to
    the bit.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if model.device.type != "cpu" or not model._supports_attention_backend:
        return
    if model.config._attn_implementation != "sdpa":
        return
    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as cause:
        raise MissingModel(f"model folder '{folder}' does not load as a decoder: {cause}") from cause


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    from rag.models.chat import end_of_turn

    ends = set(end_of_turn(tokenizer))
    for said in (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id):
        ends.update([said] if isinstance(said, int) else said or ())
    return frozenset(ends)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [rows, heads, new, width], key and value [rows, groups, all, width] -> [rows, new, heads, width]."""
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # The rest of what a caller may ask for is left to transformers; without a mask it repeats nothing either.
    if attention_mask is None or position_bias is not None or kwargs.get("dropout") or kwargs.get("cache") is not None:
        kwargs |= {"scaling": scaling, "position_bias": position_bias}
        whole: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return whole
    output = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
    )
    return output.transpose(1, 2).contiguous(), None
