"""Modules beside what they mean by hand, and a model of two layers of 32 that they are taught for."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rag import build_index, load_pipeline
from rag.errors import SpecError
from rag.indexes import SentenceEncoder
from ragline_train.modular.adapters import Adapters, read_module, write_module
from ragline_train.modular.differences import Difference
from ragline_train.modular.encoder import ROOM, ModularEncoder, write_folder
from ragline_train.modular.lessons import Masked, Ranking, head_for, hide
from ragline_train.modular.teaching import (
    ModuleSettings,
    Teachable,
    teach_adapters,
    teach_all,
    teach_head,
    teach_masks,
    tunable,
)
from ragline_train.teaching.recipes.opened import encoded

from .teachable import passages, tiny_encoder

GERMAN = "Der Antrag auf Urlaub ist spätestens zwei Wochen vorher zu stellen."
ENGLISH = "An application for leave has to be made two weeks before at the latest."
RUSSIAN = "Заявление на отпуск подаётся за две недели."
FAST = ModuleSettings(steps=8, learning_rate=5e-3)
TENSORS = ("encoder.layer.0.attention.self.query.weight", "encoder.layer.1.output.dense.bias")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("modular") / "tiny")


@pytest.fixture
def teachable(folder: Path) -> Iterator[Teachable]:
    """Whatever is done with it, its weights are what they were, to the bit."""
    opened = Teachable(str(folder))
    before = bits(opened)
    yield opened
    assert all(torch.equal(each, before[name]) for name, each in bits(opened).items())


def bits(teachable: Teachable) -> dict[str, torch.Tensor]:
    return {name: each.detach().view(torch.int32).clone() for name, each in teachable.base.model.named_parameters()}


def drawn(teachable: Teachable, seed: int, *, scale: float = 1.0) -> Difference:
    """Every seventh number of two tensors."""
    chance = torch.Generator().manual_seed(seed)
    entries = {}
    for name in TENSORS:
        places = torch.arange(seed, teachable.base.model.get_parameter(name).numel(), 7)
        entries[name] = (places, torch.randn(len(places), generator=chance))
    return Difference(base=teachable.base.digest, entries=entries, scale=scale)


def filled(teachable: Teachable, seed: int) -> Adapters:
    adapters = teachable.sockets.new(reduction=4, seed=seed)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in adapters.parameters():
            each.copy_(torch.randn(each.shape, generator=chance) * 0.1)
    return adapters


def ranking(teachable: Teachable, *, batch: int = 8) -> Ranking:
    texts = passages(40)
    articles = [{each["text"]: [each["title"]] for each in texts[at : at + 4]} for at in range(0, len(texts), 4)]
    return Ranking(model=teachable.model, articles=articles, prompts=teachable.prompts, batch=batch)


def test_a_composed_model_is_one_whose_weights_are_added_by_hand(teachable: Teachable) -> None:
    language, rank = drawn(teachable, 1, scale=0.5), drawn(teachable, 2)
    other = copy.deepcopy(teachable.model)
    with torch.no_grad():
        for name in TENSORS:
            weight = other.transformers_model.get_parameter(name)
            for part in (language, rank):
                places, values = part.entries[name]
                dense = torch.zeros(weight.numel()).index_put((places,), values).view(weight.shape)
                weight += part.scale * dense
    plain = encoded(teachable.model, [GERMAN], "")
    with teachable.base.added(language, rank):
        np.testing.assert_array_equal(encoded(teachable.model, [GERMAN], ""), encoded(other, [GERMAN], ""))
        with teachable.base.added(rank):
            assert not np.array_equal(encoded(teachable.model, [GERMAN], ""), encoded(other, [GERMAN], ""))
        np.testing.assert_array_equal(encoded(teachable.model, [GERMAN], ""), encoded(other, [GERMAN], ""))
    np.testing.assert_array_equal(encoded(teachable.model, [GERMAN], ""), plain)
    assert not np.array_equal(plain, encoded(other, [GERMAN], ""))


def test_subtracting_would_not_have_been_the_same_to_the_bit(teachable: Teachable) -> None:
    """So what was there is kept, and the fixture sees that it is put back."""
    part = drawn(teachable, 1)
    name = TENSORS[0]
    places, values = part.entries[name]
    before = teachable.base.model.get_parameter(name).detach().view(-1)[places]
    assert not torch.equal(before + values - values, before)
    with pytest.raises(ZeroDivisionError), teachable.base.added(part):
        1 / 0  # noqa: B018


def test_a_module_of_other_weights_is_refused_by_both_digests(teachable: Teachable, tmp_path: Path) -> None:
    other = Teachable(str(tiny_encoder(tmp_path / "other", seed=1)))
    digests = f"{other.base.digest[:12]}, and these have {teachable.base.digest[:12]}"
    with pytest.raises(SpecError, match=digests), teachable.base.added(drawn(teachable, 1), drawn(other, 2)):
        pass
    with pytest.raises(SpecError, match=digests), teachable.sockets.added(other.sockets.new(reduction=4)):
        pass
    with pytest.raises(SpecError, match=digests):
        write_folder(str(tiny_encoder(tmp_path / "first")), tmp_path / "out", ranking=drawn(other, 1), languages={})
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_refused(teachable: Teachable) -> None:
    far = Difference(base=teachable.base.digest, entries={TENSORS[1]: (torch.tensor([32]), torch.ones(1))})
    odd = Difference(base=teachable.base.digest, entries={"no.such": (torch.tensor([0]), torch.ones(1))})
    for each in (far, odd):
        with pytest.raises(SpecError, match="in a place that the model does not have"), teachable.base.added(each):
            pass
    wide = Adapters(base=teachable.base.digest, layers=2, dim=64, reduction=4)
    with (
        pytest.raises(SpecError, match="for 2 layers of 64, and the model has 2 of 32"),
        teachable.sockets.added(wide),
    ):
        pass
    with pytest.raises(ValueError, match="reduction must divide 32, got 5"):
        teachable.sockets.new(reduction=5)


def test_new_adapters_change_nothing_to_the_bit(folder: Path, teachable: Teachable) -> None:
    plain = encoded(Teachable(str(folder)).model, [GERMAN, ENGLISH], "")
    new = teachable.sockets.new(reduction=2)
    assert new.size == 2 * (2 * 32 * 16 + 16 + 32)
    np.testing.assert_array_equal(encoded(teachable.model, [GERMAN, ENGLISH], ""), plain)
    with teachable.sockets.added(new):
        np.testing.assert_array_equal(encoded(teachable.model, [GERMAN, ENGLISH], ""), plain)


def test_a_stack_of_adapters_is_that_of_its_formula(teachable: Teachable) -> None:
    low, high = filled(teachable, 1), filled(teachable, 2)
    high.scale = 0.5
    place = teachable.base.model.encoder.layer[1].output  # type: ignore[union-attr, index]
    inner, states = torch.randn(3, 48), torch.randn(3, 32)

    def norm(given: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(given, (32,), place.LayerNorm.weight, place.LayerNorm.bias, place.LayerNorm.eps)

    def added(adapters: Adapters, given: torch.Tensor) -> torch.Tensor:
        one: Any = adapters.layers[1]
        inside = torch.relu(given @ one.down.weight.T + one.down.bias)
        return inside @ one.up.weight.T + one.up.bias

    by_hand = inner @ place.dense.weight.T + place.dense.bias
    by_hand = by_hand + added(low, norm(by_hand + states))
    by_hand = by_hand + 0.5 * added(high, norm(by_hand + states))
    with teachable.sockets.added(low, high), torch.no_grad():
        torch.testing.assert_close(place(inner, states), norm(by_hand + states))


def test_a_model_without_such_layers_takes_differences_alone(tmp_path: Path) -> None:
    from tests.retrievers.tiny_encoders import sentence_modules, tiny_transformer

    folder = sentence_modules(tiny_transformer(tmp_path / "distil", "DistilBert"), {"pooling_mode": "mean"})
    teachable = Teachable(str(folder))
    with pytest.raises(SpecError, match=r"DistilBertModel has none of these\. Teach a difference instead"):
        _ = teachable.sockets
    difference, _ = teach_all(teachable.base, ranking(teachable), ModuleSettings(steps=2))
    assert difference.size


def test_a_mask_teaches_just_those_that_move_most(teachable: Teachable) -> None:
    lesson, names = ranking(teachable), tunable(teachable.base.model)
    assert not [name for name in names if "LayerNorm" in name or "embeddings" in name]
    settings = ModuleSettings(steps=8, learning_rate=5e-3, price=0.0)
    full, _ = teach_all(teachable.base, lesson, settings)
    moved = torch.cat([full.entries[name][1].abs() for name in names if name in full.entries])
    least = float(moved.topk(300).values.min())
    (few, _), (more, _) = teach_masks(teachable.base, lesson, settings, sizes=[300, 600])
    assert (few.size, more.size) == (300, 600)
    assert set(few.entries) <= set(names)
    for name, (places, _) in few.entries.items():
        of, values = full.entries[name]
        kept = dict(zip(of.tolist(), values.abs().tolist(), strict=True))
        assert all(kept[place] >= least for place in places.tolist())
    with pytest.raises(SpecError, match=r"a mask of 1,000,000 entries is asked for, and [\d,]+ weights can be taught"):
        teach_masks(teachable.base, lesson, settings, sizes=[1_000_000])


def falls(losses: Sequence[float]) -> bool:
    return fmean(losses[-3:]) < fmean(losses[:3])


def test_every_form_is_taught_and_equal_seeds_teach_equal_modules(teachable: Teachable) -> None:
    drawn_anew = ranking(teachable)

    def lesson(step: int) -> torch.Tensor:  # of two batches, so that it is told whether they are learnt
        return drawn_anew(step % 2)

    full, losses = teach_all(teachable.base, lesson, FAST)
    assert falls(losses)
    again, same = teach_all(teachable.base, lesson, FAST)
    assert losses == same
    assert all(torch.equal(full.entries[name][1], again.entries[name][1]) for name in full.entries)
    [(mask, losses)] = teach_masks(teachable.base, lesson, FAST, sizes=[2000])
    assert falls(losses)
    with teachable.base.added(mask):  # what was taught is what is added
        assert float(lesson(0).detach()) < losses[0]
    low = filled(teachable, 1)
    frozen = [each.detach().clone() for each in low.parameters()]
    one, other = (teachable.sockets.new(reduction=2, seed=3) for _ in range(2))
    fast = ModuleSettings(steps=8, learning_rate=2e-2)
    losses = teach_adapters(teachable.base, teachable.sockets, one, lesson, fast, on=[low])
    assert falls(losses)
    assert losses == teach_adapters(teachable.base, teachable.sockets, other, lesson, fast, on=[low])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(frozen, low.parameters(), strict=True))


def test_a_language_is_taught_by_words_that_are_hidden(teachable: Teachable) -> None:
    texts = [each["text"] for each in passages(30)]
    head = head_for(teachable.model, texts)
    drawn_anew = Masked(model=teachable.model, head=head, texts=texts)

    def lesson(step: int) -> torch.Tensor:
        return drawn_anew(step % 2)

    assert falls(teach_head(teachable.base, head, lesson, ModuleSettings(steps=12, learning_rate=1e-2)))
    kept = [each.detach().clone() for each in head.parameters()]
    [(mask, _)] = teach_masks(teachable.base, lesson, ModuleSettings(steps=16, learning_rate=1e-2), sizes=[4000])
    with torch.no_grad():  # without dropout, by which a step's loss comes and goes
        before = float(lesson(0) + lesson(1))
        with teachable.base.added(mask):
            assert float(lesson(0) + lesson(1)) < before
    assert mask.size <= 4000
    assert all(torch.equal(a, b) for a, b in zip(kept, head.parameters(), strict=True))


def test_words_are_hidden_and_nothing_else() -> None:
    words = torch.arange(5, 60)
    ids = torch.cat([torch.full((400, 1), 2), torch.randint(5, 60, (400, 50)), torch.zeros(400, 3).long()], dim=1)
    shown, hidden = hide(ids, words=words, mask=4, seed=0)
    assert not hidden[:, 0].any()
    assert not hidden[:, -3:].any()
    assert torch.equal(shown[~hidden], ids[~hidden])
    n = int(hidden.sum())
    assert n / 20_000 == pytest.approx(0.15, abs=0.01)
    assert int((shown[hidden] == 4).sum()) / n == pytest.approx(0.8, abs=0.03)
    assert int((shown[hidden] == ids[hidden]).sum()) / n == pytest.approx(0.1, abs=0.02)
    assert torch.isin(shown[hidden], torch.cat([words, torch.tensor([4])])).all()
    assert int(hide(ids[:1, :2], words=words, mask=4, seed=1)[1].sum()) == 1


def test_whole_articles_make_a_batch(teachable: Teachable) -> None:
    lesson = ranking(teachable)
    pairs = lesson.pairs(3)
    assert pairs == lesson.pairs(3) != lesson.pairs(4)
    texts = {each["text"]: (each["title"], at // 4) for at, each in enumerate(passages(40))}
    assert [texts[passage][0] for _, passage in pairs] == [question for question, _ in pairs]
    assert len({texts[passage][1] for _, passage in pairs}) == 2
    with pytest.raises(SpecError, match=r"a step of ranking has 41 passages .* there are 40"):
        ranking(teachable, batch=41)


@pytest.mark.parametrize("form", ["differences", "adapters"])
def test_a_folder_reads_each_text_by_the_modules_of_its_language(
    folder: Path, teachable: Teachable, tmp_path: Path, form: str
) -> None:
    made: Any = drawn if form == "differences" else filled
    added: Any = teachable.base.added if form == "differences" else teachable.sockets.added
    rank, languages = made(teachable, 1), {"de": made(teachable, 2), "en": made(teachable, 3)}
    out = tmp_path / "modular"
    write_folder(str(folder), out, ranking=rank, languages=languages)
    encoder = SentenceEncoder(model=str(out))
    found = encoder.encode([GERMAN, ENGLISH, RUSSIAN], role="document")
    for vector, text, stack in zip(
        found, (GERMAN, ENGLISH, RUSSIAN), ((languages["de"],), (languages["en"],), ()), strict=True
    ):
        with added(*stack, rank):
            np.testing.assert_allclose(vector, encoded(teachable.model, [text], "")[0], atol=1e-5)
    assert encoder.encode([], role="query").shape == (0, encoder.dim)
    assert json.loads(json.dumps(encoder.describe()))["kind"] == "modular"
    encoder.release()
    np.testing.assert_array_equal(encoder.encode([GERMAN, ENGLISH, RUSSIAN], role="document"), found)
    assert not list(out.rglob("*.bin")) + list(out.rglob("*.pkl"))
    with pytest.raises(SpecError, match="is there already"):
        write_folder(str(folder), out, ranking=rank, languages=languages)


def test_a_line_of_a_graph_reranks_by_it(folder: Path, teachable: Teachable, tmp_path: Path) -> None:
    out = tmp_path / "modular"
    write_folder(str(folder), out, ranking=drawn(teachable, 1), languages={"de": drawn(teachable, 2)})
    corpus = tmp_path / "corpus.jsonl"
    texts = {"a": GERMAN, "b": "Der Antrag auf Erstattung.", "c": "Der Urlaub im Antrag."}
    corpus.write_text("".join(json.dumps({"_id": each, "text": text}) + "\n" for each, text in texts.items()))
    build_index([corpus], tmp_path / "index", legs=("lexical",))
    graph = tmp_path / "graph.yaml"
    graph.write_text(
        "version: 1\nnodes:\n"
        "  found: {use: retrieve.bm25, in: query, k: 10}\n"
        f"  ranked: {{use: rerank.cosine, in: found, k: 10, with: {{model: '{out}', first_stage_weight: 0}}}}\n"
        "output: ranked\n"
    )
    question = "Wie wird der Antrag auf Urlaub gestellt?"
    with load_pipeline(graph, index=tmp_path / "index") as pipeline:
        ranked = pipeline.search(question)
    encoder = SentenceEncoder(model=str(out))
    close = encoder.encode([*texts.values()], role="document") @ encoder.encode([question], role="query")[0]
    assert [*ranked.doc_ids] == [list(texts)[at] for at in np.argsort(-close)]


def test_files_are_read_as_they_were_written(teachable: Teachable, tmp_path: Path) -> None:
    part, adapters = drawn(teachable, 1), filled(teachable, 1)
    for module, name in ((part, "part"), (adapters, "adapters")):
        write_module(module, tmp_path / f"{name}.safetensors")
        again = read_module(tmp_path / f"{name}.safetensors")
        assert again.facts() == module.facts()
        assert all(torch.equal(each, module.tensors()[key]) for key, each in again.tensors().items())
    (tmp_path / "part.json").write_text('{"form": "difference"}')
    with pytest.raises(SpecError, match=r"part\.safetensors' cannot be read as a module \('base'\)"):
        read_module(tmp_path / "part.safetensors")
    cut = tmp_path / "adapters.safetensors"
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(SpecError, match="cannot be read as a module"):
        read_module(cut)


@pytest.mark.parametrize("said", [[], {"kind": "plain"}, {"kind": "plain", "languages": ["ranking"]}])
def test_what_says_no_languages_is_refused(folder: Path, teachable: Teachable, tmp_path: Path, said: object) -> None:
    out = tmp_path / "modular"
    write_folder(str(folder), out, ranking=drawn(teachable, 1), languages={})
    (out / ROOM / "modular.json").write_text(json.dumps(said))
    with pytest.raises(SpecError, match=r"modular\.json.*and not"):
        ModularEncoder.refuses(out)


def test_forms_that_are_mixed_and_names_that_are_no_language_are_refused(
    folder: Path, teachable: Teachable, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="some modules are differences and others adapters"):
        write_folder(str(folder), tmp_path / "out", ranking=drawn(teachable, 1), languages={"de": filled(teachable, 1)})
    with pytest.raises(SpecError, match="languages are named by codes of two or three letters, as in de, got german"):
        write_folder(
            str(folder), tmp_path / "out", ranking=drawn(teachable, 1), languages={"german": drawn(teachable, 2)}
        )


def test_a_rate_that_breaks_the_loss_is_told(teachable: Teachable) -> None:
    with pytest.raises(SpecError, match=r"the loss is nan after 0 steps\. A lower learning rate may help"):
        teach_all(teachable.base, lambda step: torch.tensor(float("nan")), FAST)


@pytest.mark.parametrize(
    ("given", "why"), [({"steps": 0}, "steps"), ({"learning_rate": 0.0}, "above 0"), ({"price": -1.0}, "0 or above")]
)
def test_settings_that_teach_nothing_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ModuleSettings(**given)
