"""Which language a text seems to be in, by its letters and most common words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.make_samples import records
from rag.ingest.common_words import asked_in, seeming_language

TEXTS = {
    "en": "The pump is serviced each year, and the number of it is on a plate below the motor.",
    "de": "Die Pumpe wird jedes Jahr gewartet, und ihre Nummer steht auf einem Schild unter dem Motor.",
    "fr": "La pompe est entretenue chaque année, et son numéro se trouve sur une plaque sous le moteur.",
    "es": "La bomba se revisa cada año, y el número está en una placa debajo del motor de la máquina.",
    "it": "La pompa viene controllata ogni anno, e il numero si trova su una targa sotto il motore della macchina.",
    "pt": "A bomba é revista todos os anos, e o número está numa placa que fica por baixo do motor da máquina.",
    "nl": "De pomp wordt elk jaar nagekeken, en het nummer van de pomp staat op een plaat onder de motor.",
    "pl": "Pompa jest sprawdzana co roku, a jej numer znajduje się na tabliczce pod silnikiem, który jest do niej.",
    "cs": "Čerpadlo se kontroluje každý rok a jeho číslo je na štítku, který je pod motorem a nebo na boku.",
    "id": "Pompa ini diperiksa setiap tahun, dan nomor dari pompa itu ada pada pelat di bawah motor yang besar.",
    "ru": "Насос проверяют каждый год, а его номер стоит на табличке под мотором.",
    "zh": "水泵每年检修一次，其编号位于电机下方的铭牌上。",
    "ja": "ポンプは毎年点検され、番号はモーターの下の銘板にあります。",
    "ko": "펌프는 매년 점검하며 번호는 모터 아래 명판에 있습니다.",
    "ar": "تُفحص المضخة كل عام ويوجد رقمها على لوحة أسفل المحرك.",
}


@pytest.mark.parametrize("code", TEXTS)
def test_running_text_shows_its_language(code: str) -> None:
    assert seeming_language(TEXTS[code]) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12 34 56",
        "def area(w, h):\n    return w * h",
        "KQ-88213/B",
        "Winterbourne",
        "x = y or z; i += 1",
        "🙂 42 %",
    ],
)
def test_what_shows_none_has_none(text: str) -> None:
    assert seeming_language(text) == ""


def test_names_and_quotations_do_not_make_english_foreign() -> None:
    assert seeming_language("The firm of Max und der Sohn was founded in the town, and it is one of the first.") in (
        "en",
        "",
    )
    assert seeming_language("Tolstoy (Толстой) is the author of many books, and this is one of them.") == "en"


@pytest.mark.data
@pytest.mark.parametrize(("language", "told", "wrong"), [("en", 0.98, 0.0), ("de", 0.9, 0.005), ("zh", 0.98, 0.0)])
def test_questions_tell_their_language_or_nothing(eval_data: Path, language: str, told: float, wrong: float) -> None:
    found = Counter(asked_in(str(each["text"])) for each in records(f"xquad/{language}/queries"))
    n = found.total()
    assert found[language] >= told * n
    assert n - found[language] - found[""] <= wrong * n
