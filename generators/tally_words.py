"""Words by which questions ask for a number of things, all of them, a sum, the first or the last, in nine languages.

In lower case, without marks. Texts do not say their language, so all hold for all: what means something else in another of
these languages is left out.
"""

from __future__ import annotations


def _of(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in text.split(","))


COUNT = _of(
    "how many, number of, total number of, count of,"
    "wie viele, wieviele, anzahl, anzahl der, anzahl von,"
    "combien, combien de, combien d, nombre de, nombre d,"
    "cuántos, cuántas, cuantos, cuantas, número de, numero de, quanti, quante, numero di,"
    "quantos, quantas, hoeveel, aantal, hur många, antal, hvor mange, ile, ilu, liczba"
)

COUNT_IT = _of("count, count the, count all, zähle")
"""The same where a question begins with it. Later it is a noun, as in "the aerial count of 2014"."""

ALL = _of(
    "list, list all, list the, show, show all, show every, show the, show me, name all, name the, give me all, find all,"
    "which, what are the, what are all, all the, every, all,"
    "welche, alle, liste, zeige, zeige alle, nenne alle, quels, quelles, tous les, toutes les, liste les, affiche,"
    "qué, cuáles, todos los, todas las, lista, quali, tutti i, tutte le, quais, todos os, todas as, welke, vilka, alla,"
    "hvilke, które, wszystkie"
)

EVERYTHING = _of("everything, all, anything, alles, tout, todo, tutto, tudo, allt, alt, wszystko")

ENDS = _of(
    "first, last, earliest, latest, newest, oldest, most recent, least recent, highest, lowest, largest, smallest,"
    "erste, ersten, erster, erstes, letzte, letzten, letzter, letztes, neueste, neuesten, älteste, ältesten, früheste,"
    "höchste, niedrigste, größte, kleinste, premier, première, dernier, dernière, plus récent, plus récente, plus ancien,"
    "primero, primera, último, última, más reciente, más antiguo, primo, prima, ultimo, ultima, più recente, primeiro,"
    "primeira, mais recente, eerste, laatste, nieuwste, oudste, första, sista, senaste, første, siste, seneste, pierwszy,"
    "pierwsza, ostatni, ostatnia, najnowszy, najstarszy"
)

MOST = _of(
    "most, least, best, worst, average, mean, maximum, minimum, farthest, furthest,"
    "meisten, wenigsten, beste, bester, bestes, durchschnitt, durchschnittlich, mittel,"
    "plus grand, plus grande, plus petit, plus petite, moyenne, mayor, menor, media, promedio, maggiore, minore,"
    "maior, menor, média, meeste, minste, gemiddeld, gemiddelde, mest, minst, genomsnitt, gennemsnit, najwięcej, średnia"
)
"""The largest, the smallest and the mean: of a table alone whose rows were found, for each is a word of prose too."""

SUM = _of(
    "total, sum, sum of, add up, altogether, summe, insgesamt, gesamt, somme, au total, suma, en total, somma, in totale,"
    "soma, no total, totaal, som, summa, totalt, samlet, suma"
)

THINGS = _of(
    "document, documents, file, files, page, pages, section, sections, article, articles, item, items, entry, entries,"
    "record, records, row, rows, paper, papers, note, notes, message, messages, mail, mails, email, emails, ticket, tickets,"
    "post, posts, report, reports, story, stories, chapter, chapters,"
    "dokument, dokumente, dokumenten, datei, dateien, seite, seiten, abschnitt, abschnitte, artikel, eintrag, einträge,"
    "zeile, zeilen, nachricht, nachrichten, meldung, meldungen, bericht, berichte,"
    "fichier, fichiers, pièces, articles, entrée, entrées, ligne, lignes, rapport, rapports,"
    "documento, documentos, archivo, archivos, página, páginas, artículo, artículos, entrada, entradas, fila, filas, informe,"
    "informes, documenti, pagina, pagine, articolo, articoli, riga, righe, arquivo, arquivos, artigo, artigos, linha, linhas,"
    "documenten, bestand, bestanden, pagina's, regel, regels, bericht, berichten, sida, sidor, rad, rader, fil, filer, side,"
    "sider, rekke, dokumenty, dokumentów, plik, pliki, plików, strona, strony, stron, wiersz, wiersze, wierszy"
)
"""What documents are called, whatever they are about."""

BETWEEN = _of(
    "are, is, were, was, do, does, did, have, has, had, there, in, of, on, with, by, from, come, came, per, for, about,"
    "sind, gibt, waren, haben, hat, in, von, im, mit, aus, kamen, y, ont, sont, en, de, du, des, hay, son, están, ci, sono,"
    "di, há, são, tem, zijn, er, van, finns, är, av, fra, jest, są, w, z"
)
"""Words that stand between such a form and what is counted, and are none of it."""

CAN = _of("can, could, kann, können, peut, peuvent, puede, pueden, può, possono, pode, podem, kan, może, można")
"""How many files a program can open is no number of files that there are."""

MONTHS = _of(
    "january, february, march, april, june, july, august, september, october, november, december,"
    "januar, februar, märz, mai, juni, juli, oktober, dezember, janvier, février, mars, avril, juin, juillet, août,"
    "septembre, octobre, novembre, décembre, enero, febrero, marzo, abril, mayo, junio, julio, agosto, septiembre, octubre,"
    "noviembre, diciembre, gennaio, febbraio, aprile, maggio, giugno, luglio, settembre, ottobre, dicembre, janeiro,"
    "fevereiro, março, maio, junho, julho, setembro, outubro, novembro, dezembro, januari, februari, maart, mei, augustus,"
    "augusti, styczeń, luty, marzec, kwiecień, maj, czerwiec, lipiec, sierpień, wrzesień, październik, listopad, grudzień"
)
"""Names of months; May, which is also a verb, is told by the year beside it."""

FORMS = COUNT | COUNT_IT | ALL | EVERYTHING | ENDS | SUM | MOST
"""All of the forms."""
