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

// What one sentence is, and what several are.
const SAID = {
  supported: ["is supported by a passage", "are supported by a passage"],
  contradicted: ["contradicts a passage", "contradict a passage"],
  unsupported: ["is not in the passages", "are not in the passages"],
  similar: ["is like what a passage says", "are like what a passage says"],
  words: ["has the words of a passage", "have the words of a passage"],
};

/** One line on all of them; empty where nothing was checked. */
export function summaryOf(verdicts = []) {
  if (!verdicts.length) return "";
  const counts = new Map();
  for (const { kind, by } of verdicts) {
    const said = kind === "similar" && by === "words" ? by : kind;
    counts.set(said, (counts.get(said) ?? 0) + 1);
  }
  const all = `of ${verdicts.length} ${verdicts.length > 1 ? "sentences" : "sentence"} `;
  const parts = [...counts].map(([said, n], place) => `${n} ${place ? "" : all}${(SAID[said] ?? [said, said])[n > 1 ? 1 : 0]}`);
  return `${parts.join(", ")} (checked by ${verdicts[0].by}).`;
}
