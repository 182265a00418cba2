"""GenQR with documents of a first retrieval in front of every instruction."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.protocols import LLM
from rag.core.types import Prompt, Query, Ranking
from rag.core.words import first_words, in_one_line
from rag.stages.reformulate.feedback import Feedback, FeedbackSource, Source, paid
from rag.stages.reformulate.genqr import GenQR
from retrievers.index.protocol import Index


class GenQRWithFeedback(GenQR):
    """What both methods with feedback share. A query without feedback documents stays as it was, outcome `fallback`."""

    variables = ("context", "instruction", "query")

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        source: Source = "pseudo",
        m: int = 5,
        depth: int = 10,
        qrels: str | None = None,
        max_words: int = 100,
        n: int = 10,
        instructions: tuple[str, ...] = (),
        domain: str = "",
        beta: float = 1.0,
        repeat: float = 1.0,
        parse: bool = False,
        votes: int = 1,
        prompt: str = "genqr_feedback",
        max_tokens: int = 64,
        temperature: float = 1.0,
        top_p: float = 0.92,
        seed: int = 0,
    ) -> None:
        """Check the parameters.

        Args:
            llm: the model that writes, and judges where the source is `critic`.
            index: the index whose analyzer makes the terms, and that holds the judged documents.
            source: pseudo takes the first hits, oracle the best judged documents of `qrels`, critic those hits that
                the model calls helpful.
            m: feedback documents.
            depth: hits that a critic judges, one call each, sent as one batch.
            qrels: path of a TREC qrels file, for the source `oracle`; results then show what is possible, no more.
            max_words: words of a document, title included, that are shown.
            n: instructions used, one call each, sent as one batch.
            instructions: wordings of your own in place of the ten.
            domain: the field of the search, named in every instruction.
            beta: weight of a keyword where a word of the query has `repeat`; the paper also tries 0.05.
            repeat: weight of the query's own terms.
            parse: take off bullets, numbers, quotation marks and announcements, which chat models write.
            votes: keep a keyword only if so many sets have its term, or the word itself where the index has no lexical leg
                (a filter of ours; the paper's is not described).
            prompt: name or path of a prompt with the variables context, instruction and query.
            max_tokens: most tokens of a reply.
            temperature: the paper names none; 0 is greedy.
            top_p: sample from the likeliest tokens that make up this share.
            seed: of the sampling.
        """
        super().__init__(
            llm=llm,
            index=index,
            n=n,
            instructions=instructions,
            domain=domain,
            beta=beta,
            repeat=repeat,
            parse=parse,
            votes=votes,
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        self.max_words = max_words
        self.feedback = FeedbackSource(
            source, by=self.by, m=m, depth=depth, max_words=max_words, qrels=qrels, llm=llm, index=index
        )

    def fed(self, queries: Sequence[Query], feedback: Sequence[Feedback]) -> list[list[Prompt]]:
        """One prompt per instruction, behind the documents; none for a query without documents."""
        rendered: list[list[Prompt]] = []
        for query, given in zip(queries, feedback, strict=True):
            texts = [in_one_line(first_words(document.full_text, self.max_words)) for document in given.documents]
            context = " ".join(texts)
            asked = self.instructions if context else ()
            rendered.append([self.prompt.render(context=context, instruction=i, query=query.text) for i in asked])
        return rendered


class GenQREnsembleRFReformulator(GenQRWithFeedback):
    """GenQREnsemble with feedback documents before every instruction (GenQREnsemble-RF, arXiv 2404.03746)."""

    by = "reformulate.genqr_ensemble_rf"
    one_per_query = True

    def reformulate(self, queries: Sequence[Query], feedback: Sequence[Ranking]) -> list[Query]:
        """One query per query, in order. `feedback`: what a first retrieval found for each."""
        chosen = self.feedback.choose(queries, feedback)
        made = self.ensemble(queries, self.keywords(self.fed(queries, chosen)))
        return [paid(query, given) for query, given in zip(made, chosen, strict=True)]


class GenQRFusionRFReformulator(GenQRWithFeedback):
    """GenQRFusion with feedback documents before every instruction (arXiv 2405.17658)."""

    by = "reformulate.genqr_fusion_rf"

    def reformulate(self, queries: Sequence[Query], feedback: Sequence[Ranking]) -> list[Query]:
        """A query per keyword set, one after another, under the qid. `feedback`: a first retrieval's rankings."""
        chosen = self.feedback.choose(queries, feedback)
        families = self.fusion(queries, self.keywords(self.fed(queries, chosen)))
        return [
            query
            for family, given in zip(families, chosen, strict=True)
            for query in (paid(family[0], given), *family[1:])
        ]
