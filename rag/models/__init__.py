"""Name -> local folder of weights: a path, the Hugging Face cache or hub, or a packaged default.

Nothing here loads weights, and only `resolve` may touch the network.
"""

from rag.models.folder import ModelFolder, home, tokenizer_sha256, weight_files, weights_sha256
from rag.models.store import (
    GGUF,
    ModelInfo,
    list_models,
    locate,
    packaged_model,
    require_meaning,
    resolve,
    window_beforehand,
)

__all__ = [
    "GGUF",
    "ModelFolder",
    "ModelInfo",
    "home",
    "list_models",
    "locate",
    "packaged_model",
    "require_meaning",
    "resolve",
    "tokenizer_sha256",
    "weight_files",
    "weights_sha256",
    "window_beforehand",
]
