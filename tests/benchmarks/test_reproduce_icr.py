from __future__ import annotations

import pytest

from benchmarks.reproduce_icr import FORMS, RERUN, SETS, instruction, published

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize("name", SETS)
def test_the_rerun_asks_every_set_for_relevant_information(name: str) -> None:
    assert instruction(FORMS["qrhead"], name) == "ie"


def test_the_papers_own_form_asks_by_set() -> None:
    assert [instruction(FORMS["icr"], name) for name in ("nq", "dbpedia-entity", "scifact")] == ["qa", "qa", "ie"]


def test_figures_of_one_setting_never_stand_beside_the_other() -> None:
    assert [published(FORMS["qrhead"], LLAMA, name) for name in ("fever", "scifact")] == ["85.8", "75.5"]
    assert [published(FORMS["icr"], LLAMA, name) for name in ("fever", "scifact")] == ["84.5", "-"]
    assert published(FORMS["icr"], "bm25", "fever") == "-"
    assert published(FORMS["qrhead"], "smollm2-135m-instruct", "fever") == "-"


def test_every_published_row_names_every_set() -> None:
    assert all(len(row) == len(SETS) for row in RERUN.values())
