"""Sounds that are no speech: what the network is shown, which files are refused, and words and pictures that find them."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.spoken import wav
from rag import build_index, load_pipeline
from rag.cli import main
from rag.doors import content_of_request
from rag.errors import MissingDependency, SpecError
from rag.graphs import load_spec
from rag.indexes import LocalIndex, SentenceEncoder
from rag.types import Query
from ragline_media.asking import sound_of
from ragline_media.methods.vectors import through_texts
from ragline_media.sound import network
from ragline_media.sound.network import SoundTower, log_mel, patches_of
from ragline_media.sound.waves import RATE
from ragline_media.tower.fitting import fit_pairs
from ragline_media.tower.joint import concepts_for
from ragline_media.tower.space import Space, tags

CLASSES = ("drum", "hum", "cello", "voice", "oboe", "horn", "bell", "alarm", "cricket", "whistle", "bat", "hiss")
"""Of the tiny model, by the bands they are heard in, five to each."""
_EDGES = 700 * np.expm1(np.linspace(*np.log1p(np.array([125.0, 7500.0]) / 700), 66))
"""Hz: band i reaches from edge i to edge i + 2."""


def tone(hz: float, seconds: float = 1.5) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE), dtype=np.float32) / RATE)


def middle(name: str) -> float:
    """Hz in the middle of the bands of a class."""
    return float(_EDGES[5 * CLASSES.index(name) + 3])


def tiny_model(folder: Path, classes: int = len(CLASSES)) -> tuple[str, str]:
    """A real model of one layer: the sigmoid of the mean of the own bands, from 0 at -3.5. And the table of its classes."""
    import flatbuffers

    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the extra `sounds` is not installed")
    weights = np.zeros((classes, network.STEPS, network.BANDS), np.float32)
    for each in range(classes):
        weights[each, :, 5 * each : 5 * each + 5] = 1 / (5 * network.STEPS)
    buffers = [b"", weights.tobytes(), np.full(classes, 3.5, np.float32).tobytes()]
    shapes = [("in", [1, 96, 64], 0), ("w", [classes, 96 * 64], 1), ("b", [classes], 2)]
    shapes += [("sum", [1, classes], 0), ("out", [1, classes], 0)]
    model = schema.ModelT()
    model.version, model.description = 3, "tiny"
    for data in buffers:
        model.buffers = [*(model.buffers or []), (buffer := schema.BufferT())]
        buffer.data = np.frombuffer(data, np.uint8) if data else None
    graph = schema.SubGraphT()
    for name, shape, place in shapes:
        graph.tensors = [*(graph.tensors or []), (tensor := schema.TensorT())]
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, schema.TensorType.FLOAT32, place
    operators = []
    for number, (inputs, outputs) in enumerate((([0, 1, 2], [3]), ([3], [4]))):
        operators.append(operator := schema.OperatorT())
        operator.opcodeIndex, operator.inputs, operator.outputs = number, inputs, outputs
    operators[0].builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operators[0].builtinOptions = schema.FullyConnectedOptionsT()
    graph.operators, graph.inputs, graph.outputs = operators, [0], [4]
    model.subgraphs, model.operatorCodes = [graph], []
    for code in (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.LOGISTIC):
        model.operatorCodes.append(one := schema.OperatorCodeT())
        one.builtinCode = one.deprecatedBuiltinCode = code
        one.version = 1
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    folder.mkdir(parents=True, exist_ok=True)
    file, table = folder / "tiny.tflite", folder / "classes.csv"
    file.write_bytes(bytes(builder.Output()))
    with table.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(
            [("index", "mid", "display_name"), *((n, "", each.title()) for n, each in enumerate(CLASSES))]
        )
    return str(file), str(table)


# ---- without the extra


def test_a_tone_is_heard_in_the_band_that_it_lies_in() -> None:
    for name in ("hum", "bell", "whistle"):
        bands = log_mel(tone(middle(name))).mean(axis=0)
        assert abs(int(bands.argmax()) - (5 * CLASSES.index(name) + 2)) <= 1, name
    assert log_mel(np.zeros(RATE, np.float32)) == pytest.approx(np.log(1e-3)), "silence"


def test_steps_are_a_hundredth_of_a_second_and_patches_half_covered() -> None:
    assert log_mel(np.zeros(400 + 95 * 160, np.float32)).shape == (96, 64)
    assert patches_of(tone(440, 0.2)).shape == (1, 96, 64), "what is short is repeated"
    assert patches_of(tone(440, 1.5)).shape == (2, 96, 64)
    assert patches_of(tone(440, 60)).shape == (8, 96, 64)


def test_a_quiet_sound_is_heard_as_a_loud_one() -> None:
    assert np.allclose(patches_of(tone(440)), patches_of(tone(440) / 50), atol=1e-2)
    assert np.isfinite(patches_of(np.zeros(RATE, np.float32))).all()


def test_files_that_are_no_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "classes.csv"
    table.write_text("index,mid,display_name\n0,,Drum\n")
    with pytest.raises(SpecError, match=r"is no file, and should be a model that hears. Name it in `index\.sounds`"):
        SoundTower("", str(table)).describe()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="no column `display_name`"):
        _ = SoundTower("", str(tmp_path / "other.csv")).class_names
    monkeypatch.setattr(network, "MOST_BYTES", 10)
    with pytest.raises(SpecError, match="has 31 bytes; names of classes has at most 10"):
        _ = SoundTower("", str(table)).class_names


def test_without_the_extra_the_line_that_installs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.core.optional.find_spec", lambda name: None if name == "ai_edge_litert" else object())
    (tmp_path / "classes.csv").write_text("display_name\nDrum\n")
    tower = SoundTower(str(tmp_path / "none.tflite"), str(tmp_path / "classes.csv"))
    with pytest.raises(MissingDependency, match=r"hearing sounds needs ai_edge_litert.*plugins/media\[sounds\]"):
        tower.features([wav(tone(440))])


def test_pictures_are_found_through_the_texts_nearest_to_a_sound() -> None:
    """The sound is nearest to the second text, which is the second picture's; straight it is nearer to the first picture."""
    sound = np.array([[0.6, 0.0, 0.8]], np.float32)
    texts = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    pictures = np.array([[1, 0, 0], [0, 0.8, 0.6]], np.float32)
    assert (sound @ pictures.T).argmax() == 0
    assert through_texts(sound, texts, pictures, k=1)[0].tolist() == pytest.approx([0, 0.6])
    both = (0.8 + 0.6) / 2**0.5
    assert through_texts(sound, texts, pictures, k=2)[0].tolist() == pytest.approx([0, both])
    with pytest.raises(ValueError, match="no text between"):
        through_texts(sound, texts[:0], pictures)


# ---- with it


def test_the_network_says_which_tone_it_is(tmp_path: Path) -> None:
    tower = SoundTower(*tiny_model(tmp_path))
    names = ("hum", "bell", "whistle")
    heard = tower.features([wav(tone(middle(name))) for name in names])
    assert [CLASSES[each] for each in heard.pooled.argmax(axis=1)] == list(names)
    own = 1 / (1 + np.exp(-(patches_of(tone(middle("bell")))[:, :, 30:35].mean() + 3.5)))
    assert heard.pooled[1, 6] == pytest.approx(own, abs=1e-3), "as it is worked out without the library"
    assert np.allclose(np.exp(heard.logits), heard.pooled, atol=1e-6)
    assert tower.features([]).pooled.shape == (0, 12)
    assert tower.describe()["tower_sha256"] == sha256(Path(tower.model).read_bytes()).hexdigest()
    with pytest.raises(SpecError, match="a sound cannot be heard: no sound that is read here"):
        tower.features([b"<html>"])


def test_another_model_than_the_one_that_is_meant_is_refused(tmp_path: Path) -> None:
    model, names = tiny_model(tmp_path)
    with pytest.raises(SpecError, match="is not the model that the index was built with"):
        SoundTower(model, names, sha256="0" * 64).features([wav(tone(440))])
    (tmp_path / "torn.tflite").write_bytes(b"no model at all")
    with pytest.raises(SpecError, match="no model of TensorFlow Lite"):
        SoundTower(str(tmp_path / "torn.tflite"), names).features([wav(tone(440))])
    eleven, _ = tiny_model(tmp_path / "eleven", classes=11)
    with pytest.raises(SpecError, match=r"takes and gives \[\[1, 96, 64\], \[1, 11\]\]"):
        SoundTower(eleven, names).features([wav(tone(440))])


def test_a_fit_brings_sounds_to_what_is_said_of_them(tmp_path: Path) -> None:
    tower, encoder = SoundTower(*tiny_model(tmp_path)), SentenceEncoder(model=str(random_encoder(tmp_path / "encoder")))
    said = {"hum": "a fridge at night", "bell": "noon in the village", "whistle": "the train leaves"}
    sounds = [wav(tone(middle(name))) for name in said]
    fitted = fit_pairs(sounds, [[each] for each in said.values()], tower=tower, encoder=encoder, penalty=0.01)
    concepts = concepts_for(tower, lambda some: encoder.encode(some, role="query"), dim=encoder.dim)
    found = Space(concepts, fitted)(tower.features(sounds)) @ encoder.encode([*said.values()], role="query").T
    assert found.argmax(axis=1).tolist() == [0, 1, 2]


def test_words_find_recordings_by_what_is_heard_in_them(tmp_path: Path) -> None:
    """An index of a corpus whose documents say nothing of their sounds; beside them a picture, which is no hit."""
    model, names = tiny_model(tmp_path)
    encoder, tower = random_encoder(tmp_path / "encoder"), random_tower(tmp_path / "tower")
    folder = tmp_path / "corpus"
    (folder / "media").mkdir(parents=True)
    files = {name: wav(tone(middle(name))) for name in ("hum", "bell", "whistle")}
    files["drawn"] = encoded(drawings(1)[0].picture())
    records = []
    for n, (name, data) in enumerate(files.items()):
        kind, end = ("picture", "png") if name == "drawn" else ("sound", "wav")
        (folder / "media" / f"{n}.{end}").write_bytes(data)
        content = {"kind": kind, "uri": f"media/{n}.{end}", "sha256": sha256(data).hexdigest()}
        records.append({"_id": name, "text": "", "contents": [content]})
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    graph: dict[str, Any] = {
        "version": 1,
        "index": {
            "sounds": {"tower": model, "names": names, "encoder": str(encoder)},
            "pictures": {"tower": str(tower), "encoder": str(encoder)},
        },
        "nodes": {"heard": {"use": "retrieve.sounds", "in": "query", "k": 3}},
        "output": "heard",
    }
    spec = load_spec(graph)
    report = build_index(folder, tmp_path / "idx", settings=spec.graph.index, legs=("lexical", "pictures", "sounds"))
    assert report.counts["sounds"] == {"n_seen": 3}
    with LocalIndex.open(tmp_path / "idx") as index:
        leg = index.leg("sounds")
        assert leg._made_by["tower_sha256"] == sha256(Path(model).read_bytes()).hexdigest(), "kept with the index"
        heard = leg.tower.features([files[name] for name in ("hum", "bell", "whistle")])
        assert np.allclose(leg.vectors[np.argsort(leg.rows)], leg.space(heard), atol=1e-6)
        assert np.allclose(leg.space(heard), tags(heard, leg.space.concepts), atol=1e-6)
        os.replace(model, f"{model}.away")
    with load_pipeline(graph, index=tmp_path / "idx") as pipeline:
        ranking = pipeline.search("bell", k=3)
    assert ranking.hits[0].document.doc_id == "bell", "words need the network no more"
    assert {hit.document.doc_id for hit in ranking.hits} == {"hum", "bell", "whistle"}


def test_a_sound_finds_recordings_like_it_and_pictures_through_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, in Python and in a request. Texts that whoever asks may not read lead to no picture."""
    model, names = tiny_model(tmp_path)
    encoder, tower = random_encoder(tmp_path / "encoder"), random_tower(tmp_path / "tower")
    folder = tmp_path / "corpus"
    (folder / "media").mkdir(parents=True)
    records: list[dict[str, Any]] = [
        {"_id": f"says-{name}", "text": name, "free": name != "bell"} for name in ("hum", "bell", "whistle")
    ]
    for n, name in enumerate(("hum", "bell", "whistle")):
        picture, sound = encoded(drawings(3)[n].picture()), wav(tone(middle(name)))
        for kind, data, end in (("picture", picture, "png"), ("sound", sound, "wav")):
            (folder / "media" / f"{n}.{end}").write_bytes(data)
            content = {"kind": kind, "uri": f"media/{n}.{end}", "sha256": sha256(data).hexdigest()}
            records.append({"_id": f"{kind}-{name}", "text": "", "contents": [content], "free": True})
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    asked = tmp_path / "asked.wav"
    asked.write_bytes(wav(tone(middle("bell"), seconds=2.0)))

    def graph(by: str) -> dict[str, Any]:
        index = {
            "dense": {"encoder": str(encoder)},
            "sounds": {"tower": model, "names": names, "encoder": str(encoder)},
            "pictures": {"tower": str(tower), "encoder": str(encoder)},
        }
        return {"version": 1, "index": index, "nodes": {"a": {"use": by, "in": "query", "k": 3}}, "output": "a"}

    settings = load_spec(graph("retrieve.sounds")).graph.index
    build_index(folder, tmp_path / "idx", settings=settings, legs=("lexical", "dense", "pictures", "sounds"))
    noise = sound_of(asked, kind="noise")
    with load_pipeline(graph("retrieve.sounds"), index=tmp_path / "idx") as pipeline:
        heard = pipeline.search(Query(qid="1", text="", contents=(noise,)))
        assert heard.doc_ids[0] == "sound-bell"
        assert heard.hits[0].score == pytest.approx(1.0, abs=0.02)
        with pytest.raises(SpecError, match="a sound cannot be heard"):
            pipeline.search(
                Query(
                    qid="1",
                    text="",
                    contents=(content_of_request({"kind": "noise", "media_type": "audio/wav", "data": "PGh0bWw+"}),),
                )
            )
    with load_pipeline(graph("retrieve.pictures"), index=tmp_path / "idx") as pipeline:
        index = pipeline.index
        assert index is not None
        found = pipeline.search(Query(qid="1", text="", contents=(noise,)))
        vector = index.leg("sounds").heard([asked.read_bytes()])
        texts, leg = index.leg("dense"), index.leg("pictures")
        free = pipeline.search(Query(qid="1", text="", contents=(noise,), where={"free": True}))
        for ranking, spoken in ((found, ("hum", "bell", "whistle")), (free, ("hum", "whistle"))):
            said = np.array([index.documents.row(f"says-{name}") for name in spoken])
            scores = through_texts(vector[None], texts.vectors(said), leg.vectors, k=3)[0]
            assert [hit.score for hit in ranking.hits] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
            assert {each.split("-")[0] for each in ranking.doc_ids} == {"picture"}
        assert [hit.score for hit in found.hits] != pytest.approx([hit.score for hit in free.hits], abs=1e-3)
    (tmp_path / "heard.yaml").write_text(json.dumps(graph("retrieve.sounds")))
    where = ["--index", str(tmp_path / "idx"), "--graph", str(tmp_path / "heard.yaml"), "--no-server"]
    assert main(["search", *where, "--noise", str(asked), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["doc_id"] == "sound-bell"
    assert main(["search", *where, "--noise", str(folder / "corpus.jsonl")]) == 2
    assert "--noise" in capsys.readouterr().err


@pytest.mark.data
def test_the_network_of_the_data_hears_what_sounds_are_of(eval_data: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra `sounds` is not installed")
    data = eval_data / "multimodal"
    tower = SoundTower(str(data / "models" / "yamnet_spectra_in.tflite"), str(data / "labels" / "yamnet_class_map.csv"))
    assert tower.describe()["tower_sha256"].startswith("0a266465c46718f3")
    with zipfile.ZipFile(data / "tux" / "dev-1.zip") as archive:
        names = ("snd/animals-amphibians-frog.ogg", "snd/animals-birds-turkey.ogg")
        heard = tower.features([archive.read(name) for name in names])
    assert [tower.class_names[each] for each in heard.pooled.argmax(axis=1)] == ["frog", "turkey"]
