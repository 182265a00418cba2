"""Which language a text seems to be in, by its letters and its most common words: for a warning or a weight, not for analysis.

It needs no model and no library. `rag.ingest.language` tells languages better, and needs both.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache

_COMMON = {
    "en": "the of and to in is that for it with as was on are by this be from or an which at not have has",
    "de": "der die das und ist von mit den dem des ein eine nicht auf für sich auch wird zu im als werden bei",
    "fr": "le la les des et est une du dans que qui pour pas sur au avec par ce il sont aux cette ou en un",
    "es": "el los las que del una por con para es se como más pero su al lo fue este entre son de la y en",
    "it": "il che di la è per un una del della non con sono si da nel alla dei come anche più gli le ed",
    "pt": "que não uma os do da em para com por é dos das no na mais como se ao foi pelo são ou um de",
    "nl": "de het een van en dat is op te niet met zijn voor aan door ook bij naar worden wordt er maar om",
    "sv": "och att det som en är av för på med till den har inte om ett var kan från eller men de vid",
    "da": "og at det som en er af for på med til den har ikke om et var kan fra eller men de ved blev",
    "no": "og at det som en er av for på med til den har ikke om et var kan fra eller men de ble ved seg",
    "fi": "ja on ei se että oli hän mutta kun ovat myös tai joka sen niin kuin ole vuonna mukaan sekä jotka",
    "pl": "nie się na jest że do to przez jako oraz dla od po były był została roku które który za ale lub jego w z i",
    "cs": "se na je že byl jako jsou pro do od které který ale nebo jeho také byla při po za není této v a",
    "sk": "sa na je že bol ako sú pre do od ktoré ktorý ale alebo jeho tiež bola pri po za nie tejto v a",
    "hu": "és hogy nem az egy is volt meg de ez csak mint van vagy ha már majd által szerint ki el a",
    "ro": "și în de la cu pe din care nu este un sau mai au fost prin pentru ca sunt că al ale o se",
    "tr": "ve bir bu için ile olarak da de daha olan çok gibi kadar en sonra ise olduğu veya değil ne",
    "id": "yang dan di dengan untuk dari pada ini dalam adalah tidak itu sebagai oleh ke atau akan juga dapat",
    "vi": "và của là có được trong cho một các với người không những này đã để từ khi ra như đến về cũng",
    "ca": "el la els les que del una per amb és es com més però al aquest van ser dels i en de un",
    "hr": "je se na da su za od ili kao koji koje nije iz to bio po do ali te biti uz sve i u",
    "lt": "ir yra kad iš į su tai buvo ne kaip nuo jo už arba per bei taip tik bet dėl šio jis",
    "et": "ja on ei see et oli ka mis kui ning aga või tema seda mida oma ole välja kuid pärast kes",
}
"""ISO 639-1 code -> some of the words that running text has most often."""

_ASKING = {
    "en": "what which who whom whose when where why how does did can could should would",
    "de": """
        was welche welcher welches welchen welchem wer wen wem wann wo woher wohin warum wieso woraus womit wodurch wofür worin
        wozu wie wieviele hat haben kann wurde
    """,
    "fr": "quel quelle quels quelles qui quand où pourquoi comment combien faut",
    "es": "qué cuál cuáles quién quiénes cuándo dónde cómo cuánto cuánta cuántos cuántas cuanto cuantos",
    "it": "quale quali chi quando dove perché quanto quanta quanti quante cosa qual",
    "pt": "quais quem quando onde quanto quantos quantas qual",
    "nl": "wat welke welk wie wanneer waar waarom hoe hoeveel heeft kan",
    "sv": "vad vilken vilket vilka vem varför hur när var många",
    "da": "hvad hvilken hvilket hvilke hvem hvornår hvor hvorfor hvordan mange",
    "pl": """
        co który która które którzy kto kiedy gdzie dlaczego jak ile ilu jaki jaka jakie jakim jakiej jakiego czy czym kogo komu
    """,
    "cs": "který která které kdo kdy kde proč jak kolik jaký jaká jaké",
}
"""ISO 639-1 code -> words with which questions begin, or that stand near there."""

_CODES = "ar bn cs da de el en es fr he hi it ja ka ko nl pl pt ru sv th tr vi zh"
_CALLED = """
    Arabic Bengali Czech Danish German Greek English Spanish French Hebrew Hindi Italian Japanese Georgian Korean Dutch Polish
    Portuguese Russian Swedish Thai Turkish Vietnamese Chinese
"""
NAMES = dict(zip(_CODES.split(), _CALLED.split(), strict=True))
"""ISO 639-1 code -> name, of languages that a question may be told to be in."""

SHOWN = 0.2
"""Share of texts that show a language from which on those that show none are taken to be like them. Of a table's rows, or of
code, hardly any shows one: then a single letter among them says nothing of the rest."""

_SCRIPTS = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "THAI": "th",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
}
"""First word of the Unicode names of a script's letters -> the language that most of its readers read."""

_NOT_RUSSIAN = re.compile(r"[іїєґўђћџљњј]", re.IGNORECASE)
"""Letters of Ukrainian, Belarusian, Serbian and Macedonian."""
_WORD = re.compile(r"[^\W\d_]+")
_READ = 1_000
"""Characters that are looked at."""
_LEAST_SHARE, _LEAST_WORDS, _CLEARLY = 0.1, 3, 1.5
"""Common words among all, how many there have to be, and how many times those of English: code and tables have few, of any
language, and names and quotations bring some of others into English."""


def seeming_language(text: str) -> str:
    """The ISO 639-1 code of a language that a text seems to be in; empty where it is not clear, as of code or numbers.

    Of scripts that several languages share, but for the Latin one, it is that of most readers: `ru` for Cyrillic.

    >>> seeming_language("Der Hund ist auf dem Dach und die Katze ist im Haus."), seeming_language("x = f(y) + 42")
    ('de', '')
    """
    start = text[:_READ]
    letters = [c for c in start if c.isalpha()]
    if not letters:
        return ""
    if not start.isascii() and (script := _script_of(letters)):
        return script
    words, table = _WORD.findall(start.lower()), _languages_of_words()
    counts = Counter(code for word in words for code in table.get(word, ()))
    best, n = max(counts.items(), key=lambda each: each[1], default=("", 0))
    if n < max(_LEAST_WORDS, _LEAST_SHARE * len(words)):
        return ""
    return best if best == "en" or n >= _CLEARLY * counts["en"] else ""


def asked_in(question: str) -> str:
    """The ISO 639-1 code of the language that a question seems to be asked in; empty where it is not clear.

    >>> asked_in("Wie viele Dateien kann es anzeigen?"), asked_in("À quel volume ?"), asked_in("pump P-204 reset")
    ('de', 'fr', '')
    >>> asked_in("С какого символа начинается имя?"), asked_in("З якого символу починається ім'я?")
    ('ru', '')
    """
    words = set(_WORD.findall(question[:_READ].lower()))
    asking = {code: set(told.split()) for code, told in _ASKING.items()}
    counts = {code: len(words & (own | set(_COMMON[code].split()))) for code, own in asking.items()}
    highest = max(counts.values())
    most = [code for code, n in counts.items() if n == highest]
    if len(most) == 1 and words & asking[most[0]]:
        return most[0]
    code = seeming_language(question)
    return "" if code == "ru" and _NOT_RUSSIAN.search(question) else code


def _script_of(letters: list[str]) -> str:
    """The language of a script that has most of the letters; empty where they are Latin ones."""
    scripts = Counter(unicodedata.name(c, "").partition(" ")[0] for c in letters)
    languages = Counter(dict.fromkeys(_SCRIPTS.values(), 0))
    for script, n in scripts.items():
        if script in _SCRIPTS:
            languages[_SCRIPTS[script]] += n
    if languages["ja"] and languages["zh"]:  # Japanese is written with Chinese characters too
        languages["ja"] += languages.pop("zh")
    code, n = languages.most_common(1)[0]
    return code if 2 * n > len(letters) else ""


@cache
def _languages_of_words() -> dict[str, list[str]]:
    """Word -> languages. Words of one letter are names of variables in any language."""
    languages: dict[str, list[str]] = {}
    for code, words in _COMMON.items():
        for word in {word for word in words.split() if len(word) > 1}:
            languages.setdefault(word, []).append(code)
    return languages
