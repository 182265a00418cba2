"""Captions of pictures of which nobody says anything: the nearest of given ones, or what a model that sees writes."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generators.llm.server import ServerLLM
from plugins.media.tests.drawn import COLOURS, Drawing, drawings, encoded, random_models
from plugins.media.tests.seeing import pictures_in, seeing
from rag import build_index, load_pipeline
from rag.errors import RagError, SpecError
from rag.graphs import load_spec
from rag.indexes import LocalIndex
from rag.types import Content, Document
from ragline_media.captions import CaptionsTransform

SHOWN = drawings(1, first=100)
"""Pictures that nothing was fitted on, one of each colour and shape."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return random_models(tmp_path_factory.mktemp("models"))


def photos(folder: Path, some: list[Drawing]) -> dict[str, Drawing]:
    """Pictures without a word, and a text."""
    folder.mkdir(exist_ok=True)
    (folder / "leave.md").write_text("Paid leave is thirty days.\n")
    for each in some:
        (folder / f"IMG_{SHOWN.index(each):04}.png").write_bytes(encoded(each.picture()))
    return {f"photos/IMG_{SHOWN.index(each):04}.png": each for each in some}


def graph(models: dict[str, str], **captions: Any) -> dict[str, Any]:
    named = {"eyes": captions.pop("server")} if "server" in captions else {}
    return {
        "version": 1,
        "models": {name: {"use": "llm.server", "with": server} for name, server in named.items()},
        "index": {"pictures": models, "transforms": [{"use": "captions", "with": captions}]},
        "nodes": {"best": {"use": "retrieve.bm25", "in": "query", "k": 3}},
        "output": "best",
    }


def server(url: str) -> dict[str, Any]:
    return {"url": url, "model": "eyes", "dialect": "openai", "vision": True, "retries": 0}


def built(home: Path, made: dict[str, Any]) -> Any:
    settings = load_spec(made).graph.index
    return build_index(home / "photos", home / "idx", settings=settings, legs=("lexical", "pictures"))


def held(home: Path) -> dict[str, Document]:
    with LocalIndex.open(home / "idx") as index:
        return {document.doc_id: document for document in index.documents}


def colour_of(picture: bytes) -> str:
    """The colour of a drawing, as a model that sees tells it."""
    from io import BytesIO

    from PIL import Image

    pixels = np.asarray(Image.open(BytesIO(picture)).convert("RGB")).reshape(-1, 3).astype(int)
    drawn = pixels[np.abs(pixels - 245).sum(axis=1) > 60].mean(axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(drawn - COLOURS[name]).sum()))


def a_colour(body: dict[str, Any]) -> str:
    [picture] = pictures_in(body)
    return f'Sure! Here is the caption:\n\n"Something {colour_of(picture)} on a grey ground."'


class TestNearest:
    def test_the_nearest_of_given_captions_is_kept_and_words_find_it(
        self, models: dict[str, str], tmp_path: Path
    ) -> None:
        """By chance one of twelve is right."""
        shown = photos(tmp_path / "photos", SHOWN)
        (tmp_path / "captions.txt").write_text("".join(f"{each.caption}\n\n" for each in SHOWN))
        made = graph(models, captions=str(tmp_path / "captions.txt"), **models)
        report = built(tmp_path, made)
        assert report.counts["transform.captions"] == {"nearest": 12}
        documents = held(tmp_path)
        said = {name: documents[name].contents[0] for name in shown}
        right = [said[name].text == each.caption for name, each in shown.items()]
        assert np.mean(right) >= 0.5
        assert all(
            each.metadata["caption_by"].startswith("the nearest of captions.txt, cosine ") for each in said.values()
        )
        assert documents["photos/leave.md#1"].contents == ()
        with load_pipeline(made, index=tmp_path / "idx") as pipeline:
            asked = said["photos/IMG_0000.png"].text
            assert pipeline.search(asked).hits[0].text == asked

    def test_what_is_not_near_enough_is_no_caption(self, models: dict[str, str], tmp_path: Path) -> None:
        photos(tmp_path / "photos", SHOWN[:3])
        (tmp_path / "captions.txt").write_text("a red disc\n")
        report = built(tmp_path, graph(models, captions=str(tmp_path / "captions.txt"), least=1.0, **models))
        assert report.counts["transform.captions"] == {}
        assert all(not each.text for document in held(tmp_path).values() for each in document.contents)

    def test_a_file_without_captions_is_told(self, models: dict[str, str], tmp_path: Path) -> None:
        photos(tmp_path / "photos", SHOWN[:1])
        (tmp_path / "captions.txt").write_text("\n \n")
        with pytest.raises(SpecError, match="has 0 captions, and may have 1 to 100,000, a line each"):
            built(tmp_path, graph(models, captions=str(tmp_path / "captions.txt"), **models))


class TestWritten:
    def test_a_model_writes_and_an_update_asks_for_what_is_new(self, models: dict[str, str], tmp_path: Path) -> None:
        shown, asked = photos(tmp_path / "photos", SHOWN[:4]), list[dict[str, Any]]()
        (tmp_path / "photos" / "IMG_0001.txt").write_text("a shape that somebody knows\n")
        with seeing(asked, say=a_colour) as url:
            made = graph(models, llm="eyes", server=server(url))
            assert built(tmp_path, made).counts["transform.captions"] == {"written": 3}
            documents = held(tmp_path)
            for name, each in shown.items():
                [content] = documents[name].contents
                if name.endswith("1.png"):
                    assert content.text == "a shape that somebody knows"
                    assert "caption_by" not in content.metadata
                    continue
                assert content.text == documents[name].text == f"Something {each.colour} on a grey ground."
                assert content.metadata["caption_by"] == "the model eyes"
            assert sorted(pictures_in(body)[0] for body in asked) == sorted(
                encoded(each.picture()) for name, each in shown.items() if not name.endswith("1.png")
            )
            assert all(body["max_tokens"] == 60 for body in asked)
            asked.clear()
            photos(tmp_path / "photos", SHOWN[:6])
            assert built(tmp_path, made).counts["transform.captions"] == {"written": 2}
            assert len(asked) == 2
            assert {name: each.text for name, each in held(tmp_path).items() if name in documents} == {
                name: each.text for name, each in documents.items()
            }
            with load_pipeline(made, index=tmp_path / "idx") as pipeline:
                assert pipeline.search("a green thing").hits[0].text == "Something green on a grey ground."

    def test_a_corpus_that_is_read_again_keeps_what_was_written(self, models: dict[str, str], tmp_path: Path) -> None:
        """A line more in a corpus has all of it read again: what the index said before is taken over."""
        import json

        def corpus(some: list[Drawing]) -> None:
            records = []
            for place, each in enumerate(some):
                data = encoded(each.picture())
                (tmp_path / "photos" / f"{place}.png").write_bytes(data)
                content = {"kind": "picture", "uri": f"{place}.png", "sha256": sha256(data).hexdigest()}
                records.append({"_id": f"d{place}", "text": f"Record {place}", "contents": [content]})
            lines = "".join(json.dumps(each) + "\n" for each in records)
            (tmp_path / "photos" / "corpus.jsonl").write_text(lines)

        (tmp_path / "photos").mkdir()
        asked = list[dict[str, Any]]()
        with seeing(asked, say=a_colour) as url:
            made = graph(models, llm="eyes", server=server(url))
            corpus(SHOWN[:2])
            assert built(tmp_path, made).counts["transform.captions"] == {"written": 2}
            corpus(SHOWN[:3])
            assert built(tmp_path, made).counts["transform.captions"] == {"kept": 2, "written": 1}
        assert len(asked) == 3
        documents = held(tmp_path)
        assert documents["d0"].text == "Record 0"
        assert documents["d0"].index_text == f"{documents['d0'].contents[0].text} Record 0"
        assert all(each.contents[0].metadata["caption_by"] == "the model eyes" for each in documents.values())

    def test_a_request_that_fails_loses_no_picture(
        self, models: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        photos(tmp_path / "photos", SHOWN)
        asked = list[dict[str, Any]]()
        with seeing(asked, say=lambda body: "" if "red" in a_colour(body) else a_colour(body)) as url:
            report = built(tmp_path, graph(models, llm="eyes", server=server(url)))
        assert report.counts["transform.captions"] == {"written": 9, "failed": 3}
        assert report.counts["pictures"] == {"n_seen": 12}
        assert (report.n_documents, report.problems) == (13, ())
        texts = Counter(bool(each.contents[0].text) for each in held(tmp_path).values() if each.contents)
        assert texts == {True: 9, False: 3}
        assert "nothing is written of a picture" in caplog.text

    def test_a_server_that_does_not_see_costs_captions_alone(
        self, models: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        photos(tmp_path / "photos", SHOWN[:2])
        with seeing([], sees=False) as url:
            report = built(tmp_path, graph(models, llm="eyes", server=server(url)))
        assert report.counts["transform.captions"] == {"failed": 2}
        assert "eyes is not a multimodal model" in caplog.text

    def test_a_server_that_is_not_there_stops_the_build(self, models: dict[str, str], tmp_path: Path) -> None:
        photos(tmp_path / "photos", SHOWN[:1])
        with pytest.raises(RagError, match="no server answers"):
            built(tmp_path, graph(models, llm="eyes", server=server("http://127.0.0.1:9/v1")))
        assert not (tmp_path / "idx" / "current").exists()

    def test_a_large_picture_goes_as_a_small_one(
        self, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ragline_media import captions

        monkeypatch.setattr(captions, "LARGEST", 10)
        photos(tmp_path / "photos", SHOWN[:1])
        asked = list[dict[str, Any]]()
        with seeing(asked, say=a_colour) as url:
            built(tmp_path, graph(models, llm="eyes", server=server(url)))
        assert pictures_in(asked[0])[0][8:12] == b"WEBP"


def test_a_model_writes_what_is_not_near_enough(models: dict[str, str], tmp_path: Path) -> None:
    photos(tmp_path / "photos", SHOWN[:2])
    (tmp_path / "captions.txt").write_text("a red disc\n")
    with seeing([], say=a_colour) as url:
        named = {"captions": str(tmp_path / "captions.txt"), "least": 1.0, **models}
        report = built(tmp_path, graph(models, llm="eyes", server=server(url), **named))
    assert report.counts["transform.captions"] == {"written": 2}


def test_what_cannot_be_is_refused_when_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name a file of captions, or a model that sees"):
        CaptionsTransform()
    with pytest.raises(ValueError, match=r"Use llm\.server with vision: true"):
        CaptionsTransform(llm=ServerLLM(model="blind"))
    with pytest.raises(ValueError, match="least is a cosine"):
        CaptionsTransform(llm=ServerLLM(model="eyes", vision=True), least=2)
    with pytest.raises(SpecError, match="there is no captions"):
        CaptionsTransform(captions=str(tmp_path / "none.txt"))


def test_an_index_that_keeps_no_bytes_gets_no_caption(tmp_path: Path) -> None:
    """Documents that are handed over say what they hold and have no bytes: nobody is asked about them."""
    transform = CaptionsTransform(llm=ServerLLM(model="eyes", url="http://127.0.0.1:9/v1", vision=True))
    content = Content(kind="picture", uri="file:///x.png", sha256="0" * 64)
    document = Document(doc_id="d", text="words", contents=(content,))
    assert transform.transform([document]) == [document]


@pytest.mark.data
@pytest.mark.models
@pytest.mark.slow
def test_photos_get_captions_of_their_own_by_the_real_tower(eval_data: Path, tmp_path: Path) -> None:
    """By tags, of the 140 captions of 29 photos: by chance one of 29 photos gets one of its own."""
    if not (eval_data / "multimodal" / "coco").is_dir():
        pytest.skip("the evaluation data has no folder multimodal")
    from plugins.media.benchmarks.bed import pictures, records

    photos = [each for each in records("coco") if each["split"] == "dev"]
    own = {
        sha256(data).hexdigest(): (data, each["captions"]["en"])
        for each, data in zip(photos, pictures("coco", photos), strict=True)
    }
    (tmp_path / "captions.txt").write_text("".join(f"{text}\n" for _, texts in own.values() for text in texts))
    transform = CaptionsTransform(captions=str(tmp_path / "captions.txt"))
    transform.look(lambda key: own[key][0], lambda key: ())
    given = [
        Document(doc_id=key, text="", contents=(Content(kind="picture", uri=f"sha256:{key}", sha256=key),))
        for key in own
    ]
    made = transform.transform(given)
    assert transform.counts == {"nearest": len(own)} == {"nearest": 29}
    right = [any(each.text[:20] == text.strip()[:20] for text in own[each.doc_id][1]) for each in made]
    assert np.mean(right) >= 0.3
