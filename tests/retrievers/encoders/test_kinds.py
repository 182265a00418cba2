"""Which kind reads which folder; those that we do not read ourselves against sentence-transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from rag.core.errors import MissingDependency, SpecError
from rag.core.memory import Need
from retrievers.encoders import kinds
from retrievers.encoders.kinds import Batch, Compute, Requested, kind_of
from retrievers.encoders.plain_encoder import PlainEncoder
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.sentence_folder import Role
from tests.retrievers.tiny_encoders import tiny_bert, tiny_transformer, write_json

TEXTS = ["the bicycle frame", "", "warranty of a lost laptop", "days of paid leave. " * 12]

pytestmark = pytest.mark.filterwarnings("ignore")  # of sentence-transformers, when it saves


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two towers with weights of their own, one for queries and one for documents."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    base = tmp_path_factory.mktemp("router")

    def tower(seed: int) -> list[Any]:
        transformer = Transformer(str(tiny_bert(base / str(seed), seed=seed)))
        return [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")]

    routed = Router.for_query_document(query_modules=tower(0), document_modules=tower(1))
    SentenceTransformer(modules=[routed, Normalize()], device="cpu").save_pretrained(str(base / "model"))
    return base / "model"


def theirs(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def test_a_router_gives_the_vectors_of_sentence_transformers(router: Path) -> None:
    encoder, model = SentenceEncoder(model=str(router)), theirs(router)
    queries, documents = encoder.encode(TEXTS, role="query"), encoder.encode(TEXTS, role="document")
    np.testing.assert_array_equal(queries, model.encode_query(TEXTS))
    np.testing.assert_array_equal(documents, model.encode_document(TEXTS))
    assert not np.allclose(queries, documents, atol=0.1)
    assert queries.dtype == np.float32
    assert encoder.dim == queries.shape[1] == 32


def test_a_router_describes_itself_and_is_found_again(router: Path) -> None:
    import sentence_transformers

    described = json.loads(json.dumps(SentenceEncoder(model=str(router)).describe()))
    assert described["kind"] == "library"
    assert described["library"] == f"sentence-transformers {sentence_transformers.__version__}"
    assert described["modules"] == [
        ".: Router",
        "1_Normalize: Normalize",
        "query_0_Transformer: Transformer",
        "query_1_Pooling: Pooling",
        "document_0_Transformer: Transformer",
        "document_1_Pooling: Pooling",
    ]
    again = SentenceEncoder.from_description(described)
    np.testing.assert_array_equal(again.encode(["the"], role="query"), theirs(router).encode_query(["the"]))


def test_a_changed_setting_of_a_routed_module_changes_the_description(router: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(router, copy)
    before = SentenceEncoder(model=str(copy)).describe()
    pooling = copy / "query_1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace('"mean"', '"max"'))
    after = SentenceEncoder(model=str(copy)).describe()
    assert {key for key in before if before[key] != after[key]} == {"settings_sha256"}


def test_a_router_knows_spans_and_memory(router: Path) -> None:
    encoder = SentenceEncoder(model=str(router))
    assert encoder.spans(["the frame"]) == [[(0, 3), (4, 9)]]
    [weights] = encoder.memory()
    files = [path.stat().st_size for path in router.rglob("*.safetensors")]
    assert len(files) == 2
    assert 0.8 * sum(files) < weights.n_bytes <= sum(files)
    encoder.release()
    assert encoder.encode(["the"], role="query").shape == (1, 32)


def test_a_plain_folder_goes_through_our_reader(mean_bert: Path) -> None:
    assert kind_of(mean_bert) == ("plain", PlainEncoder)
    vectors = SentenceEncoder(model=str(mean_bert), compute="float32").encode(TEXTS, role="document")
    np.testing.assert_allclose(vectors, theirs(mean_bert).encode_document(TEXTS), atol=1e-5)


def test_static_embeddings_are_read(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_bert(tmp_path / "bert") / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)]).save_pretrained(str(tmp_path / "static"))
    encoder = SentenceEncoder(model=str(tmp_path / "static"))
    expected = theirs(tmp_path / "static").encode_query(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS, role="query"), expected)
    assert encoder.spans(["the frame"]) == [[(0, 3), (4, 9)]]


def test_a_sparse_folder_gives_a_weight_for_every_word(tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert(tmp_path / "bert"))
    made = SparseEncoder(modules=[SparseStaticEmbedding(tokenizer)])
    made.save_pretrained(str(tmp_path / "sparse"))
    encoder = SentenceEncoder(model=str(tmp_path / "sparse"))
    expected = made.encode_query(TEXTS, convert_to_sparse_tensor=False).numpy()
    np.testing.assert_array_equal(encoder.encode(TEXTS, role="query"), expected)
    assert (encoder.dim, encoder.describe()["kind"]) == (len(tokenizer), "sparse")


def test_a_folder_of_several_vectors_per_text_is_refused_with_reasons(router: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "modules.json", json.loads((router / "modules.json").read_text()))
    write_json(tmp_path / "config_sentence_transformers.json", {"model_type": "MultiVectorEncoder"})
    with pytest.raises(SpecError, match=r"as a plain folder: .*Router.*as a folder .*it says that it is a MultiVector"):
        kind_of(tmp_path)


@pytest.mark.parametrize("kind", ["my_code.Tower", "sentence_transformers_extra.Tower"])
def test_code_of_the_folder_is_refused_before_anything_loads(tmp_path: Path, kind: str) -> None:
    write_json(tmp_path / "modules.json", [{"path": "", "type": "sentence_transformers.models.Router"}])
    write_json(tmp_path / "router_config.json", {"types": {"query_0": kind}, "structure": {"query": ["query_0"]}})
    (tmp_path / "my_code.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(SpecError, match="code of the folder's own, which is not run"):
        kind_of(tmp_path)


def test_without_the_extra_the_error_names_it(router: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setattr("rag.core.optional.find_spec", lambda module: None)
    with pytest.raises(MissingDependency, match=r"Run: pip install .*\[encoders\]"):
        SentenceEncoder(model=str(router)).encode(["the"], role="query")


def test_a_plain_folder_needs_no_sentence_transformers(mean_bert: Path) -> None:
    program = (
        "import sys; sys.modules['sentence_transformers'] = None\n"
        "from retrievers.encoders.sentence_encoder import SentenceEncoder\n"
        f"print(SentenceEncoder(model={str(mean_bert)!r}).encode(['the'], role='query').shape)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "(1, 32)"


class LengthEncoder:
    """The length of a text and the dimension that the folder says; one class is a kind of encoder."""

    reads: ClassVar[str] = "a folder with length.json"

    def __init__(self, folder: Path, *, requested: Requested) -> None:
        self._dim = int(json.loads((folder / "length.json").read_text())["dim"])

    @staticmethod
    def refuses(folder: Path) -> str | None:
        return None if (folder / "length.json").is_file() else "it has no length.json."

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def compute(self) -> Compute:
        return "float32"

    def facts(self) -> Mapping[str, Any]:
        return {"dim": self.dim}

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        lengths = np.array([[len(text)] * self.dim for text in texts], dtype=np.float32)
        yield np.arange(len(texts)), lengths

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[(0, len(text))] for text in texts]

    def memory(self) -> list[Need]:
        return []

    def release(self) -> None:
        pass


def test_another_kind_is_one_class_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_transformer(tmp_path / "model", "Bert")
    write_json(folder / "length.json", {"dim": 3})
    monkeypatch.setattr(sys.modules[__name__], "LengthEncoder", LengthEncoder)
    monkeypatch.setitem(kinds.ENCODERS._table, "length", LengthEncoder)
    encoder = SentenceEncoder(model=str(folder))
    np.testing.assert_array_equal(encoder.encode(["four", "six"], role="query"), [[4, 4, 4], [3, 3, 3]])
    assert {key: encoder.describe()[key] for key in ("kind", "dim")} == {"kind": "length", "dim": 3}


Make = Callable[..., Path]


def test_a_damaged_plain_folder_is_named_and_not_handed_on(sentence_folder: Make) -> None:
    folder = sentence_folder({"pooling_mode": "median"})
    with pytest.raises(SpecError, match="no pooling named 'median'"):
        kind_of(folder)
