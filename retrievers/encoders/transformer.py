"""A transformers encoder, loaded so that it is fast where it runs.

Knows nothing of texts and pooling. What was measured is from `benchmarks/dense_speed.py`, all-MiniLM-L6-v2 on two
Zen 5 cores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rag.core.errors import SpecError
from rag.core.quiet import no_progress_bar
from rag.models import resolve
from rag.models.importing import import_transformers
from rag.models.processor import bfloat16_pays, may_have_gpu
from retrievers.encoders.sentence_folder import SentenceFolder, read_sentence_folder

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Compute = Literal["float32", "bfloat16"]

_ATTENTION = "ragline_matmul"
# Scores of one head are n_tokens^2 numbers here, which torch's fused kernel never writes out.
LONGEST_MATMUL_ATTENTION = 1024
# Only the encoder half of these turns a text into token vectors.
_ENCODER_HALVES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
# Two texts that differ in their last token alone.
_PROBES = ((1, 2, 3), (1, 2, 4))


def choose_compute(requested: Literal["auto", "float32", "bfloat16"]) -> Compute:
    """The data type to compute in.

    auto: bfloat16 where the device is faster in it: a CUDA device that has it, a processor as `bfloat16_pays` says.
    """
    if requested != "auto":
        return requested
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if bfloat16_pays() else "float32"


def device() -> str:
    """cuda, or cpu where no GPU is."""
    if not may_have_gpu():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def tokens_per_batch() -> int:
    """Padded tokens of one forward pass.

    On a processor the activations should stay in its cache: of 1,024, 2,048, 4,096 and 8,192 tokens, 2,048 was fastest
    in both data types, and 8,192 (what 32 texts of 256 tokens make) a third slower.
    """
    return 2048 if device() == "cpu" else 32768


def load_transformer(folder: Path, *, compute: Compute, masked: bool = False) -> PreTrainedModel:
    """The model in `folder`, ready to run. Code that the folder brings along is never run.

    Args:
        masked: with its head for masked words.
    Raises:
        SpecError: transformers cannot load it.
    """
    import torch

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    half = _ENCODER_HALVES.get(str(config.get("model_type")), "AutoModel")
    loader: Any = getattr(import_transformers(), "AutoModelForMaskedLM" if masked else half)
    with no_progress_bar():
        try:
            model = loader.from_pretrained(
                folder, dtype=getattr(torch, compute), local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, RuntimeError) as cause:
            raise SpecError(f"model folder '{folder}': transformers cannot load it ({cause})") from cause
    model = model.eval().to(device())
    model.config.use_cache = False  # a language model would keep keys and values to go on writing from
    if device() == "cpu":
        _use_one_dnn(model)
        if compute == "bfloat16":
            _use_matmul_attention(model)
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFolder:
    """A folder in sentence-transformers format: its model's `name`, and `how` token vectors become one vector."""

    name: str
    path: Path
    how: SentenceFolder

    @classmethod
    def of(cls, model: str, *, revision: str | None = None) -> EncoderFolder:
        """That of a packaged name, a folder or a hub id; fetched if need be, and no weights are read.

        Raises:
            MissingModel: it is not here and cannot be fetched.
            SpecError: the folder asks for what this library does not have.
        """
        found = resolve(model, revision=revision)
        return cls(name=found.name, path=found.path, how=read_sentence_folder(found.path))

    def load(self) -> tuple[PreTrainedModel, Any]:
        """The transformer in float32, ready to run, and its tokenizer. Code that the folder brings along is never run."""
        folder = self.how.transformer
        auto = import_transformers().AutoTokenizer
        tokenizer = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return load_transformer(folder, compute="float32"), tokenizer


def attend_both_ways(model: PreTrainedModel, *, folder: Path) -> None:
    """Let tokens also see those after them, as LLM2Vec begins (BehnamGhader et al., 2024, arXiv 2404.05961), in place.

    transformers makes its masks from `is_causal` of the configuration, and computes attention without a mask by
    `is_causal` of each layer. Families that heed neither would go on unseen, so the first token is asked whether it sees
    the last.

    Raises:
        SpecError: it has no causal attention, or keeps it.
    """
    from transformers import PreTrainedModel

    causal = [module for module in model.modules() if vars(module).get("is_causal") is True]
    if not causal:
        raise SpecError(
            f"model folder '{folder}': index.dense.encoding.attention is for language models, and this one's tokens see"
            " each other already. Leave attention out."
        )
    for module in causal:
        vars(module)["is_causal"] = False
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            part.config.is_causal = False  # read by the functions that make masks
    if not _first_sees_last(model):
        raise SpecError(
            f"model folder '{folder}': {type(model).__name__} keeps its causal attention, whatever it is told. Leave"
            " index.dense.encoding.attention out, or set echo: true."
        )


def linear_product() -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """States, weights and bias -> their product, through oneDNN where the processor has AVX-512: it uses all vector units.

    torch gives float32 products to MKL, which keeps to AVX2 on processors that are not Intel's: 210 against 440
    GFLOP/s where there is AVX-512, and the same results to 1e-6. In bfloat16 both are oneDNN, and this saves a copy.
    """
    import torch

    try:
        multiply = torch.ops.mkldnn._linear_pointwise
    except AttributeError:
        return torch.nn.functional.linear
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return torch.nn.functional.linear
    return lambda states, weight, bias: multiply(states, weight, bias, "none", [], "")


def _use_one_dnn(model: PreTrainedModel) -> None:
    import torch

    multiply = linear_product()

    class OneDnnLinear(torch.nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return multiply(input, self.weight, self.bias)

    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = OneDnnLinear


def _use_matmul_attention(model: PreTrainedModel) -> None:
    """Compute bfloat16 attention as two matrix products and a softmax.

    torch's fused kernel for processors multiplies bfloat16 hardly faster than float32 at 32 or 64 numbers per head; the
    plain products are twice as fast up to 512 tokens. Vectors stay within 0.0001 in cosine of float32 either way.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if not model._supports_attention_backend or model.config._attn_implementation != "sdpa":
        return
    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _matmul_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)


def _matmul_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of encoders, query, key and value [n_texts, n_heads, n_tokens, width]; all else goes to SDPA."""
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if (
        causal
        or position_bias is not None
        or key.shape[1] != query.shape[1]
        or query.shape[2] > LONGEST_MATMUL_ATTENTION
    ):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        kwargs |= {"scaling": scaling, "is_causal": is_causal, "position_bias": position_bias}
        whole: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return whole
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return matmul_attention(query, key, value, attention_mask, scale=scale), None


def matmul_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float) -> Tensor:
    """Each [n_texts, n_heads, n_tokens, width] -> [n_texts, n_tokens, n_heads, width]. `mask`: True where a token is seen."""
    import torch

    scores = (query * scale) @ key.transpose(-1, -2)
    if mask is not None:
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill_(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1, out=scores)
    return (weights @ value).transpose(1, 2).contiguous()


def _first_sees_last(model: PreTrainedModel) -> bool:
    import torch

    with torch.inference_mode():
        states = model(input_ids=torch.tensor(_PROBES, device=model.device)).last_hidden_state
    return not torch.equal(states[0, 0], states[1, 0])
