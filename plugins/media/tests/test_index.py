"""A folder of pictures becomes an index in which words find them, beside text, by the graphs that there are."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from plugins.media.tests.drawn import Drawing, drawings, encoded, random_models
from rag import build_index, load_pipeline, remove_from_index
from rag.errors import SpecError
from rag.graphs import load_spec
from rag.indexes import LocalIndex, contents_of
from rag.types import Content, Query
from ragline_media.leg.retriever import Composed, PicturesRetriever
from tests.retrievers.tiny_encoders import tiny_towers


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return random_models(tmp_path_factory.mktemp("models"))


def graph(models: dict[str, str], **nodes: Any) -> dict[str, Any]:
    """Hybrid search, as it comes: it names no leg of pictures."""
    hybrid = load_spec("hybrid").graph.model_dump(by_alias=True, exclude={"index"}, exclude_none=True)
    return {
        "version": 1,
        "index": {"pictures": models, "dense": {"encoder": models["encoder"], "compute": "float32"}},
        "nodes": hybrid["nodes"] | nodes,
        "output": list(nodes)[-1] if nodes else "fused",
    }


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Drawing]]:
    """Twelve pictures that nothing was fitted on, without a word beside them, and a text."""
    folder = tmp_path_factory.mktemp("bed") / "photos"
    folder.mkdir()
    shown = {}
    for place, each in enumerate(drawings(1, first=100)):
        (folder / f"IMG_{place:04}.png").write_bytes(encoded(each.picture()))
        shown[f"photos/IMG_{place:04}.png"] = each
    (folder / "leave.md").write_text("Paid leave is thirty days.\n")
    return folder, shown


def built(sources: Any, path: Path, models: dict[str, str]) -> Any:
    spec = load_spec(graph(models))
    return build_index(sources, path, settings=spec.graph.index, legs=("lexical", "dense"))


@pytest.fixture(scope="module")
def index(
    bed: tuple[Path, dict[str, Drawing]], models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("index") / "idx"
    report = built(bed[0], path, models)
    assert (report.legs, report.n_documents, report.counts["pictures"]) == (
        ("lexical", "dense", "pictures"),
        13,
        {"n_seen": 12},
    )
    return path


@pytest.fixture
def asking(index: Path, models: dict[str, str]) -> Iterator[Any]:
    with load_pipeline(graph(models), index=index) as pipeline:
        yield pipeline


def test_words_find_pictures_by_a_graph_that_names_none(asking: Any, bed: tuple[Path, dict[str, Drawing]]) -> None:
    """Of twelve one is right: by chance one question in twelve is answered first. Dense and words say nothing of them."""
    captions = sorted({each.caption for each in bed[1].values()})
    first = [bed[1][asking.search(caption).doc_ids[0]].caption for caption in captions]
    assert np.mean([found == asked for found, asked in zip(first, captions, strict=True)]) >= 0.6


def test_text_is_found_as_before(asking: Any) -> None:
    assert asking.search("paid leave").doc_ids[0] == "photos/leave.md#1"


def test_the_graph_says_which_list_it_was_given(index: Path, models: dict[str, str]) -> None:
    from rag.graphs import check

    with LocalIndex.open(index) as opened:
        checked = check(load_spec(graph(models)), index=opened)
        assert not checked.problems
        assert any("also fuses 'pictures' (retrieve.pictures)" in note for note in checked.notes)
        assert {**checked.spec.graph.nodes["fused"].params["weights"]} == {"bm25": 0.3, "dense": 0.7, "pictures": 1.5}


def test_bytes_are_kept_once_and_no_path_of_this_machine_is_told(
    index: Path, bed: tuple[Path, dict[str, Drawing]]
) -> None:
    with LocalIndex.open(index) as opened:
        store = contents_of(opened)
        assert len([*store]) == 12
        for row, document in enumerate(opened.documents):
            for content in document.contents:
                data = store.read(content.sha256)
                assert sha256(data).hexdigest() == content.sha256
                assert store.rows(content.sha256) == [row]
                assert store.thumbnail(content.sha256)[8:12] == b"WEBP"
                assert content.uri == f"sha256:{content.sha256}"
        said = opened.file("documents.jsonl").read_text() if "documents.jsonl" in opened.manifest.files else ""
    assert str(bed[0]) not in said


def test_a_filter_and_a_missing_question(asking: Any) -> None:
    only = asking.search(Query(qid="1", text="a red disc", where={"source": "photos/IMG_0003.png"}))
    assert only.doc_ids == ("photos/IMG_0003.png",)


def asked_with(data: bytes, text: str = "") -> Query:
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    content = Content(kind="picture", uri=uri, sha256=sha256(data).hexdigest(), media_type="image/png")
    return Query(qid="1", text=text, contents=(content,))


def by_pictures(words: float) -> dict[str, Any]:
    return {"only": {"use": "retrieve.pictures", "in": "query", "k": 12, "with": {"words": words}}}


def alone(models: dict[str, str], words: float = 0.35) -> dict[str, Any]:
    made = graph(models)
    return made | {"nodes": by_pictures(words), "output": "only"}


def test_a_picture_finds_itself_and_its_ends_are_exact(
    index: Path, models: dict[str, str], bed: tuple[Path, dict[str, Drawing]]
) -> None:
    data = (bed[0] / "IMG_0005.png").read_bytes()
    with load_pipeline(alone(models, 0.0), index=index) as pipeline:
        picture = pipeline.search(asked_with(data))
        assert picture.doc_ids[0] == "photos/IMG_0005.png"
        assert picture.hits[0].score == pytest.approx(1, abs=1e-5)
        same = pipeline.search(asked_with(data, "a green frame"))
        assert [hit.score for hit in same.hits] == [hit.score for hit in picture.hits]
    with load_pipeline(alone(models, 1.0), index=index) as pipeline:
        words, both = pipeline.search("a green frame"), pipeline.search(asked_with(data, "a green frame"))
        assert [hit.score for hit in both.hits] == [hit.score for hit in words.hits]


def test_a_picture_and_an_edit_are_read_by_the_caption_of_the_nearest_picture(
    models: dict[str, str], tmp_path: Path
) -> None:
    """With random towers nobody can say what is found; but the questions are those of the words that are written out here."""
    (tmp_path / "photos").mkdir()
    for number, drawing in enumerate(drawings(1)):
        (tmp_path / "photos" / f"{number}.png").write_bytes(encoded(drawing.picture()))
        (tmp_path / "photos" / f"{number}.txt").write_text(drawing.caption)
    built(tmp_path / "photos", tmp_path / "idx", models)
    with load_pipeline(alone(models, 1.0), index=tmp_path / "idx") as pipeline:
        assert pipeline.index is not None
        own = next(each for each in pipeline.index.documents if each.contents and each.text)
        data = contents_of(pipeline.index).read(own.contents[0].sha256)
        asked = asked_with(data, "at night")
        rewriting, moving = (PicturesRetriever(index=pipeline.index, composed=way) for way in get_args(Composed)[1:])
        written = pipeline.search(f"{own.text}, at night")
        [rewritten] = rewriting.retrieve([asked], k=12)
        [moved] = moving.retrieve([asked], k=12)
        assert [(hit.doc_id, hit.score) for hit in rewritten.hits] == [(hit.doc_id, hit.score) for hit in written.hits]
        assert [hit.score for hit in moved.hits] != [hit.score for hit in rewritten.hits]
        [unedited] = moving.retrieve([asked_with(data)], k=1)
        assert unedited.hits[0].doc_id == own.doc_id, "without words there is no edit"
        with pytest.raises(ValueError, match="composed must be one of weighted, rewritten, direction"):
            PicturesRetriever(index=pipeline.index, composed="mixed")  # type: ignore[arg-type]


def test_nothing_is_opened_for_a_question(
    index: Path, models: dict[str, str], bed: tuple[Path, dict[str, Drawing]]
) -> None:
    file = bed[0] / "IMG_0005.png"
    with load_pipeline(alone(models), index=index) as pipeline:
        for uri in (file.as_uri(), str(file), "http://127.0.0.1:9/x.png", "memory:x"):
            content = Content(kind="picture", uri=uri, sha256="0" * 64)
            with pytest.raises(Exception, match="opened by nobody here"):
                pipeline.search(Query(qid="1", text="", contents=(content,)))
        named = pipeline.search(str(file))
        assert len(named) == 12, "a path is words"
        with pytest.raises(Exception, match="is no picture"):
            pipeline.search(asked_with(b"no picture"))


@pytest.mark.filterwarnings("ignore")  # of sentence-transformers, when it saves
def test_nothing_is_opened_for_a_question_by_a_tower_that_opens_paths(
    bed: tuple[Path, dict[str, Drawing]], models: dict[str, str], tmp_path: Path
) -> None:
    """sentence-transformers sees the picture in place of its path, where a model reads pictures; a question stays words."""
    from sentence_transformers import SentenceTransformer

    folder, file = tiny_towers(tmp_path / "towers"), tmp_path / "private.png"
    file.write_bytes((bed[0] / "IMG_0005.png").read_bytes())
    model = {"tower": models["tower"], "encoder": str(folder)}
    spec, library = alone(model, 1.0) | {"index": {"pictures": model}}, SentenceTransformer(str(folder), device="cpu")
    build_index(bed[0], tmp_path / "idx", settings=load_spec(spec).graph.index, legs=("lexical",))
    with load_pipeline(spec, index=tmp_path / "idx") as pipeline:

        def scores() -> list[list[float]]:
            questions = str(file), file.as_uri(), "http://127.0.0.1:9/x.png"
            return [[hit.score for hit in pipeline.search(text).hits] for text in questions]

        there, seen = scores(), library.encode([str(file)])
        file.unlink()
        assert scores() == there
        assert [len(each) for each in there] == [12, 12, 12]
        assert len({each[0] for each in there}) == 3, "other words are another question"
    assert np.abs(library.encode([str(file)]) - seen).max() > 1e-3, "the library itself had seen the picture"


def test_a_picture_that_goes_takes_its_bytes_and_its_vector(
    bed: tuple[Path, dict[str, Drawing]], models: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "idx"
    built(bed[0], path, models)
    gone = sha256((bed[0] / "IMG_0002.png").read_bytes()).hexdigest()
    remove_from_index(["photos/IMG_0002.png"], path, rewrite=True)
    with LocalIndex.open(path) as opened:
        assert gone not in contents_of(opened)
        assert len(opened.leg("pictures").rows) == 11
    kept = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert (bed[0] / "IMG_0002.png").read_bytes() not in kept
    assert (bed[0] / "IMG_0003.png").read_bytes() in kept


def test_an_update_looks_at_what_is_new_alone(
    bed: tuple[Path, dict[str, Drawing]], models: dict[str, str], tmp_path: Path
) -> None:
    import shutil

    folder, path = tmp_path / "photos", tmp_path / "idx"
    shutil.copytree(bed[0], folder)
    built(folder, path, models)
    assert build_index(folder, path).unchanged
    new = Drawing("yellow", "frame", 500)
    (folder / "new.png").write_bytes(encoded(new.picture()))
    report = build_index(folder, path)
    assert report.counts["pictures"] == {"n_seen": 1}
    (folder / "new.png.txt").write_text("A yellow frame, seen at noon.\n")
    assert build_index(folder, path).counts["pictures"] == {"n_seen": 0}, "its caption came; it looks as before"
    with load_pipeline(graph(models), index=path) as pipeline:
        [hit] = [hit for hit in pipeline.search("noon").hits if hit.doc_id == "photos/new.png"]
        assert hit.document.text == "A yellow frame, seen at noon."
    with load_pipeline("bm25", index=path) as pipeline:
        assert pipeline.search("noon").doc_ids == ("photos/new.png",), "found by a word of its caption"


def test_an_index_of_texts_stays_as_it_is_where_a_picture_comes(tmp_path: Path) -> None:
    folder, path = tmp_path / "docs", tmp_path / "idx"
    folder.mkdir()
    (folder / "a.md").write_text("Paid leave is thirty days.\n")
    build_index(folder, path, legs=("lexical",))

    def files() -> dict[str, bytes]:
        return {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}

    before = files()
    (folder / "logo.png").write_bytes(encoded(drawings(1)[0].picture()))
    report = build_index(folder, path)
    assert (report.unchanged, report.ignored, report.legs) == (True, ("docs/logo.png",), ("lexical",))
    assert {name: data for name, data in files().items() if name != "ragline.lock"} == {
        name: data for name, data in before.items() if name != "ragline.lock"
    }
    (folder / "logo.txt").write_text("Our logo.\n")
    assert build_index(folder, path).n_documents == 2, "where pictures are not read, a text beside one is a text"


def test_files_that_are_no_pictures_cost_no_other_file(models: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "good.png").write_bytes(encoded(drawings(1)[0].picture()))
    (folder / "page.jpg").write_bytes(b"<html>hello</html>")
    (folder / "empty.gif").write_bytes(b"")
    report = built(folder, tmp_path / "idx", models)
    assert report.n_documents == 1
    assert {problem.name for problem in report.problems} == {"photos/page.jpg", "photos/empty.gif"}
    assert "no picture that is read here" in str(report.problems)


def test_a_folder_of_what_is_no_picture_is_no_index(models: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "page.jpg").write_bytes(b"<html>hello</html>")
    with pytest.raises(SpecError, match="nothing to index"):
        built(tmp_path / "photos", tmp_path / "idx", models)


def test_a_search_from_the_command_line_takes_a_picture(
    index: Path, models: dict[str, str], bed: tuple[Path, dict[str, Drawing]], tmp_path: Path, capsys: Any
) -> None:
    import json

    from rag.cli import main

    spec = tmp_path / "pictures.yaml"
    spec.write_text(json.dumps(alone(models, 0.0)))
    common = ["--index", str(index), "--graph", str(spec), "--no-server"]
    assert main(["search", "at night", "--image", str(bed[0] / "IMG_0007.png"), *common]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("  1. 1.0000  photos/IMG_0007.png")
    assert said[1].startswith("     [picture image/png ")
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    for file, told in ((tmp_path / "none.png", "cannot be read"), (tmp_path / "page.jpg", "is no picture")):
        assert main(["search", "at night", "--image", str(file), *common]) == 2
        assert told in capsys.readouterr().err
    assert main(["search", str(bed[0] / "IMG_0007.png"), "--json", *common]) == 0
    found = json.loads(capsys.readouterr().out)
    assert str(bed[0]) not in json.dumps(found["hits"]), "no path of this machine is told"


def corpus_of(folder: Path, *records: dict[str, Any]) -> Path:
    import json

    folder.mkdir(exist_ok=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder


def test_a_corpus_names_its_pictures_by_files_below_it_and_nothing_else(models: dict[str, str], tmp_path: Path) -> None:
    data, secret = encoded(drawings(1)[0].picture()), encoded(drawings(1)[1].picture())
    folder = tmp_path / "corpus"
    (folder / "media").mkdir(parents=True)
    (folder / "media" / "good one.png").write_bytes(data)
    (folder / "media" / "page.png").write_bytes(b"<html>")
    (tmp_path / "secret.png").write_bytes(secret)
    (folder / "media" / "link.png").symlink_to(tmp_path / "secret.png")
    own, other, page = (sha256(each).hexdigest() for each in (data, secret, b"<html>"))
    named = {
        "relative": ("media/good one.png", own),
        "absolute": ((folder / "media" / "good one.png").as_uri(), own),
        "outside": ("../secret.png", other),
        "far": (str(tmp_path / "secret.png"), other),
        "passwords": ("file:///etc/passwd", "0" * 64),
        "linked": ("media/link.png", other),
        "fetched": ("http://127.0.0.1:9/x.png", own),
        "elsewhere": ("file://host/x.png", own),
        "invented": (f"sha256:{other}", other),
        "another": ("media/good one.png", other),
        "missing": ("media/none.png", own),
        "no picture": ("media/page.png", page),
    }
    records = [
        {
            "_id": name,
            "text": f"about {name}",
            "contents": [{"kind": "picture", "uri": uri, "sha256": told, "text": "said"}],
        }
        for name, (uri, told) in named.items()
    ]
    spec = load_spec(graph(models))
    path = tmp_path / "idx"
    report = build_index(
        corpus_of(folder, *records), path, settings=spec.graph.index, legs=("lexical", "dense", "pictures")
    )
    assert report.n_documents == len(named), "a document whose picture is refused is there without it"
    with LocalIndex.open(path) as opened:
        held = {document.doc_id: document.contents for document in opened.documents if document.contents}
        assert {name: [each.sha256 for each in own_] for name, own_ in held.items()} == {
            "relative": [own],
            "absolute": [own],
        }
        assert held["relative"][0].text == "said"
        assert [*contents_of(opened)] == [own]
        assert len(opened.leg("pictures").rows) == 2
    told = " ".join(problem.reason for problem in report.problems)
    for reason in ("outside the folder", "nothing is fetched", "another sha256", "not there", "bytes that nobody gave"):
        assert reason in told
    assert "no picture that is read here" in told


def test_pictures_are_told_by_the_scale_of_texts_where_there_are_enough(
    index: Path, bed: tuple[Path, dict[str, Drawing]], models: dict[str, str], tmp_path: Path
) -> None:
    import shutil

    from ragline_media.leg.retriever import PicturesRetriever
    from retrievers.legs.dense.retriever import DenseRetriever

    folder = tmp_path / "photos"
    shutil.copytree(bed[0], folder)
    for number in range(30):
        (folder / f"note{number}.md").write_text(f"Note {number} of the day is about a wheel and {number} days.\n")
    built(folder, tmp_path / "idx", models)
    asked = [Query(qid="1", text="a red disc")]
    with LocalIndex.open(tmp_path / "idx") as opened:
        [pictures], [texts] = (each(index=opened).populations(asked) for each in (PicturesRetriever, DenseRetriever))
        assert pictures is not None
        assert texts is not None
        assert (pictures.mean, pictures.deviation, pictures.n) == (texts.mean, texts.deviation, 31)
        [[photo, note]] = PicturesRetriever(index=opened).scores(asked, [["photos/IMG_0000.png", "photos/note3.md#1"]])
        assert note == texts.mean != photo
    with LocalIndex.open(index) as few:
        retriever = PicturesRetriever(index=few)
        [own] = retriever.populations(asked)
        [ranking] = retriever.retrieve(asked, k=12)
        scores = np.array([hit.score for hit in ranking.hits])
        assert own is not None
        assert (own.n, own.mean) == (12, pytest.approx(scores.mean(), abs=1e-6))
        assert own.deviation == pytest.approx(3 * scores.std(), rel=1e-4)
