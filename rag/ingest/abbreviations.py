"""Words whose full stop ends no sentence: abbreviations, short months, and what stands before an ordinal.

Texts do not say their language, so all hold for all. Left out is what is a word of some language and often comes last, such
as "no", "art" and "god".
"""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ABBREVIATIONS = {
    "en": "mr mrs ms messrs dr prof st jr sr mt vs approx dept etc al cf e.g i.e viz u.s u.k u.n ph.d capt col gen gov lt rev sen",
    "de": "bzw ca usw evtl ggf inkl exkl zzgl bspw sog vgl str hrsg aufl mio mrd tel z.b d.h u.a u.ä o.ä i.d.r v.a v.chr n.chr",
    "fr": "m.e c.-à-d p.ex éd mlle mme",
    "es": "p.ej ej sra sres srta dra ud uds núm pág págs aprox ee.uu d.c a.c",
    "it": "sig sigg dott prof.ssa ecc pagg p.es avv",
    "pt": "exmo exma séc",
    "ca": "p.ex pàg",
    "nl": "bijv d.w.z enz o.a m.b.t t.a.v nr blz mevr dhr drs mw",
    "sv": "bl.a t.ex d.v.s m.m o.s.v f.d kl",
    "da": "f.eks o.l ifm jf mht osv",
    "fi": "esim jne ym klo ekr jkr",
    "pl": "np tj itd itp m.in ul wg mgr inż św",
    "cs": "např tzn atd apod resp tzv mj př.n.l",
    "sk": "t.j napr atď",
    "hu": "stb kb ún vö",
    "ro": "ş.a.m.d ș.a.m.d dl dna",
    "tr": "vb örn bkz yy",
    "lt": "pvz t.y žr",
    "et": "nt jm lk u.b",
    "hr": "npr br",
    "id": "dll dsb dst",
    "vi": "v.v tp",
    "ru": "т.е т.д т.п т.к гг руб см стр им ул тыс млн млрд др напр",
    "el": "π.χ κ.λπ δηλ σελ",
}
"""ISO 639-1 code -> abbreviations without their last full stop."""

NEVER_LAST = _set(" ".join(_ABBREVIATIONS.values()))
"""Folded."""

BEFORE_NUMBER = _set("""
    no nr nos fig figs eq eqs sec vol ch art p pp abb tab kap abs bd s č
    janv févr avr juil déc ene abr dic gen mag giu lug ott fev dez jan feb mar apr jun jul aug sep sept oct okt nov dec
""")
"""Abbreviations, folded, where a number follows; small months among them, for alone they may be words."""

MONTHS = _set("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mär Mrz Okt Dez")
"""Short months in capitals: "Mar" is one, "mar" is the sea."""

GERMAN_MONTHS = tuple(
    sorted(_set("Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember"))
)
"""German writes a full stop behind an ordinal, and what follows it may begin with a capital."""

BEFORE_ORDINAL = _set("der die das dem den des am im vom zum zur ins beim ab bis seit")
"""German words that a number with a full stop behind them is an ordinal after."""
