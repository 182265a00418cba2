// What a check says of the sentences of an answer, in words. "supported" is said only by a means that was measured for it.

const WORDS = { supported: "supported", contradicted: "contradicted", unsupported: "not in the passages", similar: "similar" };

/** Verdicts that a reader must see at their sentence. */
export const doubtsOf = (verdicts) => verdicts.filter(({ kind }) => kind === "unsupported" || kind === "contradicted");

export function wordsOf({ kind, by, marker }) {
  if (kind === "similar" && by === "words") return "similar words";
  return kind === "contradicted" && marker ? `contradicted by ${marker}` : WORDS[kind] ?? String(kind);
}

/** How sure the server is of an answer; empty where nobody calibrated it. */
export const surenessOf = (confidence) => (Number.isFinite(confidence) ? `Right with a chance of ${Math.round(100 * confidence)}%.` : "");

/** One line on all of them; empty where nothing was checked. */
export function summaryOf(verdicts = []) {
  if (!verdicts.length) return "";
  const counts = new Map();
  for (const { kind, by } of verdicts) {
    const words = wordsOf({ kind, by });
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  const parts = [...counts].map(([words, n]) => `${words} ${n}`);
  return `Sentences, checked by ${verdicts[0].by}: ${parts.join(", ")}.`;
}
