"""What a model folder in sentence-transformers format says about turning text into one vector.

Only JSON files are read here: no weights, no tokenizer, no code from the folder. A folder without `modules.json` is a
plain transformers model; its tokens are averaged, because nothing says otherwise.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from rag.core.errors import SpecError

logger = logging.getLogger(__name__)


class NotPlain(SpecError):
    """The folder is in order, but asks for more than Transformer, Pooling, Dense and Normalize on plain texts."""


Role = Literal["query", "document"]
"""Which side of a retrieval a text is on."""

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid", "LeakyReLU")

# Booleans of configs written before `pooling_mode`, in the order in which several of them are concatenated.
_OLD_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TRANSFORMER_CONFIGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
# These count positions from the padding id + 1, so that many of their positions cannot be used.
_LATE_POSITIONS = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "mpnet": 2, "longformer": 2}
_LONGEST_BY_DEFAULT = 512


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A linear layer after pooling, in `path`, followed by `activation` (a name of torch.nn)."""

    path: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str


@dataclass(frozen=True, kw_only=True)
class SentenceFolder:
    """How a folder turns token vectors into one vector.

    `after` is applied to the pooled vector in order; then it is cut to `dim`, and brought to unit length where
    `normalise` says so. Without `pooling_is_declared` the folder was silent and mean pooling was chosen for it.
    """

    transformer: Path
    pooling: tuple[str, ...]
    pooling_is_declared: bool
    include_prompt: bool
    after: tuple[DenseLayer | Literal["normalise"], ...]
    normalise: bool
    full_dim: int
    dim: int
    max_length: int
    lower_case: bool
    prompts: Mapping[Role, str]


def read_sentence_folder(folder: Path) -> SentenceFolder:
    """Read `folder`.

    Raises:
        SpecError: it uses a module, a pooling or an option that this library does not have, or a file in it is not
            what its name promises.
    """
    options = sentence_options(folder)
    if (folder / "modules.json").is_file():
        return _declared(folder, options)
    logger.warning(
        "%s has no modules.json: its token vectors are averaged and brought to unit length, unless the graph says otherwise",
        folder.name,
    )
    dim = hidden_size(folder)
    return SentenceFolder(
        transformer=folder,
        pooling=("mean",),
        pooling_is_declared=False,
        include_prompt=True,
        after=(),
        normalise=True,
        full_dim=dim,
        dim=dim,
        max_length=length_limit(folder, {}),
        lower_case=False,
        prompts=_prompts(options),
    )


def sentence_options(folder: Path) -> Mapping[str, Any]:
    """What a folder says of itself; nothing where it says nothing."""
    return json_object(folder / "config_sentence_transformers.json")


def module_classes(folder: Path) -> list[str]:
    """Class names of all modules, and of those that a router routes to, as "path: class".

    Raises:
        SpecError: one is code of the folder's own, which is never run, or lies outside the folder.
    """
    entries = list(_module_list(folder))
    for entry in entries:  # grows by what routers route to
        routes = json_object(_inside(folder, entry) / "router_config.json").get("types") or {}
        entries += [
            {"path": f"{entry.get('path', '')}/{path}".lstrip("/"), "type": kind} for path, kind in routes.items()
        ]
    return [f"{_inside(folder, entry).relative_to(folder).as_posix()}: {_kind(entry, folder)}" for entry in entries]


def _declared(folder: Path, options: Mapping[str, Any]) -> SentenceFolder:
    modules = modules_of(folder)
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise NotPlain(
            f"model folder '{folder}': its modules begin with {' + '.join(kinds[:2]) or 'nothing'}; only"
            " Transformer + Pooling is supported."
        )
    (_, transformer), (_, pooling_folder), *rest = modules
    text_config = _transformer_config(transformer)
    pooling_config = json_object(pooling_folder / "config.json", required=True)
    modes = _pooling_modes(pooling_config, pooling_folder)
    width = pooling_config.get("embedding_dimension", pooling_config.get("word_embedding_dimension"))
    dim = (width if isinstance(width, int) else hidden_size(transformer)) * len(modes)
    after: list[DenseLayer | Literal["normalise"]] = []
    for kind, path in rest:
        if kind == "Normalize":
            after.append("normalise")
        elif kind == "Dense":
            layer = _dense_layer(path)
            after.append(layer)
            dim = layer.out_features
        elif kind != "Dropout":  # which does nothing outside training
            raise NotPlain(
                f"model folder '{folder}': module {kind} is not supported. Supported after Pooling: Dense, Normalize."
                " Choose another model."
            )
    unit_norm = after[-1:] == ["normalise"]
    cut = options.get("truncate_dim")
    return SentenceFolder(
        transformer=transformer,
        pooling=modes,
        pooling_is_declared=True,
        include_prompt=bool(pooling_config.get("include_prompt", True)),
        after=tuple(after[:-1] if unit_norm else after),
        normalise=_ends_normalised(folder, options, unit_norm=unit_norm),
        full_dim=dim,
        dim=min(dim, cut) if isinstance(cut, int) else dim,
        max_length=length_limit(transformer, text_config),
        lower_case=bool(text_config.get("do_lower_case", False)),
        prompts=_prompts(options),
    )


def modules_of(folder: Path, *, also: Mapping[str, str] | None = None) -> list[tuple[str, Path]]:
    """Class names of a folder's modules, and where each lies.

    Args:
        also: what another library's modules are read as, by their full name.
    Raises:
        SpecError: one is code of the folder's own, which is never run, or lies outside the folder.
    """
    others = also or {}
    return [
        (others.get(str(entry.get("type"))) or _kind(entry, folder), _inside(folder, entry))
        for entry in _module_list(folder)
    ]


def _ends_normalised(folder: Path, options: Mapping[str, Any], *, unit_norm: bool) -> bool:
    """Whether vectors get unit length at the end, so that their inner product is what the model is compared by."""
    similarity = options.get("similarity_fn_name")
    if unit_norm or similarity == "cosine":
        return True
    if similarity not in (None, "dot", "dot_score"):
        raise SpecError(
            f"model folder '{folder}': its vectors are compared by '{similarity}'. Supported: cosine, dot."
            " Choose another model."
        )
    return False


def _module_list(folder: Path) -> list[Mapping[str, Any]]:
    file = folder / "modules.json"
    modules = _parse(file)
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise SpecError(f"{file}: expected a list of modules")
    return modules


def _kind(entry: Mapping[str, Any], folder: Path) -> str:
    """The class name of a module of sentence-transformers' own; code that a folder brings along is never run."""
    package, _, name = str(entry.get("type", "")).rpartition(".")
    if package.split(".")[0] != "sentence_transformers":
        raise SpecError(
            f"model folder '{folder}': module '{entry.get('type')}' is code of the folder's own, which is not run."
            " Choose another model."
        )
    return name


def _inside(folder: Path, entry: Mapping[str, Any]) -> Path:
    path = PurePosixPath(str(entry.get("path", "")))
    if path.is_absolute() or ".." in path.parts:
        raise SpecError(f"{folder / 'modules.json'}: path '{path}' leads out of the model folder")
    return folder / path


def _transformer_config(transformer: Path) -> Mapping[str, Any]:
    for name in _TRANSFORMER_CONFIGS:
        if config := json_object(transformer / name):
            break
    else:
        return {}
    task = config.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise NotPlain(f"{transformer / name}: transformer_task '{task}' is not supported; only feature-extraction is.")
    if "message" in (config.get("modality_config") or {}):
        raise NotPlain(f"{transformer / name}: texts go through a chat template, which is not supported.")
    if (transformer / "adapter_config.json").is_file():
        raise NotPlain(f"model folder '{transformer}' is an adapter. Merge it into its base model and save that.")
    return config


def _pooling_modes(config: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    declared = config.get("pooling_mode")
    if declared is None:
        modes = tuple(mode for key, mode in _OLD_POOLING_KEYS.items() if config.get(key)) or ("mean",)
    else:
        modes = (declared,) if isinstance(declared, str) else tuple(declared)
    if unknown := [mode for mode in modes if mode not in POOLING_MODES]:
        raise SpecError(
            f"{folder / 'config.json'}: no pooling named {', '.join(map(repr, unknown))}."
            f" Known: {', '.join(POOLING_MODES)}."
        )
    return modes


def _dense_layer(path: Path) -> DenseLayer:
    file = path / "config.json"
    config = json_object(file, required=True)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rpartition(".")[2]
    if name not in ACTIVATIONS or not activation.startswith("torch.nn."):
        raise SpecError(f"{file}: activation '{activation}' is not supported. Supported: {', '.join(ACTIVATIONS)}.")
    ports = {config.get(key) or "sentence_embedding" for key in ("module_input_name", "module_output_name")}
    if ports != {"sentence_embedding"} or config.get("use_residual"):
        raise NotPlain(f"{file}: only a Dense layer from sentence vector to sentence vector is supported.")
    try:
        shape = {"in_features": int(config["in_features"]), "out_features": int(config["out_features"])}
    except (KeyError, TypeError, ValueError):
        raise SpecError(f"{file}: in_features and out_features must be numbers") from None
    return DenseLayer(path=path, bias=bool(config.get("bias", True)), activation=name, **shape)


def _prompts(options: Mapping[str, Any]) -> dict[Role, str]:
    """What is put before a text, by role.

    A prompt of the role's own name comes first. The default prompt serves a role that has none, unless it is made for
    the other role."""
    prompts = options.get("prompts") or {}
    default = options.get("default_prompt_name")
    chosen: dict[Role, str] = {}
    for role, names in _PROMPT_NAMES.items():
        others = [name for other, names in _PROMPT_NAMES.items() if other != role for name in names]
        candidates = [*names, *([default] if default not in others else [])]
        # A model saved by a newer version lists every role, with an empty prompt where the author gave none.
        texts = [str(prompts[name]) for name in candidates if prompts.get(name)]
        chosen[role] = texts[0] if texts else ""
    return chosen


def length_limit(transformer: Path, config: Mapping[str, Any]) -> int:
    """Tokens per text with special ones: what the sentence config says, else what tokenizer and positions allow."""
    tokenizer_options = config.get("processor_kwargs") or config.get("tokenizer_args") or {}
    declared = tokenizer_options.get("model_max_length", config.get("max_seq_length"))
    if declared is None:
        model = json_object(transformer / "config.json")
        positions = model.get("max_position_embeddings")
        if isinstance(positions, int) and positions > 0:
            positions -= _LATE_POSITIONS.get(str(model.get("model_type")), 0)
        allowed = [json_object(transformer / "tokenizer_config.json").get("model_max_length"), positions]
        # An unlimited tokenizer says 1e30.
        limits = [int(n) for n in allowed if isinstance(n, (int, float)) and 0 < n < 1e6]
        declared = min(limits, default=_LONGEST_BY_DEFAULT)
    if not isinstance(declared, int) or declared < 1:
        raise SpecError(f"model folder '{transformer}': max_seq_length must be a positive number, got {declared!r}")
    return declared


def hidden_size(transformer: Path) -> int:
    """Width of a model's last layer.

    Raises:
        SpecError: its configuration does not say it.
    """
    config = json_object(transformer / "config.json", required=True)
    config = config.get("text_config") or config
    for key in ("hidden_size", "d_model", "dim", "n_embd"):
        if isinstance(config.get(key), int):
            return int(config[key])
    raise SpecError(f"{transformer / 'config.json'}: says no hidden_size")


def json_object(file: Path, *, required: bool = False) -> dict[str, Any]:
    """A JSON object, or an empty one if the file is absent and may be.

    Raises:
        SpecError: it is no JSON object, or cannot be read.
    """
    if not required and not file.is_file():
        return {}
    parsed = _parse(file)
    if not isinstance(parsed, dict):
        raise SpecError(f"{file}: expected a JSON object")
    return parsed


def _parse(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SpecError(f"{file}: cannot be read as JSON ({cause})") from cause
